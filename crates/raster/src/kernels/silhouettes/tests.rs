use super::super::{KERNELS, rasterize};
use super::silhouettes;
use crate::render::neighbours;
use lumigrad_core::{Device, Tensor};
use lumigrad_testkit::devices;

const SIZE: usize = 16;

/// Silhouettes of a double-sided mesh given in pixels, at depth ½.
fn edges(device: &Device, points: &[[f32; 2]], triangles: &[[u32; 3]]) -> Vec<u32> {
    let half = SIZE as f32 / 2.0;
    let clip: Vec<[f32; 4]> = points.iter().map(|p| [p[0] / half - 1.0, 1.0 - p[1] / half, 0.5, 1.0]).collect();
    let classes: Vec<u32> = (0..points.len() as u32).collect();
    let u32s = |rows: &[[u32; 3]]| Tensor::from_slice(device, rows.as_flattened(), &[rows.len(), 3]).unwrap();
    let clip = Tensor::from_slice(device, clip.as_flattened(), &[points.len(), 4]).unwrap();
    let flags = Tensor::full(device, lumigrad_core::DType::U32, &[triangles.len()], 1.0).unwrap();
    let layer = rasterize(&clip, &u32s(triangles), &flags, SIZE, SIZE, None).unwrap();
    let neighbours = u32s(&neighbours(triangles, &classes));
    silhouettes(&layer, &clip, &u32s(triangles), &neighbours).unwrap().to_vec().unwrap()
}

/// A strip from x = 3 to 9.7, in n quads of equal width.
fn strip(n: u32) -> (Vec<[f32; 2]>, Vec<[u32; 3]>) {
    let x = |k: u32| 3.0 + 6.7 * k as f32 / n as f32;
    let points = (0..=n).flat_map(|k| [[x(k), 2.0], [x(k), 13.0]]).collect();
    let triangles = (0..2 * n).step_by(2).flat_map(|k| [[k, k + 1, k + 3], [k, k + 3, k + 2]]).collect();
    (points, triangles)
}

#[test]
fn silhouettes_are_found_however_small_the_triangles_are() {
    for device in devices("silhouettes") {
        for n in [1, 7, 70] {
            let (points, triangles) = strip(n);
            let found = edges(&device, &points, &triangles);
            for y in 0..SIZE {
                for x in 0..SIZE {
                    let edge = found[2 * (y * SIZE + x)];
                    // The right border lies between the centres of columns 9 and 10, seen from the left.
                    let right = x == 9 && (2..13).contains(&y);
                    let left = x == 2 && (2..13).contains(&y);
                    assert_eq!(edge != 0, left || right, "n = {n}: ({x}, {y}) on {device}");
                    if right {
                        let (triangle, k) = ((edge / 2 - 1) / 3, (edge / 2 - 1) % 3);
                        let ends = [k, (k + 1) % 3].map(|k| points[triangles[triangle as usize][k as usize] as usize]);
                        assert_eq!((edge % 2, ends[0][0], ends[1][0]), (1, 9.7, 9.7));
                    }
                }
            }
        }
    }
}

#[test]
fn an_edge_belongs_to_rows_or_to_columns() {
    // A square on its tip: all edges at 45°.
    let points = [[8.25, 1.125], [14.25, 7.125], [8.25, 13.125], [2.25, 7.125]];
    for device in devices("diagonals") {
        let found = edges(&device, &points, &[[0, 1, 2], [0, 2, 3]]);
        let count = |direction: usize| found.iter().skip(direction).step_by(2).filter(|e| **e != 0).count();
        assert_eq!((count(0), count(1)), (24, 0), "{device}");
    }
}

#[test]
fn shaders_and_their_declarations_agree() {
    lumigrad_testkit::check_shaders(KERNELS);
}
