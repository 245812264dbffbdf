use lumigrad_core::*;
use lumigrad_optim::*;
use std::time::Instant;
fn main() {
    let n = 1 << 22;
    let d = Device::cpu();
    let t = |s| ops::random_uniform(&d, DType::F32, &[n], s, -1.0, 1.0).unwrap();
    let (mut x, g) = (t(1), Some(t(2)));
    for uniform in [false, true] {
        let mut adam = Adam::new(vec![Group { uniform, bounds: (-10.0, 10.0), ..Group::new("x", 1e-3) }]);
        let mut times = vec![];
        for _ in 0..20 {
            let s = Instant::now();
            adam.step(&mut [&mut x], std::slice::from_ref(&g), 1.0).unwrap();
            times.push(s.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let m = times[10];
        println!("uniform {uniform}: {:.2} ms, {:.1} GB/s of 28 bytes per element", m * 1e3, 28.0 * n as f64 / m / 1e9);
    }
    let (mut a, b) = (vec![0f32; n], g.as_ref().unwrap().as_slice::<f32>().unwrap().to_vec());
    let s = Instant::now();
    for _ in 0..10 {
        a.copy_from_slice(&b);
        std::hint::black_box(&mut a);
    }
    println!("copy one thread: {:.1} GB/s", 80.0 * n as f64 / s.elapsed().as_secs_f64() / 1e9);
    for (h, w) in [(256, 256), (1024, 1024)] {
        let t = |s| ops::random_uniform(&d, DType::F32, &[h, w, 4], s, 0.0, 1.0).unwrap();
        let (p, q) = (t(1), t(2));
        for name in ["l1", "l1+ssim", "l1/pyramid"] {
            let loss = Loss::from_name(name).unwrap();
            let mut times = vec![];
            profile::enable(true);
            profile::reset();
            for _ in 0..10 {
                let s = Instant::now();
                let tape = Tape::new();
                let x = tape.variable(p.clone());
                let y = loss.evaluate(&x, &q, None).unwrap();
                tape.backward(&y).unwrap();
                times.push(s.elapsed().as_secs_f64());
            }
            times.sort_by(f64::total_cmp);
            println!("{name} {h}x{w}x4, value and gradient: {:.2} ms", times[5] * 1e3);
            for e in profile::table().iter().take(9) {
                println!("    {:40} {:.2} ms x{}", e.name, e.seconds * 1e2, e.launches / 10);
            }
        }
    }
}
