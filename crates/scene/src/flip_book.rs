//! Animations that show one node after the other.

use crate::gltf::container::Buffer;
use crate::gltf::write::append;
use crate::{Error, Result, Scene};
use serde_json::{Value, json};

/// glTF's number of 32-bit floats.
const FLOAT: u32 = 5126;

impl Scene {
    /// Adds an animation that shows one of `nodes` after the other, each for `seconds`: a node's scale is one while it is
    /// shown and zero else. Where nothing plays it, the nodes are as their own scales have them.
    ///
    /// # Errors
    /// A node that is not there, or a time that is not positive.
    pub fn add_flip_book(&mut self, name: &str, nodes: &[usize], seconds: f32) -> Result<()> {
        let (n, count) = (nodes.len(), self.nodes().len());
        let known = nodes.iter().all(|&node| node < count);
        let lasts = seconds > 0.0 && (seconds * n as f32).is_finite();
        if n == 0 || !known || !lasts {
            let message = format!("{n} of {count} nodes for {seconds} seconds each");
            return Err(Error::invalid(name, message, "give nodes of the scene and a time above 0"));
        }
        let mut data = FloatData { buffer: self.document.buffers.len(), bytes: vec![] };
        let (mut samplers, mut channels) = (vec![], vec![]);
        for (k, node) in nodes.iter().enumerate() {
            let (begin, end) = (k as f32 * seconds, (k + 1) as f32 * seconds);
            // Shown from `begin` on, hidden from `end` on; the last one until the end.
            let mut keys = vec![(0.0, (k == 0) as u8)];
            keys.extend((k > 0).then_some((begin, 1)));
            keys.push((end, (k + 1 == n) as u8));
            let times: Vec<f32> = keys.iter().map(|key| key.0).collect();
            let scales: Vec<f32> = keys.iter().flat_map(|key| [key.1 as f32; 3]).collect();
            let input = data.add(&mut self.document.json, &times, "SCALAR");
            let output = data.add(&mut self.document.json, &scales, "VEC3");
            channels.push(json!({"sampler": samplers.len(), "target": {"node": node, "path": "scale"}}));
            samplers.push(json!({"input": input, "output": output, "interpolation": "STEP"}));
        }
        let json = &mut self.document.json;
        append(json, "/buffers", json!({"byteLength": data.bytes.len()}));
        append(json, "/animations", json!({"name": name, "samplers": samplers, "channels": channels}));
        self.document.buffers.push(Buffer::Loaded(data.bytes));
        Ok(())
    }
}

/// Arrays of floats that go into a new buffer.
struct FloatData {
    buffer: usize,
    bytes: Vec<u8>,
}

impl FloatData {
    /// Adds an array, and gives its accessor.
    fn add(&mut self, json: &mut Value, values: &[f32], kind: &str) -> usize {
        let start = self.bytes.len();
        self.bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let view = json!({"buffer": self.buffer, "byteOffset": start, "byteLength": self.bytes.len() - start});
        let view = append(json, "/bufferViews", view);
        let components = if kind == "VEC3" { 3 } else { 1 };
        let mut accessor =
            json!({"bufferView": view, "componentType": FLOAT, "count": values.len() / components, "type": kind});
        if components == 1 {
            // Times ascend, and readers need to know how long they last.
            accessor["min"] = json!([values.first()]);
            accessor["max"] = json!([values.last()]);
        }
        append(json, "/accessors", accessor)
    }
}

#[cfg(test)]
mod tests {
    use crate::{MeshData, Node, Scene, Transform};

    /// A scene of three triangles, of which the first is shown.
    fn scene() -> Scene {
        let mut scene = Scene::new("book");
        for k in 0..3 {
            let positions = [[0.0, 0.0, k as f32], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]].to_vec();
            let data = MeshData { positions, triangles: vec![[0, 1, 2]], ..MeshData::default() };
            let mesh = Some(scene.add_mesh(&format!("page {k}"), &[(data, None)]).unwrap());
            let scale = [(k == 0) as u8 as f32; 3];
            let transform = Transform::Trs { translation: [0.0; 3], rotation: [1.0, 0.0, 0.0, 0.0], scale };
            scene.add_node(&Node { mesh, transform, ..Node::default() }).unwrap();
        }
        scene
    }

    #[test]
    fn one_node_is_shown_at_every_time() {
        let mut scene = scene();
        scene.add_flip_book("turn", &[0, 1, 2], 0.5).unwrap();
        let again = Scene::from_bytes(&scene.to_glb().unwrap(), "book.glb").unwrap();
        assert_eq!(again.warnings, ["/animations: kept but not played; the rest pose is used"]);
        assert_eq!(again.meshes()[2].primitives[0].positions[0], [0.0, 0.0, 2.0]);
        let json = again.json();
        let crate::gltf::container::Buffer::Loaded(bytes) = &again.document.buffers[0] else { panic!("no buffer") };
        let floats = |accessor: &serde_json::Value| -> Vec<f32> {
            let accessor = &json["accessors"][accessor.as_u64().unwrap() as usize];
            let view = &json["bufferViews"][accessor["bufferView"].as_u64().unwrap() as usize];
            let (at, n) =
                (view["byteOffset"].as_u64().unwrap_or(0) as usize, view["byteLength"].as_u64().unwrap() as usize);
            bytes[at..at + n].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let animation = &json["animations"][0];
        // A step's value holds until the next key.
        let scale = |node: usize, time: f32| {
            let sampler = &animation["samplers"][node];
            let (times, scales) = (floats(&sampler["input"]), floats(&sampler["output"]));
            let key = times.iter().rposition(|&t| t <= time).unwrap();
            assert!(times.is_sorted() && scales.len() == 3 * times.len());
            scales[3 * key]
        };
        for (time, shown) in [(0.0, 0), (0.49, 0), (0.5, 1), (0.99, 1), (1.0, 2), (1.4, 2), (9.0, 2)] {
            let scales: Vec<f32> = (0..3).map(|node| scale(node, time)).collect();
            assert!((0..3).all(|k| scales[k] == (k == shown) as u8 as f32), "{time}: {scales:?}");
        }
        assert!(scene.add_flip_book("turn", &[3], 0.5).is_err());
        assert!(scene.add_flip_book("turn", &[0], 0.0).is_err());
    }
}
