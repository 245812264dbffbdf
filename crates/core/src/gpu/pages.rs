//! Launches one after another over arrays that are longer than the adapter binds at once.

use std::ops::Range;

/// Items after which rows of 4-byte numbers begin where a buffer may be bound, at a multiple of 256 bytes, whatever their
/// width; workgroups of that many begin with a page.
const ALIGNED: usize = 64;

/// The items of each launch: all at once where rows of `width` numbers of all of them are no more than `limit` bytes.
pub(crate) fn pages(items: usize, width: usize, limit: usize) -> impl Iterator<Item = Range<usize>> {
    let fit = limit / (4 * width.max(1));
    let page = if fit >= items { items } else { (fit / ALIGNED * ALIGNED).max(ALIGNED) };
    (0..items).step_by(page.max(1)).map(move |first| first..(first + page).min(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_all_items_once_and_begin_where_buffers_may_be_bound() {
        let found = |items, width, limit| -> Vec<[usize; 2]> {
            pages(items, width, limit).map(|page| [page.start, page.end]).collect()
        };
        assert_eq!(found(1000, 3, 12_000), [[0, 1000]]);
        assert_eq!(found(1000, 3, 11_999), [[0, 960], [960, 1000]]);
        assert_eq!(found(200, 45, 20_000), [[0, 64], [64, 128], [128, 192], [192, 200]]);
        assert!(found(0, 3, 100).is_empty());
        // Of rows that never fit, a workgroup's: the launch says what is too long.
        assert_eq!(found(70, 45, 100), [[0, 64], [64, 70]]);
    }
}
