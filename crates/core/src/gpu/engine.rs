//! Buffers, pipelines and command recording. One encoder collects the launches of a step.

use super::adapters;
use crate::{Error, Result, Tensor, profile, tensor::Storage};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

/// Launches recorded before they are submitted anyway, so that the GPU does not idle during long steps.
const LAUNCHES_PER_SUBMIT: usize = 256;
/// Bytes of one buffer of kernel parameters.
const UNIFORM_CHUNK: u64 = 1 << 16;
/// Bytes of uploads that travel with the parameters instead of ending the step's encoder.
const SMALL_UPLOAD: usize = 4 << 10;
/// Workgroups along x at most; more are folded into y.
const MAX_GROUPS: u32 = 65_535;

/// A buffer of GPU memory, recycled when dropped.
pub struct GpuBuffer {
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
    device: Weak<GpuDevice>,
}

impl GpuBuffer {
    /// The wgpu buffer (at least as long as the tensor).
    pub fn wgpu(&self) -> &wgpu::Buffer {
        self.buffer.as_ref().expect("only taken on drop")
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        if let (Some(device), Some(buffer)) = (self.device.upgrade(), self.buffer.take()) {
            device.free.lock().unwrap().entry(buffer.size()).or_default().push(buffer);
        }
    }
}

/// A compiled kernel.
pub(crate) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    label: String,
}

#[derive(Default)]
struct Recorder {
    encoder: Option<wgpu::CommandEncoder>,
    launches: usize,
    /// Parameter bytes of the current chunk, written when the chunk is submitted.
    uniforms: Vec<u8>,
    chunk: Option<wgpu::Buffer>,
    spare_chunks: Vec<wgpu::Buffer>,
    full_chunks: Vec<(wgpu::Buffer, Vec<u8>)>,
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
struct Counters {
    buffers: AtomicU64,
    pipelines: AtomicU64,
    submissions: AtomicU64,
}

/// A wgpu device with its queue, pipelines and buffer pool.
pub struct GpuDevice {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    this: Weak<GpuDevice>,
    free: Mutex<HashMap<u64, Vec<wgpu::Buffer>>>,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    recorder: Mutex<Recorder>,
    counters: Counters,
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
            free: Mutex::default(),
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

    /// The wgpu device, for hosts that share it.
    pub fn wgpu_device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The wgpu queue, for hosts that share it.
    pub fn wgpu_queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    fn size_class(bytes: usize) -> u64 {
        let bytes = (bytes.max(4) as u64).next_multiple_of(4);
        // Powers of two up to 1 MiB, then multiples of 1 MiB: few classes, little waste.
        if bytes <= 1 << 20 { bytes.next_power_of_two() } else { bytes.next_multiple_of(1 << 20) }
    }

    pub(crate) fn allocate(&self, bytes: usize, zero: bool) -> Result<Arc<GpuBuffer>> {
        let size = Self::size_class(bytes);
        let limits = self.device.limits();
        if bytes as u64 > limits.max_storage_buffer_binding_size {
            return Err(Error::Gpu(format!(
                "a tensor of {bytes} bytes is larger than this adapter binds ({} bytes)",
                limits.max_storage_buffer_binding_size
            )));
        }
        let recycled = self.free.lock().unwrap().get_mut(&size).and_then(Vec::pop);
        let buffer = recycled.unwrap_or_else(|| {
            self.counters.buffers.fetch_add(1, Relaxed);
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("tensor"),
                size,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        if zero {
            self.with_encoder(|encoder| encoder.clear_buffer(&buffer, 0, None));
        }
        Ok(Arc::new(GpuBuffer { buffer: Some(buffer), bytes: bytes as u64, device: self.this.clone() }))
    }

    pub(super) fn with_encoder<T>(&self, f: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> T {
        let mut recorder = self.recorder.lock().unwrap();
        f(recorder.encoder.get_or_insert_with(|| self.new_encoder()))
    }

    fn new_encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") })
    }

    pub(crate) fn upload(&self, buffer: &GpuBuffer, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let padded;
        let bytes = if bytes.len().is_multiple_of(4) {
            bytes
        } else {
            padded = [bytes, &[0; 4][bytes.len() % 4..]].concat();
            &padded
        };
        // A recycled buffer may still be used by recorded launches, which must see the old contents.
        if bytes.len() <= SMALL_UPLOAD {
            let mut guard = self.recorder.lock().unwrap();
            let recorder = &mut *guard;
            let (chunk, offset) = self.uniform_slot(recorder, bytes);
            let encoder = recorder.encoder.get_or_insert_with(|| self.new_encoder());
            encoder.copy_buffer_to_buffer(&chunk, offset, buffer.wgpu(), 0, bytes.len() as u64);
        } else {
            self.submit();
            self.queue.write_buffer(buffer.wgpu(), 0, bytes);
        }
    }

    pub(crate) fn duplicate(&self, source: &GpuBuffer) -> Result<Arc<GpuBuffer>> {
        let copy = self.allocate(source.bytes as usize, false)?;
        let size = source.bytes.next_multiple_of(4);
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(source.wgpu(), 0, copy.wgpu(), 0, size));
        Ok(copy)
    }

    pub(crate) fn read(&self, source: &GpuBuffer) -> Result<Vec<u8>> {
        if source.bytes == 0 {
            return Ok(Vec::new());
        }
        let size = source.bytes.next_multiple_of(4);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read-back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(source.wgpu(), 0, &staging, 0, size));
        self.submit();
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result);
        });
        self.wait()?;
        receiver.recv().map_err(|e| Error::Gpu(e.to_string()))?.map_err(|e| Error::Gpu(e.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|e| Error::Gpu(e.to_string()))?;
        Ok(view[..source.bytes as usize].to_vec())
    }

    fn wait(&self) -> Result<()> {
        self.device.poll(wgpu::PollType::wait_indefinitely()).map(drop).map_err(|e| Error::Gpu(e.to_string()))
    }

    /// Submits what was recorded.
    pub fn submit(&self) {
        let mut recorder = self.recorder.lock().unwrap();
        self.submit_locked(&mut recorder);
    }

    fn submit_locked(&self, recorder: &mut Recorder) {
        let Some(encoder) = recorder.encoder.take() else {
            return;
        };
        if let Some(chunk) = recorder.chunk.take() {
            let bytes = std::mem::take(&mut recorder.uniforms);
            recorder.full_chunks.push((chunk, bytes));
        }
        for (chunk, bytes) in recorder.full_chunks.drain(..) {
            self.queue.write_buffer(&chunk, 0, &bytes);
            recorder.spare_chunks.push(chunk);
        }
        self.queue.submit([encoder.finish()]);
        self.counters.submissions.fetch_add(1, Relaxed);
        recorder.launches = 0;
    }

    /// Submits what was recorded and waits until it is done.
    pub fn synchronize(&self) -> Result<()> {
        self.submit();
        self.wait()
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

    /// Records one launch over `items` items.
    pub(crate) fn dispatch(
        &self,
        pipeline: &Pipeline,
        params: &[u8],
        tensors: &[&Tensor],
        items: usize,
        items_per_group: u32,
    ) -> Result<()> {
        let groups = u32::try_from(items.div_ceil(items_per_group as usize))
            .map_err(|_| Error::Gpu(format!("{}: {items} items are too many", pipeline.label)))?;
        if groups == 0 {
            return Ok(());
        }
        let mut guard = self.recorder.lock().unwrap();
        let recorder = &mut *guard;
        let (chunk, offset) = self.uniform_slot(recorder, params);
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &chunk,
                offset,
                size: std::num::NonZero::new((params.len() as u64).next_multiple_of(16).max(16)),
            }),
        }];
        for (binding, tensor) in (1..).zip(tensors) {
            let Storage::Gpu(buffer) = &tensor.storage else {
                return Err(Error::MixedDevices { operator: pipeline.label.clone() });
            };
            entries.push(wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: buffer.wgpu(),
                    offset: 0,
                    size: std::num::NonZero::new(buffer.bytes.next_multiple_of(4).max(4)),
                }),
            });
        }
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&pipeline.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let encoder = recorder.encoder.get_or_insert_with(|| self.new_encoder());
        let mut pass = encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(&pipeline.label), timestamp_writes: None });
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        let rows = groups.div_ceil(MAX_GROUPS);
        pass.dispatch_workgroups(groups.div_ceil(rows), rows, 1);
        drop(pass);
        recorder.launches += 1;
        if profile::enabled() {
            self.submit_locked(recorder);
            drop(guard);
            return self.wait();
        }
        if recorder.launches >= LAUNCHES_PER_SUBMIT {
            self.submit_locked(recorder);
        }
        Ok(())
    }

    fn uniform_slot(&self, recorder: &mut Recorder, params: &[u8]) -> (wgpu::Buffer, u64) {
        let size = params.len().next_multiple_of(256).max(256);
        if recorder.chunk.is_some() && recorder.uniforms.len() + size > UNIFORM_CHUNK as usize {
            let bytes = std::mem::take(&mut recorder.uniforms);
            let chunk = recorder.chunk.take().expect("just checked");
            recorder.full_chunks.push((chunk, bytes));
        }
        let chunk = recorder
            .chunk
            .get_or_insert_with(|| {
                recorder.spare_chunks.pop().unwrap_or_else(|| {
                    self.counters.buffers.fetch_add(1, Relaxed);
                    self.device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some("parameters"),
                        size: UNIFORM_CHUNK,
                        usage: wgpu::BufferUsages::UNIFORM
                            | wgpu::BufferUsages::COPY_SRC
                            | wgpu::BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    })
                })
            })
            .clone();
        let offset = recorder.uniforms.len();
        recorder.uniforms.extend_from_slice(params);
        recorder.uniforms.resize(offset + size, 0);
        (chunk, offset as u64)
    }
}
