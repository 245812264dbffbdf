//! Devices as a host renderer shares them, with features and limits of its choice.

use lumigrad_core::{Device, wgpu};

/// A host renderer's device of the first adapter; `None` (with a note on stderr) where there is none, or where it lacks what
/// is asked for.
///
/// # Panics
/// When there is no adapter although `LUMIGRAD_REQUIRE_GPU` is set.
pub fn host(
    what: &str,
    features: wgpu::Features,
    change: impl FnOnce(&mut wgpu::Limits),
) -> Option<(wgpu::Device, wgpu::Queue, Device)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let Some(adapter) = adapters.first() else {
        assert!(std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none(), "{what}: no adapter");
        eprintln!("skipped: {what}: no adapter");
        return None;
    };
    if !adapter.features().contains(features) {
        eprintln!("skipped: {what}: the adapter lacks {features:?}");
        return None;
    }
    let mut required_limits = wgpu::Limits::default();
    change(&mut required_limits);
    let descriptor = wgpu::DeviceDescriptor { required_features: features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let shared = Device::from_wgpu(adapter, device.clone(), queue.clone());
    Some((device, queue, shared))
}

/// A device of which a kernel is given at most so many bytes of an array at once, all else as [`crate::gpu`] has it.
pub fn narrow(what: &str, bytes: u64) -> Option<Device> {
    let usual = crate::gpu(what)?.gpu()?.wgpu_device().clone();
    let narrow = |limits: &mut wgpu::Limits| {
        *limits = usual.limits();
        limits.max_storage_buffer_binding_size = bytes;
    };
    host(what, usual.features(), narrow).map(|(_, _, device)| device)
}
