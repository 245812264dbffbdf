//! What has a surface that can be taken out as triangles.

use super::operators::{Derivation, Operators, tangents, unit};
use super::place::Place;
use super::seen::Seen;
use super::solid::Solid;
use super::trace::steepest;
use crate::Result;
use glam::DVec3;
use lumigrad_scene::camera::View;
use std::cell::OnceCell;

/// Parts of the box's longest side that differences are taken over.
const STEP: f32 = 1e-3;

/// What a view sees of a surface.
pub struct Depths {
    /// Depths along the view's axis in the world, [H, W]; infinite where it sees through to nothing, NaN where that is not
    /// known.
    pub depths: Vec<f32>,
    /// Colours [H, W, 3], sRGB encoded, or none.
    pub colours: Vec<[f32; 3]>,
}

/// A surface of any origin: where a field of its domain, negative inside, is 0.
pub trait Source {
    /// How messages call it.
    fn name(&self) -> &str;

    /// Where its domain lies in the world.
    fn place(&self) -> Place;

    /// Half the sides of the box around 0, in the domain, beyond which everything is outside.
    fn half(&self) -> DVec3;

    /// The field at points of the domain, three numbers each.
    fn values(&self, points: &[f32]) -> Result<Vec<f32>>;

    /// What a view of the world sees: for fusion.
    fn depths(&self, view: &View) -> Result<Depths>;

    /// Half of what differences are taken over, in the domain.
    fn step(&self) -> f32 {
        STEP * self.half().max_element() as f32
    }

    /// The field and its gradient, (f, ∂x, ∂y, ∂z), at points of the domain. By differences, where nothing better is known.
    fn tangents(&self, points: &[[f32; 3]]) -> Result<Vec<[f32; 4]>> {
        let step = self.step();
        let moved = |p: &[f32; 3], k: usize| {
            let mut p = *p;
            if k > 0 {
                p[(k - 1) / 2] += if k.is_multiple_of(2) { -step } else { step };
            }
            p
        };
        let around: Vec<[f32; 3]> = points.iter().flat_map(|p| (0..7).map(move |k| moved(p, k))).collect();
        let values = self.values(around.as_flattened())?;
        let slope = |v: &[f32], k: usize| (v[2 * k + 1] - v[2 * k + 2]) / (2.0 * step);
        Ok(values.chunks_exact(7).map(|v| [v[0], slope(v, 0), slope(v, 1), slope(v, 2)]).collect())
    }

    /// Unit normals at points of the surface.
    fn normals(&self, points: &[[f32; 3]]) -> Result<Vec<[f32; 3]>> {
        Ok(self.tangents(points)?.iter().map(|t| unit(&t[1..])).collect())
    }

    /// Unit normals of a surface that was taken out of it, at its vertices.
    fn surface_normals(&self, positions: &[[f32; 3]], _triangles: &[[u32; 3]]) -> Result<Vec<[f32; 3]>> {
        self.normals(positions)
    }

    /// Mean curvatures at points of the surface, in one over the world's units; `None` where they are not known.
    fn curvatures(&self, _points: &[[f32; 3]]) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }

    /// Colours at points of the surface, sRGB encoded; `None` where it has none.
    fn colours(&self, _points: &[[f32; 3]]) -> Result<Option<Vec<[f32; 3]>>> {
        Ok(None)
    }

    /// Colours that are seen along the normals of points which may be off the surface, by `reach` to either side; `None` where
    /// it has none at points, though its views may have.
    fn skin(&self, points: &[[f32; 3]], _normals: &[[f32; 3]], _reach: f32) -> Result<Option<Vec<[f32; 3]>>> {
        self.colours(points)
    }

    /// Whether it is a surface with colours that are the same from all sides: a mesh with textures looks as it does.
    fn is_binary(&self) -> bool {
        false
    }
}

/// The solid of a field's file.
pub struct FieldSource<'a> {
    name: &'a str,
    solid: &'a Solid<'a>,
    operators: Operators,
    how: Derivation,
    /// How steep the solid is, once that was asked for.
    steepest: OnceCell<f64>,
}

impl<'a> FieldSource<'a> {
    /// With operators that give its normals and curvatures.
    pub fn new(name: &'a str, solid: &'a Solid<'a>, operators: Operators, how: Derivation) -> Self {
        Self { name, solid, operators, how, steepest: OnceCell::new() }
    }

    fn steepest(&self) -> Result<f64> {
        if let Some(known) = self.steepest.get() {
            return Ok(*known);
        }
        let found = steepest(self.solid)?;
        Ok(*self.steepest.get_or_init(|| found))
    }
}

impl Source for FieldSource<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn place(&self) -> Place {
        self.solid.place
    }

    fn half(&self) -> DVec3 {
        self.solid.half
    }

    fn values(&self, points: &[f32]) -> Result<Vec<f32>> {
        self.solid.values(points)
    }

    fn depths(&self, view: &View) -> Result<Depths> {
        let seen = Seen::new(self.solid, view, self.steepest()?)?;
        let depths = seen.spread(seen.depths.iter().map(|&d| [d]));
        let depths = depths.into_iter().map(|d| if d > 0.0 { d } else { f32::INFINITY }).collect();
        Ok(Depths { depths, colours: vec![] })
    }

    fn tangents(&self, points: &[[f32; 3]]) -> Result<Vec<[f32; 4]>> {
        tangents(self.solid, points.as_flattened())
    }

    fn normals(&self, points: &[[f32; 3]]) -> Result<Vec<[f32; 3]>> {
        self.operators.normals(self.solid, self.how, points.as_flattened())
    }

    fn curvatures(&self, points: &[[f32; 3]]) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.operators.curvatures(self.solid, self.how, points.as_flattened())?))
    }
}
