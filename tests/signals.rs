//! Fields of signals as a user fits them: a sound, a sequence of frames, a picture from its gradients.

mod common;

use common::Run;
use std::fs;
use std::path::Path;

/// A WAV file of 16-bit PCM.
fn wav(samples: &[f64], rate: u32) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|x| ((x * 32767.0) as i16).to_le_bytes()).collect();
    let chunk = |name: &str, body: &[u8]| [name.as_bytes(), &(body.len() as u32).to_le_bytes(), body].concat();
    let mut format = vec![1, 0, 1, 0];
    format.extend([rate.to_le_bytes(), (2 * rate).to_le_bytes()].concat());
    format.extend([2, 0, 16, 0]);
    chunk("RIFF", &[b"WAVE".to_vec(), chunk("fmt ", &format), chunk("data", &data)].concat())
}

/// A chirp of some samples.
fn chirp(n: usize) -> Vec<f64> {
    (0..n).map(|k| k as f64 / n as f64).map(|t| 0.6 * (40.0 * t + 60.0 * t * t).sin()).collect()
}

/// Writes a grey picture of a formula on [0, 1]².
fn picture(path: &Path, size: usize, value: impl Fn(f64, f64) -> f64) {
    let mut bytes = vec![];
    for y in 0..size {
        for x in 0..size {
            let at = |k: usize| (k as f64 + 0.5) / size as f64;
            bytes.push((value(at(x), at(y)).clamp(0.0, 1.0) * 255.0).round() as u8);
        }
    }
    image::save_buffer(path, &bytes, size as u32, size as u32, image::ColorType::L8).unwrap();
}

fn run(folder: &Path, words: &str) -> Run {
    let mut all: Vec<&str> = words.split(' ').collect();
    all.extend(["--device", "cpu", "--json"]);
    Run::new(folder, &all)
}

/// Runs and expects a figure of at least this much.
fn reaches(folder: &Path, words: &str, metric: &str, least: f64) {
    let run = run(folder, words);
    assert_eq!(run.code, 0, "{words}: {}", run.err);
    let found = run.json()["metrics"][metric].as_f64().unwrap();
    assert!(found >= least, "{words}: {metric} {found}, expected at least {least}");
}

/// Runs with several numbers of threads and expects the same field.
fn gives_the_same_bits(folder: &Path, words: &str) {
    for threads in ["1", "3"] {
        let run = run(folder, &format!("{words} --iterations 12 --threads {threads} --out t{threads}"));
        assert_eq!(run.code, 0, "{}", run.err);
    }
    let field = |name: &str| fs::read(folder.join(name).join("field.safetensors")).unwrap();
    assert!(field("t1") == field("t3"), "{words}: fields differ between 1 and 3 threads");
}

fn fails(folder: &Path, words: &str, code: i32, said: &str) {
    let run = run(folder, words);
    assert_eq!(run.code, code, "{words}: {}{}", run.out, run.err);
    assert!(!run.err.contains("panicked"), "{}", run.err);
    let error = run.json()["error"].to_string();
    assert!(error.contains(said), "{words} says {said:?}: {error}");
}

#[test]
fn a_sound_is_fitted_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.wav"), wav(&chirp(2000), 8000)).unwrap();
    reaches(folder, "fit audio a.wav --iterations 150 --out run", "snr_db", 25.0);
    for file in ["sound.wav", "field.safetensors", "report.html", "metrics.json", "job.toml"] {
        assert!(folder.join("run").join(file).is_file(), "{file}");
    }
    let bytes = fs::read(folder.join("run/sound.wav")).unwrap();
    assert!(bytes.len() > 4 * 2000 && bytes.len() < 4 * 2000 + 200, "32-bit floats of as many samples");
    assert!(fs::read_to_string(folder.join("run/report.html")).unwrap().contains("data:audio/wav"));
    // The field's file gives the sound at any rate.
    for (rate, samples) in [("", 2000), (" --rate 16000", 4000)] {
        let run = run(folder, &format!("render run{rate} -o sounds"));
        assert_eq!(run.code, 0, "{}", run.err);
        let bytes = fs::read(folder.join("sounds/sound.wav")).unwrap();
        assert!((4 * samples..4 * samples + 200).contains(&bytes.len()), "{rate}: {} bytes", bytes.len());
        assert!(!rate.is_empty() || bytes == fs::read(folder.join("run/sound.wav")).unwrap());
    }
    fails(folder, "render run --rate 0.5 -o sounds", 2, "--rate");
    fails(folder, "render run --size 8x8 -o sounds", 2, "a sound has no use for it");
    // What was written is read, at another rate too.
    reaches(
        folder,
        "fit audio run/sound.wav --encoding none --omega 100 --width 32 --depth 2 --lr 2e-3 --rate 16000 --iterations 200 --out again",
        "snr_db",
        10.0,
    );
    assert!(fs::read(folder.join("again/sound.wav")).unwrap().len() > 4 * 4000);
    gives_the_same_bits(folder, "fit audio a.wav");
}

#[test]
fn broken_sounds_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let whole = wav(&chirp(400), 8000);
    fs::write(folder.join("cut.wav"), &whole[..500]).unwrap();
    fs::write(folder.join("header.wav"), &whole[..20]).unwrap();
    fs::write(folder.join("empty.wav"), wav(&[], 8000)).unwrap();
    fs::write(folder.join("text.wav"), "no sound at all, but some text that is long enough").unwrap();
    fails(folder, "fit audio cut.wav", 1, "ends before the 400 samples");
    fails(folder, "fit audio header.wav", 1, "header.wav");
    fails(folder, "fit audio empty.wav", 1, "without samples");
    fails(folder, "fit audio text.wav", 1, "no WAV file");
    fails(folder, "fit audio nowhere.wav", 1, "nowhere.wav");
    fails(folder, "fit audio", 2, "SOUND is missing");
    // One sample, and silence, are sounds.
    fs::write(folder.join("one.wav"), wav(&[0.5], 8000)).unwrap();
    fs::write(folder.join("silence.wav"), wav(&[0.0; 50], 8000)).unwrap();
    for file in ["one", "silence"] {
        let run = run(folder, &format!("fit audio {file}.wav --iterations 3 --out {file}"));
        assert_eq!(run.code, 0, "{file}: {}", run.err);
    }
}

#[test]
fn frames_are_fitted_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("in")).unwrap();
    for k in [2usize, 9, 10] {
        let wave = |x: f64, y: f64| 0.5 + 0.4 * (6.0 * x + 4.0 * y + 0.2 * k as f64).sin();
        picture(&folder.join(format!("in/f{k}.png")), 24, wave);
    }
    reaches(folder, "fit video in --iterations 100 --batch 2048 --frames 5 --out run", "psnr", 30.0);
    for file in ["frames/000.png", "frames/004.png", "field.safetensors", "report.html"] {
        assert!(folder.join("run").join(file).is_file(), "{file}");
    }
    // The field's file gives frames at any time and size.
    for (more, files) in [("", 3), ("--frames 5 --size 12x12", 5), ("--time 0.5", 1)] {
        let out = format!("frames{files}");
        let run = run(folder, format!("render run -o {out} {more}").trim());
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(fs::read_dir(folder.join(&out)).unwrap().count(), files);
    }
    let open = |path: &str| image::open(folder.join(path)).unwrap().to_rgb8();
    assert_eq!(open("frames5/frame_0004.png").dimensions(), (12, 12));
    let off =
        open("run/frames/004.png").iter().zip(open("frames3/frame_0002.png").iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off <= Some(1), "{off:?}");
    fails(folder, "render run --time 2.5 -o out", 2, "expected 0 to 2");
    gives_the_same_bits(folder, "fit video in --batch 512");
    picture(&folder.join("in/f3.png"), 25, |_, _| 0.5);
    fails(folder, "fit video in", 1, "25x25");
    fs::create_dir(folder.join("none")).unwrap();
    fails(folder, "fit video none", 1, "no frames");
    fails(folder, "fit video in/f2.png", 1, "expected a folder");
    fails(folder, "fit video nowhere", 1, "nowhere");
    fs::write(folder.join("none/a.png"), "no picture").unwrap();
    fails(folder, "fit video none", 1, "a.png");
}

#[test]
fn a_picture_is_recovered_from_its_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    picture(&folder.join("a.png"), 24, |x, y| 0.5 + 0.25 * (5.0 * x).sin() + 0.2 * (7.0 * y - 2.0 * x).cos());
    let small = "--width 48 --depth 2 --omega 10 --lr 2e-3";
    reaches(folder, &format!("fit poisson a.png {small} --iterations 300 --out run"), "psnr", 30.0);
    for file in ["image.png", "field.safetensors", "report.html"] {
        assert!(folder.join("run").join(file).is_file(), "{file}");
    }
    reaches(folder, &format!("fit poisson a.png --from laplacian {small} --iterations 300 --out bent"), "psnr", 10.0);
    gives_the_same_bits(folder, &format!("fit poisson a.png {small} --batch 200"));
    fails(folder, "fit poisson a.png --from laplacian --encoding hash --activation relu", 1, "smooth activation");
    fails(folder, "fit poisson nowhere.png", 1, "nowhere.png");
    picture(&folder.join("one.png"), 1, |_, _| 0.5);
    let run = run(folder, "fit poisson one.png --iterations 3 --out one");
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn pictures_are_composed_by_their_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dot = |x: f64, y: f64| (-40.0 * ((x - 0.5).powi(2) + (y - 0.5).powi(2))).exp();
    picture(&folder.join("picture.png"), 32, |x, _| 0.5 + 0.3 * x);
    picture(&folder.join("source.png"), 32, |x, y| 0.8 - 0.4 * dot(x, y));
    picture(&folder.join("mask.png"), 32, |x, y| f64::from((x - 0.5).abs() < 0.35 && (y - 0.5).abs() < 0.35));
    let words = "fit poisson picture.png --source source.png --mask mask.png --width 48 --depth 2 --omega 10 --lr 2e-3 --iterations 400 --out run";
    reaches(folder, words, "outside_psnr", 30.0);
    let found = image::open(folder.join("run/image.png")).unwrap().to_luma8();
    let at = |x: u32, y: u32| found.get_pixel(x, y).0[0] as f64 / 255.0;
    // The dot is there, and its surroundings have the picture's brightness, not the source's.
    assert!((at(16, 16) - (0.65 - 0.4)).abs() < 0.08, "the dot: {}", at(16, 16));
    assert!((at(8, 8) - (0.5 + 0.3 * 8.5 / 32.0)).abs() < 0.08, "beside it: {}", at(8, 8));
    fails(folder, "fit poisson picture.png --source source.png", 2, "go together");
    picture(&folder.join("dark.png"), 32, |_, _| 0.0);
    fails(folder, "fit poisson picture.png --source source.png --mask dark.png", 1, "all of the mask is dark");
    picture(&folder.join("small.png"), 16, |_, _| 0.5);
    fails(folder, "fit poisson picture.png --source small.png --mask mask.png", 1, "16x16");
}
