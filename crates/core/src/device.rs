//! The two devices: native CPU code, and wgpu.

use crate::{Error, Result};
use std::fmt;

#[cfg(feature = "gpu")]
pub(crate) type Gpu = std::sync::Arc<crate::gpu::GpuDevice>;
#[cfg(not(feature = "gpu"))]
pub(crate) type Gpu = std::convert::Infallible;

/// Whether this build has the wgpu device (feature `gpu`).
pub const HAS_GPU: bool = cfg!(feature = "gpu");

/// A place that holds tensors and runs kernels. Cheap to clone.
#[derive(Clone)]
pub struct Device(Option<Gpu>);

/// What one kernel can use of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Storage buffers.
    pub buffers: usize,
    /// Bytes of one of them.
    pub buffer_bytes: usize,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: usize,
    /// Invocations of a workgroup.
    pub invocations: usize,
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            #[cfg(feature = "gpu")]
            (Some(a), Some(b)) => std::sync::Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => write!(f, "cpu ({}, {} threads)", instruction_set(), rayon::current_num_threads()),
            #[cfg(feature = "gpu")]
            Some(gpu) => write!(f, "gpu ({})", gpu.description()),
            #[cfg(not(feature = "gpu"))]
            Some(never) => match *never {},
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Device {
    /// Native code on this machine's processor.
    pub fn cpu() -> Self {
        Self(None)
    }

    /// The device of a `--device` argument: `auto`, `cpu`, `gpu` (a hardware adapter) or `gpu:software`.
    ///
    /// `auto` is the first hardware adapter, otherwise the CPU: a software adapter is far slower than native code.
    ///
    /// # Errors
    /// When the name is unknown, or there is no such adapter.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::cpu()),
            "auto" => Ok(Self::gpu_named("gpu").unwrap_or_else(|_| Self::cpu())),
            "gpu" | "gpu:software" => Self::gpu_named(name),
            _ => {
                Err(Error::NoDevice { request: name.into(), reason: "expected auto, cpu, gpu or gpu:software".into() })
            }
        }
    }

    #[cfg(feature = "gpu")]
    fn gpu_named(name: &str) -> Result<Self> {
        Ok(Self(Some(crate::gpu::GpuDevice::open(name == "gpu:software")?)))
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu_named(name: &str) -> Result<Self> {
        Err(Error::NoDevice { request: name.into(), reason: "this build has no GPU support (feature `gpu`)".into() })
    }

    /// Shares the device and queue of a host renderer, and so its textures ([`Tensor::from_texture`](crate::Tensor::from_texture),
    /// [`Tensor::copy_to_texture`](crate::Tensor::copy_to_texture)).
    ///
    /// The host's features and limits hold: with `SHADER_FLOAT32_ATOMIC` floats are added natively, otherwise by
    /// compare-exchange. A kernel that needs more than the limits offer is an error of its launch. Work is submitted by
    /// [`Device::submit`], by read-backs, and by sharing a texture.
    #[cfg(feature = "gpu")]
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self(Some(crate::gpu::GpuDevice::from_wgpu(adapter.get_info(), device, queue)))
    }

    /// The GPU behind this device, if it is one.
    #[cfg(feature = "gpu")]
    pub fn gpu(&self) -> Option<&std::sync::Arc<crate::gpu::GpuDevice>> {
        self.0.as_ref()
    }

    #[cfg(not(feature = "gpu"))]
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        self.0.as_ref()
    }

    /// True for the native device.
    pub fn is_cpu(&self) -> bool {
        self.0.is_none()
    }

    /// True for an adapter that runs on the processor.
    pub fn is_software(&self) -> bool {
        #[cfg(feature = "gpu")]
        return self.gpu().is_some_and(|gpu| gpu.is_software());
        #[cfg(not(feature = "gpu"))]
        false
    }

    /// Buffers that one kernel can use.
    pub(crate) fn bindings(&self) -> usize {
        self.limits().buffers
    }

    /// What one kernel can use here; the CPU sets no limits.
    pub fn limits(&self) -> Limits {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = self.gpu() {
            let limits = gpu.wgpu_device().limits();
            return Limits {
                buffers: limits.max_storage_buffers_per_shader_stage as usize,
                buffer_bytes: limits.max_storage_buffer_binding_size as usize,
                workgroup_bytes: limits.max_compute_workgroup_storage_size as usize,
                invocations: limits.max_compute_invocations_per_workgroup as usize,
            };
        }
        Limits { buffers: usize::MAX, buffer_bytes: usize::MAX, workgroup_bytes: usize::MAX, invocations: usize::MAX }
    }

    /// Submits recorded work and waits until it is done (nothing to do on the CPU).
    pub fn synchronize(&self) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            #[cfg(feature = "gpu")]
            Some(gpu) => gpu.synchronize(),
            #[cfg(not(feature = "gpu"))]
            Some(never) => match *never {},
        }
    }

    /// Submits recorded work without waiting: call once per optimisation step.
    pub fn submit(&self) {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.0 {
            gpu.submit();
        }
    }
}

/// Name of the widest instruction set that CPU kernels use on this machine.
pub fn instruction_set() -> &'static str {
    match crate::simd::level() {
        crate::simd::Level::Avx512 => "AVX-512",
        crate::simd::Level::Avx2 => "AVX2",
        crate::simd::Level::Baseline if cfg!(target_arch = "aarch64") => "NEON",
        crate::simd::Level::Baseline => "baseline",
    }
}
