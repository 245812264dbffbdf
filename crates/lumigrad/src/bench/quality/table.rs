//! Results of trainings beside each other.

use super::SCORES;
use super::published::published;
use crate::Result;
use crate::run::job::Document;
use crate::run::report::{Curve, Figure, Report, Series, Table};
use crate::run::{Record, Summary};
use lumigrad_scene::write_atomically;
use serde_json::{Value, json};
use std::path::Path;

/// What a training reached.
pub struct Row {
    data: String,
    method: String,
    /// By [`SCORES`].
    scores: [Option<f64>; 4],
    seconds: f64,
    history: Vec<Record>,
}

impl Row {
    /// Of a training's summary.
    pub fn new(data: &str, method: &str, done: &Summary) -> Self {
        let spent = done.history.last().map_or(done.seconds, |r| r.seconds);
        let (data, method) = (data.to_owned(), method.to_owned());
        Self { data, method, scores: SCORES.map(|s| done.get(s)), seconds: spent, history: done.history.clone() }
    }

    fn json(&self) -> Value {
        let [psnr, ssim, bytes, _] = self.scores;
        json!({
            "data": self.data, "method": self.method, "model_bytes": bytes.map(|b| b as u64),
            "seconds": self.seconds, "test_psnr": psnr, "test_ssim": ssim,
        })
    }

    fn cells(&self) -> Vec<String> {
        let [psnr, ssim, bytes, step] = self.scores;
        let number = |x: Option<f64>, digits: usize| x.map_or_else(String::new, |x| format!("{x:.digits$}"));
        let scores = [number(psnr, 2), number(ssim, 4), number(Some(self.seconds), 1), number(step, 1)];
        let size = number(bytes.map(|b| b / 1e6), 1);
        [self.data.clone(), self.method.clone()].into_iter().chain(scores).chain([size]).collect()
    }
}

const COLUMNS: [&str; 7] = ["data", "method", "PSNR, dB", "SSIM", "seconds", "ms a step", "MB"];
const PUBLISHED: [&str; 4] = ["data", "method", "PSNR, dB", "source"];

/// Puts results into the summary, and writes `metrics.json`, `quality.md` and `report.html` into the folder.
pub fn write(folder: &Path, rows: &[Row], document: &Document, summary: &mut Summary) -> Result<()> {
    let mut stated = vec![];
    let mut names: Vec<&str> = rows.iter().map(|r| r.data.as_str()).collect();
    names.dedup();
    for name in names {
        let cells = |p: super::published::Published| vec![name.into(), p.method, format!("{:.2}", p.psnr), p.source];
        stated.extend(published(name)?.into_iter().map(cells));
    }
    for row in rows {
        for (score, value) in SCORES.iter().zip(row.scores).filter_map(|(s, v)| Some((s, v?))) {
            summary.metric(&format!("{}_{}_{score}", row.data, row.method), value);
        }
    }
    summary.details.insert("quality".into(), rows.iter().map(Row::json).collect());
    let object = |cells: &Vec<String>| {
        let psnr = cells[2].parse::<f64>().unwrap_or_default();
        json!({ "data": cells[0], "method": cells[1], "test_psnr": psnr, "source": cells[3] })
    };
    summary.details.insert("published".into(), stated.iter().map(object).collect());
    let table = |title: &str, columns: &[&str], rows: Vec<Vec<String>>| Table {
        title: title.into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        rows,
    };
    let tables = [
        table("Quality", &COLUMNS, rows.iter().map(Row::cells).collect()),
        table("What papers state, of pictures of full size", &PUBLISHED, stated),
    ];
    let text: String = tables.iter().filter(|t| !t.rows.is_empty()).map(markdown).collect();
    let report = Report {
        title: "Quality of reconstruction".into(),
        subtitle: format!(
            "{} trainings on {}, scored on held-out pictures rounded to 8 bits",
            rows.len(),
            summary.device
        ),
        figures: rows.iter().filter_map(figure).collect(),
        warnings: summary.warnings.clone(),
        curves: curves(rows),
        tables: tables.into(),
        job: document.to_toml(),
        ..Report::default()
    };
    let files = [("report", "report.html"), ("table", "quality.md"), ("metrics", "metrics.json")];
    files.iter().for_each(|(name, file)| summary.output(name, &folder.join(file)));
    report.write(&folder.join("report.html"))?;
    write_atomically(folder.join("quality.md"), text.as_bytes())?;
    write_atomically(folder.join("metrics.json"), summary.to_json().as_bytes())?;
    Ok(())
}

fn figure(row: &Row) -> Option<Figure> {
    let note = format!("{}, {:.0} s", row.data, row.seconds);
    Some(Figure::new(row.method.clone(), format!("{:.2} dB", row.scores[0]?), note))
}

/// Held-out PSNR over seconds, a picture for each data set.
fn curves(rows: &[Row]) -> Vec<Curve> {
    let same = |a: &Row, b: &Row| a.data == b.data;
    let curve = |rows: &[Row]| Curve {
        title: format!("{}: PSNR of held-out pictures", rows[0].data),
        unit: "dB".into(),
        x_label: "seconds".into(),
        log: false,
        series: rows
            .iter()
            .map(|row| {
                let scored = row.history.iter().filter_map(|r| Some((r.seconds, r.test_psnr?)));
                let last = row.scores[0].map(|psnr| (row.seconds, psnr));
                Series { name: row.method.clone(), points: scored.chain(last).collect() }
            })
            .collect(),
    };
    rows.chunk_by(same).map(curve).collect()
}

fn markdown(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); table.columns.len()];
    let rows: String = table.rows.iter().map(|r| line(r)).collect();
    format!("{}:\n\n{}{}{rows}\n", table.title, line(&table.columns), line(&rule))
}
