//! Runs the program as a user does.

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// One call of the program.
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Run {
    /// Calls the program in `folder`.
    pub fn new<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        // Mesa's drivers complain on standard error where this variable is missing.
        command.args(arguments).current_dir(folder).env("XDG_RUNTIME_DIR", folder);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.out, self.err))
    }
}

/// What a call that must succeed, of `usual` arguments and `more`, says of its run.
#[allow(dead_code)] // not every test program trains
pub fn succeeded(folder: &Path, usual: &[&str], more: &[&str]) -> Value {
    let run = Run::new(folder, &[usual, more].concat());
    assert_eq!(run.code, 0, "{more:?}: {}{}", run.out, run.err);
    run.json()
}

/// A folder of posed pictures: the globe from a circle, rendered by the program itself.
#[allow(dead_code)] // not every test program has photographs
pub fn photographs(folder: &Path, views: usize) {
    let frames: Vec<_> = (0..views)
        .map(|k| {
            let (sin, cos) = (k as f64 / views as f64 * std::f64::consts::TAU).sin_cos();
            // OpenGL axes: the camera looks along −z, at the origin from a distance of 3.
            let matrix =
                [[cos, 0.0, sin, 3.0 * sin], [0.0, 1.0, 0.0, 0.0], [-sin, 0.0, cos, 3.0 * cos], [0.0, 0.0, 0.0, 1.0]];
            json!({ "file_path": format!("view_{k}"), "transform_matrix": matrix })
        })
        .collect();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let file = data.join("transforms.json");
    fs::write(&file, json!({ "camera_angle_x": 0.8, "w": 48, "h": 48, "frames": frames }).to_string()).unwrap();
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let cameras = file.to_str().unwrap();
    let run =
        Run::new(folder, &["render", globe, "--camera", cameras, "--size", "48x48", "--device", "cpu", "-o", "data"]);
    assert_eq!(run.code, 0, "{}", run.err);
}

/// A folder of posed pictures of one side of something: a square at one depth before a wall at another, both painted, from a
/// rig of hand-held cameras that look along −z.
#[allow(dead_code)] // not every test program has photographs
pub fn facade(folder: &Path, views: usize) {
    let (width, height, angle) = (48u32, 36u32, 0.9f64);
    let focal = 0.5 * width as f64 / (0.5 * angle).tan();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let number = |k: usize| (k as f64 * 0.618_034).fract() - 0.5;
    let frames: Vec<_> = (0..views)
        .map(|k| {
            // Spread over a square; the third numbers leave its plane a little.
            let eye = [0.8 * number(k), 0.8 * number(5 * k + 2), 0.1 * number(3 * k + 1)];
            let photograph = image::RgbImage::from_fn(width, height, |x, y| {
                let way =
                    [(x as f64 + 0.5 - 0.5 * width as f64) / focal, (0.5 * height as f64 - y as f64 - 0.5) / focal];
                let at = |depth: f64| [0, 1].map(|a| eye[a] + (depth + eye[2]) * way[a]);
                let (near, far) = (at(2.0), at(10.0));
                let painted = |[u, v]: [f64; 2], base: [f64; 3]| {
                    let wave = [(2.0 * u).sin(), (2.0 * v).cos(), (1.5 * (u + v)).sin()];
                    image::Rgb([0, 1, 2].map(|c| (255.0 * (base[c] + 0.2 * wave[c])) as u8))
                };
                if near.iter().all(|x| x.abs() < 0.45) {
                    painted(near.map(|x| 3.0 * x), [0.7, 0.3, 0.3])
                } else {
                    painted(far.map(|x| 0.6 * x), [0.3, 0.5, 0.7])
                }
            });
            photograph.save(data.join(format!("view_{k}.png"))).unwrap();
            let [x, y, z] = eye;
            let matrix = [[1.0, 0.0, 0.0, x], [0.0, 1.0, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]];
            json!({ "file_path": format!("view_{k}.png"), "transform_matrix": matrix })
        })
        .collect();
    let text = json!({ "camera_angle_x": angle, "w": width, "h": height, "frames": frames }).to_string();
    fs::write(data.join("transforms.json"), text).unwrap();
}
