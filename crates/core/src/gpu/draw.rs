//! The hardware raster pipeline: triangles into textures, which become tensors.

use super::GpuDevice;
use crate::tensor::Storage;
use crate::{Device, Error, Result, Tensor};
use std::sync::Arc;

/// What a fragment writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Four numbers: f32 [H, W, 4].
    Numbers,
    /// One integer: u32 [H, W, 1].
    Integer,
}

impl Target {
    fn format(self) -> wgpu::TextureFormat {
        match self {
            Target::Numbers => wgpu::TextureFormat::Rgba32Float,
            Target::Integer => wgpu::TextureFormat::R32Uint,
        }
    }
}

const DEPTH: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;

/// A vertex and a fragment stage that read tensors. Triangles are lists of vertices without an index buffer, both sides
/// are drawn, nearer fragments win, and targets start with zeros.
pub struct DrawPipeline {
    gpu: Arc<GpuDevice>,
    device: Device,
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    targets: Vec<Target>,
    label: String,
}

impl DrawPipeline {
    /// Compiles WGSL with the entry points `vertex` and `fragment`, which read `inputs` storage buffers as bindings 0, 1, …
    /// of group 0, and write to locations 0, 1, ….
    ///
    /// # Errors
    /// When `device` is the CPU, or the text is not valid.
    pub fn new(device: &Device, label: &str, wgsl: &str, inputs: usize, targets: &[Target]) -> Result<Self> {
        let gpu = device.gpu().ok_or_else(|| Error::Unsupported {
            kernel: label.into(),
            device: device.to_string(),
            reason: "the hardware raster pipeline is part of GPU devices; choose --device gpu".into(),
        })?;
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source });
        let entries: Vec<_> = (0..inputs as u32)
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: true },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = gpu
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries });
        let whole = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let formats: Vec<_> = targets.iter().map(|t| Some(wgpu::ColorTargetState::from(t.format()))).collect();
        let pipeline = gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(label),
            layout: Some(&whole),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: Default::default(),
                targets: &formats,
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: Some(wgpu::DepthStencilState {
                format: DEPTH,
                depth_write_enabled: Some(true),
                depth_compare: Some(wgpu::CompareFunction::Less),
                stencil: Default::default(),
                bias: Default::default(),
            }),
            multisample: Default::default(),
            multiview_mask: None,
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Gpu(format!("{label}: {error}")));
        }
        let (gpu, device, targets, label) = (gpu.clone(), device.clone(), targets.to_vec(), label.to_owned());
        Ok(Self { gpu, device, pipeline, layout, targets, label })
    }

    fn texture(&self, format: wgpu::TextureFormat, (width, height): (usize, usize)) -> wgpu::Texture {
        self.gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(&self.label),
            size: wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    }

    /// Draws `vertices` / 3 triangles to pictures of `size` (width, height): a tensor for each target, row 0 on top.
    ///
    /// # Errors
    /// When tensors live elsewhere or the picture is larger than the adapter's textures.
    pub fn draw(&self, inputs: &[&Tensor], vertices: usize, size: (usize, usize)) -> Result<Vec<Tensor>> {
        let limit = self.gpu.device.limits().max_texture_dimension_2d as usize;
        if size.0.max(size.1) > limit {
            return Err(Error::Gpu(format!("{}: {}×{} pixels, at most {limit} a side", self.label, size.0, size.1)));
        }
        let entries = (0..).zip(inputs).map(|(binding, tensor)| match &tensor.storage {
            Storage::Gpu(buffer) => Ok(wgpu::BindGroupEntry { binding, resource: buffer.wgpu().as_entire_binding() }),
            _ => Err(Error::MixedDevices { operator: self.label.clone() }),
        });
        let group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&self.label),
            layout: &self.layout,
            entries: &entries.collect::<Result<Vec<_>>>()?,
        });
        let textures: Vec<_> = self.targets.iter().map(|t| self.texture(t.format(), size)).collect();
        let views: Vec<_> = textures.iter().map(|t| t.create_view(&Default::default())).collect();
        let depth = self.texture(DEPTH, size).create_view(&Default::default());
        let cleared =
            wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store: wgpu::StoreOp::Store };
        let attachments: Vec<_> = views
            .iter()
            .map(|view| {
                Some(wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops: cleared })
            })
            .collect();
        self.gpu.with_encoder(|encoder| {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some(&self.label),
                color_attachments: &attachments,
                depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                    view: &depth,
                    depth_ops: Some(wgpu::Operations { load: wgpu::LoadOp::Clear(1.0), store: wgpu::StoreOp::Discard }),
                    stencil_ops: None,
                }),
                ..Default::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.draw(0..vertices as u32, 0..1);
        });
        textures.iter().map(|texture| Tensor::from_texture(&self.device, texture)).collect()
    }
}
