//! Free buffers that wait for their next use.

use std::collections::HashMap;

/// Submissions after which a free buffer goes back to the driver: more than a step of any method makes.
const PATIENCE: u64 = 512;
/// Bytes beside the most that was in use at once.
const SLACK: u64 = 1 << 30;

/// Free buffers by size, the latest used last. Those that a step uses again are all kept, for used and free ones together
/// may have as many bytes as were once in use, and a little more; beyond, the longest unused go first.
pub(super) struct Pool<B> {
    free: HashMap<u64, Vec<(B, u64)>>,
    free_bytes: u64,
    used_bytes: u64,
    most_used_bytes: u64,
    /// Submissions so far.
    now: u64,
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self { free: HashMap::new(), free_bytes: 0, used_bytes: 0, most_used_bytes: 0, now: 0 }
    }
}

impl<B> Pool<B> {
    /// A free buffer of a size, if there is one.
    pub fn take(&mut self, size: u64) -> Option<B> {
        let (buffer, _) = self.free.get_mut(&size)?.pop()?;
        self.free_bytes -= size;
        Some(buffer)
    }

    /// Notes that a buffer is used, from here or new.
    pub fn used(&mut self, size: u64) {
        self.used_bytes += size;
        self.most_used_bytes = self.most_used_bytes.max(self.used_bytes);
    }

    /// Takes a buffer back.
    pub fn put(&mut self, buffer: B, size: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(size);
        self.free_bytes += size;
        self.free.entry(size).or_default().push((buffer, self.now));
        while self.used_bytes + self.free_bytes > self.most_used_bytes + SLACK && self.drop_oldest() {}
    }

    /// Notes a submission, and now and then gives back what was not used for long.
    pub fn submitted(&mut self) {
        self.now += 1;
        if self.now.is_multiple_of(PATIENCE) {
            let since = self.now - PATIENCE;
            self.free.values_mut().for_each(|free| free.retain(|(_, freed)| *freed >= since));
            self.free.retain(|_, free| !free.is_empty());
            self.free_bytes = self.free.iter().map(|(size, free)| size * free.len() as u64).sum();
        }
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.free.clear();
        self.free_bytes = 0;
    }

    fn drop_oldest(&mut self) -> bool {
        let first = |(size, free): (&u64, &Vec<(B, u64)>)| free.first().map(|(_, freed)| (*freed, *size));
        let Some((_, size)) = self.free.iter().filter_map(first).min() else { return false };
        self.free.get_mut(&size).expect("just found").remove(0);
        self.free_bytes -= size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_finds_its_buffers_again_and_other_sizes_replace_the_oldest() {
        let mut pool = Pool::default();
        let mut made = 0;
        let mut step = |pool: &mut Pool<u32>, sizes: &[u64]| {
            for &size in sizes {
                let buffer = pool.take(size).unwrap_or_else(|| {
                    made += 1;
                    made
                });
                pool.used(size);
                pool.put(buffer, size);
            }
            pool.submitted();
            made
        };
        let sizes: Vec<u64> = (1..=3).map(|k| k << 28).collect();
        assert_eq!((0..10).map(|_| step(&mut pool, &sizes)).max(), Some(3));
        assert_eq!(pool.free_bytes, 6 << 28);
        // Later steps are of another size: with them, more than a GiB and the largest buffer stay at no time.
        assert_eq!((0..10).map(|_| step(&mut pool, &[7 << 27])).max(), Some(4));
        assert!(pool.free_bytes <= pool.most_used_bytes + SLACK && pool.take(7 << 27).is_some());
        (0..2 * PATIENCE).for_each(|_| pool.submitted());
        assert_eq!((pool.free_bytes, pool.free.len()), (0, 0));
    }
}
