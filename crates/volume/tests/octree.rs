//! Octrees: rays meet leaves in the order in which sorting would put them, and numbers at corners have the right derivatives.

mod common;

use common::{Line, hostile, rays};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};
use lumigrad_testkit::{Check, devices, real, real_in};
use lumigrad_volume::{Fate, Leaf, Octree, Walk};

fn core<T>(found: lumigrad_volume::Result<T>) -> lumigrad_core::Result<T> {
    found.map_err(|e| match e {
        lumigrad_volume::Error::Core(e) => e,
        e => panic!("{e}"),
    })
}

/// Leaves of levels 2 to 6, some of them gone.
fn tree(device: &Device) -> Octree {
    let mut tree = Octree::uniform(2, |_| true, device).unwrap();
    for round in 0..4 {
        let fate = |k: usize| match random::hash(round, k as u64) % 5 {
            0 => Fate::Drop,
            1 | 2 => Fate::Split,
            _ => Fate::Keep,
        };
        tree = tree.adapt(fate).unwrap().octree;
    }
    tree
}

const WALK: Walk = Walk { per_leaf: 1, range: [0.05, 1e6], most: 1 << 14, total: usize::MAX };

/// Where a line crosses a leaf, farther than the nearest point.
fn crossing(leaf: &Leaf, (origin, direction): &Line) -> Option<[f64; 2]> {
    let (mut from, mut to) = (WALK.range[0], f64::INFINITY);
    for a in 0..3 {
        let (o, d) = (f64::from(origin[a]), f64::from(direction[a]));
        let (lo, hi) = (leaf.low()[a], leaf.low()[a] + leaf.side());
        if d == 0.0 {
            if !(lo..hi).contains(&o) {
                return None;
            }
            continue;
        }
        let (one, two) = ((lo - o) / d, (hi - o) / d);
        (from, to) = (from.max(one.min(two)), to.min(one.max(two)));
    }
    (to > from && direction.iter().any(|d| *d != 0.0)).then_some([from, to])
}

#[test]
fn rays_meet_leaves_in_the_order_of_their_distances() {
    let lines: Vec<Line> = hostile().into_iter().filter(|(o, _)| o.iter().all(|x| x.abs() != 1.0)).collect();
    let mut octants = [0; 8];
    for device in devices("octree/walk") {
        let tree = tree(&device);
        let found = tree.walk(&rays(&lines, &device), &WALK).unwrap();
        let offsets = found.offsets.to_vec::<u32>().unwrap();
        let (middles, lengths) = (found.middles.to_vec::<f32>().unwrap(), found.lengths.to_vec::<f32>().unwrap());
        for (k, line) in lines.iter().enumerate() {
            let mut expected: Vec<[f64; 2]> = tree.leaves().iter().filter_map(|l| crossing(l, line)).collect();
            expected.sort_by(|a, b| a[0].total_cmp(&b[0]));
            // Corners that are only grazed may be found or not.
            expected.retain(|[from, to]| to - from > 1e-4);
            let own = offsets[k] as usize..offsets[k + 1] as usize;
            let seen: Vec<(f64, f64)> = own
                .map(|i| (f64::from(middles[i]), f64::from(lengths[i])))
                .filter(|(_, length)| *length > 1e-4)
                .collect();
            assert!(seen.windows(2).all(|w| w[0].0 < w[1].0), "{device}, {line:?}: not front to back");
            assert_eq!(seen.len(), expected.len(), "{device}, {line:?}: {seen:?} of {expected:?}");
            for ((middle, length), [from, to]) in seen.iter().zip(&expected) {
                let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
                assert!(close(*middle, 0.5 * (from + to)) && close(*length, to - from), "{device}, {line:?}");
            }
            octants[(0..3).map(|a| usize::from(line.1[a] > 0.0) << a).sum::<usize>()] += seen.len();
        }
        // Pieces, and limits of one ray and of all.
        let pieces = tree.walk(&rays(&lines, &device), &Walk { per_leaf: 3, ..WALK }).unwrap();
        assert_eq!(pieces.len(), 3 * found.len());
        let few = tree.walk(&rays(&lines, &device), &Walk { most: 7, total: 100, per_leaf: 2, ..WALK }).unwrap();
        let counts = few.offsets.to_vec::<u32>().unwrap();
        assert!(few.len() <= 100 && few.len() > 90 && few.n_rays() < lines.len(), "{}", few.len());
        assert!(counts.windows(2).all(|w| w[1] - w[0] <= 7));
    }
    assert!(octants.iter().all(|n| *n > 20), "{octants:?}");
}

#[test]
fn numbers_between_corners_in_both_derivative_modes_on_both_devices() {
    let n = tree(&Device::cpu()).n_corners();
    // The points lie away from faces of leaves of level 6.
    let spot = |k: u64| (random::hash(5, k) % 64) as f64 / 32.0 - 1.0 + (0.3 + 0.4 * random::uniform(6, k)) / 32.0;
    let places: Vec<f64> = (0..3 * 60).map(spot).collect();
    let points = Tensor::from_slice(&Device::cpu(), &places, &[60, 3]).unwrap();
    Check::new("octree/sample", |x| {
        let tree = tree(x[0].device());
        let leaves = core(tree.locate(x[0].tensor()))?;
        Ok(vec![core(tree.sample(&x[0], &leaves, &x[1], -3.0))?])
    })
    .run(&[points.clone(), real(&[n, 1], 2)]);
    Check::new("octree/sample 3", |x| {
        let tree = tree(x[0].device());
        let leaves = core(tree.locate(x[0].tensor()))?;
        Ok(vec![core(tree.sample(&x[0], &leaves, &x[1], 0.5))?])
    })
    .run(&[points, real(&[n, 3], 3)]);
}

#[test]
fn what_is_linear_along_each_axis_is_exact_and_stays_so_when_leaves_are_split() {
    let device = Device::cpu();
    let f = |[x, y, z]: [f64; 3]| 1.0 + x - 2.0 * y + 0.5 * z + x * y * z;
    let table = |tree: &Octree| -> Tensor {
        let places = tree.corner_places();
        let numbers: Vec<f32> = places.iter().map(|p| f(*p) as f32).collect();
        Tensor::from_slice(&device, &numbers, &[numbers.len(), 1]).unwrap()
    };
    let points = real_in(&[200, 3], 3, -1.0, 1.0);
    let check = |tree: &Octree, table: &Tensor| {
        let leaves = tree.locate(&points).unwrap();
        let wide = table.cast(lumigrad_core::DType::F64).unwrap();
        let found = tree.sample(&points.clone().into(), &leaves, &wide.into(), -7.0).unwrap();
        let (found, leaves) = (found.tensor().to_vec::<f64>().unwrap(), leaves.to_vec::<u32>().unwrap());
        let mut empty = 0;
        for (k, p) in points.to_vec::<f64>().unwrap().as_chunks::<3>().0.iter().enumerate() {
            let inside = |l: &Leaf| (0..3).all(|a| (l.low()[a]..l.low()[a] + l.side()).contains(&p[a]));
            match tree.leaves().iter().position(inside) {
                Some(leaf) => {
                    assert_eq!(leaves[k], leaf as u32);
                    assert!((found[k] - f(*p)).abs() < 1e-5, "{p:?}: {}", found[k]);
                }
                None => {
                    assert!(found[k] == -7.0 && (leaves[k] as usize) < tree.len(), "{p:?}: {}", found[k]);
                    empty += 1;
                }
            }
        }
        assert!(empty > 10, "{empty}");
    };
    let before = tree(&device);
    let numbers = table(&before);
    check(&before, &numbers);
    let after = before.adapt(|k| if k % 3 == 0 { Fate::Split } else { Fate::Keep }).unwrap();
    check(&after.octree, &after.corners_of(&before, &numbers).unwrap());
    // Rows of leaves go to those that lie in them.
    let sides: Vec<f32> = before.leaves().iter().map(|l| l.side() as f32).collect();
    let sides = after.leaves_of(&Tensor::from_slice(&device, &sides, &[sides.len(), 1]).unwrap()).unwrap();
    for ((leaf, parent), side) in after.octree.leaves().iter().zip(&after.parents).zip(sides.to_vec::<f32>().unwrap()) {
        let split = parent % 3 == 0;
        assert_eq!(leaf.side() as f32, if split { 0.5 * side } else { side });
    }
}

#[test]
fn files_tell_trees_and_what_is_none_is_refused() {
    let device = Device::cpu();
    let tree = tree(&device);
    let bits = tree.to_bits();
    let again = Octree::from_bits(&bits, &device).unwrap().unwrap();
    assert_eq!(again.leaves(), tree.leaves());
    for wrong in [&bits[1..], &bits[..bits.len() - 1], &[], &[0; 2], &[0xff; 40]] {
        assert!(Octree::from_bits(wrong, &device).unwrap().is_none());
    }
    let leaf = |level, place| Leaf { level, place };
    for wrong in [
        vec![],
        vec![leaf(0, [0; 3])],
        vec![leaf(15, [0; 3])],
        vec![leaf(2, [0, 4, 0])],
        vec![leaf(2, [1; 3]), leaf(2, [1; 3])],
        vec![leaf(2, [1; 3]), leaf(4, [4, 5, 7])],
        vec![leaf(4, [4, 5, 7]), leaf(1, [0; 3])],
    ] {
        assert!(Octree::new(wrong.clone(), &device).is_err(), "{wrong:?}");
    }
    assert!(tree.adapt(|_| Fate::Drop).is_err());
    // The smallest leaves stay.
    let deepest = Octree::new(vec![leaf(14, [5, 6, 7])], &device).unwrap();
    assert_eq!(deepest.adapt(|_| Fate::Split).unwrap().octree.leaves(), deepest.leaves());
}
