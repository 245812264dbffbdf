//! Textures of a host renderer as tensors, and tensors as textures, without a way through host memory.

use super::GpuDevice;
use crate::map::srgb::{to_encoded, to_linear};
use crate::map::{CallParams, Expr, IntExpr, Map};
use crate::ops::{concat_tensors, slice_tensor};
use crate::tensor::Storage;
use crate::{DType, Device, Error, Result, Tensor};
use std::sync::Arc;

/// Words of 4 bytes that rows of a copy are multiples of.
const PITCH: usize = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize / 4;

/// What a texture holds.
struct Texels {
    height: usize,
    width: usize,
    channels: usize,
    /// 8-bit channels in one word, and whether their colours are sRGB-encoded; otherwise a word per channel.
    packed: Option<bool>,
    /// Type of a word.
    word: DType,
}

impl Texels {
    /// # Errors
    /// The texture is no plane of a supported format, or lacks the usage that the copy needs.
    fn of(texture: &wgpu::Texture, device: &Device, usage: wgpu::TextureUsages) -> Result<(Self, Arc<GpuDevice>)> {
        use wgpu::TextureFormat::{R32Float, R32Uint, Rg32Float, Rgba8Unorm, Rgba8UnormSrgb, Rgba32Float};
        let refuse = |reason: String| Error::Unsupported {
            kernel: "sharing a texture".into(),
            device: device.to_string(),
            reason,
        };
        let gpu =
            device.gpu().ok_or_else(|| refuse("textures are shared by GPU devices, see Device::from_wgpu".into()))?;
        let (channels, packed, word) = match texture.format() {
            R32Float => (1, None, DType::F32),
            R32Uint => (1, None, DType::U32),
            Rg32Float => (2, None, DType::F32),
            Rgba32Float => (4, None, DType::F32),
            Rgba8Unorm => (4, Some(false), DType::I32),
            Rgba8UnormSrgb => (4, Some(true), DType::I32),
            other => {
                let known = "R32Float, R32Uint, Rg32Float, Rgba32Float, Rgba8Unorm and Rgba8UnormSrgb";
                return Err(refuse(format!("the texture has format {other:?}; {known} can be shared")));
            }
        };
        let plane = texture.dimension() == wgpu::TextureDimension::D2
            && texture.depth_or_array_layers() == 1
            && texture.sample_count() == 1;
        if !plane {
            return Err(refuse("only 2-D textures with one layer and one sample can be shared".into()));
        }
        if !texture.usage().contains(usage) {
            return Err(refuse(format!("the texture was made without {usage:?}")));
        }
        let (height, width) = (texture.height() as usize, texture.width() as usize);
        Ok((Self { height, width, channels, packed, word }, gpu.clone()))
    }

    /// Words of a row, without and with padding.
    fn row(&self) -> (usize, usize) {
        let words = self.width * if self.packed.is_some() { 1 } else { self.channels };
        (words, words.next_multiple_of(PITCH))
    }

    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
}

/// Buffer side of a copy of mip level 0.
fn layout(tensor: &Tensor, pitch: usize) -> Result<wgpu::TexelCopyBufferInfo<'_>> {
    let Storage::Gpu(buffer) = &tensor.storage else {
        return Err(Error::MixedDevices { operator: "sharing a texture".into() });
    };
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * pitch as u32), rows_per_image: None };
    Ok(wgpu::TexelCopyBufferInfo { buffer: buffer.wgpu(), layout })
}

/// Words of four 8-bit channels, the lowest byte first, as numbers in [0, 1].
fn unpack(srgb: bool) -> Map {
    Map::cached(if srgb { "unpack sRGB texels" } else { "unpack texels" }, |m| {
        let [word] = m.item_int("words");
        let mut rest = word;
        let bytes: [IntExpr; 4] = std::array::from_fn(|_| {
            let byte = rest.bit_and(255);
            // Exact also for negative words: the difference is a multiple of 256.
            rest = (rest - byte).quotient(256);
            byte
        });
        let x = bytes.map(|byte| byte.to_real() / 255.0);
        let color = |x: Expr| if srgb { to_linear(x) } else { x };
        m.output("texels", &[color(x[0]), color(x[1]), color(x[2]), x[3]]);
    })
}

/// The inverse of [`unpack`], clamped and rounded.
fn pack(srgb: bool) -> Map {
    Map::cached(if srgb { "pack sRGB texels" } else { "pack texels" }, |m| {
        let x = m.item::<4>("texels");
        let byte = |k: usize| {
            let x = x[k].clamp(0.0, 1.0);
            let x = if srgb && k < 3 { to_encoded(x) } else { x };
            (x * 255.0 + 0.5).floor().to_int()
        };
        m.output_int("words", &[((byte(3) * 256 + byte(2)) * 256 + byte(1)) * 256 + byte(0)]);
    })
}

impl Tensor {
    /// A tensor [H, W, C] with the texels of a host's texture (mip level 0), copied on the GPU.
    ///
    /// **Formats**: `R32Float`, `Rg32Float`, `Rgba32Float` as they are; `R32Uint` as u32; `Rgba8Unorm` in [0, 1]; `Rgba8UnormSrgb` in [0, 1],
    /// colours made linear. Row 0 is on top.
    /// **Order**: sees what the host has submitted to the shared queue before this call.
    /// **Errors**: `device` is not a GPU, another format, no 2-D texture with one layer and one sample, made without
    /// `COPY_SRC`. The texture must belong to the wgpu device that `device` shares.
    pub fn from_texture(device: &Device, texture: &wgpu::Texture) -> Result<Self> {
        let (texels, gpu) = Texels::of(texture, device, wgpu::TextureUsages::COPY_SRC)?;
        let (row, pitch) = texels.row();
        let padded = Tensor::uninit(device, texels.word, &[texels.height, pitch])?;
        let target = layout(&padded, pitch)?;
        gpu.with_encoder(|e| e.copy_texture_to_buffer(texture.as_image_copy(), target, texture.size()));
        // The host may draw to the texture as soon as this returns.
        gpu.submit();
        let rows = slice_tensor(&padded, 1, 0, row)?;
        match texels.packed {
            None if texels.word == DType::U32 => rows.bitcast_u32()?.reshape(&texels.shape()),
            None => rows.reshape(&texels.shape()),
            Some(srgb) => unpack(srgb).run(&[&rows], &CallParams::default())?.remove(0).reshape(&texels.shape()),
        }
    }

    /// Fills a host's texture (mip level 0) from this tensor [H, W, C] of its size, on the GPU.
    ///
    /// **Formats**: as [`Tensor::from_texture`]; 8-bit ones are clamped and rounded.
    /// **Order**: the copy is submitted to the shared queue before this returns.
    /// **Errors**: as [`Tensor::from_texture`] (made without `COPY_DST`), another shape, not f32.
    pub fn copy_to_texture(&self, texture: &wgpu::Texture) -> Result<()> {
        let (texels, gpu) = Texels::of(texture, self.device(), wgpu::TextureUsages::COPY_DST)?;
        if self.shape() != texels.shape() {
            let expected = format!("{:?} (height, width and channels of the texture)", texels.shape());
            return Err(Error::shape("copy_to_texture's input", self.shape(), expected));
        }
        let expected = if texels.packed.is_some() { DType::F32 } else { texels.word };
        if self.dtype() != expected {
            let tensor = "copy_to_texture's input".into();
            return Err(Error::DType { tensor, found: self.dtype().name(), expected: expected.name().into() });
        }
        let (row, pitch) = texels.row();
        let words = match texels.packed {
            None => self.clone(),
            Some(srgb) => pack(srgb).run(&[self], &CallParams::default())?.remove(0),
        };
        let mut rows = words.reshape(&[texels.height, row])?;
        if pitch > row {
            let padding = Tensor::zeros(self.device(), rows.dtype(), &[texels.height, pitch - row])?;
            rows = concat_tensors(&[&rows, &padding], 1)?;
        }
        let source = layout(&rows, pitch)?;
        gpu.with_encoder(|e| e.copy_buffer_to_texture(source, texture.as_image_copy(), texture.size()));
        gpu.submit();
        Ok(())
    }
}
