use super::{Params, RadixCountBuffers, RadixMoveBuffers};
use crate::{Real, kernels::disjoint::Disjoint};
use rayon::prelude::*;

/// Digits at most.
const DIGITS: usize = 256;

impl Params {
    #[inline(always)]
    fn digit_of(&self, key: u32) -> usize {
        ((key >> self.shift) & (self.digits - 1)) as usize
    }
}

pub fn radix_count<R: Real>(p: &Params, _items: usize, b: RadixCountBuffers<'_, R>) {
    let (digits, blocks) = (p.digits as usize, p.blocks as usize);
    let counts = Disjoint::new(b.counts);
    b.keys.par_chunks(p.block as usize).enumerate().for_each(|(block, keys)| {
        let mut own = [0; DIGITS];
        keys.iter().for_each(|&key| own[p.digit_of(key)] += 1);
        for (d, &count) in own[..digits].iter().enumerate() {
            // SAFETY: this block alone writes its column.
            unsafe { counts.write(d * blocks + block, count) };
        }
    });
}

pub fn radix_move<R: Real>(p: &Params, _items: usize, b: RadixMoveBuffers<'_, R>) {
    let (blocks, size) = (p.blocks as usize, p.block as usize);
    let (keys_out, payload_out) = (Disjoint::new(b.keys_out), Disjoint::new(b.payload_out));
    b.keys.par_chunks(size).enumerate().for_each(|(block, keys)| {
        let mut places: [u32; DIGITS] =
            std::array::from_fn(|d| if d < p.digits as usize { b.offsets[d * blocks + block] } else { 0 });
        for (k, &key) in keys.iter().enumerate() {
            let l = block * size + k;
            let place = &mut places[p.digit_of(key)];
            let value = if p.numbered == 1 { l as u32 } else { b.payload[l] };
            // SAFETY: offsets are the exclusive prefix sums of the counts of these keys, so places are a permutation.
            unsafe {
                keys_out.write(*place as usize, key);
                payload_out.write(*place as usize, value);
            }
            *place += 1;
        }
    });
}
