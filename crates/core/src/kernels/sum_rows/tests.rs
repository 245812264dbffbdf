use super::sum_rows;
use crate::{Device, Tensor};

#[test]
fn rows_are_added_per_column() {
    let n = 1000;
    let data: Vec<f32> = (0..2 * n).map(|i| (i % 7) as f32).collect();
    let input = Tensor::from_slice(&Device::cpu(), &data, &[n, 2]).unwrap();
    let expected: Vec<f32> = (0..2).map(|c| (0..n).map(|r| data[2 * r + c]).sum()).collect();
    assert_eq!(sum_rows(&input).unwrap().to_vec::<f32>().unwrap(), expected);
}
