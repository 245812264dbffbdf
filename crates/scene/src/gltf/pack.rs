//! Gathers a scene into one JSON document and one binary buffer, changing only what was changed.

use crate::Result;
use crate::gltf::container::{Buffer, Document};
use crate::gltf::images::{encode_png, encoded_bytes};
use crate::gltf::write::{append, remove_pointer, set_pointer};
use crate::model::Primitive;
use crate::scene::{Array, Changes, Scene};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// One document whose data all lie in buffer 0, called `binary` here; buffers that were never loaded follow it.
pub(crate) struct Packed {
    pub json: Value,
    pub binary: Vec<u8>,
}

/// Packs `scene`.
pub(crate) fn pack(scene: &Scene) -> Result<Packed> {
    let (json, binary) = merge_buffers(&scene.document);
    let mut views = HashMap::new();
    count_views(&json, &mut views);
    let accessors = count_accessors(&json);
    let mut packer = Packer { json, binary, views, accessors, replaced: false };
    packer.embed_files(&scene.document);
    let Changes { images, primitives } = &scene.changes;
    let images: Vec<usize> = images.iter().copied().collect();
    let encoded: Vec<Vec<u8>> = images.par_iter().map(|&i| encode_png(&scene.images[i])).collect::<Result<_>>()?;
    images.into_iter().zip(&encoded).for_each(|(image, png)| packer.replace_image(image, png));
    for (&(mesh, index), arrays) in primitives {
        packer.replace_arrays(
            &format!("/meshes/{mesh}/primitives/{index}"),
            &scene.meshes[mesh].primitives[index],
            arrays,
        );
    }
    if packer.replaced {
        packer.drop_unused_bytes();
    }
    let Packer { mut json, binary, .. } = packer;
    if !binary.is_empty() {
        if json.pointer("/buffers/0").is_none() {
            append(&mut json, "/buffers", json!({}));
        }
        set_pointer(&mut json, "/buffers/0/byteLength", json!(binary.len()));
    }
    Ok(Packed { json, binary })
}

/// Puts all loaded buffers one after the other into buffer 0.
fn merge_buffers(document: &Document) -> (Value, Vec<u8>) {
    let mut json = document.json.clone();
    let entries: Vec<Value> = json.get("buffers").and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut binary, mut merged, mut missing): (Vec<u8>, Option<Value>, Vec<Value>) = (Vec::new(), None, Vec::new());
    // New index and offset of each old buffer.
    let mut moved = Vec::new();
    for (buffer, entry) in document.buffers.iter().zip(entries) {
        match buffer {
            Buffer::Loaded(bytes) => {
                binary.resize(binary.len().next_multiple_of(4), 0);
                moved.push((true, 0, binary.len()));
                binary.extend(bytes);
                merged.get_or_insert(entry);
            }
            Buffer::Missing(_) => {
                moved.push((false, missing.len(), 0));
                missing.push(entry);
            }
        }
    }
    // Data that is added later needs buffer 0 even where the file's own buffers are all missing.
    let first = usize::from(merged.is_some() || !missing.is_empty());
    let place =
        |old: usize| moved.get(old).map(|&(loaded, index, offset)| (if loaded { 0 } else { first + index }, offset));
    for view in json.get_mut("bufferViews").and_then(Value::as_array_mut).into_iter().flatten() {
        for_each_slice(view, |slice| {
            let old = slice.get("buffer").and_then(Value::as_u64).and_then(|old| place(old as usize));
            let Some((buffer, offset)) = old else { return };
            slice.insert("buffer".into(), json!(buffer));
            if offset > 0 {
                let old = slice.get("byteOffset").and_then(Value::as_u64).unwrap_or(0);
                slice.insert("byteOffset".into(), json!(old + offset as u64));
            }
        });
    }
    if first == 1 {
        let mut head = merged.unwrap_or_else(|| json!({"byteLength": 0}));
        if let Value::Object(head) = &mut head {
            head.shift_remove("uri");
        }
        json["buffers"] = std::iter::once(head).chain(missing).collect();
    }
    (json, binary)
}

/// The parts of a buffer view that name a buffer: itself, and extensions that store another form of it.
fn for_each_slice(view: &mut Value, mut visit: impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(view) = view else { return };
    visit(view);
    let extensions = view.get_mut("extensions").and_then(Value::as_object_mut);
    for extension in extensions.into_iter().flat_map(|e| e.values_mut()).filter_map(Value::as_object_mut) {
        if extension.contains_key("buffer") {
            visit(extension);
        }
    }
}

/// How often each buffer view is named, by whatever names it.
fn count_views(value: &Value, counts: &mut HashMap<usize, usize>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| count_views(item, counts)),
        Value::Object(members) => {
            if let Some(view) = members.get("bufferView").and_then(Value::as_u64) {
                *counts.entry(view as usize).or_default() += 1;
            }
            members.values().for_each(|member| count_views(member, counts));
        }
        _ => {}
    }
}

/// How often each accessor is named by meshes, skins and animations.
fn count_accessors(json: &Value) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    let mut count = |value: Option<&Value>| {
        if let Some(index) = value.and_then(Value::as_u64) {
            *counts.entry(index as usize).or_insert(0) += 1;
        }
    };
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for primitive in list(json, "meshes").iter().flat_map(|mesh| list(mesh, "primitives")) {
        count(primitive.get("indices"));
        let attributes = primitive.get("attributes").cloned();
        for attributes in attributes.iter().chain(&list(&primitive, "targets")) {
            attributes.as_object().into_iter().flat_map(Map::values).for_each(|v| count(Some(v)));
        }
    }
    list(json, "skins").iter().for_each(|skin| count(skin.get("inverseBindMatrices")));
    for sampler in list(json, "animations").iter().flat_map(|animation| list(animation, "samplers")) {
        count(sampler.get("input"));
        count(sampler.get("output"));
    }
    counts
}

struct Packer {
    json: Value,
    binary: Vec<u8>,
    views: HashMap<usize, usize>,
    accessors: HashMap<usize, usize>,
    /// Whether some bytes may have lost their last user.
    replaced: bool,
}

impl Packer {
    fn index_at(&self, pointer: &str) -> Option<usize> {
        self.json.pointer(pointer).and_then(Value::as_u64).map(|i| i as usize)
    }

    /// Stores bytes and returns their buffer view: `old`, where nothing else uses it, else a new one.
    fn place(&mut self, old: Option<usize>, bytes: &[u8], target: Option<u32>) -> usize {
        self.binary.resize(self.binary.len().next_multiple_of(4), 0);
        let mut view = json!({"buffer": 0, "byteOffset": self.binary.len(), "byteLength": bytes.len()});
        if let Some(target) = target {
            view["target"] = json!(target);
        }
        self.binary.extend(bytes);
        let old = old.filter(|view| self.views.get(view) == Some(&1));
        if let Some(index) = old {
            set_pointer(&mut self.json, &format!("/bufferViews/{index}"), view);
            self.replaced = true;
            index
        } else {
            let index = append(&mut self.json, "/bufferViews", view);
            self.views.insert(index, 1);
            index
        }
    }

    /// Stores the pictures that URIs name in the binary buffer; what cannot be read or is no picture stays a URI.
    fn embed_files(&mut self, document: &Document) {
        for (i, at) in document.root().objects("images").unwrap_or_default().iter().enumerate() {
            if at.get("bufferView").is_some() {
                continue;
            }
            if let Ok(bytes) = encoded_bytes(document, at)
                && let Some(mime_type) = mime_type(&bytes)
            {
                let view = self.place(None, &bytes, None);
                self.point_image(i, view, mime_type);
            }
        }
    }

    fn point_image(&mut self, image: usize, view: usize, mime_type: &str) {
        let pointer = format!("/images/{image}");
        remove_pointer(&mut self.json, &format!("{pointer}/uri"));
        set_pointer(&mut self.json, &format!("{pointer}/bufferView"), json!(view));
        set_pointer(&mut self.json, &format!("{pointer}/mimeType"), json!(mime_type));
    }

    fn replace_image(&mut self, image: usize, png: &[u8]) {
        let old = self.index_at(&format!("/images/{image}/bufferView"));
        let view = self.place(old, png, None);
        self.point_image(image, view, "image/png");
        // A PNG is a core glTF image; the WebP extension may not point to it.
        for texture in self.json.get_mut("textures").and_then(Value::as_array_mut).into_iter().flatten() {
            let webp = texture.pointer("/extensions/EXT_texture_webp/source").and_then(Value::as_u64);
            if webp == Some(image as u64) {
                texture["source"] = json!(image);
                remove_pointer(texture, "/extensions/EXT_texture_webp");
                if texture.get("extensions").and_then(Value::as_object).is_some_and(Map::is_empty) {
                    remove_pointer(texture, "/extensions");
                }
            }
        }
    }

    fn replace_arrays(&mut self, pointer: &str, primitive: &Primitive, arrays: &BTreeSet<Array>) {
        if arrays.contains(&Array::Skinning) {
            self.drop_attributes(pointer, &["JOINTS_", "WEIGHTS_"]);
            remove_pointer(&mut self.json, &format!("{pointer}/targets"));
        }
        for array in arrays {
            match array {
                Array::Positions => self.replace_attribute(pointer, "POSITION", Some(&primitive.positions), true),
                Array::Normals => self.replace_attribute(pointer, "NORMAL", primitive.normals.as_deref(), false),
                Array::Colors => self.replace_attribute(pointer, "COLOR_0", primitive.colors.as_deref(), false),
                Array::Tangents => {
                    let own = primitive.tangents.as_deref().filter(|_| !primitive.tangents_generated);
                    self.replace_attribute(pointer, "TANGENT", own, false);
                }
                Array::Texcoords => {
                    for (set, uv) in primitive.texcoords.iter().enumerate() {
                        let uv = Some(uv.as_slice()).filter(|uv| !uv.is_empty());
                        self.replace_attribute(pointer, &format!("TEXCOORD_{set}"), uv, false);
                    }
                }
                Array::Triangles => self.replace_triangles(pointer, &primitive.triangles),
                Array::Skinning => {}
            }
        }
    }

    fn drop_attributes(&mut self, pointer: &str, prefixes: &[&str]) {
        if let Some(Value::Object(attributes)) = self.json.pointer_mut(&format!("{pointer}/attributes")) {
            attributes.retain(|name, _| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
        }
    }

    /// Writes one per-vertex array as floats, or removes it.
    fn replace_attribute<const N: usize>(
        &mut self,
        pointer: &str,
        name: &str,
        values: Option<&[[f32; N]]>,
        with_range: bool,
    ) {
        let slot = format!("{pointer}/attributes/{name}");
        let Some(values) = values else {
            remove_pointer(&mut self.json, &slot);
            return;
        };
        let bytes: &[u8] = bytemuck::cast_slice(values.as_flattened());
        let mut accessor = json!({"componentType": 5126, "count": values.len(), "type": format!("VEC{N}")});
        if with_range && !values.is_empty() {
            let fold = |start: f32, f: fn(f32, f32) -> f32| -> Value {
                let range = values.iter().fold([start; N], |m, v| std::array::from_fn(|c| f(m[c], v[c])));
                range.map(|x| json!(f64::from(x))).into_iter().collect()
            };
            accessor["min"] = fold(f32::INFINITY, f32::min);
            accessor["max"] = fold(f32::NEG_INFINITY, f32::max);
        }
        self.replace_accessor(&slot, accessor, bytes, ARRAY_BUFFER);
    }

    fn replace_triangles(&mut self, pointer: &str, triangles: &[[u32; 3]]) {
        remove_pointer(&mut self.json, &format!("{pointer}/mode"));
        let indices = triangles.as_flattened();
        let largest = indices.iter().copied().max().unwrap_or(0);
        let (kind, bytes): (u32, Vec<u8>) = if largest < 65535 {
            (5123, indices.iter().flat_map(|&i| (i as u16).to_le_bytes()).collect())
        } else {
            (5125, indices.iter().flat_map(|&i| i.to_le_bytes()).collect())
        };
        let accessor = json!({"componentType": kind, "count": indices.len(), "type": "SCALAR"});
        self.replace_accessor(&format!("{pointer}/indices"), accessor, &bytes, ELEMENT_ARRAY_BUFFER);
    }

    /// Points `slot` at new data, in place of the old accessor where nothing else uses that.
    fn replace_accessor(&mut self, slot: &str, mut accessor: Value, bytes: &[u8], target: u32) {
        let old = self.index_at(slot).filter(|old| self.accessors.get(old) == Some(&1));
        let old_view = old.and_then(|old| self.index_at(&format!("/accessors/{old}/bufferView")));
        accessor["bufferView"] = json!(self.place(old_view, bytes, Some(target)));
        if let Some(old) = old {
            let entry = format!("/accessors/{old}");
            for key in ["name", "extras"] {
                if let Some(kept) = self.json.pointer(&format!("{entry}/{key}")).cloned() {
                    accessor[key] = kept;
                }
            }
            set_pointer(&mut self.json, &entry, accessor);
        } else {
            let index = append(&mut self.json, "/accessors", accessor);
            self.accessors.insert(index, 1);
            set_pointer(&mut self.json, slot, json!(index));
        }
    }

    /// Leaves out the bytes of buffer 0 that no buffer view covers, such as the picture that another one replaced.
    fn drop_unused_bytes(&mut self) {
        let Some(Value::Array(mut views)) = self.json.get("bufferViews").cloned() else { return };
        let mut ranges = Vec::new();
        let number =
            |slice: &Map<String, Value>, key: &str| slice.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
        for view in &mut views {
            for_each_slice(view, |slice| {
                if number(slice, "buffer") == 0 {
                    let start = number(slice, "byteOffset");
                    ranges.push((start, start.saturating_add(number(slice, "byteLength"))));
                }
            });
        }
        ranges.sort_unstable();
        if ranges.iter().any(|&(_, end)| end > self.binary.len()) {
            return;
        }
        let mut kept: Vec<(usize, usize, usize)> = Vec::new();
        let mut binary: Vec<u8> = Vec::new();
        for (start, end) in ranges {
            let covered = kept.last().map_or(0, |&(_, end, _)| end);
            match kept.last_mut() {
                Some((_, last, _)) if start <= covered => {
                    binary.extend(&self.binary[covered..end.max(covered)]);
                    *last = end.max(covered);
                }
                _ => {
                    // Alignment stays as it was.
                    while binary.len() % 4 != start % 4 {
                        binary.push(0);
                    }
                    kept.push((start, end, binary.len()));
                    binary.extend(&self.binary[start..end]);
                }
            }
        }
        for view in &mut views {
            for_each_slice(view, |slice| {
                let old = number(slice, "byteOffset");
                let range = kept.partition_point(|&(start, _, _)| start <= old).checked_sub(1).map(|i| kept[i]);
                if let (0, Some((start, _, new))) = (number(slice, "buffer"), range) {
                    slice.insert("byteOffset".into(), json!(new + old - start));
                }
            });
        }
        self.json["bufferViews"] = Value::Array(views);
        self.binary = binary;
    }
}

fn mime_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', ..] => Some("image/webp"),
        _ => None,
    }
}
