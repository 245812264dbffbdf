//! Operators that move, select, multiply, filter and sample: derivatives, both devices, empty and one-element inputs.

use lumigrad_core::ops::{Border, concat, conv2d_separable, matmul_with};
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_testkit::{Check, devices, integers, real, real_in};

#[test]
fn gathered_and_scattered_rows_have_right_derivatives() {
    for rest in [&[][..], &[1], &[2], &[3], &[2, 2], &[5], &[0]] {
        let table = real(&[&[11], rest].concat(), 1);
        let indices = integers(&[6, 4], 2, 11);
        let rows = real(&[&[6, 4], rest].concat(), 3);
        let at = |v: &Var| indices.to_device(v.device());
        Check::new("gather", |x| Ok(vec![x[0].gather(&at(&x[0])?)?])).run(&[table]);
        Check::new("scatter_add", |x| Ok(vec![x[0].scatter_add(&at(&x[0])?, 13)?])).run(&[rows]);
    }
}

#[test]
fn gathers_clamp_numbers_and_refuse_empty_tables() {
    for device in devices("gathers_clamp") {
        let table = |shape: &[usize]| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
            Var::from(Tensor::from_slice(&device, &data, shape).unwrap())
        };
        let indices = Tensor::from_slice(&device, &[-3i32, 1, 99], &[3]).unwrap();
        assert_eq!(table(&[3]).gather(&indices).unwrap().tensor().to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0]);
        let wide = table(&[2, 5]).gather(&indices).unwrap();
        assert_eq!(wide.tensor().to_vec::<f32>().unwrap()[..6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(table(&[0, 3]).gather(&indices).unwrap_err().to_string().contains("at least one row"));
        let none = Tensor::zeros(&device, DType::U32, &[0]).unwrap();
        assert_eq!(table(&[0, 3]).gather(&none).unwrap().shape(), [0, 3]);
        assert_eq!(table(&[0, 3]).scatter_add(&none, 2).unwrap().tensor().to_vec::<f32>().unwrap(), [0.0; 6]);
        assert!(table(&[3]).gather(table(&[1]).tensor()).unwrap_err().to_string().contains("u32"));
    }
}

#[test]
fn permutations_have_right_derivatives() {
    for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        Check::new("permute", |x| Ok(vec![x[0].permute(&axes)?])).run(&[real(&[3, 4, 5], 1)]);
        Check::new("permute of nothing", |x| Ok(vec![x[0].permute(&axes)?])).run(&[real(&[3, 0, 5], 1)]);
    }
    Check::new("transpose", |x| Ok(vec![x[0].transpose(0, 1)?.transpose(1, 2)?])).run(&[real(&[1, 1, 1], 1)]);
    let x: Var = real(&[2, 3], 1).into();
    assert!(x.permute(&[0, 0]).is_err() && x.permute(&[0]).is_err() && x.transpose(0, 2).is_err());
}

#[test]
fn slices_and_concatenations_of_nothing_are_empty() {
    for device in devices("slices of nothing") {
        let x: Var = Tensor::zeros(&device, DType::F32, &[2, 0]).unwrap().into();
        let y: Var = Tensor::zeros(&device, DType::F32, &[2, 3]).unwrap().into();
        assert_eq!(y.slice(1, 2, 2).unwrap().shape(), [2, 0]);
        assert_eq!(concat(&[&x, &y, &x], 1).unwrap().shape(), [2, 3]);
        assert_eq!(concat(&[&x, &x], 1).unwrap().shape(), [2, 0]);
        assert!(y.slice(1, 2, 4).is_err() && concat(&[&x, &y], 0).is_err() && concat(&[], 0).is_err());
    }
}

#[test]
fn integers_stay_what_they_are_when_they_are_copied() {
    for device in devices("copies of integers") {
        let numbers = Tensor::from_slice(&device, &[1u32, 2, 3, 4_000_000_000], &[4]).unwrap();
        let part = lumigrad_core::ops::slice_tensor(&numbers, 0, 2, 4).unwrap();
        assert_eq!(part.to_vec::<u32>().unwrap(), [3, 4_000_000_000]);
        let both = lumigrad_core::ops::concat_tensors(&[&part, &numbers], 0).unwrap();
        assert_eq!(both.to_vec::<u32>().unwrap(), [3, 4_000_000_000, 1, 2, 3, 4_000_000_000]);
        let signed = Tensor::from_slice(&device, &[-1i32, 2], &[2]).unwrap();
        assert_eq!(lumigrad_core::ops::slice_tensor(&signed, 0, 0, 1).unwrap().to_vec::<i32>().unwrap(), [-1]);
    }
}

#[test]
fn extremes_along_axes_have_right_derivatives() {
    for axis in 0..3 {
        Check::new("max_axis", |x| Ok(vec![x[0].max_axis(axis)?])).run(&[real(&[4, 3, 5], 1)]);
        Check::new("min_axis", |x| Ok(vec![x[0].min_axis(axis)?])).run(&[real(&[4, 3, 5], 1)]);
    }
    Check::new("long max", |x| Ok(vec![x[0].max_axis(0)?])).run(&[real(&[2500, 2], 1)]);
    Check::new("max of one", |x| Ok(vec![x[0].max_axis(0)?])).run(&[real(&[1], 1)]);
    let empty: Var = real(&[3, 0], 1).into();
    assert_eq!(empty.max_axis(0).unwrap().shape(), [0]);
    assert!(empty.max_axis(1).unwrap_err().to_string().contains("elements"));
}

#[test]
fn gradients_of_ties_go_to_the_first() {
    let tape = lumigrad_core::Tape::new();
    let x = tape.variable(Tensor::from_slice(&Device::cpu(), &[1.0f32, 3.0, 3.0, 1.0], &[4]).unwrap());
    let y = x.max_axis(0).unwrap().sub(&x.min_axis(0).unwrap()).unwrap();
    let g = tape.backward(&y).unwrap().take(&x).unwrap();
    assert_eq!(g.to_vec::<f32>().unwrap(), [-1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn matrix_products_have_right_derivatives() {
    for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
        let a = real(if ta { &[7, 5] } else { &[5, 7] }, 1);
        let b = real(if tb { &[6, 7] } else { &[7, 6] }, 2);
        Check::new("matmul", |x| Ok(vec![matmul_with(&x[0], ta, &x[1], tb)?])).run(&[a, b]);
        let a = real(if ta { &[2, 3, 4, 2] } else { &[2, 3, 2, 4] }, 1);
        let b = real(if tb { &[2, 3, 5, 4] } else { &[2, 3, 4, 5] }, 2);
        Check::new("batched matmul", |x| Ok(vec![matmul_with(&x[0], ta, &x[1], tb)?])).run(&[a, b]);
    }
    Check::new("one matrix for all batches", |x| Ok(vec![x[0].matmul(&x[1])?]))
        .run(&[real(&[3, 2, 70], 1), real(&[70, 65], 2)]);
    Check::new("split matmul", |x| Ok(vec![x[0].matmul(&x[1])?])).run(&[real(&[3, 1100], 1), real(&[1100, 2], 2)]);
    Check::new("linear", |x| Ok(vec![x[0].linear(&x[1], Some(&x[2]))?])).run(&[
        real(&[2, 3, 4], 1),
        real(&[4, 5], 2),
        real(&[5], 3),
    ]);
    Check::new("linear of a row", |x| Ok(vec![x[0].linear(&x[1], None)?])).run(&[real(&[4], 1), real(&[4, 5], 2)]);
}

#[test]
fn matrix_products_of_nothing_are_zeros_and_misfits_are_errors() {
    for (a, b) in [([0, 3], [3, 2]), ([2, 0], [0, 2]), ([2, 3], [3, 0]), ([1, 1], [1, 1])] {
        Check::new("matmul of nothing", |x| Ok(vec![x[0].matmul(&x[1])?])).run(&[real(&a, 1), real(&b, 2)]);
    }
    let v = |shape: &[usize]| Var::from(real(shape, 1));
    for (a, b) in [(v(&[2, 3]), v(&[2, 3])), (v(&[3]), v(&[3, 2])), (v(&[2, 2, 3]), v(&[3, 3, 2]))] {
        assert!(a.matmul(&b).unwrap_err().to_string().contains("matmul"));
    }
    assert!(v(&[2, 3]).linear(&v(&[3, 4]), Some(&v(&[1]))).unwrap_err().to_string().contains("bias"));
}

#[test]
fn separable_filters_have_right_derivatives() {
    for border in [Border::Zero, Border::Reflect, Border::Valid] {
        for kernel in [&[1.0, -2.0, 0.5][..], &[0.25, 1.0, 0.5, -1.0], &[3.0]] {
            Check::new("conv2d_separable", |x| Ok(vec![conv2d_separable(&x[0], kernel, border)?]))
                .run(&[real(&[6, 70, 3], 1)]);
        }
        Check::new("one pixel", |x| Ok(vec![conv2d_separable(&x[0], &[2.0], border)?])).run(&[real(&[1, 1, 1], 1)]);
        let none: Var = real(&[9, 9, 0], 1).into();
        assert_eq!(conv2d_separable(&none, &[1.0], border).unwrap().shape(), [9, 9, 0]);
        assert!(conv2d_separable(&none, &[], border).is_err());
    }
    let small: Var = real(&[2, 9, 1], 1).into();
    assert!(conv2d_separable(&small, &[1.0; 5], Border::Reflect).is_err());
    assert!(conv2d_separable(&small, &[1.0; 3], Border::Valid).is_err());
}

#[test]
fn filters_keep_constants_and_mirror_borders() {
    let image: Var = Tensor::from_slice(&Device::cpu(), &[1.0f64, 2.0, 4.0], &[3, 1, 1])
        .and_then(|t| Var::from(t).broadcast_to(&[3, 3, 1]).map(|v| v.tensor().clone()))
        .unwrap()
        .into();
    let y = conv2d_separable(&image, &[0.25, 0.5, 0.25], Border::Reflect).unwrap();
    assert_eq!(y.tensor().to_vec::<f64>().unwrap(), [1.5, 1.5, 1.5, 2.25, 2.25, 2.25, 3.0, 3.0, 3.0]);
}

#[test]
fn grid_samples_have_right_derivatives() {
    for channels in [1, 2, 3, 4, 6] {
        let points = real_in(&[40, 2], 2, -1.0, 7.0);
        Check::new("sample_bilinear", |x| Ok(vec![x[0].sample_bilinear(&x[1])?]))
            .run(&[real(&[4, 5, channels], 1), points]);
        let points = real_in(&[40, 3], 2, -1.0, 6.0);
        Check::new("sample_trilinear", |x| Ok(vec![x[0].sample_trilinear(&x[1])?]))
            .run(&[real(&[3, 4, 5, channels], 1), points]);
    }
    Check::new("no points", |x| Ok(vec![x[0].sample_bilinear(&x[1])?])).run(&[real(&[4, 5, 3], 1), real(&[0, 2], 1)]);
    Check::new("one cell", |x| Ok(vec![x[0].sample_bilinear(&x[1])?])).run(&[real(&[1, 1, 1], 1), real(&[1, 2], 1)]);
    let points: Var = real(&[4, 2], 1).into();
    assert!(Var::from(real(&[0, 5, 3], 1)).sample_bilinear(&points).is_err());
    assert!(Var::from(real(&[2, 5, 3], 1)).sample_trilinear(&points).is_err());
}

#[test]
fn cell_centres_return_cells_and_linear_grids_are_reproduced() {
    let plane: Vec<f64> = (0..20).map(|i| (i % 5) as f64 + 10.0 * (i / 5) as f64).collect();
    let grid: Var = Tensor::from_slice(&Device::cpu(), &plane, &[4, 5, 1]).unwrap().into();
    let at = [2.5, 1.5, 1.0, 3.25, -9.0, -9.0, 99.0, 99.0];
    let points: Var = Tensor::from_slice(&Device::cpu(), &at, &[4, 2]).unwrap().into();
    let found = grid.sample_bilinear(&points).unwrap().tensor().to_vec::<f64>().unwrap();
    assert_eq!(found, [12.0, 0.5 + 27.5, 0.0, 34.0]);
}

#[test]
fn regression_memory_that_the_system_does_not_give_is_an_error() {
    // An eighth of the address space: no system has it, whatever it promises.
    let error = Tensor::uninit(&Device::cpu(), DType::F32, &[1 << 59]).unwrap_err();
    assert!(error.to_string().contains("no memory for a tensor of 2305843009213693952 bytes"), "{error}");
    assert!(Tensor::zeros(&Device::cpu(), DType::F32, &[1 << 58]).is_err());
}
