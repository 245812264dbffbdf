use crate::topology::Sets;
use crate::{Error, Result, check_indices};
use glam::DVec3;

/// Positions [V, 3] and triangles [T, 3].
type Indexed = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// Which parts of a surface to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// The one of the largest area; of equals, the first.
    Largest,
    /// Those with this share of the whole area at least, from 0 to 1.
    Share(f64),
}

/// Numbers the connected parts of a surface in order of their first triangle: the part of each triangle, and how many
/// there are. Triangles that name a vertex in common are connected.
///
/// # Errors
/// A triangle names a vertex beyond `n`.
pub fn parts(n: usize, triangles: &[[u32; 3]]) -> Result<(Vec<u32>, usize)> {
    check_indices(n, triangles)?;
    let mut sets = Sets::new(n);
    for t in triangles {
        sets.join(t[0] as usize, t[1] as usize);
        sets.join(t[1] as usize, t[2] as usize);
    }
    let (mut number, mut count) = (vec![u32::MAX; n], 0);
    let part = |t: &[u32; 3]| {
        let number = &mut number[sets.root(t[0] as usize)];
        if *number == u32::MAX {
            *number = count;
            count += 1;
        }
        *number
    };
    let part = triangles.iter().map(part).collect();
    Ok((part, count as usize))
}

/// The parts of a surface that are large enough, without the vertices that none of their triangles names; for cleaning
/// surfaces of fields. Triangles and vertices stay in order.
///
/// # Errors
/// Indices out of range, positions of vertices in use that are not finite.
pub fn keep_parts(positions: &[[f32; 3]], triangles: &[[u32; 3]], keep: Keep) -> Result<Indexed> {
    let kept = Subset::of_parts(positions, triangles, keep)?;
    Ok((kept.rows(positions), kept.triangles))
}

/// Some triangles of a surface, and the vertices that they name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subset {
    /// The vertices in use, as they were numbered before, in order.
    pub vertices: Vec<u32>,
    /// Triangles of these.
    pub triangles: Vec<[u32; 3]>,
}

impl Subset {
    /// Of a surface of `n` vertices; indices are below that.
    pub fn new(n: usize, mut triangles: Vec<[u32; 3]>) -> Self {
        let mut place = vec![0u32; n];
        triangles.iter().flatten().for_each(|&v| place[v as usize] = 1);
        let vertices = (0..n as u32).filter(|&v| place[v as usize] == 1).collect();
        let mut next = 0;
        for p in &mut place {
            (*p, next) = (next, next + *p);
        }
        triangles.iter_mut().for_each(|t| *t = t.map(|v| place[v as usize]));
        Self { vertices, triangles }
    }

    /// The parts of a surface that are large enough, as [`keep_parts`] has them.
    ///
    /// # Errors
    /// As [`keep_parts`].
    pub fn of_parts(positions: &[[f32; 3]], triangles: &[[u32; 3]], keep: Keep) -> Result<Self> {
        large_parts(positions, triangles, keep).map(|kept| Self::new(positions.len(), kept))
    }

    /// What was said of all vertices, of those in use.
    pub fn rows<T: Copy>(&self, all: &[T]) -> Vec<T> {
        self.vertices.iter().map(|&v| all[v as usize]).collect()
    }
}

/// The triangles of the parts that are large enough.
fn large_parts(positions: &[[f32; 3]], triangles: &[[u32; 3]], keep: Keep) -> Result<Vec<[u32; 3]>> {
    let (part, n) = parts(positions.len(), triangles)?;
    let mut areas = vec![0.0; n];
    for (t, &part) in triangles.iter().zip(&part) {
        if let Some(&v) = t.iter().find(|&&v| !positions[v as usize].iter().all(|x| x.is_finite())) {
            return Err(Error::NotFinite { vertex: v as usize });
        }
        let [a, b, c] = t.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        areas[part as usize] += (b - a).cross(c - a).length();
    }
    let total: f64 = areas.iter().sum();
    let largest = (0..n).rev().max_by(|&i, &j| areas[i].total_cmp(&areas[j]));
    let kept = |part: u32| match keep {
        Keep::Largest => Some(part as usize) == largest,
        Keep::Share(share) => areas[part as usize] >= share * total,
    };
    Ok(triangles.iter().zip(&part).filter(|(_, part)| kept(**part)).map(|(t, _)| *t).collect())
}

/// A surface without the vertices that no triangle names; vertices and triangles stay in order. Indices are below the number
/// of positions.
pub fn compact(positions: &[[f32; 3]], triangles: Vec<[u32; 3]>) -> Indexed {
    let used = Subset::new(positions.len(), triangles);
    (used.rows(positions), used.triangles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{cube, joined, welded};

    #[test]
    fn small_parts_go() {
        let cubes = [(0.0, 1.0), (10.0, 2.0), (20.0, 0.1), (30.0, 2.0)].map(|(x, side)| cube([x; 3], side));
        let (mut p, mut t) = welded(&joined(&cubes));
        // A vertex that nobody names, and triangles of two parts that take turns.
        p.insert(0, [7.0; 3]);
        t.iter_mut().for_each(|t| *t = t.map(|v| v + 1));
        t.swap(1, 20);
        let (part, n) = parts(p.len(), &t).unwrap();
        assert_eq!((n, part[0], part[1], part[2]), (4, 0, 1, 0));
        let (q, s) = keep_parts(&p, &t, Keep::Largest).unwrap();
        assert_eq!((q.len(), s.len(), q[0]), (8, 12, [10.0; 3]));
        let (q, s) = keep_parts(&p, &t, Keep::Share(0.05)).unwrap();
        assert_eq!((q.len(), s.len()), (24, 36));
        assert_eq!(keep_parts(&p, &t, Keep::Share(0.0)).unwrap().0.len(), 32);
        assert!(keep_parts(&[], &[], Keep::Largest).unwrap().1.is_empty());
        assert!(parts(3, &[[0, 1, 3]]).is_err());
        p[5][0] = f32::NAN;
        assert!(matches!(keep_parts(&p, &t, Keep::Largest), Err(Error::NotFinite { vertex: 5 })));
    }
}
