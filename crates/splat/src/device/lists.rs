//! Which splats each tile draws, front to back: two sorts, on the device.

use super::project::SPLAT;
use crate::frame::TILE;
use lumigrad_core::ops::{Order, radix_sort, slice_tensor};
use lumigrad_core::{CallParams, DType, Map, Result, Tensor, kernels};

/// Lists of all tiles, one after the other.
pub struct Lists {
    /// Splat of each entry, u32 [M].
    pub ids: Tensor,
    /// First entry of each tile, u32 [tiles + 1].
    pub starts: Tensor,
    /// Place of each entry in the order of splats, u32 [M]; it is written there once.
    pub slots: Tensor,
    /// First slot of each rank, u32 [N + 1]: splats in the order of depth.
    pub offsets: Tensor,
    /// Splat of each rank, u32 [N].
    pub order: Tensor,
    /// Entries.
    pub entries: usize,
}

fn call(items: usize, int: Vec<i32>) -> CallParams {
    CallParams { items, real: vec![], int }
}

/// What a map wrote as i32, as u32.
fn u32s(tensor: Tensor) -> Result<Tensor> {
    tensor.reshape(&[tensor.len()])?.bitcast_u32()
}

/// Lists splats [N, 10] by their boxes [N, 4] of tiles. Reads the number of entries back.
pub fn lists(splats: &Tensor, boxes: &Tensor, [width, height]: [usize; 2]) -> Result<Lists> {
    let n = splats.len() / SPLAT;
    let (columns, rows) = (width.div_ceil(TILE), height.div_ceil(TILE));
    let tiles = columns * rows;
    let depth = Map::cached("splat/depth", |m| {
        let row = m.item::<SPLAT>("splats");
        m.output("depth", &[row[SPLAT - 1]]);
    });
    let depths = depth.run(&[splats], &CallParams::default())?.remove(0).cast(DType::F32)?;
    // Depths are positive: their bits are in the order of their values.
    let order = radix_sort(&depths.bitcast_u32()?.reshape(&[n])?, None, 32)?.payload;
    let bits = |n: usize| (n as u32 + 1).next_power_of_two().trailing_zeros();
    let count = Map::cached("splat/counts", |m| {
        let (order, boxes, n) = (m.table_int::<1>("order"), m.table::<4>("boxes"), m.int_param());
        let [_, _, w, h] = boxes.fetch(order.fetch(m.index())[0]);
        m.output_int("counts", &[m.index().less(n).select_int((w * h).to_int(), 0)]);
    });
    // One more than there are, so that the last offset is the number of entries.
    let counts = u32s(count.run(&[&order, boxes], &call(n + 1, vec![n as i32]))?.remove(0))?;
    let offsets = kernels::scan(&counts, 0, Order { exclusive: true, reverse: false })?;
    let entries = slice_tensor(&offsets, 0, n, n + 1)?.bitcast_u32()?.to_vec::<u32>()?[0] as usize;
    // Without any, one entry of no tile.
    let m = entries.max(1);
    let owners = kernels::segment_ids(&offsets, m)?;
    let emit = Map::cached("splat/emit", |m| {
        let [rank] = m.item_int("ranks");
        let (offsets, order) = (m.table_int::<1>("offsets"), m.table_int::<1>("order"));
        let boxes = m.table::<4>("boxes");
        let (columns, entries, tiles) = (m.int_param(), m.int_param(), m.int_param());
        let splat = order.fetch(rank)[0];
        let [x, y, w, _] = boxes.fetch(splat).map(|v| v.to_int());
        let k = m.index() - offsets.fetch(rank)[0];
        let w = w.max(1);
        let row = k.quotient(w);
        let tile = (y + row) * columns + x + (k - row * w);
        m.output_int("tiles", &[m.index().less(entries).select_int(tile, tiles)]);
        m.output_int("splats", &[splat]);
    });
    let ints = vec![columns as i32, entries as i32, tiles as i32];
    let mut emitted = emit.run(&[&owners, &offsets, &order, boxes], &call(m, ints))?;
    let (splat_of, tile_of) = (u32s(emitted.remove(1))?, u32s(emitted.remove(0))?);
    let sorted = radix_sort(&tile_of, None, bits(tiles))?;
    let gather = Map::cached("splat/entries", |m| {
        let ([slot], splats) = (m.item_int("slots"), m.table_int::<1>("splats"));
        m.output_int("ids", &[splats.fetch(slot)[0]]);
    });
    let ids = u32s(gather.run(&[&sorted.payload, &splat_of], &call(m, vec![]))?.remove(0))?;
    let starts = kernels::segment_offsets(&sorted.keys, tiles)?;
    Ok(Lists { ids, starts, slots: sorted.payload, offsets, order, entries })
}
