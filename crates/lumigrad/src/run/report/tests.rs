use super::*;

fn picture(seed: f32, n: usize) -> Image {
    let pixel = |i: usize| {
        let (x, y) = ((i % n) as f32 / n as f32 - 0.5, (i / n) as f32 / n as f32 - 0.5);
        let inside = x * x + y * y < 0.16;
        let shade = (0.5 + 0.5 * (12.0 * x + seed).sin()) * (1.0 - 1.6 * y.max(0.0));
        let rgb = if inside { [shade, 0.6 * shade + 0.1, 0.3 + 0.3 * seed.sin().abs()] } else { [0.0; 3] };
        [rgb[0], rgb[1], rgb[2], f32::from(u8::from(inside))]
    };
    Image::from_encoded(&(0..n * n).flat_map(pixel).collect::<Vec<_>>(), n, n).unwrap()
}

fn sample() -> Report {
    let states = |k: f32, n: usize| {
        let state = |name: &str, s: f32| (name.to_owned(), picture(s, n));
        vec![state("Initial", 0.2 * k), state("Final", k + 1.0), state("Target", k + 1.05)]
    };
    let curve =
        |f: &dyn Fn(f64) -> f64, every: usize| (0..=400).step_by(every).map(|i| (i as f64, f(i as f64))).collect();
    let row = |cells: &[&str]| cells.iter().map(|c| c.to_string()).collect();
    Report {
        title: "Texture of thing.glb <script>".into(),
        subtitle: "24 views of 192×192, 400 iterations in 12.4 s on cpu (AVX-512, 2 threads)".into(),
        figures: vec![
            Figure::new("Test PSNR", "38.2 dB", "from 14.1 dB"),
            Figure::new("Test SSIM", "0.987", ""),
            Figure::new("Loss", "0.0021", "from 0.21"),
            Figure::new("Per iteration", "9.8 ms", "median of 400"),
            Figure::new("Peak memory", "212 MiB", ""),
        ],
        warnings: vec!["/meshes/2: points and lines are not rendered".into()],
        sliders: (0..12)
            .map(|k| Slider {
                name: format!("sphere_{k:03}"),
                note: format!("{:.1} dB", 36.0 + k as f32 * 0.3),
                states: states(k as f32, 192),
            })
            .collect(),
        curves: vec![
            Curve {
                title: "Loss".into(),
                x_label: "iteration".into(),
                log: true,
                series: vec![Series {
                    name: "loss".into(),
                    points: curve(&|i| 0.2 * (-i / 80.0).exp() + 0.002 + 0.001 * (i * 0.7).sin().abs(), 2),
                }],
                ..Curve::default()
            },
            Curve {
                title: "PSNR".into(),
                unit: "dB".into(),
                x_label: "iteration".into(),
                series: vec![
                    Series { name: "test".into(), points: curve(&|i| 38.0 - 24.0 * (-i / 90.0).exp(), 40) },
                    Series { name: "train".into(), points: curve(&|i| 39.0 - 25.0 * (-i / 80.0).exp(), 40) },
                ],
                ..Curve::default()
            },
        ],
        clips: vec![super::Clip { name: "<tone>".into(), wav: b"RIFF".to_vec() }],
        films: vec![super::Film {
            name: "waves".into(),
            note: String::new(),
            frames: (0..4).map(|k| picture(k as f32, 32)).collect(),
            seconds: 2.0,
        }],
        galleries: vec![Gallery {
            name: "/materials/0/pbrMetallicRoughness/baseColorTexture".into(),
            note: "35.2 dB over seen texels".into(),
            states: states(3.0, 64),
        }],
        tables: vec![Table {
            title: "Parameters".into(),
            columns: ["Parameter", "Initial", "Final", "True", "Error"].map(String::from).to_vec(),
            rows: vec![
                row(&["/materials/0/pbrMetallicRoughness/roughnessFactor", "0.5", "0.2503", "0.25", "0.12 %"]),
                row(&["/extensions/KHR_lights_punctual/lights/0/intensity", "10", "39.98", "40", "0.05 %"]),
            ],
        }],
        job: "command = \"optimize\"\n# a comment\nseed = 0\n".into(),
    }
}

#[test]
fn a_report_is_one_page_with_everything_inside() {
    let html = sample().to_html();
    assert!(
        !html.contains("http://")
            || html.matches("http://").count() == html.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(!html.contains("https://") && !html.contains("<link"));
    assert!(html.contains("&lt;script&gt;"), "texts are escaped");
    assert_eq!(html.matches("<script").count(), html.matches("</script>").count());
    for part in ["38.2 dB", "sphere_011", "roughnessFactor", "Complete job", "points and lines"] {
        assert!(html.contains(part), "{part}");
    }
    // For people: LUMIGRAD_REPORT=page.html writes the page.
    if let Ok(path) = std::env::var("LUMIGRAD_REPORT") {
        sample().write(Path::new(&path)).unwrap();
    }
}

#[test]
fn an_empty_report_is_a_page_without_empty_parts() {
    let html = Report { title: "Nothing".into(), ..Report::default() }.to_html();
    assert!(!html.contains("<section") && html.contains("<h1>Nothing</h1>"));
}
