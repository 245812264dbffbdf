//! The steps of rendering by themselves: derivatives of each.

use lumigrad_core::{Device, Error, Result, Tensor, Var};
use lumigrad_raster::modular::{Lights, Points, antialias, interpolate, rasterize, sample_texture, shade};
use lumigrad_raster::render::neighbours;
use lumigrad_raster::shading::Prefilter;
use lumigrad_raster::shading::lights::{column, kind};
use lumigrad_scene::{Filter, Sampler, Wrap};
use lumigrad_testkit::{Check, real, real_in};

const SIZE: usize = 12;
const TRIANGLES: [[u32; 3]; 3] = [[0, 1, 2], [1, 3, 2], [4, 5, 6]];

fn core<T>(r: lumigrad_raster::Result<T>) -> Result<T> {
    r.map_err(|e| match e {
        lumigrad_raster::Error::Core(e) => e,
        other => Error::shape("the renderer", &[], other.to_string()),
    })
}

/// A quad and a nearer triangle in perspective, clip space.
fn clip() -> Tensor {
    let points: [[f64; 4]; 7] = [
        [-0.83, -0.91, 0.6, 1.1],
        [0.94, -0.72, 0.9, 1.4],
        [-0.77, 0.86, 0.7, 1.0],
        [1.21, 1.13, 1.2, 1.6],
        [-0.31, -0.42, 0.1, 0.8],
        [0.38, -0.13, 0.1, 0.9],
        [0.07, 0.47, 0.1, 0.7],
    ];
    Tensor::from_slice(&Device::cpu(), points.as_flattened(), &[7, 4]).unwrap()
}

fn triangles(device: &Device, rows: &[[u32; 3]]) -> Tensor {
    Tensor::from_slice(device, rows.as_flattened(), &[rows.len(), 3]).unwrap()
}

/// Interpolated attributes, their derivatives, and the blended picture of them.
fn picture(x: &[Var]) -> lumigrad_raster::Result<Vec<Var>> {
    let (clip, attributes) = (&x[0], &x[1]);
    let device = clip.device();
    let list = triangles(device, &TRIANGLES);
    let flags = Tensor::from_slice(device, &[1u32; 3], &[3])?;
    let layer = rasterize(clip.tensor(), &list, &flags, SIZE, SIZE, None)?;
    let at = interpolate(attributes, clip, &list, &layer)?;
    let edges = triangles(device, &neighbours(&TRIANGLES, &[0, 1, 2, 3, 4, 5, 6]));
    let smooth = antialias(&at.values, &layer, clip, &list, &edges)?;
    Ok(vec![at.values, at.dx, at.dy, smooth])
}

#[test]
fn interpolation_and_blending_have_exact_derivatives() {
    Check::new("picture", |x| core(picture(x))).run(&[clip(), real(&[7, 4], 2)]);
}

#[test]
fn screen_derivatives_are_differences_of_neighbouring_pixels() {
    // One plane, attributes linear in the picture (w = 1): differences are exact.
    let corners: [[f64; 4]; 3] = [[-3.0, -3.0, 0.5, 1.0], [3.0, -3.0, 0.5, 1.0], [0.0, 4.0, 0.5, 1.0]];
    let cpu = Device::cpu();
    let clip = Tensor::from_slice(&cpu, corners.as_flattened(), &[3, 4]).unwrap();
    let list = triangles(&cpu, &[[0, 1, 2]]);
    let flags = Tensor::from_slice(&cpu, &[1u32], &[1]).unwrap();
    let layer = rasterize(&clip, &list, &flags, SIZE, SIZE, None).unwrap();
    let at = interpolate(&real(&[3, 2], 5).into(), &clip.into(), &list, &layer).unwrap();
    let [v, dx, dy] = [&at.values, &at.dx, &at.dy].map(|t| t.tensor().to_f64_vec().unwrap());
    for i in 0..2 * SIZE * (SIZE - 1) {
        if i / 2 % SIZE + 1 < SIZE {
            assert!((v[i + 2] - v[i] - dx[i]).abs() < 1e-12);
        }
        assert!((v[i + 2 * SIZE] - v[i] - dy[i]).abs() < 1e-12);
    }
}

#[test]
fn textures_have_derivatives_in_every_mode() {
    let wraps = [Wrap::Repeat, Wrap::MirroredRepeat, Wrap::ClampToEdge];
    for (k, wrap) in wraps.into_iter().enumerate() {
        for mip in [Some(Filter::Linear), Some(Filter::Nearest), None] {
            let sampler = Sampler { wrap_s: wrap, wrap_t: wraps[(k + 1) % 3], mip, ..Sampler::default() };
            let inputs = [real(&[6, 5, 4], 1), real_in(&[40, 2], 2, -1.5, 2.5), real_in(&[40, 2], 3, 0.1, 0.9)];
            // Bilinear weights are rounded relative to the whole texture.
            Check::new("texture", |x| {
                let a = core(sample_texture(&x[0], &x[1], Some((&x[2], &x[2])), &sampler))?;
                Ok(vec![a, core(sample_texture(&x[0], &x[1], None, &sampler))?])
            })
            .f32_tolerance(1e-3)
            .run(&inputs);
        }
    }
}

#[test]
fn points_are_shaded_with_derivatives_to_everything() {
    let mut light = real_in(&[1, column::COUNT], 7, 0.5, 1.0).to_f64_vec().unwrap();
    (light[column::RANGE], light[column::POSITION + 2]) = (9.0, 2.0);
    let light = Tensor::from_slice(&Device::cpu(), &light, &[1, column::COUNT]).unwrap();
    let n = 30;
    let towards = |seed| {
        let flat = real(&[n, 3], seed).to_f64_vec().unwrap();
        let up: Vec<f64> = flat.chunks(3).flat_map(|v| [0.4 * v[0], 0.4 * v[1], 1.0]).collect();
        Tensor::from_slice(&Device::cpu(), &up, &[n, 3]).unwrap()
    };
    let inputs = [
        real(&[n, 3], 1),
        towards(2),
        towards(3),
        real_in(&[n, 3], 4, 0.2, 0.9),
        real_in(&[n, 2], 5, 0.4, 0.9),
        light,
        real_in(&[4, 8, 3], 6, 0.2, 1.0),
    ];
    Check::new("shade", |x| {
        let kinds = Tensor::from_slice(x[0].device(), &[kind::POINT], &[1, 1])?;
        let environment = Prefilter::new(4, 8, x[0].device(), x[0].dtype())?.apply(&x[6])?;
        let [position, normal, view, base_color, metallic_roughness] = [0, 1, 2, 3, 4].map(|k| &x[k]);
        let points = Points { position, normal, view, base_color, metallic_roughness };
        Ok(vec![core(shade(points, Some(Lights { table: &x[5], kinds: &kinds }), Some(&environment)))?])
    })
    .f32_tolerance(1e-3)
    .run(&inputs);
}
