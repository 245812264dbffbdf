//! Parts of pictures that cameras between the known ones would take.

use lumigrad_core::ops::random;
use lumigrad_scene::camera::{View, between};

/// `n` windows of `size` (columns, rows) into pictures of cameras between two of `views` that look at `target`; which ones depends
/// on `seed` only. Windows are as large as the pictures at most.
pub fn patches(views: &[&View], target: [f64; 3], n: usize, size: (usize, usize), seed: u64) -> Vec<View> {
    let pick = |k: u64| views[(random::hash(seed, k) % views.len() as u64) as usize];
    let patch = |i: u64| {
        let view = between(pick(8 * i), pick(8 * i + 1), random::uniform(seed, 8 * i + 2), target);
        let size = (size.0.min(view.width), size.1.min(view.height));
        let corner = [(3, view.width - size.0), (4, view.height - size.1)];
        view.window(corner.map(|(k, room)| (random::hash(seed, 8 * i + k) % (room as u64 + 1)) as usize), size)
    };
    if views.is_empty() { vec![] } else { (0..n as u64).map(patch).collect() }
}
