//! Data sets that other software made.

use lumigrad_scene::camera::View;
use lumigrad_scene::environment::{Environment, irradiance};
use lumigrad_scene::views::{Options, Views, colmap};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LUMIGRAD_DATA");
    if root.is_none() {
        println!("skipped: LUMIGRAD_DATA is not set");
    }
    Some(PathBuf::from(root?).join(folder))
}

fn load(folder: &Path, downscale: Option<usize>) -> Views {
    Views::load(folder, &Options { downscale, ..Options::default() }).unwrap()
}

fn sizes(views: &Views) -> (usize, usize, (usize, usize)) {
    let view = &views.train[0].view;
    assert!(views.all().all(|p| (p.view.width, p.view.height) == (view.width, view.height)));
    (views.train.len(), views.test.len(), (view.width, view.height))
}

fn inside(view: &View, point: [f32; 3]) -> bool {
    view.project(point.map(f64::from))
        .is_some_and(|[u, v, _]| (0.0..view.width as f64).contains(&u) && (0.0..view.height as f64).contains(&v))
}

#[test]
fn nerf_synthetic_folders_keep_their_split_and_field_of_view() {
    let Some(folder) = data("nerf_synthetic_lego_100") else { return };
    let views = load(&folder, None);
    assert_eq!(sizes(&views), (100, 25, (100, 100)));
    assert!((views.train[0].view.intrinsics[0] - 138.89).abs() < 0.01);
    // The cameras look at the model in the middle, from about the same distance.
    for picture in views.all() {
        let [u, v, depth] = picture.view.project([0.0; 3]).unwrap();
        assert!((u - 50.0).hypot(v - 50.0) < 5.0 && (depth - 4.03).abs() < 0.1);
    }
    let picture = views.train[0].load_linear().unwrap();
    assert!(picture.premultiplied && picture.data[3] == 0.0);
}

#[test]
fn a_data_set_of_one_picture_trains_on_it() {
    let Some(folder) = data("brush_mini_dataset") else { return };
    assert_eq!(sizes(&load(&folder, None)), (1, 0, (50, 50)));
}

#[test]
fn colmap_tracks_reproject_within_the_stated_error() {
    let Some(folder) = data("colmap_desk") else { return };
    for downscale in [None, Some(2), Some(4)] {
        let views = load(&folder, downscale);
        let expected = if downscale == Some(4) { (476, 267) } else { (953, 535) };
        assert_eq!(sizes(&views), (25, 4, expected));
        assert_eq!(views.test[1].view.name, "input_0009");
    }
    let model = colmap::read(&folder.join("sparse/0")).unwrap();
    assert_eq!(model.points.len(), 7562);
    let positions: HashMap<u64, [f64; 3]> = model.points.iter().map(|p| (p.id, p.position)).collect();
    let mut errors = Vec::new();
    for image in &model.images {
        let view = model.view(image).unwrap();
        for ([x, y], id) in &image.observations {
            let [u, v, _] = view.project(positions[id]).unwrap();
            errors.push((u - x).hypot(v - y));
        }
    }
    errors.sort_by(f64::total_cmp);
    let median = errors[errors.len() / 2];
    println!("median reprojection error {median:.3} px of {} observations", errors.len());
    assert!((median - 0.87).abs() < 0.03);
}

#[test]
fn llff_poses_see_the_reconstructed_points() {
    let Some(folder) = data("llff_fern") else { return };
    let views = load(&folder, None);
    assert_eq!(sizes(&views), (17, 3, (504, 378)));
    assert!((views.train[0].view.intrinsics[0] - 3260.53 / 8.0).abs() < 0.01);
    assert_eq!(load(&folder, Some(8)).train, views.train);
    assert!(Views::load(&folder, &Options { downscale: Some(4), ..Options::default() }).is_err());
    let points = views.points.as_ref().unwrap();
    let seen = |view: &View| {
        points.positions.iter().filter(|p| inside(view, **p)).count() as f64 / points.positions.len() as f64
    };
    let least = views.all().map(|p| seen(&p.view)).fold(1.0, f64::min);
    println!("each view sees at least {:.1} % of the points", 100.0 * least);
    assert!(least > 0.5);
}

#[test]
fn turntable_cameras_meet_at_the_masked_object() {
    let Some(folder) = data("ethiopian_head") else { return };
    let views = load(&folder, None);
    assert_eq!(sizes(&views), (57, 9, (800, 800)));
    assert!((views.train[0].view.intrinsics[0] - 1508.71).abs() < 0.1);
    let mask = views.train[0].load_mask().unwrap().unwrap();
    let covered = mask.iter().sum::<f32>() / mask.len() as f32;
    assert!((0.05..0.9).contains(&covered), "{covered}");
    // The point nearest to all optical axes lies in front of every camera, inside its picture.
    let (mut a, mut b) = (glam::DMat3::ZERO, glam::DVec3::ZERO);
    for picture in views.all() {
        let (c, d) = (glam::DVec3::from(picture.view.centre()), glam::DVec3::from(picture.view.forward()));
        let m = glam::DMat3::IDENTITY - glam::DMat3::from_cols(d * d.x, d * d.y, d * d.z);
        a += m;
        b += m * c;
    }
    let middle = (a.inverse() * b).to_array().map(|x| x as f32);
    assert!(views.all().all(|p| inside(&p.view, middle)));
}

#[test]
fn exr_and_png_photographs_agree() {
    let Some(folder) = data("render_reference/mitsuba_damaged_helmet") else { return };
    let png = load(&folder, None);
    let exr = Views::load(&folder, &Options { hdr: true, ..Options::default() }).unwrap();
    assert_eq!(sizes(&png), (35, 5, (256, 256)));
    for (a, b) in png.test.iter().zip(&exr.test) {
        assert_eq!(a.view, b.view);
        assert!(b.path.extension().unwrap() == "exr");
        let (a, b) = (a.load_encoded().unwrap(), b.load_encoded().unwrap());
        let mut worst = 0.0f32;
        for (a, b) in a.data.chunks(4).zip(b.data.chunks(4)).filter(|(a, _)| a[3] > 0.5) {
            (0..4).for_each(|c| worst = worst.max((a[c] - b[c].clamp(0.0, 1.0)).abs()));
        }
        assert!(worst < 1.5 / 255.0, "{worst}");
    }
}

#[test]
fn sky_maps_load_and_light_from_above() {
    let Some(folder) = data("envmaps") else { return };
    let map = Environment::load(&folder.join("spiaggia_di_mondello_1k.hdr")).unwrap();
    assert_eq!((map.width, map.height), (1024, 512));
    let small = map.downsampled(128, 64);
    let (full, reduced) = (map.irradiance_sh(), small.irradiance_sh());
    let (up, down) = (irradiance(&full, [0.0, 1.0, 0.0]), irradiance(&full, [0.0, -1.0, 0.0]));
    assert!(up[1] > down[1] && down[1] > 0.0);
    assert!((irradiance(&reduced, [0.0, 1.0, 0.0])[1] / up[1] - 1.0).abs() < 0.01);
}
