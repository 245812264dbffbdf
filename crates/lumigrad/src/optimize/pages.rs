//! The report of a run.

use super::diagnosis::Diagnosis;
use super::drive::{Outcome, psnr};
use super::problem::{Problem, Target};
use super::range_test::RangeTest;
use super::run::Optimizer;
use super::settings::Settings;
use crate::run::job::Document;
use crate::run::report::{Curve, Figure, Gallery, Image, Report, Series, Slider, Table};
use crate::run::{Record, Summary};
use crate::{Error, Result};
use lumigrad_core::{Tensor, profile};
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_scene::{ParameterKind, Scene};

/// Views shown in a report.
const REPORT_VIEWS: usize = 6;

/// The same over black, opaque.
fn opaque(encoded: &Tensor) -> Result<Image> {
    let &[height, width, _] = encoded.shape() else { return Err(Error::job("a picture has three dimensions")) };
    let data = encoded.to_vec::<f32>()?;
    let rgb: Vec<f32> = data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(|x| x.clamp(0.0, 1.0))).collect();
    Image::from_encoded(&rgb, width, height)
}

/// What a report shows.
pub struct Pages<'a> {
    pub problem: &'a Problem,
    pub initial: &'a [Tensor],
    pub result: &'a [Tensor],
    pub initial_scene: &'a Scene,
    pub diagnosis: &'a Diagnosis,
    pub range_test: Option<&'a RangeTest>,
}

impl Pages<'_> {
    pub fn report(
        &self,
        settings: &Settings,
        summary: &Summary,
        outcome: &Outcome,
        optimizer: &Optimizer,
        document: &Document,
    ) -> Result<Report> {
        let name = settings.scene.file_name().and_then(|n| n.to_str()).unwrap_or("scene");
        let figure = |key: &str, label: &str, unit: &str, note: String| {
            summary.get(key).map(|x| Figure::new(label, format!("{x:.3}{unit}"), note))
        };
        let initial = summary.get("initial_test_psnr").unwrap_or(0.0);
        let figures = [
            figure("test_psnr", "PSNR of scored views", " dB", format!("{initial:.1} dB at the start")),
            figure("test_ssim", "SSIM", "", String::new()),
            figure("chamfer_percent", "Chamfer distance", " %", "of the diagonal".into()),
            figure("normal_angle_deg", "Normal angle", "°", String::new()),
            figure("camera_rotation_deg", "Camera rotation error", "°", String::new()),
            figure("camera_translation_percent", "Camera position error", " %", "of the distance".into()),
            figure("ms_per_iteration", "Time per step", " ms", summary.device.clone()),
        ];
        let series = |name: &str, points: Vec<(f64, f64)>| Series { name: name.into(), points };
        let steps = |f: &dyn Fn(&Record) -> Option<f64>| {
            outcome.history.iter().filter_map(|r| f(r).map(|y| (r.iteration as f64, y))).collect::<Vec<_>>()
        };
        let mut psnr_points = vec![(0.0, initial)];
        psnr_points.extend(steps(&|r| r.test_psnr));
        let curve = |title: &str, unit: &str, log: bool, s: Series| Curve {
            title: title.into(),
            unit: unit.into(),
            x_label: "step".into(),
            log,
            series: vec![s],
        };
        let mut curves = vec![
            curve("Loss", "", true, series("training loss", steps(&|r| Some(r.loss)))),
            curve("PSNR of scored views", "dB", false, series("PSNR", psnr_points)),
        ];
        let norms = |k: usize| optimizer.norms().iter().filter_map(|(i, n)| Some((*i as f64, *n.get(k)?))).collect();
        if !optimizer.norms().is_empty() {
            let names = optimizer.names().into_iter().enumerate();
            let series = names.map(|(k, name)| Series { name, points: norms(k) }).collect();
            curves.push(Curve { series, ..curve("Norm of the gradient", "", true, Series::default()) });
        }
        if let Some(tuning) = &optimizer.tuning {
            let points = tuning.history.iter().map(|(i, w)| (*i as f64, *w)).collect();
            curves.push(curve("Weight of textures' smoothness", "", true, series("weight", points)));
        }
        if let Some(test) = self.range_test {
            let points = test.points.iter().map(|(factor, loss)| (factor.log10(), *loss)).collect();
            let title = format!("Learning-rate range test: rates times {:.2} are used", test.factor);
            let x_label = "log₁₀ of the factor of all rates".into();
            curves.push(Curve { x_label, ..curve(&title, "", true, series("moving average of the loss", points)) });
        }
        let mut tables = vec![self.parameters(optimizer, outcome)?];
        tables.extend(self.health());
        let kernels = profile::table();
        if !kernels.is_empty() {
            tables.push(Table {
                title: "Kernels".into(),
                columns: ["kernel", "launches", "ms", "MB"].map(String::from).to_vec(),
                rows: kernels
                    .iter()
                    .map(|k| {
                        let (ms, mb) = (k.seconds * 1e3, k.bytes as f64 / 1e6);
                        vec![k.name.clone(), k.launches.to_string(), format!("{ms:.1}"), format!("{mb:.0}")]
                    })
                    .collect(),
            });
        }
        Ok(Report {
            title: format!("Inverse rendering of {name}"),
            subtitle: format!(
                "{} views, {} steps, {:.1} s on {}",
                self.problem.train.len(),
                summary.iterations,
                summary.seconds,
                summary.device
            ),
            figures: figures.into_iter().flatten().collect(),
            warnings: summary.warnings.clone(),
            sliders: self.sliders()?,
            curves,
            galleries: self.galleries(optimizer, outcome)?,
            tables,
            job: document.to_toml(),
            ..Report::default()
        })
    }

    /// Gradients and what they tell.
    fn health(&self) -> Option<Table> {
        let d = self.diagnosis;
        let row = |name: &str, values: [String; 3]| [vec![name.to_owned()], values.to_vec()].concat();
        let mut rows: Vec<Vec<String>> = d
            .groups
            .iter()
            .map(|g| {
                let advice = if g.advice.is_empty() { "fine" } else { g.advice };
                row(&g.name, [format!("{:.2e}", g.norms.0), format!("{:.2e}", g.norms.1), advice.into()])
            })
            .collect();
        let mut add = |name: &str, value: f64, note: &str| {
            rows.push(row(name, [String::new(), format!("{value:.2e}"), note.into()]))
        };
        if let Some(s) = d.largest_singular_value {
            add("largest singular value of one view's Jacobian", s, "estimated by power iteration");
        }
        if let Some((operator, growth)) = &d.amplifier {
            add("largest amplification of a gradient by one operator", *growth, operator);
        }
        let columns = ["gradient of", "norm at the start", "norm at the end", "remark"].map(String::from).to_vec();
        (!rows.is_empty()).then_some(Table { title: "Diagnostics".into(), columns, rows })
    }

    fn sliders(&self) -> Result<Vec<Slider>> {
        let shown = self.problem.scored().iter().zip(self.initial).zip(self.result).take(REPORT_VIEWS);
        shown
            .map(|((target, before), after): ((&Target, _), _)| {
                let db = psnr(&after.to_vec::<f32>()?, &target.encoded.to_vec::<f32>()?);
                let states = [("before", before), ("after", after), ("target", &target.encoded)];
                Ok(Slider {
                    name: target.view.name.clone(),
                    note: format!("{db:.1} dB"),
                    states: states.into_iter().map(|(n, t)| Ok((n.into(), opaque(t)?))).collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    fn galleries(&self, optimizer: &Optimizer, outcome: &Outcome) -> Result<Vec<Gallery>> {
        let mut list = vec![];
        for v in optimizer.variables() {
            let ParameterKind::Texture { srgb, .. } = v.parameter.kind else { continue };
            let pointer = &v.parameter.pointer;
            let picture = |scene: &Scene| -> Option<Picture> {
                let (shape, values) = scene.get(pointer).ok()?;
                let transfer = if srgb { Transfer::Linear } else { Transfer::Srgb };
                let opaque = values.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
                let (height, width) = (shape[0], shape[1]);
                Some(Picture { width, height, channels: 3, data: opaque, transfer, premultiplied: false })
            };
            let mut states = vec![];
            let scenes = [
                ("before", Some(self.initial_scene)),
                ("after", Some(&outcome.scene)),
                ("true", self.problem.truth.as_ref()),
            ];
            for (name, scene) in scenes {
                if let Some(p) = scene.and_then(picture) {
                    states.push((name.to_owned(), Image::new(&p, 512)?));
                }
            }
            list.push(Gallery { name: pointer.clone(), note: String::new(), states });
        }
        Ok(list)
    }

    fn parameters(&self, optimizer: &Optimizer, outcome: &Outcome) -> Result<Table> {
        let text = |scene: Option<&Scene>, pointer: &str| match scene.and_then(|s| s.get(pointer).ok()) {
            Some((_, v)) if v.len() <= 4 => v.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", "),
            Some((shape, _)) => format!("{shape:?}"),
            None => String::new(),
        };
        let rows = optimizer
            .variables()
            .iter()
            .map(|v| {
                let p = &v.parameter.pointer;
                let (a, b) = (text(Some(self.initial_scene), p), text(Some(&outcome.scene), p));
                vec![p.clone(), format!("{:.2e}", v.rate), a, b, text(self.problem.truth.as_ref(), p)]
            })
            .collect();
        let columns = ["parameter", "learning rate", "before", "after", "true"].map(String::from).to_vec();
        Ok(Table { title: "Parameters".into(), columns, rows })
    }
}
