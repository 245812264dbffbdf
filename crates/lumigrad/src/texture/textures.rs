//! What is written of textures.

use super::compose;
use super::pages::Looks;
use super::painted::Painted;
use super::seams::{Seams, seams};
use super::texels::{PaintedTexels, Painter};
use super::thing::Thing;
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::run::report::Figure;
use lumigrad_core::Tensor;
use lumigrad_scene::Scene;
use lumigrad_scene::picture::Picture;

/// Texel by texel the view that sees it straightest.
struct Composed {
    /// Colours of texels in [0, 1]; none where no view sees them.
    colours: Vec<Option<[f32; 3]>>,
    seams: Seams,
}

impl Composed {
    /// Of the texels of views, and their pictures.
    fn new(painted: &Painted, pictures: &Tensor, painter: &Painter) -> Result<Self> {
        let (best, pixels) = (compose::best(painted), painter.guide.shown(pictures)?);
        let seams = seams(painted, &best, &pixels, painter.size.width * painter.size.height);
        let colour = |p: &Option<u32>| p.map(|p| [0, 1, 2].map(|c| pixels[3 * p as usize + c]));
        Ok(Self { colours: best.iter().map(colour).collect(), seams })
    }

    /// How views look: black where they show nothing.
    fn shown(&self, painted: &Painted) -> Vec<f32> {
        let colour = |texel: &Option<u32>| texel.and_then(|t| self.colours[t as usize]).unwrap_or_default();
        painted.texels.iter().flat_map(colour).collect()
    }
}

/// Writes the scene or panorama, textures and figures: how views look, and the textures by name.
pub fn write(
    made: &PaintedTexels,
    thing: &mut Thing,
    painter: &Painter,
    output: &mut Output,
) -> Result<(Looks, Vec<(String, Picture)>)> {
    let painted = &made.texels.painted;
    let together = Composed::new(painted, &made.pictures, painter)?;
    let apart = made.apart.as_ref().map(|(painted, pictures)| Composed::new(painted, pictures, painter)).transpose()?;
    figures(&together, apart.as_ref(), output);
    output.summary.metric("covered_texels", made.covered as f64);
    let [columns, rows] = painted.size;
    output.summary.metric("texture_size", columns as f64);
    let colours = Tensor::from_slice(&lumigrad_core::Device::cpu(), &made.colours, &[made.colours.len()])?;
    let textures = painter.guide.shown(&colours)?;
    let name = |m: &Option<usize>| match (m, &*thing) {
        (Some(m), Thing::Mesh(scene, _)) => scene.materials()[*m].name.clone(),
        _ => "panorama".into(),
    };
    let pictures = textures.chunks_exact(3 * columns * rows);
    let named: Vec<_> = (painted.materials.iter().zip(pictures))
        .map(|(m, data)| (name(m), picture(columns, rows, data.to_vec())))
        .collect();
    for (k, (_, texture)) in named.iter().enumerate() {
        output.folder.write(&format!("textures/{k}.png"), &texture.encode_png()?)?;
    }
    output.summary.output("textures", &output.folder.final_path("textures"));
    match thing {
        Thing::Mesh(scene, _) => {
            paint(scene, painted, &textures)?;
            scene.save(output.folder.path("scene.glb"))?;
            output.summary.output("scene", &output.folder.final_path("scene.glb"));
        }
        _ => output.file("panorama", "panorama.png", &named[0].1.encode_png()?)?,
    }
    let apart = apart.map(|apart| apart.shown(painted));
    Ok((Looks { together: together.shown(painted), apart }, named))
}

fn figures(together: &Composed, apart: Option<&Composed>, output: &mut Output) {
    output.summary.metric("seam_gradient", together.seams.across);
    output.summary.metric("gradient_within_views", together.seams.within);
    let Some(apart) = apart else { return };
    output.summary.metric("seam_gradient_independent", apart.seams.across);
    let ratio = apart.seams.across / together.seams.across.max(1e-9);
    output.summary.metric("seam_ratio", ratio);
    let note =
        format!("{} pairs of texels; {:.4} against {:.4}", apart.seams.n, apart.seams.across, together.seams.across);
    output.report.figures.push(Figure::new("Seams, each view alone over together", format!("{ratio:.1}×"), note));
}

/// Puts textures into the scene, with base colours that do not tint them.
fn paint(scene: &mut Scene, painted: &Painted, textures: &[f32]) -> Result<()> {
    let [columns, rows] = painted.size.map(|n| n as u32);
    let each = textures.chunks_exact(3 * painted.texels_each());
    for (m, texture) in painted.materials.iter().zip(each).filter_map(|(m, t)| m.map(|m| (m, t))) {
        let pointer = format!("/materials/{m}/pbrMetallicRoughness");
        scene.create_texture(&format!("{pointer}/baseColorTexture"), columns, rows, &compose::linear(texture))?;
        scene.set(&format!("{pointer}/baseColorFactor"), &[1.0; 4])?;
    }
    Ok(())
}

/// Rows of the page's table.
pub fn rows(made: &PaintedTexels, thing: &Thing) -> Vec<Vec<String>> {
    let painted = &made.texels.painted;
    let mut rows = vec![
        vec!["columns and rows of a texture".into(), format!("{:?}", painted.size)],
        vec!["textures".into(), painted.materials.len().to_string()],
    ];
    if let Thing::Mesh(_, Some(charts)) = thing {
        rows.push(vec!["charts of the atlas that was made".into(), charts.to_string()]);
    }
    rows
}
