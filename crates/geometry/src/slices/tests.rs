use super::*;
use crate::Error;

fn square(at: DVec2, half: f64) -> Vec<DVec2> {
    [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(x, y)| at + half * DVec2::new(x, y)).to_vec()
}

#[test]
fn holes_and_islands_are_told_by_parity() {
    let turned: Vec<DVec2> = square(DVec2::ZERO, 2.0).into_iter().rev().collect();
    let region = Region::new(vec![square(DVec2::ZERO, 3.0), turned, square(DVec2::ZERO, 1.0)]);
    for (x, inside, distance) in [(0.0, true, 1.0), (1.5, false, 0.5), (2.25, true, 0.25), (3.5, false, 0.5)] {
        for p in [DVec2::new(x, 0.25), DVec2::new(-x, 0.25), DVec2::new(0.25, x), DVec2::new(0.25, -x)] {
            let close = if x == 0.0 { 0.75 } else { distance };
            assert_eq!(region.contains(p), inside, "{p}");
            assert!((region.distance(p) - close).abs() < 1e-12, "{p}: {}", region.distance(p));
        }
    }
    assert_eq!(region.length(), 48.0);
    assert_eq!(region.bounds(), [DVec2::splat(-3.0), DVec2::splat(3.0)]);
    let (p, direction) = region.along(0.5 / 48.0).unwrap();
    assert!(p.distance(DVec2::new(-2.5, -3.0)) < 1e-12 && direction == DVec2::X);
    assert!(region.along(1.0).is_some() && Region::default().along(0.3).is_none());
    assert!(!Region::default().contains(DVec2::ZERO) && Region::default().distance(DVec2::ZERO).is_infinite());
}

#[test]
fn distances_agree_with_all_edges() {
    // A star of many points, and points all around, far ones too.
    let star = (0..101).map(|k| DVec2::from_angle(k as f64 * 0.0622) * (1.0 + 0.5 * (k % 2) as f64)).collect();
    let region = Region::new(vec![star]);
    for k in 0..500 {
        let p = DVec2::from_angle(k as f64 * 2.4) * (k as f64 * 0.008);
        let contour = &region.contours()[0];
        let segments = (0..contour.len()).map(|i| (contour[i], contour[(i + 1) % contour.len()]));
        let all = segments.map(|(a, b)| {
            let t = ((p - a).dot(b - a) / (b - a).length_squared()).clamp(0.0, 1.0);
            p.distance(a.lerp(b, t))
        });
        assert!((region.distance(p) - all.fold(f64::INFINITY, f64::min)).abs() < 1e-12);
        let angle = |q: DVec2| (q - p).to_angle();
        let turn: f64 = (0..contour.len())
            .map(|i| {
                let d = angle(contour[(i + 1) % contour.len()]) - angle(contour[i]);
                (d + 3.0 * std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI
            })
            .sum();
        assert_eq!(region.contains(p), turn.abs() > 3.0, "{p}");
    }
}

#[test]
fn pictures_are_traced_with_their_holes() {
    // A disc of radius 6 with a hole of radius 3, with soft edges, cut by the picture's border on one side.
    let (w, h) = (16, 15);
    let values: Vec<f32> = (0..w * h)
        .map(|k| {
            let r = DVec2::new((k % w) as f64, (k / w) as f64).distance(DVec2::new(7.0, 5.0));
            (0.5 + (6.0 - r).min(r - 3.0)).clamp(0.0, 1.0) as f32
        })
        .collect();
    let region = Region::new(trace(&values, w, h, 0.5));
    assert_eq!(region.contours().len(), 2);
    for k in (0..w * h).filter(|&k| values[k] != 0.5) {
        let p = DVec2::new((k % w) as f64, (k / w) as f64);
        assert_eq!(region.contains(p), values[k] > 0.5, "{p}");
    }
    let radii = region.contours().iter().flatten().filter(|p| p.y > 0.0).map(|p| p.distance(DVec2::new(7.0, 5.0)));
    assert!(radii.into_iter().all(|r| (r - 6.0).abs() < 0.1 || (r - 3.0).abs() < 0.1));
    // Pixels that touch at a corner, and none.
    assert_eq!(trace(&[1.0, 0.0, 0.0, 1.0], 2, 2, 0.5).len(), 2);
    assert!(trace(&[0.0, f32::NAN], 2, 1, 0.5).is_empty() && trace(&[], 0, 0, 0.5).is_empty());
}

const FILE: &str = "CSLC\n 2 2 \n\n 1 8 2 0 0 2.0 -1.0\n\n 0 0 0.5\n3 0 0.5\n 3 3 0.5\n0 3 .5\n\
    1 1 0.5\n2 1 0.5\n2 2 0.5\n1 2 0.5\n\n4 1 0 1 2 3\n4h0 2 7 6 5 4\n2 0 0 1.0 0 0 0\n";

#[test]
fn csl_files_have_planes_contours_and_holes() {
    let found = Slices::from_csl(FILE).unwrap();
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let [a, b] = &found.slices[..] else { panic!("two planes") };
    assert!(b.region.is_empty() && b.plane.normal().distance(DVec3::X) < 1e-12 && b.plane.origin.x == 0.0);
    assert_eq!(a.region.contours().len(), 2);
    for (x, y, inside) in [(0.5, 0.5, true), (1.5, 1.5, false), (2.5, 1.5, true), (3.5, 1.0, false)] {
        assert_eq!(a.region.contains(a.plane.flat(DVec3::new(x, y, 0.0))), inside);
    }
    assert!(a.points().all(|p| (p.z - 0.5).abs() < 1e-12));
    let moved = a.moved(DVec3::new(1.0, 1.0, 0.5), 2.0);
    assert!(moved.region.contains(moved.plane.flat(DVec3::new(-1.0, -1.0, 0.0))));
    assert!(!moved.region.contains(moved.plane.flat(DVec3::new(0.5, 0.5, 0.0))));
}

#[test]
fn broken_csl_files_are_named_by_line() {
    let fails = |text: &str, line: usize, said: &str| match Slices::from_csl(text) {
        Err(Error::Text { line: found, message }) => {
            assert!(found == line && message.contains(said), "{found}: {message}");
        }
        other => panic!("{other:?}"),
    };
    let with = |from: &str, to: &str| {
        assert!(FILE.contains(from), "{from}");
        FILE.replacen(from, to, 1)
    };
    fails("", 1, "cut off");
    fails("ply\n", 1, "no CSL file");
    fails(&with("2 2", "two 2"), 2, "number of planes");
    fails(&with("2 2", "0 2"), 2, "0 planes");
    fails(&with("0 0 2.0 -1.0", "0 0 0 -1.0"), 4, "normal");
    fails(&with("3 3 0.5", "3 NaN 0.5"), 8, "\"NaN\"");
    fails(&with("3 3 0.5", "3 3 2.5"), 4, "away from it");
    fails(&with("4 1 0 1 2 3", "4 1 0 1 2"), 15, "3 indices, expected 4");
    fails(&with("4h0", "4hx"), 16, "hole");
    fails(&with("7 6 5 4", "8 6 5 4"), 16, "index 8");
    fails(&(FILE.to_owned() + "1 2 3"), 18, "after the last");
    fails(&with("1 8 2", "1 99999999999999999999 2"), 4, "number of vertices");
    // Any part of a file is an error, never a panic; the whole without its end is one too.
    for end in 0..FILE.trim_end().len() - 1 {
        assert!(Slices::from_csl(&FILE[..end]).is_err() || FILE[..end].ends_with("0 0"), "{end}");
    }
    let open = "CSLC\n1 2\n1 5 1 0 0 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 0\n4 0 0\n5 1 0 1 2 3 4\n";
    assert!(Slices::from_csl(open).unwrap().warnings[0].contains("apart"));
}
