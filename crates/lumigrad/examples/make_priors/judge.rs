//! The classifier that judges what priors create.

use crate::shapes::{CLASSES, Dice, SECTORS, Seen, pictures, within};
use crate::{Result, SIDE};
use lumigrad::core::ops::random;
use lumigrad::core::{DType, Device, Tape, Tensor, Var};
use lumigrad::create::{Judge, NONE, camera};
use lumigrad::guidance::View as Direction;
use lumigrad::optim::{Adam, Group};
use lumigrad::splat::{Gaussians, Kernel, RenderOptions, render};

/// A cloud of Gaussians that shows nothing.
fn cloud(seed: u64) -> Result<Vec<f32>> {
    let mut d = Dice::new(random::hash(seed, 7));
    let n = d.roll(20.0, 1500.0) as usize;
    let (ball, size, spread) = (d.roll(0.3, 1.0), d.roll(0.5, 1.6), d.roll(0.1, 1.2));
    let size = size * ball * (1.0 / n as f32).cbrt();
    let tint = [0, 1, 2].map(|_| d.roll(-1.0, 1.0));
    let mut g = Gaussians { sh_degree: 0, kernel: Kernel::Mip, ..Default::default() };
    for _ in 0..n {
        let p = [0, 1, 2].map(|_| d.roll(-1.0, 1.0));
        let length = p.iter().map(|x| x * x).sum::<f32>().sqrt();
        g.means.push(p.map(|x| ball * x / length.max(1.0)));
        g.log_scales.push([size.ln(); 3]);
        g.rotations.push([1.0, 0.0, 0.0, 0.0]);
        g.opacity_logits.push(d.roll(-2.5, 3.0));
        g.sh.push(tint.map(|t| t + spread * d.roll(-1.0, 1.0)));
    }
    let from = within((seed % SECTORS as u64) as usize, random::hash(seed, 8), 1.0);
    let view = camera(from, SIDE)?;
    let view = lumigrad::splat::View {
        viewmat: view.viewmat.map(|row| row.map(|x| x as f32)),
        intrinsics: view.intrinsics.map(|x| x as f32),
        width: SIDE,
        height: SIDE,
        projection: Default::default(),
        shutter: Default::default(),
    };
    let image = render(&g, &view, &RenderOptions { background: [1.0; 3], ..Default::default() })?;
    Ok(image.colour.into_iter().flatten().map(|x| x.clamp(0.0, 1.0)).collect())
}

/// Features and classes of pictures that the prior was not made of.
pub fn lesson(first: u64, shapes: u64) -> Result<(Vec<f32>, Vec<usize>)> {
    let (mut x, mut y) = (vec![], vec![]);
    for (label, class) in CLASSES.iter().enumerate() {
        for s in 0..shapes {
            let seed = 1_000_000 + first + 1000 * label as u64 + s;
            let from: Vec<Direction> = (0..SECTORS).map(|k| within(k, random::hash(seed, k as u64), 1.0)).collect();
            for picture in pictures(class, seed, &from, Seen::Colours)? {
                x.extend(Judge::features(SEEN, &picture, SIDE, SIDE)?);
                y.push(label);
            }
        }
    }
    for s in 0..shapes * SECTORS as u64 {
        x.extend(Judge::features(SEEN, &cloud(9_000_000 + first + s)?, SIDE, SIDE)?);
        y.push(CLASSES.len());
    }
    Ok((x, y))
}

/// Side of what the judge sees, and its hidden units.
pub const SEEN: usize = 12;
const HIDDEN: usize = 32;

pub fn judge() -> Result<Judge> {
    let (x, y) = lesson(0, 10)?;
    let (n, classes) = (y.len(), CLASSES.len() + 1);
    let cpu = Device::cpu();
    let one_hot: Vec<f32> = y.iter().flat_map(|c| (0..classes).map(move |k| (k == *c) as u8 as f32)).collect();
    let inputs = Var::from(Tensor::from_slice(&cpu, &x, &[n, SEEN * SEEN])?);
    let wanted = Var::from(Tensor::from_slice(&cpu, &one_hot, &[n, classes])?);
    let shapes = [vec![SEEN * SEEN, HIDDEN], vec![HIDDEN], vec![HIDDEN, classes], vec![classes]];
    let start = |(k, shape): (usize, &Vec<usize>)| -> Result<Tensor> {
        let size = if k % 2 == 0 { 1.0 / (shape[0] as f64).sqrt() } else { 0.0 };
        let noise = lumigrad::core::ops::random_normal(&cpu, DType::F32, shape, 40 + k as u64)?;
        Ok(lumigrad::core::ops::scale_tensor(&noise, size)?)
    };
    let mut layers: Vec<Tensor> = shapes.iter().enumerate().map(start).collect::<Result<_>>()?;
    let group = |k: usize| Group { decay: 0.02, ..Group::new(format!("layer{k}"), 0.01) };
    let mut adam = Adam::new((0..4).map(group).collect());
    for step in 0..600 {
        let tape = Tape::new();
        let vars: Vec<Var> = layers.iter().map(|t| tape.variable(t.clone())).collect();
        let scores = inputs.linear(&vars[0], Some(&vars[1]))?.tanh()?.linear(&vars[2], Some(&vars[3]))?;
        let most = Var::from(scores.max_axis(1)?.tensor().reshape(&[n, 1])?);
        let logs = scores.sub(&most)?;
        let total = logs.exp()?.sum_axis(1)?.ln()?;
        let right = logs.mul(&wanted)?.sum_axis(1)?;
        let loss = total.sub(&right)?.mean()?;
        let mut g = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = vars.iter().map(|v| g.take(v)).collect();
        let factor = if step < 400 { 1.0 } else { 0.1 };
        adam.step(&mut layers.iter_mut().collect::<Vec<_>>(), &gradients, factor)?;
    }
    let host: Vec<Vec<f32>> = layers.iter().map(|t| t.to_vec::<f32>()).collect::<std::result::Result<_, _>>()?;
    let layers = host.try_into().map_err(|_| "four layers")?;
    let labels = CLASSES.iter().copied().chain([NONE]).map(String::from).collect();
    Ok(Judge { labels, side: SEEN, layers })
}
