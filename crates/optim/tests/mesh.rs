//! Regularisers of meshes: derivatives on both devices, known values.

use lumigrad_core::{Device, Tensor};
use lumigrad_optim::MeshRegularizer;
use lumigrad_testkit::{Check, real};

const OCTAHEDRON: [[u32; 3]; 8] =
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]];

#[test]
fn mesh_regularisers_have_right_derivatives() {
    Check::new("mesh regularisers", |x| {
        let r = MeshRegularizer::new(x[0].device(), 6, &OCTAHEDRON).unwrap();
        let values = [r.laplacian(&x[0]), r.normal_consistency(&x[0]), r.edge_length(&x[0], 0.3)];
        Ok(values.map(|v| v.unwrap()).into())
    })
    .run(&[real(&[6, 3], 5)]);
}

#[test]
fn mesh_regularisers_have_known_values() {
    let corners =
        [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0f64]];
    let x = Tensor::from_slice(&Device::cpu(), corners.as_flattened(), &[6, 3]).unwrap().into();
    let r = MeshRegularizer::new(&Device::cpu(), 6, &OCTAHEDRON).unwrap();
    let values = [r.laplacian(&x), r.normal_consistency(&x), r.edge_length(&x, 1.0)];
    let values = values.map(|v| v.unwrap().tensor().item().unwrap());
    // The neighbours of a corner have their mean at the centre; normals (±1, ±1, ±1)/√3; edges √2.
    for (found, expected) in values.iter().zip([1.0, 1.0 - 1.0 / 3.0, (2f64.sqrt() - 1.0).powi(2)]) {
        assert!((found - expected).abs() < 1e-12, "{values:?}");
    }
    assert!(MeshRegularizer::new(&Device::cpu(), 5, &OCTAHEDRON).is_err());
}
