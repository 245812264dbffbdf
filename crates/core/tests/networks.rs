//! Operators of convolutional networks: derivatives on both devices, and answers by hand.

use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_testkit::{Check, real};

#[test]
fn convolutions_have_right_derivatives() {
    for (size, stride) in [(3, 1), (3, 2), (1, 1)] {
        Check::new("conv2d", |x| Ok(vec![ops::conv2d(&x[0], &x[1], Some(&x[2]), stride)?.sin()?])).run(&[
            real(&[2, 5, 6, 3], 1),
            real(&[size, size, 3, 4], 2),
            real(&[4], 3),
        ]);
    }
    Check::new("conv2d", |x| Ok(vec![ops::conv2d(&x[0], &x[1], None, 1)?]))
        .run(&[real(&[1, 4, 4, 2], 1), real(&[3, 3, 2, 2], 2)]);
    for (size, zeros) in [(3, [0, 1]), (2, [1, 0])] {
        Check::new("conv2d_padded", |x| Ok(vec![ops::conv2d_padded(&x[0], &x[1], Some(&x[2]), 2, zeros)?])).run(&[
            real(&[2, 6, 5, 3], 1),
            real(&[size, size, 3, 4], 2),
            real(&[4], 3),
        ]);
    }
}

#[test]
fn group_norm_has_right_derivatives() {
    for shape in [&[6][..], &[3, 6]] {
        Check::new("modulate", |x| Ok(vec![ops::modulate(&x[0], &x[1], &x[2])?.sin()?])).run(&[
            real(&[3, 2, 4, 6], 1),
            real(shape, 2),
            real(shape, 3),
        ]);
        Check::new("group_norm", |x| Ok(vec![ops::group_norm(&x[0], 2, &x[1], &x[2], 1e-3)?.sin()?])).run(&[
            real(&[3, 2, 4, 6], 1),
            real(shape, 2),
            real(shape, 3),
        ]);
    }
}

#[test]
fn layer_norm_has_right_derivatives() {
    Check::new("layer_norm", |x| Ok(vec![ops::layer_norm(&x[0], &x[1], &x[2], 1e-3)?.sin()?])).run(&[
        real(&[3, 4, 6], 1),
        real(&[6], 2),
        real(&[6], 3),
    ]);
}

#[test]
fn resizing_has_right_derivatives() {
    for c in [3, 4] {
        Check::new("average_down", |x| Ok(vec![x[0].average_down()?.sin()?])).run(&[real(&[2, 4, 6, c], 1)]);
        Check::new("nearest_up", |x| Ok(vec![x[0].nearest_up()?.sin()?])).run(&[real(&[2, 2, 3, c], 1)]);
    }
}

#[test]
fn resizing_by_hand() {
    let x = Var::from(Tensor::from_slice(&Device::cpu(), &[1.0f32, 3.0, 5.0, 9.0], &[1, 2, 2, 1]).unwrap());
    assert_eq!(x.average_down().unwrap().tensor().to_vec::<f32>().unwrap(), [4.5]);
    let up = x.nearest_up().unwrap().tensor().to_vec::<f32>().unwrap();
    assert_eq!(up, [1.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0, 5.0, 5.0, 9.0, 9.0, 5.0, 5.0, 9.0, 9.0]);
    let odd = Var::from(Tensor::zeros(&Device::cpu(), DType::F32, &[1, 3, 2, 1]).unwrap());
    assert!(odd.average_down().unwrap_err().to_string().contains("even H and W"));
}

#[test]
fn attention_has_right_derivatives_and_takes_means_where_all_keys_fit_alike() {
    Check::new("attention", |x| Ok(vec![ops::attention(&x[0], &x[1], &x[2])?])).run(&[
        real(&[2, 3, 4], 1),
        real(&[2, 5, 4], 2),
        real(&[2, 5, 2], 3),
    ]);
    Check::new("attention_weights", |x| Ok(vec![ops::attention_weights(&x[0], &x[1], Some(&x[2]))?])).run(&[
        real(&[2, 3, 4], 1),
        real(&[2, 5, 4], 2),
        real(&[3, 5], 3),
    ]);
    let put = |data: &[f64], shape: &[usize]| Var::from(Tensor::from_slice(&Device::cpu(), data, shape).unwrap());
    let (q, k) = (put(&[0.0, 0.0], &[1, 1, 2]), put(&[1.0, 2.0, 3.0, 4.0], &[1, 2, 2]));
    let mean = ops::attention(&q, &k, &put(&[1.0, 5.0], &[1, 2, 1])).unwrap();
    assert_eq!(mean.tensor().to_vec::<f64>().unwrap(), [3.0]);
}

#[test]
fn softmax_does_not_overflow() {
    let x = Var::from(Tensor::from_slice(&Device::cpu(), &[1e4f32, 1e4, -1e4], &[1, 3]).unwrap());
    assert_eq!(x.softmax().unwrap().tensor().to_vec::<f32>().unwrap(), [0.5, 0.5, 0.0]);
}
