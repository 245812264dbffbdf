//! The device with its pipelines; buffers and recorded commands have files of their own.

use super::{adapters, pool::Pool, recorder::Recorder};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

/// A compiled kernel.
pub(crate) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) label: String,
}

/// What a device has made since it was opened. In a steady state only `submissions` grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuCounts {
    /// Buffers made, for tensors and for kernel parameters.
    pub buffers: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Command buffers submitted.
    pub submissions: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) buffers: AtomicU64,
    pipelines: AtomicU64,
    pub(super) submissions: AtomicU64,
}

/// A wgpu device with its queue, pipelines and buffer pool.
pub struct GpuDevice {
    info: wgpu::AdapterInfo,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) this: Weak<GpuDevice>,
    pub(super) pool: Mutex<Pool<wgpu::Buffer>>,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    pub(super) recorder: Mutex<Recorder>,
    pub(super) counters: Counters,
}

impl GpuDevice {
    pub(crate) fn open(software: bool) -> Result<Arc<Self>> {
        let adapter = adapters::choose(software)?;
        let offered = adapter.features();
        let wanted = wgpu::Features::SHADER_FLOAT32_ATOMIC | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("lumigrad"),
            required_features: wanted & offered,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| Error::Gpu(e.to_string()))?;
        Ok(Self::from_wgpu(adapter.get_info(), device, queue))
    }

    pub(crate) fn from_wgpu(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            info,
            device,
            queue,
            this: this.clone(),
            pool: Mutex::default(),
            pipelines: Mutex::default(),
            recorder: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// What this device has made so far.
    pub fn counts(&self) -> GpuCounts {
        let c = &self.counters;
        GpuCounts {
            buffers: c.buffers.load(Relaxed),
            pipelines: c.pipelines.load(Relaxed),
            submissions: c.submissions.load(Relaxed),
        }
    }

    /// Adapter name and backend.
    pub fn description(&self) -> String {
        format!("{}, {:?}", self.info.name, self.info.backend)
    }

    /// Whether the adapter runs on the processor.
    pub fn is_software(&self) -> bool {
        adapters::is_software(&self.info)
    }

    /// The wgpu device, for hosts that share it.
    pub fn wgpu_device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The wgpu queue, for hosts that share it.
    pub fn wgpu_queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// The pipeline of a kernel, compiled on first use from text with imports. `writes[i]` tells whether binding `i + 1`
    /// is written.
    pub(crate) fn pipeline(&self, name: &str, entry: &str, source: &str, writes: &[bool]) -> Result<Arc<Pipeline>> {
        if let Some(found) = self.pipelines.lock().unwrap().get(name) {
            return Ok(found.clone());
        }
        let limit = self.device.limits().max_storage_buffers_per_shader_stage;
        if writes.len() > limit as usize {
            return Err(Error::Unsupported {
                kernel: name.into(),
                device: self.description(),
                reason: format!(
                    "it needs {} storage buffers, this adapter offers {limit}; choose --device cpu",
                    writes.len()
                ),
            });
        }
        self.counters.pipelines.fetch_add(1, Relaxed);
        let float_atomics = self.device.features().contains(wgpu::Features::SHADER_FLOAT32_ATOMIC);
        let text = if float_atomics { crate::wgsl::resolve_native(source) } else { crate::wgsl::resolve(source) };
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
        let module = if cfg!(debug_assertions) {
            self.device.create_shader_module(descriptor)
        } else {
            let checks = wgpu::ShaderRuntimeChecks { bounds_checks: true, ..wgpu::ShaderRuntimeChecks::unchecked() };
            // SAFETY: shaders are ours or made from maps, and terminate; bounds stay checked.
            unsafe { self.device.create_shader_module_trusted(descriptor, checks) }
        };
        let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![buffer(0, wgpu::BufferBindingType::Uniform)];
        entries.extend(
            (1..).zip(writes).map(|(i, &write)| buffer(i, wgpu::BufferBindingType::Storage { read_only: !write })),
        );
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Unsupported {
                kernel: name.into(),
                device: self.description(),
                reason: error.to_string(),
            });
        }
        let built = Arc::new(Pipeline { pipeline, layout, label: name.into() });
        self.pipelines.lock().unwrap().insert(name.into(), built.clone());
        Ok(built)
    }
}
