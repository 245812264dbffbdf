use lumigrad_core::map::vector;
use lumigrad_core::*;
use std::time::Instant;
fn main() {
    let map = Map::new("brdf", |m| {
        let n = m.item::<3>("n");
        let v = m.item::<3>("v");
        let l = m.uniform::<3>("l");
        let [r] = m.item("r");
        let n = vector::normalize(n);
        let v = vector::normalize(v);
        let h = vector::normalize(vector::add(v, l));
        let a = r * r;
        let nh = vector::dot(n, h);
        let nl = vector::dot(n, l).max(0.0);
        let nv = vector::dot(n, v).max(0.0);
        let d = a * a / (nh * nh * (a * a - 1.0) + 1.0).square();
        let p = (1.0 - vector::dot(v, h)).powi(5);
        let vis = 0.5 / (nl * (nv * nv * (1.0 - a * a) + a * a).sqrt() + nv * (nl * nl * (1.0 - a * a) + a * a).sqrt());
        let f = 0.04 + 0.96 * p;
        let o = d * vis * f * nl;
        m.output("o", &[o, o * n[0], o * n[1]]);
    });
    let n = 262144;
    let d = Device::cpu();
    let t = |w: usize, s| ops::random_uniform(&d, DType::F32, &[n, w], s, 0.1, 1.0).unwrap();
    let (a, b, c) = (t(3, 1), t(3, 2), t(1, 3));
    let l = Tensor::from_slice(&d, &[0.5f32, 0.5, 0.7], &[3]).unwrap();
    for _ in 0..3 {
        let s = Instant::now();
        for _ in 0..10 {
            map.run(&[&a, &b, &l, &c], &CallParams::default()).unwrap();
        }
        let fwd = s.elapsed().as_secs_f64() / 10.0;
        let tape = Tape::new();
        let va = tape.variable(a.clone());
        let vc = tape.variable(c.clone());
        let o = map.apply(&[&va, &b.clone().into(), &l.clone().into(), &vc]).unwrap().remove(0);
        let g = Tensor::full(&d, DType::F32, o.shape(), 1.0).unwrap();
        let s = Instant::now();
        for _ in 0..10 {
            tape.backward_with(&o, g.clone()).unwrap();
        }
        let bwd = s.elapsed().as_secs_f64() / 10.0;
        println!("fwd {:.2} ns/item, bwd {:.2} ns/item", fwd * 1e9 / n as f64, bwd * 1e9 / n as f64);
    }
    // texture-like
    let map = Map::new("tex", |m| {
        let [u, v] = m.item("uv");
        let tex = m.table::<4>("tex");
        let (x, y) = (u * 512.0 - 0.5, v * 512.0 - 0.5);
        let (fx, fy) = (x - x.floor(), y - y.floor());
        let (i, j) = (x.floor().to_int(), y.floor().to_int());
        let r = [j * 512 + i, j * 512 + i + 1, j * 512 + 512 + i, j * 512 + 513 + i].map(|r| tex.fetch(r));
        let o: Vec<_> = (0..4)
            .map(|c| {
                (1.0 - fx) * (1.0 - fy) * r[0][c]
                    + fx * (1.0 - fy) * r[1][c]
                    + (1.0 - fx) * fy * r[2][c]
                    + fx * fy * r[3][c]
            })
            .collect();
        m.output("o", &o);
    });
    let uv: Vec<f32> =
        (0..n).flat_map(|i| [((i % 512) as f32 + 0.3) / 512.0, ((i / 512) as f32 + 0.7) / 512.0]).collect();
    let uv = Tensor::from_slice(&d, &uv, &[n, 2]).unwrap();
    let tex = ops::random_uniform(&d, DType::F32, &[512 * 512, 4], 5, 0.0, 1.0).unwrap();
    for _ in 0..3 {
        let s = Instant::now();
        for _ in 0..10 {
            map.run(&[&uv, &tex], &CallParams::default()).unwrap();
        }
        let fwd = s.elapsed().as_secs_f64() / 10.0;
        let tape = Tape::new();
        let vt = tape.variable(tex.clone());
        let o = map.apply(&[&uv.clone().into(), &vt]).unwrap().remove(0);
        let g = Tensor::full(&d, DType::F32, o.shape(), 1.0).unwrap();
        let s = Instant::now();
        for _ in 0..10 {
            tape.backward_with(&o, g.clone()).unwrap();
        }
        let bwd = s.elapsed().as_secs_f64() / 10.0;
        println!("bilinear x4: fwd {:.2} ns/item, bwd {:.2} ns/item", fwd * 1e9 / n as f64, bwd * 1e9 / n as f64);
    }
}
