use super::correlate;
use crate::{DType, Device, Tensor, ops::random};

#[test]
fn correlations_equal_plain_sums() {
    let weights = [0.5, -1.0, 2.0, 0.25];
    for (shape, axis) in [([3, 200, 2], 1), ([300, 5, 3], 0), ([2, 3, 9], 2), ([1, 1, 1], 1)] {
        let input = random::random_uniform(&Device::cpu(), DType::F64, &shape, 1, -1.0, 1.0).unwrap();
        let taps = Tensor::from_slice(&Device::cpu(), &weights, &[4]).unwrap();
        let x = input.to_vec::<f64>().unwrap();
        let inner: usize = shape[axis + 1..].iter().product();
        for (middle, n_out) in [(1, shape[axis]), (0, shape[axis].saturating_sub(3)), (3, shape[axis] + 3)] {
            let found = correlate(&input, &taps, axis, middle, n_out).unwrap();
            for (k, y) in found.to_vec::<f64>().unwrap().into_iter().enumerate() {
                let (outer, i, c) = (k / (n_out * inner), k / inner % n_out, k % inner);
                let expected: f64 = (0..4)
                    .filter_map(|t| (i + t).checked_sub(middle).filter(|&j| j < shape[axis]).map(|j| (t, j)))
                    .map(|(t, j)| weights[t] * x[(outer * shape[axis] + j) * inner + c])
                    .sum();
                assert!((y - expected).abs() < 1e-12);
            }
        }
    }
}
