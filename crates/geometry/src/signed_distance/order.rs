use rayon::prelude::*;

/// Points answered by one task: enough to profit from their neighbours, few enough to share out.
const CHUNK: usize = 256;
/// Points from which on sorting pays.
const FEW: usize = 64;

/// An order of points along a space-filling curve (Morton), so that each is close to the one before.
pub(super) struct Order(Vec<u32>);

impl Order {
    pub fn new(points: &[[f32; 3]]) -> Self {
        if points.len() < FEW {
            return Self((0..points.len() as u32).collect());
        }
        let finite = |p: &&[f32; 3]| p.iter().all(|x| x.is_finite());
        let none = || ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        let join = |(lo, hi): ([f32; 3], [f32; 3]), (l, h): ([f32; 3], [f32; 3])| -> ([f32; 3], [f32; 3]) {
            (std::array::from_fn(|c| lo[c].min(l[c])), std::array::from_fn(|c| hi[c].max(h[c])))
        };
        let (lo, hi) = points.par_iter().filter(finite).map(|p| (*p, *p)).reduce(none, join);
        let size = (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f32::max);
        let scale = if size > 0.0 && size < f32::MAX { 1023.0 / size } else { 0.0 };
        // Places below keys: no two are equal, and the order is one only.
        let key = |(place, p): (usize, &[f32; 3])| {
            let [x, y, z] = std::array::from_fn(|c| spread(((p[c] - lo[c]) * scale) as u32));
            ((x | y << 1 | z << 2) as u64) << 32 | place as u64
        };
        let mut keys: Vec<u64> = points.par_iter().enumerate().map(key).collect();
        keys.par_sort_unstable();
        Self(keys.into_iter().map(|key| key as u32).collect())
    }

    /// Answers chunks of points, `answer(points, answers)`, and puts the answers where the points were.
    pub fn map<T: Copy + Send + Sync>(
        &self,
        points: &[[f32; 3]],
        none: T,
        answer: impl Fn(&[[f32; 3]], &mut [T]) + Sync,
    ) -> Vec<T> {
        let mut sorted = vec![none; self.0.len()];
        sorted.par_chunks_mut(CHUNK).zip(self.0.par_chunks(CHUNK)).for_each(|(out, places)| {
            // All at once: they are far apart in memory.
            let points: Vec<[f32; 3]> = places.iter().map(|&place| points[place as usize]).collect();
            answer(&points, out);
        });
        let mut out = vec![none; sorted.len()];
        self.0.iter().zip(&sorted).for_each(|(&place, x)| out[place as usize] = *x);
        out
    }
}

/// Ten bits with two zeros between.
fn spread(x: u32) -> u32 {
    let x = x.min(1023);
    let x = (x | x << 16) & 0x0300_00ff;
    let x = (x | x << 8) & 0x0300_f00f;
    let x = (x | x << 4) & 0x030c_30c3;
    (x | x << 2) & 0x0924_9249
}
