//! Surfaces that tests know everything about.

use std::f32::consts::{PI, TAU};

pub type Mesh = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// Triangles of a grid of `m` × `n` quads over `(m + 1)` × `(n + 1)` vertices, counter-clockwise where v is left of u.
fn grid(m: usize, n: usize) -> Vec<[u32; 3]> {
    let at = |i: usize, j: usize| (i * (n + 1) + j) as u32;
    let quad = |k: usize| {
        let (i, j) = (k / n, k % n);
        [[at(i, j), at(i + 1, j), at(i + 1, j + 1)], [at(i, j), at(i + 1, j + 1), at(i, j + 1)]]
    };
    (0..m * n).flat_map(quad).collect()
}

/// Positions of the grid, with parameters in [0, 1].
fn over(m: usize, n: usize, f: impl Fn(f32, f32) -> [f32; 3]) -> Vec<[f32; 3]> {
    // The ends of a period have equal positions.
    let part = |i: usize, n: usize| i as f32 / n as f32;
    (0..(m + 1) * (n + 1)).map(|k| f(part(k / (n + 1), m), part(k % (n + 1), n))).collect()
}

/// cos and sin of a whole turn's fraction, with equal bits at 0 and 1.
fn turn(u: f32) -> (f32, f32) {
    let (s, c) = (u.fract() * TAU).sin_cos();
    (c, s)
}

/// A UV sphere with seam and poles doubled, outward.
pub fn sphere(n: usize, radius: f32) -> Mesh {
    let positions = over(2 * n, n, |u, v| {
        let (c, s) = turn(u);
        // Equal bits around a pole.
        let ring = if v == 0.0 || v == 1.0 { 0.0 } else { (v * PI).sin() };
        [c * ring, s * ring, -(v * PI).cos()].map(|x| x * radius + 0.0)
    });
    (positions, grid(2 * n, n))
}

/// A torus around z, outward.
pub fn torus(m: usize, n: usize, major: f32, minor: f32) -> Mesh {
    let positions = over(m, n, |u, v| {
        let ((c, s), (d, t)) = (turn(u), turn(v));
        [(major + minor * d) * c, (major + minor * d) * s, minor * t]
    });
    (positions, grid(m, n))
}

/// A flat square [0, 1]² of n × n quads, facing +z.
pub fn square(n: usize) -> Mesh {
    (over(n, n, |u, v| [u, v, 0.0]), grid(n, n))
}

/// A cube with its smallest corner, outward.
pub fn cube(corner: [f32; 3], side: f32) -> Mesh {
    let positions =
        (0..8).map(|i| std::array::from_fn(|k| corner[k] + side * ((i >> k) & 1) as f32)).collect::<Vec<_>>();
    let quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
    (positions, quads.iter().flat_map(|q| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]]).collect())
}

/// Meshes side by side in one.
pub fn joined(meshes: &[Mesh]) -> Mesh {
    let mut out: Mesh = Default::default();
    for (positions, triangles) in meshes {
        let first = out.0.len() as u32;
        out.0.extend(positions);
        out.1.extend(triangles.iter().map(|t| t.map(|v| v + first)));
    }
    out
}

/// The mesh with its triangles turned inside out.
pub fn inside_out((positions, triangles): &Mesh) -> Mesh {
    (positions.clone(), triangles.iter().map(|t| [t[0], t[2], t[1]]).collect())
}

/// The mesh with one vertex per position.
pub fn welded((positions, triangles): &Mesh) -> Mesh {
    let (class, n) = crate::weld_positions(positions);
    let mut out = vec![[0.0; 3]; n];
    positions.iter().zip(&class).for_each(|(p, &c)| out[c as usize] = *p);
    let map = |t: &[u32; 3]| t.map(|v| class[v as usize]);
    let whole = |t: &[u32; 3]| t[0] != t[1] && t[1] != t[2] && t[2] != t[0];
    (out, triangles.iter().map(map).filter(whole).collect())
}
