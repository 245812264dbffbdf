//! What runs recover, on problems small enough for a test: lenses, light from all around, shapes that are remeshed.

use lumigrad::core::{DType, Device, Tape, Tensor, Var};
use lumigrad::optim::{LevenbergMarquardt, LmOptions, Loss, Schedule};
use lumigrad::optimize::{Init, Optimizer, ParamChoice, Problem, Settings, ShapeWeights, Source, Target};
use lumigrad::optimize::{bounds, diagnose, encode, optimize, over, range_test};
use lumigrad::raster::{Bindings, Camera, Options, Renderer};
use lumigrad::run::{Budget, Stop};
use lumigrad::scene::camera::{Framing, sphere_views};
use lumigrad::scene::environment::{Environment, direction_of_uv};
use lumigrad::scene::{Material, MeshData, Scene};
use lumigrad::splat::Background;
use lumigrad_testkit::real_in;

const INTRINSICS: &str = "/views/*/intrinsics";
const ENVIRONMENT: &str = "/environment";

/// A unit sphere with normals, coloured by position.
fn sphere(rows: u32, material: &Material, colored: bool) -> Scene {
    let columns = 2 * rows;
    let (mut points, mut triangles) = (vec![], vec![]);
    for r in 0..=rows {
        let theta = std::f32::consts::PI * r as f32 / rows as f32;
        for c in 0..columns {
            let phi = std::f32::consts::TAU * c as f32 / columns as f32;
            points.push([theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()]);
        }
    }
    let at = |r: u32, c: u32| r * columns + c % columns;
    for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        triangles.extend([[at(r, c), at(r, c + 1), at(r + 1, c)], [at(r, c + 1), at(r + 1, c + 1), at(r + 1, c)]]);
    }
    let color = |p: &[f32; 3]| [0.5 + 0.4 * (5.0 * p[0]).sin(), 0.5 + 0.4 * (4.0 * p[1]).sin(), 0.5 - 0.4 * p[2], 1.0];
    let colors = colored.then(|| points.iter().map(color).collect());
    let mesh = MeshData { normals: Some(points.clone()), positions: points, triangles, colors, ..Default::default() };
    Scene::from_mesh("sphere", &mesh, material, None).unwrap()
}

/// Views of a scene in its true light; `known` is what the run is told of that.
fn problem(scene: Scene, n: usize, size: usize, truth: Option<Environment>, known: Option<Environment>) -> Problem {
    let device = Device::cpu();
    let renderer = Renderer::new(&scene, &device, &Options { environment: truth, dtype: None }).unwrap();
    let frame = renderer.frame(&Bindings::new()).unwrap();
    let (centre, radius) = bounds(&scene).unwrap();
    let train = sphere_views(n, &Framing::of_sphere(centre, radius, (size, size)))
        .into_iter()
        .map(|view| {
            let image = frame.render(&Camera::new(&view, &device, DType::F32).unwrap()).unwrap().image;
            Target { view, encoded: encode(&image).unwrap().tensor().clone(), mask: None, opaque: false }
        })
        .collect();
    Problem { truth: Some(scene.clone()), scene, train, test: vec![], environment: known }
}

fn settings(pattern: &str, rate: f64, init: Option<Init>, iterations: usize) -> Settings {
    Settings {
        scene: "sphere".into(),
        source: Source::Synthesise { target: "sphere".into(), views: 4 },
        size: (32, 32),
        hdr: false,
        downscale: None,
        max_size: None,
        grid: None,
        topology: false,
        params: vec![ParamChoice { pattern: pattern.into(), rate: Some(rate) }],
        init: init.into_iter().map(|init| (pattern.to_owned(), init)).collect(),
        perturb_cameras: None,
        environment: None,
        environment_smoothness: 1.0,
        texture_smoothness: 0.0,
        shape: ShapeWeights::default(),
        prior: None,
        background: Background::Colour([0.0; 3]),
        auto_regularisers: false,
        uncertainty: false,
        displacement: false,
        remesh: false,
        stochastic: false,
        optimizer: "adam".into(),
        schedule: Schedule::Exponential { end: 0.05 },
        find_lr: false,
        loss: "l2".into(),
        budget: Budget::new(Some(iterations), None, None),
        batch: Some(4),
        seed: 3,
    }
}

#[test]
fn intrinsics_of_views_are_recovered() {
    let material = Material { unlit: true, double_sided: true, ..Default::default() };
    let problem = problem(sphere(24, &material, true), 4, 48, None, None);
    let settings = settings(INTRINSICS, 4e-3, Some(Init::Noise(0.04)), 150);
    let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
    let before = optimizer.psnr().unwrap();
    let outcome = optimize(&mut optimizer, &Stop::default(), |_, _| {}).unwrap();
    let (after, error) = (optimizer.psnr().unwrap(), outcome.intrinsics_error.unwrap());
    println!("intrinsics: {error:.4} % off, {before:.1} dB before, {after:.1} dB after");
    assert!(before < 30.0 && after > 45.0 && error < 0.1);

    // A checkpoint brings them back.
    let checkpoint = optimizer.checkpoint(String::new()).unwrap();
    let mut resumed = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
    resumed.restore(&checkpoint).unwrap();
    assert_eq!(resumed.psnr().unwrap(), after);
}

#[test]
fn a_colour_is_recovered_from_pictures_without_derivatives() {
    const FACTOR: &str = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    let material = Material { unlit: true, base_color_factor: [0.2, 0.7, 0.4, 1.0], ..Default::default() };
    let problem = problem(sphere(8, &material, true), 2, 16, None, None);
    let settings = Settings { stochastic: true, ..settings(FACTOR, 0.02, Some(Init::Number(0.5)), 120) };
    let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
    let before = optimizer.psnr().unwrap();
    optimize(&mut optimizer, &Stop::default(), |_, _| {}).unwrap();
    let after = optimizer.psnr().unwrap();
    assert!(after > before + 12.0, "{before} -> {after} dB");
}

#[test]
fn what_no_picture_shows_is_named_and_left_unchanged() {
    const OTHER: &str = "/materials/1/pbrMetallicRoughness/roughnessFactor";
    let material = Material { unlit: true, ..Default::default() };
    let mut scene = sphere(8, &material, true);
    scene.add_material(&Material { roughness_factor: 0.3, ..Default::default() }).unwrap();
    let problem = problem(scene, 2, 16, None, None);
    for name in ["adam", "lm"] {
        let settings = Settings { optimizer: name.into(), ..settings(OTHER, 0.1, None, 3) };
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        let outcome = optimize(&mut optimizer, &Stop::default(), |_, _| {}).unwrap();
        assert_eq!(optimizer.unobserved().unwrap(), [OTHER]);
        assert_eq!(outcome.scene.get(OTHER).unwrap().1, [0.3]);
    }
}

#[test]
fn other_parameters_of_views_and_bad_starts_are_refused() {
    let material = Material { unlit: true, ..Default::default() };
    let problem = problem(sphere(4, &material, true), 1, 8, None, None);
    let refused = |settings: Settings| Optimizer::new(&problem, &settings, &Device::cpu()).err().unwrap().to_string();
    let message = refused(settings("/views/*/distortion", 1e-3, None, 1));
    assert!(message.contains("expected /views/*/pose or /views/*/intrinsics"), "{message}");
    let message = refused(settings(INTRINSICS, 1e-3, Some(Init::Vector(vec![-1.0, 1.0, 1.0, 1.0])), 1));
    assert!(message.contains("expected noise:SIGMA or FX,FY,CX,CY"), "{message}");
}

/// A bright side, a dim one, and colour from below; darker than white, where pictures end.
fn light() -> Environment {
    let (width, height) = (32, 16);
    let texel = |i: usize| {
        let uv = [((i % width) as f64 + 0.5) / width as f64, ((i / width) as f64 + 0.5) / height as f64];
        let [x, y, z] = direction_of_uv(uv);
        let lamp = 0.5 * (6.0 * (x - 1.0)).exp();
        [0.1 + lamp, 0.2 + lamp + 0.1 * y, 0.25 + lamp - 0.2 * z].map(|v| v as f32)
    };
    Environment { width, height, data: (0..width * height).flat_map(texel).collect() }
}

#[test]
fn an_unknown_environment_is_recovered_smooth_or_not() {
    let material = Material { metallic_factor: 1.0, roughness_factor: 0.25, ..Default::default() };
    let truth = light();
    let problem = problem(sphere(24, &material, false), 6, 40, Some(truth.clone()), None);
    for smoothness in [0.0, 1.0] {
        let mut settings = settings(ENVIRONMENT, 0.15, Some(Init::Number(0.5)), 150);
        settings.environment_smoothness = smoothness;
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        assert!(optimizer.environment().unwrap().unwrap().data.iter().all(|x| (x - 0.5).abs() < 1e-3));
        let before = optimizer.psnr().unwrap();
        optimize(&mut optimizer, &Stop::default(), |_, _| {}).unwrap();
        let (after, found) = (optimizer.psnr().unwrap(), optimizer.environment().unwrap().unwrap());
        assert!(found.data.iter().all(|x| *x > 0.0));
        // What a rough surface tells: irradiance from all directions.
        let (a, b) = (found.irradiance_sh(), truth.irradiance_sh());
        let norm = |f: &dyn Fn(usize, usize) -> f64| {
            (0..9).flat_map(|k| (0..3).map(move |c| (k, c))).map(|(k, c)| f(k, c).powi(2)).sum::<f64>().sqrt()
        };
        let error = norm(&|k, c| a[k][c] - b[k][c]) / norm(&|k, c| b[k][c]);
        println!(
            "smoothness {smoothness}: {before:.1} dB before, {after:.1} dB after, irradiance {:.2} % off",
            100.0 * error
        );
        assert!(before < 25.0 && after > 38.0 && error < 0.03);
    }
}

const POSITION: &str = "/meshes/*/primitives/*/attributes/POSITION";

/// A sphere that is to become an ellipsoid.
fn ellipsoid_from_sphere() -> Problem {
    let sphere = sphere(8, &Material { metallic_factor: 0.0, ..Material::default() }, false);
    let mut target = sphere.clone();
    let (_, positions) = target.get(&POSITION.replace('*', "0")).unwrap();
    let stretched: Vec<f32> = positions.chunks_exact(3).flat_map(|p| [p[0], 1.5 * p[1], 0.7 * p[2]]).collect();
    target.set(&POSITION.replace('*', "0"), &stretched).unwrap();
    let white = Some(Environment::constant([1.0; 3]));
    Problem { scene: sphere, ..problem(target, 8, 48, white.clone(), white) }
}

/// Steps from the present one to step `end` of 40.
fn go_on(optimizer: &mut Optimizer, end: usize) -> f64 {
    let mut loss = f64::NAN;
    while optimizer.iteration < end {
        loss = optimizer.step(optimizer.iteration as f64 / 40.0).unwrap();
    }
    loss
}

#[test]
fn shapes_get_even_triangles_between_stages_and_resume_across_them() {
    let problem = ellipsoid_from_sphere();
    let settings = Settings { remesh: true, ..settings(POSITION, 0.12, None, 40) };
    let device = Device::cpu();
    let mut whole = Optimizer::new(&problem, &settings, &device).unwrap();
    let first = whole.total_loss().unwrap();
    go_on(&mut whole, 40);
    let n_vertices = |o: &Optimizer| o.scene().unwrap().meshes()[0].primitives[0].positions.len();
    let start = problem.scene.meshes()[0].primitives[0].positions.len();
    assert!(n_vertices(&whole) > start * 3 / 2, "{} vertices from {start}", n_vertices(&whole));
    let last = whole.total_loss().unwrap();
    assert!(last < 0.5 * first, "loss {first} -> {last}");

    let mut stopped = Optimizer::new(&problem, &settings, &device).unwrap();
    go_on(&mut stopped, 19);
    let checkpoint = stopped.checkpoint(String::new()).unwrap();
    let mut resumed = Optimizer::new(&problem, &settings, &device).unwrap();
    resumed.restore(&checkpoint).unwrap();
    go_on(&mut resumed, 40);
    let positions = |o: &Optimizer| o.scene().unwrap().meshes()[0].primitives[0].positions.clone();
    assert!(positions(&resumed) == positions(&whole), "a resumed run ends elsewhere");
}

#[test]
fn shapes_with_colours_on_their_vertices_keep_their_triangles() {
    let mut problem = ellipsoid_from_sphere();
    problem.scene = sphere(8, &Material::default(), true);
    let settings = Settings { remesh: true, ..settings(POSITION, 0.01, None, 40) };
    let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
    go_on(&mut optimizer, 15);
    let (before, after) = (problem.scene.meshes()[0].primitives[0].clone(), optimizer.scene().unwrap());
    assert_eq!(before.triangles, after.meshes()[0].primitives[0].triangles);
}

#[test]
fn levenberg_marquardt_finds_factors_in_few_steps() {
    let truth = Material { base_color_factor: [0.7, 0.4, 0.2, 1.0], metallic_factor: 0.0, ..Material::default() };
    let white = Some(Environment::constant([1.0; 3]));
    let problem = problem(sphere(8, &truth, false), 3, 32, white.clone(), white);
    let pointer = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    // All views together, or one after the other; losses that are sums of squares and others.
    let runs = [
        ("lm", "l2", None),
        ("lm", "l1+ssim", None),
        ("lm", "huber", Some(1)),
        ("lm-gns", "l2", None),
        ("lm", "iou", None),
    ];
    for (optimizer, loss, batch) in runs {
        let start = settings(pointer, 0.02, Some(Init::Number(0.5)), 9);
        let settings = Settings { optimizer: optimizer.into(), loss: loss.into(), batch, ..start };
        let mut run = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        go_on(&mut run, 12);
        let (_, found) = run.scene().unwrap().get(pointer).unwrap();
        if loss == "iou" {
            assert!(
                found.iter().take(3).all(|x| (x - 0.5).abs() < 1e-6),
                "silhouettes say nothing of colour: {found:?}"
            );
            continue;
        }
        for (found, truth) in found.iter().zip(truth.base_color_factor).take(3) {
            assert!((found - truth).abs() < 1e-3, "{optimizer}, {loss}: {found} against {truth}");
        }
    }
}

#[test]
fn a_range_test_scales_rates_that_are_far_too_large_and_health_is_reported() {
    let material = Material { unlit: true, double_sided: true, ..Default::default() };
    let problem = problem(sphere(16, &material, true), 4, 32, None, None);
    // Lenses move by two thirds of their focal length per step.
    let settings = settings(INTRINSICS, 0.7, Some(Init::Noise(0.04)), 60);
    let stop = Stop::default();
    let test = range_test(&problem, &settings, &Device::cpu(), &stop).unwrap();
    assert!(test.diverged && test.factor < 0.1, "{:?}", test.factor);
    let run = |factor: f64| {
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        optimizer.rate_factor = factor;
        optimize(&mut optimizer, &stop, |_, _| {}).unwrap();
        let health = diagnose(&optimizer).unwrap();
        assert_eq!(health.groups[0].name, INTRINSICS);
        assert!(health.largest_singular_value.unwrap() > 0.0 && health.amplifier.is_some());
        optimizer.psnr().unwrap()
    };
    let (with, without) = (run(test.factor), run(1.0));
    assert!(with > without + 10.0, "{with} dB, {without} dB without the test");
}

#[test]
fn what_is_not_a_number_is_traced_to_where_it_begins() {
    let material = Material { unlit: true, ..Default::default() };
    let problem = problem(sphere(8, &material, true), 2, 16, None, None);
    const FACTOR: &str = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    let settings = settings(FACTOR, 0.02, Some(Init::Number(f32::NAN)), 5);
    let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
    let error = optimizer.step(0.0).unwrap_err().to_string();
    assert!(error.contains("holds numbers that are not finite") && error.contains(FACTOR), "{error}");
}

const TEXTURE: &str = "/materials/0/pbrMetallicRoughness/baseColorTexture";

/// A card with a texture of size × size texels.
fn card(size: usize) -> Scene {
    let mesh = MeshData {
        positions: vec![[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        texcoords: Some(vec![[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        ..MeshData::default()
    };
    let material = Material { unlit: true, double_sided: true, ..Material::default() };
    let mut scene = Scene::from_mesh("card", &mesh, &material, None).unwrap();
    // Four large squares of a colour each: noise can be told from them.
    let color = |k: usize| match (k % size < size / 2, k / size < size / 2) {
        (true, true) => [0.8, 0.2, 0.2, 1.0],
        (false, true) => [0.2, 0.6, 0.3, 1.0],
        (true, false) => [0.1, 0.2, 0.7, 1.0],
        (false, false) => [0.7, 0.7, 0.6, 1.0],
    };
    let texels: Vec<f32> = (0..size * size).flat_map(color).collect();
    scene.create_texture(TEXTURE, size as u32, size as u32, &texels).unwrap();
    scene
}

#[test]
fn the_weight_of_a_regulariser_finds_its_size_from_pictures_that_are_held_out() {
    let size = 24;
    let mut problem = problem(card(size), 20, size, None, None);
    problem.test = problem.train.split_off(16);
    for (k, target) in problem.train.iter_mut().enumerate() {
        let noise = real_in(&[size, size, 4], 100 + k as u64, -0.4, 0.4).to_f64_vec().unwrap();
        let picture = target.encoded.to_f64_vec().unwrap();
        let noisy = picture.iter().zip(noise).enumerate();
        let noisy: Vec<f32> = noisy.map(|(i, (p, e))| (p + if i % 4 == 3 { 0.0 } else { e }) as f32).collect();
        target.encoded = Tensor::from_slice(&Device::cpu(), &noisy, &[size, size, 4]).unwrap();
    }
    let run = |weight: f64, auto: bool| {
        let start = settings(TEXTURE, 0.03, Some(Init::Number(0.5)), 120);
        let settings = Settings { texture_smoothness: weight, auto_regularisers: auto, ..start };
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        optimize(&mut optimizer, &Stop::default(), |_, _| {}).unwrap();
        (optimizer.psnr().unwrap(), optimizer.texture_weight())
    };
    // By hand 0.01 is the best of the powers of ten (39.1 dB), 0.001 and 0.1 give 37.6 and 27.0 dB.
    let (without, _) = run(0.0, false);
    for start in [1e-3, 10.0] {
        let (psnr, weight) = run(start, true);
        println!("from {start}: weight {weight:.1e}, {psnr:.1} dB, {without:.1} dB without");
        assert!(psnr > without + 1.5 && (1e-3..0.05).contains(&weight));
    }
}

#[test]
fn a_sphere_is_displaced_along_its_normals_with_and_without_derivatives() {
    // A sphere of another size lies along the normals: nothing else need move.
    let sphere = sphere(8, &Material { metallic_factor: 0.0, ..Material::default() }, false);
    let mut target = sphere.clone();
    let pointer = POSITION.replace('*', "0");
    let (_, positions) = target.get(&pointer).unwrap();
    target.set(&pointer, &positions.iter().map(|x| 0.8 * x).collect::<Vec<_>>()).unwrap();
    let white = Some(Environment::constant([1.0; 3]));
    let problem = Problem { scene: sphere, ..problem(target, 6, 40, white.clone(), white) };
    for (stochastic, rate) in [(false, 0.02), (true, 0.05)] {
        let start = settings(POSITION, rate, None, 40);
        let settings = Settings { displacement: true, stochastic, batch: Some(6), loss: "l1".into(), ..start };
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        assert_eq!(optimizer.variables()[0].value.shape()[1], 1, "one number per vertex");
        go_on(&mut optimizer, 40);
        let positions = optimizer.scene().unwrap().meshes()[0].primitives[0].positions.clone();
        let lengths: Vec<f32> = positions.iter().map(|p| p.iter().map(|x| x * x).sum::<f32>().sqrt()).collect();
        let mean = lengths.iter().sum::<f32>() / lengths.len() as f32;
        assert!((mean - 0.8).abs() < 0.03, "mean radius {mean}, stochastic: {stochastic}");
    }
}

#[test]
fn pictures_are_compared_over_the_background_and_photographs_without_alpha_show_it() {
    let material = Material { unlit: true, double_sided: true, ..Default::default() };
    let clear = problem(sphere(8, &material, true), 2, 24, None, None);
    let mut photographs = problem(sphere(8, &material, true), 2, 24, None, None);
    for target in &mut photographs.train {
        let white = over(&target.encoded.clone().into(), [1.0; 3], true).unwrap();
        (target.encoded, target.opaque) = (white.tensor().clone(), true);
    }
    let (black, white) = (Background::Colour([0.0; 3]), Background::Colour([1.0; 3]));
    let state = |problem: &Problem, background| {
        let start = settings("/meshes/*/primitives/*/attributes/COLOR_0", 0.01, None, 1);
        let settings = Settings { background, ..start };
        let optimizer = Optimizer::new(problem, &settings, &Device::cpu()).unwrap();
        (optimizer.total_loss().unwrap(), optimizer.psnr().unwrap())
    };
    for (problem, background) in [(&clear, black), (&clear, white), (&clear, Background::Random), (&photographs, white)]
    {
        let (loss, psnr) = state(problem, background);
        assert!(loss < 1e-10 && psnr > 80.0, "{loss}, {psnr} dB over {background:?}");
    }
    assert!(state(&photographs, black).0 > 0.01);
}

#[test]
fn regularisers_of_shapes_lower_what_they_measure() {
    let mut rough = sphere(8, &Material { metallic_factor: 0.0, ..Material::default() }, false);
    let target = rough.clone();
    let pointer = POSITION.replace('*', "0");
    let (_, positions) = rough.get(&pointer).unwrap();
    let noise = real_in(&[positions.len()], 4, -0.04, 0.04).to_f64_vec().unwrap();
    let noisy: Vec<f32> = positions.iter().zip(noise).map(|(x, e)| x + e as f32).collect();
    rough.set(&pointer, &noisy).unwrap();
    let white = Some(Environment::constant([1.0; 3]));
    let problem = Problem { scene: rough, ..problem(target, 4, 32, white.clone(), white) };
    // What a regulariser measures, after a run with some weights.
    let measured = |by: ShapeWeights, shape: ShapeWeights, stochastic: bool| {
        let settings = Settings { shape, stochastic, loss: "l1".into(), ..settings(POSITION, 0.05, None, 60) };
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        go_on(&mut optimizer, 60);
        let variable = &optimizer.variables()[0];
        let loss = variable.shape_loss(&variable.value.clone().into(), &by).unwrap().unwrap();
        loss.tensor().item().unwrap()
    };
    let without = ShapeWeights::default();
    for shape in [
        ShapeWeights { laplacian: 10.0, ..without },
        ShapeWeights { normal_consistency: 10.0, ..without },
        ShapeWeights { edge_length: 10.0, ..without },
    ] {
        for stochastic in [false, true] {
            let [with, without] = [shape, without].map(|weights| measured(shape, weights, stochastic));
            println!("{shape:?}: {with:.3}, {without:.3} without, stochastic: {stochastic}");
            assert!(with < 0.9 * without, "{shape:?}: {with}, {without} without, stochastic: {stochastic}");
        }
    }
}

#[test]
fn conjugate_gradients_lower_the_energy_of_a_rendered_problem_in_every_iteration() {
    let scene = card(12);
    let problem = problem(scene.clone(), 1, 20, None, None);
    let device = Device::cpu();
    let renderer = Renderer::new(&scene, &device, &Options::default()).unwrap();
    let camera = Camera::new(&problem.train[0].view, &device, DType::F32).unwrap();
    let loss = Loss::from_name("l2").unwrap();
    let residuals = |_: &Tape, x: &[Var]| -> lumigrad::Result<Var> {
        let mut bindings = Bindings::new();
        bindings.bind(TEXTURE, x[0].clone());
        let picture = encode(&renderer.frame(&bindings)?.render(&camera)?.image)?;
        Ok(loss.residuals(&picture, &problem.train[0].encoded, None)?)
    };
    let mut before = 0.0;
    for max_inner in 1..12 {
        let tight = LmOptions { lambda: 1e-9, dense_limit: 0, inner_tolerance: 0.0, ..LmOptions::default() };
        let mut lm = LevenbergMarquardt::new(LmOptions { max_inner, max_trials: 1, ..tight });
        let mut x = [Tensor::full(&device, DType::F32, &[12, 12, 4], 0.5).unwrap()];
        let step = lm.step(&mut x, residuals).unwrap();
        // What the linear model gains is the energy's decrease.
        let gained = (step.previous_loss - step.loss) / step.gain;
        assert!(step.accepted && gained >= before * (1.0 - 1e-5), "{gained} after {before}");
        before = gained;
    }
}

#[test]
fn regression_estimates_of_shape_and_colour_see_both_in_every_step() {
    const FACTOR: &str = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    let problem = problem(sphere(6, &Material { unlit: true, ..Material::default() }, false), 2, 20, None, None);
    let mut settings = Settings { stochastic: true, ..settings(POSITION, 0.01, None, 10) };
    settings.params.push(ParamChoice { pattern: FACTOR.into(), rate: Some(0.02) });
    settings.init = vec![(FACTOR.into(), Init::Number(0.5))];
    for steps in [3, 4] {
        let mut optimizer = Optimizer::new(&problem, &settings, &Device::cpu()).unwrap();
        go_on(&mut optimizer, steps);
        assert_eq!(optimizer.unobserved().unwrap(), [""; 0], "after {steps} steps");
        assert!(optimizer.norms().iter().all(|(_, norms)| norms.iter().all(|n| *n > 0.0)), "{:?}", optimizer.norms());
    }
}
