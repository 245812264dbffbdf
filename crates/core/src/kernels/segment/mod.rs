//! Which segment each row belongs to, and where segments begin.

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

kernel! {
    /// One segment per item, and one more: its first row.
    pub struct SegmentOffsets(SegmentOffsetsBuffers) {
        ids: read u32,
        offsets: write u32,
    }
    name: "core/segment_offsets", wgsl: include_str!("offsets.wgsl"), entry: "segment_offsets", items_per_group: 64,
    params: Params, cpu: segment_offsets
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

/// First rows of segments, u32 `[segments + 1]`: the inverse of [`segment_ids`].
///
/// `ids` is u32 `[rows]`, in ascending order; ids from `segments` on belong to no segment, and come after the last offset.
/// **Errors**: other types and shapes. **Cost**: a binary search per segment.
pub fn segment_offsets(ids: &Tensor, segments: usize) -> Result<Tensor> {
    if ids.dtype() != DType::U32 {
        let expected = "u32".into();
        return Err(Error::DType { tensor: "ids of segments".into(), found: ids.dtype().name(), expected });
    }
    if ids.shape().len() != 1 || u32::try_from(ids.len().max(segments)).is_err() {
        return Err(Error::shape("ids of segments", ids.shape(), "[N], for fewer than 2³² rows and segments"));
    }
    let mut offsets = Tensor::uninit(ids.device(), DType::U32, &[segments + 1])?;
    let params = Params { rows: ids.len() as u32, segments: segments as u32, unused: [0; 2] };
    SegmentOffsets { ids, offsets: &mut offsets }.launch(&params, segments + 1)?;
    Ok(offsets)
}
