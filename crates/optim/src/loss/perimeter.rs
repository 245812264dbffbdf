//! Ginzburg–Landau energies: the length of the boundary of a segment, on pictures and on surfaces, and its fast descent.

use crate::Result;
use crate::conjugate_gradients::conjugate_gradients;
use crate::vectors::{add_product, add_scaled, dot, product, scaled};
use lumigrad_core::{CallParams, Device, Error as CoreError, Map, Tensor, Var};
use std::collections::BTreeMap;

/// c₀ = 2√2/3: [`PhaseField::energy`] of a set tends to c₀ times its perimeter as ε → 0.
pub const PERIMETER: f64 = 0.942_809_041_582_063_4;

/// A domain on whose points a phase u ∈ [−1, 1] lives: −1 outside, 1 inside of a segment.
///
/// E(u) = ∫ ε/2 |∇u|² + W(u)/ε, W(u) = (1 − u²)²/4. Interfaces are tanh(x / √2ε) wide: ε of two to four distances between
/// points resolves them. Lengths are in pixels on a grid, in the positions' unit on a surface.
#[derive(Clone, Debug)]
pub struct PhaseField {
    /// Both ends of each edge, u32 [E, 2].
    edges: Tensor,
    /// Weight of each edge's squared difference, f32 [E, 1].
    weights: Tensor,
    /// Area of each point, f32 [N, 1].
    areas: Tensor,
}

/// How [`PhaseField::segment`] proceeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentOptions {
    /// Width of interfaces.
    pub epsilon: f64,
    /// Weight μ of ½∫(u − f)², which holds the phase to its data f; 0: the perimeter alone.
    pub fidelity: f64,
    /// Steps.
    pub iterations: usize,
    /// Length of a step; `None`: the longest that is stable, 1 / (2/ε + μ).
    pub step: Option<f64>,
    /// Nesterov's momentum, restarted where the energy rises; false: plain gradient flow.
    pub momentum: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { epsilon: 2.0, fidelity: 1.0, iterations: 100, step: None, momentum: true }
    }
}

impl PhaseField {
    /// The pixels of a picture, row by row, each with its four neighbours.
    ///
    /// # Errors
    /// Those of the device.
    pub fn grid(device: &Device, height: usize, width: usize) -> Result<Self> {
        let at = |y: usize, x: usize| (y * width + x) as u32;
        let right = (0..height).flat_map(|y| (1..width).map(move |x| [at(y, x - 1), at(y, x)]));
        let down = (1..height).flat_map(|y| (0..width).map(move |x| [at(y - 1, x), at(y, x)]));
        let edges: Vec<([u32; 2], f32)> = right.chain(down).map(|e| (e, 1.0)).collect();
        Self::new(device, &edges, &vec![1.0; height * width])
    }

    /// The vertices of a triangle mesh, with cotangent weights (Pinkall & Polthier 1993; at least 0) and a third of the
    /// triangles' areas.
    ///
    /// # Errors
    /// A triangle names a vertex that is not there.
    pub fn surface(device: &Device, positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<Self> {
        let n = positions.len();
        let (mut weights, mut areas) = (BTreeMap::<[u32; 2], f64>::new(), vec![0f32; n]);
        for t in triangles {
            if t.iter().any(|&v| v as usize >= n) {
                return Err(CoreError::shape("the positions", &[n, 3], format!("the vertices of {t:?}")).into());
            }
            let p = t.map(|v| positions[v as usize].map(f64::from));
            let edge = |a: usize, b: usize| [0, 1, 2].map(|k| p[b][k] - p[a][k]);
            let inner = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
            let (u, v) = (edge(0, 1), edge(0, 2));
            let double_area = (inner(u, u) * inner(v, v) - inner(u, v).powi(2)).max(0.0).sqrt();
            for k in 0..3 {
                let (a, b) = ((k + 1) % 3, (k + 2) % 3);
                areas[t[k] as usize] += (double_area / 6.0) as f32;
                let cotangent = inner(edge(k, a), edge(k, b)) / double_area.max(1e-30);
                *weights.entry([t[a].min(t[b]), t[a].max(t[b])]).or_default() += 0.5 * cotangent;
            }
        }
        let edges: Vec<([u32; 2], f32)> = weights.into_iter().map(|(e, w)| (e, w.max(0.0) as f32)).collect();
        Self::new(device, &edges, &areas)
    }

    fn new(device: &Device, edges: &[([u32; 2], f32)], areas: &[f32]) -> Result<Self> {
        let ends: Vec<u32> = edges.iter().flat_map(|e| e.0).collect();
        let weights: Vec<f32> = edges.iter().map(|e| e.1).collect();
        Ok(Self {
            edges: Tensor::from_slice(device, &ends, &[edges.len(), 2])?,
            weights: Tensor::from_slice(device, &weights, &[edges.len(), 1])?,
            areas: Tensor::from_slice(device, areas, &[areas.len(), 1])?,
        })
    }

    /// E(u) of a phase with one element per point, shape []: a regulariser of masks, for which u = 2m − 1.
    ///
    /// **Gradients**: exact, of both modes. **Cost**: edges and points are read once.
    ///
    /// # Errors
    /// When the phase has another number of elements.
    pub fn energy(&self, phase: &Var, epsilon: f64) -> Result<Var> {
        let n = self.areas.len();
        if phase.len() != n {
            return Err(CoreError::shape("the phase", phase.shape(), format!("{n} elements, one per point")).into());
        }
        let phase = phase.reshape(&[n, 1])?;
        let slopes = Map::cached("optim/phase_slopes", |m| {
            let ([a, b], [w]) = (m.item_int("edges"), m.item("weights"));
            let table = m.table::<1>("phase");
            let ([x], [y]) = (table.fetch(a), table.fetch(b));
            m.sum("slopes", &[0.5 * w * (x - y).square()]);
        });
        let wells = Map::cached("optim/phase_wells", |m| {
            let ([area], [u]) = (m.item("areas"), m.item("phase"));
            m.sum("wells", &[0.25 * area * (1.0 - u.square()).square()]);
        });
        let real = |t: &Tensor| t.cast(phase.dtype()).map(Var::from);
        let slopes = slopes.apply(&[&self.edges.clone().into(), &real(&self.weights)?, &phase])?.remove(0);
        let wells = wells.apply(&[&real(&self.areas)?, &phase])?.remove(0);
        Ok(slopes.scale(epsilon)?.add(&wells.scale(1.0 / epsilon)?)?.reshape(&[])?)
    }

    /// Minimises E(u) + μ/2 ∫(u − f)² from the data f, one element per point, cut to [−1, 1]. Gives the phase, like f, and the energies
    /// before each step and at the end.
    ///
    /// Steps are semi-implicit: diffusion is inverted, by conjugate gradients, so that their length does not depend on the
    /// distance of points; wells and data are explicit, at a point ahead of the present one. **Source**: "Momentum-based
    /// minimization of the Ginzburg–Landau functional on Euclidean spaces and graphs" (2025). **Cost**: some twenty passes
    /// over the edges per step.
    ///
    /// # Errors
    /// When the data have another number of elements.
    pub fn segment(&self, data: &Tensor, options: &SegmentOptions) -> Result<(Tensor, Vec<f64>)> {
        let SegmentOptions { epsilon, fidelity, .. } = *options;
        let tau = options.step.unwrap_or(1.0 / (2.0 / epsilon + fidelity));
        let areas = [self.areas.cast(data.dtype())?];
        let f = [data.reshape(&[data.len(), 1])?];
        let energy = |u: &[Tensor; 1]| -> Result<f64> {
            let off = add_scaled(u, -1.0, &f)?;
            let data = 0.5 * fidelity * dot(&product(1.0, &areas, &off)?, &off)?;
            Ok(self.energy(&u[0].clone().into(), epsilon)?.tensor().item()? + data)
        };
        let explicit = Map::cached("optim/phase_explicit", |m| {
            let ([y], [f], [area]) = (m.item("phase"), m.item("data"), m.item("areas"));
            let [tau, epsilon, fidelity] = std::array::from_fn(|_| m.param());
            let force = (y * y.square() - y) / epsilon + fidelity * (y - f);
            m.output("right", &[area * (y - tau * force)]);
        });
        let call = CallParams { items: 0, real: vec![tau, epsilon, fidelity], int: vec![] };
        // Beyond the wells their slope grows without bound, and explicit steps with it.
        let start = [Var::from(f[0].clone()).clamp(-1.0, 1.0)?.tensor().clone()];
        let (mut u, mut before, mut ahead) = (start.clone(), start, 0usize);
        let mut energies = vec![energy(&u)?];
        for _ in 0..options.iterations {
            let momentum = if options.momentum { ahead as f64 / (ahead as f64 + 3.0) } else { 0.0 };
            let y = add_scaled(&u, momentum, &add_scaled(&u, -1.0, &before)?)?;
            let right = [explicit.run(&[&y[0], &f[0], &areas[0]], &call)?.remove(0).reshape(f[0].shape())?];
            let next = [self.diffuse(&right, &y, tau * epsilon, &areas)?];
            let there = energy(&next)?;
            // What overshoots begins anew from where it is.
            ahead = if there > energies[energies.len() - 1] { 0 } else { ahead + 1 };
            before = if ahead == 0 { next.clone() } else { u };
            u = next;
            energies.push(there);
        }
        let [u] = u;
        Ok((u.reshape(data.shape())?, energies))
    }

    /// x with (A + sL)x = b for the areas A and the edges' Laplacian L, from a guess.
    fn diffuse(&self, b: &[Tensor; 1], guess: &[Tensor], s: f64, areas: &[Tensor; 1]) -> Result<Tensor> {
        let fluxes = Map::cached("optim/phase_fluxes", |m| {
            let ([a, b], [w]) = (m.item_int("edges"), m.item("weights"));
            let table = m.table::<1>("phase");
            let ([x], [y]) = (table.fetch(a), table.fetch(b));
            let flux = w * (x - y);
            m.scatter("fluxes", table, &[(a, [flux]), (b, [-flux])]);
        });
        let weights = self.weights.cast(areas[0].dtype())?;
        let apply = |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let laplacian = fluxes.run(&[&self.edges, &weights, &x[0]], &CallParams::default())?.remove(0);
            add_product(&scaled(s, &[laplacian.reshape(x[0].shape())?])?, 1.0, areas, x)
        };
        const ITERATIONS: usize = 100;
        const TOLERANCE: f64 = 1e-6;
        let x = guess.to_vec();
        let r = add_scaled(b, -1.0, &apply(&x)?)?;
        let goal = dot(b, b)? * TOLERANCE * TOLERANCE;
        let (mut x, _) = conjugate_gradients(x, r, apply, |r| Ok(r.to_vec()), |_| goal, ITERATIONS)?;
        Ok(x.remove(0))
    }
}
