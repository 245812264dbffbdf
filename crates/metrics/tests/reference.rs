//! Metrics against other software: `reference.py` makes the numbers.

use lumigrad_metrics::{FLIP_PIXELS_PER_DEGREE, flip, flip_map, mask_iou, ms_ssim, psnr, ssim};

/// The smallest height with all five scales of MS-SSIM; both sides halve exactly four times.
const W: usize = 192;
const H: usize = 176;

/// An 8-bit picture of a formula (x, y, channel) → 0..=255.
fn picture(f: impl Fn(i64, i64, i64) -> i64) -> Vec<f32> {
    let at = |i: usize| f((i / 3 % W) as i64, (i / 3 / W) as i64, (i % 3) as i64);
    (0..W * H * 3).map(|i| at(i) as f32 / 255.0).collect()
}

fn base(x: i64, y: i64, c: i64) -> i64 {
    let t = (x * x / (20 + 7 * c) + 3 * y + 90 * c) % 512;
    t.min(511 - t)
}

fn distorted(name: &str) -> Vec<f32> {
    match name {
        "noisy" => picture(|x, y, c| (base(x, y, c) + (x * 7919 + y * 104729 + c * 1299709) % 61 - 30).clamp(0, 255)),
        "dim" => picture(|x, y, c| base(x, y, c) * 3 / 4 + 20),
        "shifted" => picture(|x, y, c| base(x + 2, y, c)),
        "red" => picture(|x, y, c| if c == 0 { base(x, y, c) } else { base(x, y, c) / 3 }),
        _ => unreachable!("{name}"),
    }
}

/// PSNR, SSIM, MS-SSIM, FLIP at 67.02 and at 25 pixels per degree, IoU of values above 0.5; by scikit-image 0.26.0 (the
/// first two), TensorFlow 2.21.0, flip-evaluator 1.7 (NVIDIA), SciPy 1.17.1.
#[rustfmt::skip]
const REFERENCE: [(&str, [f64; 6]); 4] = [
    ("noisy", [23.494014920133832, 0.4960063045623279, 0.9223604798316956, 0.133937269449234, 0.3258131146430969, 0.8889715039872111]),
    ("dim", [21.202214065933944, 0.9383304122351497, 0.9617371559143066, 0.4180287718772888, 0.39597880840301514, 0.8757602598169472]),
    ("shifted", [23.46258463257371, 0.8976771015582744, 0.9616463780403137, 0.30713605880737305, 0.3005489408969879, 0.889694670683179]),
    ("red", [9.994525522496954, 0.6325223611879764, 0.728008508682251, 0.7491670846939087, 0.7332392930984497, 0.33116819210707604]),
];

/// PSNR, SSIM and IoU are computed in f64 there too; MS-SSIM and FLIP in f32, whose rounding is about 1e-6 of the values
/// and, through the square root of features near 0, some 1e-6 of the mean.
const TOLERANCES: [f64; 6] = [1e-9, 1e-10, 1e-5, 1e-5, 1e-5, 1e-12];

#[test]
fn metrics_agree_with_other_software() {
    let a = picture(base);
    for (name, expected) in REFERENCE {
        let b = distorted(name);
        let found = [
            psnr(&a, &b),
            ssim(&a, &b, W, H, 3),
            ms_ssim(&a, &b, W, H, 3),
            flip(&a, &b, W, H, FLIP_PIXELS_PER_DEGREE),
            flip(&a, &b, W, H, 25.0),
            mask_iou(&a, &b, 0.5),
        ]
        .map(|x| x.unwrap());
        for (k, tolerance) in TOLERANCES.iter().enumerate() {
            let (found, expected) = (found[k], expected[k]);
            assert!((found - expected).abs() <= *tolerance, "{name}, metric {k}: {found} against {expected}");
        }
    }
}

#[test]
fn equal_pictures_have_the_best_scores() {
    let a = picture(base);
    assert!((ssim(&a, &a, W, H, 3).unwrap() - 1.0).abs() < 1e-12);
    assert!((ms_ssim(&a, &a, W, H, 3).unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(flip(&a, &a, W, H, FLIP_PIXELS_PER_DEGREE).unwrap(), 0.0);
    assert_eq!(mask_iou(&a, &a, 0.5).unwrap(), 1.0);
    assert_eq!(mask_iou(&[0.0; 4], &[0.25; 4], 0.5).unwrap(), 1.0);
}

#[test]
fn flip_is_symmetric_and_largest_between_green_and_blue() {
    let (a, b) = (picture(base), distorted("shifted"));
    let [forth, back] = [(&a, &b), (&b, &a)].map(|(a, b)| flip(a, b, W, H, 67.02).unwrap());
    assert_eq!(forth, back);
    let [green, blue] = [1, 2].map(|k| picture(|_, _, c| 255 * (c == k) as i64));
    // Colours at the ends of the range; lightness has no features.
    let map = flip_map(&green, &blue, W, H, 67.02).unwrap();
    assert!(map.iter().all(|e| (e - 1.0).abs() < 1e-9));
}

#[test]
fn hostile_pictures_have_scores_or_errors() {
    let nan = [f32::NAN; 12];
    assert_eq!(psnr(&nan, &[0.0; 12]).unwrap(), lumigrad_metrics::PSNR_CAP);
    assert!(flip(&nan, &[f32::INFINITY; 12], 2, 2, 67.02).unwrap().is_finite());
    assert!(ms_ssim(&nan, &[1.0; 12], 2, 2, 3).unwrap().is_finite());
    for ppd in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(flip(&nan, &nan, 2, 2, ppd).is_err());
    }
    assert!(flip(&nan, &nan, 2, 3, 67.02).is_err() && ms_ssim(&nan, &nan, 2, 2, 4).is_err());
    assert!(ssim(&nan, &nan[1..], 2, 2, 3).is_err() && mask_iou(&nan, &nan[1..], 0.5).is_err());
    let empty = [ssim(&[], &[], 0, 5, 3), ms_ssim(&[], &[], 0, 5, 3), flip(&[], &[], 0, 5, 67.02)];
    assert_eq!(empty.map(|x| x.unwrap()), [1.0, 1.0, 0.0]);
}
