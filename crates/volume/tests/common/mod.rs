//! Rays of every kind.

use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};
use lumigrad_volume::Rays;

/// Origin and direction.
pub type Line = ([f32; 3], [f32; 3]);

/// Rays of them.
pub fn rays(numbers: &[Line], device: &Device) -> Rays {
    let flat = |f: &dyn Fn(&Line) -> [f32; 3]| {
        let all: Vec<f32> = numbers.iter().flat_map(f).collect();
        Tensor::from_slice(device, &all, &[numbers.len(), 3]).unwrap()
    };
    Rays { origins: flat(&|r| r.0), directions: flat(&|r| r.1), views: flat(&|r| r.1) }
}

/// Rays from all around, from inside, along axes, along faces, through corners and edges, and past the box.
pub fn hostile() -> Vec<Line> {
    let mut all = vec![
        ([0.0, 0.0, -3.0], [0.0, 0.0, 1.0]),
        ([0.0, 0.0, 3.0], [0.0, 0.0, -1.0]),
        ([-3.0, 0.25, 0.25], [1.0, 0.0, 0.0]),
        ([-3.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
        ([0.1, -3.0, 0.2], [0.0, 1.0, 0.0]),
        ([-2.0, -2.0, -2.0], [0.577_350_26; 3]),
        ([2.0, 2.0, 2.0], [-0.577_350_26; 3]),
        ([0.0; 3], [0.6, 0.0, -0.8]),
        ([0.5, 0.5, 0.5], [0.0, 0.0, 1.0]),
        ([5.0, 5.0, 5.0], [1.0, 0.0, 0.0]),
        ([0.0; 3], [0.0; 3]),
    ];
    let number = |k: u64| 2.0 * random::uniform(7, k) as f32 - 1.0;
    all.extend((0..200u64).map(|k| {
        let v = [number(6 * k), number(6 * k + 1), number(6 * k + 2)];
        let to = [number(6 * k + 3), number(6 * k + 4), number(6 * k + 5)];
        let from = v.map(|x| if k % 3 == 0 { x } else { 2.5 * x });
        let d: [f32; 3] = std::array::from_fn(|a| to[a] - from[a]);
        let length = d.iter().map(|x| x * x).sum::<f32>().sqrt();
        (from, d.map(|x| x / length))
    }));
    all
}
