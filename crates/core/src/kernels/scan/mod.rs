//! Prefix sums along an axis, with or without segments: reduce, then scan.
//!
//! Blocks of the flattened lines are added up, their totals are scanned (by the same kernels), and every block is scanned
//! from its carry. No workgroup waits for another one, so that no progress guarantee is needed (Sengupta et al. 2007,
//! "Scan primitives for GPU computing", the segmented scan of §3; the block scan is Hillis & Steele 1986).

use crate::{DType, Device, Error, Result, Tensor, kernel, params};

mod cpu;

params! {
    /// Parameters of the scan's passes.
    pub struct Params {
        items: u32,
        /// Elements of a line.
        n: u32,
        /// Distance of a line's elements.
        inner: u32,
        heads: u32,
        exclusive: u32,
        reverse: u32,
        /// Elements of a block.
        block: u32,
        blocks: u32,
    }
}

/// Where sums start anew, besides the first element of every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Nowhere else.
    Lines = 0,
    /// Where an element's mark differs from the one before; there is one mark per element of a line.
    NewMark = 1,
    /// At elements whose mark is 1.
    Marked = 2,
}

kernel! {
    /// Sum of each block since its last head, and whether it has one.
    pub struct ScanBlocks(ScanBlocksBuffers) {
        input: read real,
        marks: read u32,
        totals: write real,
        starts_of_blocks: write u32,
    }
    name: "core/scan_blocks", wgsl: "#import scan_blocks f32", entry: "scan_blocks", items_per_group: 1,
    params: Params, cpu: scan_blocks
}

kernel! {
    /// Prefix sums of each block, going on from the scanned totals of the blocks before.
    pub struct ScanApply(ScanApplyBuffers) {
        input: read real,
        marks: read u32,
        carries: read real,
        output: write real,
    }
    name: "core/scan_apply", wgsl: "#import scan_apply f32", entry: "scan_apply", items_per_group: 1,
    params: Params, cpu: scan_apply
}

kernel! {
    /// [`ScanBlocks`] of integers.
    pub struct ScanBlocksU32(ScanBlocksU32Buffers) {
        input: read u32,
        marks: read u32,
        totals: write u32,
        starts_of_blocks: write u32,
    }
    name: "core/scan_blocks_u32", wgsl: "#import scan_blocks u32", entry: "scan_blocks", items_per_group: 1,
    params: Params, cpu: scan_blocks_u32
}

kernel! {
    /// [`ScanApply`] of integers.
    pub struct ScanApplyU32(ScanApplyU32Buffers) {
        input: read u32,
        marks: read u32,
        carries: read u32,
        output: write u32,
    }
    name: "core/scan_apply_u32", wgsl: "#import scan_apply u32", entry: "scan_apply", items_per_group: 1,
    params: Params, cpu: scan_apply_u32
}

/// How an axis is scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// An element's own value is left out of its sum.
    pub exclusive: bool,
    /// From the last element to the first.
    pub reverse: bool,
}

/// Elements of a block: on a GPU sixteen per invocation, on the CPU what a thread takes at a time.
fn block_of(device: &Device) -> usize {
    if device.is_cpu() { 1 << 13 } else { 1 << 12 }
}

/// Prefix sums along an axis of a real or u32 tensor; u32 sums wrap.
///
/// **Errors**: no such axis; more than 2³² − 1 elements; i32 elements. **Determinism**: the same bits for any number of
/// threads on the CPU, and from run to run on a GPU. **Cost**: reads the input twice.
pub fn scan(input: &Tensor, axis: usize, order: Order) -> Result<Tensor> {
    let none = Tensor::zeros(input.device(), DType::U32, &[1])?;
    scan_lines(input, axis, order, Heads::Lines, &none)
}

/// Prefix sums along an axis that start anew wherever the mark (u32, one per element along the axis) changes.
pub fn scan_segments(input: &Tensor, axis: usize, marks: &Tensor) -> Result<Tensor> {
    if input.shape().get(axis) != Some(&marks.len()) {
        return Err(Error::shape("marks of scan_segments", marks.shape(), format!("one per element of axis {axis}")));
    }
    scan_lines(input, axis, Order::default(), Heads::NewMark, marks)
}

fn scan_lines(input: &Tensor, axis: usize, order: Order, heads: Heads, marks: &Tensor) -> Result<Tensor> {
    let shape = input.shape();
    let Some(&n) = shape.get(axis) else {
        return Err(Error::shape("the input of a prefix sum", shape, format!("an axis {axis}")));
    };
    let (items, device, dtype) = (input.len(), input.device(), input.dtype());
    if dtype == DType::I32 {
        let expected = "f32 or u32".into();
        return Err(Error::DType { tensor: "the input of a prefix sum".into(), found: "i32", expected });
    }
    if u32::try_from(items).is_err() {
        return Err(Error::shape("the input of a prefix sum", shape, "fewer than 2³² elements"));
    }
    let mut output = Tensor::uninit(device, dtype, shape)?;
    if items == 0 {
        return Ok(output);
    }
    let block = block_of(device);
    let blocks = items.div_ceil(block);
    let params = Params {
        items: items as u32,
        n: n as u32,
        inner: shape[axis + 1..].iter().product::<usize>() as u32,
        heads: heads as u32,
        exclusive: order.exclusive as u32,
        reverse: order.reverse as u32,
        block: block as u32,
        blocks: blocks as u32,
    };
    let mut carries = Tensor::uninit(device, dtype, &[blocks])?;
    if blocks > 1 {
        let mut starts = Tensor::uninit(device, DType::U32, &[blocks])?;
        let (totals, starts_of_blocks) = (&mut carries, &mut starts);
        match dtype {
            DType::U32 => ScanBlocksU32 { input, marks, totals, starts_of_blocks }.launch(&params, blocks)?,
            _ => ScanBlocks { input, marks, totals, starts_of_blocks }.launch(&params, blocks)?,
        }
        carries = scan_lines(&carries, 0, Order::default(), Heads::Marked, &starts)?;
    }
    let (carries, output_ref) = (&carries, &mut output);
    match dtype {
        DType::U32 => ScanApplyU32 { input, marks, carries, output: output_ref }.launch(&params, blocks)?,
        _ => ScanApply { input, marks, carries, output: output_ref }.launch(&params, blocks)?,
    }
    Ok(output)
}
