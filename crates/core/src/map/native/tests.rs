//! Machine code against the interpreter.

use super::super::eval::{Target, evaluate};
use super::super::{Derivative, Expr, IntExpr, Map};
use super::*;

const N: usize = 1000;

/// Reproducible numbers with some that are special.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let special = [0.0, -0.0, 1e-41, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 2_147_483_648.0, -3e9];
    (0..n as u32)
        .map(|i| {
            let x = (i.wrapping_mul(2_654_435_761) ^ seed).wrapping_mul(2_246_822_519) >> 8;
            if x.is_multiple_of(23) { special[x as usize / 23 % 8] } else { x as f32 / 2e6 - 4.0 }
        })
        .collect()
}

/// Bits of all outputs, interpreted and as machine code.
fn both(map: &Map, mode: Derivative) -> [Vec<u32>; 2] {
    let compiled = map.compiled(mode);
    let program = &compiled.program;
    let inputs: Vec<(Vec<f32>, Vec<i32>)> = (0..)
        .zip(&program.inputs)
        .map(|(k, input)| {
            let rows = match input.mode {
                super::super::Mode::Item => N,
                super::super::Mode::Uniform => 1,
                super::super::Mode::Table => 37,
            };
            let values = numbers(rows * input.width + 4, k); // and the slack that tensors have
            let int = values.iter().map(|&x| x as i32).collect();
            if input.real { (values, vec![]) } else { (vec![], int) }
        })
        .collect();
    let data = Data::<f32> {
        real: inputs.iter().map(|i| &i.0[..i.0.len().saturating_sub(4)]).collect(),
        int: inputs.iter().map(|i| &i.1[..i.1.len().saturating_sub(4)]).collect(),
        widths: program.inputs.iter().map(|i| i.width).collect(),
        rows: inputs.iter().zip(&program.inputs).map(|(x, i)| (x.0.len() + x.1.len() - 4) / i.width).collect(),
        params: vec![0.7],
        int_params: vec![5],
    };
    let native = compile(&compiled.code, &data.widths).expect("this machine has AVX2");
    assert!(native.body.actions.iter().any(|a| matches!(a, Action::Native(_))));
    [None, Some(&native.body)].map(|native| {
        let mut real = vec![vec![0f32; N * 8]; program.outputs.len()];
        let mut int = vec![vec![0i32; N * 8]; program.outputs.len()];
        let mut targets: Vec<Target<f32>> = real
            .iter_mut()
            .zip(&mut int)
            .zip(&program.outputs)
            .map(|((r, i), o)| if o.real { Target::Real(&mut r[..]) } else { Target::Int(&mut i[..]) })
            .collect();
        evaluate(&compiled.code, native, &data, (N, crate::map::eval::shared_chunk(&compiled.code, N)), &mut targets);
        let real = real.iter().flatten().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() });
        real.chain(int.iter().flatten().map(|&x| x as u32)).collect()
    })
}

fn agree(map: &Map) {
    if simd::level() < simd::Level::Avx2 {
        eprintln!("skipped: no AVX2");
        return;
    }
    let real: Vec<bool> = map.0.program.inputs.iter().map(|i| i.real).collect();
    let given = vec![true; map.0.program.outputs.iter().filter(|o| o.real).count()];
    let vjp = Derivative::Vjp { given, wanted: real.clone() };
    for mode in [Derivative::Primal, Derivative::Jvp(real), vjp] {
        let [interpreted, native] = both(map, mode);
        let wrong = interpreted.iter().zip(&native).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "the first place that differs");
    }
}

#[test]
fn machine_code_gives_the_bits_of_the_interpreter_for_every_operation() {
    agree(&Map::new("every operation", |m| {
        let [a, b, c] = m.item::<3>("a");
        let [d] = m.uniform::<1>("d");
        let [i, j] = m.item_int::<2>("i");
        let (p, q) = (m.param(), m.int_param());
        let index = m.index();
        let less = a.less(b).or(b.less_eq(c).not()).and(i.less(j));
        let sums = [a + b * c - d, a / (b + p), a.min(b).max(c), (-a).abs().floor(), (a * a).sqrt()];
        let curves = [a.exp(), (b * b + 1.0).ln(), c.sin() + c.cos(), a.tanh(), a.atan2(b)];
        let chosen = [less.select(a, b), i.equals(j).select(d, c)];
        let reals: Vec<Expr> = sums.into_iter().chain(curves).chain(chosen).collect();
        let total = reals.iter().skip(1).fold(reals[0], |x, &y| x + y);
        let row = (i + j * q - index).modulo(11).bit_and(7);
        let ints: [IntExpr; 4] = [row.bit_xor(i), a.to_int().min(j).max(q), less.select_int(i, index), j.quotient(3)];
        m.output("reals", &reals[..4]);
        m.output("others", &reals[4..]);
        m.output("total", &[total]);
        m.output_int("ints", &ints);
        m.sum("sum", &[total, ints[1].to_real()]);
    }));
}

#[test]
fn machine_code_fetches_rows_of_any_width() {
    agree(&Map::new("rows", |m| {
        let [i] = m.item_int::<1>("i");
        let (one, two, three) = (m.table::<1>("one"), m.table::<2>("two"), m.table::<3>("three"));
        let (five, whole) = (m.table::<5>("five"), m.table_int::<3>("whole"));
        let [k, _, l] = whole.fetch(i);
        let x = [one.fetch(i)[0], two.fetch(k)[1], two.fetch(k + 1)[0], two.fetch(k + 1)[1]];
        let ([a, b, c], [_, d, _, e, f]) = (three.fetch(l), five.fetch(i + k));
        m.output("x", &x);
        m.output("y", &[a * d, b * e, c * f]);
        m.scatter("sums", three, &[(l, [x[0], a, b]), (k, [x[1], c, d])]);
    }));
}

#[test]
fn machine_code_spills_what_registers_do_not_hold() {
    agree(&Map::new("many at once", |m| {
        let [x, y] = m.item::<2>("x");
        let all: Vec<Expr> = (0..60).map(|k| x * (k as f64 + 0.5) + y).collect();
        let products = (0..60).fold(x, |sum, k| sum + all[k] * all[(k * 37 + 11) % 60]);
        let again = (0..60).fold(products, |sum, k| sum - all[59 - k] * products);
        m.output("sum", &[again]);
    }));
}
