//! Codebooks: few values that stand for many.

use std::collections::BinaryHeap;

/// A group of points, to be split at the mean of its widest coordinate.
struct Group {
    /// Σ squared distance to the mean along the widest coordinate.
    spread: f64,
    axis: usize,
    mean: f32,
    points: Vec<u32>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Group {}
impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Group {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.spread.total_cmp(&other.spread).then(other.points[0].cmp(&self.points[0]))
    }
}

fn means(data: &[f32], d: usize, points: &[u32]) -> Vec<f64> {
    let mut sums = vec![0.0; d];
    for &i in points {
        (0..d).for_each(|k| sums[k] += data[i as usize * d + k] as f64);
    }
    sums.iter().map(|s| s / points.len() as f64).collect()
}

impl Group {
    fn new(data: &[f32], d: usize, points: Vec<u32>) -> Self {
        let mean = means(data, d, &points);
        let mut squares = vec![0.0; d];
        for &i in &points {
            (0..d).for_each(|k| squares[k] += (data[i as usize * d + k] as f64 - mean[k]).powi(2));
        }
        let axis = (0..d).max_by(|&a, &b| squares[a].total_cmp(&squares[b])).unwrap_or(0);
        Self { spread: squares[axis], axis, mean: mean[axis] as f32, points }
    }
}

/// At most `k` centroids [k, d] of points [N, d], and the centroid of each point: the group that spreads most is split in
/// two, over and over. Deterministic. **Cost**: O(N d log k).
pub fn codebook(data: &[f32], d: usize, k: usize) -> (Vec<f32>, Vec<u32>) {
    let n = data.len() / d;
    let mut heap = BinaryHeap::new();
    let mut done: Vec<Group> = vec![];
    if n > 0 {
        heap.push(Group::new(data, d, (0..n as u32).collect()));
    }
    while heap.len() + done.len() < k {
        let Some(group) = heap.pop() else { break };
        let below = |&i: &u32| data[i as usize * d + group.axis] < group.mean;
        let (low, high): (Vec<u32>, Vec<u32>) = group.points.iter().partition(|i| below(i));
        // Equal points are not split, and neither is what is not a number.
        if low.is_empty() || high.is_empty() || group.spread.is_nan() {
            done.push(group);
            continue;
        }
        heap.push(Group::new(data, d, low));
        heap.push(Group::new(data, d, high));
    }
    let mut labels = vec![0; n];
    let mut centroids = vec![];
    for (label, group) in done.into_iter().chain(heap.into_sorted_vec()).enumerate() {
        centroids.extend(means(data, d, &group.points).iter().map(|&x| x as f32));
        group.points.iter().for_each(|&i| labels[i as usize] = label as u32);
    }
    (centroids, labels)
}

/// A codebook of 256 sorted numbers, and the nearest of each number.
pub fn scalars(data: &[f32]) -> (Vec<f32>, Vec<u8>) {
    let (mut book, _) = codebook(data, 1, 256);
    book.sort_by(f32::total_cmp);
    book.resize(256, book.last().copied().unwrap_or(0.0));
    let nearest = |x: f32| {
        let above = book.partition_point(|&c| c < x).min(255);
        let below = above.saturating_sub(1);
        (if (x - book[below]).abs() <= (book[above] - x).abs() { below } else { above }) as u8
    };
    let labels = data.iter().map(|&x| nearest(x)).collect();
    (book, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_that_are_apart_are_found() {
        let data: Vec<f32> = (0..300).flat_map(|i| [(i % 3) as f32 * 10.0, (i % 5) as f32 * 0.01]).collect();
        let (centroids, labels) = codebook(&data, 2, 3);
        for i in 0..300 {
            assert!((centroids[2 * labels[i] as usize] - data[2 * i]).abs() < 1e-4);
        }
        let (book, labels) = scalars(&[1.0, 2.0, 2.0, f32::MAX]);
        assert_eq!(labels.iter().map(|&l| book[l as usize]).collect::<Vec<_>>(), [1.0, 2.0, 2.0, f32::MAX]);
    }
}
