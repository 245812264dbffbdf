//! Pictures of normals, as colours in the axes of a view: x right, y up, z towards it, each ½ + ½n, over white.

use super::camera;
use crate::Result;
use crate::fit::frames::picture as plain;
use lumigrad_core::Var;
use lumigrad_core::map::{CallParams, Map, vector};
use lumigrad_raster::texture::Sampling;
use lumigrad_raster::{Aov, Bindings, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::picture::Picture;

/// The normals that a view sees at the middle of its pixels.
///
/// # Errors
/// Memory.
pub fn normals(renderer: &Renderer, view: &View) -> Result<Picture> {
    let frame = renderer.frame(&Bindings::new())?;
    let camera = camera(view, &renderer.geometry().host_positions, renderer.device())?;
    let aov = frame.aov(&camera, Sampling::Sampler)?.tensor().to_vec::<f32>()?;
    let colour = |pixel: &[f32]| {
        let n = &pixel[Aov::CAMERA_NORMAL..];
        if pixel[Aov::MASK] > 0.0 { [n[0], -n[1], -n[2]].map(|x| 0.5 + 0.5 * x) } else { [1.0; 3] }
    };
    Ok(plain(view.width, view.height, aov.chunks_exact(Aov::COUNT).flat_map(colour).collect()))
}

/// Normals of the world [V, 3] as such colours of a view [V, 3]: what vertices are coloured by to see them. **Gradients**: to
/// the normals.
///
/// # Errors
/// Memory.
pub fn coded(normals: &Var, view: &View) -> Result<Var> {
    let map = Map::cached("textured/coded_normals", |m| {
        let normal = m.item::<3>("normals");
        let rows: [[_; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| m.param()));
        m.output("colours", &rows.map(|row| 0.5 + 0.5 * vector::dot(row, normal)));
    });
    // x right, y down, z forward in the view's matrix.
    let axes = [(0, 1.0), (1, -1.0), (2, -1.0)];
    let real = axes.iter().flat_map(|(row, sign)| (0..3).map(move |c| sign * view.viewmat[*row][c])).collect();
    Ok(map.apply_with(&[normals], CallParams { real, ..Default::default() })?.remove(0))
}

#[cfg(test)]
mod tests {
    use super::super::{glowing, linear, picture as rendered};
    use super::*;
    use lumigrad_core::Device;
    use lumigrad_raster::Options;
    use lumigrad_scene::MeshData;

    #[test]
    fn coloured_vertices_show_the_normals_of_a_view() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/sphere.glb");
        let mesh = &crate::files::load_scene(std::path::Path::new(path)).unwrap().meshes()[0].primitives[0].clone();
        let (positions, triangles) = (mesh.positions.clone(), mesh.triangles.clone());
        let colors = Some(vec![[1.0; 4]; positions.len()]);
        let scene =
            glowing(MeshData { positions: positions.clone(), triangles, colors, ..MeshData::default() }).unwrap();
        let renderer = Renderer::new(&scene, &Device::cpu(), &Options::default()).unwrap();
        let radius = positions.iter().flatten().fold(0.0f32, |m, x| m.max(x.abs())) as f64;
        let eye = [2.0 * radius, 1.5 * radius, 3.0 * radius];
        let view = View::look_at("eye", eye, [0.0; 3], [0.0, 1.0, 0.0], 0.6, (40, 40)).unwrap();
        let flat = renderer.geometry().host_positions.as_flattened().to_vec();
        let at = lumigrad_core::Tensor::from_slice(&Device::cpu(), &flat, &[flat.len() / 3, 3]).unwrap();
        let own = renderer.geometry().smooth_normals(&at.into()).unwrap();
        let mut bindings = Bindings::new();
        let colours = linear(&coded(&own, &view).unwrap()).unwrap();
        bindings.bind("/meshes/0/primitives/0/attributes/COLOR_0", colours);
        let frame = renderer.frame(&bindings).unwrap();
        let seen = rendered(&frame, &view, &renderer.geometry().host_positions, &Device::cpu()).unwrap();
        let (seen, expected) = (seen.tensor().to_vec::<f32>().unwrap(), normals(&renderer, &view).unwrap().data);
        let mut compared = 0;
        for (a, b) in seen.chunks(4).zip(expected.chunks(3)).filter(|(a, _)| a[3] > 0.999) {
            assert!((0..3).all(|c| (a[c] - b[c]).abs() < 0.06), "{a:?} {b:?}");
            compared += 1;
        }
        assert!(compared > 300, "{compared}");
        // The sphere's normal towards the camera is (0, 0, 1), and that of its right side (1, 0, 0), nearly.
        let pixel = |x: usize, y: usize| &expected[(y * 40 + x) * 3..][..3];
        assert!(pixel(20, 20)[2] > 0.97 && pixel(32, 20)[0] > pixel(8, 20)[0] + 0.3 && pixel(20, 8)[1] > 0.7);
        assert_eq!(pixel(0, 0), [1.0; 3]);
    }
}
