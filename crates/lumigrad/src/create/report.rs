//! What a creation leaves: pictures and a page.

use crate::run::Summary;
use crate::run::job::Document;
use crate::run::report::{Curve, Figure, Gallery, Image, Report, Series};
use crate::{Error, Result};
use lumigrad_guidance::{PriorInfo, View as Direction};
use lumigrad_scene::picture::{Picture, Transfer};
use std::path::Path;

/// Side that pictures of the report are enlarged to at least, so that they can be looked at.
const ENLARGED: usize = 144;

/// What a run tells while it goes on.
#[derive(Default)]
pub struct Told {
    /// Side of pictures.
    pub side: usize,
    /// Views that are shown.
    pub directions: Vec<Direction>,
    /// Step and pictures of the views.
    pub moments: Vec<(usize, Vec<Vec<f32>>)>,
    /// The prior's own pictures of the subject from the views.
    pub samples: Vec<Vec<f32>>,
    /// The picture that it must look like, and the render from there.
    pub reference: Option<(Vec<f32>, Vec<f32>)>,
    /// Mean norm of the pulls.
    pub norms: Vec<(f64, f64)>,
    /// Loss of the student.
    pub student: Vec<(f64, f64)>,
}

impl Told {
    /// Whether the next of some moments (parts of the run) has come.
    pub fn due(&self, progress: f64, moments: &[f64]) -> bool {
        moments.get(self.moments.len()).is_some_and(|m| progress >= *m && *m < 1.0)
    }
}

/// A picture [side, side, 3] with pixels as squares.
fn enlarged(picture: &[f32], side: usize) -> Result<Image> {
    let by = ENLARGED.div_ceil(side.max(1)).max(1);
    let wide = side * by;
    let pixel = |at: usize| {
        let (x, y) = (at % wide / by, at / wide / by);
        (0..3).map(move |c| picture.get((y * side + x) * 3 + c).copied().unwrap_or(0.0))
    };
    Image::from_encoded(&(0..wide * wide).flat_map(pixel).collect::<Vec<_>>(), wide, wide)
}

/// Writes pictures of some directions.
pub fn write_views(folder: &Path, directions: &[Direction], pictures: &[Vec<f32>], side: usize) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    for (direction, data) in directions.iter().zip(pictures) {
        let name = super::camera(*direction, side)?.name;
        let data = data.clone();
        let picture =
            Picture { width: side, height: side, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false };
        picture.save_png(&folder.join(format!("{name}.png")))?;
    }
    Ok(())
}

/// The page.
pub fn report(subject: &str, prior: &PriorInfo, told: &Told, summary: &Summary, document: &Document) -> Result<Report> {
    let figure = |key: &str, label: &str, scale: f64, unit: &str, note: &str| {
        summary.get(key).map(|x| Figure::new(label, format!("{:.1}{unit}", x * scale), note))
    };
    let figures = [
        figure("recognised", "Recognised", 100.0, " %", "of 32 renders, by a classifier that the prior does not know"),
        figure("recognised_without", "Before", 100.0, " %", "the same of the noise that it began with"),
        figure("image_psnr", "Like the picture", 1.0, " dB", "from where it was taken"),
        figure("n_splats", "Gaussians", 1.0, "", ""),
        figure("ms_per_iteration", "Time per step", 1.0, " ms", &summary.device),
        figure("ms_in_guidance", "of which guidance", 1.0, " ms", ""),
    ];
    let mut galleries = vec![];
    for (k, direction) in told.directions.iter().enumerate() {
        let mut states = vec![];
        for (step, pictures) in &told.moments {
            if let Some(picture) = pictures.get(k) {
                states.push((format!("step {step}"), enlarged(picture, told.side)?));
            }
        }
        if let Some(picture) = told.samples.get(k) {
            let side = (picture.len() as f64 / 3.0).sqrt().round() as usize;
            states.push(("a sample of the prior".into(), enlarged(picture, side)?));
        }
        galleries.push(Gallery {
            name: format!("{:.0}°", direction.azimuth.to_degrees()),
            note: String::new(),
            states,
        });
    }
    if let Some((wanted, found)) = &told.reference {
        let mut states = vec![];
        for (name, picture) in [("the picture", wanted), ("the creation", found)] {
            let side = (picture.len() as f64 / 3.0).sqrt().round() as usize;
            states.push((name.into(), enlarged(picture, side)?));
        }
        galleries.insert(0, Gallery { name: "the picture".into(), note: String::new(), states });
    }
    let curve = |title: &str, points: &[(f64, f64)]| Curve {
        title: title.into(),
        x_label: "step".into(),
        log: true,
        series: vec![Series { name: title.into(), points: points.to_vec() }],
        ..Default::default()
    };
    let mut curves = vec![curve("Norm of the pull at a view", &told.norms)];
    if !told.student.is_empty() {
        curves.push(curve("Loss of the student", &told.student));
    }
    Ok(Report {
        title: format!("Created: {}", if subject.is_empty() { "anything" } else { subject }),
        subtitle: format!(
            "{} steps, {:.1} s on {}, by {}",
            summary.iterations, summary.seconds, summary.device, prior.name
        ),
        figures: figures.into_iter().flatten().collect(),
        warnings: summary.warnings.clone(),
        curves,
        galleries,
        job: document.to_toml(),
        ..Report::default()
    })
}
