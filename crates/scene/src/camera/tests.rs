use super::*;

fn view(lens: Lens) -> View {
    let view = View::look_at("v", [1.0, 2.0, 5.0], [0.2, -0.3, 0.1], [0.0, 1.0, 0.0], 0.9, (640, 480)).unwrap();
    View { lens, ..view }
}

#[test]
fn unproject_inverts_project_for_every_lens() {
    let lenses = [
        Lens::Perspective,
        Lens::Orthographic,
        Lens::OpenCv { k: [-0.2, 0.05, -0.01, 0.0, 0.0, 0.0], p: [1e-3, -2e-3] },
        Lens::OpenCv { k: [0.3, -0.1, 0.02, 0.1, 0.03, 0.01], p: [-1e-3, 5e-4] },
        Lens::Fisheye { k: [0.1, -0.03, 0.01, -0.002] },
    ];
    for lens in lenses {
        let view = view(lens);
        for (u, v) in [(320.0, 240.0), (0.5, 0.5), (639.5, 479.5), (100.25, 400.75)] {
            let point = view.unproject([u, v], 3.5).unwrap();
            let pixel = view.project(point).unwrap();
            assert!(
                (pixel[0] - u).abs() < 1e-8 && (pixel[1] - v).abs() < 1e-8 && (pixel[2] - 3.5).abs() < 1e-9,
                "{lens:?} {pixel:?}"
            );
        }
    }
}

#[test]
fn points_behind_the_camera_and_beyond_the_fold_have_no_pixel() {
    assert!(view(Lens::Perspective).project([2.0, 4.0, 10.0]).is_none());
    let folding = view(Lens::OpenCv { k: [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0], p: [0.0; 2] });
    let far_out = view(Lens::Perspective).unproject([3000.0, 240.0], 1.0).unwrap();
    assert!(folding.project(far_out).is_none());
    assert!(folding.unproject([3000.0, 240.0], 1.0).is_none());
}

#[test]
fn look_at_sees_its_target_in_the_middle_with_up_upwards() {
    let view = view(Lens::Perspective);
    let centre = view.project([0.2, -0.3, 0.1]).unwrap();
    assert!((centre[0] - 320.0).abs() < 1e-9 && (centre[1] - 240.0).abs() < 1e-9);
    assert!(view.project([0.2, 0.0, 0.1]).unwrap()[1] < 240.0);
    let c = view.centre();
    assert!((c[0] - 1.0).abs() < 1e-12 && (c[2] - 5.0).abs() < 1e-12);
}

#[test]
fn opengl_matrix_round_trips_and_gltf_camera_keeps_yfov() {
    let view = view(Lens::Perspective);
    let back = View::from_opengl("v", view.to_opengl(), view.intrinsics, (640, 480)).unwrap();
    for (a, b) in back.viewmat.iter().flatten().zip(view.viewmat.iter().flatten()) {
        assert!((a - b).abs() < 1e-14);
    }
    let identity = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let camera = View::from_gltf_perspective("c", identity, 1.0, (0.1, None), (200, 100)).unwrap();
    let top = camera.project([0.0, 0.5f64.tan() * 2.0, -2.0]).unwrap();
    assert!((top[1]).abs() < 1e-12 && (top[0] - 100.0).abs() < 1e-12 && top[2] == 2.0);
    let parallel = View::from_gltf_orthographic("c", identity, 2.0, (0.1, 10.0), (200, 100)).unwrap();
    assert_eq!(parallel.project([4.0, 2.0, -3.0]), Some([200.0, 0.0, 3.0]));
    assert!(View::from_opengl("v", [[f64::NAN; 4]; 4], view.intrinsics, (1, 1)).is_err());
    assert!(View::from_opengl("v", [[0.0; 4]; 4], view.intrinsics, (1, 1)).is_err());
}

#[test]
fn resizing_keeps_relative_positions() {
    let view = view(Lens::Perspective);
    let small = view.clone().resized(320, 120);
    let (a, b) = (view.project([0.5, 0.5, 0.0]).unwrap(), small.project([0.5, 0.5, 0.0]).unwrap());
    assert!((a[0] - 2.0 * b[0]).abs() < 1e-9 && (a[1] - 4.0 * b[1]).abs() < 1e-9);
    let part = view.clone().window([20, 7], (16, 8));
    let c = part.project([0.5, 0.5, 0.0]).unwrap();
    assert!((a[0] - c[0] - 20.0).abs() < 1e-9 && (a[1] - c[1] - 7.0).abs() < 1e-9 && part.width == 16);
}

#[test]
fn cameras_between_others_keep_the_distance_and_look_at_the_target() {
    let (target, up) = ([1.0, 0.5, 0.0], [0.0, 1.0, 0.0]);
    let [a, b] = [[1.0, 0.5, 4.0], [3.0, 0.5, 0.0]].map(|e| View::look_at("a", e, target, up, 0.8, (64, 48)).unwrap());
    for t in [0.0, 0.3, 1.0] {
        let view = between(&a, &b, t, target);
        let away = DVec3::from(view.centre()) - DVec3::from(target);
        assert!((away.length() - (4.0 - 2.0 * t)).abs() < 1e-9, "{away}");
        let [x, y, _] = view.project(target).unwrap();
        assert!((x - 32.0).abs() < 1e-9 && (y - 24.0).abs() < 1e-9 && view.intrinsics == a.intrinsics);
    }
    // Opposite places have no middle: the first one's direction.
    let other = View::look_at("c", [1.0, 0.5, -4.0], target, up, 0.8, (64, 48)).unwrap();
    assert!(between(&a, &other, 0.5, target).centre()[2] > 3.9);
}

#[test]
fn sphere_views_are_spread_frame_the_sphere_and_avoid_the_poles() {
    for (n, size) in [(1, (64, 64)), (24, (64, 64)), (64, (80, 40)), (33, (40, 80))] {
        let framing = Framing::of_sphere([1.0, 2.0, 3.0], 2.0, size);
        let views = sphere_views(n, &framing);
        assert_eq!(views.len(), n);
        let centre: Vec<_> = views.iter().map(|v| DVec3::from(v.centre()) - DVec3::new(1.0, 2.0, 3.0)).collect();
        for (i, view) in views.iter().enumerate() {
            assert!((centre[i].length() - framing.distance).abs() < 1e-9);
            assert!(centre[i].y.abs() < framing.distance * (1.0 - 0.5 / n as f64));
            let side = DVec3::from_array(view.forward()).cross(DVec3::Y).normalize();
            // The silhouette's edge along x: the tangent point of the cone.
            let tilt = (2.0 / framing.distance).asin();
            let edge = DVec3::from(view.centre()) + (DVec3::from(view.forward()) * tilt.cos() + side * tilt.sin());
            let x = view.project(edge.to_array()).unwrap()[0];
            assert!(x > 0.5 * size.0 as f64 && x < size.0 as f64, "{x}");
            let nearest = centre.iter().enumerate().filter(|(j, _)| *j != i);
            let nearest = nearest.map(|(_, c)| c.angle_between(centre[i])).fold(f64::INFINITY, f64::min);
            assert!(nearest > 1.5 / (n as f64).sqrt(), "{n}: {nearest}");
        }
    }
    let ring = orbit(4, &Framing::of_sphere([0.0; 3], 1.0, (8, 8)), 0.3);
    assert!(ring[0].centre()[2] > 0.0 && ring[1].centre()[0] > 0.0);
    assert!(ring.iter().all(|v| (v.centre()[1] / DVec3::from(v.centre()).length() - 0.3f64.sin()).abs() < 1e-12));
}
