//! Counter-based random numbers: element i of stream `seed` is the same on every device and for any number of threads.

use crate::{DType, Device, Result, Tensor};

/// A well-mixed 64-bit hash of a counter (SplitMix64, Steele et al. 2014).
pub fn hash(seed: u64, counter: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(counter).wrapping_add(1);
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in [0, 1) with 53 bits.
pub fn uniform(seed: u64, counter: u64) -> f64 {
    (hash(seed, counter) >> 11) as f64 / (1u64 << 53) as f64
}

/// Standard normal (Box–Muller).
pub fn normal(seed: u64, counter: u64) -> f64 {
    let u = 1.0 - uniform(seed, 2 * counter);
    let v = uniform(seed, 2 * counter + 1);
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn tensor(device: &Device, dtype: DType, shape: &[usize], f: impl Fn(u64) -> f64) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    match dtype {
        DType::F64 => Tensor::from_slice(device, &(0..n as u64).map(f).collect::<Vec<f64>>(), shape),
        _ => Tensor::from_slice(device, &(0..n as u64).map(|i| f(i) as f32).collect::<Vec<f32>>(), shape),
    }
}

/// A tensor of uniform numbers in [lo, hi).
pub fn random_uniform(device: &Device, dtype: DType, shape: &[usize], seed: u64, lo: f64, hi: f64) -> Result<Tensor> {
    tensor(device, dtype, shape, |i| lo + (hi - lo) * uniform(seed, i))
}

/// A tensor of standard normal numbers.
pub fn random_normal(device: &Device, dtype: DType, shape: &[usize], seed: u64) -> Result<Tensor> {
    tensor(device, dtype, shape, |i| normal(seed, i))
}

/// A tensor of random signs ±1 like another tensor.
pub fn random_signs(like: &Tensor, seed: u64) -> Result<Tensor> {
    tensor(like.device(), like.dtype(), like.shape(), |i| if hash(seed, i) >> 63 == 0 { 1.0 } else { -1.0 })
}
