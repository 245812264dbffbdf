//! CPU buffers: 64-byte aligned, recycled through a pool so that a steady-state step allocates nothing.

use crate::{Error, Result};
use rayon::prelude::*;
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

/// Bytes that a thread fills with zeros at a time.
const ZEROED: usize = 1 << 22;

/// Lines of the buffer that so many are taken from, at most an eighth more: sizes that differ a little from step to step
/// (samples along rays) share their buffers.
fn size_class(lines: usize) -> usize {
    match lines.checked_ilog2() {
        Some(log) if log > 6 => lines.next_multiple_of(1 << (log - 3)),
        _ => lines,
    }
}

/// A block of initialised CPU memory.
pub(crate) struct CpuBuffer {
    lines: Vec<Line>,
    bytes: usize,
}

impl CpuBuffer {
    /// Memory with arbitrary (initialised) contents; an error where the system gives none.
    pub fn uninit(bytes: usize) -> Result<Self> {
        let n = size_class((bytes + SLACK).div_ceil(64));
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
        buffer.bytes_mut().par_chunks_mut(ZEROED).for_each(|piece| piece.fill(0));
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
