//! Materials, textures and images.

use crate::picture::{linear_to_srgb, srgb_to_linear};
use rayon::prelude::*;

/// Numbers that one task converts; pixels stay whole.
const CHUNK: usize = 1 << 16;

/// A metallic-roughness material with the extensions that lumigrad knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Material {
    /// Name in the file; may be empty.
    pub name: String,
    /// Linear RGBA, multiplied with the texture and the vertex colour.
    pub base_color_factor: [f32; 4],
    /// sRGB colour, linear alpha.
    pub base_color_texture: Option<TextureInfo>,
    /// 0: dielectric, 1: metal; multiplied with the texture's blue.
    pub metallic_factor: f32,
    /// Perceptual roughness; multiplied with the texture's green.
    pub roughness_factor: f32,
    /// Linear: roughness in green, metallic in blue.
    pub metallic_roughness_texture: Option<TextureInfo>,
    /// Linear: tangent-space normal in RGB as 2·c − 1.
    pub normal_texture: Option<TextureInfo>,
    /// Multiplies x and y of the mapped normal.
    pub normal_scale: f32,
    /// Linear: occlusion in red.
    pub occlusion_texture: Option<TextureInfo>,
    /// 0: no occlusion, 1: all of it.
    pub occlusion_strength: f32,
    /// Linear RGB, multiplied with the texture and `emissive_strength`.
    pub emissive_factor: [f32; 3],
    /// sRGB.
    pub emissive_texture: Option<TextureInfo>,
    /// KHR_materials_emissive_strength.
    pub emissive_strength: f32,
    /// How alpha is used.
    pub alpha_mode: AlphaMode,
    /// With `AlphaMode::Mask`: alpha at or above it is kept.
    pub alpha_cutoff: f32,
    /// Whether back faces are seen (with the normal reversed).
    pub double_sided: bool,
    /// KHR_materials_unlit: the base colour is shown as it is.
    pub unlit: bool,
    /// KHR_materials_ior.
    pub ior: f32,
    /// KHR_materials_specular.
    pub specular: Option<Specular>,
    /// KHR_materials_clearcoat.
    pub clearcoat: Option<Clearcoat>,
    /// KHR_materials_transmission.
    pub transmission: Option<Transmission>,
}

impl Default for Material {
    /// glTF's default material: white, metallic 1, roughness 1.
    fn default() -> Self {
        Self {
            name: String::new(),
            base_color_factor: [1.0; 4],
            base_color_texture: None,
            metallic_factor: 1.0,
            roughness_factor: 1.0,
            metallic_roughness_texture: None,
            normal_texture: None,
            normal_scale: 1.0,
            occlusion_texture: None,
            occlusion_strength: 1.0,
            emissive_factor: [0.0; 3],
            emissive_texture: None,
            emissive_strength: 1.0,
            alpha_mode: AlphaMode::Opaque,
            alpha_cutoff: 0.5,
            double_sided: false,
            unlit: false,
            ior: 1.5,
            specular: None,
            clearcoat: None,
            transmission: None,
        }
    }
}

/// How a material's alpha is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlphaMode {
    /// Not at all.
    #[default]
    Opaque,
    /// Kept at or above the cutoff, dropped below.
    Mask,
    /// Blended over what lies behind.
    Blend,
}

/// KHR_materials_specular.
#[derive(Clone, Debug, PartialEq)]
pub struct Specular {
    /// Strength of the dielectric reflection; multiplied with the texture's alpha.
    pub factor: f32,
    /// Linear, in alpha.
    pub texture: Option<TextureInfo>,
    /// Linear RGB of the reflection at normal incidence; multiplied with the colour texture.
    pub color_factor: [f32; 3],
    /// sRGB.
    pub color_texture: Option<TextureInfo>,
}

/// KHR_materials_clearcoat.
#[derive(Clone, Debug, PartialEq)]
pub struct Clearcoat {
    /// Strength; multiplied with the texture's red.
    pub factor: f32,
    /// Linear, in red.
    pub texture: Option<TextureInfo>,
    /// Roughness of the coat; multiplied with the texture's green.
    pub roughness_factor: f32,
    /// Linear, in green.
    pub roughness_texture: Option<TextureInfo>,
    /// Linear: normal of the coat.
    pub normal_texture: Option<TextureInfo>,
    /// Multiplies x and y of the coat's mapped normal.
    pub normal_scale: f32,
}

/// KHR_materials_transmission.
#[derive(Clone, Debug, PartialEq)]
pub struct Transmission {
    /// Part of the light that passes; multiplied with the texture's red.
    pub factor: f32,
    /// Linear, in red.
    pub texture: Option<TextureInfo>,
}

/// How a material uses a texture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextureInfo {
    /// Index of the texture, which has an image.
    pub texture: usize,
    /// Set of texture coordinates (that of KHR_texture_transform where it gives one).
    pub texcoord: usize,
    /// KHR_texture_transform.
    pub transform: Option<TextureTransform>,
}

/// KHR_texture_transform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextureTransform {
    /// In texture coordinates.
    pub offset: [f32; 2],
    /// Radians, counter-clockwise.
    pub rotation: f32,
    /// Factors along u and v.
    pub scale: [f32; 2],
}

impl TextureTransform {
    /// Rows of the affine map: `u' = m[0]·(u, v, 1)`, `v' = m[1]·(u, v, 1)`.
    ///
    /// `u' = cos r·sx·u + sin r·sy·v + ox`, `v' = −sin r·sx·u + cos r·sy·v + oy`: counter-clockwise with v downwards.
    pub fn matrix(&self) -> [[f32; 3]; 2] {
        let (sin, cos) = self.rotation.sin_cos();
        let ([sx, sy], [ox, oy]) = (self.scale, self.offset);
        [[cos * sx, sin * sy, ox], [-sin * sx, cos * sy, oy]]
    }
}

/// An image with the way it is sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Texture {
    /// Name in the file; may be empty.
    pub name: String,
    /// Index of the image; `None` where the file gives none that lumigrad can read.
    pub image: Option<usize>,
    /// How it is sampled.
    pub sampler: Sampler,
}

/// How a texture is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Outside [0, 1] along u.
    pub wrap_s: Wrap,
    /// Outside [0, 1] along v.
    pub wrap_t: Wrap,
    /// When magnified.
    pub mag: Filter,
    /// When minified, within a mip level.
    pub min: Filter,
    /// When minified, between mip levels; `None`: level 0 only.
    pub mip: Option<Filter>,
}

impl Default for Sampler {
    /// Repeat, trilinear.
    fn default() -> Self {
        Self {
            wrap_s: Wrap::Repeat,
            wrap_t: Wrap::Repeat,
            mag: Filter::Linear,
            min: Filter::Linear,
            mip: Some(Filter::Linear),
        }
    }
}

/// What lies outside [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrap {
    /// The image again.
    #[default]
    Repeat,
    /// The image mirrored, then again.
    MirroredRepeat,
    /// Its border.
    ClampToEdge,
}

/// How values between texels or levels are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The nearest one's.
    Nearest,
    /// Linear interpolation.
    #[default]
    Linear,
}

/// A picture of 8 bits for each of four channels.
///
/// A picture that no texture uses, or that cannot be read (a warning says so), stands as one white pixel; its bytes in
/// the file go through unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Name in the file; may be empty.
    pub name: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows, the top one first.
    pub height: u32,
    /// Straight RGBA, [height · width · 4], as stored: colour slots hold sRGB, all others linear values.
    pub rgba8: Vec<u8>,
}

impl Image {
    /// One white pixel.
    pub(crate) fn white(name: &str) -> Self {
        Self { name: name.to_owned(), width: 1, height: 1, rgba8: vec![255; 4] }
    }

    /// [height, width, 4] values: RGB decoded to linear light where `srgb`, all else divided by 255.
    pub fn to_f32(&self, srgb: bool) -> Vec<f32> {
        let table: [f32; 256] = std::array::from_fn(|i| {
            let x = i as f32 / 255.0;
            if srgb { srgb_to_linear(x) } else { x }
        });
        let mut values = vec![0.0; self.rgba8.len()];
        values.par_chunks_mut(CHUNK).zip(self.rgba8.par_chunks(CHUNK)).for_each(|(values, bytes)| {
            for (v, b) in values.chunks_exact_mut(4).zip(bytes.chunks_exact(4)) {
                let [r, g, b, a] = [b[0], b[1], b[2], b[3]].map(usize::from);
                v.copy_from_slice(&[table[r], table[g], table[b], a as f32 / 255.0]);
            }
        });
        values
    }

    /// The inverse of [`to_f32`](Self::to_f32), rounded to 8 bits and clamped to [0, 1]. The number of values must be
    /// height · width · 4.
    pub fn from_f32(name: &str, width: u32, height: u32, values: &[f32], srgb: bool) -> Self {
        debug_assert_eq!(values.len(), width as usize * height as usize * 4, "values do not fill the picture");
        let byte = |x: f32| (x.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        let color = |x: f32| byte(if srgb { linear_to_srgb(x.clamp(0.0, 1.0)) } else { x });
        let mut rgba8 = vec![0; values.len()];
        rgba8.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(bytes, values)| {
            for (b, v) in bytes.chunks_exact_mut(4).zip(values.chunks_exact(4)) {
                b.copy_from_slice(&[color(v[0]), color(v[1]), color(v[2]), byte(v[3])]);
            }
        });
        Self { name: name.to_owned(), width, height, rgba8 }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({:?}, {}x{})", self.name, self.width, self.height)
    }
}
