//! Finding adapters.

use crate::{Error, Result};

/// What matters for us about an adapter.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// Device name as the driver gives it.
    pub name: String,
    /// Vulkan, Metal, Dx12, Gl.
    pub backend: String,
    /// True for an adapter that runs on the CPU (llvmpipe, WARP).
    pub software: bool,
    /// Largest buffer that a kernel can bind, bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer, bytes.
    pub max_buffer_bytes: u64,
    /// Storage buffers that one kernel can use.
    pub max_storage_buffers: u32,
    /// Workgroup memory, bytes.
    pub max_workgroup_bytes: u32,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Atomic float addition.
    pub float_atomics: bool,
    /// 16-bit floats.
    pub f16: bool,
    /// Timestamps on the device.
    pub timestamps: bool,
}

pub(super) fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

pub(super) fn all(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY))
}

pub(super) fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

/// All adapters of this machine.
pub fn adapters() -> Vec<AdapterReport> {
    all(&instance())
        .iter()
        .map(|adapter| {
            let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
            AdapterReport {
                name: info.name.clone(),
                backend: format!("{:?}", info.backend),
                software: is_software(&info),
                max_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
                max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
                subgroups: features.contains(wgpu::Features::SUBGROUP),
                float_atomics: features.contains(wgpu::Features::SHADER_FLOAT32_ATOMIC),
                f16: features.contains(wgpu::Features::SHADER_F16),
                timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            }
        })
        .collect()
}

/// The adapter for `gpu` (discrete before integrated, never software) or `gpu:software`.
pub(super) fn choose(software: bool) -> Result<wgpu::Adapter> {
    let rank = |a: &wgpu::Adapter| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        _ => 2,
    };
    let mut found: Vec<_> = all(&instance()).into_iter().filter(|a| is_software(&a.get_info()) == software).collect();
    found.sort_by_key(rank);
    found.into_iter().next().ok_or_else(|| Error::NoDevice {
        request: if software { "gpu:software" } else { "gpu" }.into(),
        reason: if software {
            "no software adapter is installed (on Debian: mesa-vulkan-drivers); choose --device cpu".into()
        } else {
            "no hardware adapter with a Vulkan, Metal or DX12 driver was found; choose --device cpu".into()
        },
    })
}
