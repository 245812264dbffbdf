//! Optimises the texture and the heights of what a renderer without derivatives draws. All that lumigrad sees of it is the
//! trait [`ImageRenderer`]: pictures with the triangle and the texture coordinates at each pixel.
//!
//! `cargo run --release -p lumigrad --example outside_renderer`

use lumigrad::core::{Device, Map, Tensor};
use lumigrad::optim::{Adam, Group};
use lumigrad::raster::stochastic::{Column, ImageRenderer, Picture, Reach, TextureReach, Unknown, Visible, estimate};
use lumigrad::raster::{Error, Result};

const SIZE: usize = 48;
const TEXELS: usize = 12;
/// Quads of the sheet along a side.
const QUADS: usize = 6;
/// Views, radians about the vertical axis.
const ANGLES: [f32; 4] = [-0.9, -0.3, 0.3, 0.9];

/// A scan-line rasteriser: a textured sheet in parallel projection, turned about the vertical axis. No derivatives.
struct Scanline {
    triangles: Vec<[usize; 3]>,
    texcoords: Vec<[f32; 2]>,
    angle: f32,
}

impl Scanline {
    fn new() -> Self {
        let corner = |i: usize| [(i % (QUADS + 1)) as f32 / QUADS as f32, (i / (QUADS + 1)) as f32 / QUADS as f32];
        let quads = (0..QUADS * (QUADS + 1)).filter(|i| i % (QUADS + 1) < QUADS);
        let triangles = quads.flat_map(|i| [[i, i + 1, i + QUADS + 2], [i, i + QUADS + 2, i + QUADS + 1]]).collect();
        Self { triangles, texcoords: (0..(QUADS + 1) * (QUADS + 1)).map(corner).collect(), angle: 0.0 }
    }

    /// A flat sheet, or one with a bump.
    fn positions(&self, bump: f32) -> Vec<f32> {
        let at = |[u, v]: &[f32; 2]| {
            let (x, y) = (1.4 * u - 0.7, 1.4 * v - 0.7);
            [x, y, bump * (-6.0 * (x * x + y * y)).exp()]
        };
        self.texcoords.iter().flat_map(at).collect()
    }

    /// Fills a triangle row by row; gives pixel, depth and texture coordinates to `plot`.
    fn fill(corners: [[f32; 3]; 3], uv: [[f32; 2]; 3], mut plot: impl FnMut(usize, f32, [f32; 2])) {
        let [a, b, c] = corners;
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        let clamp = |x: f32| x.clamp(0.0, SIZE as f32) as usize;
        let (low, high) = (a[1].min(b[1]).min(c[1]), a[1].max(b[1]).max(c[1]));
        for y in clamp((low - 0.5).ceil())..clamp((high - 0.5).ceil()) {
            let py = y as f32 + 0.5;
            let mut span = [f32::INFINITY, f32::NEG_INFINITY];
            for [p, q] in [[a, b], [b, c], [c, a]] {
                if (p[1] <= py) != (q[1] <= py) {
                    let x = p[0] + (py - p[1]) / (q[1] - p[1]) * (q[0] - p[0]);
                    span = [span[0].min(x), span[1].max(x)];
                }
            }
            for x in clamp((span[0] - 0.5).ceil())..clamp((span[1] - 0.5).ceil()) {
                let px = x as f32 + 0.5;
                let weight = |p: [f32; 3], q: [f32; 3]| ((q[0] - px) * (p[1] - py) - (p[0] - px) * (q[1] - py)) / -area;
                let w = [weight(b, c), weight(c, a), weight(a, b)];
                let mix = |values: [f32; 3]| (0..3).map(|k| w[k] * values[k]).sum::<f32>();
                plot(y * SIZE + x, mix([a[2], b[2], c[2]]), [mix(uv.map(|t| t[0])), mix(uv.map(|t| t[1]))]);
            }
        }
    }
}

impl ImageRenderer for Scanline {
    type Error = Error;

    fn render(&mut self, values: &[Tensor]) -> Result<Picture> {
        let (positions, texels) = (values[0].to_vec::<f32>()?, values[1].to_vec::<f32>()?);
        let (sin, cos) = self.angle.sin_cos();
        let project = |v: usize| {
            let [x, y, z] = [0, 1, 2].map(|k| positions[3 * v + k]);
            [(0.5 + 0.6 * (cos * x + sin * z)) * SIZE as f32, (0.5 + 0.6 * y) * SIZE as f32, cos * z - sin * x]
        };
        let mut color = vec![0.0f32; SIZE * SIZE * 4];
        let (mut numbers, mut places) = (vec![0u32; SIZE * SIZE], vec![0.0f32; SIZE * SIZE * 4]);
        let mut nearest = vec![f32::NEG_INFINITY; SIZE * SIZE];
        for (number, triangle) in self.triangles.iter().enumerate() {
            let uv = triangle.map(|v| self.texcoords[v]);
            Self::fill(triangle.map(project), uv, |pixel, depth, [u, v]| {
                if depth <= nearest[pixel] {
                    return;
                }
                nearest[pixel] = depth;
                numbers[pixel] = number as u32 + 1;
                places[4 * pixel..4 * pixel + 4].copy_from_slice(&[u, v, u, v]);
                let at = |x: f32| (x.clamp(0.0, 0.999) * TEXELS as f32) as usize;
                let texel = 4 * (at(v) * TEXELS + at(u));
                color[4 * pixel..4 * pixel + 4].copy_from_slice(&texels[texel..texel + 4]);
            });
        }
        let cpu = Device::cpu();
        let layer = Visible {
            triangles: Tensor::from_slice(&cpu, &numbers, &[SIZE * SIZE])?,
            texcoords: Tensor::from_slice(&cpu, &places, &[SIZE * SIZE, 4])?,
        };
        Ok(Picture { color: Tensor::from_slice(&cpu, &color, &[SIZE, SIZE, 4])?, layers: vec![layer] })
    }
}

/// Squared distance of each channel from its target.
fn squared_distance(color: &Tensor, target: &Tensor) -> Result<Tensor> {
    let map = Map::cached("example/squared distance", |m| {
        let (a, b) = (m.item::<4>("color"), m.item::<4>("target"));
        m.output("loss", &[0, 1, 2, 3].map(|k| (a[k] - b[k]).square()));
    });
    Ok(map.run(&[color, target], &Default::default())?.remove(0))
}

/// The mean over all views.
fn loss(renderer: &mut Scanline, values: &[Tensor], targets: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for (angle, target) in ANGLES.into_iter().zip(targets) {
        renderer.angle = angle;
        let pixels = squared_distance(&renderer.render(values)?.color, target)?;
        sum += pixels.to_vec::<f32>()?.iter().map(|&x| x as f64).sum::<f64>();
    }
    Ok(sum / ANGLES.len() as f64)
}

/// The loss at the start and at the end.
fn run(steps: u64) -> Result<(f64, f64)> {
    let cpu = Device::cpu();
    let mut renderer = Scanline::new();
    let rows = renderer.texcoords.len();
    let array = |data: &[f32], shape: &[usize]| Tensor::from_slice(&cpu, data, shape);
    let checks = |i: usize| {
        if (i % TEXELS / 3 + i / TEXELS / 3).is_multiple_of(2) { [0.9, 0.6, 0.1, 1.0] } else { [0.1, 0.2, 0.5, 1.0] }
    };
    let painted: Vec<f32> = (0..TEXELS * TEXELS).flat_map(checks).collect();
    let truth = [array(&renderer.positions(0.5), &[rows, 3])?, array(&painted, &[TEXELS, TEXELS, 4])?];
    let mut targets = vec![];
    for angle in ANGLES {
        renderer.angle = angle;
        targets.push(renderer.render(&truth)?.color);
    }

    let corners: Vec<u32> = renderer.triangles.iter().flatten().map(|&v| v as u32).collect();
    let n = renderer.triangles.len();
    let mut texture =
        TextureReach::new(array(&vec![1.0; n], &[n])?.cast(lumigrad::core::DType::U32)?, (TEXELS, TEXELS), SIZE)?;
    texture.sampler.mip = None;
    let corners = Tensor::from_slice(&cpu, &corners, &[n, 3])?;
    let everywhere = (f64::NEG_INFINITY, f64::INFINITY);
    let unknowns = [
        Unknown {
            reach: Reach::Vertices { corners, rows },
            step: 0.03,
            encoded: false,
            bounds: everywhere,
            columns: vec![Column::Nothing, Column::Nothing, Column::Everything],
        },
        Unknown {
            reach: Reach::Texture(texture),
            step: 0.1,
            encoded: false,
            bounds: (0.0, 1.0),
            columns: vec![Column::Channel(0), Column::Channel(1), Column::Channel(2), Column::Nothing],
        },
    ];
    let mut positions = array(&renderer.positions(0.0), &[rows, 3])?;
    let mut texels = array(&[0.5f32, 0.5, 0.5, 1.0].repeat(TEXELS * TEXELS), &[TEXELS, TEXELS, 4])?;
    let mut adam = Adam::new(vec![Group::new("positions", 0.004), Group::new("texels", 0.02)]);
    let first = loss(&mut renderer, &[positions.clone(), texels.clone()], &targets)?;
    for step in 0..steps {
        let view = step as usize % ANGLES.len();
        renderer.angle = ANGLES[view];
        let values = [positions.clone(), texels.clone()];
        let found = estimate(&mut renderer, &values, &unknowns, |c| squared_distance(c, &targets[view]), step)?;
        let gradients: Vec<_> = found.gradients.into_iter().map(Some).collect();
        let factor = 1.0 - 0.9 * step as f64 / steps as f64;
        adam.step(&mut [&mut positions, &mut texels], &gradients, factor).expect("gradients have the arrays' shapes");
    }
    Ok((first, loss(&mut renderer, &[positions, texels], &targets)?))
}

fn main() -> Result<()> {
    let (first, last) = run(2000)?;
    println!("squared distance {first:.1} at the start, {last:.2} at the end");
    Ok(())
}

#[test]
fn an_outside_renderer_is_optimised() {
    let (first, last) = run(600).unwrap();
    assert!(last < 0.35 * first, "{first} -> {last}");
}
