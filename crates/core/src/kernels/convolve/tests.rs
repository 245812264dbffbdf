use super::{Geometry, convolve, convolve_back, convolve_weights};
use crate::{DType, Device, Tensor, ops::random};

fn numbers(shape: &[usize], seed: u64) -> Tensor {
    random::random_uniform(&Device::cpu(), DType::F64, shape, seed, -1.0, 1.0).unwrap()
}

/// Calls back with (number of the result, of the weight, of the input) for every product of a convolution.
fn products(n: usize, c: usize, o: usize, g: Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let Geometry { input: [h, w], output: [h_out, w_out], size, stride, before } = g;
    for (picture, y, x) in (0..n * h_out * w_out).map(|k| (k / (h_out * w_out), k / w_out % h_out, k % w_out)) {
        for (i, j) in (0..size * size).map(|t| (t / size, t % size)) {
            let (Some(row), Some(column)) =
                ((y * stride + i).checked_sub(before), (x * stride + j).checked_sub(before))
            else {
                continue;
            };
            if row >= h || column >= w {
                continue;
            }
            for (a, b) in (0..c * o).map(|k| (k / o, k % o)) {
                let result = ((picture * h_out + y) * w_out + x) * o + b;
                f(result, ((i * size + j) * c + a) * o + b, ((picture * h + row) * w + column) * c + a);
            }
        }
    }
}

fn close(found: &Tensor, expected: &[f64]) {
    for (x, y) in found.to_vec::<f64>().unwrap().iter().zip(expected) {
        assert!((x - y).abs() < 1e-11, "{x} against {y}");
    }
}

#[test]
fn convolutions_and_their_transposes_equal_plain_sums() {
    for shape in [[2, 5, 7, 3], [1, 1, 1, 1], [3, 8, 8, 2], [1, 2, 1, 70]] {
        let [n, h, w, c] = shape;
        let centred = |(size, stride, o)| (Geometry::new([h, w], size, stride), o);
        let padded = |(size, stride, zeros)| (Geometry::padded([h, w], size, stride, zeros), 3);
        let all = [(3, 1, 4), (3, 2, 3), (1, 1, 5), (1, 2, 2), (5, 3, 1)].map(centred).into_iter();
        for (g, o) in all.chain([(3, 2, [0, 1]), (2, 1, [1, 0]), (3, 1, [2, 2])].map(padded)) {
            let size = g.size;
            let (x, k, b) = (numbers(&shape, 1), numbers(&[size, size, c, o], 2), numbers(&[o], 3));
            let u = numbers(&[n, g.output[0], g.output[1], o], 4);
            let [xs, ks, us] = [&x, &k, &u].map(|t| t.to_vec::<f64>().unwrap());
            let mut y: Vec<f64> = b.to_vec::<f64>().unwrap().repeat(u.len() / o);
            let (mut dx, mut dk) = (vec![0.0; xs.len()], vec![0.0; ks.len()]);
            products(n, c, o, g, |r, k, i| {
                y[r] += ks[k] * xs[i];
                dx[i] += ks[k] * us[r];
                dk[k] += xs[i] * us[r];
            });
            close(&convolve(&x, &k, &b, g).unwrap(), &y);
            close(&convolve_back(&u, &k, g).unwrap(), &dx);
            close(&convolve_weights(&x, &u, g).unwrap(), &dk);
        }
    }
}

#[test]
fn convolutions_are_the_same_bits_for_any_number_of_threads() {
    let cast = |t: Tensor| t.cast(DType::F32).unwrap();
    let (x, k, b) = (cast(numbers(&[9, 16, 16, 8], 1)), cast(numbers(&[3, 3, 8, 8], 2)), cast(numbers(&[8], 3)));
    let g = Geometry::new([16, 16], 3, 1);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = convolve(&x, &k, &b, g).unwrap();
            [convolve_weights(&x, &y, g).unwrap(), y].map(|t| t.to_vec::<f32>().unwrap())
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}
