use super::{Statistics, normalize};
use crate::{DType, Device, Tensor, ops::random};

#[test]
fn normalised_groups_have_mean_zero_and_deviation_one() {
    let (n, positions, c, groups) = (3, 20, 6, 2);
    let x = random::random_uniform(&Device::cpu(), DType::F64, &[n, positions, c], 1, 3.0, 9.0).unwrap();
    let one = Tensor::full(&Device::cpu(), DType::F64, &[n, c], 1.0).unwrap();
    let zero = Tensor::zeros(&Device::cpu(), DType::F64, &[n, c]).unwrap();
    let [y, moments] = normalize(&x, &one, &zero, Statistics::Groups { groups, epsilon: 0.0 }).unwrap();
    let (x, y, moments) = (x.to_vec::<f64>().unwrap(), y.to_vec::<f64>().unwrap(), moments.to_vec::<f64>().unwrap());
    for g in 0..n * groups {
        let of_group = |values: &[f64]| -> Vec<f64> {
            let (picture, first) = (g / groups, g % groups * c / groups);
            (0..positions * c / groups)
                .map(|e| values[(picture * positions + e / (c / groups)) * c + first + e % (c / groups)])
                .collect()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (before, after) = (of_group(&x), of_group(&y));
        assert!(mean(&after).abs() < 1e-12);
        assert!((mean(&after.iter().map(|x| x * x).collect::<Vec<_>>()) - 1.0).abs() < 1e-12);
        assert!((moments[2 * g] - mean(&before)).abs() < 1e-12);
    }
}

#[test]
fn channels_that_do_not_fit_into_groups_are_an_error() {
    let zeros = |shape: &[usize]| Tensor::zeros(&Device::cpu(), DType::F32, shape).unwrap();
    let by = Statistics::Groups { groups: 2, epsilon: 1e-5 };
    let found = normalize(&zeros(&[2, 3, 5]), &zeros(&[2, 5]), &zeros(&[2, 5]), by).unwrap_err();
    assert!(found.to_string().contains("a multiple of 2 groups"), "{found}");
}

#[test]
fn long_pictures_are_normalised_to_the_same_bits_for_any_number_of_threads() {
    use super::normalize_back;
    let numbers =
        |shape: &[usize], seed| random::random_uniform(&Device::cpu(), DType::F32, shape, seed, -1.0, 1.0).unwrap();
    let (x, scale, shift) = (numbers(&[2, 3000, 6], 1), numbers(&[1, 6], 2), numbers(&[1, 6], 3));
    let by = Statistics::Groups { groups: 3, epsilon: 1e-5 };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let [y, moments] = normalize(&x, &scale, &shift, by).unwrap();
            let gradients = normalize_back(&x, &scale, &moments, &y, by).unwrap();
            gradients.into_iter().chain([y]).map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}
