use super::*;
use crate::camera::Lens;
use crate::picture::Transfer;
use std::fs;

fn write_picture(path: &Path, width: usize, height: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data = (0..width * height * 3).map(|i| (i % 256) as f32 / 255.0).collect();
    let picture = Picture { width, height, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false };
    picture.save_png(path).unwrap();
}

const POSE: &str = "[[1,0,0,1],[0,1,0,2],[0,0,1,3],[0,0,0,1]]";

fn folder_with(files: &[(&str, &str)], pictures: &[(&str, usize, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    pictures.iter().for_each(|(name, w, h)| write_picture(&folder.path().join(name), *w, *h));
    folder
}

fn load(folder: &tempfile::TempDir, downscale: Option<usize>) -> Result<Views> {
    Views::load(folder.path(), &Options { downscale, ..Options::default() })
}

fn message(result: Result<Views>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn pictures_without_poses_name_the_colmap_commands() {
    let folder = folder_with(&[], &[("images/a.png", 4, 4)]);
    let text = message(load(&folder, None));
    assert!(text.contains("colmap feature_extractor") && text.contains("colmap mapper"), "{text}");
    assert!(load(&folder, Some(0)).is_err());
}

#[test]
fn nerfstudio_frames_have_their_own_cameras_masks_and_split() {
    let text = format!(
        r#"{{"camera_model": "OPENCV", "fl_x": 40, "fl_y": 41, "cx": 19, "cy": 11, "w": 40, "h": 20, "k1": 0.1, "p2": 0.01,
        "applied_transform": [[1,0,0,0],[0,1,0,0],[0,0,1,0]], "ply_file_path": "points.ply",
        "train_filenames": ["images/a.png"], "test_filenames": ["images/b.png"], "frames": [
        {{"file_path": "images/b.png", "transform_matrix": {POSE}, "mask_path": "m.png"}},
        {{"file_path": "images/a.png", "transform_matrix": {POSE}, "w": 8, "h": 8, "cx": 4, "cy": 4, "camera_model": "OPENCV_FISHEYE"}}]}}"#
    );
    let points = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n\
                  property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n1 2 3 255 0 51\n";
    let pictures = [("images/a.png", 8, 8), ("images/b.png", 40, 20), ("m.png", 40, 20)];
    let folder = folder_with(&[("transforms.json", &text), ("points.ply", points)], &pictures);
    let views = load(&folder, None).unwrap();
    let (a, b) = (&views.train[0].view, &views.test[0].view);
    assert_eq!((a.name.as_str(), a.width, a.lens), ("a", 8, Lens::Fisheye { k: [0.1, 0.0, 0.0, 0.0] }));
    assert_eq!(b.intrinsics, [40.0, 41.0, 19.0, 11.0]);
    assert_eq!(b.lens, Lens::OpenCv { k: [0.1, 0.0, 0.0, 0.0, 0.0, 0.0], p: [0.0, 0.01] });
    assert_eq!(b.centre(), [1.0, 2.0, 3.0]);
    assert_eq!(b.forward(), [0.0, 0.0, -1.0]);
    assert_eq!(views.test[0].load_mask().unwrap().unwrap().len(), 800);
    assert_eq!(views.points.unwrap().colors, [[1.0, 0.0, 0.2]]);
}

#[test]
fn depths_are_read_in_the_units_of_the_scene_and_never_mixed() {
    let frame =
        |name: &str| format!(r#"{{"file_path": "a.png", "transform_matrix": {POSE}, "depth_file_path": "{name}"}}"#);
    let text = |name: &str, unit: &str| format!(r#"{{"fl_x": 4, {unit} "w": 4, "h": 2, "frames": [{}]}}"#, frame(name));
    let folder = folder_with(&[], &[("a.png", 4, 2), ("eight.png", 4, 2)]);
    let grey =
        image::ImageBuffer::<image::Luma<u16>, _>::from_raw(4, 2, vec![0u16, 1500, 1, 2, 3, 4, 5, 65535]).unwrap();
    grey.save(folder.path().join("d.png")).unwrap();
    let load = |name: &str, unit: &str, downscale| {
        fs::write(folder.path().join("transforms.json"), text(name, unit)).unwrap();
        super::Views::load(folder.path(), &Options { downscale, ..Options::default() })?.train[0].load_depth()
    };
    assert_eq!(load("d.png", "", None).unwrap().unwrap(), [0.0, 1.5, 0.001, 0.002, 0.003, 0.004, 0.005, 65.535]);
    assert_eq!(load("d.png", r#""depth_unit_scale_factor": 2,"#, Some(2)).unwrap().unwrap(), [8.0, 131_070.0]);
    assert!(load("eight.png", "", None).unwrap_err().to_string().contains("16 bits"));
    assert!(load("none.png", "", None).unwrap_err().to_string().contains("none.png does not exist"));
}

#[test]
fn normals_are_read_in_the_axes_of_the_camera() {
    // The camera looks along the world's +x, its right is −z.
    let pose = "[[0,0,-1,1],[0,1,0,2],[1,0,0,3],[0,0,0,1]]";
    let text = |name: &str, space: &str| {
        format!(
            r#"{{"fl_x": 4, {space} "w": 4, "h": 2, "frames": [
            {{"file_path": "a.png", "transform_matrix": {pose}, "normal_file_path": "{name}"}}]}}"#
        )
    };
    let folder = folder_with(&[], &[("a.png", 4, 2)]);
    // −x of the world: towards the camera; −z of it; nothing (black), and half of the way to nothing.
    let colours: [[u8; 3]; 8] =
        [[0, 128, 128], [128, 128, 0], [0; 3], [128, 128, 64], [128, 0, 128], [0; 3], [0; 3], [0; 3]];
    let raw = colours.iter().flatten().copied().collect();
    image::RgbImage::from_raw(4, 2, raw).unwrap().save(folder.path().join("n.png")).unwrap();
    let load = |name: &str, space: &str| {
        fs::write(folder.path().join("transforms.json"), text(name, space)).unwrap();
        super::Views::load(folder.path(), &Options::default())?.train[0].load_normals()
    };
    let close = |found: &[f32; 3], expected: [f32; 3]| {
        assert!((0..3).all(|k| (found[k] - expected[k]).abs() < 0.01), "{found:?} for {expected:?}");
    };
    for (space, expected) in [
        ("", [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]),
        (r#""normal_space": "opengl","#, [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
        (r#""normal_space": "world","#, [[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ] {
        let found = load("n.png", space).unwrap().unwrap();
        [0, 1, 4].iter().zip(expected).for_each(|(&i, expected)| close(&found[i], expected));
        assert!([2, 3, 5].iter().all(|&i| found[i] == [0.0; 3]), "{found:?}");
    }
    let exr: Vec<f32> = (0..8).flat_map(|i| if i == 0 { [0.0, 0.6, -0.8] } else { [0.0; 3] }).collect();
    let path = folder.path().join("n.exr");
    for names in [["R", "G", "B"], ["X", "Y", "Z"]] {
        crate::picture::save_exr(&path, (4, 2), &names, &exr, crate::picture::Precision::Float).unwrap();
        close(&load("n.exr", "").unwrap().unwrap()[0], [0.0, 0.6, -0.8]);
    }
    assert!(load("none.png", "").unwrap_err().to_string().contains("none.png does not exist"));
    assert!(load("n.png", r#""normal_space": "blender","#).unwrap_err().to_string().contains("blender"));
}

#[test]
fn rolling_shutters_have_a_pose_at_either_end() {
    // Half a radian about the world's y, and 0.2 to the right; the matrices are camera → world.
    let (sin, cos) = 0.5f64.sin_cos();
    let end = format!("[[{cos},0,{sin},1.2],[0,1,0,2],[{},0,{cos},3],[0,0,0,1]]", -sin);
    let frame = |more: &str| {
        let text = format!(
            r#"{{"fl_x": 4, "w": 4, "h": 2, "frames": [{{"file_path": "a.png", {more}
            "transform_matrix": [[1,0,0,1],[0,1,0,2],[0,0,1,3],[0,0,0,1]], "transform_matrix_end": {end}}}]}}"#
        );
        load(&folder_with(&[("transforms.json", &text)], &[("a.png", 4, 2)]), None)
    };
    let views = frame("").unwrap();
    let (view, readout) = (&views.train[0].view, views.train[0].readout.unwrap());
    assert!(!readout.columns);
    // The middle of the two poses: a quarter of a radian.
    let forward = view.forward();
    assert!((forward[0] + 0.25f64.sin()).abs() < 1e-12 && (forward[2] + 0.25f64.cos()).abs() < 1e-12, "{forward:?}");
    let [x, y, z, ..] = readout.motion;
    assert!(x.abs() < 1e-12 && (y.abs() - 0.5).abs() < 1e-12 && z.abs() < 1e-12, "{readout:?}");
    // exp(ω/2) R and t + v/2 are the pose at the last line.
    let last = glam::DQuat::from_scaled_axis(0.5 * glam::DVec3::new(x, y, z));
    let column = |k: usize| glam::DVec3::new(view.viewmat[0][k], view.viewmat[1][k], view.viewmat[2][k]);
    let turn = glam::DMat3::from_cols(last * column(0), last * column(1), last * column(2));
    let t = column(3) + 0.5 * glam::DVec3::from_slice(&readout.motion[3..]);
    let eye = -(turn.transpose() * t);
    assert!((eye - glam::DVec3::new(1.2, 2.0, 3.0)).length() < 1e-12, "{eye}");
    let other = frame(r#""rolling_shutter": "right_to_left","#).unwrap().train[0].readout.unwrap();
    assert!(other.columns && other.motion == readout.motion.map(|x| -x));
    assert!(message(frame(r#""rolling_shutter": "down","#)).contains("expected top_to_bottom"));
    assert!(message(frame(r#""k1": 0.1,"#)).contains("rolling shutter behind a lens"));
}

#[test]
fn downscale_uses_the_folder_or_resamples_a_larger_one() {
    let text = format!(
        r#"{{"fl_x": 40, "fl_y": 40, "cx": 20.5, "cy": 10.5, "w": 41, "h": 21, "frames": [{{"file_path": "images/a.png", "transform_matrix": {POSE}}}]}}"#
    );
    let pictures = [("images/a.png", 41, 21), ("images_2/a.png", 20, 10), ("images_8/a.png", 5, 2)];
    let folder = folder_with(&[("transforms.json", &text)], &pictures);
    for (k, size, used) in [
        (None, (41, 21), "images/"),
        (Some(2), (20, 10), "images_2/"),
        (Some(4), (10, 5), "images_2/"),
        (Some(8), (5, 2), "images_8/"),
    ] {
        let views = load(&folder, k).unwrap();
        let one = &views.train[0];
        assert_eq!((one.view.width, one.view.height), size);
        assert!(one.path.to_string_lossy().replace('\\', "/").contains(used));
        assert!((one.view.intrinsics[2] - 0.5 * size.0 as f64).abs() < 1e-12);
        let picture = one.load_linear().unwrap();
        assert_eq!((picture.width, picture.height, picture.channels), (size.0, size.1, 4));
    }
    let views = Views::load(folder.path(), &Options { max_size: Some(10), ..Options::default() }).unwrap();
    assert_eq!((views.train[0].view.width, views.train[0].view.height), (10, 5));
    fs::remove_dir_all(folder.path().join("images")).unwrap();
    assert!(load(&folder, Some(1)).is_err());
    assert_eq!(load(&folder, None).unwrap().train[0].view.width, 20);
}

#[test]
fn broken_transforms_are_errors_that_name_the_frame() {
    let frame = |frame: &str| format!(r#"{{"camera_angle_x": 0.8, "frames": [{frame}]}}"#);
    let cases = [
        ("{\"frames\": [NaN]}".to_string(), "transforms.json:1:"),
        (frame(r#"{"file_path": "a.png", "transform_matrix": [[1,0,0,0]]}"#), "#/frames/0: transform_matrix"),
        (frame(r#"{"file_path": "a.png"}"#), "#/frames/0: missing field"),
        (frame(&format!(r#"{{"file_path": "b.png", "transform_matrix": {POSE}}}"#)), "b.png does not exist"),
        (
            frame(&format!(r#"{{"file_path": "a.png", "w": 4, "h": 400, "transform_matrix": {POSE}}}"#)),
            "4×4 pixels, its camera 4×400",
        ),
        (frame(&format!(r#"{{"file_path": "a.png", "camera_angle_x": 0, "transform_matrix": {POSE}}}"#)), "intrinsics"),
        (
            frame(&format!(r#"{{"file_path": "a.png", "camera_model": "FOV", "transform_matrix": {POSE}}}"#)),
            "camera_model FOV",
        ),
        (
            frame(r#"{"file_path": "a.png", "transform_matrix": [[0,0,0,0],[0,0,0,0],[0,0,0,0]]}"#),
            "#/frames/0: camera pose",
        ),
        (r#"{"frames": []}"#.to_string(), "no pictures"),
    ];
    for (text, expected) in cases {
        let folder = folder_with(&[("transforms.json", &text)], &[("a.png", 4, 4)]);
        let found = message(load(&folder, None));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn written_transforms_read_back_as_the_same_views() {
    let folder = tempfile::tempdir().unwrap();
    let framing = crate::camera::Framing::of_sphere([0.0, 1.0, 0.0], 1.0, (16, 12));
    let mut views = crate::camera::sphere_views(9, &framing);
    views[1].lens = Lens::OpenCv { k: [0.1, 0.2, 0.3, 0.0, 0.0, 0.0], p: [0.01, 0.02] };
    views[2].lens = Lens::Fisheye { k: [0.1, 0.2, 0.3, 0.4] };
    views.iter().for_each(|v| write_picture(&folder.path().join(format!("{}.png", v.name)), 16, 12));
    save_transforms(&folder.path().join("transforms.json"), &views, ".png").unwrap();
    let back = load(&folder, None).unwrap();
    assert_eq!((back.train.len(), back.test.len()), (7, 2));
    for picture in back.all() {
        let view = views.iter().find(|v| v.name == picture.view.name).unwrap();
        assert_eq!((view.lens, view.intrinsics), (picture.view.lens, picture.view.intrinsics));
        for (a, b) in view.viewmat.iter().flatten().zip(picture.view.viewmat.iter().flatten()) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}

const CAMERAS: &str = "# comment\n1 SIMPLE_RADIAL 8 6 7 4 3 0.1\n2 PINHOLE 8 6 7 7.5 4 3\n";
const IMAGES: &str = "# comment\n1 1 0 0 0 0 0 5 2 b.png\n1 2 7 3 4 -1\n2 0 1 0 0 0.5 0 5 1 a c.png\n\n";
const POINTS: &str = "7 0.1 0.2 0.3 255 0 0 0.5 1 0\n";

#[test]
fn colmap_text_models_load() {
    let files = [("sparse/0/cameras.txt", CAMERAS), ("sparse/0/images.txt", IMAGES), ("sparse/0/points3D.txt", POINTS)];
    let folder = folder_with(&files, &[("images/a c.png", 8, 6), ("images/b.png", 8, 6)]);
    let views = load(&folder, None).unwrap();
    assert_eq!((views.test[0].view.name.as_str(), views.train[0].view.name.as_str()), ("a c", "b"));
    assert_eq!(views.test[0].view.intrinsics, [7.0, 7.0, 4.0, 3.0]);
    assert_eq!(views.train[0].view.centre(), [0.0, 0.0, -5.0]);
    let model = colmap::read(&folder.path().join("sparse/0")).unwrap();
    assert_eq!(model.images[0].observations, [([1.0, 2.0], 7)]);
    assert_eq!(views.points.unwrap().colors, [[1.0, 0.0, 0.0]]);
}

#[test]
fn broken_colmap_models_are_errors_that_name_the_record() {
    let cases = [
        ("1 PINHOLE 8 6 7", IMAGES, "PINHOLE camera"),
        ("1 FOV 8 6 7 7 4 3 1\n", IMAGES, "camera model FOV"),
        (CAMERAS, "1 nan 0 0 0 0 0 5 2 b.png\n\n", "not finite"),
        (CAMERAS, "1 1 0 0 0 0 0 5 9 b.png\n\n", "camera 9 does not exist"),
        (CAMERAS, "1 1 0 0 0 0\n", "images.txt:1"),
        (CAMERAS, "1 1 0 0 0 0 0 5 2 gone.png\n\n", "gone.png does not exist"),
    ];
    for (cameras, images, expected) in cases {
        let files = [("sparse/0/cameras.txt", cameras), ("sparse/0/images.txt", images)];
        let found = message(load(&folder_with(&files, &[("images/b.png", 8, 6)]), None));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn truncated_and_overstated_binary_files_are_errors() {
    let mut cameras = 1u64.to_le_bytes().to_vec();
    cameras.extend([1u32, 0].iter().flat_map(|x| x.to_le_bytes()));
    cameras.extend([8u64, 6].iter().flat_map(|x| x.to_le_bytes()));
    cameras.extend([7.0f64, 4.0, 3.0].iter().flat_map(|x| x.to_le_bytes()));
    let mut images = 1u64.to_le_bytes().to_vec();
    images.extend(1u32.to_le_bytes());
    images.extend([1.0f64, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0].iter().flat_map(|x| x.to_le_bytes()));
    images.extend(1u32.to_le_bytes());
    images.extend(b"b.png\0");
    images.extend(0u64.to_le_bytes());
    let folder = folder_with(&[("sparse/0/x", "")], &[("images/b.png", 8, 6)]);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join("sparse/0").join(name), bytes).unwrap();
    write("cameras.bin", &cameras);
    write("images.bin", &images);
    assert_eq!(load(&folder, None).unwrap().train.len(), 1);
    for n in 0..images.len() {
        write("images.bin", &images[..n]);
        assert!(message(load(&folder, None)).contains("images.bin"));
    }
    images[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    write("images.bin", &images);
    assert!(message(load(&folder, None)).contains("records are announced"));
}
