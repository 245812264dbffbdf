//! Pictures of the report: the mesh from several sides, and what the field says on planes.

use super::input::{Domain, within};
use crate::Result;
use crate::fields::extract::Values;
use crate::run::job::Size;
use crate::run::report::{Gallery, Image};
use crate::run::{RenderSettings, cameras, render};
use glam::{DVec2, Quat, Vec3};
use lumigrad_core::Device;
use lumigrad_geometry::Slice;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::mesh::TriangleMesh;
use lumigrad_scene::picture::Picture;
use lumigrad_scene::{Light, LightKind, Material, MeshData, Node, Scene, Transform};
use std::path::Path;

/// Sides of the pictures.
const VIEW: usize = 480;
const PLANE: usize = 160;
/// Planes on the page.
const MOST: usize = 12;
/// Distance, in the field's coordinates, of one dark line to the next.
const LINES: f32 = 0.05;

/// The mesh from three sides; the pictures are written into `folder` too.
pub fn views(mesh: &TriangleMesh, folder: &Path) -> Result<Gallery> {
    let data = MeshData {
        positions: mesh.positions.clone(),
        triangles: mesh.triangles.clone(),
        normals: mesh.normals.clone(),
        ..MeshData::default()
    };
    let material = Material {
        base_color_factor: [0.6, 0.6, 0.6, 1.0],
        metallic_factor: 0.0,
        roughness_factor: 0.7,
        ..Material::default()
    };
    let mut scene = Scene::from_mesh("mesh", &data, &material, None)?;
    for (towards, color) in
        [([-1.0, -1.0, -0.6], [1.0, 0.95, 0.9]), ([1.0, -0.5, 0.3], [0.5, 0.6, 0.8]), ([0.0, -0.2, 1.0], [0.7; 3])]
    {
        let kind = LightKind::Directional;
        let light = scene.add_light(&Light { name: String::new(), color, intensity: 3.0, range: None, kind })?;
        let turn = Quat::from_rotation_arc(Vec3::NEG_Z, Vec3::from_array(towards).normalize());
        let rotation = [turn.w, turn.x, turn.y, turn.z];
        let transform = Transform::Trs { translation: [0.0; 3], rotation, scale: [1.0; 3] };
        scene.add_node(&Node { light: Some(light), transform, ..Node::default() })?;
    }
    let views = cameras(&scene, Some("orbit:3"), Size { width: VIEW, height: VIEW })?;
    let settings = RenderSettings { environment: Some(Environment::constant([0.15; 3])), ..RenderSettings::default() };
    let files = render(&scene, &views, &settings, &Device::cpu(), folder)?;
    let states = files.iter().zip(&views).map(|(file, view)| {
        let picture = Picture::load(file)?.into_srgb().into_straight().over([1.0; 3]);
        Ok((view.name.clone(), Image::new(&picture, VIEW)?))
    });
    Ok(Gallery { name: "mesh".into(), note: String::new(), states: states.collect::<Result<_>>()? })
}

/// A plane as the field has it, against its contours.
struct Compared {
    values: Vec<f32>,
    wrong: Vec<bool>,
    inside: Vec<bool>,
}

/// What the field says on all planes: pages of some, and the part of all that is on the wrong side, in per cent of what
/// is inside.
pub fn planes(domain: &Domain, values: Values) -> Result<(Vec<Gallery>, f64)> {
    let n = domain.slices.len();
    let every = n.div_ceil(MOST).max(1);
    let (mut pages, mut wrong, mut inside) = (vec![], 0.0, 0.0);
    for (k, slice) in domain.slices.iter().enumerate() {
        let bounds = rectangle(domain, slice);
        let found = compare(slice, bounds, values)?;
        let count = |of: &[bool]| of.iter().filter(|&&x| x).count() as f64;
        let area = (bounds[1] - bounds[0]).element_product();
        wrong += count(&found.wrong) * area;
        inside += count(&found.inside) * area;
        if k % every == 0 {
            let note = format!(
                "{:.2} % of its picture are on the wrong side",
                100.0 * count(&found.wrong) / (PLANE * PLANE) as f64
            );
            pages.push(Gallery { name: format!("plane {}", k + 1), note, states: found.pictures()? });
        }
    }
    Ok((pages, 100.0 * wrong / f64::max(inside, f64::MIN_POSITIVE)))
}

/// The part of a plane to show: around its contours, or where the solid might have been.
fn rectangle(domain: &Domain, slice: &Slice) -> [DVec2; 2] {
    let [lo, hi] = slice.region.bounds();
    let (centre, half) = match slice.region.is_empty() {
        true => (slice.plane.flat(glam::DVec3::ZERO), domain.half.max_element()),
        false => ((lo + hi) / 2.0, (hi - lo).max_element() / 2.0),
    };
    let half = half + domain.margin;
    [centre - half, centre + half]
}

fn compare(slice: &Slice, bounds: [DVec2; 2], values: Values) -> Result<Compared> {
    let at = |k: usize| (k as f64 + 0.5) / PLANE as f64;
    // Row 0 is on top.
    let places: Vec<DVec2> =
        (0..PLANE * PLANE).map(|k| within(bounds, DVec2::new(at(k % PLANE), 1.0 - at(k / PLANE)))).collect();
    let points: Vec<f32> = places.iter().flat_map(|&p| slice.plane.point(p).as_vec3().to_array()).collect();
    let values = values(&points)?;
    let inside: Vec<bool> = places.iter().map(|&p| slice.region.contains(p)).collect();
    let wrong = values.iter().zip(&inside).map(|(&v, &i)| (v < 0.0) != i).collect();
    Ok(Compared { values, wrong, inside })
}

impl Compared {
    fn pictures(&self) -> Result<Vec<(String, Image)>> {
        let label = |k: usize| if self.inside[k] { [0.15, 0.35, 0.6] } else { [0.93; 3] };
        let picture = |colour: &dyn Fn(usize) -> [f32; 3]| {
            let data: Vec<f32> = (0..PLANE * PLANE).flat_map(colour).collect();
            Image::from_encoded(&data, PLANE, PLANE)
        };
        let level = |k: usize| {
            let v = self.values[k];
            // Sides by hue, distance by lightness, in steps.
            let step = ((v.abs() / LINES).floor() * 0.09).min(0.5);
            if v < 0.0 {
                [0.55 - step, 0.7 - step, 0.9 - 0.6 * step]
            } else {
                [0.95 - 0.6 * step, 0.8 - step, 0.55 - step]
            }
        };
        let errors = |k: usize| if self.wrong[k] { [0.85, 0.1, 0.1] } else { label(k).map(|c| 0.4 * c + 0.6) };
        Ok(vec![
            ("contours".into(), picture(&label)?),
            ("field".into(), picture(&level)?),
            ("wrong side".into(), picture(&errors)?),
        ])
    }
}
