//! Checkpoints while a run goes on: a file beside its folder, so that a kill loses little and the last good run stays.

use super::Checkpoint;
use crate::Result;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writing takes at most this part of the time.
const SHARE: u32 = 50;

/// Saves of one run.
pub struct Saves {
    file: PathBuf,
    every: Duration,
    due: Instant,
}

impl Saves {
    /// For a run that will be in `place`, every so many seconds.
    pub fn new(place: &Path, seconds: f64) -> Self {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let every = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let due = Instant::now().checked_add(every).unwrap_or_else(Instant::now);
        Self { file: place.with_file_name(format!(".{name}.checkpoint.safetensors")), every, due }
    }

    /// The checkpoint of this job that is furthest: of a run that was killed, or of the finished one in `place`.
    ///
    /// # Errors
    /// The one in `place` is damaged or of another job.
    pub fn latest(&self, place: &Path, job: &str) -> Result<Option<Checkpoint>> {
        let left = Checkpoint::load(&self.file).ok().filter(|c| c.check_job(job).is_ok());
        let finished = place.join("checkpoint.safetensors");
        if !finished.exists() {
            return Ok(left);
        }
        let finished = Checkpoint::load(&finished);
        match (left, finished) {
            (Some(left), Ok(finished)) if finished.check_job(job).is_ok() && finished.step > left.step => {
                Ok(Some(finished))
            }
            (Some(left), _) => Ok(Some(left)),
            (None, finished) => {
                let finished = finished?;
                finished.check_job(job)?;
                Ok(Some(finished))
            }
        }
    }

    /// Writes a checkpoint if it is time.
    ///
    /// # Errors
    /// What the system says; the next attempt is made when it is time again.
    pub fn save_when_due(&mut self, checkpoint: impl FnOnce() -> Result<Checkpoint>) -> Result<()> {
        let start = Instant::now();
        if start < self.due {
            return Ok(());
        }
        let saved = checkpoint().and_then(|c| {
            if let Some(folder) = self.file.parent().filter(|f| !f.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|e| crate::Error::io(folder, e))?;
            }
            c.save(&self.file)
        });
        let pause = self.every.max(start.elapsed().saturating_mul(SHARE));
        self.due = Instant::now().checked_add(pause).unwrap_or(self.due);
        saved
    }

    /// Removes the file: the run is where it belongs.
    pub fn remove(&self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.file);
    }
}
