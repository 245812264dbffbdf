use super::*;
use crate::{Activation, Precision};
use lumigrad_core::wgsl;

/// Limits that desktop adapters offer at least.
const SMALL: Limits = Limits { buffers: 24, buffer_bytes: 128 << 20, workgroup_bytes: 32 << 10, invocations: 256 };

fn mlp(widths: &[usize], activation: Activation, output: Activation) -> Mlp {
    Mlp { widths: widths.to_vec(), activation, output, bias: true, skips: vec![], precision: Precision::F32 }
}

#[test]
fn shaders_of_networks_are_valid() {
    let none = Derivatives::none();
    let all = [
        (mlp(&[3, 64, 64, 1], Activation::Sine, Activation::Identity), Derivatives::laplacian(3)),
        (mlp(&[2, 16, 3], Activation::Softplus, Activation::Exp), Derivatives::hessian(2)),
        (mlp(&[32, 128, 4], Activation::Relu, Activation::Sigmoid), none.clone()),
        (Mlp { bias: false, ..mlp(&[5, 7, 2], Activation::Mish, Activation::Tanh) }, none),
    ];
    for (mlp, derivatives) in all {
        for precision in [Precision::F32, Precision::F16] {
            let mlp = Mlp { precision, ..mlp.clone() };
            // Second derivatives of the input itself are zero and absent.
            let present: Vec<bool> = (0..derivatives.n_streams()).map(|k| k <= derivatives.first().len()).collect();
            let network = Network::new(&mlp, &derivatives, &present, &SMALL).expect("it fits");
            let given = vec![true; network.layout.streams];
            let wanted = Wanted { given, to_input: true, to_parameters: true };
            let arrays = vec![(0, false), (1, false)];
            let mut texts = vec![network.pack.wgsl.clone()];
            for of in
                [Use::Forward { keep: true }, Use::Forward { keep: false }, Use::Backward(wanted), Use::Unpack(arrays)]
            {
                texts.push(network.shader(&of).wgsl.clone());
            }
            for text in texts {
                if let Err(e) = lumigrad_testkit::validate_wgsl(&wgsl::resolve(&text)) {
                    panic!("{e}\n{text}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_left_to_layers() {
    let fits = |mlp: &Mlp, limits: &Limits| Network::new(mlp, &Derivatives::none(), &[true], limits).is_some();
    let small = mlp(&[3, 64, 1], Activation::Relu, Activation::Identity);
    assert!(fits(&small, &Limits { workgroup_bytes: 16 << 10, ..SMALL }));
    assert!(!fits(&small, &Limits { buffers: 4, ..SMALL }));
    assert!(!fits(&small, &Limits { workgroup_bytes: 8 << 10, ..SMALL }));
    assert!(!fits(&mlp(&[3, 256, 1], Activation::Relu, Activation::Identity), &SMALL));
    assert!(!fits(&Mlp { skips: vec![1], ..small }, &SMALL));
}
