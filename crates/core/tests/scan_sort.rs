//! Prefix sums, sums of segments and sorting, on both devices, against plain loops.

use lumigrad_core::kernels::{Order, radix_sort, scan, segment_ids, segment_offsets};
use lumigrad_core::ops::random::hash;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_testkit::{Check, devices, real};

const ORDERS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

fn numbers(n: usize, below: u32) -> Vec<u32> {
    (0..n as u64).map(|i| (hash(1, i) % below as u64) as u32).collect()
}

fn ints(device: &Device, data: &[u32]) -> Tensor {
    Tensor::from_slice(device, data, &[data.len()]).unwrap()
}

/// Sums in plain loops over [outer, n, inner].
fn plain_sums(x: &[u32], [_, n, inner]: [usize; 3], exclusive: bool, reverse: bool) -> Vec<u32> {
    (0..x.len())
        .map(|k| {
            let own = k / inner % n;
            let counts = |i: usize| (i == own && !exclusive) || (if reverse { i > own } else { i < own });
            (0..n).filter(|&i| counts(i)).map(|i| x[k - own * inner + i * inner]).sum()
        })
        .collect()
}

#[test]
fn prefix_sums_equal_plain_sums_along_every_axis_and_order() {
    for shape in [[1, 1, 1], [1, 0, 1], [0, 3, 3], [1, 1023, 1], [3, 700, 5], [2000, 3, 2], [1, 4100, 1]] {
        let data = numbers(shape.iter().product(), 1000);
        for device in devices("prefix sums") {
            let input = Tensor::from_slice(&device, &data, &shape).unwrap();
            for (exclusive, reverse) in ORDERS {
                let found = scan(&input, 1, Order { exclusive, reverse }).unwrap();
                assert_eq!(found.shape(), shape);
                let expected = plain_sums(&data, shape, exclusive, reverse);
                assert!(found.to_vec::<u32>().unwrap() == expected, "{shape:?} {exclusive} {reverse} on {device}");
            }
        }
    }
}

#[test]
fn long_prefix_sums_carry_over_many_blocks() {
    // More than 1024² elements: two levels of block totals on a GPU.
    let data = numbers((1 << 20) + 12_345, 3000);
    let mut sum = 0u32;
    let expected: Vec<u32> = data
        .iter()
        .map(|x| {
            sum = sum.wrapping_add(*x);
            sum
        })
        .collect();
    for device in devices("long prefix sums") {
        let found = scan(&ints(&device, &data), 0, Order::default()).unwrap().to_vec::<u32>().unwrap();
        assert!(found == expected, "on {device}");
    }
}

#[test]
fn prefix_sums_have_right_derivatives() {
    for (exclusive, reverse) in ORDERS {
        for axis in 0..3 {
            let order = Order { exclusive, reverse };
            Check::new("prefix_sum", |x| Ok(vec![x[0].prefix_sum(axis, order)?])).run(&[real(&[3, 40, 17], 1)]);
            Check::new("one", |x| Ok(vec![x[0].prefix_sum(axis, order)?])).run(&[real(&[1, 1, 1], 1)]);
            Check::new("none", |x| Ok(vec![x[0].prefix_sum(axis, order)?])).run(&[real(&[3, 0, 2], 1)]);
        }
    }
    let v: Var = real(&[3], 1).into();
    assert!(v.prefix_sum(1, Order::default()).unwrap_err().to_string().contains("axis 1"));
    let signed = Tensor::from_slice(&Device::cpu(), &[1i32], &[1]).unwrap();
    assert!(scan(&signed, 0, Order::default()).unwrap_err().to_string().contains("i32"));
}

#[test]
fn scans_are_the_same_bits_for_any_number_of_threads() {
    let x = real(&[70_000], 1).cast(DType::F32).unwrap();
    let offsets = ints(&Device::cpu(), &[0, 3, 3, 40_000, 69_999]);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let sums = Var::from(x.clone()).segment_sum(&offsets).unwrap();
            let scanned = scan(&x, 0, Order::default()).unwrap();
            [sums.tensor(), &scanned].map(|t| t.to_vec::<f32>().unwrap())
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

/// Lengths of segments: empty ones, single rows, and one longer than several blocks.
const LENGTHS: [u32; 9] = [0, 1, 5, 0, 0, 2500, 1, 1023, 0];

fn offsets_of(lengths: &[u32]) -> Vec<u32> {
    (0..=lengths.len()).map(|s| lengths[..s].iter().sum()).collect()
}

#[test]
fn rows_know_their_segments() {
    for device in devices("segment ids") {
        let offsets = ints(&device, &offsets_of(&LENGTHS));
        let rows: u32 = LENGTHS.iter().sum();
        let mut expected: Vec<u32> = (0..9u32).flat_map(|s| vec![s; LENGTHS[s as usize] as usize]).collect();
        assert_eq!(segment_ids(&offsets, rows as usize).unwrap().to_vec::<u32>().unwrap(), expected);
        // Three rows after the last segment.
        expected.extend([9; 3]);
        assert_eq!(segment_ids(&offsets, rows as usize + 3).unwrap().to_vec::<u32>().unwrap(), expected);
        let found = segment_offsets(&ints(&device, &expected), 9).unwrap().to_vec::<u32>().unwrap();
        assert_eq!(found, offsets_of(&LENGTHS));
        assert_eq!(segment_offsets(&ints(&device, &[]), 2).unwrap().to_vec::<u32>().unwrap(), [0, 0, 0]);
        assert!(segment_offsets(&real(&[3], 1), 2).unwrap_err().to_string().contains("u32"));
        assert_eq!(segment_ids(&ints(&device, &[2, 3]), 4).unwrap().to_vec::<u32>().unwrap(), [1, 1, 0, 1]);
        assert!(segment_ids(&ints(&device, &[]), 4).unwrap_err().to_string().contains("[S + 1]"));
    }
}

#[test]
fn segment_sums_equal_plain_sums_and_have_right_derivatives() {
    let offsets = ints(&Device::cpu(), &offsets_of(&LENGTHS));
    let rows = LENGTHS.iter().sum::<u32>() as usize;
    let input = real(&[rows, 3], 1);
    let x = input.to_f64_vec().unwrap();
    let found = Var::from(input.clone()).segment_sum(&offsets).unwrap();
    assert_eq!(found.shape(), [9, 3]);
    let o = offsets.to_vec::<u32>().unwrap();
    for (k, y) in found.tensor().to_f64_vec().unwrap().into_iter().enumerate() {
        let expected: f64 = (o[k / 3]..o[k / 3 + 1]).map(|row| x[row as usize * 3 + k % 3]).sum();
        assert!((y - expected).abs() < 1e-11, "{y} against {expected}");
    }
    let check = |name: &str, lengths: &[u32], shape: &[usize]| {
        let offsets = ints(&Device::cpu(), &offsets_of(lengths));
        Check::new(name, |x| Ok(vec![x[0].segment_sum(&offsets.to_device(x[0].device())?)?])).run(&[real(shape, 2)]);
    };
    check("segment_sum", &LENGTHS, &[rows, 2]);
    check("rows outside segments", &[3, 0, 2], &[9]);
    check("no rows", &[0, 0], &[0, 4]);
    check("no segments", &[], &[3, 2]);
    check("one row", &[1], &[1]);
}

#[test]
fn segments_do_not_disturb_each_other() {
    for device in devices("segments apart") {
        let data: Vec<f32> =
            (0..3000).map(|i| if i == 1500 { f32::INFINITY } else { 1e30 * (i < 1400) as u8 as f32 }).collect();
        let x: Var = Tensor::from_slice(&device, &data, &[3000]).unwrap().into();
        let sums = x.segment_sum(&ints(&device, &[0, 1400, 1501, 3000])).unwrap();
        let sums = sums.tensor().to_vec::<f32>().unwrap();
        assert!(sums[0] > 1e33 && sums[1] == f32::INFINITY && sums[2] == 0.0, "{sums:?} on {device}");
    }
}

/// The standard library's stable sort, as the numbers of the sorted keys.
fn plain_order(keys: &[u32], mask: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_by_key(|&i| keys[i as usize] & mask);
    order
}

#[test]
fn sorting_is_stable_for_every_size() {
    for n in [0, 1, 2, 127, 1000, 1025, 20_000] {
        for (below, bits) in [(u32::MAX, 32), (7, 32), (1, 32), (u32::MAX, 10), (u32::MAX, 0)] {
            let keys = numbers(n, below);
            let order = plain_order(&keys, ((1u64 << bits) - 1) as u32);
            for device in devices("sorting") {
                let sorted = radix_sort(&ints(&device, &keys), None, bits).unwrap();
                assert!(sorted.payload.to_vec::<u32>().unwrap() == order, "{n} keys, {bits} bits, on {device}");
                let expected: Vec<u32> = order.iter().map(|&i| keys[i as usize]).collect();
                assert!(sorted.keys.to_vec::<u32>().unwrap() == expected, "{n} keys, {bits} bits, on {device}");
            }
        }
    }
}

#[test]
fn a_large_sort_carries_its_payload() {
    let n = 1_500_000;
    let keys = numbers(n, 1 << 20);
    let payload: Vec<u32> = (0..n as u32).map(|i| i ^ 0x5555).collect();
    let cpu = Device::cpu();
    let sorted = radix_sort(&ints(&cpu, &keys), Some(&ints(&cpu, &payload)), 20).unwrap();
    let expected: Vec<u32> = plain_order(&keys, u32::MAX).into_iter().map(|i| i ^ 0x5555).collect();
    assert!(sorted.payload.to_vec::<u32>().unwrap() == expected);
}

#[test]
fn sorts_refuse_other_keys_and_payloads() {
    let cpu = Device::cpu();
    let keys = ints(&cpu, &[3, 1]);
    assert!(radix_sort(&keys, Some(&ints(&cpu, &[1])), 32).unwrap_err().to_string().contains("payload"));
    let floats = Tensor::from_slice(&cpu, &[1.0f32], &[1]).unwrap();
    assert!(radix_sort(&floats, None, 32).unwrap_err().to_string().contains("u32"));
}

#[test]
fn values_sorted_by_gathering_have_right_derivatives() {
    let keys = numbers(300, 50);
    Check::new("sorted values", |x| {
        let order = radix_sort(&ints(x[0].device(), &keys), None, 6)?;
        Ok(vec![x[0].gather(&order.payload)?.prefix_sum(0, Order::default())?])
    })
    .run(&[real(&[300, 2], 1)]);
}

#[test]
fn launches_of_more_than_65535_workgroups_cover_every_item() {
    // Both kinds of numbering: by item, and by workgroup (the sum of a map).
    let n = 65_536 * 64 + 70;
    for device in devices("folded launches") {
        let ids = segment_ids(&ints(&device, &[0, n as u32 - 1, n as u32]), n).unwrap().to_vec::<u32>().unwrap();
        assert!(ids[..n - 1].iter().all(|&s| s == 0) && ids[n - 1] == 1, "on {device}");
        let ones: Var = Tensor::from_slice(&device, &vec![1.0f32; n], &[n]).unwrap().into();
        assert_eq!(ones.sum().unwrap().tensor().item().unwrap(), n as f64, "on {device}");
    }
}
