//! A manifold mesh that can be edited edge by edge and stays manifold.

use glam::DVec3;

/// Cosine between a triangle's normals before and after an edit, at least.
const LEAST_TURN: f64 = 0.5;
/// Twice the area over the squared longest edge of a triangle that is made, at least.
const LEAST_HEIGHT: f64 = 1e-3;

pub struct Mesh {
    pub positions: Vec<DVec3>,
    /// Vertices of border edges: they neither move nor vanish.
    pub border: Vec<bool>,
    /// `None`: collapsed.
    pub triangles: Vec<Option<[u32; 3]>>,
    /// Triangles around each vertex.
    around: Vec<Vec<u32>>,
}

impl Mesh {
    /// A mesh from indexed triangles that [`Topology`](crate::Topology) found manifold.
    pub fn new(positions: Vec<DVec3>, triangles: &[[u32; 3]]) -> Self {
        let mut around = vec![vec![]; positions.len()];
        for (k, t) in (0..).zip(triangles) {
            t.iter().for_each(|&v| around[v as usize].push(k));
        }
        let border = vec![false; positions.len()];
        let mut mesh = Self { positions, border, triangles: triangles.iter().map(|&t| Some(t)).collect(), around };
        for (a, b) in mesh.edges() {
            if mesh.sides(a, b).len() == 1 {
                [a, b].iter().for_each(|&v| mesh.border[v as usize] = true);
            }
        }
        mesh
    }

    pub fn at(&self, v: u32) -> DVec3 {
        self.positions[v as usize]
    }

    pub fn length(&self, (a, b): (u32, u32)) -> f64 {
        self.at(a).distance(self.at(b))
    }

    /// Edges (smaller vertex, larger vertex), in order.
    pub fn edges(&self) -> Vec<(u32, u32)> {
        let of = |t: &[u32; 3]| [0, 1, 2].map(|k| (t[k].min(t[(k + 1) % 3]), t[k].max(t[(k + 1) % 3])));
        let mut edges: Vec<_> = self.triangles.iter().flatten().flat_map(of).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    fn triangle(&self, t: u32) -> [u32; 3] {
        self.triangles[t as usize].expect("triangles around a vertex exist")
    }

    /// Triangles around a vertex.
    pub fn fan(&self, v: u32) -> impl Iterator<Item = [u32; 3]> {
        self.around[v as usize].iter().map(|&t| self.triangle(t))
    }

    /// Triangles with the edge (a, b), at most two.
    pub fn sides(&self, a: u32, b: u32) -> Vec<u32> {
        self.around[a as usize].iter().copied().filter(|&t| self.triangle(t).contains(&b)).collect()
    }

    pub fn neighbours(&self, v: u32) -> Vec<u32> {
        let mut out: Vec<u32> = self.fan(v).flatten().filter(|&w| w != v).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    fn area(&self, t: [u32; 3]) -> DVec3 {
        area(t.map(|v| self.at(v)))
    }

    /// Sum of the triangles' normals around a vertex, by area.
    pub fn normal(&self, v: u32) -> DVec3 {
        self.fan(v).map(|t| self.area(t)).sum::<DVec3>().normalize_or_zero()
    }

    /// Whether a triangle with the corners `after` has area and faces the side of `before`.
    fn faces(&self, before: DVec3, after: [DVec3; 3]) -> bool {
        let area = area(after);
        let longest = (0..3).map(|k| after[k].distance_squared(after[(k + 1) % 3])).fold(0.0, f64::max);
        area.length() > LEAST_HEIGHT * longest && area.dot(before) > LEAST_TURN * area.length() * before.length()
    }

    /// Whether the triangles around `v` but those with `without` keep their sides when it moves to `to`. Triangles
    /// without area take the side of the fan.
    fn may_move(&self, v: u32, to: DVec3, without: u32) -> bool {
        let side = self.normal(v);
        self.fan(v).filter(|t| !t.contains(&without)).all(|t| {
            let before = self.area(t).normalize_or(side);
            self.faces(before, t.map(|w| if w == v { to } else { self.at(w) }))
        })
    }

    /// Moves a vertex unless a triangle would turn over.
    pub fn move_to(&mut self, v: u32, to: DVec3) {
        if self.may_move(v, to, u32::MAX) {
            self.positions[v as usize] = to;
        }
    }

    /// Splits an edge at its middle; the new vertex.
    pub fn split(&mut self, a: u32, b: u32) -> u32 {
        let m = self.positions.len() as u32;
        let sides = self.sides(a, b);
        self.positions.push(0.5 * (self.at(a) + self.at(b)));
        self.border.push(sides.len() == 1);
        self.around.push(vec![]);
        for t in sides {
            let (old, new) = (self.triangle(t), self.triangles.len() as u32);
            let with = |from: u32| old.map(|v| if v == from { m } else { v });
            self.triangles[t as usize] = Some(with(b));
            self.triangles.push(Some(with(a)));
            self.around[b as usize].iter_mut().filter(|k| **k == t).for_each(|k| *k = new);
            let opposite = old.into_iter().find(|&v| v != a && v != b).expect("corners differ");
            self.around[opposite as usize].push(new);
            self.around[m as usize].extend([t, new]);
        }
        m
    }

    /// Collapses an edge to its middle, or to its end on the border, unless the mesh would lose its topology, a triangle
    /// turn over, or an edge become longer than `longest`.
    pub fn collapse(&mut self, a: u32, b: u32, longest: f64) -> bool {
        let (a, b) = if self.border[b as usize] { (b, a) } else { (a, b) };
        let sides = self.sides(a, b);
        if self.border[b as usize] || sides.len() != 2 {
            return false;
        }
        let to = if self.border[a as usize] { self.at(a) } else { 0.5 * (self.at(a) + self.at(b)) };
        // Link condition: the ends share the two opposite vertices only, and these keep a fan.
        let (around_a, around_b) = (self.neighbours(a), self.neighbours(b));
        let shared: Vec<u32> = around_a.iter().copied().filter(|v| around_b.contains(v)).collect();
        let keeps = |v: &u32| self.around[*v as usize].len() > if self.border[*v as usize] { 1 } else { 3 };
        let short = |v: &u32| self.at(*v).distance(to) <= longest;
        if shared.len() != 2
            || !shared.iter().all(keeps)
            || !around_a.iter().chain(&around_b).all(short)
            || !self.may_move(a, to, b)
            || !self.may_move(b, to, a)
        {
            return false;
        }
        for &t in &sides {
            let corners = self.triangles[t as usize].take().expect("sides of an edge exist");
            corners.iter().for_each(|&v| self.around[v as usize].retain(|&k| k != t));
        }
        for t in std::mem::take(&mut self.around[b as usize]) {
            let moved = self.triangle(t).map(|v| if v == b { a } else { v });
            self.triangles[t as usize] = Some(moved);
            self.around[a as usize].push(t);
        }
        self.positions[a as usize] = to;
        true
    }

    /// Turns an inner edge to the opposite vertices where that brings valences closer to 6 (4 on borders), the triangles
    /// keep their sides, and the edge does not exist yet.
    pub fn flip(&mut self, a: u32, b: u32) -> bool {
        let &[s, t] = self.sides(a, b).as_slice() else { return false };
        let forward = |t: [u32; 3]| (0..3).any(|k| t[k] == a && t[(k + 1) % 3] == b);
        let (s, t) = if forward(self.triangle(s)) { (s, t) } else { (t, s) };
        let opposite = |t: u32| self.triangle(t).into_iter().find(|&v| v != a && v != b).expect("corners differ");
        // s = (a, b, c), t = (b, a, d) become (c, d, b) and (d, c, a).
        let (c, d) = (opposite(s), opposite(t));
        let valence = |v: u32| self.neighbours(v).len() as i64;
        let excess = |v: u32, change: i64| {
            let aim = if self.border[v as usize] { 4 } else { 6 };
            (valence(v) + change - aim).pow(2)
        };
        let cost = |x: i64| excess(a, -x) + excess(b, -x) + excess(c, x) + excess(d, x);
        let least = |v: u32| if self.border[v as usize] { 2 } else { 3 };
        if c == d
            || !self.sides(c, d).is_empty()
            || [a, b].iter().any(|&v| valence(v) <= least(v))
            || cost(1) >= cost(0)
        {
            return false;
        }
        let before = [self.area(self.triangle(s)), self.area(self.triangle(t))];
        let mean = (before[0] + before[1]).normalize_or_zero();
        let after = [[c, d, b], [d, c, a]];
        let keeps = |t: &[u32; 3]| {
            let corners = t.map(|v| self.at(v));
            before.iter().all(|n| self.faces(n.normalize_or(mean), corners))
        };
        if !after.iter().all(keeps) {
            return false;
        }
        self.triangles[s as usize] = Some(after[0]);
        self.triangles[t as usize] = Some(after[1]);
        self.around[a as usize].retain(|&k| k != s);
        self.around[b as usize].retain(|&k| k != t);
        self.around[c as usize].push(t);
        self.around[d as usize].push(s);
        true
    }
}

/// Normal of twice the area's length.
pub fn area(p: [DVec3; 3]) -> DVec3 {
    (p[1] - p[0]).cross(p[2] - p[0])
}
