//! The bodies of a whole network on the CPU.
//!
//! Inside a block, numbers of a layer are [streams, points, components], so that one matrix product serves all streams and
//! an activation reads each stream in one piece.

use super::blocks::{Cut, Layer, Plan, count};
use lumigrad_core::map::approx::Elementary;
use lumigrad_core::{Device, Element, Result, Tensor};
use rayon::prelude::*;

/// A pointer to memory that blocks write without overlap.
#[derive(Clone, Copy)]
struct Shared<R>(*mut R, usize);
// SAFETY: blocks write disjoint ranges.
unsafe impl<R: Send> Send for Shared<R> {}
unsafe impl<R: Send> Sync for Shared<R> {}

impl<R> Shared<R> {
    fn new(slice: &mut [R]) -> Self {
        Self(slice.as_mut_ptr(), slice.len())
    }

    /// # Safety
    /// Ranges that are alive at the same time do not overlap.
    #[allow(clippy::mut_from_ref)]
    unsafe fn range(&self, start: usize, len: usize) -> &mut [R] {
        assert!(start + len <= self.1, "a range of a shared slice");
        // SAFETY: in bounds, and disjoint as promised.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// A matrix operand: elements, distance of rows, distance of columns.
#[derive(Clone, Copy)]
struct Matrix<'a, R>(&'a [R], usize, usize);

/// out [m, n] = (add ? out : 0) + a [m, k] · b [k, n] on the calling thread.
fn product<R: Element>(out: &mut [R], [m, n, k]: [usize; 3], a: Matrix<R>, b: Matrix<R>, add: bool) {
    if m * n == 0 || k == 0 {
        return;
    }
    assert!(out.len() >= m * n);
    assert!((m - 1) * a.1 + (k - 1) * a.2 < a.0.len() && (k - 1) * b.1 + (n - 1) * b.2 < b.0.len());
    let one = R::from_f64(1.0);
    // SAFETY: the operands' bounds were just checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.0.as_ptr(),
            a.2 as isize,
            a.1 as isize,
            b.0.as_ptr(),
            b.2 as isize,
            b.1 as isize,
            one,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// A network's parameters.
struct Weights<'a, R> {
    weight: &'a [R],
    bias: Option<&'a [R]>,
}

fn weights<'a, R: Element>(plan: &Plan, parameters: &'a [Tensor]) -> Vec<Weights<'a, R>> {
    let mut slices = parameters.iter().map(|t| t.as_slice::<R>().expect("parameters on the CPU, of the input's type"));
    let mut next = || slices.next().expect("counted");
    plan.layers.iter().map(|_| Weights { weight: next(), bias: plan.bias.then(&mut next) }).collect()
}

/// Buffers of a thread.
struct Scratch<R> {
    /// The network's input [streams, points, components].
    input: Vec<R>,
    /// Numbers after the activation of the present layer, and of the next.
    a: Vec<R>,
    b: Vec<R>,
}

impl<R: Elementary> Scratch<R> {
    fn new(plan: &Plan, cut: &Cut) -> Self {
        let most = plan.most_streams() * cut.points;
        let first = &plan.layers[0];
        Self {
            input: vec![R::ZERO; count(&first.present) * cut.points * first.takes],
            a: vec![R::ZERO; most * plan.most_components()],
            b: vec![R::ZERO; most * plan.most_components()],
        }
    }
}

/// Rows of the input's streams, gathered into one piece.
fn load<R: Element>(streams: &[&[R]], at: usize, points: usize, width: usize, out: &mut [R]) {
    for (stream, out) in streams.iter().zip(out.chunks_exact_mut(points * width)) {
        out.copy_from_slice(&stream[at * width..(at + points) * width]);
    }
}

/// z = a·W (+ x·W' + b), all streams.
fn linear<R: Elementary>(layer: &Layer, w: &Weights<R>, a: &[R], input: &[R], points: usize, z: &mut [R]) {
    let (k, n) = (layer.takes, layer.makes);
    let rows = count(&layer.present) * points;
    product(z, [rows, n, k], Matrix(a, k, 1), Matrix(w.weight, n, 1), false);
    if layer.skipped > 0 {
        // The input may have fewer streams, of which the others come after: they are zero.
        let x = layer.skipped;
        let rows = (input.len() / x).min(rows);
        product(z, [rows, n, x], Matrix(input, x, 1), Matrix(&w.weight[k * n..], n, 1), true);
    }
    if let Some(bias) = w.bias {
        for row in z[..points * n].chunks_exact_mut(n) {
            row.iter_mut().zip(bias).for_each(|(z, &b)| *z += b);
        }
    }
}

/// The activation of a layer, z to a.
fn activate<R: Elementary>(layer: &Layer, z: &[R], points: usize, a: &mut [R]) {
    let plane = points * layer.makes;
    match &layer.activation {
        None => a[..z.len()].copy_from_slice(z),
        Some((forward, _)) => {
            let inputs: Vec<&[R]> = z.chunks_exact(plane).collect();
            let mut outputs: Vec<&mut [R]> = a[..count(&layer.results) * plane].chunks_exact_mut(plane).collect();
            forward.run(plane, &inputs, &mut outputs);
        }
    }
}

/// The streams that come out and, if asked for, the numbers before activations, block by block.
pub fn forward<R: Elementary>(
    plan: &Plan,
    streams: &[Tensor],
    parameters: &[Tensor],
    keep: bool,
) -> Result<Vec<Tensor>> {
    let n = streams[0].shape()[0];
    let cut = plan.cut(n);
    let weights = weights::<R>(plan, parameters);
    let inputs: Vec<&[R]> = streams.iter().map(|t| t.as_slice().expect("streams of one type")).collect();
    let last = &plan.layers[plan.layers.len() - 1];
    let new = |shape: &[usize]| Tensor::uninit(&Device::cpu(), R::DTYPE, shape);
    let mut outputs = (0..count(&last.results)).map(|_| new(&[n, last.makes])).collect::<Result<Vec<_>>>()?;
    let mut kept = new(&[if keep { n * plan.kept() } else { 0 }])?;
    {
        let results: Vec<Shared<R>> =
            outputs.iter_mut().map(|t| Shared::new(t.as_slice_mut().expect("a new CPU tensor"))).collect();
        let kept = Shared::<R>::new(kept.as_slice_mut().expect("a new CPU tensor"));
        (0..cut.groups()).into_par_iter().for_each(|group| {
            let mut scratch = Scratch::new(plan, &cut);
            for (at, points) in cut.of_group(group) {
                // SAFETY: blocks are disjoint.
                let own = unsafe {
                    kept.range(if keep { at * plan.kept() } else { 0 }, if keep { points * plan.kept() } else { 0 })
                };
                forward_block(plan, &weights, &inputs, (at, points), &mut scratch, own);
                let plane = points * last.makes;
                for (result, from) in results.iter().zip(scratch.a.chunks_exact(plane)) {
                    // SAFETY: blocks are disjoint.
                    unsafe { result.range(at * last.makes, plane) }.copy_from_slice(from);
                }
            }
        });
    }
    outputs.extend(keep.then_some(kept));
    Ok(outputs)
}

/// One block through all layers; what comes out is in `scratch.a`.
fn forward_block<R: Elementary>(
    plan: &Plan,
    weights: &[Weights<R>],
    inputs: &[&[R]],
    (at, points): (usize, usize),
    scratch: &mut Scratch<R>,
    mut kept: &mut [R],
) {
    let width = plan.layers[0].takes;
    let input = inputs.len() * points * width;
    load(inputs, at, points, width, &mut scratch.input[..input]);
    let Scratch { input: x, a, b } = scratch;
    let x = &x[..input];
    for (k, (layer, w)) in plan.layers.iter().zip(weights).enumerate() {
        let len = count(&layer.present) * points * layer.makes;
        let from = if k == 0 { x } else { &a[..] };
        if layer.keeps && !kept.is_empty() {
            let (z, rest) = std::mem::take(&mut kept).split_at_mut(len);
            kept = rest;
            linear(layer, w, from, x, points, z);
            activate(layer, z, points, a);
        } else {
            linear(layer, w, from, x, points, b);
            activate(layer, &b[..len], points, a);
        }
    }
}

/// Gradients of the wanted streams and parameters.
pub fn vjp<R: Elementary>(
    plan: &Plan,
    streams: &[Tensor],
    parameters: &[Tensor],
    kept: &[Tensor],
    cotangents: &[Option<Tensor>],
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let n = streams[0].shape()[0];
    let cut = plan.cut(n);
    let weights = weights::<R>(plan, parameters);
    let inputs: Vec<&[R]> = streams.iter().map(|t| t.as_slice().expect("streams of one type")).collect();
    let kept: &[R] = kept[0].as_slice().expect("kept by the forward pass");
    let cotangents: Vec<Option<&[R]>> =
        cotangents.iter().map(|c| c.as_ref().map(|t| t.as_slice().expect("cotangents of the input's type"))).collect();
    let to_input = wanted[..streams.len()].contains(&true);
    let new = |shape: &[usize]| Tensor::uninit(&Device::cpu(), R::DTYPE, shape);
    let mut gradients = match to_input {
        true => streams.iter().map(|t| new(t.shape())).collect::<Result<Vec<_>>>()?,
        false => vec![],
    };
    let mut sums = new(&[cut.groups(), plan.n_parameters()])?;
    {
        let gradients: Vec<Shared<R>> =
            gradients.iter_mut().map(|t| Shared::new(t.as_slice_mut().expect("a new CPU tensor"))).collect();
        let sums = sums.as_slice_mut::<R>().expect("a new CPU tensor");
        sums.par_chunks_mut(plan.n_parameters().max(1)).enumerate().for_each(|(group, sums)| {
            sums.fill(R::ZERO);
            let mut scratch = Scratch::new(plan, &cut);
            let mut adjoint = Adjoint::new(plan, &cut);
            for (at, points) in cut.of_group(group) {
                let kept = &kept[at * plan.kept()..(at + points) * plan.kept()];
                let block = Block { at, points, kept, cotangents: &cotangents, to_input };
                vjp_block(plan, &weights, &inputs, &block, &mut scratch, &mut adjoint, sums);
                let plane = points * plan.layers[0].takes;
                for (gradient, from) in gradients.iter().zip(adjoint.a.chunks_exact(plane)) {
                    // SAFETY: blocks are disjoint.
                    unsafe { gradient.range(at * plan.layers[0].takes, plane) }.copy_from_slice(from);
                }
            }
        });
    }
    let totals = total(sums.as_slice::<R>().expect("a CPU tensor"), plan.n_parameters());
    let mut found: Vec<Option<Tensor>> = gradients.into_iter().map(Some).collect();
    found.resize(streams.len(), None);
    let mut rest = &totals[..];
    for parameter in parameters {
        let (own, others) = rest.split_at(parameter.len());
        rest = others;
        found.push(Some(Tensor::from_slice(&Device::cpu(), own, parameter.shape())?));
    }
    Ok(found.into_iter().zip(wanted).map(|(g, &w)| g.filter(|_| w)).collect())
}

/// Sums of the groups' gradients, in their order.
fn total<R: Elementary>(sums: &[R], n: usize) -> Vec<R> {
    let mut totals = vec![R::ZERO; n];
    totals.par_chunks_mut(4096).enumerate().for_each(|(k, part)| {
        for group in sums.chunks_exact(n.max(1)) {
            part.iter_mut().zip(&group[k * 4096..]).for_each(|(t, &s)| *t += s);
        }
    });
    totals
}

/// Cotangents of a thread: of numbers after an activation, and before it.
struct Adjoint<R> {
    a: Vec<R>,
    z: Vec<R>,
    /// Of the network's input, through skips.
    input: Vec<R>,
}

impl<R: Elementary> Adjoint<R> {
    fn new(plan: &Plan, cut: &Cut) -> Self {
        let most = plan.most_streams() * cut.points * plan.most_components();
        let skipped = plan.layers.iter().map(|l| l.skipped).max().unwrap_or(0);
        let input = count(&plan.layers[0].present) * cut.points * skipped;
        Self { a: vec![R::ZERO; most], z: vec![R::ZERO; most], input: vec![R::ZERO; input] }
    }
}

/// What a block's backward pass is of.
struct Block<'a, R> {
    at: usize,
    points: usize,
    kept: &'a [R],
    cotangents: &'a [Option<&'a [R]>],
    to_input: bool,
}

/// One block back through all layers: parameter gradients are added to `sums`, those of the input are left in `adjoint.a`.
fn vjp_block<R: Elementary>(
    plan: &Plan,
    weights: &[Weights<R>],
    inputs: &[&[R]],
    block: &Block<R>,
    scratch: &mut Scratch<R>,
    adjoint: &mut Adjoint<R>,
    sums: &mut [R],
) {
    let points = block.points;
    let width = plan.layers[0].takes;
    let input = inputs.len() * points * width;
    load(inputs, block.at, points, width, &mut scratch.input[..input]);
    let x = &scratch.input[..input];
    let last = &plan.layers[plan.layers.len() - 1];
    let plane = points * last.makes;
    for (to, from) in adjoint.a.chunks_exact_mut(plane).zip(block.cotangents) {
        match from {
            Some(c) => to.copy_from_slice(&c[block.at * last.makes..][..plane]),
            None => to.fill(R::ZERO),
        }
    }
    adjoint.input.fill(R::ZERO);
    let (mut kept_end, mut sums_end) = (block.kept.len(), plan.n_parameters());
    for (k, (layer, w)) in plan.layers.iter().zip(weights).enumerate().rev() {
        let (n, rows) = (layer.makes, count(&layer.present) * points);
        let plane = points * n;
        let len = rows * n;
        // Through the activation.
        let z = if layer.keeps { &block.kept[kept_end - len..kept_end] } else { &[] };
        kept_end -= z.len();
        match &layer.activation {
            None => adjoint.z[..len].copy_from_slice(&adjoint.a[..len]),
            Some((_, back)) => {
                let after = &adjoint.a[..count(&layer.results) * plane];
                let given: Vec<&[R]> = z.chunks_exact(plane).chain(after.chunks_exact(plane)).collect();
                let mut wanted: Vec<&mut [R]> = adjoint.z[..len].chunks_exact_mut(plane).collect();
                back.run(plane, &given, &mut wanted);
            }
        }
        let z = &adjoint.z[..len];
        // What the layer took.
        let takes = layer.takes;
        let took = match k {
            0 => x,
            _ => {
                let before = &plan.layers[k - 1];
                let len = count(&before.present) * points * before.makes;
                activate(before, &block.kept[kept_end - len..kept_end], points, &mut scratch.a);
                &scratch.a[..rows * takes]
            }
        };
        if plan.bias {
            let bias = &mut sums[sums_end - n..sums_end];
            sums_end -= n;
            for row in z[..plane].chunks_exact(n) {
                bias.iter_mut().zip(row).for_each(|(b, &z)| *b += z);
            }
        }
        let weight = &mut sums[sums_end - (takes + layer.skipped) * n..sums_end];
        sums_end -= weight.len();
        product(weight, [takes, n, rows], Matrix(took, 1, takes), Matrix(z, n, 1), true);
        if layer.skipped > 0 {
            let (s, rows) = (layer.skipped, (x.len() / layer.skipped).min(rows));
            product(&mut weight[takes * n..], [s, n, rows], Matrix(x, 1, s), Matrix(z, n, 1), true);
            if block.to_input {
                let to = &mut adjoint.input[..rows * s];
                product(to, [rows, s, n], Matrix(z, n, 1), Matrix(&w.weight[takes * n..], 1, n), true);
            }
        }
        if k > 0 || block.to_input {
            product(&mut adjoint.a, [rows, takes, n], Matrix(z, n, 1), Matrix(w.weight, 1, n), false);
        }
    }
    if block.to_input && !adjoint.input.is_empty() {
        adjoint.a.iter_mut().zip(&adjoint.input[..input]).for_each(|(a, &s)| *a += s);
    }
}
