//! Texture and vertices that are learnt from photographs, through the rasteriser.

use super::photographs::Photographs;
use super::{BASE, Textured};
use crate::Result;
use crate::optimize::{encode, over};
use crate::train::{Shot, scores};
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
///
/// # Errors
/// Memory.
pub fn picture(frame: &Frame, view: &View, positions: &[[f32; 3]], device: &Device) -> Result<Var> {
    let image = frame.render(&camera(&doubled(view), positions, device)?)?.image;
    let (h, w, n) = (view.height, view.width, SAMPLES);
    let rows = image.reshape(&[h, n, n * w * 4])?.mean_axis(1)?;
    let mean = rows.reshape(&[h * w, n, 4])?.mean_axis(1)?.reshape(&[h, w, 4])?;
    Ok(encode(&mean)?)
}

/// A photograph as pictures of surfaces are compared with it.
pub struct Target {
    view: View,
    /// Over black, with alpha, [H, W, 4].
    picture: Tensor,
    /// How much its pixels count, [H, W, 1]; none: all do.
    mask: Option<Tensor>,
    opaque: bool,
}

impl Target {
    /// Of a photograph.
    ///
    /// # Errors
    /// Memory.
    pub fn new(shot: &Shot, device: &Device) -> Result<Self> {
        let alpha = |i: usize| shot.alpha.get(i).copied().unwrap_or(1.0);
        let pixels = shot.colour.iter().enumerate();
        let data: Vec<f32> = pixels.flat_map(|(i, c)| [c[0], c[1], c[2], 1.0].map(|x| x * alpha(i))).collect();
        let (h, w) = (shot.view.height, shot.view.width);
        let mask = match shot.mask.is_empty() {
            true => None,
            false => Some(Tensor::from_slice(device, &shot.mask, &[h, w, 1])?),
        };
        let picture = Tensor::from_slice(device, &data, &[h, w, 4])?;
        Ok(Self { view: shot.view.clone(), picture, mask, opaque: shot.alpha.is_empty() })
    }

    /// The mean squared difference to the picture of a surface whose vertices are about at `positions`: of encoded colours over
    /// the background, and of opacities, shape [].
    ///
    /// # Errors
    /// Memory.
    pub fn difference(&self, frame: &Frame, positions: &[[f32; 3]], background: [f32; 3]) -> Result<Var> {
        let seen = picture(frame, &self.view, positions, self.picture.device())?;
        let [seen, wanted] = [&seen, &self.picture.clone().into()].map(|p| over(p, background, self.opaque));
        let mut squares = seen?.sub(&wanted?)?.square()?;
        if let Some(mask) = &self.mask {
            squares = squares.mul(&Var::from(mask.clone()).broadcast_to(squares.shape())?)?;
        }
        let flat = squares.reshape(&[self.view.height * self.view.width, 4])?;
        Ok(flat.slice(1, 0, 3)?.mean()?.add(&flat.slice(1, 3, 4)?.mean()?.scale(ALPHA)?)?)
    }
}

/// Linear RGBA […, 4] of encoded colours […, 3].
///
/// # Errors
/// Memory.
pub fn linear(colours: &Var) -> Result<Var> {
    let map = Map::cached("textured/linear", |m| {
        let [r, g, b] = m.item::<3>("colours").map(srgb::to_linear);
        m.output("linear", &[r, g, b, 1.0.into()]);
    });
    let mut shape = colours.shape().to_vec();
    if let Some(n) = shape.last_mut() {
        *n = 4;
    }
    Ok(map.apply(&[colours])?.remove(0).reshape(&shape)?)
}

/// Pairs of vertices that share an edge.
fn edges(triangles: &[[u32; 3]]) -> [Vec<u32>; 2] {
    let sides = |t: &[u32; 3]| [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]];
    let mut all: Vec<[u32; 2]> = triangles.iter().flat_map(sides).map(|[a, b]| [a.min(b), a.max(b)]).collect();
    all.sort_unstable();
    all.dedup();
    [0, 1].map(|k| all.iter().map(|e| e[k]).collect())
}

/// A surface whose texture and vertices are learnt.
pub struct Fitted {
    renderer: Renderer,
    /// Mean length of its edges.
    edge: f64,
    /// Vertices at the start, [V, 3], and there on the host.
    start: Var,
    positions: Vec<[f32; 3]>,
    /// The vertex that each vertex of the atlas was.
    cut: Tensor,
    /// Both ends of all edges.
    ends: [Tensor; 2],
}

impl Fitted {
    /// Before the first step.
    ///
    /// # Errors
    /// Memory; numbers that are not finite.
    pub fn new(mesh: &Textured, device: &Device) -> Result<Self> {
        let uncut = mesh.atlas.uncut();
        let [a, b] = edges(&uncut).map(|list| Tensor::from_slice(device, &list, &[list.len()]));
        let start = Tensor::from_slice(device, mesh.positions.as_flattened(), &[mesh.positions.len(), 3])?;
        Ok(Self {
            renderer: Renderer::new(&mesh.scene()?, device, &Options::default())?,
            edge: super::bake::mean_edge(&mesh.positions, &uncut),
            start: start.into(),
            positions: mesh.positions.clone(),
            cut: Tensor::from_slice(device, &mesh.atlas.vertices, &[mesh.atlas.vertices.len()])?,
            ends: [a?, b?],
        })
    }

    /// How far encoded colours [S, S, 3] are from a photograph on vertices that moved from where they were, [V, 3] in mean
    /// edges, and how differently neighbours moved, shape [].
    ///
    /// # Errors
    /// Memory.
    pub fn loss(&self, colours: &Var, moves: &Var, target: &Target, background: [f32; 3]) -> Result<Var> {
        let positions = self.start.add(&moves.scale(self.edge)?)?;
        let mut bindings = Bindings::new();
        bindings.bind(BASE, linear(colours)?);
        bindings.bind("/meshes/0/primitives/0/attributes/POSITION", positions.gather(&self.cut)?);
        let loss = target.difference(&self.renderer.frame(&bindings)?, &self.positions, background)?;
        let [a, b] = &self.ends;
        let bent = moves.gather(a)?.sub(&moves.gather(b)?)?.square()?.mean()?;
        Ok(loss.add(&bent.scale(STIFFNESS)?)?)
    }

    /// The surface with encoded colours and moved vertices.
    ///
    /// # Errors
    /// Memory.
    pub fn store(&self, colours: &Tensor, moves: &Tensor, mesh: &mut Textured) -> Result<()> {
        let positions = self.start.add(&Var::from(moves.clone()).scale(self.edge)?)?.tensor().to_vec::<f32>()?;
        mesh.positions = positions.as_chunks::<3>().0.to_vec();
        mesh.normals = smooth_normals(&mesh.positions, &mesh.atlas.uncut());
        mesh.colours = colours.to_vec::<f32>()?.as_chunks::<3>().0.to_vec();
        Ok(())
    }
}

/// Learns texture and vertices so that pictures of the surface are the photographs.
///
/// # Errors
/// Memory.
pub fn refit(mesh: &mut Textured, photographs: &Photographs, how: &Refit, device: &Device) -> Result<()> {
    let fitted = Fitted::new(mesh, device)?;
    let size = mesh.atlas.size;
    let mut colours = Tensor::from_slice(device, mesh.colours.as_flattened(), &[size, size, 3])?;
    let mut moves = Tensor::zeros(device, DType::F32, &[mesh.positions.len(), 3])?;
    let group = |name: &str, rate: f64| Group { betas: (0.9, 0.99), ..Group::new(name, rate) };
    let texture = Group { bounds: (0.0, 1.0), masked: true, ..group("texture", COLOUR_RATE) };
    let mut adam = Adam::new(vec![texture, group("positions", PLACE_RATE)]);
    let schedule = Schedule::Exponential { end: 0.05 };
    let shots = &photographs.dataset.train;
    let targets = shots.iter().map(|s| Target::new(s, device)).collect::<Result<Vec<_>>>()?;
    for step in 0..how.steps {
        let target = &targets[shuffled(step, shots.len(), how.seed)];
        let tape = Tape::new();
        let leaves = [tape.variable(colours.clone()), tape.variable(moves.clone())];
        let loss = fitted.loss(&leaves[0], &leaves[1], target, photographs.background)?;
        let mut gradients = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = leaves.iter().map(|leaf| gradients.take(leaf)).collect();
        drop(leaves);
        let factor = schedule.factor_with_warm_up(step as f64 / how.steps as f64, 0.0);
        adam.step(&mut [&mut colours, &mut moves], &gradients, factor)?;
    }
    fitted.store(&colours, &moves, mesh)
}

/// The photograph of a step: each comes once before any comes again.
pub fn shuffled(step: usize, n: usize, seed: u64) -> usize {
    let (round, at) = (step / n, step % n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&k| random::hash(seed ^ 0x9e7f, (round * n + k) as u64));
    order[at]
}

/// A scene's pictures of the views of photographs, over the background.
///
/// # Errors
/// Memory.
pub fn pictures<'a>(
    scene: &Scene,
    shots: impl IntoIterator<Item = &'a Shot>,
    background: [f32; 3],
    device: &Device,
) -> Result<Vec<Image>> {
    let renderer = Renderer::new(scene, device, &Options::default())?;
    let frame = renderer.frame(&Bindings::new())?;
    let positions = &renderer.geometry().host_positions;
    let image = |shot: &Shot| {
        let encoded = picture(&frame, &shot.view, positions, device)?;
        let shown = over(&encoded, background, false)?.tensor().to_vec::<f32>()?;
        let pixels = shown.as_chunks::<4>().0;
        Ok(Image {
            width: shot.view.width,
            height: shot.view.height,
            colour: pixels.iter().map(|p| [p[0], p[1], p[2]]).collect(),
            alpha: pixels.iter().map(|p| p[3]).collect(),
            ..Image::default()
        })
    };
    shots.into_iter().map(image).collect()
}

/// PSNR and SSIM of a scene's pictures of the held-out views, as those of the medium are scored.
///
/// # Errors
/// Memory.
pub fn scored(scene: &Scene, photographs: &Photographs, device: &Device) -> Result<(f64, f64)> {
    let (shots, background) = (photographs.dataset.scored(), photographs.background);
    scores(&pictures(scene, shots, background, device)?, shots, Background::Colour(background))
}
