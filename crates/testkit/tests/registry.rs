//! The registry checks find what they are there to find.

use lumigrad_core::kernel::{Access, BufferSpec, Elem, KernelSpec, ParamField};
use lumigrad_core::{DType, Device, Result, Tensor};
use lumigrad_testkit::{check_runs, check_shaders};

const FIELDS: [ParamField; 2] =
    [ParamField { name: "items", offset: 0, size: 4 }, ParamField { name: "scale", offset: 4, size: 4 }];

const BUFFERS: [BufferSpec; 2] = [
    BufferSpec { name: "input", access: Access::Read, elem: Elem::Real },
    BufferSpec { name: "output", access: Access::Write, elem: Elem::Real },
];

const GOOD: KernelSpec = KernelSpec {
    name: "test/scale",
    wgsl: "
        struct Params { items: u32, scale: f32, unused0: u32, unused1: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> input: array<f32>;
        @group(0) @binding(2) var<storage, read_write> output: array<f32>;
        var<workgroup> shared_values: array<f32, 64>;
        @compute @workgroup_size(64)
        fn scale(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
            shared_values[lane] = input[id.x];
            output[id.x] = params.scale * shared_values[lane];
        }",
    entry: "scale",
    items_per_group: 64,
    buffers: &BUFFERS,
    elementwise: false,
    params_size: 16,
    params_fields: &FIELDS,
};

/// The message of the check's panic.
fn complaint(spec: KernelSpec) -> String {
    let panic = std::panic::catch_unwind(|| check_shaders(&[spec])).expect_err("the check should have failed");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).expect("a message")
}

/// The good shader with a piece of its text replaced.
fn with(from: &str, to: &str) -> KernelSpec {
    assert!(GOOD.wgsl.contains(from));
    KernelSpec { wgsl: Box::leak(GOOD.wgsl.replace(from, to).into_boxed_str()), ..GOOD }
}

#[test]
fn a_shader_that_agrees_passes() {
    check_shaders(&[GOOD]);
}

#[test]
fn shaders_that_disagree_with_their_declaration_are_found() {
    let swapped = [ParamField { name: "scale", ..FIELDS[0] }, ParamField { name: "items", ..FIELDS[1] }];
    assert!(complaint(KernelSpec { params_fields: Box::leak(Box::new(swapped)), ..GOOD }).contains("parameters"));
    assert!(complaint(KernelSpec { params_fields: &[], ..GOOD }).contains("params!"));
    assert!(complaint(KernelSpec { params_size: 12, ..GOOD }).contains("size of the parameters"));
    assert!(complaint(with("items: u32", "n: u32")).contains("name, offset"));
    assert!(complaint(with("= input[id.x]", "= inp[id.x]")).contains("inp"));
    let integers = [BufferSpec { elem: Elem::U32, ..BUFFERS[0] }, BUFFERS[1]];
    assert!(complaint(KernelSpec { buffers: Box::leak(Box::new(integers)), ..GOOD }).contains("U32 in Rust"));
    assert!(
        complaint(with("@binding(1) var<storage, read> ", "@binding(1) var<storage, read_write> ")).contains("written")
    );
    assert!(complaint(KernelSpec { buffers: &BUFFERS[..1], ..GOOD }).contains("number of buffers"));
    assert!(complaint(KernelSpec { entry: "main", ..GOOD }).contains("no entry point"));
}

#[test]
fn shaders_beyond_what_every_adapter_offers_are_found() {
    assert!(complaint(with("@workgroup_size(64)", "@workgroup_size(512)")).contains("512 invocations"));
    assert!(complaint(with("array<f32, 64>", "array<f32, 5000>")).contains("20000 bytes"));
}

fn run_nothing(device: &Device, _: DType, _: usize) -> Result<Vec<Tensor>> {
    Ok(vec![Tensor::scalar(device, 1.0f32)?])
}

#[test]
fn kernels_that_are_not_run_are_found() {
    assert!(std::panic::catch_unwind(|| check_runs(&[GOOD], &[])).is_err());
    assert!(std::panic::catch_unwind(|| check_runs(&[GOOD], &[("test/scale", run_nothing)])).is_err());
}
