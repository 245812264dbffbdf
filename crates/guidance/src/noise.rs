//! Noise from counters.

use crate::Result;
use lumigrad_core::map::random::normals;
use lumigrad_core::ops::random::hash;
use lumigrad_core::{CallParams, DType, Device, Map, Tensor};

/// Standard normal noise [n, …] keyed by (seed, step, picture): picture i of a step is the same whatever the batch, the
/// device (up to rounding) and the number of threads.
pub fn noise(device: &Device, dtype: DType, shape: &[usize], seed: u64, step: u64) -> Result<Tensor> {
    let keys: Vec<u64> = (0..shape.first().copied().unwrap_or(1) as u64).collect();
    keyed_noise(device, dtype, shape, seed, step, &keys)
}

/// [`noise`] whose pictures have the numbers `views`.
pub fn keyed_noise(
    device: &Device,
    dtype: DType,
    shape: &[usize],
    seed: u64,
    step: u64,
    views: &[u64],
) -> Result<Tensor> {
    let total: usize = shape.iter().product();
    let n = views.len().max(1);
    let each = total / n;
    if total == 0 {
        return Ok(Tensor::zeros(device, dtype, shape)?);
    }
    // Two numbers an item: the last item of an odd picture makes one too many, which is left out.
    let map = Map::cached("guidance/noise", |m| {
        let pairs = m.int_param();
        let seeds = m.table_int::<1>("seeds");
        let [_] = m.item::<1>("like");
        let picture = m.index().quotient(pairs);
        let [seed] = seeds.fetch(picture);
        m.output("noise", &normals(seed, m.index() - picture * pairs));
    });
    let pairs = each.div_ceil(2);
    let seeds: Vec<i32> = views.iter().map(|v| hash(hash(seed, step), *v) as i32).collect();
    let seeds = Tensor::from_slice(device, &seeds, &[n])?;
    let like = Tensor::zeros(device, dtype, &[n * pairs])?;
    let call = CallParams { items: n * pairs, real: vec![], int: vec![pairs as i32] };
    let made = map.run(&[&seeds, &like], &call)?.remove(0).reshape(&[n, 2 * pairs])?;
    let made = if each.is_multiple_of(2) { made } else { lumigrad_core::ops::slice_tensor(&made, 1, 0, each)? };
    Ok(made.reshape(shape)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pictures_noise_does_not_depend_on_the_batch() {
        let cpu = Device::cpu();
        let all = noise(&cpu, DType::F32, &[3, 5, 3], 7, 2).unwrap().to_vec::<f32>().unwrap();
        let last = keyed_noise(&cpu, DType::F32, &[1, 5, 3], 7, 2, &[2]).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(all[30..], last[..]);
        let other = noise(&cpu, DType::F32, &[3, 5, 3], 7, 3).unwrap().to_vec::<f32>().unwrap();
        assert!(all.iter().zip(&other).all(|(a, b)| a != b));
    }

    #[test]
    fn noise_is_standard_normal() {
        let x = noise(&Device::cpu(), DType::F64, &[4, 50_000], 1, 1).unwrap().to_vec::<f64>().unwrap();
        let moment = |p: i32| x.iter().map(|v| v.powi(p)).sum::<f64>() / x.len() as f64;
        // Four standard errors of each moment: √(var/n) with n = 2e5.
        for (p, expected, deviation) in
            [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (3, 0.0, 15f64.sqrt()), (4, 3.0, 96f64.sqrt())]
        {
            let error = (moment(p) - expected).abs();
            assert!(error < 4.0 * deviation / (x.len() as f64).sqrt(), "moment {p} is off by {error}");
        }
        let pairs: f64 = x.chunks_exact(2).map(|p| p[0] * p[1]).sum::<f64>() / (x.len() / 2) as f64;
        assert!(pairs.abs() < 4.0 / (x.len() as f64 / 2.0).sqrt());
    }
}
