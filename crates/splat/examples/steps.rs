//! Times rendering and training steps on a made-up cloud: `cargo run --release -p lumigrad-splat --example steps`.
use lumigrad_splat::{Gaussians, Kernel, RenderOptions, Train, TrainOptions, Trainer, TrainingPicture, View, render};
use std::time::Instant;

fn main() -> Result<(), lumigrad_splat::Error> {
    for (n, width, height, size) in [(7_562u32, 476, 267, 0.035f32), (100_000, 400, 400, 0.008)] {
        // A low-discrepancy cloud (Roberts 2018) in the unit cube about the origin.
        let at = |i: u32, k: f64| ((i as f64 * k).fract() - 0.5) as f32;
        let means: Vec<[f32; 3]> =
            (0..n).map(|i| [at(i, 0.8191725133961645), at(i, 0.6710436067037893), at(i, 0.5497004779019703)]).collect();
        let colours: Vec<[f32; 3]> = means.iter().map(|m| m.map(|x| x + 0.5)).collect();
        let mut gaussians = Gaussians::from_points(&means, &colours, 3, Kernel::Classic);
        gaussians.log_scales.fill([size.ln(); 3]);
        let view = View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.5], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [400.0, 400.0, width as f32 / 2.0, height as f32 / 2.0],
            width,
            height,
        };
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            render(&gaussians, &view, &RenderOptions::default())?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        print!("{n} Gaussians at {width}x{height}: render {:.1} ms", times[4]);
        let picture =
            TrainingPicture { view, colour: vec![[0.5; 3]; width * height], alpha: Vec::new(), mask: Vec::new() };
        let mut trainer = Trainer::new(gaussians, vec![picture], TrainOptions::default())?;
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            trainer.step(0.5)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(", step {:.1} ms", times[4]);
    }
    Ok(())
}
