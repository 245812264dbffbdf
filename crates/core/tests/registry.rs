//! Every hand-written kernel of the core: its shader, and both bodies on the same inputs.

use lumigrad_core::kernels::{
    KERNELS, Operand, Order, correlate, extreme_place, matmul, radix_sort, scan, scan_segments, segment_ids,
    segment_offsets, sum_rows,
};
use lumigrad_core::{DType, Device, Result, Tensor};
use lumigrad_testkit::{KernelRun, check_runs, check_shaders, integers, put, real};

#[test]
fn shaders_validate_and_agree_with_their_declarations() {
    check_shaders(KERNELS);
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
    let runs: [(&str, KernelRun); 12] = [
        ("core/correlate", run_correlate),
        ("core/extreme", run_extreme),
        ("core/matmul", run_matmul),
        ("core/radix_count", run_radix_sort),
        ("core/radix_move", run_radix_sort),
        ("core/scan_apply", run_scan),
        ("core/scan_apply_u32", run_scan_u32),
        ("core/scan_blocks", run_scan),
        ("core/scan_blocks_u32", run_scan_u32),
        ("core/segment_ids", run_segment_ids),
        ("core/segment_offsets", run_segment_offsets),
        ("core/sum_rows", run_sum_rows),
    ];
    check_runs(KERNELS, &runs);
}
