//! Trees in files: two bits of each node, in the order of codes, parents before children.

use super::{DEEPEST, Leaf, Octree};
use crate::Result;
use lumigrad_core::Device;

/// What a child is.
const NOTHING: u8 = 0;
const WHOLE: u8 = 1;
const INNER: u8 = 2;

impl Octree {
    /// The tree's form, four nodes to a byte; the root, which is always an inner one, is left out.
    pub fn to_bits(&self) -> Vec<u8> {
        let mut kinds = vec![];
        let mut next = 0;
        self.tell(0, [0; 3], &mut next, &mut kinds);
        kinds.chunks(4).map(|four| four.iter().enumerate().fold(0, |byte, (k, kind)| byte | kind << (2 * k))).collect()
    }

    /// Tells of the children of an inner node; `next` is the first leaf that was not told of.
    fn tell(&self, level: u32, place: [u32; 3], next: &mut usize, kinds: &mut Vec<u8>) {
        for c in 0..8 {
            let child = [0, 1, 2].map(|a| 2 * place[a] + (c >> a & 1));
            let found = self
                .leaves()
                .get(*next)
                .filter(|l| l.level > level && l.place.map(|i| i >> (l.level - level - 1)) == child);
            match found {
                None => kinds.push(NOTHING),
                Some(leaf) if leaf.level == level + 1 => {
                    kinds.push(WHOLE);
                    *next += 1;
                }
                Some(_) => {
                    kinds.push(INNER);
                    self.tell(level + 1, child, next, kinds);
                }
            }
        }
    }

    /// A tree of which [`Self::to_bits`] told; `None` where these are not the bits of one.
    ///
    /// # Errors
    /// Memory.
    pub fn from_bits(bits: &[u8], device: &Device) -> Result<Option<Self>> {
        let mut kinds = bits.iter().flat_map(|byte| (0..4).map(move |k| byte >> (2 * k) & 3));
        let mut leaves = vec![];
        let whole = read(0, [0; 3], &mut kinds, &mut leaves).is_some();
        // Less than a byte is left, and it is empty.
        let rest: Vec<u8> = kinds.collect();
        let ends = rest.len() < 4 && rest.iter().all(|k| *k == NOTHING);
        if whole && ends && !leaves.is_empty() { Self::new(leaves, device).map(Some) } else { Ok(None) }
    }
}

fn read(level: u32, place: [u32; 3], kinds: &mut impl Iterator<Item = u8>, leaves: &mut Vec<Leaf>) -> Option<()> {
    for c in 0..8 {
        let child = [0, 1, 2].map(|a| 2 * place[a] + (c >> a & 1));
        match kinds.next()? {
            NOTHING => {}
            WHOLE => leaves.push(Leaf { level: level + 1, place: child }),
            INNER if level + 1 < DEEPEST => read(level + 1, child, kinds, leaves)?,
            _ => return None,
        }
    }
    Some(())
}
