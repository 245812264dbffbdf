//! Which segment each row belongs to.

use crate::{DType, Error, Result, Tensor, kernel, params};

mod cpu;

params! {
    /// Parameters of [`SegmentIds`].
    pub struct Params {
        rows: u32,
        segments: u32,
        unused: [u32; 2],
    }
}

kernel! {
    /// One row per item: the number of its segment.
    pub struct SegmentIds(SegmentIdsBuffers) {
        offsets: read u32,
        ids: write u32,
    }
    name: "core/segment_ids", wgsl: include_str!("forward.wgsl"), entry: "segment_ids", items_per_group: 64,
    params: Params, cpu: segment_ids
}

/// Numbers of the segments that `rows` rows belong to, u32 `[rows]`.
///
/// Segment s holds the rows `offsets[s]..offsets[s + 1]` and may be empty; `offsets` is u32 [S + 1], in ascending order.
/// Rows before the first or after the last segment get the number S. **Errors**: other types and shapes.
pub fn segment_ids(offsets: &Tensor, rows: usize) -> Result<Tensor> {
    if offsets.dtype() != DType::U32 {
        let expected = "u32".into();
        return Err(Error::DType { tensor: "offsets of segments".into(), found: offsets.dtype().name(), expected });
    }
    if offsets.shape().len() != 1 || offsets.is_empty() || u32::try_from(rows).is_err() {
        let expected = "[S + 1], for fewer than 2³² rows";
        return Err(Error::shape("offsets of segments", offsets.shape(), expected));
    }
    let mut ids = Tensor::uninit(offsets.device(), DType::U32, &[rows])?;
    let params = Params { rows: rows as u32, segments: offsets.len() as u32 - 1, unused: [0; 2] };
    SegmentIds { offsets, ids: &mut ids }.launch(&params, rows)?;
    Ok(ids)
}
