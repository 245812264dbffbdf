use super::{blur, taps};
use lumigrad_testkit::{Check, real};

#[test]
fn blur_is_its_own_transpose_on_both_devices() {
    for shape in [[9, 14, 3], [3, 200, 2], [40, 5, 4], [1, 1, 1]] {
        Check::new("blur", |x| Ok(vec![blur(&x[0])?])).run(&[real(&shape, 1)]);
    }
}

#[test]
fn blur_agrees_with_plain_loops() {
    let (h, w, c) = (13, 150, 2);
    let input = real(&[h, w, c], 3);
    let x = input.to_f64_vec().unwrap();
    let found = blur(&input.into()).unwrap().tensor().to_f64_vec().unwrap();
    let weight = |d: i64| taps()[d.unsigned_abs() as usize] as f64;
    for (i, found) in found.iter().enumerate() {
        let (row, column, channel) = ((i / c / w) as i64, (i / c % w) as i64, i % c);
        let mut sum = 0.0;
        for (dy, dx) in (-5..=5).flat_map(|dy| (-5..=5).map(move |dx| (dy, dx))) {
            let (y, z) = (row + dy, column + dx);
            if (0..h as i64).contains(&y) && (0..w as i64).contains(&z) {
                sum += weight(dy) * weight(dx) * x[(y as usize * w + z as usize) * c + channel];
            }
        }
        assert!((sum - found).abs() < 1e-12);
    }
}

#[test]
fn shaders_and_their_declarations_agree() {
    lumigrad_testkit::check_shaders(crate::kernels::KERNELS);
}
