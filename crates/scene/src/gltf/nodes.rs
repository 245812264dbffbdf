//! Reads the scene graph: nodes, cameras, lights, skins and the roots of the scene.

use crate::Result;
use crate::gltf::accessor::Accessors;
use crate::gltf::json::Json;
use crate::model::{Camera, Light, LightKind, Node, Projection, Skin, Transform};
use glam::DMat4;

/// Where the lights are.
pub(crate) const LIGHTS: &str = "KHR_lights_punctual";

/// All nodes, with parents; the graph is known to be a forest.
pub(crate) fn read_nodes(root: &Json<'_>) -> Result<Vec<Node>> {
    let entries = root.objects("nodes")?;
    let mut nodes = entries.iter().map(|at| read_node(root, at)).collect::<Result<Vec<_>>>()?;
    for (i, at) in entries.iter().enumerate() {
        for child in nodes[i].children.clone() {
            if let Some(other) = nodes[child].parent.replace(i) {
                let message = format!("node {child} is a child of node {other} and of node {i}");
                return Err(at.error(message, "a node may have one parent"));
            }
        }
    }
    check_acyclic(&entries, &nodes)?;
    Ok(nodes)
}

pub(crate) fn read_node(root: &Json<'_>, at: &Json<'_>) -> Result<Node> {
    let n_lights = root.extension(LIGHTS).map_or(0, |e| e.len_of("lights"));
    let light = at.extension(LIGHTS).map(|e| e.index("light", n_lights, "lights")).transpose()?.flatten();
    let children = at.get("children").map(|c| c.as_indices(root.len_of("nodes"), "nodes")).transpose()?;
    let index = |key: &str, list: &str| at.index(key, root.len_of(list), list);
    Ok(Node {
        name: at.text("name")?.unwrap_or_default().to_owned(),
        transform: read_transform(at)?,
        children: children.unwrap_or_default(),
        parent: None,
        mesh: index("mesh", "meshes")?,
        skin: index("skin", "skins")?,
        camera: index("camera", "cameras")?,
        light,
        weights: at.numbers("weights")?.map(|w| w.into_iter().map(|x| x as f32).collect()),
    })
}

pub(crate) fn read_transform(at: &Json<'_>) -> Result<Transform> {
    if let Some(matrix) = at.array::<16>("matrix")? {
        return Ok(Transform::Matrix(matrix.map(|x| x as f32)));
    }
    let [x, y, z, w] = at.f32s_or("rotation", [0.0, 0.0, 0.0, 1.0])?;
    let translation = at.f32s_or("translation", [0.0; 3])?;
    Ok(Transform::Trs { translation, rotation: [w, x, y, z], scale: at.f32s_or("scale", [1.0; 3])? })
}

fn check_acyclic(entries: &[Json<'_>], nodes: &[Node]) -> Result<()> {
    // Every node has at most one parent, so walking down from the parentless ones reaches all that is no cycle.
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].parent.is_none()).collect();
    let mut next = 0;
    while next < order.len() {
        order.extend(&nodes[order[next]].children);
        next += 1;
    }
    if order.len() == nodes.len() {
        return Ok(());
    }
    let mut reached = vec![false; nodes.len()];
    order.iter().for_each(|&i| reached[i] = true);
    let cyclic = reached.iter().position(|&r| !r).unwrap_or(0);
    Err(entries[cyclic].error("this node is its own ancestor", "break the cycle of children"))
}

/// The root nodes of the active scene; where the file has no scene, all nodes without a parent.
pub(crate) fn read_roots(root: &Json<'_>, nodes: &[Node]) -> Result<Vec<usize>> {
    let scenes = root.objects("scenes")?;
    let active = root.index("scene", scenes.len(), "scenes")?.unwrap_or(0);
    let Some(scene) = scenes.get(active) else {
        return Ok((0..nodes.len()).filter(|&i| nodes[i].parent.is_none()).collect());
    };
    scene.get("nodes").map_or(Ok(Vec::new()), |list| list.as_indices(nodes.len(), "nodes"))
}

pub(crate) fn read_camera(at: &Json<'_>) -> Result<Camera> {
    let name = at.text("name")?.unwrap_or_default().to_owned();
    let need = |of: &Json<'_>, key: &str| -> Result<f32> {
        let value = of.number(key)?.ok_or_else(|| of.error(format!("\"{key}\" is missing"), ""))?;
        if value > 0.0 {
            Ok(value as f32)
        } else {
            Err(of.error(format!("{key} is {value}, expected a positive number"), ""))
        }
    };
    let kind = at.text("type")?;
    let body = kind
        .and_then(|kind| at.get(kind))
        .ok_or_else(|| at.error("the camera has no projection", "give type and perspective or orthographic"))?;
    let projection = match kind {
        Some("perspective") => Projection::Perspective {
            yfov: need(&body, "yfov")?,
            aspect_ratio: body.number("aspectRatio")?.map(|x| x as f32),
            znear: need(&body, "znear")?,
            zfar: body.number("zfar")?.map(|x| x as f32),
        },
        Some("orthographic") => Projection::Orthographic {
            xmag: body.f32_or("xmag", 1.0)?,
            ymag: body.f32_or("ymag", 1.0)?,
            znear: body.f32_or("znear", 0.0)?,
            zfar: need(&body, "zfar")?,
        },
        _ => return Err(at.error("the camera is neither perspective nor orthographic", "")),
    };
    Ok(Camera { name, projection })
}

/// Reads `/extensions/KHR_lights_punctual/lights/i`; a light of unknown kind is dark, with a warning.
pub(crate) fn read_light(at: &Json<'_>, warnings: &mut Vec<String>) -> Result<Light> {
    let mut intensity = at.f32_or("intensity", 1.0)?;
    let kind = match at.text("type")? {
        Some("directional") => LightKind::Directional,
        Some("point") => LightKind::Point,
        Some("spot") => {
            let angle = |key: &str, default: f32| at.get("spot").map_or(Ok(default), |spot| spot.f32_or(key, default));
            LightKind::Spot {
                inner_cone_angle: angle("innerConeAngle", 0.0)?,
                outer_cone_angle: angle("outerConeAngle", std::f32::consts::FRAC_PI_4)?,
            }
        }
        other => {
            warnings.push(format!("{}: a light of type {other:?} is not rendered", at.pointer()));
            intensity = 0.0;
            LightKind::Point
        }
    };
    Ok(Light {
        name: at.text("name")?.unwrap_or_default().to_owned(),
        color: at.f32s_or("color", [1.0; 3])?,
        intensity,
        range: at.number("range")?.map(|x| x as f32),
        kind,
    })
}

pub(crate) fn read_skin(at: &Json<'_>, n_nodes: usize, accessors: &mut Accessors<'_>) -> Result<Skin> {
    let joints = at.get("joints").map_or(Ok(Vec::new()), |list| list.as_indices(n_nodes, "nodes"))?;
    let inverse_bind_matrices = match at.index("inverseBindMatrices", accessors.len(), "accessors")? {
        None => vec![DMat4::IDENTITY; joints.len()],
        Some(index) => {
            let matrices = accessors.read::<16>(index, 16, 0.0)?;
            if matrices.len() < joints.len() {
                let message = format!("{} inverse bind matrices for {} joints", matrices.len(), joints.len());
                return Err(at.error(message, ""));
            }
            matrices[..joints.len()].iter().map(|m| DMat4::from_cols_array(&m.map(f64::from))).collect()
        }
    };
    Ok(Skin { name: at.text("name")?.unwrap_or_default().to_owned(), joints, inverse_bind_matrices })
}
