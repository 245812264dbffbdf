use glam::DVec3;

/// Triangles of a leaf at most.
const LEAF: usize = 4;

struct Node {
    lo: DVec3,
    hi: DVec3,
    /// Leaf: first triangle and count. Inner: index of the second child and 0 (the first child follows).
    first: usize,
    count: usize,
}

/// A bounding-volume hierarchy over triangles, for closest points.
pub struct Bvh {
    nodes: Vec<Node>,
    triangles: Vec<([DVec3; 3], u32)>,
}

/// The closest point of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Distance.
    pub distance: f64,
    /// Number of the triangle.
    pub triangle: u32,
    /// The point.
    pub point: DVec3,
}

impl Bvh {
    /// Builds over all triangles by median splits of the longest axis.
    pub fn new(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Self {
        let point = |v: u32| DVec3::from_array(positions[v as usize].map(f64::from));
        let mut list: Vec<([DVec3; 3], u32)> = (0..).zip(triangles).map(|(k, t)| (t.map(point), k)).collect();
        let mut nodes = vec![];
        if !list.is_empty() {
            build(&mut nodes, &mut list, 0);
        }
        Self { nodes, triangles: list }
    }

    /// The closest point to `p`; `None` without triangles.
    pub fn nearest(&self, p: DVec3) -> Option<Nearest> {
        let mut best = Nearest { distance: f64::INFINITY, triangle: u32::MAX, point: p };
        let mut stack = vec![0];
        while let Some(k) = stack.pop() {
            let Some(node) = self.nodes.get(k) else { break };
            if p.distance_squared(p.clamp(node.lo, node.hi)) >= best.distance {
                continue;
            }
            if node.count > 0 {
                for (t, id) in &self.triangles[node.first..node.first + node.count] {
                    let point = closest_point(p, t);
                    let d = p.distance_squared(point);
                    if d < best.distance {
                        best = Nearest { distance: d, triangle: *id, point };
                    }
                }
            } else {
                let distance = |k: usize| p.distance_squared(p.clamp(self.nodes[k].lo, self.nodes[k].hi));
                let (a, b) = (k + 1, node.first);
                let (near, far) = if distance(a) <= distance(b) { (a, b) } else { (b, a) };
                stack.extend([far, near]);
            }
        }
        best.distance = best.distance.sqrt();
        (best.triangle != u32::MAX).then_some(best)
    }
}

fn build(nodes: &mut Vec<Node>, list: &mut [([DVec3; 3], u32)], first: usize) {
    let (mut lo, mut hi) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    for p in list.iter().flat_map(|t| t.0) {
        (lo, hi) = (lo.min(p), hi.max(p));
    }
    let place = nodes.len();
    nodes.push(Node { lo, hi, first, count: list.len() });
    if list.len() <= LEAF {
        return;
    }
    let size = hi - lo;
    let axis = if size.x >= size.y && size.x >= size.z {
        0
    } else if size.y >= size.z {
        1
    } else {
        2
    };
    let half = list.len() / 2;
    let centre = |t: &[DVec3; 3]| t[0][axis] + t[1][axis] + t[2][axis];
    list.select_nth_unstable_by(half, |a, b| centre(&a.0).total_cmp(&centre(&b.0)).then(a.1.cmp(&b.1)));
    let (left, right) = list.split_at_mut(half);
    build(nodes, left, first);
    nodes[place].count = 0;
    nodes[place].first = nodes.len();
    build(nodes, right, first + half);
}

/// Closest point of a triangle (Ericson, "Real-Time Collision Detection", §5.1.5).
fn closest_point(p: DVec3, [a, b, c]: &[DVec3; 3]) -> DVec3 {
    let (ab, ac, ap) = (*b - *a, *c - *a, p - *a);
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return *a;
    }
    let bp = p - *b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return *b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 && d1 > d3 {
        return *a + ab * (d1 / (d1 - d3));
    }
    let cp = p - *c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return *c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 && d2 > d6 {
        return *a + ac * (d2 / (d2 - d6));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 && (d4 - d3) + (d5 - d6) > 0.0 {
        return *b + (*c - *b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)));
    }
    let sum = va + vb + vc;
    if sum.abs() < 1e-300 {
        return *a;
    }
    *a + ab * (vb / sum) + ac * (vc / sum)
}

#[test]
fn nearest_points_agree_with_a_search_over_all_triangles() {
    let random = |k: usize| ((k as f64 * 12.9898).sin() * 43758.5453).fract() as f32;
    let positions: Vec<[f32; 3]> = (0..300).map(|i| std::array::from_fn(|c| random(3 * i + c))).collect();
    let triangles: Vec<[u32; 3]> = (0..100).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
    let bvh = Bvh::new(&positions, &triangles);
    for k in 0..50 {
        let p = DVec3::new(random(k + 1000) as f64, random(k + 2000) as f64, random(k + 3000) as f64) * 2.0;
        let all = bvh.triangles.iter().map(|(t, _)| p.distance(closest_point(p, t))).fold(f64::INFINITY, f64::min);
        assert!((bvh.nearest(p).unwrap().distance - all).abs() < 1e-12);
    }
}
