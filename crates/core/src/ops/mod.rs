//! Operators of the core, as methods of [`Var`](crate::Var) and functions.
//!
//! Element-wise operators broadcast as NumPy does. They are maps, so a longer formula is better written as one map.

mod elementwise;
mod join;
pub mod random;
mod reduce;
mod shape;

pub use elementwise::{add_tensors, multiply_tensors, pointwise, scale_tensor};
pub use join::{concat, concat_tensors, slice_tensor};
pub use random::{random_normal, random_signs, random_uniform};
