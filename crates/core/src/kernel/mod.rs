//! Hand-written kernels: one computation with a WGSL body and a Rust body of the same name, parameters and buffers.
//!
//! [`kernel!`](crate::kernel!) declares one, [`params!`](crate::params!) its parameters. It makes a struct of named
//! tensors with a `launch` method that runs whichever body the tensors' device needs, and a [`KernelSpec`] that drives
//! the registry tests (`lumigrad_testkit::check_shaders` and `check_runs`). See `crates/core/src/kernels/scan` for a
//! model.
//!
//! In WGSL, `@group(0) @binding(0)` is `var<uniform> params: Params`; then come the buffers in the order of the
//! struct's fields, as `array<f32>`, `array<u32>` or `array<i32>`. Item numbers come from
//! `#import dispatch`: `item_index(global_id, workgroups)`, because more than 65 535 workgroups are folded.

mod generated;
mod params;

pub use generated::Generated;
pub use params::{NoFields, ParamField};

#[cfg(feature = "gpu")]
use crate::gpu::{Binding, pages};
use crate::{DType, Device, Element, Error, Result, Tensor, profile};

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reads it.
    Read,
    /// Writes every element (or what its documentation says).
    Write,
    /// Reads and writes it.
    Update,
}

/// Element type of a kernel's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// `f32` on the GPU, `f32` or `f64` on the CPU.
    Real,
    /// `u32`.
    U32,
    /// `i32`.
    I32,
}

/// Declaration of one buffer of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct BufferSpec {
    /// Name, the same in WGSL and Rust.
    pub name: &'static str,
    /// What the kernel does with it.
    pub access: Access,
    /// Its element type.
    pub elem: Elem,
}

/// Declaration of a hand-written kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelSpec {
    /// Unique name, `area/kernel`.
    pub name: &'static str,
    /// Shader text before imports are resolved.
    pub wgsl: &'static str,
    /// Entry point in the shader.
    pub entry: &'static str,
    /// Items handled by one workgroup.
    pub items_per_group: u32,
    /// Its buffers, in binding order from 1.
    pub buffers: &'static [BufferSpec],
    /// Size of the Rust parameter struct.
    pub params_size: usize,
    /// Every buffer holds one element per item, and the shader knows from a buffer's length where they end: arrays longer than
    /// an adapter binds at once are worked on in pages.
    pub elementwise: bool,
    /// Its fields, known when it was declared by [`params!`](crate::params!).
    pub params_fields: &'static [ParamField],
}

/// A tensor in a kernel's argument list.
#[doc(hidden)]
pub enum Arg<'a> {
    Read(&'a Tensor),
    Write(&'a mut Tensor),
}

impl Arg<'_> {
    #[doc(hidden)]
    pub fn tensor(&self) -> &Tensor {
        match self {
            Arg::Read(t) => t,
            Arg::Write(t) => t,
        }
    }
}

/// Checks devices and element types; returns the device and the real type of the call.
#[doc(hidden)]
pub fn prepare(spec: &KernelSpec, args: &[&Tensor]) -> Result<(Device, DType)> {
    let device = args.first().map_or_else(Device::cpu, |t| t.device().clone());
    let mut real = None;
    for (tensor, buffer) in args.iter().zip(spec.buffers) {
        if *tensor.device() != device {
            return Err(Error::MixedDevices { operator: spec.name.into() });
        }
        let expected = match buffer.elem {
            Elem::U32 => DType::U32,
            Elem::I32 => DType::I32,
            Elem::Real if tensor.dtype().is_real() => *real.get_or_insert(tensor.dtype()),
            Elem::Real => DType::F32,
        };
        if tensor.dtype() != expected {
            return Err(Error::DType {
                tensor: format!("{} of {}", buffer.name, spec.name),
                found: tensor.dtype().name(),
                expected: expected.name().into(),
            });
        }
    }
    Ok((device, real.unwrap_or(DType::F32)))
}

/// A CPU slice of a checked argument.
#[doc(hidden)]
pub fn slice<T: Element>(tensor: &Tensor) -> &[T] {
    tensor.as_slice().expect("prepare checked device and type")
}

/// A mutable CPU slice of a checked argument.
#[doc(hidden)]
pub fn slice_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    tensor.as_slice_mut().expect("prepare checked device and type")
}

/// Runs the WGSL body.
#[doc(hidden)]
#[cfg(feature = "gpu")]
pub fn launch_gpu(spec: &KernelSpec, device: &Device, params: &[u8], items: usize, args: Vec<Arg<'_>>) -> Result<()> {
    let mut args = args;
    for arg in &mut args {
        if let Arg::Write(t) = arg {
            t.make_unique()?;
        }
    }
    let gpu = device.gpu().expect("prepare chose the GPU body");
    let pipeline = gpu.pipeline(spec.name, spec.entry, spec.wgsl, &accesses(spec))?;
    let launch = |bindings: Vec<Binding>, items: usize| {
        gpu.dispatch(&pipeline, params, &bindings, (items, spec.items_per_group), spec.name)
    };
    if !spec.elementwise {
        return launch(args.iter().map(|a| Binding::whole(a.tensor())).collect(), items);
    }
    for page in pages(items, 1, device.limits().buffer_bytes) {
        let bytes = 4 * page.start..4 * page.end;
        launch(args.iter().map(|a| Binding::part(a.tensor(), bytes.clone())).collect(), page.len())?;
    }
    Ok(())
}

#[cfg(feature = "gpu")]
fn accesses(spec: &KernelSpec) -> Vec<bool> {
    spec.buffers.iter().map(|b| b.access != Access::Read).collect()
}

/// Times the CPU body under the kernel's name.
#[doc(hidden)]
pub fn run_cpu(spec: &KernelSpec, bytes: usize, body: impl FnOnce()) {
    profile::record(spec.name, bytes, || {
        body();
        Ok(())
    })
    .expect("a CPU body returns no error");
}

/// Declares a hand-written kernel: a struct of named tensors with `launch(&params, items)`.
///
/// ```text
/// kernel! {
///     /// Exclusive prefix sum of each block.
///     pub struct ScanBlocks(ScanBlocksBuffers) {
///         input: read u32,
///         output: write u32,
///     }
///     name: "core/scan_blocks", wgsl: include_str!("scan.wgsl"), entry: "blocks", items_per_group: 256,
///     params: Params, cpu: blocks
/// }
/// ```
/// `cpu: blocks` names `cpu::blocks::<R: Real>(params: &Params, items: usize, b: ScanBlocksBuffers<'_, R>)` of the
/// module `cpu` beside the declaration. Access is `read`, `write` or `update`; elements are `real`, `u32` or `i32`.
/// `elementwise: true` may follow: see [`KernelSpec::elementwise`](crate::kernel::KernelSpec::elementwise).
#[macro_export]
macro_rules! kernel {
    (
        $(#[$doc:meta])*
        $vis:vis struct $Name:ident ($Buffers:ident) {
            $( $(#[$bdoc:meta])* $buf:ident : $acc:ident $elem:ident ),* $(,)?
        }
        name: $name:literal, wgsl: $wgsl:expr, entry: $entry:literal, items_per_group: $group:expr,
        params: $Params:ty, cpu: $cpu:ident $(, elementwise: $elementwise:literal)? $(,)?
    ) => {
        $(#[$doc])*
        $vis struct $Name<'a> {
            $( $(#[$bdoc])* #[allow(missing_docs)] pub $buf: $crate::kernel!(@tensor $acc 'a), )*
        }

        /// Slices of the kernel's buffers, for the CPU body.
        #[allow(missing_docs)]
        $vis struct $Buffers<'a, R> {
            $( pub $buf: $crate::kernel!(@slice $acc $elem 'a R), )*
            #[doc(hidden)]
            pub marker: ::std::marker::PhantomData<&'a R>,
        }

        impl $Name<'_> {
            /// The kernel's declaration, for the registry.
            pub const SPEC: $crate::kernel::KernelSpec = $crate::kernel::KernelSpec {
                name: $name,
                wgsl: $wgsl,
                entry: $entry,
                items_per_group: $group,
                buffers: &[ $( $crate::kernel::BufferSpec {
                    name: stringify!($buf),
                    access: $crate::kernel!(@access $acc),
                    elem: $crate::kernel!(@elem $elem),
                } ),* ],
                elementwise: false $(|| $elementwise)?,
                params_size: ::std::mem::size_of::<$Params>(),
                params_fields: {
                    #[allow(unused_imports)]
                    use $crate::kernel::NoFields as _;
                    <$Params>::FIELDS
                },
            };

            /// Runs the kernel over `items` items on the tensors' device.
            pub fn launch(self, params: &$Params, items: usize) -> $crate::Result<()> {
                let (device, real) = $crate::kernel::prepare(&Self::SPEC, &[ $( &*self.$buf ),* ])?;
                if device.is_cpu() {
                    let bytes = 0 $( + self.$buf.byte_len() )*;
                    $crate::kernel::run_cpu(&Self::SPEC, bytes, || match real {
                        $crate::DType::F64 => cpu::$cpu::<f64>(params, items, $Buffers {
                            $( $buf: $crate::kernel!(@get $acc $elem self.$buf, f64), )* marker: Default::default() }),
                        _ => cpu::$cpu::<f32>(params, items, $Buffers {
                            $( $buf: $crate::kernel!(@get $acc $elem self.$buf, f32), )* marker: Default::default() }),
                    });
                    return Ok(());
                }
                $crate::kernel!(@gpu device, params, items, [ $( $crate::kernel!(@arg $acc self.$buf) ),* ])
            }
        }
    };
    (@gpu $device:ident, $params:ident, $items:ident, [ $($arg:expr),* ]) => {
        $crate::kernel::launch_on_gpu(&Self::SPEC, &$device, $crate::bytemuck::bytes_of($params), $items, vec![ $($arg),* ])
    };
    (@tensor read $lt:lifetime) => { &$lt $crate::Tensor };
    (@tensor $acc:ident $lt:lifetime) => { &$lt mut $crate::Tensor };
    (@slice read real $lt:lifetime $R:ident) => { &$lt [$R] };
    (@slice read $elem:ident $lt:lifetime $R:ident) => { &$lt [$elem] };
    (@slice $acc:ident real $lt:lifetime $R:ident) => { &$lt mut [$R] };
    (@slice $acc:ident $elem:ident $lt:lifetime $R:ident) => { &$lt mut [$elem] };
    (@access read) => { $crate::kernel::Access::Read };
    (@access write) => { $crate::kernel::Access::Write };
    (@access update) => { $crate::kernel::Access::Update };
    (@elem real) => { $crate::kernel::Elem::Real };
    (@elem u32) => { $crate::kernel::Elem::U32 };
    (@elem i32) => { $crate::kernel::Elem::I32 };
    (@get read real $t:expr, $R:ident) => { $crate::kernel::slice::<$R>($t) };
    (@get read $elem:ident $t:expr, $R:ident) => { $crate::kernel::slice::<$elem>($t) };
    (@get $acc:ident real $t:expr, $R:ident) => { $crate::kernel::slice_mut::<$R>($t) };
    (@get $acc:ident $elem:ident $t:expr, $R:ident) => { $crate::kernel::slice_mut::<$elem>($t) };
    (@arg read $t:expr) => { $crate::kernel::Arg::Read($t) };
    (@arg $acc:ident $t:expr) => { $crate::kernel::Arg::Write($t) };
}

/// Runs the WGSL body, or says that this build has none.
#[doc(hidden)]
pub fn launch_on_gpu(
    spec: &KernelSpec,
    device: &Device,
    params: &[u8],
    items: usize,
    args: Vec<Arg<'_>>,
) -> Result<()> {
    #[cfg(feature = "gpu")]
    return launch_gpu(spec, device, params, items, args);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = (params, items, args);
        Err(Error::Unsupported {
            kernel: spec.name.into(),
            device: device.to_string(),
            reason: "this build has no GPU support".into(),
        })
    }
}
