//! The most that flows from the inside to the outside through a lattice, by shortest paths (Dinic 1970).

use super::Split;

/// Parts that the largest finite cost is cut into.
const PARTS: f64 = (1u64 << 32) as f64;
/// More than leaves a corner by its six links: what must be on a side is never worth cutting off.
const MUST: i64 = 1 << 40;
/// Not reached.
const FAR: u32 = u32::MAX;

/// What can still flow.
pub(super) struct Flow {
    size: [usize; 3],
    /// Into each corner from the inside's terminal.
    source: Vec<i64>,
    /// Out of each corner to the outside's terminal.
    sink: Vec<i64>,
    /// To the neighbours in −x, +x, −y, +y, −z, +z.
    links: Vec<[i64; 6]>,
    /// Steps from the inside's terminal.
    level: Vec<u32>,
    /// The neighbour that is tried next.
    next: Vec<u8>,
}

impl Flow {
    pub(super) fn of(split: &Split) -> Self {
        let n = split.lattice.len();
        let finite = |x: &&f64| x.is_finite();
        let ends = split.outside.iter().chain(&split.inside).filter(finite);
        let largest = ends.chain(split.links.iter().flatten()).fold(0.0, |a: f64, b| a.max(*b));
        let whole = |x: f64| if x.is_finite() { (x / largest.max(f64::MIN_POSITIVE) * PARTS) as i64 } else { MUST };
        let mut flow = Self {
            size: split.lattice.size,
            source: vec![0; n],
            sink: vec![0; n],
            links: vec![[0; 6]; n],
            level: vec![FAR; n],
            next: vec![0; n],
        };
        for k in 0..n {
            // What both terminals have flows at once.
            let (out, inn) = (whole(split.outside[k]), whole(split.inside[k]));
            (flow.source[k], flow.sink[k]) = ((out - inn).max(0), (inn - out).max(0));
            for a in 0..3 {
                if let Some(other) = flow.neighbour(k, 2 * a + 1) {
                    let link = whole(split.links[k][a]);
                    flow.links[k][2 * a + 1] = link;
                    flow.links[other][2 * a] = link;
                }
            }
        }
        flow
    }

    /// Lets flow what can, and gives the corners that the inside's terminal still reaches.
    pub(super) fn settle(mut self) -> Vec<bool> {
        while self.spread() {
            self.next.fill(0);
            for root in 0..self.source.len() {
                while self.source[root] > 0 && self.push(root) {}
            }
        }
        self.level.into_iter().map(|l| l != FAR).collect()
    }

    fn neighbour(&self, k: usize, direction: usize) -> Option<usize> {
        let [nx, ny, nz] = self.size;
        let (axis, up) = (direction / 2, direction % 2 == 1);
        let (stride, n) = ([1, nx, nx * ny][axis], [nx, ny, nz][axis]);
        let place = k / stride % n;
        match up {
            true => (place + 1 < n).then(|| k + stride),
            false => (place > 0).then(|| k - stride),
        }
    }

    /// Numbers corners by their steps from the inside's terminal, and tells whether the outside's is reached.
    fn spread(&mut self) -> bool {
        self.level.fill(FAR);
        let mut front: Vec<usize> = (0..self.source.len()).filter(|&k| self.source[k] > 0).collect();
        front.iter().for_each(|&k| self.level[k] = 0);
        let mut step = 0;
        let mut found = false;
        while !front.is_empty() {
            // The step that reaches the terminal is the last one that paths need; what lies behind it is numbered all the
            // same, for the last call tells who is inside.
            found |= front.iter().any(|&k| self.sink[k] > 0);
            if found {
                return true;
            }
            step += 1;
            let mut after = vec![];
            for k in front {
                for d in 0..6 {
                    let Some(other) = self.neighbour(k, d).filter(|_| self.links[k][d] > 0) else { continue };
                    if self.level[other] == FAR {
                        self.level[other] = step;
                        after.push(other);
                    }
                }
            }
            front = after;
        }
        false
    }

    /// Lets flow what one shortest path from a corner can take; false where there is none.
    fn push(&mut self, root: usize) -> bool {
        let mut path: Vec<(usize, usize)> = vec![];
        let mut at = root;
        loop {
            if self.sink[at] > 0 {
                let most =
                    path.iter().map(|&(k, d)| self.links[k][d]).fold(self.source[root].min(self.sink[at]), i64::min);
                self.source[root] -= most;
                self.sink[at] -= most;
                for (k, d) in path {
                    let other = self.neighbour(k, d).unwrap_or(k);
                    self.links[k][d] -= most;
                    self.links[other][d ^ 1] += most;
                }
                return true;
            }
            let open = (self.next[at] as usize..6).find_map(|d| {
                let other = self.neighbour(at, d)?;
                let forward = self.links[at][d] > 0 && self.level[at].checked_add(1) == Some(self.level[other]);
                forward.then_some((d, other))
            });
            match open {
                Some((d, other)) => {
                    self.next[at] = d as u8;
                    path.push((at, d));
                    at = other;
                }
                None => {
                    self.next[at] = 6;
                    let Some((before, _)) = path.pop() else { return false };
                    self.next[before] += 1;
                    at = before;
                }
            }
        }
    }
}
