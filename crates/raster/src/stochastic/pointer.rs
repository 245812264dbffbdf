//! Reaches of a scene's parameters, from their pointers.

use super::{Column, Reach, TextureReach, Unknown};
use crate::render::Draw;
use crate::render::material::{SLOTS, material_of, read_columns};
use crate::{Renderer, Result};
use lumigrad_core::{Error, Tensor};
use lumigrad_scene::{Sampler, Scene, TextureInfo};

/// How a texture is laid on triangles.
type Layout = (usize, Option<[[f32; 3]; 2]>, Sampler);

fn layout(scene: &Scene, info: &TextureInfo) -> Layout {
    (info.texcoord, info.transform.map(|t| t.matrix()), scene.textures()[info.texture].sampler)
}

/// Ends of the pointers of colours, whose channels are those of pictures.
const COLORS: [&str; 8] = [
    "baseColorTexture",
    "baseColorFactor",
    "emissiveTexture",
    "emissiveFactor",
    "specularColorFactor",
    "attributes/COLOR_0",
    "/color",
    "/environment",
];

fn columns(scene: &Scene, pointers: &[&str]) -> Vec<Column> {
    let read = read_columns(scene, pointers);
    let is_color = pointers.iter().all(|p| COLORS.iter().any(|end| p.ends_with(end)));
    let column = |k: usize| match (read.get(k), is_color && k < 3) {
        (Some(false), _) => Column::Nothing,
        (_, true) => Column::Channel(k),
        (_, false) => Column::Everything,
    };
    (0..if is_color { read.len().max(3) } else { read.len() }).map(column).collect()
}

impl Renderer {
    /// The pixels of pictures `width` wide that the parameter at `pointers` (textures that share an image have several)
    /// reaches, with what its columns change. `rows` are the rows of the array for each vertex of a primitive where
    /// vertices share them, as at seams.
    ///
    /// # Errors
    /// When a texture is laid on triangles in several ways.
    pub fn unknown(&self, pointers: &[&str], step: f64, width: usize, rows: Option<&[u32]>) -> Result<Unknown> {
        let bounds = (f64::NEG_INFINITY, f64::INFINITY);
        let columns = columns(self.scene(), pointers);
        Ok(Unknown { reach: self.reach(pointers, width, rows)?, step, encoded: false, bounds, columns })
    }

    fn marked(&self, shows: impl Fn(&Draw) -> bool) -> Result<Tensor> {
        let draws = &self.geometry.draws;
        let marks: Vec<u32> = draws.iter().flat_map(|d| vec![shows(d) as u32; d.triangles.len()]).collect();
        Ok(Tensor::from_slice(self.device(), &marks, &[marks.len()])?)
    }

    fn reach(&self, pointers: &[&str], width: usize, rows: Option<&[u32]>) -> Result<Reach> {
        let parts: Vec<&str> = pointers[0].split('/').skip(1).collect();
        if let ["meshes", mesh, "primitives", primitive, "attributes", _] = parts[..]
            && let (Ok(mesh), Ok(primitive)) = (mesh.parse(), primitive.parse())
        {
            return self.vertices_of(mesh, primitive, rows);
        }
        let scene = self.scene();
        let places: Vec<(usize, &str)> = pointers.iter().filter_map(|p| material_of(p)).collect();
        let Some(&(first, rest)) = places.first() else { return Ok(Reach::Picture) };
        let marked = self.marked(|d| d.instance.material.is_some_and(|m| places.iter().any(|p| p.0 == m)))?;
        let info = |(material, rest): (usize, &str)| {
            let slot = SLOTS.into_iter().find(|slot| slot.pointer() == rest)?;
            slot.of(&scene.materials()[material])
        };
        let Some(texture) = info((first, rest)) else { return Ok(Reach::Triangles(marked)) };
        let (set, transform, sampler) = layout(scene, texture);
        let same = |place| info(place).is_none_or(|i| layout(scene, i) == (set, transform, sampler));
        if !places.iter().all(|&p| same(p)) {
            return Err(Error::Unsupported {
                kernel: "stochastic gradients".into(),
                device: self.device().to_string(),
                reason: format!("{} is laid on triangles in several ways", pointers[0]),
            }
            .into());
        }
        let size = scene.textures()[texture.texture].image.map_or((1, 1), |i| {
            let image = &scene.images()[i];
            (image.width as usize, image.height as usize)
        });
        let mut reach = TextureReach::new(marked, size, width)?;
        (reach.set, reach.sampler) = (set, sampler);
        if let Some([u, v]) = transform {
            reach.transform = [u[0], u[1], u[2], v[0], v[1], v[2]].map(f64::from);
        }
        Ok(Reach::Texture(reach))
    }

    fn vertices_of(&self, mesh: usize, primitive: usize, rows: Option<&[u32]>) -> Result<Reach> {
        let g = &self.geometry;
        let (mut corners, mut count) = (vec![[Reach::NO_ROW; 3]; g.host_triangles.len()], 0);
        for draw in g.draws.iter().filter(|d| (d.instance.mesh, d.instance.primitive) == (mesh, primitive)) {
            let row = |v: u32| {
                let own = v as usize - draw.vertices.start;
                rows.map_or(own as u32, |rows| rows[own])
            };
            for t in draw.triangles.clone() {
                corners[t] = g.host_triangles[t].map(row);
            }
            count = match rows {
                Some(rows) => rows.iter().max().map_or(0, |&r| r as usize + 1),
                None => draw.vertices.len(),
            };
        }
        let corners = Tensor::from_slice(self.device(), corners.as_flattened(), &[corners.len(), 3])?;
        Ok(Reach::Vertices { corners, rows: count })
    }
}
