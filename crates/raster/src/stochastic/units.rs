//! Texels that no pixel tells apart, as units of one sign.

/// Units of blocks.
#[derive(Clone, Debug)]
pub struct Units {
    /// For each block of the finest level, the number of its unit.
    pub numbers: Vec<u32>,
    /// For each block, one over the texels of its unit.
    pub shares: Vec<f32>,
}

impl Units {
    /// Blocks of one texel, each by itself.
    pub fn single(blocks: usize) -> Self {
        Self { numbers: (0..blocks as u32).collect(), shares: vec![1.0; blocks] }
    }

    /// The largest squares of a mip pyramid that all pixels read from their level or a coarser one. `levels` are (first
    /// row, width, height), finest first; blocks are `side` texels wide. `reads` calls its argument with a level, a texel
    /// of that level, and the finest level at which a pixel reads inside of it.
    pub fn new(
        levels: &[(usize, usize, usize)],
        side: usize,
        reads: impl FnOnce(&mut dyn FnMut(usize, usize, usize)),
    ) -> Self {
        let last = levels.len() - 1;
        // Finest level that is read within each texel; what is not read at all is one square.
        let mut finest: Vec<Vec<u8>> = levels.iter().map(|&(_, w, h)| vec![last as u8; w * h]).collect();
        reads(&mut |level, texel, read| {
            let at = &mut finest[level][texel];
            *at = (*at).min(read as u8);
        });
        // Down: what is read of a texel is read of all within it. Then up: a square knows the finest of its parts.
        for k in (0..last).rev() {
            let ((_, w, h), (_, above, _)) = (levels[k], levels[k + 1]);
            for i in 0..w * h {
                let coarse = finest[k + 1][i / w / 2 * above + i % w / 2];
                finest[k][i] = finest[k][i].min(coarse);
            }
        }
        for k in 0..last {
            let ((_, w, h), (_, above, _)) = (levels[k], levels[k + 1]);
            for i in 0..w * h {
                let part = finest[k][i];
                let whole = &mut finest[k + 1][i / w / 2 * above + i % w / 2];
                *whole = (*whole).min(part);
            }
        }
        let (_, w, h) = levels[0];
        let unit = |i: usize| {
            let (x, y) = (i % w, i / w);
            let whole = |m: &usize| finest[*m][(y >> m) * levels[*m].1 + (x >> m)] as usize >= *m;
            let m = (0..=last).rev().find(whole).unwrap_or(0);
            let (first, width, _) = levels[m];
            ((first + (y >> m) * width + (x >> m)) as u32, 1.0 / ((side * side) << (2 * m)) as f32)
        };
        let (numbers, shares) = (0..w * h).map(unit).unzip();
        Self { numbers, shares }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texture::Levels;

    #[test]
    fn squares_are_as_large_as_the_finest_reading_of_them() {
        let levels = Levels::new(8, 8).levels;
        // One pixel reads level 0 of the top left corner, another one level 1 of the bottom right quarter.
        let units = Units::new(&levels, 2, |mark| {
            mark(1, 0, 0);
            mark(2, 3, 1);
        });
        let at = |x: usize, y: usize| (units.numbers[8 * y + x], units.shares[8 * y + x]);
        assert_eq!((at(0, 0), at(1, 0)), ((0, 0.25), (1, 0.25)));
        assert_eq!(at(4, 4), at(5, 5));
        assert_eq!(at(4, 4).1, 1.0 / 16.0);
        assert_ne!(at(4, 4), at(6, 6));
        // A quarter that nobody reads is one square; what surrounds the corner is split around it.
        assert_eq!((at(4, 0), at(4, 0).1), (at(7, 3), 1.0 / 64.0));
        assert_eq!((at(2, 0), at(2, 0).1), (at(3, 1), 1.0 / 16.0));
    }
}
