//! Tensors: contiguous, row-major, reference-counted arrays on one device.

use crate::{DType, Device, Element, Error, Result, storage::CpuBuffer};
use std::sync::Arc;

#[derive(Clone)]
pub(crate) enum Storage {
    Cpu(Arc<CpuBuffer>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<crate::gpu::GpuBuffer>),
}

/// A contiguous, row-major array of one element type on one device.
///
/// Cloning shares the storage. A kernel that writes to a shared tensor copies it first, so values never change
/// under another holder.
#[derive(Clone)]
pub struct Tensor {
    pub(crate) storage: Storage,
    shape: Vec<usize>,
    dtype: DType,
    device: Device,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape, self.dtype.name(), self.device)
    }
}

impl Tensor {
    /// A tensor with arbitrary contents, for kernels that write every element.
    pub fn uninit(device: &Device, dtype: DType, shape: &[usize]) -> Result<Self> {
        Self::allocate(device, dtype, shape, false)
    }

    /// A tensor of zeros.
    pub fn zeros(device: &Device, dtype: DType, shape: &[usize]) -> Result<Self> {
        Self::allocate(device, dtype, shape, true)
    }

    fn allocate(device: &Device, dtype: DType, shape: &[usize], zero: bool) -> Result<Self> {
        let bytes = shape
            .iter()
            .try_fold(dtype.size(), |n, &d| n.checked_mul(d))
            .filter(|&n| n <= isize::MAX as usize / 2)
            .ok_or_else(|| Error::shape("a new tensor", shape, "a size that fits in memory"))?;
        let storage = match device.gpu() {
            None => Storage::Cpu(Arc::new(if zero { CpuBuffer::zeroed(bytes)? } else { CpuBuffer::uninit(bytes)? })),
            #[cfg(feature = "gpu")]
            Some(gpu) => {
                if dtype == DType::F64 {
                    return Err(Error::Unsupported {
                        kernel: "f64".into(),
                        device: device.to_string(),
                        reason: "GPU tensors hold f32, u32 or i32".into(),
                    });
                }
                Storage::Gpu(gpu.allocate(bytes, zero)?)
            }
            #[cfg(not(feature = "gpu"))]
            Some(never) => match *never {},
        };
        Ok(Self { storage, shape: shape.to_vec(), dtype, device: device.clone() })
    }

    /// A tensor holding a copy of `data`.
    ///
    /// # Errors
    /// When the shape's size is not `data.len()`.
    pub fn from_slice<T: Element>(device: &Device, data: &[T], shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != data.len() {
            return Err(Error::shape("data", &[data.len()], format!("the elements of shape {shape:?}")));
        }
        let mut tensor = Self::uninit(device, T::DTYPE, shape)?;
        match &mut tensor.storage {
            Storage::Cpu(buffer) => {
                let buffer = Arc::get_mut(buffer).expect("a new tensor has one owner");
                buffer.bytes_mut().copy_from_slice(bytemuck::cast_slice(data));
            }
            #[cfg(feature = "gpu")]
            Storage::Gpu(buffer) => device.gpu().expect("device").upload(buffer, bytemuck::cast_slice(data)),
        }
        Ok(tensor)
    }

    /// A tensor with every element equal to `value`.
    pub fn full(device: &Device, dtype: DType, shape: &[usize], value: f64) -> Result<Self> {
        let n = shape.iter().product();
        match dtype {
            DType::F32 => Self::from_slice(device, &vec![value as f32; n], shape),
            DType::F64 => Self::from_slice(device, &vec![value; n], shape),
            DType::U32 => Self::from_slice(device, &vec![value as u32; n], shape),
            DType::I32 => Self::from_slice(device, &vec![value as i32; n], shape),
        }
    }

    /// A one-element tensor of shape `[]`.
    pub fn scalar<T: Element>(device: &Device, value: T) -> Result<Self> {
        Self::from_slice(device, &[value], &[])
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the elements are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Size in bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// The same elements under another shape of the same size.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != self.len() {
            return Err(Error::shape("reshape's input", &self.shape, format!("the size of {shape:?}")));
        }
        Ok(Self { shape: shape.to_vec(), ..self.clone() })
    }

    /// The elements, without a copy; `None` on a GPU or for another element type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        match &self.storage {
            Storage::Cpu(buffer) if self.dtype == T::DTYPE => Some(bytemuck::cast_slice(buffer.bytes())),
            _ => None,
        }
    }

    /// The elements for writing, copied first when they are shared; `None` on a GPU or for another element type.
    pub fn as_slice_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        if self.dtype != T::DTYPE {
            return None;
        }
        self.make_unique().ok()?;
        match &mut self.storage {
            Storage::Cpu(buffer) => Some(bytemuck::cast_slice_mut(Arc::get_mut(buffer)?.bytes_mut())),
            #[cfg(feature = "gpu")]
            Storage::Gpu(_) => None,
        }
    }

    /// Makes this tensor the only holder of its storage (copying it if needed).
    pub(crate) fn make_unique(&mut self) -> Result<()> {
        match &mut self.storage {
            Storage::Cpu(buffer) => {
                if Arc::get_mut(buffer).is_some() {
                    return Ok(());
                }
                let mut copy = CpuBuffer::uninit(buffer.bytes().len())?;
                copy.bytes_mut().copy_from_slice(buffer.bytes());
                *buffer = Arc::new(copy);
            }
            #[cfg(feature = "gpu")]
            Storage::Gpu(buffer) => {
                if Arc::get_mut(buffer).is_some() {
                    return Ok(());
                }
                *buffer = self.device.gpu().expect("device").duplicate(buffer)?;
            }
        }
        Ok(())
    }

    fn read_bytes(&self) -> Result<Vec<u8>> {
        match &self.storage {
            Storage::Cpu(buffer) => Ok(buffer.bytes().to_vec()),
            #[cfg(feature = "gpu")]
            Storage::Gpu(buffer) => self.device.gpu().expect("device").read(buffer),
        }
    }

    /// A copy of the elements (waits for a GPU).
    ///
    /// # Errors
    /// When the element type is not `T`, or the GPU fails.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if self.dtype != T::DTYPE {
            return Err(Error::DType {
                tensor: "to_vec's input".into(),
                found: self.dtype.name(),
                expected: T::DTYPE.name().into(),
            });
        }
        if let Some(slice) = self.as_slice::<T>() {
            return Ok(slice.to_vec());
        }
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes()?))
    }

    /// A copy of the elements as `f64`, whatever their type (waits for a GPU).
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        fn wide<T: Element>(t: &Tensor) -> Result<Vec<f64>> {
            Ok(t.to_vec::<T>()?.into_iter().map(T::to_f64).collect())
        }
        match self.dtype {
            DType::F32 => wide::<f32>(self),
            DType::F64 => wide::<f64>(self),
            DType::U32 => wide::<u32>(self),
            DType::I32 => wide::<i32>(self),
        }
    }

    /// The only element as `f64` (waits for a GPU).
    pub fn item(&self) -> Result<f64> {
        match self.to_f64_vec()?.as_slice() {
            [x] => Ok(*x),
            _ => Err(Error::shape("item's input", &self.shape, "one element")),
        }
    }

    /// The same values with another element type, on the same device (through the host).
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        let values = self.to_f64_vec()?;
        fn narrow<T: Element>(device: &Device, values: &[f64], shape: &[usize]) -> Result<Tensor> {
            let data: Vec<T> = values.iter().map(|&x| T::from_f64(x)).collect();
            Tensor::from_slice(device, &data, shape)
        }
        match dtype {
            DType::F32 => narrow::<f32>(&self.device, &values, &self.shape),
            DType::F64 => narrow::<f64>(&self.device, &values, &self.shape),
            DType::U32 => narrow::<u32>(&self.device, &values, &self.shape),
            DType::I32 => narrow::<i32>(&self.device, &values, &self.shape),
        }
    }

    /// The same values on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if *device == self.device {
            return Ok(self.clone());
        }
        let bytes = self.read_bytes()?;
        match self.dtype {
            DType::F64 => Self::from_slice::<f64>(device, &bytemuck::pod_collect_to_vec(&bytes), &self.shape),
            DType::F32 => Self::from_slice::<f32>(device, &bytemuck::pod_collect_to_vec(&bytes), &self.shape),
            DType::U32 => Self::from_slice::<u32>(device, &bytemuck::pod_collect_to_vec(&bytes), &self.shape),
            DType::I32 => Self::from_slice::<i32>(device, &bytemuck::pod_collect_to_vec(&bytes), &self.shape),
        }
    }
}

impl Tensor {
    /// The bits of an `i32` or `f32` tensor as `u32`, without a copy. Those of floats that are not negative are in the order
    /// of their values.
    pub fn bitcast_u32(&self) -> Result<Self> {
        match self.dtype {
            DType::I32 | DType::U32 | DType::F32 => Ok(Self { dtype: DType::U32, ..self.clone() }),
            other => {
                let expected = "i32 or f32".into();
                Err(Error::DType { tensor: "bitcast_u32's input".into(), found: other.name(), expected })
            }
        }
    }
}
