//! A real scan with holes: what its signed distance is worth, and how fast it is.

use lumigrad_geometry::{
    Border, Keep, SampleGrid, SignedDistance, Surface, SurfaceSampler, Topology, compare, keep_parts, marching_cubes,
};
use std::time::Instant;

type Mesh = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// Reads a text PLY of triangles.
fn read(path: std::path::PathBuf) -> Option<Mesh> {
    let text = std::fs::read_to_string(path).ok()?;
    let (head, body) = text.split_once("end_header")?;
    let count = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<usize>().ok());
    let (n, m) = (count("element vertex")?, count("element face")?);
    let mut lines = body.lines().filter(|l| !l.trim().is_empty());
    let row = |line: &str| line.split_whitespace().filter_map(|x| x.parse::<f64>().ok()).collect::<Vec<_>>();
    let positions = lines.by_ref().take(n).map(row).map(|r| [r[0] as f32, r[1] as f32, r[2] as f32]).collect();
    let triangles = lines.take(m).map(row).map(|r| [r[1] as u32, r[2] as u32, r[3] as u32]).collect();
    Some((positions, triangles))
}

fn number(k: u64) -> f32 {
    let z = k.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// The best of five runs, in seconds.
fn time<T>(mut f: impl FnMut() -> T) -> f64 {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(f());
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn bunny(what: &str) -> Option<Mesh> {
    let Some(data) = std::env::var_os("LUMIGRAD_DATA") else {
        eprintln!("skipped: {what}: LUMIGRAD_DATA is not set");
        return None;
    };
    let mesh = read(std::path::Path::new(&data).join("meshes/bunny_binary.ply"));
    assert!(mesh.is_some(), "no text PLY at meshes/bunny_binary.ply");
    mesh
}

/// The box around a mesh: its centre and longest side.
fn extent(positions: &[[f32; 3]]) -> ([f32; 3], f32) {
    let (mut lo, mut hi) = ([f32::MAX; 3], [f32::MIN; 3]);
    for p in positions {
        for c in 0..3 {
            (lo[c], hi[c]) = (lo[c].min(p[c]), hi[c].max(p[c]));
        }
    }
    (std::array::from_fn(|c| 0.5 * (lo[c] + hi[c])), (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f32::max))
}

#[test]
fn the_surface_of_the_signed_distance_of_an_open_scan_is_the_scan() {
    let Some((positions, triangles)) = bunny("signed distance of a scan") else { return };
    let field = SignedDistance::new(&positions, &triangles).unwrap();
    let (centre, size) = extent(&positions);
    let half = [0, 1, 2].map(|_| 0.55 * size as f64);
    let corner = |sign: f64| std::array::from_fn(|c| centre[c] as f64 + sign * half[c]);
    let grid = SampleGrid::over(corner(-1.0), corner(1.0), [97; 3]);
    let points: Vec<[f32; 3]> = (0..grid.n_samples()).map(|s| grid.point(s).map(|x| x as f32)).collect();
    let samples = field.distances(&points);
    let (p, t) = marching_cubes(&samples, &grid, 0.0, Border::Open).unwrap();
    let topology = Topology::new(p.len(), &t).unwrap();
    assert!(topology.watertight() && topology.manifold());
    let (p, t) = keep_parts(&p, &t, Keep::Largest).unwrap();
    let [found, scan] =
        [(&p, &t), (&positions, &triangles)].map(|(p, t)| Surface { name: "bunny", positions: p, triangles: t });
    let c = compare(found, scan, 20_000).unwrap();
    // Where the scan has holes the surface spans them.
    assert!(c.chamfer_percent < 0.2 && c.f_score > 0.98, "{c:?}");
    // The shares of samples that are inside, by exact winding numbers and by dipoles.
    let exact = SignedDistance::new(&positions, &triangles).unwrap().with_accuracy(f32::INFINITY);
    let few: Vec<[f32; 3]> = points.iter().step_by(97).copied().collect();
    let other = few.iter().zip(exact.winding_numbers(&few)).zip(samples.iter().step_by(97));
    let n_other = other.filter(|((_, w), d)| (*w > 0.5) != (**d < 0.0)).count();
    assert!(n_other * 1000 < few.len(), "{n_other} of {}", few.len());
}

#[test]
#[ignore = "a measurement: run with --release and --nocapture"]
fn speeds() {
    if let Some((positions, triangles)) = bunny("speeds of distances") {
        distances(&positions, &triangles);
    }
    surfaces(256);
}

fn surfaces(n: usize) {
    let grid = SampleGrid::over([-1.5; 3], [1.5; 3], [n; 3]);
    let sphere = |[x, y, z]: [f64; 3]| (x * x + y * y + z * z).sqrt() - 1.0;
    let gyroid = |p: [f64; 3]| {
        let [x, y, z] = p.map(|x| 8.0 * x);
        x.sin() * y.cos() + y.sin() * z.cos() + z.sin() * x.cos()
    };
    for (name, f) in [("sphere", &sphere as &dyn Fn([f64; 3]) -> f64), ("gyroid", &gyroid)] {
        let samples: Vec<f32> = (0..grid.n_samples()).map(|s| f(grid.point(s)) as f32).collect();
        let run = || marching_cubes(&samples, &grid, 0.0, Border::Closed).map(|m| m.1.len());
        println!("{name} of {n}^3 samples: {} triangles in {:.0} ms", run().unwrap_or(0), 1e3 * time(run));
    }
}

fn distances(positions: &[[f32; 3]], triangles: &[[u32; 3]]) {
    let build = time(|| SignedDistance::new(positions, triangles).map(|s| s.n_turned()));
    println!("{} triangles, built in {:.1} ms", triangles.len(), 1e3 * build);
    let field = SignedDistance::new(positions, triangles).expect("a mesh");
    let exact = SignedDistance::new(positions, triangles).expect("a mesh").with_accuracy(f32::INFINITY);
    let (centre, size) = extent(positions);
    let surface = Surface { name: "mesh", positions, triangles };
    let sampler = SurfaceSampler::new(surface).expect("area");
    println!("{:.1} M/s points drawn", 1.0 / time(|| sampler.draw(1, 0, 1_000_000)));
    for n in [16_384, 131_072, 1_048_576] {
        let volume: Vec<[f32; 3]> = (0..n)
            .map(|k| std::array::from_fn(|c| centre[c] + size * 1.1 * (number(3 * k + c as u64) - 0.5)))
            .collect();
        let samples = surface.samples(n as usize).expect("area");
        let noise = |k: u64| 0.01 * size * (number(k) + number(k + 1) + number(k + 2) - 1.5);
        let close: Vec<[f32; 3]> = samples
            .iter()
            .enumerate()
            .map(|(k, &s)| {
                let p = surface.place(s);
                std::array::from_fn(|c| p[c] as f32 + noise(17 * k as u64 + 5 * c as u64))
            })
            .collect();
        for (name, points) in [("in the box", volume), ("near the surface", close)] {
            let rate = |t: f64| n as f64 / t * 1e-6;
            let distances = rate(time(|| field.distances(&points)));
            let nearest = rate(time(|| field.nearest(&points)));
            let winding = rate(time(|| field.winding_numbers(&points)));
            let (a, b) = (&points[..2048.min(points.len())], 2048.0);
            let errors: Vec<f32> =
                field.winding_numbers(a).iter().zip(exact.winding_numbers(a)).map(|(x, y)| (x - y).abs()).collect();
            let (worst, mean) = (errors.iter().fold(0.0f32, |m, &e| m.max(e)), errors.iter().sum::<f32>() / b);
            println!(
                "{n:8} points {name:16}: {distances:.2} M/s signed, {nearest:.2} M/s closest points, {winding:.2} M/s \
                 winding numbers (error {mean:.1e} mean, {worst:.1e} worst)"
            );
        }
    }
}

#[test]
fn an_atlas_of_a_scan_has_few_charts_and_fills_the_picture() {
    let Some((positions, triangles)) = bunny("atlas of a scan") else { return };
    let start = Instant::now();
    let options = lumigrad_geometry::AtlasOptions { size: 2048, gutter: 4 };
    let atlas = lumigrad_geometry::Atlas::new(&positions, &triangles, &options).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let known = atlas.texels(2048, 2.0).known().count();
    println!(
        "{} triangles: {} charts, {:.0} % filled, {known} texels near; {seconds:.2} s, texels {:.2} s",
        triangles.len(),
        atlas.n_charts,
        100.0 * atlas.filled,
        start.elapsed().as_secs_f64()
    );
    assert!(atlas.n_charts * 50 < triangles.len() && atlas.filled > 0.45);
}
