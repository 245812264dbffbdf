use super::*;

fn ramp(width: usize, height: usize, channels: usize, transfer: Transfer) -> Picture {
    let n = width * height * channels;
    let data = (0..n).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
    Picture { width, height, channels, data, transfer, premultiplied: false }
}

#[test]
fn transfer_functions_are_inverses() {
    for i in 0..=1000 {
        let x = f64::from(i) / 500.0;
        assert!((linear_to_srgb_f64(srgb_to_linear_f64(x)) - x).abs() < 2e-7, "{x}");
    }
    assert!((srgb_to_linear_f64(0.5) - 0.214_041_140_482).abs() < 1e-11);
}

#[test]
fn png_round_trip_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    for channels in 1..=4 {
        let picture = ramp(7, 5, channels, Transfer::Srgb);
        let path = folder.path().join("p.png");
        picture.save_png(&path).unwrap();
        assert_eq!(Picture::dimensions(&path).unwrap(), (7, 5));
        assert_eq!(Picture::load(&path).unwrap(), picture);
        let back = picture.clone().into_linear().encode_png().unwrap();
        assert_eq!(Picture::decode(&back, "linear").unwrap(), picture);
    }
}

#[test]
fn exr_round_trip_keeps_names_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.exr");
    let picture = ramp(6, 3, 4, Transfer::Linear).into_premultiplied();
    save_exr(&path, (6, 3), &["R", "G", "B", "A"], &picture.data, Precision::Float).unwrap();
    assert_eq!(Picture::load(&path).unwrap(), picture);
    assert_eq!(Picture::dimensions(&path).unwrap(), (6, 3));
    save_exr(&path, (2, 2), &["U", "V"], &[0.5, 1e9, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0], Precision::Float).unwrap();
    let channels = load_exr_channels(&path).unwrap();
    assert_eq!(channels.list[0], ("U".into(), vec![0.5, 2.0, 4.0, 6.0]));
    assert_eq!(channels.list[1], ("V".into(), vec![1e9, -3.0, 5.0, 7.0]));
    picture.save_exr(&path).unwrap();
    let half = Picture::load(&path).unwrap();
    assert!(half.data.iter().zip(&picture.data).all(|(a, b)| (a - b).abs() < 5e-4));
}

#[test]
fn damaged_pictures_are_errors() {
    let png = ramp(9, 9, 3, Transfer::Srgb).encode_png().unwrap();
    assert!(Picture::decode(&png[..png.len() / 2], "half").is_err());
    assert!(Picture::decode(b"", "empty").is_err());
    assert!(Picture::decode(b"not a picture", "text").unwrap_err().to_string().contains("text"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.exr");
    ramp(9, 9, 3, Transfer::Linear).save_exr(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for n in (0..bytes.len()).step_by(7) {
        assert!(Picture::decode(&bytes[..n], "half").is_err(), "{n}");
    }
}

#[test]
fn area_resampling_keeps_the_mean_and_exact_blocks() {
    let picture = ramp(12, 8, 3, Transfer::Linear);
    let small = picture.clone().resized(6, 4);
    let mean = (picture.data[0] + picture.data[3] + picture.data[36] + picture.data[39]) / 4.0;
    assert!((small.data[0] - mean).abs() < 1e-6);
    let odd = picture.clone().resized(5, 3);
    let sum = |p: &Picture| p.data.iter().map(|x| f64::from(*x)).sum::<f64>() / p.data.len() as f64;
    assert!((sum(&odd) - sum(&picture)).abs() < 1e-6);
    assert_eq!(picture.clone().resized(24, 16).resized(12, 8).data.len(), picture.data.len());
}

#[test]
fn transparent_colour_does_not_bleed_when_resampled() {
    let data = vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
    let picture = Picture { width: 2, height: 1, channels: 4, data, transfer: Transfer::Linear, premultiplied: false };
    let small = picture.resized(1, 1);
    assert_eq!(small.clone().into_straight().data, [1.0, 0.0, 0.0, 0.5]);
    assert_eq!(small.over([1.0, 1.0, 1.0]).data, [1.0, 0.5, 0.5]);
}
