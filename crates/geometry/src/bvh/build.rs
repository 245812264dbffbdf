use super::{Bvh, LEAF, Leaf, Node, WIDTH};
use glam::DVec3;
use rayon::prelude::*;

type Triangle = ([DVec3; 3], u32);

/// Triangles from which on halves are sorted in parallel.
const PARALLEL: usize = 4096;

pub(super) fn build(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Bvh {
    let point = |v: u32| DVec3::from_array(positions[v as usize].map(f64::from));
    let mut list: Vec<Triangle> = (0..).zip(triangles).map(|(k, t)| (t.map(point), k)).collect();
    arrange(&mut list);
    let (lo, hi) = bounds(list.iter().flat_map(|t| t.0).filter(|p| p.is_finite()));
    let extent = (hi - lo).max_element();
    let centre = if extent >= 0.0 { 0.5 * (lo + hi) } else { DVec3::ZERO };
    let scale = if extent > 0.0 { 2.0 / extent } else { 1.0 };
    let mut bvh = Bvh { centre, scale, nodes: vec![], leaves: vec![], triangles: list };
    let leaf = |block: &[Triangle]| {
        let mut leaf = Leaf::empty();
        block.iter().enumerate().for_each(|(lane, t)| leaf.set(lane, t.0.map(|p| bvh.local(p))));
        leaf
    };
    bvh.leaves = bvh.triangles.par_chunks(WIDTH).map(leaf).collect();
    if !bvh.leaves.is_empty() {
        let mut nodes = vec![];
        // Nodes are full but for the root.
        let halvings = bvh.leaves.len().next_power_of_two().ilog2().max(1);
        add(&bvh, &mut nodes, 0, bvh.leaves.len(), (halvings - 1) % 3 + 1);
        bvh.nodes = nodes;
    }
    bvh
}

/// How many of so many leaves go to the first half.
fn half(leaves: usize) -> usize {
    leaves.div_ceil(2)
}

/// Sorts triangles so that every leaf, and every half of halves of the leaves, is close together.
fn arrange(list: &mut [Triangle]) {
    if list.len() <= WIDTH {
        return;
    }
    let centre = |t: &Triangle| t.0[0] + t.0[1] + t.0[2];
    let (lo, hi) = bounds(list.iter().map(centre));
    let size = hi - lo;
    let axis = if size.x >= size.y && size.x >= size.z {
        0
    } else if size.y >= size.z {
        1
    } else {
        2
    };
    let middle = WIDTH * half(list.len().div_ceil(WIDTH));
    list.select_nth_unstable_by(middle, |a, b| centre(a)[axis].total_cmp(&centre(b)[axis]).then(a.1.cmp(&b.1)));
    let parallel = list.len() >= PARALLEL;
    let (left, right) = list.split_at_mut(middle);
    if parallel {
        rayon::join(|| arrange(left), || arrange(right));
    } else {
        arrange(left);
        arrange(right);
    }
}

/// Adds the node of the leaves from `first` to `end`, halved so many times, and all below; returns its place.
fn add(bvh: &Bvh, nodes: &mut Vec<Node>, first: usize, end: usize, halvings: u32) -> u32 {
    let place = nodes.len();
    let none = [f32::INFINITY; WIDTH];
    nodes.push(Node {
        lo: [none; 3],
        hi: [none.map(|x: f32| -x); 3],
        child: [u32::MAX; WIDTH],
        leaves: [end as u32; WIDTH + 1],
    });
    let mut cuts = vec![first, end];
    for _ in 0..halvings {
        let halves = cuts.windows(2).flat_map(|c| [c[0], c[0] + half(c[1] - c[0])]).collect::<Vec<_>>();
        cuts = halves.into_iter().chain([end]).collect();
        cuts.dedup();
    }
    for (lane, cut) in cuts.windows(2).enumerate() {
        nodes[place].leaves[lane] = cut[0] as u32;
        let (lo, hi) = bounds(bvh.corners(cut[0]..cut[1]).flatten().filter(|p| p.is_finite()));
        for c in 0..3 {
            // Rounding of a bound is within the slack of searches.
            (nodes[place].lo[c][lane], nodes[place].hi[c][lane]) = (lo[c] as f32, hi[c] as f32);
        }
        nodes[place].child[lane] =
            if cut[1] - cut[0] == 1 { cut[0] as u32 | LEAF } else { add(bvh, nodes, cut[0], cut[1], 3) };
    }
    place as u32
}

fn bounds(points: impl Iterator<Item = DVec3>) -> (DVec3, DVec3) {
    points.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), p| (lo.min(p), hi.max(p)))
}
