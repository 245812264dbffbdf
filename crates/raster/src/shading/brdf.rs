//! The BRDF of the glTF 2.0 specification, Appendix B, as expressions, with `KHR_materials_ior`,
//! `KHR_materials_specular` and `KHR_materials_clearcoat`.
//!
//! With α = roughness², H the half vector and p = (1 − V·H)⁵: F = F0 + (F90 − F0) p, and
//! f = (1 − F) c_diff / π + F D Vis, where c_diff = base colour · (1 − metallic), F0 and F90 are interpolated between
//! dielectric and metal, D is the GGX distribution and Vis the *height-correlated* Smith term.
//!
//! Every function is finite with finite derivatives for all unit vectors, also below the horizon.

use lumigrad_core::map::{Expr, vector};
use std::f64::consts::PI;

/// Smallest cosine to the viewer: normals that are interpolated can point away from a visible surface.
pub(super) const MIN_COSINE: f64 = 1e-4;
/// Smallest roughness: below it the distribution leaves the range of f32.
const MIN_ROUGHNESS: f64 = 0.01;
/// Reflectance of the coat at normal incidence (index of refraction 1.5).
const COAT_F0: f64 = 0.04;

/// What the dielectric part of a material reflects.
#[derive(Clone, Copy)]
pub struct Dielectric {
    /// Reflectance at normal incidence.
    pub f0: [Expr; 3],
    /// Reflectance at grazing incidence.
    pub f90: Expr,
}

impl Dielectric {
    /// Plain glTF: reflectance 0.04 (index of refraction 1.5).
    pub fn plain() -> Self {
        Self { f0: [COAT_F0.into(); 3], f90: 1.0.into() }
    }

    /// `KHR_materials_ior` (0 means an infinite index) and `KHR_materials_specular`.
    pub fn new(ior: Expr, specular: Expr, color: [Expr; 3]) -> Self {
        let r = (ior - 1.0) / (ior + 1.0);
        Self { f0: color.map(|c| (r * r * c).min(1.0) * specular), f90: specular }
    }
}

/// A transparent layer above the material.
#[derive(Clone, Copy)]
pub struct Clearcoat {
    /// Strength, in [0, 1].
    pub factor: Expr,
    /// Its roughness, in [0, 1].
    pub roughness: Expr,
    /// Its unit normal.
    pub normal: [Expr; 3],
}

/// What a surface point is made of.
#[derive(Clone, Copy)]
pub struct Substance {
    /// Linear RGB.
    pub base_color: [Expr; 3],
    /// In [0, 1].
    pub metallic: Expr,
    /// In [0, 1]; α is its square.
    pub roughness: Expr,
    /// The part that is not metal.
    pub dielectric: Dielectric,
    /// Layer on top.
    pub clearcoat: Option<Clearcoat>,
}

impl Substance {
    /// Without extensions.
    pub fn new(base_color: [Expr; 3], metallic: Expr, roughness: Expr) -> Self {
        Self { base_color, metallic, roughness, dielectric: Dielectric::plain(), clearcoat: None }
    }

    /// Albedo of the diffuse part.
    pub fn diffuse_color(&self) -> [Expr; 3] {
        vector::scale(self.base_color, 1.0 - self.metallic)
    }

    /// Reflectance at normal and at grazing incidence.
    pub fn reflectance(&self) -> ([Expr; 3], Expr) {
        let f0 = vector::mix(self.dielectric.f0, self.base_color, self.metallic);
        (f0, self.dielectric.f90 + (1.0 - self.dielectric.f90) * self.metallic)
    }

    /// BRDF times max(N·L, 0) for unit vectors `normal`, `view` (towards the camera) and `light` (towards the light):
    /// the reflected radiance per unit of incident irradiance (lux).
    pub fn reflect(&self, normal: [Expr; 3], view: [Expr; 3], light: [Expr; 3]) -> [Expr; 3] {
        let angles = Angles::new(normal, view, light);
        let lobe = angles.lobe(self.roughness);
        let (f0, f90) = self.reflectance();
        let p = fresnel_weight(angles.vh);
        let diffuse = self.diffuse_color();
        let base = std::array::from_fn(|k| {
            let f = f0[k] + (f90 - f0[k]) * p;
            angles.lit((1.0 - f) * diffuse[k] * (1.0 / PI) + f * lobe)
        });
        self.coated(base, view, |coat| {
            let angles = Angles::new(coat.normal, view, light);
            let value = angles.lit(angles.lobe(coat.roughness));
            [value; 3]
        })
    }

    /// The layers mixed: `base` below what the coat's lobe (without Fresnel term) reflects.
    pub(super) fn coated(
        &self,
        base: [Expr; 3],
        view: [Expr; 3],
        layer: impl FnOnce(&Clearcoat) -> [Expr; 3],
    ) -> [Expr; 3] {
        let Some(coat) = &self.clearcoat else { return base };
        let p = fresnel_weight(vector::dot(coat.normal, view).abs());
        vector::mix(base, layer(coat), coat.factor * (COAT_F0 + (1.0 - COAT_F0) * p))
    }
}

/// (1 − cos θ)⁵.
fn fresnel_weight(cosine: Expr) -> Expr {
    (1.0 - cosine).max(0.0).powi(5)
}

/// Cosines between the vectors of a reflection, safe below the horizon.
struct Angles {
    nl: Expr,
    nl_safe: Expr,
    nv: Expr,
    vh: Expr,
    nh_squared: Expr,
    /// |N × H|² = 1 − (N·H)² without cancellation.
    sin_squared: Expr,
}

impl Angles {
    fn new(normal: [Expr; 3], view: [Expr; 3], light: [Expr; 3]) -> Self {
        let nl = vector::dot(normal, light);
        let lit = nl.greater(0.0);
        // Below the horizon the result is 0; the vectors there only have to be harmless.
        let towards = vector::add(view, light);
        let half = vector::normalize(std::array::from_fn(|k| lit.select(towards[k], normal[k])));
        let (nh, c) = (vector::dot(normal, half), vector::cross(normal, half));
        Self {
            nl,
            nl_safe: lit.select(nl, 1.0),
            nv: vector::dot(normal, view).max(MIN_COSINE),
            vh: vector::dot(view, half),
            nh_squared: nh * nh,
            sin_squared: vector::dot(c, c),
        }
    }

    /// D · Vis.
    fn lobe(&self, roughness: Expr) -> Expr {
        let a2 = roughness.max(MIN_ROUGHNESS).powi(4);
        let t = self.sin_squared + a2 * self.nh_squared;
        let d = a2 / (PI * t * t);
        let smith = |x: Expr, y: Expr| x * (y * y * (1.0 - a2) + a2).sqrt();
        d * 0.5 / (smith(self.nl_safe, self.nv) + smith(self.nv, self.nl_safe))
    }

    /// Times N·L where lit, else 0.
    fn lit(&self, brdf: Expr) -> Expr {
        self.nl.greater(0.0).select(self.nl * brdf, 0.0)
    }
}
