//! Changes that need more than a value: new textures, new geometry.

use crate::build::MeshData;
use crate::gltf::json::Json;
use crate::gltf::write::{append, declare_extensions, set_pointer};
use crate::model::{Filter, Image, Mode, Primitive, Sampler, Texture, Wrap};
use crate::scene::Array;
use crate::{Error, Result, Scene};
use serde_json::json;

impl Scene {
    /// Gives a material slot a picture of its own, [height, width, 4] RGBA in the parameter's light (RGB linear where
    /// the slot stores sRGB), and returns the image's index.
    ///
    /// Where the slot has a texture, its sampler, texture coordinates and transform stay; other users of the old
    /// picture keep that. The slot's factor stays too: set it to one where the picture holds the whole value.
    ///
    /// # Errors
    /// `pointer` is no texture slot of a material, a primitive with the material has no texture coordinates, or the
    /// number of values is not height · width · 4.
    pub fn create_texture(&mut self, pointer: &str, width: u32, height: u32, rgba: &[f32]) -> Result<usize> {
        let place = format!("{}#{pointer}", self.file());
        let slot = self.texture_slot(pointer).ok_or_else(|| {
            let help = "for example /materials/0/pbrMetallicRoughness/baseColorTexture";
            Error::invalid(&place, "this is no texture slot of a material", help)
        })?;
        let expected = width as usize * height as usize * 4;
        if expected == 0 || rgba.len() != expected || !rgba.iter().all(|x| x.is_finite()) {
            let message = format!("{} values for {width} x {height} pixels", rgba.len());
            return Err(Error::invalid(place, message, format!("give {expected} finite values")));
        }
        let (material, path, srgb) = slot;
        let set = self.materials[material].slot(path).map_or(0, |info| info.texcoord);
        if let Some((m, p)) = self.user_without_texcoord(material, set) {
            let message = format!("mesh {m}, primitive {p} uses this material but has no TEXCOORD_{set}");
            return Err(Error::invalid(place, message, "unwrap the mesh first"));
        }
        let old = self.materials[material].slot(path).map(|info| info.texture);
        let name = format!("{}{}", self.materials[material].name, path.rsplit('/').next().unwrap_or_default());
        let image = self.images.len();
        self.images.push(Image::from_f32(&name, width, height, rgba, srgb));
        self.changes.images.insert(image);
        append(&mut self.document.json, "/images", json!({"name": name}));
        let mut entry = json!({"source": image});
        if let Some(sampler) = old.and_then(|t| self.document.json.pointer(&format!("/textures/{t}/sampler"))) {
            entry["sampler"] = sampler.clone();
        }
        let sampler = old.map_or(Sampler::default(), |t| self.textures[t].sampler);
        let texture = append(&mut self.document.json, "/textures", entry);
        self.textures.push(Texture { name: String::new(), image: Some(image), sampler });
        set_pointer(&mut self.document.json, &format!("{pointer}/index"), json!(texture));
        declare_extensions(&mut self.document.json, pointer);
        self.read_material_again(material)?;
        self.generate_tangents();
        Ok(image)
    }

    /// Samples a texture in another way.
    ///
    /// # Errors
    /// There is no such texture.
    pub fn set_sampler(&mut self, texture: usize, sampler: Sampler) -> Result<()> {
        let n = self.textures.len();
        let Some(own) = self.textures.get_mut(texture) else {
            let message = format!("there is no texture {texture}");
            return Err(Error::invalid(self.file(), message, format!("there are {n}")));
        };
        own.sampler = sampler;
        let wrap = |w: Wrap| match w {
            Wrap::Repeat => 10497,
            Wrap::MirroredRepeat => 33648,
            Wrap::ClampToEdge => 33071,
        };
        let within = (sampler.min == Filter::Linear) as u32;
        let min = match sampler.mip {
            None => 9728 + within,
            Some(mip) => 9984 + within + 2 * (mip == Filter::Linear) as u32,
        };
        let entry = json!({
            "wrapS": wrap(sampler.wrap_s),
            "wrapT": wrap(sampler.wrap_t),
            "magFilter": 9728 + (sampler.mag == Filter::Linear) as u32,
            "minFilter": min,
        });
        let index = append(&mut self.document.json, "/samplers", entry);
        set_pointer(&mut self.document.json, &format!("/textures/{texture}/sampler"), json!(index));
        Ok(())
    }

    /// Mesh and primitive that have the material but not the set of texture coordinates.
    fn user_without_texcoord(&self, material: usize, set: usize) -> Option<(usize, usize)> {
        self.meshes.iter().enumerate().find_map(|(m, mesh)| {
            let lacks =
                |p: &Primitive| p.material == Some(material) && p.mode == Mode::Triangles && p.texcoord(set).is_none();
            mesh.primitives.iter().position(lacks).map(|p| (m, p))
        })
    }

    /// Material, path below it and encoding of a texture slot's pointer.
    fn texture_slot(&self, pointer: &str) -> Option<(usize, &'static str, bool)> {
        let (index, path) = pointer.strip_prefix("/materials/")?.split_once('/')?;
        let index = index.parse().ok().filter(|&i: &usize| i < self.materials.len())?;
        let slot = crate::parameter::SLOTS.iter().find(|slot| slot.path == path)?;
        Some((index, slot.path, slot.srgb))
    }

    /// Replaces all vertices and triangles of a primitive, as remeshing does; its material stays.
    ///
    /// Joints, weights and morph targets cannot follow and are dropped.
    ///
    /// # Errors
    /// There is no such primitive, arrays differ in length, an index is out of range, or a number is not finite.
    pub fn replace_geometry(&mut self, mesh: usize, primitive: usize, data: &MeshData) -> Result<()> {
        let place = format!("{}#/meshes/{mesh}/primitives/{primitive}", self.file());
        data.check(&place)?;
        let old = self.meshes.get(mesh).and_then(|m| m.primitives.get(primitive));
        let old = old.ok_or_else(|| Error::invalid(&place, "there is no such primitive", ""))?;
        let new = Primitive {
            mode: Mode::Triangles,
            triangles: data.triangles.clone(),
            positions: data.positions.clone(),
            normals: data.normals.clone(),
            tangents: None,
            tangents_generated: false,
            texcoords: data.texcoords.clone().into_iter().collect(),
            colors: data.colors.clone(),
            influences: None,
            targets: Vec::new(),
            material: old.material,
        };
        let sets = old.texcoords.len();
        self.meshes[mesh].primitives[primitive] = new;
        let changed = self.changes.primitives.entry((mesh, primitive)).or_default();
        use Array::{Colors, Normals, Positions, Skinning, Tangents, Texcoords, Triangles};
        changed.extend([Positions, Normals, Tangents, Colors, Texcoords, Triangles, Skinning]);
        for set in 0..sets {
            let slot = format!("/meshes/{mesh}/primitives/{primitive}/attributes/TEXCOORD_{set}");
            crate::gltf::write::remove_pointer(&mut self.document.json, &slot);
        }
        let longest = self.meshes[mesh].primitives.iter().map(|p| p.targets.len()).max().unwrap_or(0);
        self.meshes[mesh].weights.truncate(longest);
        self.generate_tangents_of(mesh, primitive);
        Ok(())
    }

    /// Adds `value` to the file's array `list` and returns what `read` makes of it.
    pub(crate) fn add<T>(
        &mut self,
        list: &str,
        value: serde_json::Value,
        read: impl Fn(&Json<'_>) -> Result<T>,
    ) -> Result<(usize, T)> {
        let index = append(&mut self.document.json, list, value);
        let root = self.document.root();
        let at = root.at(&format!("{list}/{index}")).ok_or_else(|| root.expected("a list to add to"))?;
        Ok((index, read(&at)?))
    }
}
