//! The photographs that a run was trained on.

use crate::run::job::Document;
use crate::run::{background, fixed};
use crate::train::Dataset;
use lumigrad_scene::views::Options;
use std::path::{Path, PathBuf};

/// Photographs of a run, and what stands behind them.
pub struct Photographs {
    /// To learn from, and held out.
    pub dataset: Dataset,
    /// The colour that they are compared over.
    pub background: [f32; 3],
}

impl Photographs {
    /// Those that the job beside a run's result names; the reason, where there are none any more.
    pub fn of_run(file: &Path) -> Result<Self, String> {
        let job = file.with_file_name("job.toml");
        if !job.is_file() {
            return Err(format!("there is no {} that says where they are", job.display()));
        }
        let document = Document::load(&job).map_err(|e| e.to_string())?;
        let text = |key: &str| document.get(key).and_then(|v| v.as_str().map(str::to_owned));
        let number = |key: &str| document.get(key).and_then(|v| usize::try_from(v.as_integer()?).ok());
        let Some(data) = text("data").map(PathBuf::from) else {
            return Err(format!("{} names none: it is a job of {}", job.display(), document.command().name));
        };
        let options = Options { downscale: number("downscale"), max_size: number("max_size"), hdr: false };
        let behind = background(&text("background").unwrap_or_else(|| "black".into())).map_err(|e| e.to_string())?;
        let dataset = Dataset::load(&data, &options).map_err(|e| e.to_string())?;
        Ok(Self { dataset, background: fixed(behind) })
    }
}
