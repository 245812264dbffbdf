//! What a warp between two pictures is trained by, and what it is judged by.

use super::FitMorphJob;
use super::blend::Blend;
use super::landmarks::{Pair, outwards};
use super::warp::Warp;
use crate::Result;
use crate::fields::place::affine;
use crate::fit::drive::{Output, Task};
use crate::fit::image::centre;
use lumigrad_core::ops::{concat, random};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::Derivatives;
use lumigrad_scene::picture::Picture;

/// Weights of squared distances (Schardong et al. 2024, in thousands): landmarks at both ends, landmarks that meet between
/// them, landmarks that return.
const ENDS: f64 = 1e3;
const MEETING: f64 = 500.0;
const RETURN: f64 = 200.0;
/// And of any place that goes on from where it came: a hundred times theirs, with which two faces returned 0.06 off (with
/// this, 0.002).
const FLOW: f64 = 1e3;
/// What is left of the weight of bending at the end of a run; it falls from the middle on. So an affine map is found first,
/// whose bending costs nothing, and then what landmarks need beyond that.
const BENDING_END: f64 = 0.01;
/// Places along the longer side, and times, that the warp is judged at.
const JUDGED: usize = 64;
const TIMES: usize = 9;

/// A picture on its device.
pub struct Side {
    pub picture: Picture,
    pixels: Var,
}

impl Side {
    pub fn new(picture: Picture, device: &Device) -> Result<Self> {
        let shape = [picture.height, picture.width, picture.channels];
        let pixels = Tensor::from_slice(device, &picture.data, &shape)?.into();
        Ok(Self { picture, pixels })
    }

    pub fn size(&self) -> (usize, usize) {
        (self.picture.width, self.picture.height)
    }

    /// Colours at places of the domain; beyond the edges those of the edge.
    pub fn colours(&self, places: &[f32]) -> Result<Vec<f32>> {
        let pixel = |p: &[f32]| outwards([p[0] as f64, p[1] as f64], self.size()).map(|x| x as f32);
        let pixels: Vec<f32> = places.chunks_exact(2).flat_map(pixel).collect();
        let places = Tensor::from_slice(self.pixels.device(), &pixels, &[pixels.len() / 2, 2])?;
        Ok(self.pixels.sample_bilinear(&places.into())?.tensor().to_vec::<f32>()?)
    }

    /// The same on the device, [N, 2] to [N, channels].
    fn colours_at(&self, places: &Tensor) -> Result<Var> {
        let (middle, unit) = (outwards([0.0; 2], self.size()), outwards([1.0; 2], self.size()));
        let scale = [unit[0] - middle[0], unit[1] - middle[1]];
        Ok(self.pixels.sample_bilinear(&affine(places, &scale, &middle)?)?)
    }
}

pub struct MorphTask {
    pub warp: Warp,
    /// Where gradients are blended; its parameters follow the warp's.
    pub blend: Option<Blend>,
    pub sides: [Side; 2],
    /// Places of the landmarks in both pictures, [n, 2].
    pairs: [Var; 2],
    batch: usize,
    pub job: FitMorphJob,
    device: Device,
    /// Part of the run that is over.
    progress: f64,
}

impl MorphTask {
    pub fn new(
        (warp, blend): (Warp, Option<Blend>),
        sides: [Side; 2],
        pairs: &[Pair],
        batch: usize,
        job: FitMorphJob,
        device: Device,
    ) -> Result<Self> {
        let tensor = |of: fn(&Pair) -> [f64; 2]| -> Result<Var> {
            let places: Vec<f32> = pairs.iter().flat_map(|p| of(p).map(|x| x as f32)).collect();
            Ok(Tensor::from_slice(&device, &places, &[pairs.len(), 2])?.into())
        };
        let pairs = [tensor(|p| p.a)?, tensor(|p| p.b)?];
        Ok(Self { warp, blend, sides, pairs, batch, job, device, progress: 0.0 })
    }

    fn column(&self, numbers: Vec<f32>) -> Result<Var> {
        Ok(Tensor::from_slice(&self.device, &numbers, &[numbers.len(), 1])?.into())
    }

    /// Landmarks go to their partners and back, meet them at any time between, and return from there.
    fn landmarks(&self, parameters: &[Var], draw: &dyn Fn(u64) -> f64) -> Result<Var> {
        let [a, b] = &self.pairs;
        let n = a.shape()[0];
        let share: Vec<f32> = (0..n as u64).map(|k| draw(k) as f32).collect();
        let times = [vec![1.0; n], vec![-1.0; n], share.clone(), share.iter().map(|t| t - 1.0).collect()].concat();
        let times = self.column(times)?;
        let moved = self.warp.at(parameters, &concat(&[a, b, a, b], 0)?, &times)?;
        let between = moved.slice(0, 2 * n, 4 * n)?;
        let back = self.warp.at(parameters, &between, &times.slice(0, 2 * n, 4 * n)?.neg()?)?;
        let ends = distance(&moved.slice(0, 0, 2 * n)?, &concat(&[b, a], 0)?)?.scale(ENDS)?;
        let meeting = distance(&between.slice(0, 0, n)?, &between.slice(0, n, 2 * n)?)?.scale(MEETING)?;
        let returned = distance(&back, &concat(&[a, b], 0)?)?.scale(RETURN)?;
        Ok(ends.add(&meeting)?.add(&returned)?)
    }

    /// T(T(x, t), s) = T(x, t + s), half of the time with s = −t; and little bending.
    fn space(&self, parameters: &[Var], draw: &dyn Fn(u64) -> f64) -> Result<Var> {
        let n = self.batch;
        let (mut places, mut times, mut more, mut sums) = (vec![], vec![], vec![], vec![]);
        for k in 0..n as u64 {
            let [x, y, t, u] = std::array::from_fn(|c| draw(4 * k + c as u64));
            let t = 2.0 * t - 1.0;
            let (lo, hi) = ((t - 1.0).max(-1.0), (t + 1.0).min(1.0));
            let sum = if k % 2 == 0 { 0.0 } else { lo + (hi - lo) * u };
            places.extend([(2.0 * x - 1.0) as f32, (2.0 * y - 1.0) as f32]);
            times.push(t as f32);
            more.push((sum - t) as f32);
            sums.push(sum as f32);
        }
        let places: Var = Tensor::from_slice(&self.device, &places, &[n, 2])?.into();
        let (times, more, sums) = (self.column(times)?, self.column(more)?, self.column(sums)?);
        let jet = self.warp.jet(parameters, &places, &times, Derivatives::hessian(2))?;
        let moved = Warp::moved(&places, &times, jet.value())?;
        let flow = distance(&self.warp.at(parameters, &moved, &more)?, &self.warp.at(parameters, &places, &sums)?)?;
        let weight = self.job.smoothness * BENDING_END.powf((2.0 * self.progress - 1.0).max(0.0));
        let bending = Warp::bending(&jet, &times)?.mean()?.scale(weight)?;
        Ok(flow.scale(FLOW)?.add(&bending)?)
    }

    /// What the blend still lacks where the warp is now.
    fn gradients(&self, parameters: &[Var], draw: &dyn Fn(u64) -> f64) -> Result<Option<Var>> {
        let Some(blend) = &self.blend else { return Ok(None) };
        let (warp, own) = parameters.split_at(self.n_warp());
        let warp: Vec<Var> = warp.iter().map(|v| v.tensor().clone().into()).collect();
        let (mut places, mut times) = (vec![], vec![]);
        for k in 0..self.batch as u64 {
            places.extend(blend.place(draw(3 * k), draw(3 * k + 1)));
            times.push(draw(3 * k + 2) as f32);
        }
        let around = blend.around(&places);
        let around: Var = Tensor::from_slice(&self.device, &around, &[around.len() / 2, 2])?.into();
        let colours = |side: &Side, by: fn(f32) -> f32| -> Result<Var> {
            let times = self.column(times.iter().flat_map(|&t| [by(t); 4]).collect())?;
            side.colours_at(self.warp.at(&warp, &around, &times)?.tensor())
        };
        let (a, b) = (colours(&self.sides[0], |t| -t)?, colours(&self.sides[1], |t| 1.0 - t)?);
        let wanted = blend.wanted([&a, &b], &self.column(times.clone())?)?;
        Ok(Some(blend.loss(own, &places, &times, &wanted)?))
    }

    /// Arrays of the warp.
    pub fn n_warp(&self) -> usize {
        self.warp.field.shapes().len()
    }

    /// A frame from 0 for the first picture to 1 for the second.
    pub fn frame(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Vec<f32>> {
        let mut mean = self.mean(values, places, time)?;
        if let Some(blend) = &self.blend {
            let added = blend.added(&values[self.n_warp()..], places, time)?;
            mean.iter_mut().zip(added).for_each(|(x, more)| *x += more);
        }
        Ok(mean)
    }

    /// The mean of both warped pictures.
    pub fn mean(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Vec<f32>> {
        let colours = |side: &Side, by: f32| side.colours(&self.warp.sample(self.of_warp(values), places, by)?);
        let (a, b) = (colours(&self.sides[0], -time)?, colours(&self.sides[1], 1.0 - time)?);
        Ok(mixed(&a, &b, time))
    }

    /// The warp's own values.
    pub fn of_warp<'a>(&self, values: &'a [Tensor]) -> &'a [Tensor] {
        &values[..self.n_warp()]
    }

    /// How the warp does over the first picture and all times.
    pub fn judge(&self, values: &[Tensor]) -> Result<Judged> {
        let values = self.of_warp(values);
        let (w, h) = self.sides[0].size();
        let longest = w.max(h);
        let [w, h] = [w, h].map(|n| (n * JUDGED).div_ceil(longest));
        let places: Vec<f32> = (0..w * h).flat_map(|k| centre(k, w, h)).collect();
        let mut judged = Judged { least_determinant: f64::INFINITY, ..Judged::default() };
        let (mut squares, mut count) = (0.0, 0);
        for k in 0..TIMES {
            let time = 2.0 * k as f32 / (TIMES - 1) as f32 - 1.0;
            for d in self.warp.determinants(values, &places, time)? {
                judged.least_determinant = judged.least_determinant.min(d as f64);
                judged.folded += 1.0 / (TIMES * w * h) as f64 * f64::from(u8::from(!(d > 0.0)));
            }
            let moved = self.warp.sample(values, &places, time)?;
            let back = distances(&self.warp.sample(values, &moved, -time)?, &places);
            let stays = moved.chunks_exact(2).map(|p| p[0].abs().max(p[1].abs()) <= 1.0);
            for distance in back.into_iter().zip(stays).filter_map(|(d, stays)| stays.then_some(d)) {
                judged.inverse = judged.inverse.max(distance);
                squares += distance * distance;
                count += 1;
            }
        }
        judged.inverse_rms = (squares / count.max(1) as f64).sqrt();
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let places: Var = Tensor::from_slice(&self.device, &places, &[w * h, 2])?.into();
        let times = self.column(vec![1.0; w * h])?;
        let jet = self.warp.jet(&vars, &places, &times, Derivatives::hessian(2))?;
        judged.bending = Warp::bending(&jet, &times)?.mean()?.tensor().item()?;
        for (k, time) in [1.0, -1.0].into_iter().enumerate() {
            let [from, to] = [&self.pairs[k], &self.pairs[1 - k]].map(|v| v.tensor().to_vec::<f32>());
            let distances = distances(&self.warp.sample(values, &from?, time)?, &to?);
            let (w, h) = self.sides[1 - k].size();
            let pixels: Vec<f64> = distances.into_iter().map(|d| d * 0.5 * w.max(h) as f64).collect();
            judged.landmarks += 0.5 * pixels.iter().sum::<f64>() / pixels.len() as f64;
            judged.farthest_landmark = pixels.into_iter().fold(judged.farthest_landmark, f64::max);
        }
        Ok(judged)
    }
}

/// What a warp is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// Distance of landmarks from their partners, mean of both ways, and of the farthest; pixels.
    pub landmarks: f64,
    pub farthest_landmark: f64,
    /// Distance of T(T(x, t), −t) from x, the largest and the root of the mean square, in halves of the picture's longer
    /// side, where T(x, t) stays in the domain.
    pub inverse: f64,
    pub inverse_rms: f64,
    /// Least determinant of ∂T/∂x, and the part of places and times where it is not positive.
    pub least_determinant: f64,
    pub folded: f64,
    /// The thin plate's energy at t = 1.
    pub bending: f64,
}

/// Between two pictures' colours.
pub fn mixed(a: &[f32], b: &[f32], share: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| (1.0 - share) * a + share * b).collect()
}

fn distances(a: &[f32], b: &[f32]) -> Vec<f64> {
    let of = |(a, b): (&[f32], &[f32])| (a[0] as f64 - b[0] as f64).hypot(a[1] as f64 - b[1] as f64);
    a.chunks_exact(2).zip(b.chunks_exact(2)).map(of).collect()
}

/// Mean squared distance of places [N, 2].
fn distance(a: &Var, b: &Var) -> Result<Var> {
    Ok(a.sub(b)?.square()?.mean()?.scale(2.0)?)
}

impl Task for MorphTask {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let seed = |stream: u64| random::hash(self.job.fit.run.common.seed, 2 * step + stream);
        let (landmarks, places) = (seed(0), seed(1));
        let warp = &parameters[..self.n_warp()];
        let loss = self.landmarks(warp, &|k| random::uniform(landmarks, k))?;
        let loss = loss.add(&self.space(warp, &|k| random::uniform(places, k))?)?;
        let blended = random::hash(places, 1);
        Ok(match self.gradients(parameters, &|k| random::uniform(blended, k))? {
            Some(missing) => loss.add(&missing)?,
            None => loss,
        })
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        self.write(values, output)
    }
}
