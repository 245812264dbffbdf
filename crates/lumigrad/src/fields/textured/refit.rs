//! Texture and vertices that are learnt from photographs, through the rasteriser.

use super::photographs::Photographs;
use super::{BASE, Textured};
use crate::optimize::{encode, over};
use crate::train::{Shot, scores};
use crate::{Error, Result};
use lumigrad_core::map::{Map, srgb};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_optim::{Adam, Group, Schedule};
use lumigrad_raster::{Bindings, Camera, Frame, Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::{Scene, smooth_normals};
use lumigrad_splat::{Background, Image};

/// Rows and columns of a pixel's samples: photographs are means over pixels, a surface is not.
const SAMPLES: usize = 2;
/// Learning rates: of encoded colours, and of vertices in mean edges.
const COLOUR_RATE: f64 = 0.02;
const PLACE_RATE: f64 = 0.02;
/// Weight of how differently neighbours move, in squared mean edges.
const STIFFNESS: f64 = 2e-3;
/// Weight of opacities.
const ALPHA: f64 = 0.5;

/// How a surface is refitted.
pub struct Refit {
    /// Steps, a photograph each.
    pub steps: usize,
    /// Which photograph comes when.
    pub seed: u64,
}

/// A view of twice as many rows and columns.
pub fn doubled(view: &View) -> View {
    let n = SAMPLES;
    let intrinsics = view.intrinsics.map(|x| x * n as f64);
    View { intrinsics, width: n * view.width, height: n * view.height, ..view.clone() }
}

/// A camera whose range is that of the points that it could see.
pub fn camera(view: &View, positions: &[[f32; 3]], device: &Device) -> Result<Camera> {
    let depth = |p: &[f32; 3]| {
        let row = view.viewmat[2];
        row[0] * f64::from(p[0]) + row[1] * f64::from(p[1]) + row[2] * f64::from(p[2]) + row[3]
    };
    let (lo, hi) = positions.iter().map(depth).fold((f64::INFINITY, 0.0f64), |(lo, hi), d| (lo.min(d), hi.max(d)));
    let far = 1.1 * hi.max(1e-6);
    let near = (0.9 * lo).max(1e-4 * far);
    Ok(Camera::new(&View { near, far, ..view.clone() }, device, DType::F32)?)
}

/// The picture of a view: display-encoded colours over black, and alpha, [H, W, 4].
fn picture(frame: &Frame, view: &View, positions: &[[f32; 3]], device: &Device) -> Result<Var> {
    let image = frame.render(&camera(&doubled(view), positions, device)?)?.image;
    let (h, w, n) = (view.height, view.width, SAMPLES);
    let rows = image.reshape(&[h, n, n * w * 4])?.mean_axis(1)?;
    let mean = rows.reshape(&[h * w, n, 4])?.mean_axis(1)?.reshape(&[h, w, 4])?;
    Ok(encode(&mean)?)
}

/// A photograph as [`picture`] is: over black, with alpha; and how much its pixels count, [H, W, 1].
fn target(shot: &Shot, device: &Device) -> Result<(Tensor, Option<Tensor>)> {
    let alpha = |i: usize| shot.alpha.get(i).copied().unwrap_or(1.0);
    let pixels = shot.colour.iter().enumerate();
    let data: Vec<f32> = pixels.flat_map(|(i, c)| [c[0], c[1], c[2], 1.0].map(|x| x * alpha(i))).collect();
    let (h, w) = (shot.view.height, shot.view.width);
    let mask = match shot.mask.is_empty() {
        true => None,
        false => Some(Tensor::from_slice(device, &shot.mask, &[h, w, 1])?),
    };
    Ok((Tensor::from_slice(device, &data, &[h, w, 4])?, mask))
}

/// Linear RGBA [S, S, 4] of encoded colours [S, S, 3].
fn linear(colours: &Var) -> Result<Var> {
    let map = Map::cached("textured/linear", |m| {
        let [r, g, b] = m.item::<3>("colours").map(srgb::to_linear);
        m.output("linear", &[r, g, b, 1.0.into()]);
    });
    let &[h, w, _] = colours.shape() else { return Err(Error::job("a texture has three dimensions")) };
    Ok(map.apply(&[colours])?.remove(0).reshape(&[h, w, 4])?)
}

/// Pairs of vertices that share an edge.
fn edges(triangles: &[[u32; 3]]) -> [Vec<u32>; 2] {
    let sides = |t: &[u32; 3]| [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]];
    let mut all: Vec<[u32; 2]> = triangles.iter().flat_map(sides).map(|[a, b]| [a.min(b), a.max(b)]).collect();
    all.sort_unstable();
    all.dedup();
    [0, 1].map(|k| all.iter().map(|e| e[k]).collect())
}

/// Learns texture and vertices so that pictures of the surface are the photographs.
///
/// # Errors
/// Memory.
pub fn refit(mesh: &mut Textured, photographs: &Photographs, how: &Refit, device: &Device) -> Result<()> {
    let scene = mesh.scene()?;
    let renderer = Renderer::new(&scene, device, &Options::default())?;
    let size = mesh.atlas.size;
    let uncut = mesh.atlas.uncut();
    let edge = super::bake::mean_edge(&mesh.positions, &uncut);
    let n = mesh.positions.len();
    let start = Var::from(Tensor::from_slice(device, mesh.positions.as_flattened(), &[n, 3])?);
    let cut = Tensor::from_slice(device, &mesh.atlas.vertices, &[mesh.atlas.vertices.len()])?;
    let [a, b] = edges(&uncut).map(|list| Tensor::from_slice(device, &list, &[list.len()]));
    let (a, b) = (a?, b?);
    let mut colours = Tensor::from_slice(device, mesh.colours.as_flattened(), &[size, size, 3])?;
    // In edges of the mesh, from where they were.
    let mut moves = Tensor::zeros(device, DType::F32, &[n, 3])?;
    let group = |name: &str, rate: f64| Group { betas: (0.9, 0.99), ..Group::new(name, rate) };
    let texture = Group { bounds: (0.0, 1.0), masked: true, ..group("texture", COLOUR_RATE) };
    let mut adam = Adam::new(vec![texture, group("positions", PLACE_RATE)]);
    let schedule = Schedule::Exponential { end: 0.05 };
    let shots = &photographs.dataset.train;
    let targets = shots.iter().map(|s| target(s, device)).collect::<Result<Vec<_>>>()?;
    for step in 0..how.steps {
        let k = shuffled(step, shots.len(), how.seed);
        let (shot, (target, mask)) = (&shots[k], &targets[k]);
        let tape = Tape::new();
        let leaves = [tape.variable(colours.clone()), tape.variable(moves.clone())];
        let positions = start.add(&leaves[1].scale(edge)?)?;
        let mut bindings = Bindings::new();
        bindings.bind(BASE, linear(&leaves[0])?);
        bindings.bind("/meshes/0/primitives/0/attributes/POSITION", positions.gather(&cut)?);
        let frame = renderer.frame(&bindings)?;
        let seen = picture(&frame, &shot.view, &mesh.positions, device)?;
        let opaque = shot.alpha.is_empty();
        let [seen, wanted] = [&seen, &target.clone().into()].map(|p| over(p, photographs.background, opaque));
        let mut squares = seen?.sub(&wanted?)?.square()?;
        if let Some(mask) = mask {
            squares = squares.mul(&Var::from(mask.clone()).broadcast_to(squares.shape())?)?;
        }
        let (h, w) = (shot.view.height, shot.view.width);
        let flat = squares.reshape(&[h * w, 4])?;
        let loss = flat.slice(1, 0, 3)?.mean()?.add(&flat.slice(1, 3, 4)?.mean()?.scale(ALPHA)?)?;
        let bent = leaves[1].gather(&a)?.sub(&leaves[1].gather(&b)?)?.square()?.mean()?;
        let loss = loss.add(&bent.scale(STIFFNESS)?)?;
        let mut gradients = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = leaves.iter().map(|leaf| gradients.take(leaf)).collect();
        drop(leaves);
        let factor = schedule.factor_with_warm_up(step as f64 / how.steps as f64, 0.0);
        adam.step(&mut [&mut colours, &mut moves], &gradients, factor)?;
    }
    let positions = start.add(&Var::from(moves).scale(edge)?)?.tensor().to_vec::<f32>()?;
    mesh.positions = positions.as_chunks::<3>().0.to_vec();
    mesh.normals = smooth_normals(&mesh.positions, &uncut);
    mesh.colours = colours.to_vec::<f32>()?.as_chunks::<3>().0.to_vec();
    Ok(())
}

/// The photograph of a step: each comes once before any comes again.
fn shuffled(step: usize, n: usize, seed: u64) -> usize {
    let (round, at) = (step / n, step % n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&k| random::hash(seed ^ 0x9e7f, (round * n + k) as u64));
    order[at]
}

/// PSNR and SSIM of a scene's pictures of the held-out views, as those of the medium are scored.
///
/// # Errors
/// Memory.
pub fn scored(scene: &Scene, photographs: &Photographs, device: &Device) -> Result<(f64, f64)> {
    let renderer = Renderer::new(scene, device, &Options::default())?;
    let frame = renderer.frame(&Bindings::new())?;
    let positions = &renderer.geometry().host_positions;
    let mut images = vec![];
    for shot in photographs.dataset.scored() {
        let encoded = picture(&frame, &shot.view, positions, device)?;
        let shown = over(&encoded, photographs.background, false)?.tensor().to_vec::<f32>()?;
        let pixels = shown.as_chunks::<4>().0;
        images.push(Image {
            width: shot.view.width,
            height: shot.view.height,
            colour: pixels.iter().map(|p| [p[0], p[1], p[2]]).collect(),
            alpha: pixels.iter().map(|p| p[3]).collect(),
            ..Image::default()
        });
    }
    scores(&images, photographs.dataset.scored(), Background::Colour(photographs.background))
}
