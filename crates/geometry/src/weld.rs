use std::collections::HashMap;

/// Numbers vertices by equal position (−0 = 0): the class of each vertex, in order of first appearance, and how many
/// classes there are.
pub fn weld_positions(positions: &[[f32; 3]]) -> (Vec<u32>, usize) {
    let mut known: HashMap<[u32; 3], u32> = HashMap::with_capacity(positions.len());
    let class = positions
        .iter()
        .map(|p| {
            let next = known.len() as u32;
            *known.entry(p.map(|x| (x + 0.0).to_bits())).or_insert(next)
        })
        .collect();
    (class, known.len())
}

#[test]
fn equal_positions_share_a_class() {
    let (class, n) = weld_positions(&[[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [-0.0, 1.0, 2.0]]);
    assert_eq!((class, n), (vec![0, 1, 0], 2));
}
