//! CPU buffers: 64-byte aligned, recycled through a pool so that a steady-state step allocates nothing.

use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// Alignment unit of CPU buffers (a cache line, an AVX-512 vector).
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: 64 plain bytes; any bit pattern is valid and there is no padding.
unsafe impl bytemuck::Zeroable for Line {}
unsafe impl bytemuck::Pod for Line {}

/// Bytes kept for reuse at most; what is freed beyond goes back to the system.
const POOL_LIMIT: usize = 4 << 30;

#[derive(Default)]
struct Pool {
    free: HashMap<usize, Vec<Vec<Line>>>,
    bytes: usize,
}

fn pool() -> &'static Mutex<Pool> {
    static POOL: OnceLock<Mutex<Pool>> = OnceLock::new();
    POOL.get_or_init(Mutex::default)
}

/// Bytes behind the contents that may be read: rows of three are fetched as four.
const SLACK: usize = 16;

/// Sizes of which there are eight between powers of two: where sizes differ from step to step, as those of surfaces do that
/// change their topology, buffers are used again nevertheless.
fn rounded(lines: usize) -> usize {
    lines.checked_next_power_of_two().map_or(lines, |power| lines.next_multiple_of((power / 16).max(1)))
}

/// A block of initialised CPU memory.
pub(crate) struct CpuBuffer {
    lines: Vec<Line>,
    bytes: usize,
}

impl CpuBuffer {
    /// Memory with arbitrary (initialised) contents; an error where the system gives none.
    pub fn uninit(bytes: usize) -> Result<Self> {
        let n = rounded((bytes + SLACK).div_ceil(64));
        let recycled = {
            let mut pool = pool().lock().unwrap();
            let found = pool.free.get_mut(&n).and_then(Vec::pop);
            if found.is_some() {
                pool.bytes -= n * 64;
            }
            found
        };
        let lines = match recycled {
            Some(lines) => lines,
            None => bytemuck::try_zeroed_vec(n).map_err(|()| Error::Memory { bytes })?,
        };
        Ok(Self { lines, bytes })
    }

    /// Memory filled with zero bytes.
    pub fn zeroed(bytes: usize) -> Result<Self> {
        let mut buffer = Self::uninit(bytes)?;
        buffer.bytes_mut().fill(0);
        Ok(buffer)
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.bytes]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.bytes]
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let size = lines.len() * 64;
        if let Ok(mut pool) = pool().lock()
            && pool.bytes + size <= POOL_LIMIT
        {
            pool.bytes += size;
            pool.free.entry(lines.len()).or_default().push(lines);
        }
    }
}

#[test]
fn sizes_are_rounded_up_by_an_eighth_at_most() {
    for lines in (0..5000).chain([1 << 40, (1 << 40) + 1]) {
        let found = rounded(lines);
        assert!(found >= lines && (found - lines) * 8 <= lines, "{lines}: {found}");
    }
    let sizes: std::collections::BTreeSet<usize> = (1025..=2048).map(rounded).collect();
    assert_eq!(sizes.len(), 8);
}
