//! Checks that walk a registry of hand-written kernels, so that no author can forget them.

use crate::check::compare;
use lumigrad_core::kernel::{Access, BufferSpec, Elem, KernelSpec};
use lumigrad_core::{DType, Device, Result, Tensor, profile, wgsl};
use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};

/// What every adapter offers: storage buffers of a kernel,
const STORAGE_BUFFERS: usize = 8;
/// bytes of workgroup memory,
const WORKGROUP_BYTES: u32 = 16 << 10;
/// invocations of a workgroup.
const INVOCATIONS: u32 = 256;

/// Largest error of f32 results against f64 ones, relative to the largest value.
const F32_TOLERANCE: f64 = 1e-4;
/// Items that kernels run on: none, one, and enough for several blocks on either device.
const SIZES: [usize; 3] = [0, 1, 20_001];

/// Checks the shaders of all kernels without a GPU: they parse and validate, their parameters and buffers are those of
/// the Rust declaration, and they stay within what every adapter offers.
///
/// # Panics
/// When a check fails, with the kernel's name.
pub fn check_shaders(kernels: &[KernelSpec]) {
    for (k, spec) in kernels.iter().enumerate() {
        assert!(kernels[..k].iter().all(|other| other.name != spec.name), "two kernels are called {}", spec.name);
        for (text, float_atomics) in [(wgsl::resolve(spec.wgsl), false), (wgsl::resolve_native(spec.wgsl), true)] {
            let module =
                crate::validate_wgsl_with(&text, float_atomics).unwrap_or_else(|e| panic!("{}: {e}", spec.name));
            check_params(spec, &module);
            check_buffers(spec, &module);
            check_limits(spec, &module);
        }
    }
}

fn check_params(spec: &KernelSpec, module: &naga::Module) {
    let name = spec.name;
    let uniform = module.global_variables.iter().find(|(_, v)| v.space == AddressSpace::Uniform);
    let (_, variable) = uniform.unwrap_or_else(|| panic!("{name}: no uniform parameters"));
    let binding = variable.binding.map(|b| (b.group, b.binding));
    assert_eq!(binding, Some((0, 0)), "{name}: binding of the parameters");
    let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
        panic!("{name}: parameters are no struct");
    };
    assert_eq!(*span as usize, spec.params_size, "{name}: size of the parameters in WGSL (left) and Rust");
    assert!(!spec.params_fields.is_empty(), "{name}: declare its parameters with lumigrad_core::params!");
    let padding = |field: &str| field.starts_with("unused");
    let shader: Vec<(String, usize, usize)> = members
        .iter()
        .map(|m| {
            let size = module.types[m.ty].inner.size(module.to_ctx()) as usize;
            (m.name.clone().unwrap_or_default(), m.offset as usize, size)
        })
        .filter(|(field, ..)| !padding(field))
        .collect();
    let rust: Vec<(String, usize, usize)> =
        spec.params_fields.iter().filter(|f| !padding(f.name)).map(|f| (f.name.to_owned(), f.offset, f.size)).collect();
    assert_eq!(shader, rust, "{name}: name, offset and size of the parameters in WGSL (left) and Rust");
}

fn check_buffers(spec: &KernelSpec, module: &naga::Module) {
    let mut found: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, v)| match v.space {
            AddressSpace::Storage { access } => Some((v, access)),
            _ => None,
        })
        .collect();
    found.sort_by_key(|(v, _)| v.binding.map(|b| b.binding));
    assert_eq!(found.len(), spec.buffers.len(), "{}: number of buffers in WGSL (left) and Rust", spec.name);
    assert!(found.len() <= STORAGE_BUFFERS, "{}: {} storage buffers", spec.name, found.len());
    for ((binding, buffer), (variable, access)) in (1..).zip(spec.buffers).zip(found) {
        let what = format!("{}: buffer {}", spec.name, buffer.name);
        assert_eq!(variable.name.as_deref(), Some(buffer.name), "{what}: its name in WGSL");
        assert_eq!(variable.binding.map(|b| (b.group, b.binding)), Some((0, binding)), "{what}: its binding");
        let writes = access.contains(StorageAccess::STORE);
        assert_eq!(writes, buffer.access != Access::Read, "{what}: is it written?");
        check_element(&what, buffer, module, variable.ty);
    }
}

fn check_element(what: &str, buffer: &BufferSpec, module: &naga::Module, ty: naga::Handle<naga::Type>) {
    let TypeInner::Array { base, .. } = module.types[ty].inner else { panic!("{what}: no array") };
    let (scalar, atomic) = match module.types[base].inner {
        TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => (scalar, false),
        TypeInner::Atomic(scalar) => (scalar, true),
        ref other => panic!("{what}: elements {other:?}"),
    };
    let fits = match (buffer.elem, scalar.kind) {
        (Elem::Real, ScalarKind::Float) | (Elem::U32, ScalarKind::Uint) | (Elem::I32, ScalarKind::Sint) => true,
        // Bits of floats, added by compare-exchange.
        (Elem::Real, ScalarKind::Uint) => atomic,
        _ => false,
    };
    assert!(fits && scalar.width == 4, "{what}: {:?} in Rust, {scalar:?} in WGSL", buffer.elem);
}

fn check_limits(spec: &KernelSpec, module: &naga::Module) {
    let name = spec.name;
    let entry = module.entry_points.iter().find(|e| e.name == spec.entry);
    let entry = entry.unwrap_or_else(|| panic!("{name}: no entry point {}", spec.entry));
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= INVOCATIONS, "{name}: {invocations} invocations");
    let shared = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum();
    assert!(bytes <= WORKGROUP_BYTES, "{name}: {bytes} bytes of workgroup memory");
}

/// Runs a kernel on about `items` items: the results, on the device and with the real type asked for. Inputs depend on
/// nothing else; [`put`] moves them.
pub type KernelRun = fn(&Device, DType, usize) -> Result<Vec<Tensor>>;

/// A test input, made in f64 on the CPU, where a [`KernelRun`] needs it.
pub fn put(input: &Tensor, device: &Device, dtype: DType) -> Result<Tensor> {
    let cast = if input.dtype().is_real() { input.cast(dtype)? } else { input.clone() };
    cast.to_device(device)
}

/// Runs every kernel of a registry on no, one, and many items, on both devices, and compares the results with those in
/// f64 on the CPU. `runs` names each kernel once.
///
/// # Panics
/// When results differ, or a kernel has no run, or its run does not launch it.
pub fn check_runs(kernels: &[KernelSpec], runs: &[(&str, KernelRun)]) {
    for spec in kernels {
        assert!(runs.iter().any(|(name, _)| *name == spec.name), "the registry test does not run {}", spec.name);
    }
    profile::enable(true);
    for (name, run) in runs {
        assert!(kernels.iter().any(|spec| spec.name == *name), "{name} is in no registry");
        for device in crate::devices(name) {
            profile::reset();
            for items in SIZES {
                let results = |device, dtype| run(device, dtype, items).unwrap_or_else(|e| panic!("{name}: {e}"));
                let numbers = |t: &Tensor| t.to_f64_vec().unwrap_or_else(|e| panic!("{name}: {e}"));
                let found = results(&device, DType::F32);
                let exact = results(&Device::cpu(), DType::F64);
                for (a, b) in found.iter().zip(&exact) {
                    let tolerance = if b.dtype().is_real() { F32_TOLERANCE } else { 0.0 };
                    assert_eq!(a.shape(), b.shape(), "{name} of {items} items on {device}");
                    let what = format!("{items} items on {device}");
                    compare(name, &what, &[numbers(a)], &[numbers(b)], tolerance);
                }
                assert_eq!(found.len(), exact.len(), "{name}: number of results");
            }
            // The f64 results came from the CPU body too, so that it takes three launches more there.
            let launched = profile::table().iter().filter(|e| e.name == *name).map(|e| e.launches).sum::<u64>();
            assert!(launched >= 2, "the registry test's run of {name} does not launch it on {device}");
        }
    }
    profile::enable(false);
}
