//! Gradients of a job from pictures alone, as if our renderer had no derivatives.

use super::display::encode;
use super::run::Optimizer;
use super::variable::Variable;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use lumigrad_optim::method::Gradient;
use lumigrad_raster::Bindings;
use lumigrad_raster::stochastic::{ImageRenderer, Picture, Reach, TextureReach, Unknown, Visible, estimate};
use lumigrad_scene::ParameterKind;

/// ε of texels. Larger than their steps: near the target the sign of a difference says little.
const TEXEL: f64 = 0.1;
/// ε of positions, in pixels. Vertices that move out and in by turns have a larger outline than either, so the smoothed
/// loss is least for a shape that is smaller by a part of ε; antialiased edges answer to small moves.
const POINT: f64 = 0.25;

/// What is known of the optimised arrays in each view.
pub struct Estimator {
    /// For each view, for each array.
    unknowns: Vec<Vec<Unknown>>,
}

/// One view of the run's scene, by values of [`Variable::points`], motions and lenses.
struct View<'a, 'p> {
    optimizer: &'a Optimizer<'p>,
    number: usize,
    /// Values of arrays that keep still, which are not given.
    still: &'a [Option<Tensor>],
}

impl ImageRenderer for View<'_, '_> {
    type Error = Error;

    fn render(&mut self, values: &[Tensor]) -> Result<Picture> {
        let o = self.optimizer;
        let mut moved = values.iter();
        let all = self.still.iter().filter_map(|still| still.as_ref().or_else(|| moved.next()));
        let mut values = all.cloned().map(Var::from);
        let mut bindings = Bindings::new();
        for (variable, points) in o.variables.iter().zip(values.by_ref()) {
            variable.bind_points(&points, &mut bindings)?;
        }
        let motion = if o.moves_poses { values.next() } else { o.motion.clone().map(Var::from) };
        let lens = o.intrinsics.as_ref().and_then(|_| values.next());
        let viewmats = o.viewmats(motion.as_ref())?;
        let target = &o.problem.train[self.number];
        let camera = o.camera(target, self.number, viewmats.as_ref(), lens.as_ref())?;
        let mut picture = o.renderer.frame(&bindings)?.picture(&camera)?;
        picture.color = encode(&picture.color.into())?.tensor().clone();
        Ok(picture)
    }
}

impl Estimator {
    /// Renders each training view once, to find the mip levels that it shows.
    pub fn new(o: &Optimizer) -> Result<Self> {
        let points = points(o, &o.values())?;
        let views = 0..o.problem.train.len();
        let still = vec![None; points.len()];
        let unknowns = views.map(|number| {
            let picture = View { optimizer: o, number, still: &still }.render(&points)?;
            unknowns(o, number, &picture.layers)
        });
        Ok(Self { unknowns: unknowns.collect::<Result<_>>()? })
    }

    /// The mean loss of views and an estimate of its gradient: one draw for each view, and where shapes are optimised beside
    /// other things, one for either: what a moved edge does to a pixel would be noise to its texel.
    pub fn gradient(&self, o: &Optimizer, values: &[Tensor], views: &[usize]) -> Result<Gradient> {
        let points = points(o, values)?;
        let is_shape = |k: &usize| o.variables.get(*k).is_some_and(|v| v.is_geometry());
        let (shapes, others): (Vec<usize>, Vec<usize>) = (0..points.len()).partition(is_shape);
        let draws: Vec<Vec<usize>> = [shapes, others].into_iter().filter(|moving| !moving.is_empty()).collect();
        let share = 1.0 / views.len() as f64;
        let (mut loss, mut sums): (f64, Vec<Option<Var>>) = (0.0, vec![None; values.len()]);
        for (draw, moving) in draws.iter().enumerate() {
            let moves = |k: usize| moving.contains(&k);
            let still: Vec<Option<Tensor>> =
                points.iter().enumerate().map(|(k, p)| (!moves(k)).then(|| p.clone())).collect();
            let moved: Vec<Tensor> = moving.iter().map(|&k| points[k].clone()).collect();
            for &number in views {
                let target = &o.problem.train[number];
                let stream = o.settings.seed ^ ((number as u64) << 32) ^ ((draw as u64) << 62);
                let seed = random::hash(stream, o.iteration as u64);
                let of = |color: &Tensor| {
                    let (color, target_color) = o.compared(&color.clone().into(), number)?;
                    Ok(o.loss.per_pixel(color.tensor(), &target_color, target.mask.as_ref())?)
                };
                let unknowns: Vec<Unknown> = moving.iter().map(|&k| self.unknowns[number][k].clone()).collect();
                let drawn = estimate(&mut View { optimizer: o, number, still: &still }, &moved, &unknowns, of, seed)?;
                loss += share * drawn.loss / draws.len() as f64;
                for (&k, gradient) in moving.iter().zip(drawn.gradients) {
                    let part = match views.len() {
                        1 => gradient.into(),
                        _ => Var::from(gradient).scale(share)?,
                    };
                    sums[k] = Some(match sums[k].take() {
                        None => part,
                        Some(sum) => sum.add(&part)?,
                    });
                }
            }
        }
        let gradients = sums.into_iter().enumerate().map(|(k, sum)| {
            let gradient = sum.expect("at least one view").tensor().clone();
            Ok(Some(match o.variables.get(k) {
                Some(variable) => variable.pull_back(gradient)?,
                None => gradient,
            }))
        });
        Ok((loss, gradients.collect::<Result<_>>()?))
    }
}

/// What the arrays stand for in pictures.
fn points(o: &Optimizer, values: &[Tensor]) -> Result<Vec<Tensor>> {
    let points = values.iter().enumerate().map(|(k, value)| match o.variables.get(k) {
        Some(variable) => Ok(variable.points(&value.clone().into())?.tensor().clone()),
        None => Ok(value.clone()),
    });
    points.collect()
}

/// Reaches and steps of the arrays in a view.
fn unknowns(o: &Optimizer, number: usize, layers: &[Visible]) -> Result<Vec<Unknown>> {
    let view = &o.problem.train[number].view;
    let (centre, _) = super::problem::bounds(&o.base)?;
    let eye = view.centre();
    let distance = (0..3).map(|k| (eye[k] - centre[k]).powi(2)).sum::<f64>().sqrt();
    // Sizes of a pixel, as an angle and in the scene.
    let angle = 1.0 / view.intrinsics[0].max(1.0);
    let pixel = distance * angle;
    let of = |v: &Variable| -> Result<Unknown> {
        let step = match v.parameter.kind {
            ParameterKind::Position | ParameterKind::Translation => POINT * pixel,
            ParameterKind::Texture { .. } => TEXEL,
            _ => v.rate,
        };
        let rows = v.rows()?;
        let mut unknown = o.renderer.unknown(&v.pointers(), step, view.width, rows.as_deref())?;
        unknown.bounds = v.bounds();
        unknown.encoded = matches!(v.parameter.kind, ParameterKind::Texture { srgb: true, .. });
        if let Reach::Texture(texture) = unknown.reach {
            unknown.reach = Reach::Texture(texture.units_of(layers, TextureReach::SCALES)?);
        }
        Ok(unknown)
    };
    let mut all = o.variables.iter().map(of).collect::<Result<Vec<_>>>()?;
    let rest = |reach: Reach, step: f64| Unknown {
        reach,
        step,
        encoded: false,
        bounds: (f64::NEG_INFINITY, f64::INFINITY),
        columns: vec![],
    };
    if o.moves_poses {
        all.push(rest(Reach::Rows(number..number + 1), angle));
    }
    if let Some(intrinsics) = &o.intrinsics {
        let lens = intrinsics.lens_of(number);
        all.push(rest(Reach::Rows(lens..lens + 1), 1.0 / view.width as f64));
    }
    Ok(all)
}
