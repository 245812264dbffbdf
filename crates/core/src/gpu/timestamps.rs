//! Times of launches by the device's own clock, for `--profile`.

use super::GpuDevice;
use super::recorder::LAUNCHES_PER_SUBMIT;
use crate::profile;

/// Bytes of a submission's times: two for each launch.
const BYTES: u64 = 2 * 8 * LAUNCHES_PER_SUBMIT as u64;

/// The launches of a submission that are timed.
#[derive(Default)]
pub(super) struct Timed {
    launches: Vec<(String, usize)>,
    queries: Option<Queries>,
}

struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Queries {
    fn new(device: &wgpu::Device) -> Self {
        let buffer = |usage| {
            let label = Some("timestamps");
            device.create_buffer(&wgpu::BufferDescriptor { label, size: BYTES, usage, mapped_at_creation: false })
        };
        let (ty, count) = (wgpu::QueryType::Timestamp, 2 * LAUNCHES_PER_SUBMIT as u32);
        Self {
            set: device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("timestamps"), ty, count }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            read: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
        }
    }
}

impl Timed {
    /// Where the next launch writes its times; nowhere on adapters without timestamps.
    pub fn launch(
        &mut self,
        gpu: &GpuDevice,
        name: &str,
        bytes: usize,
    ) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let device = gpu.wgpu_device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) || self.launches.len() == LAUNCHES_PER_SUBMIT {
            return None;
        }
        let queries = self.queries.get_or_insert_with(|| Queries::new(device));
        let first = 2 * self.launches.len() as u32;
        self.launches.push((name.into(), bytes));
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &queries.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// Records, at the end of a submission, that its times are read.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if let (Some(queries), false) = (&self.queries, self.launches.is_empty()) {
            encoder.resolve_query_set(&queries.set, 0..2 * self.launches.len() as u32, &queries.resolved, 0);
            encoder.copy_buffer_to_buffer(&queries.resolved, 0, &queries.read, 0, BYTES);
        }
    }

    /// Waits for the submission and puts its times into the profile.
    pub fn collect(&mut self, gpu: &GpuDevice) {
        let (Some(queries), false) = (&self.queries, self.launches.is_empty()) else { return };
        queries.read.map_async(wgpu::MapMode::Read, .., |_| ());
        // Without the times nothing is lost but the profile.
        if gpu.wait().is_ok()
            && let Ok(view) = queries.read.get_mapped_range(..)
        {
            let unit = gpu.wgpu_queue().get_timestamp_period() as f64 * 1e-9;
            let time = |k: usize| u64::from_le_bytes(std::array::from_fn(|b| view[8 * k + b]));
            for (k, (name, bytes)) in self.launches.iter().enumerate() {
                profile::add(name, time(2 * k + 1).saturating_sub(time(2 * k)) as f64 * unit, *bytes);
            }
        }
        queries.read.unmap();
        self.launches.clear();
    }
}
