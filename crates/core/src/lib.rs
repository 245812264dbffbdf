//! The core of lumigrad: devices, tensors, kernels, maps, operators and the tape.
//!
//! - A [`Device`] is native CPU code or a wgpu adapter; a [`Tensor`] lives on one.
//! - A [`Map`] is a computation per item, written once; its bodies for both devices and its derivatives are made from
//!   the definition. What is not a map is a hand-written [`kernel`](mod@kernel).
//! - An [`Operator`] is a differentiable step; a [`Tape`] records operators applied to [`Var`]s and gives gradients
//!   ([`Tape::backward`]) or a matrix-free Jacobian ([`Tape::linearize`]).
//!
//! ```
//! use lumigrad_core::{Device, Tape, Tensor};
//! # fn main() -> lumigrad_core::Result<()> {
//! let tape = Tape::new();
//! let x = tape.variable(Tensor::from_slice(&Device::cpu(), &[1.0f32, 2.0], &[2])?);
//! let y = x.sin()?.mul(&x)?.sum()?;
//! let gradient = tape.backward(&y)?.take(&x).unwrap();
//! assert_eq!(gradient.shape(), [2]);
//! # Ok(()) }
//! ```

pub mod device;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernel;
pub mod kernels;
pub mod map;
pub mod ops;
pub mod profile;
mod real;
pub mod simd;
mod storage;
pub mod tape;
mod tensor;
mod trace;
pub mod wgsl;

#[doc(hidden)]
pub use bytemuck;
pub use device::Device;
pub use error::{Error, Result};
pub use map::{CallParams, Map};
pub use real::{DType, Element, Real};
pub use tape::{Gradients, Jacobian, Operator, Tape, Var, apply, checkpoint};
pub use tensor::Tensor;
pub use trace::Traced;
#[cfg(feature = "gpu")]
pub use wgpu;
