//! Every hand-written kernel of the core: its shader, and both bodies on the same inputs.

use lumigrad_core::kernels::{
    Geometry, KERNELS, Operand, Order, Statistics, convolve, convolve_back, convolve_weights, correlate, extreme_place,
    matmul, normalize, normalize_back, radix_sort, scan, scan_segments, segment_ids, segment_offsets, softmax,
    softmax_back, sum_rows,
};
use lumigrad_core::{DType, Device, Result, Tensor};
use lumigrad_testkit::{KernelRun, check_runs, check_shaders, integers, put, real};

#[test]
fn shaders_validate_and_agree_with_their_declarations() {
    check_shaders(KERNELS);
}

fn run_convolve(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    // n pictures of 3 × 2 pixels, then one picture of n pixels.
    let mut results = vec![];
    for (shape, size, stride) in [([n.min(200), 3, 2, 2], 3, 2), ([1, 1, n, 3], 3, 1), ([1, n, 1, 70], 1, 1)] {
        let g = Geometry::new([shape[1], shape[2]], size, stride);
        let input = put(&real(&shape, 1), device, dtype)?;
        let (k, b) = (put(&real(&[size, size, shape[3], 5], 2), device, dtype)?, put(&real(&[5], 3), device, dtype)?);
        let u = put(&real(&[shape[0], g.output[0], g.output[1], 5], 4), device, dtype)?;
        results.push(convolve(&input, &k, &b, g)?);
        results.extend([convolve_back(&u, &k, g)?, convolve_weights(&input, &u, g)?]);
    }
    Ok(results)
}

fn run_normalize(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let mut results = vec![];
    for (pictures, positions) in [(n.min(300), 3), (2, n)] {
        let input = put(&real(&[pictures, positions, 6], 1), device, dtype)?;
        let cotangent = put(&real(&[pictures, positions, 6], 2), device, dtype)?;
        let per_channel = |rows: usize, seed: u64| put(&real(&[rows, 6], seed), device, dtype);
        for (rows, by) in [(pictures, Statistics::Groups { groups: 2, epsilon: 1e-2 }), (1, Statistics::Fixed)] {
            let (scale, shift) = (per_channel(rows, 3)?, per_channel(rows, 4)?);
            let [output, moments] = normalize(&input, &scale, &shift, by)?;
            results.extend(normalize_back(&input, &scale, &moments, &cotangent, by)?);
            results.extend([output, moments]);
        }
    }
    Ok(results)
}

fn run_softmax(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let (x, u) = (put(&real(&[n, 7], 1), device, dtype)?, put(&real(&[n, 7], 2), device, dtype)?);
    let y = softmax(&x)?;
    Ok(vec![softmax_back(&y, &u)?, y])
}

fn run_correlate(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let (input, weights) = (put(&real(&[n, 2], 1), device, dtype)?, put(&real(&[3], 2), device, dtype)?);
    Ok(vec![correlate(&input, &weights, 0, 1, n)?])
}

fn run_extreme(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    // An axis must have elements: columns are the items.
    let input = put(&real(&[3, n], 1), device, dtype)?;
    Ok(vec![extreme_place(&input, 0, false)?, extreme_place(&input, 0, true)?])
}

fn run_matmul(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let (m, k) = (n.min(70), n / 70 + n % 2);
    let (a, b) = (put(&real(&[m, k], 1), device, dtype)?, put(&real(&[k, 5], 2), device, dtype)?);
    let operand = |tensor| Operand { tensor, transposed: false };
    Ok(vec![matmul(operand(&a), operand(&b))?])
}

fn run_radix_sort(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let sorted = radix_sort(&put(&integers(&[n], 1, u32::MAX), device, dtype)?, None, 32)?;
    Ok(vec![sorted.keys, sorted.payload])
}

fn run_scan(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    let input = put(&real(&[n, 2], 1), device, dtype)?;
    let marks = put(&integers(&[n], 2, 2), device, dtype)?;
    let order = Order { exclusive: true, reverse: true };
    Ok(vec![scan(&input, 0, order)?, scan_segments(&input, 0, &marks)?])
}

fn run_scan_u32(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    Ok(vec![scan(&put(&integers(&[n], 1, u32::MAX), device, dtype)?, 0, Order::default())?])
}

fn run_segment_offsets(device: &Device, _: DType, n: usize) -> Result<Vec<Tensor>> {
    let ids: Vec<u32> = (0..n as u32).map(|k| k / 3 * 2).collect();
    Ok(vec![segment_offsets(&Tensor::from_slice(device, &ids, &[n])?, n)?])
}

fn run_segment_ids(device: &Device, _: DType, n: usize) -> Result<Vec<Tensor>> {
    let offsets = Tensor::from_slice(device, &[0, (n / 3) as u32, (n / 3) as u32, n as u32], &[4])?;
    Ok(vec![segment_ids(&offsets, n)?])
}

fn run_sum_rows(device: &Device, dtype: DType, n: usize) -> Result<Vec<Tensor>> {
    // One row is its own sum: no launch.
    Ok(vec![sum_rows(&put(&real(&[n, 3], 1), device, dtype)?)?, sum_rows(&put(&real(&[300, n], 1), device, dtype)?)?])
}

#[test]
fn both_bodies_agree_on_no_one_and_many_items() {
    let runs: [(&str, KernelRun); 18] = [
        ("core/convolve", run_convolve),
        ("core/convolve_weights", run_convolve),
        ("core/correlate", run_correlate),
        ("core/extreme", run_extreme),
        ("core/matmul", run_matmul),
        ("core/normalize", run_normalize),
        ("core/normalize_back", run_normalize),
        ("core/radix_count", run_radix_sort),
        ("core/radix_move", run_radix_sort),
        ("core/scan_apply", run_scan),
        ("core/scan_apply_u32", run_scan_u32),
        ("core/scan_blocks", run_scan),
        ("core/scan_blocks_u32", run_scan_u32),
        ("core/segment_ids", run_segment_ids),
        ("core/segment_offsets", run_segment_offsets),
        ("core/softmax", run_softmax),
        ("core/softmax_back", run_softmax),
        ("core/sum_rows", run_sum_rows),
    ];
    check_runs(KERNELS, &runs);
}
