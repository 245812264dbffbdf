use super::extreme_place;
use crate::{Device, Tensor};

#[test]
fn the_first_of_equal_extremes_wins_over_several_passes() {
    let n = 3000;
    let data: Vec<f32> =
        (0..2 * n).map(|i| if [2047, 2500, 4000].contains(&(i / 2)) { 9.0 } else { i as f32 % 7.0 }).collect();
    let input = Tensor::from_slice(&Device::cpu(), &data, &[n, 2]).unwrap();
    assert_eq!(extreme_place(&input, 0, false).unwrap().to_vec::<u32>().unwrap(), [2047, 2047]);
    let lowest: Vec<u32> = (0..2).map(|c| (0..n).find(|&r| data[2 * r + c] == 0.0).unwrap() as u32).collect();
    assert_eq!(extreme_place(&input, 0, true).unwrap().to_vec::<u32>().unwrap(), lowest);
}
