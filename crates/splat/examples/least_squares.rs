//! What least squares gain after Adam, beside more steps of Adam: the curve of both.
//!
//! `cargo run --release -p lumigrad-splat --example least_squares -- DATA [STEPS [GAUSSIANS [LM-STEPS]]]`, DATA a folder of
//! NeRF-synthetic pictures on transparent ground. From the state after STEPS steps of Adam, 2000 more are taken, or LM-STEPS
//! (5) steps of least squares. Rates fall to their end over STEPS ("ended"), or over STEPS and those 2000 ("falling").

use lumigrad_core::{Device, Tensor};
use lumigrad_optim::Loss;
use lumigrad_splat::{
    Background, Gaussians, Kernel, LmTrainer, RenderOptions, Strategy, Train, TrainOptions, Trainer, TrainingPicture,
    View, render_views,
};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The pictures of a split, over black.
fn load(folder: &Path, split: &str) -> Result<Vec<TrainingPicture>> {
    let file = folder.join(format!("transforms_{split}.json"));
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let angle = all["camera_angle_x"].as_f64().ok_or("camera_angle_x is missing")?;
    let frames = all["frames"].as_array().ok_or("frames is missing")?;
    let load = |frame: &serde_json::Value| -> Result<TrainingPicture> {
        let name = frame["file_path"].as_str().ok_or("file_path is missing")?;
        let path = folder.join(name);
        let path = if path.extension().is_some() { path } else { path.with_extension("png") };
        let picture = image::open(path)?.into_rgba8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let at = |i: usize, k: usize| frame["transform_matrix"][i][k].as_f64().unwrap_or(f64::NAN);
        // OpenGL's axes to OpenCV's, and the inverse of a rigid motion.
        let sign = [1.0, -1.0, -1.0];
        let mut viewmat = [[0.0f32, 0.0, 0.0, 1.0]; 4];
        for i in 0..3 {
            for k in 0..3 {
                viewmat[i][k] = (sign[i] * at(k, i)) as f32;
            }
            viewmat[i][3] = -(0..3).map(|k| sign[i] * at(k, i) * at(k, 3)).sum::<f64>() as f32;
        }
        let focal = (0.5 * width as f64 / (0.5 * angle).tan()) as f32;
        let intrinsics = [focal, focal, 0.5 * width as f32, 0.5 * height as f32];
        let view =
            View { viewmat, intrinsics, width, height, projection: Default::default(), shutter: Default::default() };
        let colour = |p: &image::Rgba<u8>| [0, 1, 2].map(|ch| p[ch] as f32 / 255.0);
        Ok(TrainingPicture {
            view,
            colour: picture.pixels().map(colour).collect(),
            alpha: picture.pixels().map(|p| p[3] as f32 / 255.0).collect(),
            mask: vec![],
            normals: vec![],
            depth: vec![],
        })
    };
    frames.iter().map(load).collect()
}

/// Mean PSNR and mean loss.
fn scores(gaussians: &Gaussians, pictures: &[TrainingPicture]) -> Result<[f64; 2]> {
    let views: Vec<View> = pictures.iter().map(|p| p.view.clone()).collect();
    let images = render_views(gaussians, &views, &RenderOptions::default())?;
    let (cpu, loss) = (Device::cpu(), Loss::from_name("l1+ssim")?);
    let (mut psnr, mut sum) = (0.0, 0.0);
    for (image, p) in images.iter().zip(pictures) {
        let shape = [p.view.height, p.view.width, 3];
        let target: Vec<f32> = p.colour.iter().zip(&p.alpha).flat_map(|(c, a)| c.map(|c| c * a)).collect();
        let shown = image.colour.as_flattened();
        let square = shown.iter().zip(&target).map(|(a, b)| f64::from(a.clamp(0.0, 1.0) - b).powi(2)).sum::<f64>();
        psnr -= 10.0 * (square / target.len() as f64).log10();
        let shown = Tensor::from_slice(&cpu, shown, &shape)?.into();
        sum += loss.evaluate(&shown, &Tensor::from_slice(&cpu, &target, &shape)?, None)?.tensor().item()?;
    }
    Ok([psnr, sum].map(|x| x / pictures.len() as f64))
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("VmRSS unknown");
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("usage: least_squares DATA [STEPS [GAUSSIANS [LM-STEPS]]]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |n| n.parse());
    let (steps, cap, lm_steps) = (number(6000)?, number(10_000)?, number(5)?);
    let (train, test) = (load(Path::new(&data), "train")?, load(Path::new(&data), "test")?);
    let noise = |i: usize| ((i as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0) as f32;
    let places: Vec<[f32; 3]> =
        (0..cap).map(|i| [noise(7 * i + 1), noise(13 * i + 5), noise(29 * i + 3)].map(|x| 1.3 * x)).collect();
    let start = Gaussians::from_points(&places, &vec![[0.5; 3]; cap], 3, Kernel::Classic);
    let options = TrainOptions {
        strategy: Strategy::Mcmc { cap },
        background: Background::Random,
        opacity_weight: 0.01,
        scale_weight: 0.01,
        ..TrainOptions::default()
    };
    const MORE: usize = 2000;
    for (name, planned) in [("ended", steps), ("falling", steps + MORE)] {
        let mut adam = Trainer::new(start.clone(), train.clone(), options.clone())?;
        let clock = Instant::now();
        for k in 0..steps {
            adam.step(k as f64 / planned as f64)?;
        }
        let seconds = clock.elapsed().as_secs_f64();
        let print = |way: &str, step: usize, seconds: f64, trainer: &dyn Train| -> Result<()> {
            let gaussians = trainer.gaussians()?;
            let ([seen, loss], [held, lost]) = (scores(&gaussians, &train)?, scores(&gaussians, &test)?);
            let of = |psnr: f64, loss: f64| format!("{psnr:.3} dB {loss:.6}");
            println!(
                "{name} {way} {step} {seconds:.2} s | train {} | test {} | {}",
                of(seen, loss),
                of(held, lost),
                memory()
            );
            Ok(())
        };
        print("adam", steps, seconds, &adam)?;
        let state = adam.state()?;
        let mut squares = LmTrainer::new(Trainer::resume(state, train.clone(), options.clone())?, None)?;
        let mut spent = 0.0;
        for k in 1..=lm_steps {
            let clock = Instant::now();
            squares.step(1.0)?;
            spent += clock.elapsed().as_secs_f64();
            print("lm", k, spent, &squares)?;
        }
        drop(squares);
        let mut spent = 0.0;
        for k in 0..MORE {
            let clock = Instant::now();
            adam.step((steps + k) as f64 / planned as f64)?;
            spent += clock.elapsed().as_secs_f64();
            if (k + 1) % 500 == 0 {
                print("adam", steps + k + 1, spent, &adam)?;
            }
        }
    }
    Ok(())
}
