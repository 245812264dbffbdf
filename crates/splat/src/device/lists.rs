//! Which splats each tile draws, front to back: two sorts, on the device.

use super::kernels::{CountTiles, EmitTiles, Reach};
use super::project::SPLAT;
use super::room::Room;
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
    /// Entries, those of no tile included: at least one.
    pub entries: usize,
}

fn call(items: usize, int: Vec<i32>) -> CallParams {
    CallParams { items, real: vec![], int }
}

/// What a map wrote as i32, as u32.
fn u32s(tensor: Tensor) -> Result<Tensor> {
    tensor.reshape(&[tensor.len()])?.bitcast_u32()
}

/// Lists splats [N, 10] by the tiles of their boxes [N, 4] that they reach with an alpha of 2^`least`: exactly those in which
/// a pixel's centre may be covered (Hanson et al. 2025, "Speedy-Splat"). Without a room, reads the number of entries back.
pub(crate) fn lists(
    splats: &Tensor,
    boxes: &Tensor,
    [width, height]: [usize; 2],
    least: f32,
    room: Option<&Room>,
) -> Result<Lists> {
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
    let reach = |items: usize| Reach {
        items: items as u32,
        ranks: n as u32,
        columns: columns as u32,
        tiles: tiles as u32,
        least,
        unused: [0; 3],
    };
    let new = |len: usize| Tensor::uninit(splats.device(), DType::U32, &[len]);
    // One more than there are, so that the last offset is the number of entries.
    let mut counts = new(n + 1)?;
    CountTiles { splats, boxes, order: &order, counts: &mut counts }.launch(&reach(n + 1), n + 1)?;
    let mut offsets = kernels::scan(&counts, 0, Order { exclusive: true, reverse: false })?;
    let count = slice_tensor(&offsets, 0, n, n + 1)?.bitcast_u32()?;
    // Without any, one entry of no tile.
    let m = match room {
        None => (count.to_vec::<u32>()?[0] as usize).max(1),
        Some(room) => {
            room.enter(count);
            // No one looks beyond its end.
            let inside = Map::cached("splat/inside the room", |m| {
                let ([offset], most) = (m.item_int("offsets"), m.int_param());
                m.output_int("offsets", &[offset.min(most)]);
            });
            let within = call(n + 1, vec![room.entries() as i32]);
            offsets = u32s(inside.run(&[&offsets.reshape(&[n + 1, 1])?], &within)?.remove(0))?;
            room.entries()
        }
    };
    let owners = kernels::segment_ids(&offsets, m)?;
    let (mut tile_of, mut splat_of) = (new(m)?, new(m)?);
    EmitTiles {
        splats,
        boxes,
        order: &order,
        offsets: &offsets,
        owners: &owners,
        tile_of: &mut tile_of,
        splat_of: &mut splat_of,
    }
    .launch(&reach(m), m)?;
    let sorted = radix_sort(&tile_of, None, bits(tiles))?;
    let gather = Map::cached("splat/entries", |m| {
        let ([slot], splats) = (m.item_int("slots"), m.table_int::<1>("splats"));
        m.output_int("ids", &[splats.fetch(slot)[0]]);
    });
    let ids = u32s(gather.run(&[&sorted.payload, &splat_of], &call(m, vec![]))?.remove(0))?;
    let starts = kernels::segment_offsets(&sorted.keys, tiles)?;
    Ok(Lists { ids, starts, slots: sorted.payload, offsets, order, entries: m })
}
