//! Reads and writes parameter values.

use super::ParameterKind;
use super::list::{Entry, Owner, Source};
use crate::gltf::json::Json;
use crate::gltf::materials::read_material;
use crate::gltf::nodes::{read_camera, read_light, read_transform};
use crate::gltf::write::{declare_extensions, number, remove_pointer, set_pointer};
use crate::model::{Image, Transform};
use crate::normals;
use crate::scene::Array;
use crate::{Error, Result, Scene};
use serde_json::Value;

impl Scene {
    /// Shape and values of the parameter at `pointer` (with indices, as [`resolve`](Self::resolve) gives them).
    ///
    /// # Errors
    /// There is no such parameter.
    pub fn get(&self, pointer: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let entry = self.need(pointer)?;
        let values = self.read_entry(&entry)?;
        Ok((entry.parameter.shape, values))
    }

    /// Sets the parameter at `pointer`.
    ///
    /// Textures are rounded to the 8 bits that are saved. New positions bring new normals (vertices that shared one go
    /// on sharing it) and tangents, where the primitive has them; set those afterwards to give other ones.
    ///
    /// # Errors
    /// There is no such parameter, the number of values is not that of its shape, or a value is not finite.
    pub fn set(&mut self, pointer: &str, values: &[f32]) -> Result<()> {
        let entry = self.need(pointer)?;
        let place = || format!("{}#{pointer}", self.file());
        let expected: usize = entry.parameter.shape.iter().product();
        if values.len() != expected {
            let message = format!("{} values for shape {:?}", values.len(), entry.parameter.shape);
            return Err(Error::invalid(place(), message, format!("give {expected} values")));
        }
        if let Some(i) = values.iter().position(|x| !x.is_finite()) {
            let n = values.iter().filter(|x| !x.is_finite()).count();
            let message = format!("{n} of {expected} values are not finite, the first is value {i}: {}", values[i]);
            return Err(Error::invalid(place(), message, "lower the learning rate or check the input"));
        }
        // What stays as it is leaves the file as it is.
        if self.read_entry(&entry)? == values {
            return Ok(());
        }
        match entry.source {
            Source::Json { scalar, .. } => {
                let json = if scalar { number(values[0]) } else { values.iter().copied().map(number).collect() };
                self.write_json(&entry.parameter.pointer, json, entry.owner)
            }
            Source::Transform { node } => self.write_transform(node, entry.parameter.kind, values),
            Source::Image => {
                self.write_image(&entry, values);
                Ok(())
            }
            Source::Array { mesh, primitive, array, set } => {
                self.write_array((mesh, primitive), array, set, values);
                Ok(())
            }
        }
    }

    fn need(&self, pointer: &str) -> Result<Entry> {
        self.find(pointer).ok_or_else(|| self.unknown(pointer, &self.entries()))
    }

    fn read_entry(&self, entry: &Entry) -> Result<Vec<f32>> {
        match &entry.source {
            Source::Json { default, scalar } => {
                let Some(at) = self.document.root().at(&entry.parameter.pointer) else { return Ok(default.clone()) };
                let numbers = if *scalar { vec![at] } else { at.items()? };
                let mut values = numbers.iter().map(|x| x.as_number().map(|x| x as f32)).collect::<Result<Vec<_>>>()?;
                values.resize(default.len(), 0.0);
                Ok(values)
            }
            Source::Transform { node } => Ok(read_transform_part(&self.nodes[*node].transform, entry.parameter.kind)),
            Source::Image => {
                let ParameterKind::Texture { image, srgb, .. } = entry.parameter.kind else { return Ok(Vec::new()) };
                Ok(self.images[image].to_f32(srgb))
            }
            Source::Array { mesh, primitive, array, set } => {
                let primitive = &self.meshes[*mesh].primitives[*primitive];
                Ok(match array {
                    Array::Normals => primitive.normals.iter().flatten().flatten().copied().collect(),
                    Array::Tangents => primitive.tangents.iter().flatten().flatten().copied().collect(),
                    Array::Colors => primitive.colors.iter().flatten().flatten().copied().collect(),
                    Array::Texcoords => primitive.texcoords[*set].iter().flatten().copied().collect(),
                    _ => primitive.positions.iter().flatten().copied().collect(),
                })
            }
        }
    }

    /// Writes a value to the JSON and reads the object again, so that there is one reader only.
    fn write_json(&mut self, pointer: &str, value: Value, owner: Owner) -> Result<()> {
        set_pointer(&mut self.document.json, pointer, value);
        declare_extensions(&mut self.document.json, pointer);
        self.read_again(owner)
    }

    pub(crate) fn read_material_again(&mut self, index: usize) -> Result<()> {
        self.read_again(Owner::Material(index))
    }

    fn read_again(&mut self, owner: Owner) -> Result<()> {
        let (pointer, _) = self.pointers_of(owner);
        let Some(at) = Json::root(&self.document.json, &self.document.file).at(&pointer) else { return Ok(()) };
        match owner {
            Owner::Node(i) => {
                self.nodes[i].transform = read_transform(&at)?;
                self.nodes[i].weights = at.numbers("weights")?.map(|w| w.into_iter().map(|x| x as f32).collect());
            }
            Owner::Camera(i) => self.cameras[i] = read_camera(&at)?,
            Owner::Light(i) => self.lights[i] = read_light(&at, &mut Vec::new())?,
            Owner::Material(i) => self.materials[i] = read_material(&at, &self.textures)?,
            Owner::Mesh(i) => {
                let n = self.meshes[i].weights.len();
                let mut weights: Vec<f32> =
                    at.numbers("weights")?.unwrap_or_default().into_iter().map(|x| x as f32).collect();
                weights.resize(n, 0.0);
                self.meshes[i].weights = weights;
            }
        }
        Ok(())
    }

    fn write_transform(&mut self, node: usize, kind: ParameterKind, values: &[f32]) -> Result<()> {
        let pointer = format!("/nodes/{node}");
        let list = |values: &[f32]| -> Value { values.iter().copied().map(number).collect() };
        if kind == ParameterKind::Matrix {
            let columns: Vec<f32> = (0..16).map(|i| values[(i % 4) * 4 + i / 4]).collect();
            return self.write_json(&format!("{pointer}/matrix"), list(&columns), Owner::Node(node));
        }
        let file_order = |[w, x, y, z]: [f32; 4]| list(&[x, y, z, w]);
        // A matrix gives way to the three parts it is made of.
        if let (Transform::Matrix(_), Some((t, r, s))) =
            (self.nodes[node].transform, self.nodes[node].transform.decompose())
        {
            remove_pointer(&mut self.document.json, &format!("{pointer}/matrix"));
            for (key, value) in [("translation", list(&t)), ("rotation", file_order(r)), ("scale", list(&s))] {
                set_pointer(&mut self.document.json, &format!("{pointer}/{key}"), value);
            }
        }
        let (key, value) = match kind {
            ParameterKind::Translation => ("translation", list(values)),
            ParameterKind::Scale => ("scale", list(values)),
            _ => {
                // Optimisers leave the unit sphere; files must stay on it.
                let q = [0, 1, 2, 3].map(|i| f64::from(values[i]));
                let length = q.iter().map(|x| x * x).sum::<f64>().sqrt();
                let unit = if length > 0.0 { q.map(|x| (x / length) as f32) } else { [1.0, 0.0, 0.0, 0.0] };
                ("rotation", file_order(unit))
            }
        };
        self.write_json(&format!("{pointer}/{key}"), value, Owner::Node(node))
    }

    fn write_image(&mut self, entry: &Entry, values: &[f32]) {
        let ParameterKind::Texture { image, srgb, .. } = entry.parameter.kind else { return };
        let old = &self.images[image];
        let new = Image::from_f32(&old.name, old.width, old.height, values, srgb);
        if new != *old {
            self.images[image] = new;
            self.changes.images.insert(image);
        }
    }

    fn write_array(&mut self, place: (usize, usize), array: Array, set: usize, values: &[f32]) {
        let primitive = &mut self.meshes[place.0].primitives[place.1];
        let changed = self.changes.primitives.entry(place).or_default();
        changed.insert(array);
        match array {
            Array::Normals => primitive.normals = Some(rows(values)),
            Array::Tangents => {
                primitive.tangents = Some(rows(values));
                primitive.tangents_generated = false;
            }
            Array::Colors => primitive.colors = Some(rows(values)),
            Array::Texcoords => primitive.texcoords[set] = rows(values),
            _ => {
                let positions = rows(values);
                if let Some(old) = primitive.normals.take() {
                    primitive.normals = Some(normals::moved_normals(primitive, &old, &positions));
                    changed.insert(Array::Normals);
                }
                primitive.positions = positions;
            }
        }
        let geometry = matches!(array, Array::Positions | Array::Normals | Array::Texcoords);
        if geometry && primitive.tangents_generated {
            self.generate_tangents_of(place.0, place.1);
        } else if geometry && primitive.tangents.is_some() {
            // The file's own tangents no longer fit; where there are texture coordinates, new ones take their place.
            let material = primitive.material.map(|m| &self.materials[m]);
            let set = material.and_then(|m| m.normal_texture).map_or(0, |slot| slot.texcoord);
            if let Some(tangents) = normals::generate(primitive, set) {
                primitive.tangents = Some(tangents);
                changed.insert(Array::Tangents);
            }
        }
    }
}

fn read_transform_part(transform: &Transform, kind: ParameterKind) -> Vec<f32> {
    match (transform.decompose(), kind) {
        (Some((t, _, _)), ParameterKind::Translation) => t.to_vec(),
        (Some((_, r, _)), ParameterKind::Rotation) => r.to_vec(),
        (Some((_, _, s)), ParameterKind::Scale) => s.to_vec(),
        _ => transform.matrix().transpose().to_cols_array().map(|x| x as f32).to_vec(),
    }
}

fn rows<const N: usize>(values: &[f32]) -> Vec<[f32; N]> {
    values.chunks_exact(N).map(|c| std::array::from_fn(|i| c[i])).collect()
}
