use crate::{Result, check_indices, weld_positions};

/// How the triangles of a mesh are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Triangles with three different corners; only these are looked at.
    pub n_triangles: usize,
    /// Triangles that name a vertex twice.
    pub n_degenerate: usize,
    /// Edges.
    pub n_edges: usize,
    /// Edges of one triangle.
    pub n_border_edges: usize,
    /// Edges of three triangles or more.
    pub n_crowded_edges: usize,
    /// Edges of two triangles that run through them in the same direction: the triangles face opposite sides.
    pub n_turned_edges: usize,
    /// Vertices that triangles use. A vertex where several fans of triangles touch counts once per fan.
    pub n_vertices: usize,
    /// Vertices where several fans touch.
    pub n_pinched_vertices: usize,
    /// Connected parts (through edges of two triangles).
    pub n_parts: usize,
}

impl Topology {
    /// Examines `n` vertices' triangles as they are indexed.
    ///
    /// # Errors
    /// A triangle names a vertex beyond `n`.
    pub fn new(n: usize, triangles: &[[u32; 3]]) -> Result<Self> {
        check_indices(n, triangles)?;
        let whole = |t: &&[u32; 3]| t[0] != t[1] && t[1] != t[2] && t[2] != t[0];
        let kept: Vec<[u32; 3]> = triangles.iter().filter(whole).copied().collect();
        Ok(Self { n_degenerate: triangles.len() - kept.len(), ..examine(n, &kept) })
    }

    /// Examines a surface whose vertices at equal positions are one.
    ///
    /// # Errors
    /// A triangle names a vertex that does not exist.
    pub fn welded(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<Self> {
        check_indices(positions.len(), triangles)?;
        let (class, n) = weld_positions(positions);
        let triangles: Vec<[u32; 3]> = triangles.iter().map(|t| t.map(|v| class[v as usize])).collect();
        Self::new(n, &triangles)
    }

    /// Every edge has exactly two triangles, and there is one.
    pub fn watertight(&self) -> bool {
        self.n_triangles > 0 && self.n_border_edges == 0 && self.n_crowded_edges == 0
    }

    /// No edge has more than two triangles, neighbours face the same side, and no vertex is pinched.
    pub fn manifold(&self) -> bool {
        self.n_crowded_edges == 0 && self.n_turned_edges == 0 && self.n_pinched_vertices == 0
    }

    /// V − E + F.
    pub fn euler_characteristic(&self) -> i64 {
        self.n_vertices as i64 - self.n_edges as i64 + self.n_triangles as i64
    }

    /// Number of handles, summed over the parts; `None` where the surface is not watertight or has no two sides.
    pub fn genus(&self) -> Option<usize> {
        let twice = 2 * self.n_parts as i64 - self.euler_characteristic();
        (self.watertight() && twice >= 0 && twice % 2 == 0).then_some(twice as usize / 2)
    }
}

fn examine(n: usize, triangles: &[[u32; 3]]) -> Topology {
    // Edges as (smaller vertex, larger vertex, corner where it starts); edge k of a triangle goes to the next corner.
    let mut edges: Vec<(u32, u32, usize)> = (0..3 * triangles.len())
        .map(|corner| {
            let (a, b) = (triangles[corner / 3][corner % 3], triangles[corner / 3][(corner + 1) % 3]);
            (a.min(b), a.max(b), corner)
        })
        .collect();
    edges.sort_unstable();
    let next = |corner: usize| corner / 3 * 3 + (corner + 1) % 3;
    let vertex = |corner: usize| triangles[corner / 3][corner % 3];
    let mut out = Topology { n_triangles: triangles.len(), ..Topology::default() };
    // Corners of one vertex that belong to one fan, and triangles of one part.
    let (mut fans, mut parts) = (Sets::new(3 * triangles.len()), Sets::new(triangles.len()));
    for group in edges.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
        out.n_edges += 1;
        match group {
            [_] => out.n_border_edges += 1,
            &[(.., i), (.., j)] => {
                parts.join(i / 3, j / 3);
                let turned = vertex(i) == vertex(j);
                out.n_turned_edges += turned as usize;
                let (start, end) = if turned { (j, next(j)) } else { (next(j), j) };
                fans.join(i, start);
                fans.join(next(i), end);
            }
            _ => out.n_crowded_edges += 1,
        }
    }
    let mut n_fans = vec![0usize; n];
    for corner in (0..3 * triangles.len()).filter(|&c| fans.root(c) == c) {
        n_fans[vertex(corner) as usize] += 1;
    }
    out.n_vertices = n_fans.iter().sum();
    out.n_pinched_vertices = n_fans.iter().filter(|&&n| n > 1).count();
    out.n_parts = (0..triangles.len()).filter(|&t| parts.root(t) == t).count();
    out
}

/// Disjoint sets of numbers.
pub(crate) struct Sets(Vec<usize>);

impl Sets {
    pub fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    pub fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    pub fn join(&mut self, i: usize, j: usize) {
        let (i, j) = (self.root(i), self.root(j));
        self.0[i.max(j)] = i.min(j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{cube, joined, sphere, torus, welded};

    fn of(mesh: &crate::shapes::Mesh) -> Topology {
        Topology::welded(&mesh.0, &mesh.1).unwrap()
    }

    #[test]
    fn genus_of_known_surfaces() {
        let parts = [sphere(12, 1.0), torus(20, 10, 1.0, 0.3), cube([0.0; 3], 1.0)];
        let topologies = [0, 1, 2].map(|k| of(&parts[k]));
        assert_eq!(topologies.map(|t| t.genus()), [Some(0), Some(1), Some(0)]);
        assert!(topologies.iter().all(|t| t.watertight() && t.manifold() && t.n_parts == 1));
        // Two handles of three far parts.
        let far = |mesh: &crate::shapes::Mesh, x: f32| -> crate::shapes::Mesh {
            (mesh.0.iter().map(|p| [p[0] + x, p[1], p[2]]).collect(), mesh.1.clone())
        };
        let all = joined(&[far(&parts[1], 0.0), far(&parts[1], 5.0), far(&parts[0], 10.0)]);
        assert_eq!((of(&all).genus(), of(&all).n_parts), (Some(2), 3));
    }

    #[test]
    fn a_torus_of_two_handles_is_told_from_its_euler_characteristic() {
        // Two tori joined through a triangle that both lose: χ = 0 + 0 − 2.
        let (p, t) = welded(&torus(20, 10, 1.0, 0.3));
        let n = p.len() as u32;
        let (a, shared) = (t[0], t[0].map(|v| v + n));
        let glue = |v: u32| shared.iter().position(|&s| s == v).map_or(v, |k| [a[1], a[0], a[2]][k]);
        let second = t[1..].iter().map(|t| t.map(|v| glue(v + n)));
        let triangles: Vec<[u32; 3]> = t[1..].iter().copied().chain(second).collect();
        let found = Topology::new(2 * n as usize, &triangles).unwrap();
        assert!(found.watertight() && found.manifold());
        assert_eq!((found.euler_characteristic(), found.genus()), (-2, Some(2)));
    }

    #[test]
    fn open_crowded_turned_and_pinched_surfaces_are_told() {
        let square = Topology::new(4, &[[0, 1, 2], [0, 2, 3]]).unwrap();
        assert_eq!((square.n_border_edges, square.watertight(), square.genus()), (4, false, None));
        assert!(square.manifold());
        let crowded = Topology::new(5, &[[0, 1, 2], [1, 0, 3], [0, 1, 4]]).unwrap();
        assert!(crowded.n_crowded_edges == 1 && !crowded.manifold());
        let turned = Topology::new(4, &[[0, 1, 2], [0, 3, 2]]).unwrap();
        assert!(turned.n_turned_edges == 1 && !turned.manifold());
        // Two tetrahedra that touch at vertex 0: still closed, two balls.
        let tetrahedron = |v: [u32; 4]| [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]].map(|t| t.map(|k| v[k]));
        let pinched = [tetrahedron([0, 1, 2, 3]), tetrahedron([0, 4, 5, 6])].concat();
        let pinched = Topology::new(7, &pinched).unwrap();
        assert_eq!((pinched.n_pinched_vertices, pinched.genus(), pinched.n_parts), (1, Some(0), 2));
        let degenerate = Topology::new(3, &[[0, 1, 1], [0, 1, 2]]).unwrap();
        assert_eq!((degenerate.n_degenerate, degenerate.n_triangles), (1, 1));
        let nothing = Topology::new(0, &[]).unwrap();
        assert!(!nothing.watertight() && nothing.genus().is_none());
        assert!(Topology::new(2, &[[0, 1, 2]]).is_err());
    }
}
