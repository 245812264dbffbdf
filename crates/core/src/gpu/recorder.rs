//! Command recording: one encoder collects the launches of a step.

use super::GpuDevice;
use super::engine::Pipeline;
use super::timestamps::Timed;
use crate::{Error, Result, Tensor, profile, tensor::Storage};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Launches recorded before they are submitted anyway, so that the GPU does not idle during long steps.
pub(super) const LAUNCHES_PER_SUBMIT: usize = 256;
/// Bytes of one buffer of kernel parameters.
const UNIFORM_CHUNK: u64 = 1 << 16;
/// Bytes of uploads that travel with the parameters instead of ending the step's encoder.
pub(super) const SMALL_UPLOAD: usize = 4 << 10;
/// Workgroups along x at most; more are folded into y.
const MAX_GROUPS: u32 = 65_535;

/// What a launch sees of a tensor.
pub(crate) struct Binding<'a> {
    tensor: &'a Tensor,
    /// Begins at a multiple of 256.
    bytes: Range<usize>,
}

impl<'a> Binding<'a> {
    /// All of it.
    pub fn whole(tensor: &'a Tensor) -> Self {
        Self::part(tensor, 0..tensor.byte_len())
    }

    /// Some of its bytes, from a multiple of 256 on.
    pub fn part(tensor: &'a Tensor, bytes: Range<usize>) -> Self {
        Self { tensor, bytes }
    }
}

#[derive(Default)]
pub(super) struct Recorder {
    encoder: Option<wgpu::CommandEncoder>,
    /// Open pass of the encoder, which takes launches until something else is recorded.
    pass: Option<wgpu::ComputePass<'static>>,
    launches: usize,
    /// Parameter bytes of the current chunk, written when the chunk is submitted.
    uniforms: Vec<u8>,
    chunk: Option<wgpu::Buffer>,
    spare_chunks: Vec<wgpu::Buffer>,
    full_chunks: Vec<(wgpu::Buffer, Vec<u8>)>,
    timed: Timed,
}

impl Recorder {
    /// The step's encoder, after the launches so far.
    pub(super) fn encoder(&mut self, gpu: &GpuDevice) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| gpu.new_encoder())
    }

    /// Opens a pass for the next launch where none is open. Profiled launches have a pass each; true where the device writes
    /// no timestamps, so that the launch has to be waited for.
    fn open(&mut self, gpu: &GpuDevice, name: &str, bytes: usize) -> bool {
        if self.pass.is_some() && !profile::enabled() {
            return false;
        }
        self.encoder(gpu);
        let timestamp_writes = if profile::enabled() { self.timed.launch(gpu, name, bytes) } else { None };
        let waits = profile::enabled() && timestamp_writes.is_none();
        let descriptor = wgpu::ComputePassDescriptor { label: Some("launches"), timestamp_writes };
        let encoder = self.encoder.as_mut().expect("just made");
        self.pass = Some(encoder.begin_compute_pass(&descriptor).forget_lifetime());
        waits
    }
}

impl GpuDevice {
    pub(super) fn with_encoder<T>(&self, f: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> T {
        let mut recorder = self.recorder.lock().unwrap();
        f(recorder.encoder(self))
    }

    pub(super) fn new_encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") })
    }

    pub(super) fn wait(&self) -> Result<()> {
        self.device.poll(wgpu::PollType::wait_indefinitely()).map(drop).map_err(|e| Error::Gpu(e.to_string()))
    }

    /// Submits what was recorded.
    pub fn submit(&self) {
        let mut recorder = self.recorder.lock().unwrap();
        self.submit_locked(&mut recorder);
    }

    fn submit_locked(&self, recorder: &mut Recorder) {
        recorder.pass = None;
        let Some(mut encoder) = recorder.encoder.take() else {
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
        recorder.timed.resolve(&mut encoder);
        self.queue.submit([encoder.finish()]);
        self.counters.submissions.fetch_add(1, Relaxed);
        self.pool.lock().unwrap().submitted();
        recorder.launches = 0;
        recorder.timed.collect(self);
    }

    /// Submits what was recorded and waits until it is done.
    pub fn synchronize(&self) -> Result<()> {
        self.submit();
        self.wait()
    }

    /// Records one launch over `items` items, `items_per_group` in a workgroup; the profile shows it as `name`.
    pub(crate) fn dispatch(
        &self,
        pipeline: &Pipeline,
        params: &[u8],
        bindings: &[Binding],
        (items, items_per_group): (usize, u32),
        name: &str,
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
        let limit = self.device.limits().max_storage_buffer_binding_size;
        for (binding, Binding { tensor, bytes }) in (1..).zip(bindings) {
            let Storage::Gpu(buffer) = &tensor.storage else {
                return Err(Error::MixedDevices { operator: pipeline.label.clone() });
            };
            let size = (bytes.len() as u64).next_multiple_of(4).max(4);
            if size > limit {
                return Err(Error::Gpu(format!(
                    "{name} needs an array of {size} bytes at once, and this adapter binds {limit}: \
                     choose --device cpu, or less of what fills it"
                )));
            }
            entries.push(wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: buffer.wgpu(),
                    offset: bytes.start as u64,
                    size: std::num::NonZero::new(size),
                }),
            });
        }
        let bytes = bindings.iter().map(|b| b.bytes.len()).sum();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&pipeline.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let start = Instant::now();
        let waits = recorder.open(self, name, bytes);
        let pass = recorder.pass.as_mut().expect("just opened");
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        let rows = groups.div_ceil(MAX_GROUPS);
        pass.dispatch_workgroups(groups.div_ceil(rows), rows, 1);
        recorder.launches += 1;
        if waits {
            self.submit_locked(recorder);
            drop(guard);
            self.wait()?;
            profile::add(name, start.elapsed().as_secs_f64(), bytes);
            return Ok(());
        }
        if recorder.launches >= LAUNCHES_PER_SUBMIT {
            self.submit_locked(recorder);
        }
        Ok(())
    }

    /// A place for bytes that are written when the step is submitted.
    pub(super) fn uniform_slot(&self, recorder: &mut Recorder, params: &[u8]) -> (wgpu::Buffer, u64) {
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
