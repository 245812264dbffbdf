use super::input::{self, Domain};
use super::sampler::Sampler;
use super::{FIT, surface};
use crate::fields::extract;
use crate::run::job::Document;
use crate::run::{Event, Observer, Silent, Stop, Summary};
use crate::{Error, Result};
use glam::{DVec2, DVec3};
use lumigrad_geometry::{Border, Plane, Surface, Topology, marching_cubes, trace, volume_iou};
use lumigrad_scene::formats::ply;
use lumigrad_scene::picture::{Picture, Transfer};
use std::fmt::Write;
use std::path::Path;

type Shape = fn(DVec3) -> f64;

/// A torus around z, negative inside.
fn torus(p: DVec3) -> f64 {
    DVec2::new(p.truncate().length() - 0.6, p.z).length() - 0.25
}

/// A thick shell: nested contours, of which the inner ones are holes.
fn shell(p: DVec3) -> f64 {
    (p.length() - 0.55).abs() - 0.25
}

/// The CSL file of a shape's contours on planes n·x + d = 0.
fn csl(shape: Shape, planes: &[(DVec3, f64)]) -> String {
    let mut text = format!("CSLC\n{} 2\n", planes.len());
    const N: usize = 256;
    for (k, &(n, d)) in planes.iter().enumerate() {
        let plane = Plane::new(n, d, DVec3::ZERO).unwrap();
        let at = |p: DVec2| plane.point(p * (2.4 / N as f64) - 1.2);
        let value = |i: usize| -shape(at(DVec2::new((i % N) as f64, (i / N) as f64))) as f32;
        let contours = trace(&(0..N * N).map(value).collect::<Vec<_>>(), N, N, 0.0);
        let points = contours.concat();
        write!(text, "\n{k} {} {} {} {} {} {}\n\n", points.len(), contours.len(), n.x, n.y, n.z, d).unwrap();
        for p in points.iter().map(|&p| at(p)) {
            writeln!(text, " {} {} {}", p.x, p.y, p.z).unwrap();
        }
        let mut first = 0;
        for contour in contours {
            write!(text, "{} 1", contour.len()).unwrap();
            (first..first + contour.len()).for_each(|i| write!(text, " {i}").unwrap());
            text.push('\n');
            first += contour.len();
        }
    }
    text
}

/// Parallel planes, one of which misses the shape.
fn parallel(n: usize) -> Vec<(DVec3, f64)> {
    (0..n).map(|k| (DVec3::Y, -0.86 + 1.72 * (k as f64 + 0.5) / n as f64)).collect()
}

fn fit(folder: &Path, text: &str) -> Result<Summary> {
    let text = format!("command = \"fit slices\"\nout = \"run\"\ndevice = \"cpu\"\n{text}");
    let document = Document::parse_text(&text, "job.toml", folder)?;
    (FIT.run)(&document, &Stop::new(), &mut Silent)
}

const SMALL: &str = "width = 32\nbatch = 1024\niterations = 500\nresolution = 48\n";

fn against(shape: Shape, folder: &Path) -> f64 {
    let grid = extract::grid(DVec3::ONE, 64);
    let samples: Vec<f32> = (0..grid.n_samples()).map(|k| shape(DVec3::from_array(grid.point(k))) as f32).collect();
    let (positions, triangles) = marching_cubes(&samples, &grid, 0.0, Border::Closed).unwrap();
    let mesh = ply::load(&folder.join("run/mesh.ply")).unwrap();
    assert!(Topology::welded(&mesh.positions, &mesh.triangles).unwrap().manifold());
    let a = Surface { name: "mesh", positions: &mesh.positions, triangles: &mesh.triangles };
    volume_iou(a, Surface { name: "shape", positions: &positions, triangles: &triangles }, 20_000).unwrap()
}

#[test]
fn eight_slices_of_a_torus_make_a_torus() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("torus.csl"), csl(torus, &parallel(8))).unwrap();
    let summary = fit(folder, &format!("slices = \"torus.csl\"\n{SMALL}")).unwrap();
    assert_eq!(summary.metrics["watertight"], true);
    assert_eq!((summary.get("genus"), summary.get("n_components")), (Some(1.0), Some(1.0)));
    // One cell of the grid, in per cent of the contours' diagonal.
    let cell = 100.0 / 48.0 / 3f64.sqrt();
    assert!(summary.get("contour_error_max_percent").unwrap() < cell, "{:?}", summary.metrics);
    let iou = against(torus, folder);
    assert!(iou > 0.95, "{iou}");
    for file in ["field.safetensors", "report.html", "views/orbit_000.png"] {
        assert!(folder.join("run").join(file).is_file(), "{file}");
    }
}

#[test]
fn crossing_planes_of_a_shell_keep_its_cavity() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let far = (DVec3::new(1.0, 1.0, 1.0), 2.0);
    let axes = [DVec3::X, DVec3::Y, DVec3::Z, DVec3::new(1.0, 1.0, 0.0), DVec3::new(0.0, 1.0, -1.0)];
    let planes: Vec<_> = axes.into_iter().map(|n| (n, 0.02)).chain([far]).collect();
    let text = csl(shell, &planes);
    std::fs::write(folder.join("shell.csl"), &text).unwrap();
    let summary = fit(folder, &format!("slices = \"shell.csl\"\n{SMALL}")).unwrap();
    assert_eq!(summary.metrics["watertight"], true);
    assert_eq!((summary.get("genus"), summary.get("n_components")), (Some(0.0), Some(2.0)), "{:?}", summary.metrics);
    let iou = against(shell, folder);
    assert!(iou > 0.9, "{iou}");
}

#[test]
fn the_residual_network_fits_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("torus.csl"), csl(torus, &parallel(8))).unwrap();
    let job = "slices = \"torus.csl\"\nnetwork = \"orex\"\nbatch = 256\niterations = 3\nresolution = 16\n";
    let summary = fit(folder, job).unwrap();
    assert!(summary.history.iter().all(|r| r.loss.is_finite()) && summary.iterations == 3);
    assert!(folder.join("run/field.safetensors").is_file());
    assert!(matches!(fit(folder, &format!("{job}width = 8\n")), Err(Error::Usage { .. })));
}

#[test]
fn pictures_on_parallel_planes_are_slices() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let n = 24;
    for k in 0..6 {
        // A ball of radius 8 pixels around slice 2½, slices 4 pixels apart.
        let inside = |i: usize| {
            let p = DVec3::new((i % n) as f64 - 11.5, (i / n) as f64 - 11.5, 4.0 * (k as f64 - 2.5));
            (0.5 + 8.0 - p.length()).clamp(0.0, 1.0) as f32
        };
        let data = (0..n * n).map(inside).collect();
        let picture =
            Picture { width: n, height: n, channels: 1, data, transfer: Transfer::Srgb, premultiplied: false };
        picture.save_png(&folder.join(format!("{k}.png"))).unwrap();
    }
    let found = input::load(folder, 4.0).unwrap();
    let cut: Vec<usize> = found.slices.iter().map(|s| s.region.contours().len()).collect();
    assert_eq!(cut, [0, 1, 1, 1, 1, 0]);
    let centre = DVec3::new(11.5, -11.5, 10.0);
    let radii = found.slices.iter().flat_map(|s| s.points()).map(|p| p.distance(centre));
    assert!(radii.into_iter().all(|r| (r - 8.0).abs() < 0.2));
    let small = Picture {
        width: 2,
        height: 2,
        channels: 1,
        data: vec![1.0; 4],
        ..Picture::load(&folder.join("0.png")).unwrap()
    };
    small.save_png(&folder.join("9.png")).unwrap();
    let text = input::load(folder, 4.0).unwrap_err().to_string();
    assert!(text.contains("9.png") && text.contains("24×24"), "{text}");
    assert!(input::load(folder, 0.0).is_err());
}

#[test]
fn slices_without_a_solid_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fails = |text: &str, said: &[&str]| {
        std::fs::write(folder.join("a.csl"), text).unwrap();
        let error = fit(folder, &format!("slices = \"a.csl\"\n{SMALL}")).unwrap_err().to_string();
        assert!(said.iter().all(|s| error.contains(s)), "{error}");
        assert!(!folder.join("run").exists(), "nothing is written");
    };
    let one = csl(torus, &[(DVec3::Y, 0.1)]);
    fails(&one, &["a.csl", "one plane"]);
    fails(&csl(torus, &[(DVec3::Y, 2.0), (DVec3::X, 2.0)]), &["no plane has a contour"]);
    fails(&one.lines().take(100).collect::<Vec<_>>().join("\n"), &["a.csl:100", "cut off"]);
    fails(&one[..one.len() / 2], &["a.csl:"]);
    fails(&one.replacen("0.", "NaN", 1), &["a.csl:"]);
    fails("", &["a.csl:1"]);
    std::fs::create_dir(folder.join("empty")).unwrap();
    assert!(fit(folder, "slices = \"empty\"").unwrap_err().to_string().contains("no pictures"));
    assert!(fit(folder, "slices = \"nowhere.csl\"").unwrap_err().to_string().contains("nowhere.csl"));
    assert!(matches!(fit(folder, ""), Err(Error::Usage { .. })));
}

/// Asks to stop at a step.
struct StopAt<'a>(&'a Stop, usize);

impl Observer for StopAt<'_> {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Step { iteration, .. } if *iteration == self.1) {
            self.0.request();
        }
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_bytes_of_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("torus.csl"), csl(torus, &parallel(3))).unwrap();
    let job = "slices = \"torus.csl\"\nwidth = 8\nbatch = 128\niterations = 20\nresolution = 16\n";
    let read = || ["field.safetensors", "mesh.ply"].map(|f| std::fs::read(folder.join("run").join(f)).unwrap());
    fit(folder, job).unwrap();
    let whole = read();
    let text = format!("command = \"fit slices\"\nout = \"run\"\ndevice = \"cpu\"\n{job}");
    let document = Document::parse_text(&text, "job.toml", folder).unwrap();
    let stop = Stop::new();
    let stopped = (FIT.run)(&document, &stop, &mut StopAt(&stop, 7)).unwrap();
    assert_eq!(stopped.iterations, 7);
    assert!(read() != whole);
    assert_eq!(fit(folder, &format!("{job}resume = true\n")).unwrap().iterations, 20);
    assert!(read() == whole);
}

#[test]
fn labels_are_those_of_the_shape() {
    let found = lumigrad_geometry::Slices::from_csl(&csl(shell, &parallel(5))).unwrap();
    let domain = Domain::new(&found.slices);
    let [centre, scale, outer] = [domain.centre, DVec3::splat(domain.scale), domain.outer()];
    let sampler = Sampler::new(domain, 3);
    let points = sampler.labelled(5, 4000, 0.02);
    assert_eq!(points, sampler.labelled(5, 4000, 0.02));
    let mut counts = [0; 3];
    for &(p, label) in &points {
        counts[(2.0 * label) as usize] += 1;
        let value = shell(p / scale + centre);
        // Contours are polygons of edges about 0.01 long.
        let right = match label {
            0.0 => value < 2e-3,
            1.0 => value > -2e-3 || p.abs().cmpge(outer).any(),
            _ => value.abs() < 2e-3,
        };
        assert!(right, "{p} has label {label} at distance {value}");
    }
    assert!(counts.iter().all(|&n| n >= 400), "{counts:?}");
    assert!(sampler.free(5, 100, 0.1).iter().all(|p| p.is_finite()));
}

#[test]
fn samples_near_the_surface_are_those_of_the_whole_grid() {
    let grid = extract::grid(DVec3::new(1.0, 1.0, 0.5), 96);
    let mut asked = 0;
    let value = |p: &[f32]| torus(DVec3::new(p[0].into(), p[1].into(), p[2].into())) as f32;
    let samples = extract::sampled(&grid, &mut |points| {
        asked += points.len() / 3;
        Ok(points.chunks(3).map(value).collect())
    })
    .unwrap();
    assert!(asked < grid.n_samples());
    for (k, &found) in samples.iter().enumerate() {
        let expected = torus(DVec3::from_array(grid.point(k))) as f32;
        assert_eq!(found < 0.0, expected < 0.0);
        assert!(expected.abs() > 0.1 || (found - expected).abs() < 1e-6);
    }
    // A second part that no contour touches goes.
    let two: Vec<f32> = (0..grid.n_samples())
        .map(|k| {
            let p = DVec3::from_array(grid.point(k));
            torus(p).min(p.length() - 0.2) as f32
        })
        .collect();
    let mesh = surface::extract(&two, &grid, &[DVec3::X * 0.85]).unwrap();
    let topology = Topology::new(mesh.positions.len(), &mesh.triangles).unwrap();
    assert_eq!((mesh.n_removed, topology.genus(), topology.n_parts), (1, Some(1), 1));
    assert_eq!(surface::extract(&two, &grid, &[]).unwrap().n_removed, 0);
}
