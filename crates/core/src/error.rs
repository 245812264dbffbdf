//! What can go wrong in the core, each with its remedy.

/// Errors of `lumigrad-core`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another shape than the operator needs: fix the caller.
    #[error("{tensor} has shape {found:?}, expected {expected}")]
    Shape {
        /// Name of the tensor in the operator's documentation.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the operator needs, with the named dimensions.
        expected: String,
    },
    /// A tensor has another element type than the operator needs.
    #[error("{tensor} holds {found}, expected {expected}; convert it with Tensor::cast")]
    DType {
        /// Name of the tensor.
        tensor: String,
        /// Its type.
        found: &'static str,
        /// What the operator needs.
        expected: String,
    },
    /// Tensors of one call live on different devices.
    #[error("{operator} was given tensors on different devices; move them with Tensor::to_device")]
    MixedDevices {
        /// The operator.
        operator: String,
    },
    /// Values of one call were recorded on different tapes.
    #[error("{operator} was given values recorded on different tapes")]
    MixedTapes {
        /// The operator.
        operator: String,
    },
    /// No device fits the request.
    #[error("no device for {request:?}: {reason}")]
    NoDevice {
        /// What was asked for (`gpu`, `gpu:software`, …).
        request: String,
        /// Why there is none, and what to do.
        reason: String,
    },
    /// The device cannot run a kernel.
    #[error("{kernel} cannot run on {device}: {reason}")]
    Unsupported {
        /// The kernel.
        kernel: String,
        /// The device.
        device: String,
        /// The limit or feature that is missing.
        reason: String,
    },
    /// The system gives no memory for a tensor.
    #[error("no memory for a tensor of {bytes} bytes; try a smaller problem")]
    Memory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The GPU reported an error (lost device, out of memory).
    #[error("the GPU failed: {0}; try a smaller problem or --device cpu")]
    Gpu(String),
    /// A numerical routine cannot go on.
    #[error("{operator}: {reason}")]
    Numeric {
        /// The operator.
        operator: String,
        /// What happened.
        reason: String,
    },
}

/// Result of core operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A shape error; `expected` names the dimensions.
    pub fn shape(tensor: &str, found: &[usize], expected: impl Into<String>) -> Self {
        Self::Shape { tensor: tensor.into(), found: found.to_vec(), expected: expected.into() }
    }
}
