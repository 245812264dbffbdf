//! Packs charts under a horizon.

use super::flatten::Upright;
use glam::DVec2;

/// Attempts at the scale.
const ATTEMPTS: usize = 9;
/// Share of the square that the first attempt hopes to fill.
const HOPED: f64 = 0.6;
/// With more charts than this fewer places are tried for each.
const MANY: usize = 2000;

/// Where charts are.
pub struct Packed {
    /// Texels along a unit.
    pub scale: f64,
    pad: usize,
    places: Vec<Spot>,
    /// Sizes in texels, what is kept free included.
    sizes: Vec<[usize; 2]>,
}

/// Where a chart is.
#[derive(Clone, Copy, Default)]
struct Spot {
    x: usize,
    y: usize,
    /// By half a turn.
    turned: bool,
}

impl Packed {
    /// Where a point of a chart is, in texels.
    pub fn place(&self, chart: usize, p: DVec2) -> DVec2 {
        let Spot { x, y, turned } = self.places[chart];
        let own = self.pad as f64 + p * self.scale;
        let own = if turned { DVec2::from(self.sizes[chart].map(|n| n as f64)) - own } else { own };
        DVec2::new(x as f64, y as f64) + own
    }
}

/// Packs charts into a square of texels as large as they fit, each with `pad` texels around it that no other chart has; `None`
/// where none of the scales that are tried fits.
pub fn pack(charts: &[Upright], size: usize, pad: usize) -> Option<Packed> {
    let area: f64 = charts.iter().map(|c| c.corners.iter().map(|t| super::flatten::area(t).abs()).sum::<f64>()).sum();
    let longest = charts.iter().map(|c| c.extent.x).fold(0.0, f64::max);
    // Borders between texels take up to one more on both sides.
    let room = size.checked_sub(2 * pad + 1).filter(|room| *room > 0)? as f64;
    let most = if longest > 0.0 { room / longest } else { 1.0 };
    let mut order: Vec<usize> = (0..charts.len()).collect();
    order.sort_by(|&a, &b| charts[b].extent.y.total_cmp(&charts[a].extent.y).then(a.cmp(&b)));
    let mut scale = if area > 0.0 { (HOPED * (size * size) as f64 / area).sqrt() } else { 1.0 }.min(most);
    let (mut best, mut fails): (Option<Packed>, Option<f64>) = (None, None);
    for _ in 0..ATTEMPTS {
        match attempt(charts, &order, (size, pad), scale) {
            Some(packed) => best = Some(packed),
            None => fails = Some(scale),
        }
        let fits = best.as_ref().map(|b| b.scale);
        scale = match (fits, fails) {
            (Some(fits), Some(fails)) => (fits * fails).sqrt(),
            (Some(fits), None) if fits >= most => break,
            (Some(fits), None) => (1.15 * fits).min(most),
            (None, Some(fails)) => 0.75 * fails,
            (None, None) => break,
        };
    }
    best
}

/// Rows that a chart takes in each of its columns, what is kept free around it included.
struct Profile {
    top: Vec<usize>,
    bottom: Vec<usize>,
    height: usize,
}

impl Profile {
    /// Columns of the top and from the bottom up, of the chart turned by half.
    fn turned(&self) -> Self {
        let flip = |rows: &[usize]| rows.iter().rev().map(|r| self.height - r).collect();
        Self { top: flip(&self.bottom), bottom: flip(&self.top), height: self.height }
    }
}

fn profile(chart: &Upright, scale: f64, pad: usize) -> Profile {
    let n = (chart.extent.x * scale) as usize + 1;
    let rows = (chart.extent.y * scale) as usize + 1;
    let (mut top, mut bottom) = (vec![usize::MAX; n], vec![0; n]);
    for &[a, b] in &chart.border {
        let [a, b] = if a.x <= b.x { [a * scale, b * scale] } else { [b * scale, a * scale] };
        for column in a.x as usize..=(b.x as usize).min(n - 1) {
            let at =
                |x: f64| if b.x > a.x { a.y + (b.y - a.y) * ((x - a.x) / (b.x - a.x)).clamp(0.0, 1.0) } else { a.y };
            let (mut low, mut high) = (at(column as f64), at(column as f64 + 1.0));
            if b.x <= a.x {
                (low, high) = (a.y, b.y);
            }
            let [low, high] = [low.min(high), low.max(high)].map(|y| (y.max(0.0) as usize).min(rows - 1));
            (top[column], bottom[column]) = (top[column].min(low), bottom[column].max(high + 1));
        }
    }
    // Columns that no border crosses are those of charts without area.
    top.iter_mut().zip(&bottom).for_each(|(t, b)| *t = (*t).min(*b));
    let around = |column: usize| column.saturating_sub(2 * pad)..(column + 1).min(n);
    let wide = n + 2 * pad;
    Profile {
        top: (0..wide).map(|k| around(k).map(|j| top[j]).min().unwrap_or(0)).collect(),
        bottom: (0..wide).map(|k| around(k).map(|j| bottom[j]).max().unwrap_or(0) + 2 * pad).collect(),
        height: rows + 2 * pad,
    }
}

/// Packs at one scale: charts in order, each where it ends up highest in the picture and leaves least unused.
fn attempt(charts: &[Upright], order: &[usize], (size, pad): (usize, usize), scale: f64) -> Option<Packed> {
    let mut horizon = vec![0usize; size];
    let mut places = vec![Spot::default(); charts.len()];
    let mut sizes = vec![[0; 2]; charts.len()];
    for &k in order {
        let straight = profile(&charts[k], scale, pad);
        let (width, height) = (straight.top.len(), straight.height);
        if width > size || height > size {
            return None;
        }
        let step = if charts.len() > MANY { width.div_ceil(2) } else { width.div_ceil(8) };
        let profiles = [straight.turned(), straight];
        let mut best: Option<(usize, usize, Spot)> = None;
        for x in (0..=size - width).step_by(step) {
            let under = &horizon[x..x + width];
            for (turned, p) in profiles.iter().enumerate() {
                // Rows of the horizon and of the chart's top count downwards.
                let y = under.iter().zip(&p.top).map(|(h, t)| h.saturating_sub(*t)).max().unwrap_or(0);
                if y + height > size || best.as_ref().is_some_and(|b| y * width > b.0) {
                    continue;
                }
                let lost: usize = under.iter().zip(&p.top).map(|(h, t)| y + t - h).sum();
                let score = y * width + lost;
                if best.as_ref().is_none_or(|b| score < b.0) {
                    best = Some((score, turned, Spot { x, y, turned: turned == 0 }));
                }
            }
        }
        let (_, which, spot) = best?;
        for (h, b) in horizon[spot.x..].iter_mut().zip(&profiles[which].bottom) {
            *h = spot.y + b;
        }
        (places[k], sizes[k]) = (spot, [width, height]);
    }
    Some(Packed { scale, pad, places, sizes })
}
