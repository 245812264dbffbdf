use super::{NormalizeBackBuffers, NormalizeBuffers, Params};
use crate::{Real, simd::vectorized};
use rayon::prelude::*;
use std::ops::Range;

/// Positions of a picture that a thread takes at a time.
const PIECE: usize = 512;

/// Sums that `add` adds up for ranges of positions; partial sums have an order that does not depend on threads.
fn summed<R: Real>(positions: usize, width: usize, add: impl Fn(Range<usize>, &mut [R]) + Sync) -> Vec<R> {
    let part = |range: Range<usize>| {
        let mut sums = vec![R::ZERO; width];
        add(range, &mut sums);
        sums
    };
    if positions <= PIECE {
        return part(0..positions);
    }
    let pieces = (0..positions.div_ceil(PIECE)).into_par_iter();
    let parts: Vec<Vec<R>> = pieces.map(|k| part(k * PIECE..((k + 1) * PIECE).min(positions))).collect();
    parts.into_iter().fold(vec![R::ZERO; width], |mut sums, part| {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        sums
    })
}

/// Sums of `f(channel, x)` over the positions of a picture.
fn channel_sums<R: Real>(picture: &[R], channels: usize, f: impl Fn(usize, R) -> R + Sync) -> Vec<R> {
    summed(picture.len() / channels, channels, |range, sums| {
        let lines = &picture[range.start * channels..range.end * channels];
        vectorized(
            #[inline(always)]
            || {
                for line in lines.chunks_exact(sums.len()) {
                    for c in 0..sums.len() {
                        sums[c] += f(c, line[c]);
                    }
                }
            },
        );
    })
}

/// Sums over the channels of each group, times `factor`, given to each channel of the group.
fn over_groups<R: Real>(per_channel: &mut [R], groups: usize, factor: R) {
    for group in per_channel.chunks_exact_mut(per_channel.len() / groups) {
        let sum = group.iter().copied().sum::<R>() * factor;
        group.fill(sum);
    }
}

pub fn normalize<R: Real>(p: &Params, _items: usize, b: NormalizeBuffers<'_, R>) {
    let (channels, groups) = (p.channels as usize, p.groups as usize);
    let picture = p.positions as usize * channels;
    let share = R::from_f64(1.0 / (picture / groups) as f64);
    let outputs = b.output.par_chunks_mut(picture).zip(b.moments.par_chunks_mut(2 * groups));
    outputs.enumerate().for_each(|(n, (output, moments))| {
        let input = &b.input[n * picture..(n + 1) * picture];
        let row = if p.one_row == 0 { n * channels } else { 0 };
        let (scale, shift) = (&b.scale[row..][..channels], &b.shift[row..][..channels]);
        let (mut mean, mut inverse) = (vec![R::ZERO; channels], vec![R::ONE; channels]);
        if p.fixed == 0 {
            mean = channel_sums(input, channels, |_, x| x);
            over_groups(&mut mean, groups, share);
            inverse = channel_sums(input, channels, |c, x| (x - mean[c]) * (x - mean[c]));
            over_groups(&mut inverse, groups, share);
            inverse.iter_mut().for_each(|v| *v = R::ONE / (*v + R::of(p.epsilon)).sqrt());
        }
        for (g, m) in moments.chunks_exact_mut(2).enumerate() {
            (m[0], m[1]) = (mean[g * channels / groups], inverse[g * channels / groups]);
        }
        let slope: Vec<R> = (0..channels).map(|c| inverse[c] * scale[c]).collect();
        let piece = PIECE * channels;
        output.par_chunks_mut(piece).zip(input.par_chunks(piece)).for_each(|(output, input)| {
            let (mean, slope, shift) = (&mean[..channels], &slope[..channels], &shift[..channels]);
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                        for c in 0..channels {
                            y[c] = (x[c] - mean[c]) * slope[c] + shift[c];
                        }
                    }
                },
            );
        });
    });
}

pub fn normalize_back<R: Real>(p: &Params, _items: usize, b: NormalizeBackBuffers<'_, R>) {
    let (channels, groups, positions) = (p.channels as usize, p.groups as usize, p.positions as usize);
    let picture = positions * channels;
    // Fixed moments are not moved by the input.
    let share = if p.fixed == 0 { R::from_f64(1.0 / (picture / groups) as f64) } else { R::ZERO };
    let outputs = b
        .by_input
        .par_chunks_mut(picture)
        .zip(b.by_scale.par_chunks_mut(channels).zip(b.by_shift.par_chunks_mut(channels)));
    outputs.enumerate().for_each(|(n, (by_input, (by_scale, by_shift)))| {
        let (input, cotangent) = (&b.input[n * picture..][..picture], &b.cotangent[n * picture..][..picture]);
        let row = if p.one_row == 0 { n * channels } else { 0 };
        let (scale, moments) = (&b.scale[row..][..channels], &b.moments[n * 2 * groups..][..2 * groups]);
        let of_group =
            |k: usize| -> Vec<R> { (0..channels).map(|c| moments[2 * (c * groups / channels) + k]).collect() };
        let (mean, inverse) = (&of_group(0)[..channels], &of_group(1)[..channels]);
        let sums = summed(positions, 2 * channels, |range, sums| {
            let part = range.start * channels..range.end * channels;
            let (input, cotangent) = (&input[part.clone()], &cotangent[part]);
            let (shift, scale) = sums.split_at_mut(channels);
            vectorized(
                #[inline(always)]
                || {
                    for (u, x) in cotangent.chunks_exact(channels).zip(input.chunks_exact(channels)) {
                        for c in 0..channels {
                            shift[c] += u[c];
                            scale[c] += u[c] * ((x[c] - mean[c]) * inverse[c]);
                        }
                    }
                },
            );
        });
        by_shift.copy_from_slice(&sums[..channels]);
        by_scale.copy_from_slice(&sums[channels..]);
        // What moving the mean and the deviation takes back.
        let mut level: Vec<R> = (0..channels).map(|c| scale[c] * by_shift[c]).collect();
        let mut spread: Vec<R> = (0..channels).map(|c| scale[c] * by_scale[c]).collect();
        over_groups(&mut level, groups, share);
        over_groups(&mut spread, groups, share);
        let (level, spread) = (&level[..channels], &spread[..channels]);
        let piece = PIECE * channels;
        let given = cotangent.par_chunks(piece).zip(input.par_chunks(piece));
        by_input.par_chunks_mut(piece).zip(given).for_each(|(g, (u, x))| {
            vectorized(
                #[inline(always)]
                || {
                    let lines = u.chunks_exact(channels).zip(x.chunks_exact(channels));
                    for (g, (u, x)) in g.chunks_exact_mut(channels).zip(lines) {
                        for c in 0..channels {
                            let unit = (x[c] - mean[c]) * inverse[c];
                            g[c] = inverse[c] * (u[c] * scale[c] - level[c] - unit * spread[c]);
                        }
                    }
                },
            );
        });
    });
}
