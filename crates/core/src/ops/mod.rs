//! Operators of the core, as methods of [`Var`](crate::Var) and functions.
//!
//! Element-wise operators broadcast as NumPy does. They are maps, so a longer formula is better written as one map.

mod attention;
mod conv2d;
mod convolve;
mod elementwise;
mod extreme;
mod gather;
mod grid;
mod group_norm;
mod join;
mod matmul;
mod permute;
mod pool;
pub mod random;
mod reduce;
mod scan;
mod shape;

pub use crate::kernels::{Order, Sorted, radix_sort};
pub use attention::{attention, attention_weights};
pub use conv2d::{conv2d, conv2d_padded};
pub use convolve::{Border, conv2d_separable};
pub use elementwise::{add_tensors, multiply_tensors, pointwise, scale_tensor};
pub use group_norm::{group_norm, layer_norm, modulate};
pub use join::{concat, concat_tensors, slice_tensor};
pub use matmul::matmul_with;
pub use random::{random_normal, random_signs, random_uniform};
