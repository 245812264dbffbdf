//! What the loss of one view says about places where the shape should begin or end.

use lumigrad_scene::camera::View;

/// A training picture of the shape as it is now, and what the loss of each pixel would be if something else stood there.
///
/// A vanishing ball at a point that the view sees covers (f/z)² · π r² pixels, whose loss jumps from that of what they show
/// to that of the shape's colour: its derivative by the covered area. A vanishing cone from the camera empties the pixels
/// around one. Jumps are exact differences of squared errors, not their first order, which would miss the quadratic part.
pub struct Sight {
    /// The camera.
    pub view: View,
    /// Depth of the shape at each pixel; infinite where it is not.
    pub depth: Vec<f32>,
    /// How the loss of a pixel jumps where it comes to show the shape, and where it comes to show what is behind the shape.
    pub jumps: [Vec<f32>; 2],
}

/// A disc of pixels that should be empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hole {
    /// Sum of the jumps in it: below 0.
    pub gain: f32,
    /// Its centre and radius, pixels.
    pub centre: [f64; 2],
    /// Radius, pixels.
    pub radius: f64,
}

/// Discs are at least so large, pixels.
const SMALLEST: f64 = 2.0;
/// Radius of discs and balls, in spacings of the grid.
pub const RADIUS: f64 = 1.5;

impl Sight {
    /// Of two pictures [H·W] of so many channels: the present one and the target, of what counts (all where empty), and of
    /// what a pixel shows without the shape.
    pub fn new(
        view: View,
        depth: Vec<f32>,
        (picture, target): (&[[f32; 4]], &[[f32; 4]]),
        mask: &[f32],
        behind: [f32; 4],
    ) -> Self {
        let covered: Vec<&[f32; 4]> =
            picture.iter().zip(&depth).filter(|(_, d)| d.is_finite()).map(|(p, _)| p).collect();
        let mean = |c: usize| covered.iter().map(|p| p[c] as f64).sum::<f64>() / covered.len().max(1) as f64;
        let shape = [0, 1, 2, 3].map(|c| mean(c) as f32);
        let off = |a: &[f32; 4], b: &[f32; 4]| 0.5 * (0..4).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>();
        let jump = |other: [f32; 4]| {
            let of = |i: usize| off(&other, &target[i]) - off(&picture[i], &target[i]);
            (0..picture.len()).map(|i| mask.get(i).copied().unwrap_or(1.0) * of(i)).collect()
        };
        Self { view, depth, jumps: [jump(shape), jump(behind)] }
    }

    /// Pixels per unit of length at a depth.
    fn scale(&self, depth: f64) -> f64 {
        let [fx, fy, ..] = self.view.intrinsics;
        let focal = (fx * fy).abs().sqrt();
        if self.view.lens == lumigrad_scene::camera::Lens::Orthographic { focal } else { focal / depth }
    }

    /// Derivative of the view's loss, a sum over pixels, by the cross-section of a ball at a point outside of the shape; 0
    /// where the shape hides it; `None` out of view.
    pub fn founding(&self, point: [f64; 3]) -> Option<f64> {
        let (pixel, [.., depth]) = self.view.pixel(point)?;
        Some(if depth < self.depth[pixel] as f64 {
            self.scale(depth).powi(2) * self.jumps[0][pixel] as f64
        } else {
            0.0
        })
    }

    /// Discs whose every pixel would gain by being empty, the best first; none within another. A grid of this spacing must
    /// be able to hold them.
    pub fn holes(&self, spacing: f64) -> Vec<Hole> {
        let (w, h) = (self.view.width, self.view.height);
        let gains = |i: usize| self.depth[i].is_finite() && self.jumps[1][i] < 0.0;
        let disc = |i: usize| {
            let (x, y) = (i % w, i / w);
            let radius = (RADIUS * spacing * self.scale(self.depth[i] as f64)).max(SMALLEST);
            let reach = radius as usize;
            if x < reach || y < reach || x + reach >= w || y + reach >= h {
                return None;
            }
            let mut gain = 0.0;
            for v in y - reach..=y + reach {
                for u in x - reach..=x + reach {
                    let (dx, dy) = (u as f64 - x as f64, v as f64 - y as f64);
                    if dx * dx + dy * dy <= radius * radius {
                        let j = v * w + u;
                        gains(j).then_some(())?;
                        gain += self.jumps[1][j];
                    }
                }
            }
            Some(Hole { gain, centre: [x as f64 + 0.5, y as f64 + 0.5], radius })
        };
        let mut found: Vec<Hole> = (0..w * h).filter(|&i| gains(i)).filter_map(disc).collect();
        found.sort_by(|a, b| a.gain.total_cmp(&b.gain));
        let mut kept: Vec<Hole> = vec![];
        for hole in found {
            let apart = |k: &Hole| {
                let [dx, dy] = [0, 1].map(|c| k.centre[c] - hole.centre[c]);
                (dx * dx + dy * dy).sqrt() > 2.0 * (k.radius + hole.radius)
            };
            if kept.iter().all(apart) {
                kept.push(hole);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(target: impl Fn(f64, f64) -> bool, now: impl Fn(f64, f64) -> bool) -> Sight {
        let view = View::look_at("v", [0.0, 0.0, -4.0], [0.0; 3], [0.0, -1.0, 0.0], 0.5, (64, 64));
        let view = view.unwrap();
        let place = |i: usize| ((i % 64) as f64 - 31.5, (i / 64) as f64 - 31.5);
        let colour = |full: bool| if full { [0.8, 0.6, 0.4, 1.0] } else { [0.0; 4] };
        let all =
            |of: &dyn Fn(f64, f64) -> bool| -> Vec<bool> { (0..4096).map(|i| of(place(i).0, place(i).1)).collect() };
        let (a, b) = (all(&now), all(&target));
        let pictures = [&a, &b].map(|p| p.iter().map(|f| colour(*f)).collect::<Vec<_>>());
        let depth = a.iter().map(|f| if *f { 4.0 } else { f32::INFINITY }).collect();
        Sight::new(view, depth, (&pictures[0], &pictures[1]), &[], [0.0; 4])
    }

    #[test]
    fn the_jump_is_the_loss_of_a_disc_by_its_area() {
        let ring = |x: f64, y: f64| x.hypot(y) < 20.0 && x.hypot(y) > 8.0;
        let disc = |x: f64, y: f64| x.hypot(y) < 20.0;
        let found = sight(ring, disc).holes(0.1);
        assert_eq!(found.len(), 1, "{found:?}");
        let off = (found[0].centre[0] - 32.0).hypot(found[0].centre[1] - 32.0);
        assert!(off + found[0].radius < 9.0, "{found:?}");
        // Emptying the disc lowers the loss by exactly its gain.
        let [x, y] = found[0].centre;
        let inside = |u: f64, v: f64| (u + 32.0 - x).hypot(v + 32.0 - y) <= found[0].radius;
        let loss = |now: &dyn Fn(f64, f64) -> bool| -> f64 {
            let wrong = (0..4096).filter(|i| {
                let (u, v) = ((i % 64) as f64 - 31.5, (i / 64) as f64 - 31.5);
                now(u, v) != ring(u, v)
            });
            wrong.count() as f64 * 0.5 * (0.64 + 0.36 + 0.16 + 1.0)
        };
        let change = loss(&|u, v| disc(u, v) && !inside(u, v)) - loss(&disc);
        assert!((change / found[0].gain as f64 - 1.0).abs() < 1e-4, "{change} {found:?}");
    }

    #[test]
    fn what_is_right_has_no_holes_and_no_islands() {
        let disc = |x: f64, y: f64| x.hypot(y) < 20.0;
        let same = sight(disc, disc);
        assert!(same.holes(0.1).is_empty());
        assert!(same.founding([0.85, 0.85, -0.1]).unwrap() > 0.0);
        assert_eq!(same.founding([0.0, 0.0, 1.0]), Some(0.0));
        assert_eq!(same.founding([9.0, 0.0, 0.0]), None);
        let more = sight(|x, y| disc(x, y) || (x - 25.0).hypot(y - 25.0) < 5.0, disc);
        let view = &more.view;
        let [x, y, z] = view.unproject([57.0, 57.0], 4.0).unwrap();
        let derivative = more.founding([x, y, z]).unwrap();
        let [fx, ..] = view.intrinsics;
        let exact = -(fx / 4.0).powi(2) * 0.5 * (0.64 + 0.36 + 0.16 + 1.0);
        assert!((derivative / exact - 1.0).abs() < 1e-5, "{derivative} {exact}");
    }
}
