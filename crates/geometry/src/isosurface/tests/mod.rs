mod marching_cubes;
mod methods;

use super::{Indexed, SampleGrid};
use crate::Topology;
use glam::DVec3;

fn sampled(n: usize, half: f64, f: impl Fn(DVec3) -> f64) -> (Vec<f32>, SampleGrid) {
    let grid = SampleGrid::over([-half; 3], [half; 3], [n; 3]);
    ((0..n * n * n).map(|s| f(DVec3::from_array(grid.point(s))) as f32).collect(), grid)
}

fn topology(m: &Indexed) -> Topology {
    Topology::new(m.0.len(), &m.1).unwrap()
}

fn area_and_volume((positions, triangles): &Indexed) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for t in triangles {
        let [a, b, c] = t.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        sum.0 += 0.5 * (b - a).cross(c - a).length();
        sum.1 += a.dot(b.cross(c)) / 6.0;
    }
    sum
}
