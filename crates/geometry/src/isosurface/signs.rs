use super::table::offset;
use rayon::prelude::*;

/// Samples per word.
pub(super) const BITS: usize = 64;

/// A bit per sample: whether it is negative. Rows along x, each beginning a word of its own.
pub(super) struct Signs {
    /// Samples along each axis, with those added around.
    pub size: [usize; 3],
    /// Layers added around.
    pub pad: usize,
    /// Words of a row.
    pub words: usize,
    bits: Vec<u64>,
}

impl Signs {
    pub fn new(samples: &[f32], inner: [usize; 3], iso: f32, pad: usize) -> Self {
        let size = inner.map(|n| n + 2 * pad);
        let words = size[0].div_ceil(BITS);
        let mut bits = vec![0u64; words * size[1] * size[2]];
        bits.par_chunks_mut(words).enumerate().for_each(|(row, out)| {
            let (j, k) = ((row % size[1]).wrapping_sub(pad), (row / size[1]).wrapping_sub(pad));
            if j < inner[1] && k < inner[2] {
                let first = (k * inner[1] + j) * inner[0];
                for (i, x) in samples[first..first + inner[0]].iter().enumerate() {
                    // NaN is not below.
                    out[(i + pad) / BITS] |= ((*x < iso) as u64) << ((i + pad) % BITS);
                }
            }
        });
        Self { size, pad, words, bits }
    }

    fn word(&self, row: usize, word: usize) -> u64 {
        if word < self.words { self.bits[row * self.words + word] } else { 0 }
    }

    /// Edges from samples of a word that have a sign at each end. Bit c of `direction`, which is not 0, says whether they go
    /// along axis c.
    pub fn crossed(&self, row: usize, direction: usize, word: usize) -> u64 {
        let (along, up, on) = (direction & 1 == 1, direction >> 1 & 1, direction >> 2);
        if up == 1 && row % self.size[1] + 1 == self.size[1] || on == 1 && row / self.size[1] + 1 == self.size[2] {
            return 0;
        }
        let to = row + up + on * self.size[1];
        let (here, there) = (self.word(row, word), self.word(to, word));
        match along {
            true => (here ^ (there >> 1 | self.word(to, word + 1) << 63)) & self.cells(word),
            false => here ^ there,
        }
    }

    /// Samples of a word that have another to their right.
    fn cells(&self, word: usize) -> u64 {
        match (self.size[0] - 1).saturating_sub(word * BITS) {
            n if n < BITS => (1 << n) - 1,
            _ => u64::MAX,
        }
    }

    /// Edges of each axis that are crossed and begin in a row.
    pub fn count(&self, row: usize) -> [usize; 3] {
        std::array::from_fn(|axis| (0..self.words).map(|w| self.crossed(row, 1 << axis, w).count_ones() as usize).sum())
    }

    /// Calls `each(x)` for the edges in a direction that are crossed and begin in a row.
    pub fn for_crossings(&self, row: usize, direction: usize, mut each: impl FnMut(usize)) {
        for word in 0..self.words {
            let mut left = self.crossed(row, direction, word);
            while left != 0 {
                each(word * BITS + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }

    /// The rows of samples at (y, z), (y + 1, z), (y, z + 1) and (y + 1, z + 1).
    fn rows(&self, y: usize, z: usize) -> [usize; 4] {
        let row = z * self.size[1] + y;
        [row, row + 1, row + self.size[1], row + self.size[1] + 1]
    }

    /// Whether a sample is negative.
    pub fn is_negative(&self, [x, y, z]: [usize; 3]) -> bool {
        self.word(z * self.size[1] + y, x / BITS) >> (x % BITS) & 1 == 1
    }

    /// The signs at the corners of a cell, which exists.
    pub fn pattern(&self, [x, y, z]: [usize; 3]) -> usize {
        let rows = self.rows(y, z);
        let sign = |k: usize| self.word(rows[k >> 1], (x + (k & 1)) / BITS) >> ((x + (k & 1)) % BITS) & 1;
        (0..8).fold(0, |bits, k| bits | (sign(k) as usize) << k)
    }

    /// Calls `each(word, bit, pattern)` for the cells of a row that have corners of both signs.
    pub fn for_cells(&self, y: usize, z: usize, mut each: impl FnMut(usize, usize, usize)) {
        let rows = self.rows(y, z);
        let mut here = rows.map(|row| self.word(row, 0));
        for word in 0..self.words {
            let next = rows.map(|row| self.word(row, word + 1));
            let right: [u64; 4] = std::array::from_fn(|k| here[k] >> 1 | next[k] << 63);
            let some = here.iter().chain(&right).fold(0, |s, x| s | x);
            let all = here.iter().chain(&right).fold(u64::MAX, |s, x| s & x);
            let mut left = some & !all & self.cells(word);
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                let pair = |k: usize| ((here[k] >> bit & 1) | (right[k] >> bit & 1) << 1) << (2 * k);
                each(word, bit, (pair(0) | pair(1) | pair(2) | pair(3)) as usize);
            }
            here = next;
        }
    }

    /// Counts the vertices of a row of cells, from its left end.
    pub fn ranks<'a>(&'a self, firsts: &[[u32; 3]], y: usize, z: usize) -> Ranks<'a> {
        let rows = self.rows(y, z);
        let edge = |edge: usize| {
            let [x, y, z] = offset(edge);
            let (row, axis) = (rows[y + 2 * z], edge / 4);
            Rank { row, axis, x: x as u32, before: firsts[row][axis], crossed: self.crossed(row, 1 << axis, 0) }
        };
        Ranks { signs: self, word: 0, edges: std::array::from_fn(edge) }
    }
}

/// Numbers of the vertices on the twelve edges of a cell.
pub(super) struct Ranks<'a> {
    signs: &'a Signs,
    word: usize,
    edges: [Rank; 12],
}

struct Rank {
    row: usize,
    axis: usize,
    /// Whether the edge begins at the right side of the cell.
    x: u32,
    /// Vertices before the word.
    before: u32,
    /// Edges of the word that have one.
    crossed: u64,
}

impl Ranks<'_> {
    /// Goes on to a word.
    pub fn advance(&mut self, word: usize) {
        while self.word < word {
            self.word += 1;
            for e in &mut self.edges {
                e.before += e.crossed.count_ones();
                e.crossed = self.signs.crossed(e.row, 1 << e.axis, self.word);
            }
        }
    }

    /// The vertex on an edge of the cell at a bit.
    pub fn vertex(&self, edge: usize, bit: usize) -> u32 {
        let e = &self.edges[edge];
        let below = ((1u64 << bit) - 1) | ((e.x as u64) << bit);
        e.before + (e.crossed & below).count_ones()
    }
}
