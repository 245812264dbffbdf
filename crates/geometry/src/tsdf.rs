//! Fusion of depth maps.

use crate::{Border, Error, Result, SampleGrid, compact, marching_cubes};
use glam::{DMat3, DVec3};
use rayon::prelude::*;

/// What a pinhole camera sees.
#[derive(Clone, Copy, Debug)]
pub struct DepthView<'a> {
    /// World → camera, OpenCV axes (x right, y down, z forward), `viewmat[row][column]`.
    pub viewmat: [[f64; 4]; 4],
    /// `[fx, fy, cx, cy]` in pixels; pixel centres lie at +0.5.
    pub intrinsics: [f64; 4],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Depths along the camera's axis, [H, W]: infinite where the view sees through to nothing, NaN or not positive where
    /// nothing is known.
    pub depths: &'a [f32],
    /// Colours [H, W, 3], or none.
    pub colours: &'a [[f32; 3]],
    /// How much pixels count, [H, W]; none: 1 each.
    pub weights: &'a [f32],
}

/// What a view counts that sees past a sample at more than the truncation: it knows the side, not the distance, and many such
/// would draw the surface inwards.
const FREE: f32 = 0.05;

/// What is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Is solid: the surface is closed.
    Solid,
    /// Is not known: the surface ends there.
    Open,
}

/// The mean of truncated distances to the surfaces of depth maps, and of their colours, at the samples of a grid.
///
/// **Determinism**: the same for any number of threads; the order of the views matters to rounding alone.
/// **Cost**: 8 bytes per sample, 24 with colours; a view takes about 10 ns per sample.
///
/// **Source**: Curless & Levoy, "A Volumetric Method for Building Complex Models from Range Images", 1996.
pub struct Tsdf {
    grid: SampleGrid,
    truncation: f64,
    /// Sums of weighted distances in truncations, from −1 (inside) to 1, and of weights.
    distances: Vec<[f32; 2]>,
    /// Sums of weighted colours and of weights; empty without colours.
    colours: Vec<[f32; 4]>,
}

/// A surface with colours where the views had some.
pub struct Fused {
    /// Positions [V, 3].
    pub positions: Vec<[f32; 3]>,
    /// Triangles [T, 3], counter-clockwise from outside.
    pub triangles: Vec<[u32; 3]>,
    /// Colours [V, 3]; 0 where no view had any.
    pub colours: Option<Vec<[f32; 3]>>,
}

impl Tsdf {
    /// Nothing seen yet. Distances count up to `truncation`, in units of the world; some three spacings suit exact depths.
    ///
    /// # Errors
    /// A grid without place or extent, a truncation that is not positive.
    pub fn new(grid: SampleGrid, truncation: f64) -> Result<Self> {
        let n = grid.size.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).unwrap_or(0);
        grid.check(n)?;
        if !(truncation > 0.0 && truncation.is_finite()) {
            return Err(Error::Spacing { origin: grid.origin, spacing: [truncation; 3] });
        }
        Ok(Self { grid, truncation, distances: vec![[0.0; 2]; n], colours: vec![] })
    }

    /// Adds a view: samples before the surface that a pixel sees get their distance along the camera's axis, up to the
    /// truncation; those behind it only where they are nearer than that.
    ///
    /// # Errors
    /// Pictures that are not of the view's size.
    pub fn add(&mut self, view: &DepthView) -> Result<()> {
        let pixels = view.width * view.height;
        let optional = [view.colours.len(), view.weights.len()].into_iter().find(|&n| n != 0 && n != pixels);
        if let Some(found) = optional.or((view.depths.len() != pixels).then_some(view.depths.len())) {
            return Err(Error::Samples { found, size: [view.width, view.height, 1] });
        }
        if !view.colours.is_empty() && self.colours.is_empty() {
            self.colours = vec![[0.0; 4]; self.distances.len()];
        }
        let layer = (self.grid.size[0] * self.grid.size[1]).max(1);
        let (grid, truncation) = (self.grid, self.truncation);
        let camera = Camera::new(view);
        let one = |sample: usize, distance: &mut [f32; 2], colour: Option<&mut [f32; 4]>| {
            let Some((pixel, depth, z)) = camera.look(view, grid.point(sample), truncation) else { return };
            let gap = (depth - z) / truncation;
            let far = if gap >= 1.0 { FREE } else { 1.0 };
            let weight = if view.weights.is_empty() { far } else { far * view.weights[pixel] };
            if !(gap >= -1.0 && weight > 0.0) {
                return;
            }
            distance[0] += weight * gap.min(1.0) as f32;
            distance[1] += weight;
            if let (Some(sum), true, false) = (colour, gap < 1.0, view.colours.is_empty()) {
                (0..3).for_each(|c| sum[c] += weight * view.colours[pixel][c]);
                sum[3] += weight;
            }
        };
        let layers = self.distances.par_chunks_mut(layer).enumerate();
        match self.colours.is_empty() {
            true => layers.for_each(|(z, distances)| {
                distances.iter_mut().enumerate().for_each(|(k, d)| one(z * layer + k, d, None));
            }),
            false => layers.zip(self.colours.par_chunks_mut(layer)).for_each(|((z, distances), colours)| {
                let both = distances.iter_mut().zip(colours).enumerate();
                both.for_each(|(k, (d, c))| one(z * layer + k, d, Some(c)));
            }),
        }
        Ok(())
    }

    /// The mean distances in truncations, −1 where nothing was seen.
    pub fn samples(&self) -> Vec<f32> {
        self.distances.par_iter().map(|&[sum, weight]| if weight > 0.0 { sum / weight } else { -1.0 }).collect()
    }

    /// The surface, by marching cubes.
    ///
    /// # Errors
    /// 2³² vertices or more.
    pub fn surface(&self, unseen: Unseen) -> Result<Fused> {
        let border = if unseen == Unseen::Solid { Border::Closed } else { Border::Open };
        let (mut positions, mut triangles) = marching_cubes(&self.samples(), &self.grid, 0.0, border)?;
        if unseen == Unseen::Open {
            let known: Vec<bool> = positions.par_iter().map(|&p| self.is_known(p)).collect();
            triangles.retain(|t| t.iter().all(|&v| known[v as usize]));
            (positions, triangles) = compact(&positions, triangles);
        }
        let colour = |p: &[f32; 3]| {
            let mut sum = [0f32; 4];
            for (sample, part) in self.ends(*p) {
                (0..4).for_each(|c| sum[c] += part * self.colours[sample][c]);
            }
            if sum[3] > 0.0 { std::array::from_fn(|c| sum[c] / sum[3]) } else { [0.0; 3] }
        };
        let colours = (!self.colours.is_empty()).then(|| positions.par_iter().map(colour).collect());
        Ok(Fused { positions, triangles, colours })
    }

    /// Whether both ends of a vertex's edge were seen.
    fn is_known(&self, p: [f32; 3]) -> bool {
        self.ends(p).into_iter().all(|(sample, _)| self.distances[sample][1] > 0.0)
    }

    /// The samples at the ends of the edge that a vertex is on, and what they weigh.
    fn ends(&self, p: [f32; 3]) -> [(usize, f32); 2] {
        let size = self.grid.size;
        let local: [f64; 3] = std::array::from_fn(|c| {
            let at = (f64::from(p[c]) - self.grid.origin[c]) / self.grid.spacing[c];
            at.clamp(0.0, (size[c] - 1) as f64)
        });
        // The axis along which it is farthest from a sample.
        let off = local.map(|x| (x - x.round()).abs());
        let axis = (0..3).fold(0, |best, c| if off[c] > off[best] { c } else { best });
        let mut low = local.map(|x| x.round() as usize);
        low[axis] = (local[axis] as usize).min(size[axis].saturating_sub(2));
        let mut high = low;
        high[axis] = (low[axis] + 1).min(size[axis] - 1);
        let t = (local[axis] - low[axis] as f64) as f32;
        let number = |at: [usize; 3]| at[0] + size[0] * (at[1] + size[1] * at[2]);
        [(number(low), 1.0 - t), (number(high), t)]
    }
}

/// A view's camera, ready to look at points.
struct Camera {
    rotation: DMat3,
    translation: DVec3,
}

impl Camera {
    fn new(view: &DepthView) -> Self {
        let m = &view.viewmat;
        let column = |c: usize| DVec3::new(m[0][c], m[1][c], m[2][c]);
        Self { rotation: DMat3::from_cols(column(0), column(1), column(2)), translation: column(3) }
    }

    /// The pixel that sees a point, its depth and the point's: depths between pixels are linear where they are of one surface.
    fn look(&self, view: &DepthView, point: [f64; 3], truncation: f64) -> Option<(usize, f64, f64)> {
        let p = self.rotation * DVec3::from(point) + self.translation;
        let [fx, fy, cx, cy] = view.intrinsics;
        let (u, v) = (fx * p.x / p.z + cx, fy * p.y / p.z + cy);
        if !(p.z > 0.0 && u >= 0.0 && v >= 0.0 && u < view.width as f64 && v < view.height as f64) {
            return None;
        }
        let pixel = v as usize * view.width + u as usize;
        let nearest = f64::from(view.depths[pixel]);
        if !(nearest > 0.0) {
            return None;
        }
        let corner = |x: f64, n: usize| ((x - 0.5).max(0.0) as usize).min(n.saturating_sub(2));
        let (x, y) = (corner(u, view.width), corner(v, view.height));
        let (s, t) = ((u - 0.5 - x as f64).clamp(0.0, 1.0), (v - 0.5 - y as f64).clamp(0.0, 1.0));
        let at = |i: usize, j: usize| {
            let (i, j) = ((x + i).min(view.width - 1), (y + j).min(view.height - 1));
            f64::from(view.depths[j * view.width + i])
        };
        let corners = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
        let one_surface = corners.iter().all(|d| (d - nearest).abs() < truncation);
        let [a, b, c, d] = corners;
        let between = (a * (1.0 - s) + b * s) * (1.0 - t) + (c * (1.0 - s) + d * s) * t;
        Some((pixel, if one_surface { between } else { nearest }, p.z))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topology;
    use std::f64::consts::PI;

    /// A viewmat, intrinsics, depths and colours.
    type Seen = ([[f64; 4]; 4], [f64; 4], Vec<f32>, Vec<[f32; 3]>);

    /// Depths of a unit sphere from a distance along a direction; colours by the place that is seen.
    fn seen(direction: DVec3, size: usize) -> Seen {
        let (forward, distance) = (-direction.normalize(), 4.0);
        let right = forward.cross(DVec3::new(0.1, 1.0, 0.2)).normalize();
        let down = forward.cross(right);
        let eye = -distance * forward;
        let row = |a: DVec3| [a.x, a.y, a.z, -a.dot(eye)];
        let f = size as f64 * 0.7;
        let middle = 0.5 * size as f64;
        let hit = |k: usize| {
            let (x, y) = (((k % size) as f64 + 0.5 - middle) / f, ((k / size) as f64 + 0.5 - middle) / f);
            let ray = right * x + down * y + forward;
            let (a, b, c) = (ray.length_squared(), eye.dot(ray), eye.length_squared() - 1.0);
            let root = b * b - a * c;
            if root < 0.0 {
                (f32::INFINITY, [0.0; 3])
            } else {
                let depth = (-b - root.sqrt()) / a;
                (depth as f32, (0.5 + 0.5 * (eye + ray * depth)).as_vec3().to_array())
            }
        };
        let (depths, colours) = (0..size * size).map(hit).unzip();
        ([row(right), row(down), row(forward), [0.0, 0.0, 0.0, 1.0]], [f, f, middle, middle], depths, colours)
    }

    fn fused(directions: &[DVec3], n: usize, unseen: Unseen) -> Fused {
        let grid = SampleGrid::over([-1.3; 3], [1.3; 3], [n; 3]);
        let mut tsdf = Tsdf::new(grid, 3.0 * grid.spacing[0]).unwrap();
        for &direction in directions {
            let (viewmat, intrinsics, depths, colours) = seen(direction, 160);
            let view = DepthView {
                viewmat,
                intrinsics,
                width: 160,
                height: 160,
                depths: &depths,
                colours: &colours,
                weights: &[],
            };
            tsdf.add(&view).unwrap();
        }
        tsdf.surface(unseen).unwrap()
    }

    fn around() -> Vec<DVec3> {
        let corner = |k: usize| DVec3::new((k & 1) as f64 - 0.5, (k >> 1 & 1) as f64 - 0.5, (k >> 2) as f64 - 0.5);
        (0..8).map(corner).chain(DVec3::AXES).chain(DVec3::AXES.map(|a| -a)).collect()
    }

    #[test]
    fn a_sphere_seen_from_all_sides_is_closed_and_has_its_volume_and_colours() {
        let m = fused(&around(), 49, Unseen::Solid);
        let t = Topology::new(m.positions.len(), &m.triangles).unwrap();
        assert!(t.watertight() && t.manifold() && t.euler_characteristic() == 2 && t.n_parts == 1, "{t:?}");
        let place = |v: u32| DVec3::from_array(m.positions[v as usize].map(f64::from));
        let volume: f64 = m.triangles.iter().map(|t| place(t[0]).dot(place(t[1]).cross(place(t[2]))) / 6.0).sum();
        assert!((volume / (4.0 / 3.0 * PI) - 1.0).abs() < 0.02, "{volume}");
        for (p, c) in m.positions.iter().zip(m.colours.as_ref().unwrap()) {
            let p = DVec3::from_array(p.map(f64::from));
            assert!((p.length() - 1.0).abs() < 0.03, "{p}");
            assert!((0..3).all(|k| (f64::from(c[k]) - 0.5 - 0.5 * p[k]).abs() < 0.06), "{p} {c:?}");
        }
    }

    #[test]
    fn one_view_has_an_open_surface_of_what_it_sees() {
        let m = fused(&[DVec3::Z], 49, Unseen::Open);
        let t = Topology::new(m.positions.len(), &m.triangles).unwrap();
        assert!(t.n_crowded_edges + t.n_turned_edges == 0 && t.n_border_edges > 0 && t.n_triangles > 1000, "{t:?}");
        assert!(
            m.positions.iter().all(|p| p[2] > -0.2 && (p.iter().map(|x| x * x).sum::<f32>().sqrt() - 1.0).abs() < 0.05)
        );
        let solid = fused(&[DVec3::Z], 49, Unseen::Solid);
        assert!(Topology::new(solid.positions.len(), &solid.triangles).unwrap().watertight());
    }

    #[test]
    fn weights_count_and_unknown_pixels_do_not() {
        let grid = SampleGrid { size: [1, 1, 9], origin: [0.0, 0.0, 1.0], spacing: [1.0, 1.0, 0.25] };
        let mut tsdf = Tsdf::new(grid, 0.5).unwrap();
        let viewmat = std::array::from_fn(|r| std::array::from_fn(|c| (r == c) as u8 as f64));
        let view = DepthView {
            viewmat,
            intrinsics: [1.0, 1.0, 0.5, 0.5],
            width: 1,
            height: 1,
            depths: &[2.0],
            colours: &[],
            weights: &[3.0],
        };
        tsdf.add(&view).unwrap();
        tsdf.add(&DepthView { depths: &[2.4], weights: &[1.0], ..view }).unwrap();
        for unknown in [f32::NAN, 0.0, -1.0] {
            tsdf.add(&DepthView { depths: &[unknown], ..view }).unwrap();
        }
        tsdf.add(&DepthView { weights: &[0.0], ..view }).unwrap();
        let found = tsdf.samples();
        // At depth 2: (3·0 + 0.8)/4; at 2.5, which is at the truncation of the first: (−3 − 0.2)/4; behind both nothing is seen.
        assert!((found[4] - 0.2).abs() < 1e-6 && (found[6] + 0.8).abs() < 1e-6 && found[8] == -1.0, "{found:?}");
        assert!(found[0] == 1.0);
        tsdf.add(&DepthView { depths: &[f32::INFINITY], weights: &[], ..view }).unwrap();
        assert!((tsdf.samples()[8] - 1.0).abs() < 1e-6, "seen through");
        assert!(tsdf.add(&DepthView { depths: &[1.0, 2.0], ..view }).is_err());
        assert!(Tsdf::new(grid, 0.0).is_err());
    }
}
