use super::{Operand, matmul};
use crate::{Device, Tensor, ops::random};

fn numbers(shape: &[usize], seed: u64) -> Tensor {
    random::random_uniform(&Device::cpu(), crate::DType::F64, shape, seed, -1.0, 1.0).unwrap()
}

/// Sums in plain loops.
fn oracle(a: &Tensor, ta: bool, b: &Tensor, tb: bool, [m, n, k]: [usize; 3]) -> Vec<f64> {
    let (a, b) = (a.to_vec::<f64>().unwrap(), b.to_vec::<f64>().unwrap());
    let mut out = vec![0.0; a.len() / (m * k) * m * n];
    for (i, sum) in out.iter_mut().enumerate() {
        let (batch, row, column) = (i / (m * n), i / n % m, i % n);
        for d in 0..k {
            let x = a[batch * m * k + if ta { d * m + row } else { row * k + d }];
            let y = b[batch * k * n + if tb { column * k + d } else { d * n + column }];
            *sum += x * y;
        }
    }
    out
}

#[test]
fn products_equal_plain_sums_in_every_layout() {
    for (batches, [m, n, k]) in [(1, [1, 1, 1]), (3, [5, 7, 9]), (1, [130, 65, 33]), (1, [4, 3, 5000])] {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = numbers(&if ta { [batches, k, m] } else { [batches, m, k] }, 1);
            let b = numbers(&if tb { [batches, n, k] } else { [batches, k, n] }, 2);
            let found = matmul(Operand { tensor: &a, transposed: ta }, Operand { tensor: &b, transposed: tb }).unwrap();
            assert_eq!(found.shape(), [batches, m, n]);
            for (x, y) in found.to_vec::<f64>().unwrap().iter().zip(oracle(&a, ta, &b, tb, [m, n, k])) {
                assert!((x - y).abs() < 1e-11 * k as f64, "{x} against {y}");
            }
        }
    }
}

#[test]
fn products_are_the_same_bits_for_any_number_of_threads() {
    let cast = |t: Tensor| t.cast(crate::DType::F32).unwrap();
    for (m, n, k) in [(1000, 70, 300), (8, 16, 20_000)] {
        let (a, b) = (cast(numbers(&[m, k], 1)), cast(numbers(&[k, n], 2)));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let operand = |tensor| Operand { tensor, transposed: false };
            pool.install(|| matmul(operand(&a), operand(&b)).unwrap().to_vec::<f32>().unwrap())
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(5));
    }
}
