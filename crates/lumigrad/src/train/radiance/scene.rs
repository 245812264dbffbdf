//! Light along rays, and pictures.

use super::Medium;
use crate::Result;
use crate::volume::{Domain, March, Occupancy, Rays, Samples};
use glam::DVec3;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_scene::camera::View;
use lumigrad_splat::Image;

/// Rays of a picture at a time, and samples of them.
const CHUNK: usize = 1 << 13;
const SAMPLES: usize = 1 << 18;
/// Light that a picture does not tell from none.
pub const UNSEEN: f64 = 1e-3;

/// A medium in space.
pub struct Scene<'a> {
    /// What gives light.
    pub medium: &'a dyn Medium,
    /// The part of the world that it models.
    pub domain: &'a Domain,
    /// How samples are placed.
    pub march: &'a March,
    /// Where it is empty.
    pub grid: &'a Occupancy,
    /// What stands behind it.
    pub background: [f32; 3],
}

/// The light along rays.
pub struct Light {
    /// Over nothing, [R, 3].
    pub colours: Var,
    /// [R, 1].
    pub opacities: Var,
    /// Σ weight · distance, [R, 1].
    pub depths: Var,
    /// The samples that it comes from, how much of it from each, and their colours.
    pub samples: Samples,
    /// \[M\].
    pub weights: Var,
    /// [M, 3].
    pub seen: Var,
    /// Per unit of the cube, [M, 1].
    pub densities: Var,
}

impl Scene<'_> {
    /// The light along rays, with gradients to the parameters: of the first rays, as many as have no more than `total` samples,
    /// which is their number too.
    pub fn light(&self, parameters: &[Var], rays: &Rays, shifts: &Tensor, total: usize) -> Result<(Light, usize)> {
        let all = self.medium.samples(rays, shifts, self.grid, &March { total, ..*self.march })?;
        let (origins, directions) = (Var::from(rays.origins.clone()), Var::from(rays.directions.clone()));
        let unbounded = self.march.unbounded;
        let plain: Vec<Var> = parameters.iter().map(Var::stop_gradient).collect();
        let densities = self.medium.densities(&plain, &all.points(&origins, &directions, unbounded)?)?;
        let samples = all.visible(densities.tensor(), UNSEEN, self.medium.least_weight())?;
        let points = samples.points(&origins, &directions, unbounded)?;
        let views = self.medium.encode_directions(&Var::from(rays.views.clone()))?.gather(&samples.rays)?;
        let (densities, seen) = self.medium.evaluate(parameters, &points, &views)?;
        let weights = samples.weights(&densities.reshape(&[samples.len()])?)?;
        let light = Light {
            colours: samples.along(&weights, &seen)?,
            opacities: samples.opacities(&weights)?,
            depths: samples.depths(&weights)?,
            samples,
            weights,
            seen,
            densities,
        };
        let done = light.samples.n_rays();
        Ok((light, done))
    }

    /// A picture: colours over the background, opacities and depths along the axis: those of the mean distances.
    pub fn picture(&self, values: &[Tensor], view: &View, device: &Device) -> Result<Image> {
        let parameters: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let n = view.width * view.height;
        let each = self.medium.rays_per_pixel().max(1);
        let mut image = Image { width: view.width, height: view.height, ..Image::default() };
        let (forward, eye) = (DVec3::from(view.forward()), DVec3::from(view.centre()));
        let mut start = 0;
        while start < n {
            let end = (start + CHUNK.div_ceil(each)).min(n);
            let rays = match each {
                1 => Rays::of_pixels(self.domain, view, start..end, device)?,
                _ => {
                    let places = (start * each..end * each).map(|k| (view, place(view, k / each, (k % each, each))));
                    Rays::new(self.domain, &places.collect::<Vec<_>>(), device)?
                }
            };
            let shifts = Tensor::zeros(device, lumigrad_core::DType::F32, &[rays.len()])?;
            let (light, done) = self.light(&parameters, &rays, &shifts, SAMPLES.max(each * self.march.most))?;
            let done = done / each;
            let (colours, opacities) =
                (light.colours.tensor().to_vec::<f32>()?, light.opacities.tensor().to_vec::<f32>()?);
            let distances = light.depths.tensor().to_vec::<f32>()?;
            let (origins, directions) = (rays.origins.to_vec::<f32>()?, rays.directions.to_vec::<f32>()?);
            let share = 1.0 / each as f32;
            for own in (0..done).map(|k| k * each..(k + 1) * each) {
                let (mut colour, mut alpha, mut depth) = ([0.0; 3], 0.0, 0.0);
                for k in own {
                    (0..3).for_each(|c| colour[c] += share * colours[3 * k + c]);
                    alpha += share * opacities[k];
                    if opacities[k] > 0.0 {
                        let t = (distances[k] / opacities[k]) as f64;
                        let x = [0, 1, 2].map(|a| origins[3 * k + a] as f64 + t * directions[3 * k + a] as f64);
                        let along = forward.dot(DVec3::from(self.domain.world(x)) - eye);
                        depth += share * opacities[k] * along as f32;
                    }
                }
                let left = 1.0 - alpha;
                image.colour.push([0, 1, 2].map(|c| colour[c] + left * self.background[c]));
                image.alpha.push(alpha);
                image.depth.push(depth);
            }
            // A ray has fewer samples than are looked at (`March::most`): there is always a next one.
            start += done;
        }
        Ok(image)
    }
}

/// The place of a ray of a pixel: those of a pixel are spread evenly over it (Roberts 2018, the plastic sequence).
pub fn place(view: &View, pixel: usize, (k, n): (usize, usize)) -> [f64; 2] {
    let spot = match n {
        1 => [0.5; 2],
        _ => {
            [0.754_877_666_246_692_7, 0.569_840_290_998_053_2].map(|step: f64| (0.5 + step * (k as f64 + 0.5)).fract())
        }
    };
    [(pixel % view.width) as f64 + spot[0], (pixel / view.width) as f64 + spot[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Frustum, Mapping};
    use lumigrad_core::Map;

    /// A wire along y that nothing shines through, seen by so many rays of a pixel.
    struct Wire {
        radius: f64,
        rays: usize,
    }

    impl Medium for Wire {
        fn densities(&self, _: &[Var], points: &Var) -> Result<Var> {
            let map = Map::cached(&format!("test/wire {}", self.radius), |m| {
                let [x, _, z] = m.item("points");
                m.output("density", &[(x * x + z * z).less_eq(self.radius * self.radius).select(1e5, 0.0)]);
            });
            Ok(map.apply(&[points])?.remove(0))
        }

        fn encode_directions(&self, directions: &Var) -> Result<Var> {
            Ok(directions.clone())
        }

        fn evaluate(&self, parameters: &[Var], points: &Var, _: &Var) -> Result<(Var, Var)> {
            Ok((self.densities(parameters, points)?, points.scale(0.0)?.offset(1.0)?))
        }

        fn rays_per_pixel(&self) -> usize {
            self.rays
        }
    }

    #[test]
    fn many_rays_of_a_pixel_see_what_is_thinner_than_it() {
        let device = Device::cpu();
        let domain = Domain::new([0.0; 3], [1.0; 3], Mapping::Bounded).unwrap();
        let grid = Occupancy::full(8, &device).unwrap();
        // The wire lies between two columns of pixels.
        let view = View::look_at("wire", [0.0, 0.0, 4.0], [0.0; 3], [0.0, 1.0, 0.0], 0.3, (16, 16)).unwrap();
        let pixel = 4.0 / view.intrinsics[0];
        let radius = 0.2 * pixel;
        let step = 0.25 * radius;
        let march = March { step, ratio: 0.0, range: [0.05, 10.0], most: 1 << 14, total: usize::MAX, unbounded: false };
        let mean = |rays: usize| -> f64 {
            let medium = Wire { radius, rays };
            let scene = Scene { medium: &medium, domain: &domain, march: &march, grid: &grid, background: [0.0; 3] };
            let image =
                scene.picture(&[Tensor::zeros(&device, lumigrad_core::DType::F32, &[1]).unwrap()], &view, &device);
            let image = image.unwrap();
            assert_eq!((image.colour.len(), image.depth.len()), (256, 256));
            image.colour.iter().map(|c| f64::from(c[0])).sum::<f64>() / 256.0
        };
        // Of the width of a row.
        let exact = 2.0 * radius / (16.0 * pixel);
        let [one, many] = [1, 16].map(mean);
        assert_eq!(one, 0.0, "no ray through a pixel's centre meets the wire");
        assert!((many / exact - 1.0).abs() < 0.3, "{many} of {exact}");
    }

    /// A wall across the cube's z axis.
    struct Wall(f64);

    impl Medium for Wall {
        fn densities(&self, _: &[Var], points: &Var) -> Result<Var> {
            let map = Map::cached(&format!("test/wall {}", self.0), |m| {
                let [_, _, z] = m.item("points");
                m.output("density", &[z.less_eq(self.0).select(0.0, 1e5)]);
            });
            Ok(map.apply(&[points])?.remove(0))
        }

        fn encode_directions(&self, directions: &Var) -> Result<Var> {
            Ok(directions.clone())
        }

        fn evaluate(&self, parameters: &[Var], points: &Var, _: &Var) -> Result<(Var, Var)> {
            Ok((self.densities(parameters, points)?, points.scale(0.0)?.offset(1.0)?))
        }
    }

    #[test]
    fn depths_of_forward_facing_scenes_are_those_of_the_world() {
        let device = Device::cpu();
        let (origin, near, scale, depth) = ([1.0, 2.0, 3.0], 1.0, 0.6, 7.0);
        let axes = [[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]];
        let mapping = Mapping::Forward(Frustum { origin, axes, scale });
        let half = 0.5 * scale / near;
        let domain = Domain::new([0.0, 0.0, -half], [1.5, 1.5, half], mapping).unwrap();
        let wall = Wall(1.0 - 2.0 * near / depth);
        let march =
            March { step: 1e-3, ratio: 0.0, range: [0.0, 1e6], most: 4096, total: usize::MAX, unbounded: false };
        let grid = Occupancy::full(64, &device).unwrap();
        let scene = Scene { medium: &wall, domain: &domain, march: &march, grid: &grid, background: [0.0; 3] };
        // A camera aside of the rig that looks askew at the wall, which stands at x = 1 − 7.
        let view = View::look_at("v", [1.3, 2.2, 2.9], [-6.0, 1.0, 4.0], [0.0, 1.0, 0.0], 0.6, (12, 9)).unwrap();
        let values = [Tensor::zeros(&device, lumigrad_core::DType::F32, &[1]).unwrap()];
        let image = scene.picture(&values, &view, &device).unwrap();
        for i in 0..12 * 9 {
            let place = [(i % 12) as f64 + 0.5, (i / 12) as f64 + 0.5];
            let [from, to_depth_1] = view.ray(place).unwrap();
            let exact = (origin[0] - depth - from[0]) / to_depth_1[0];
            let found = image.depth[i] as f64;
            assert!(image.alpha[i] > 0.999 && (found / exact - 1.0).abs() < 2e-2, "{i}: {found} of {exact}");
        }
    }
}
