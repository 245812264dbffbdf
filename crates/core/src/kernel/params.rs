//! Parameter structs of kernels, whose layout tests compare with the shader's.

/// One field of a kernel's parameter struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamField {
    /// Name, the same in WGSL and Rust (but for padding, `unused…`).
    pub name: &'static str,
    /// Bytes before it.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
}

/// Parameters that were not declared by [`params!`](crate::params!): their fields are not known, only their size.
#[doc(hidden)]
pub trait NoFields {
    const FIELDS: &'static [ParamField] = &[];
}

impl<T> NoFields for T {}

/// Declares the parameter struct of a kernel: plain data in C layout that knows its fields, so that the registry test
/// finds any difference from `struct Params` in WGSL.
///
/// ```
/// lumigrad_core::params! {
///     /// Parameters of a kernel.
///     pub struct Params {
///         rows: u32,
///         scale: f32,
///         unused: [u32; 2],
///     }
/// }
/// assert_eq!(Params::FIELDS[2].offset, 8);
/// ```
#[macro_export]
macro_rules! params {
    (
        $(#[$doc:meta])*
        $vis:vis struct $Name:ident { $( $(#[$fdoc:meta])* $fvis:vis $field:ident : $ty:ty ),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[repr(C)]
        $vis struct $Name { $( $(#[$fdoc])* $fvis $field: $ty ),* }

        const _: () = {
            const fn size<T: $crate::bytemuck::Pod>() -> usize {
                ::std::mem::size_of::<T>()
            }
            assert!(0 $( + size::<$ty>() )* == ::std::mem::size_of::<$Name>(), "parameters have padding");
        };
        // SAFETY: C layout, every field is plain data, and there is no padding: both were just checked.
        unsafe impl $crate::bytemuck::Zeroable for $Name {}
        unsafe impl $crate::bytemuck::Pod for $Name {}

        impl $Name {
            /// Fields in order, for the registry test.
            pub const FIELDS: &'static [$crate::kernel::ParamField] = &[ $( $crate::kernel::ParamField {
                name: stringify!($field),
                offset: ::std::mem::offset_of!($Name, $field),
                size: ::std::mem::size_of::<$ty>(),
            } ),* ];
        }
    };
}
