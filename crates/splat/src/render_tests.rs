use crate::composite::{Drawn, for_pixels};
use crate::composite::{PIXELS, PLANES, Tiled};
use crate::frame::Frame;
use crate::frame::{TILE, smoothing_of};
use crate::lanes::{V, level};
use crate::project::Camera;
use crate::project::{Moments, project_backward};
use crate::render::{camera, render};
use crate::rows::BLOCK;
use crate::rows::Rows;
use crate::{Error, Gaussians, Kernel, Projection, RenderOptions, View};
use fearless_simd::{Simd, SimdBase, dispatch};

pub(crate) fn view() -> View {
    View {
        viewmat: [[0.96, 0.0, 0.28, 0.1], [0.0, 1.0, 0.0, -0.05], [-0.28, 0.0, 0.96, 3.0], [0.0, 0.0, 0.0, 1.0]],
        intrinsics: [24.0, 26.0, 11.0, 9.5],
        width: 21,
        height: 19,
        projection: Projection::Perspective,
        shutter: Default::default(),
    }
}

/// The same place, about as near.
pub(crate) fn seen(projection: Projection) -> View {
    let perspective = view();
    match projection {
        Projection::Perspective => perspective,
        Projection::Orthographic => View { intrinsics: [8.0, 9.0, 11.0, 9.5], projection, ..perspective },
    }
}

pub(crate) fn scene(kernel: Kernel, sh_degree: usize) -> Gaussians {
    let mut state = 7u32;
    let mut random = |low: f32, high: f32| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        low + (high - low) * (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut out = Gaussians { sh_degree, kernel, ..Default::default() };
    for _ in 0..6 {
        out.means.push(std::array::from_fn(|_| random(-0.9, 0.9)));
        out.log_scales.push(std::array::from_fn(|_| random(-2.6, -1.2)));
        out.rotations.push(std::array::from_fn(|_| random(-1.0, 1.0)));
        out.opacity_logits.push(random(-1.0, 0.8));
        out.sh.extend((0..out.n_basis()).map(|_| std::array::from_fn(|_| random(-0.2, 0.3))));
    }
    // One beyond the clamp of the Jacobian.
    out.means[5] = [2.3, 0.2, 0.0];
    out.log_scales[5] = [-0.5; 3];
    out
}

/// Derivative by all rows.
fn gradient(
    (rows, smoothing): (&Rows<f64>, &[f64]),
    camera: &Camera<f64>,
    frame: &Frame<f64>,
    drawn: &Drawn<f64>,
    grads: &Tiled<f64>,
) -> Vec<f64> {
    let mut sums = vec![];
    drawn.backward(frame, grads, (true, false), &mut sums);
    let mut out = vec![];
    for (first, block) in rows.data.chunks(rows.width * BLOCK).enumerate().map(|(i, block)| (i * BLOCK, block)) {
        let mut g = [[0.0; BLOCK]; Moments::<f64>::COUNT];
        for k in 0..BLOCK {
            g.iter_mut().zip(frame.sum(first + k, &sums)).for_each(|(to, x)| to[k] = x);
        }
        let block = (block, smoothing_of(smoothing, first / BLOCK));
        out.extend(dispatch!(level(), simd => one_block(simd, block, camera, &g)));
    }
    out
}

#[inline(always)]
fn one_block<S: Simd>(
    simd: S,
    (block, smoothing): (&[f64], &[f64]),
    camera: &Camera<f64>,
    g: &[[f64; BLOCK]; 10],
) -> Vec<f64> {
    let len = V::<S, f64>::LEN;
    let mut out = vec![0.0; block.len()];
    for lane in (0..BLOCK).step_by(len) {
        let mut grads = vec![S::f64s::splat(simd, 0.0); block.len() / BLOCK];
        let g = Moments::from_array(g.map(|x| S::f64s::from_slice(simd, &x[lane..lane + len])));
        project_backward::<S, f64>(simd, (block, smoothing), lane, camera, &g, &mut grads);
        for (k, x) in grads.iter().enumerate() {
            x.store_slice(&mut out[k * BLOCK + lane..][..len]);
        }
    }
    out
}

#[test]
fn gradients_match_finite_differences() {
    use Projection::{Orthographic, Perspective};
    for (kernel, degree, projection, smooth) in [
        (Kernel::Classic, 3, Perspective, false),
        (Kernel::Mip, 4, Perspective, false),
        (Kernel::Mip, 1, Perspective, true),
        (Kernel::Classic, 2, Orthographic, false),
    ] {
        let smoothing: Vec<f64> = (0..if smooth { BLOCK } else { 0 }).map(|i| 0.05 + 0.03 * i as f64).collect();
        let (gaussians, view) = (scene(kernel, degree), seen(projection));
        let mut camera: Camera<f64> = camera(kernel, degree, &view, 0.01);
        camera.least = -46.5; // no visible cut, so that the picture is smooth
        let size = [view.width, view.height];
        let rows = Rows::<f64>::new(&gaussians);
        let weight = |i: usize| ((i * 37 + 11) % 17) as f64 / 17.0 - 0.4;
        let mut grads = vec![[[0.0; PIXELS]; PLANES]; size.map(|n| n.div_ceil(TILE)).iter().product()];
        for_pixels(size, |pixel, tile, at| {
            (0..PLANES).for_each(|k| grads[tile][k][at] = weight(5 * pixel + k));
        });
        let draw = |rows: &Rows<f64>| {
            let (mut frame, mut drawn) = (Frame::default(), Drawn::default());
            frame.update(rows, &smoothing, &camera, size, true).unwrap();
            drawn.update(&frame, true, true);
            (frame, drawn)
        };
        let loss = |rows: &Rows<f64>| -> f64 {
            let (_, drawn) = draw(rows);
            let tiles = drawn.picture.iter().flatten().flatten().zip(grads.iter().flatten().flatten());
            tiles.map(|(p, g)| p * g).sum()
        };
        let (frame, drawn) = draw(&rows);
        assert_eq!(frame.drawn().count(), gaussians.len());
        let exact = gradient((&rows, &smoothing), &camera, &frame, &drawn, &grads);
        let largest = exact.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        let h = 1e-5;
        for (row, column) in (0..rows.n).flat_map(|i| (0..rows.width).map(move |k| (i, k))) {
            let i = rows.at(row, column);
            let moved = |by: f64| {
                let mut rows = rows.clone();
                rows.data[i] += by;
                loss(&rows)
            };
            let found = (moved(h) - moved(-h)) / (2.0 * h);
            assert!(
                (found - exact[i]).abs() <= 1e-6 * exact[i].abs() + 1e-7 * largest,
                "{kernel:?}: Gaussian {row}, parameter {column}: {found} by differences, {} exact",
                exact[i]
            );
        }
    }
}

#[test]
fn one_round_gaussian_has_the_analytic_picture() {
    let mut view = view();
    view.viewmat = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let gaussians = Gaussians {
        means: vec![[0.0, 0.0, 2.0]],
        log_scales: vec![[0.2f32.ln(); 3]],
        rotations: vec![[1.0, 0.0, 0.0, 0.0]],
        opacity_logits: vec![0.0],
        sh: vec![[0.0; 3]],
        ..Default::default()
    };
    let options = RenderOptions { background: [0.0, 1.0, 0.25], ..Default::default() };
    // Standard deviation 0.2 · 20 / 2 = 2 pixels, or 0.2 · 10; low pass 0.3.
    for (projection, focal) in [(Projection::Perspective, 20.0), (Projection::Orthographic, 10.0)] {
        let view = View { projection, intrinsics: [focal, focal, 10.5, 9.5], ..view.clone() };
        let image = render(&gaussians, &view, &options).unwrap();
        for (x, y) in (0..view.height).flat_map(|y| (0..view.width).map(move |x| (x, y))) {
            let r2 = (x as f32 - 10.0).powi(2) + (y as f32 - 9.0).powi(2);
            let alpha = 0.5 * (-0.5 * r2 / 4.3).exp();
            let alpha = if alpha >= 1.0 / 255.0 { alpha } else { 0.0 };
            let at = y * view.width + x;
            assert!((image.alpha[at] - alpha).abs() < 1e-6, "alpha at {x}, {y}");
            assert!((image.depth[at] - 2.0 * alpha).abs() < 1e-5);
            for ch in 0..3 {
                let colour = 0.5 * alpha + options.background[ch] * (1.0 - alpha);
                assert!((image.colour[at][ch] - colour).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn hostile_gaussians_leave_a_finite_picture() {
    let all = [f32::NAN, f32::INFINITY, -f32::INFINITY, 1e30, -1e30, 0.0];
    for (bad, kernel) in all.into_iter().flat_map(|bad| [(bad, Kernel::Classic), (bad, Kernel::Surfel)]) {
        let clean = scene(kernel, 1);
        for column in 0..5 {
            let mut gaussians = clean.clone();
            match column {
                0 => gaussians.means[0][1] = bad,
                1 => gaussians.log_scales[0][2] = bad,
                2 => gaussians.rotations[0] = [bad; 4],
                3 => gaussians.opacity_logits[0] = bad,
                _ => gaussians.sh[0][0] = bad,
            }
            let image = render(&gaussians, &view(), &RenderOptions::default()).unwrap();
            assert!(
                image.colour.iter().flatten().chain(&image.alpha).all(|x| x.is_finite()),
                "{kernel:?}: {bad} in {column}"
            );
        }
    }
    let mut short = scene(Kernel::Classic, 1);
    short.sh.pop();
    assert!(matches!(render(&short, &view(), &RenderOptions::default()), Err(Error::Length { name: "sh", .. })));
}
