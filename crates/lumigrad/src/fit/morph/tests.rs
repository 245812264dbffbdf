use super::blend::Blend;
use super::landmarks::{Pair, inwards};
use super::task::{MorphTask, Side};
use super::warp::Warp;
use super::{DEFAULTS, FIT, FitMorphJob};
use crate::fit::describe;
use crate::fit::drive::Task;
use crate::fit::frames::picture;
use crate::run::job::Document;
use crate::run::{Silent, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::{Device, Tape};
use lumigrad_field::Model;
use lumigrad_scene::picture::Picture;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const SIZE: (usize, usize) = (64, 48);
const SMALL: &str = "width = 48\nbatch = 256\nframes = 3\n";

fn save(folder: &Path, name: &str, (w, h): (usize, usize), phase: f32) {
    let at = |k: usize| [k % w, k / w].map(|x| x as f32 / 7.0);
    let data = (0..w * h).flat_map(|k| [at(k)[0].sin(), at(k)[1].cos(), phase].map(|x| 0.5 + 0.4 * x)).collect();
    fs::write(folder.join(name), picture(w, h, data).encode_png().unwrap()).unwrap();
}

/// Pairs of a file: a grid of points of the first picture, and where they go.
fn pairs(n: usize, to: impl Fn([f64; 2]) -> [f64; 2]) -> Vec<Pair> {
    let at = |k: usize, side: usize| side as f64 * (0.2 + 0.6 * k as f64 / (n - 1) as f64);
    (0..n * n).map(|k| [at(k % n, SIZE.0), at(k / n, SIZE.1)]).map(|a| Pair { a, b: to(a) }).collect()
}

fn write(folder: &Path, pairs: &[Pair]) {
    let mut text = String::new();
    pairs.iter().for_each(|p| writeln!(text, "{} {} {} {}", p.a[0], p.a[1], p.b[0], p.b[1]).unwrap());
    fs::write(folder.join("l.txt"), text).unwrap();
}

fn job(text: &str) -> String {
    format!(
        "command = \"fit morph\"\na = \"a.png\"\nb = \"b.png\"\nlandmarks = \"l.txt\"\nout = \"run\"\ndevice = \"cpu\"\n{text}"
    )
}

fn fit(folder: &Path, text: &str) -> Result<Summary> {
    (FIT.run)(&Document::parse_text(&job(text), "job.toml", folder)?, &Stop::new(), &mut Silent)
}

fn model(folder: &Path) -> (Warp, Vec<lumigrad_core::Tensor>) {
    let bytes = fs::read(folder.join("run/field.safetensors")).unwrap();
    let Model { field, values, .. } = Model::from_bytes(&bytes, &Device::cpu()).unwrap();
    (Warp { field }, values)
}

#[test]
fn an_affine_map_is_recovered_where_no_landmark_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, "a.png", SIZE, 0.0);
    save(folder, "b.png", SIZE, 1.0);
    let to = |[x, y]: [f64; 2]| [0.9 * x - 0.15 * y + 8.0, 0.12 * x + 0.95 * y - 3.0];
    write(folder, &pairs(3, to));
    let summary = fit(folder, &format!("{SMALL}iterations = 1500\nsmoothness = 10.0\n")).unwrap();
    let figure = |name: &str| summary.get(name).unwrap();
    let (warp, values) = model(folder);
    let mut worst = 0.0f64;
    for p in pairs(10, to) {
        let (from, wanted) = (inwards(p.a, SIZE), inwards(p.b, SIZE));
        let found = warp.sample(&values, &from.map(|x| x as f32), 1.0).unwrap();
        worst = worst.max((found[0] as f64 - wanted[0]).hypot(found[1] as f64 - wanted[1]));
    }
    assert!(worst < 4e-3, "unseen points are off by {worst}");
    assert!(figure("bending") < 5e-3 && figure("landmark_error_max_px") < 0.05, "{:?}", summary.metrics);
    assert!(figure("inverse_error") < 1e-3 && figure("folded_percent") == 0.0, "{:?}", summary.metrics);
    // Areas grow by the map's determinant at the end, and by its inverse on the way back.
    assert!((figure("min_determinant") - 0.9 * 0.95 - 0.15 * 0.12).abs() < 0.02, "{:?}", summary.metrics);
    // The first and the last frame are the pictures.
    for (frame, name) in [("000", "a.png"), ("002", "b.png")] {
        let load = |path: &Path| Picture::load(path).unwrap().into_srgb().data;
        let (found, own) = (load(&folder.join(format!("run/frames/{frame}.png"))), load(&folder.join(name)));
        assert!(found.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1.5 / 255.0), "{frame} is {name}");
    }
    assert!(folder.join("run/report.html").is_file());
}

#[test]
fn identical_pictures_and_landmarks_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["a.png", "b.png"] {
        save(folder, name, SIZE, 0.3);
    }
    write(folder, &pairs(3, |a| a));
    let summary = fit(folder, &format!("{SMALL}iterations = 20\n")).unwrap();
    for figure in ["landmark_error_max_px", "inverse_error", "bending"] {
        assert_eq!(summary.get(figure), Some(0.0), "{figure}");
    }
    let load = |path: &str| Picture::load(&folder.join(path)).unwrap().data;
    assert_eq!(load("run/frames/001.png"), load("a.png"));
}

/// The solution of Δδ = div D on a grid of w × h pixels within a frame of zeros, D between neighbours to the right and below:
/// conjugate gradients.
fn poisson(w: usize, h: usize, right: &dyn Fn(usize, usize) -> f64, below: &dyn Fn(usize, usize) -> f64) -> Vec<f64> {
    let inside = |x: usize, y: usize| (1..w - 1).contains(&x) && (1..h - 1).contains(&y);
    let apply = |u: &[f64]| -> Vec<f64> {
        let of = |k: usize| match inside(k % w, k / w) {
            true => 4.0 * u[k] - u[k - 1] - u[k + 1] - u[k - w] - u[k + w],
            false => 0.0,
        };
        (0..w * h).map(of).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let source = |(x, y)| right(x - 1, y) - right(x, y) + below(x, y - 1) - below(x, y);
    let mut rest: Vec<f64> =
        (0..w * h).map(|k| if inside(k % w, k / w) { source((k % w, k / w)) } else { 0.0 }).collect();
    let (mut u, mut way) = (vec![0.0; w * h], rest.clone());
    for _ in 0..400 {
        let (before, moved) = (dot(&rest, &rest), apply(&way));
        let step = before / dot(&way, &moved).max(1e-300);
        for k in 0..w * h {
            u[k] += step * way[k];
            rest[k] -= step * moved[k];
        }
        let more = dot(&rest, &rest) / before.max(1e-300);
        way = rest.iter().zip(&way).map(|(r, w)| r + more * w).collect();
    }
    u
}

#[test]
fn a_blend_by_gradients_is_the_poisson_equations_solution() {
    // Of pictures that stay where they are: waves over a plain ground in one, a ball in the other.
    let (w, h) = SIZE;
    let at = |k: usize| [(k % w) as f32 + 0.5, (k / w) as f32 + 0.5];
    let grey = |of: &dyn Fn([f32; 2]) -> f32| (0..w * h).flat_map(|k| [of(at(k)); 3]).collect::<Vec<f32>>();
    let waves = grey(&|[x, y]| 0.4 + 0.2 * (x / 4.0).sin() * (y / 6.0).cos());
    let ball = grey(&|[x, y]| 0.3 + 0.5 * (-((x - 32.0).powi(2) + (y - 24.0).powi(2)) / 60.0).exp());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, data) in [("a.png", &waves), ("b.png", &ball)] {
        fs::write(folder.join(name), picture(w, h, data.clone()).encode_png().unwrap()).unwrap();
    }
    write(folder, &pairs(3, |a| a));
    let summary = fit(folder, "width = 16\nframes = 3\nbatch = 2048\niterations = 400\nblend = \"poisson\"\n").unwrap();
    assert_eq!(summary.get("landmark_error_max_px"), Some(0.0), "nothing moves");
    assert!(folder.join("run/blend.safetensors").is_file());
    let load = |path: &str| Picture::load(&folder.join(path)).unwrap().into_srgb().data;
    let [a, b, found] = ["a.png", "b.png", "run/frames/001.png"].map(load);
    let grey = |p: &[f32], k: usize| p[3 * k] as f64;
    // Slopes between pixels; at their middle those of the other direction are the mean of four.
    let across = |p: &[f32], k: usize, to: usize| grey(p, k + to) - grey(p, k);
    let other = |p: &[f32], k: usize, to: usize, by: usize| {
        let slope = |k: usize| 0.5 * (grey(p, (k + by).min(w * h - 1)) - grey(p, k.saturating_sub(by)));
        0.5 * (slope(k) + slope(k + to))
    };
    let lack = |k: usize, to: usize, by: usize| {
        let [x, y] = [&a, &b].map(|p| across(p, k, to).powi(2) + other(p, k, to, by).powi(2));
        (x / (x + y).max(1e-12) - 0.5) * (across(&a, k, to) - across(&b, k, to))
    };
    let right = |x: usize, y: usize| lack(y * w + x, 1, w);
    let below = |x: usize, y: usize| lack(y * w + x, w, 1);
    let wanted = poisson(w, h, &right, &below);
    let (mut wrong, mut size) = (0.0, 0.0);
    for k in 0..w * h {
        let added = grey(&found, k) - 0.5 * (grey(&a, k) + grey(&b, k));
        wrong += (added - wanted[k]).powi(2);
        size += wanted[k].powi(2);
    }
    let rms = |sum: f64| (sum / (w * h) as f64).sqrt();
    // What is added is as large as a twentieth of the range and more.
    assert!(rms(size) > 0.02, "{}", rms(size));
    assert!(rms(wrong) < 0.2 * rms(size), "{} of {}", rms(wrong), rms(size));
    // Both ends are the pictures.
    for (frame, own) in [("run/frames/000.png", &a), ("run/frames/002.png", &b)] {
        assert!(load(frame).iter().zip(own).all(|(x, y)| (x - y).abs() < 1.5 / 255.0), "{frame}");
    }
    let said = fit(folder, "iterations = 1\nblend = \"poisson\"\nregion = 2.0\n").unwrap_err().to_string();
    assert!(said.contains("--region"), "{said}");
}

#[test]
fn folds_are_told_and_pictures_may_differ_in_size() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, "a.png", SIZE, 0.0);
    save(folder, "b.png", (40, 80), 1.0);
    // The second picture's landmarks are mirrored: no warp does that without a fold.
    write(folder, &pairs(3, |[x, y]| [(64.0 - x) * 40.0 / 64.0, y]));
    let summary = fit(folder, &format!("{SMALL}iterations = 300\nmax_size = 32\n")).unwrap();
    assert!(summary.get("min_determinant").unwrap() < 0.0, "{:?}", summary.metrics);
    assert!(summary.warnings.iter().any(|w| w.contains("folds over")), "{:?}", summary.warnings);
    let frame = Picture::load(&folder.join("run/frames/002.png")).unwrap();
    assert_eq!((frame.width, frame.height), (32, 24));
}

#[test]
fn wrong_jobs_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, "a.png", SIZE, 0.0);
    let said = |text: &str| fit(folder, text).unwrap_err();
    assert!(said("").to_string().contains("b.png"));
    save(folder, "b.png", SIZE, 0.0);
    assert!(said("").to_string().contains("l.txt"));
    fs::write(folder.join("l.txt"), "1 2 3 4\n1 2 three 4\n").unwrap();
    assert!(said("").to_string().contains("l.txt:2: \"three\" is no number"));
    fs::write(folder.join("l.txt"), [0xff, 0xfe, 0x31]).unwrap();
    assert!(said("").to_string().contains("no text"));
    write(folder, &pairs(2, |a| a));
    assert!(said("encoding = \"hash\"\nactivation = \"relu\"\niterations = 1\n").to_string().contains("smooth"));
    let text = job("").replace("landmarks = \"l.txt\"\n", "");
    let document = Document::parse_text(&text, "job.toml", folder).unwrap();
    let missing = (FIT.run)(&document, &Stop::new(), &mut Silent).unwrap_err();
    assert!(matches!(missing, Error::Usage { .. }) && missing.to_string().contains("--landmarks"));
}

#[test]
fn both_devices_take_the_same_steps() {
    let Some(gpu) = lumigrad_testkit::gpu("morph") else { return };
    let text = job("width = 16\n");
    let job: FitMorphJob = Document::parse_text(&text, "job.toml", Path::new(".")).unwrap().parse().unwrap();
    let steps = |device: &Device| -> Vec<f64> {
        let warp = Warp { field: describe::field(&job.fit, 3, 2, &DEFAULTS).unwrap() };
        let blend = Blend::new((4, 4), 3, 0.8);
        let side = |phase: f32| {
            let data = (0..48).map(|k| 0.5 + 0.4 * (k as f32 + phase).sin()).collect();
            Side::new(picture(4, 4, data), device).unwrap()
        };
        let pairs: Vec<Pair> =
            pairs(3, |[x, y]| [x + 3.0, 0.9 * y]).into_iter().map(|p| p.inwards([SIZE; 2])).collect();
        let all = warp.field.start(1, device).unwrap().into_iter().chain(blend.start(1, device).unwrap());
        let mut parameters: Vec<_> = all.map(|p| p.value).collect();
        let mut task =
            MorphTask::new((warp, Some(blend)), [side(0.0), side(1.0)], &pairs, 64, job.clone(), device.clone())
                .unwrap();
        let tape = Tape::new();
        let vars: Vec<_> = parameters.drain(..).map(|p| tape.variable(p)).collect();
        let loss = task.loss(&vars, 3).unwrap();
        let mut gradients = tape.backward(&loss).unwrap();
        let norms = vars.iter().map(|v| gradients.take(v).unwrap().to_f64_vec().unwrap());
        let norms = norms.map(|g| g.iter().map(|x| x * x).sum::<f64>().sqrt());
        [loss.tensor().item().unwrap()].into_iter().chain(norms).collect()
    };
    for (a, b) in steps(&Device::cpu()).into_iter().zip(steps(&gpu)) {
        assert!((a - b).abs() < 1e-4 * a.abs(), "{a} on the CPU, {b} on the GPU");
    }
}
