//! GPU memory: buffers that are used again, uploads and read-backs.

use super::GpuDevice;
use super::recorder::SMALL_UPLOAD;
use crate::{Error, Result};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// Size of the buffer for so many bytes.
fn size_class(bytes: usize) -> u64 {
    let bytes = (bytes.max(4) as u64).next_multiple_of(4);
    // Powers of two up to 1 MiB, then multiples of 1 MiB: few classes, little waste.
    if bytes <= 1 << 20 { bytes.next_power_of_two() } else { bytes.next_multiple_of(1 << 20) }
}

/// A buffer of GPU memory, recycled when dropped.
pub struct GpuBuffer {
    buffer: Option<wgpu::Buffer>,
    pub(super) bytes: u64,
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
            let size = buffer.size();
            device.pool.lock().unwrap().put(buffer, size);
        }
    }
}

impl GpuDevice {
    pub(crate) fn allocate(&self, bytes: usize, zero: bool) -> Result<Arc<GpuBuffer>> {
        let size = size_class(bytes);
        let limits = self.device.limits();
        if size > limits.max_buffer_size {
            return Err(Error::Gpu(format!(
                "a tensor of {bytes} bytes is larger than this adapter's buffers ({} bytes)",
                limits.max_buffer_size
            )));
        }
        let recycled = self.pool.lock().unwrap().take(size);
        let buffer = match recycled {
            Some(buffer) => buffer,
            None => self.new_buffer(size).or_else(|_| self.after_giving_back(size))?,
        };
        self.pool.lock().unwrap().used(size);
        if zero {
            self.with_encoder(|encoder| encoder.clear_buffer(&buffer, 0, None));
        }
        Ok(Arc::new(GpuBuffer { buffer: Some(buffer), bytes: bytes as u64, device: self.this.clone() }))
    }

    /// A new buffer, after all free ones went back to the driver.
    fn after_giving_back(&self, size: u64) -> Result<wgpu::Buffer> {
        self.pool.lock().unwrap().clear();
        self.synchronize()?;
        self.new_buffer(size)
    }

    fn new_buffer(&self, size: u64) -> Result<wgpu::Buffer> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        self.counters.buffers.fetch_add(1, Relaxed);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("tensor"),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(error) => Err(Error::Gpu(format!("no memory for a tensor of {size} bytes: {error}"))),
        }
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
            recorder.encoder(self).copy_buffer_to_buffer(&chunk, offset, buffer.wgpu(), 0, bytes.len() as u64);
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
}
