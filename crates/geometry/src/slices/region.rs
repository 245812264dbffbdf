use glam::DVec2;

/// Most strips.
const STRIPS: usize = 4096;

/// A region of the plane between closed polygons: what an odd number of them encloses, so that holes, islands in holes and
/// either sense of rotation are right without being told.
#[derive(Clone, Debug, Default)]
pub struct Region {
    contours: Vec<Vec<DVec2>>,
    edges: Vec<[DVec2; 2]>,
    /// Length of the contours up to and including each edge.
    lengths: Vec<f64>,
    lo: DVec2,
    hi: DVec2,
    /// Edges of horizontal strips of equal height, one after the other, and where those of each begin.
    strips: Vec<u32>,
    starts: Vec<u32>,
}

impl Region {
    /// Of polygons, each without its first corner at its end; corners are finite. What is no polygon (fewer than three
    /// different corners in a row) is left out.
    pub fn new(contours: Vec<Vec<DVec2>>) -> Self {
        let contours: Vec<Vec<DVec2>> = contours.into_iter().filter_map(cleaned).collect();
        let edges: Vec<[DVec2; 2]> =
            contours.iter().flat_map(|c| (0..c.len()).map(move |k| [c[k], c[(k + 1) % c.len()]])).collect();
        let corners = || edges.iter().map(|e| e[0]);
        let lo = corners().reduce(DVec2::min).unwrap_or_default();
        let hi = corners().reduce(DVec2::max).unwrap_or_default();
        let mut sum = 0.0;
        let lengths = edges.iter().map(|[a, b]| {
            sum += a.distance(*b);
            sum
        });
        let lengths = lengths.collect();
        let mut region = Self { contours, edges, lengths, lo, hi, strips: vec![], starts: vec![] };
        region.sort_into_strips();
        region
    }

    fn sort_into_strips(&mut self) {
        let n = self.edges.len().clamp(1, STRIPS);
        self.starts = vec![0; n + 1];
        let spans: Vec<_> =
            self.edges.iter().map(|[a, b]| self.of(a.y.min(b.y), n)..=self.of(a.y.max(b.y), n)).collect();
        for span in &spans {
            span.clone().for_each(|s| self.starts[s + 1] += 1);
        }
        (0..n).for_each(|s| self.starts[s + 1] += self.starts[s]);
        let mut next = self.starts.clone();
        self.strips = vec![0; self.starts[n] as usize];
        for (edge, span) in spans.into_iter().enumerate() {
            for s in span {
                self.strips[next[s] as usize] = edge as u32;
                next[s] += 1;
            }
        }
    }

    /// The strip of a height, of `n`; those beyond are in the outermost ones.
    fn of(&self, y: f64, n: usize) -> usize {
        let at = (y - self.lo.y) / (self.hi.y - self.lo.y) * n as f64;
        (at.max(0.0) as usize).min(n - 1)
    }

    fn strip(&self, s: usize) -> impl Iterator<Item = &[DVec2; 2]> {
        let range = self.starts[s] as usize..self.starts[s + 1] as usize;
        self.strips[range].iter().map(|&e| &self.edges[e as usize])
    }

    /// The polygons.
    pub fn contours(&self) -> &[Vec<DVec2>] {
        &self.contours
    }

    /// True where there is no polygon.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Corners of the smallest upright rectangle around it.
    pub fn bounds(&self) -> [DVec2; 2] {
        [self.lo, self.hi]
    }

    /// Length of all polygons.
    pub fn length(&self) -> f64 {
        self.lengths.last().copied().unwrap_or(0.0)
    }

    /// Whether a point is inside, by the crossings of a ray. A point on a contour is on one of its two sides, and sides
    /// agree along edges that polygons share.
    pub fn contains(&self, p: DVec2) -> bool {
        if !(p.y >= self.lo.y && p.y <= self.hi.y && p.x >= self.lo.x && p.x <= self.hi.x) || self.is_empty() {
            return false;
        }
        let mut inside = false;
        for &[a, b] in self.strip(self.of(p.y, self.starts.len() - 1)) {
            // Half-open in y: a corner counts once. From lower to upper end, whichever comes first.
            if (a.y > p.y) != (b.y > p.y) {
                let (low, high) = if a.y > b.y { (b, a) } else { (a, b) };
                inside ^= (high - low).perp_dot(p - low) > 0.0;
            }
        }
        inside
    }

    /// Distance from the closest polygon; infinite without one.
    pub fn distance(&self, p: DVec2) -> f64 {
        if self.is_empty() {
            return f64::INFINITY;
        }
        let n = self.starts.len() - 1;
        let height = (self.hi.y - self.lo.y) / n as f64;
        let own = self.of(p.y, n);
        let mut best = f64::INFINITY;
        for away in 0..n {
            // Strips that far away lie at least so far below or above.
            let down = if away > own { f64::INFINITY } else { p.y - (self.lo.y + height * (own - away + 1) as f64) };
            let up = if own + away >= n { f64::INFINITY } else { self.lo.y + height * (own + away) as f64 - p.y };
            let gap = down.min(up).max(0.0);
            if away > 0 && gap * gap > best {
                break;
            }
            let strips = [own.checked_sub(away), Some(own + away).filter(|&s| away > 0 && s < n)];
            for [a, b] in strips.into_iter().flatten().flat_map(|s| self.strip(s)) {
                let along = *b - *a;
                let t = ((p - *a).dot(along) / along.length_squared()).clamp(0.0, 1.0);
                best = best.min((*a + along * t - p).length_squared());
            }
        }
        best.sqrt()
    }

    /// The point at part `t` of the length of all polygons, from 0 to 1, and the direction there; none where there is no
    /// polygon.
    pub fn along(&self, t: f64) -> Option<(DVec2, DVec2)> {
        let at = t.clamp(0.0, 1.0) * self.length();
        let k = self.lengths.partition_point(|&l| l < at).min(self.edges.len().checked_sub(1)?);
        let [a, b] = self.edges[k];
        let before = if k == 0 { 0.0 } else { self.lengths[k - 1] };
        let direction = (b - a).normalize_or_zero();
        Some((a + direction * (at - before), direction))
    }
}

/// A polygon without corners that repeat the one before.
fn cleaned(mut polygon: Vec<DVec2>) -> Option<Vec<DVec2>> {
    polygon.dedup();
    while polygon.len() > 1 && polygon.first() == polygon.last() {
        polygon.pop();
    }
    (polygon.len() > 2).then_some(polygon)
}
