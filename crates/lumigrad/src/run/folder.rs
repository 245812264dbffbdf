//! Run folders: written beside their place and moved there when the run has succeeded.

use super::report::Report;
use super::{Saves, Summary};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A file that every run folder holds and by which one is recognised.
const MARK: &str = "job.toml";

/// Files that every run has.
pub const USUAL: [(&str, &str); 4] =
    [("report", "report.html"), ("metrics", "metrics.json"), ("job", MARK), ("checkpoint", "checkpoint.safetensors")];

/// A folder that a run writes into. It lies hidden beside its place until [`RunFolder::finish`]; dropped before that, it
/// vanishes and what was at the place stays.
#[derive(Debug)]
pub struct RunFolder {
    place: PathBuf,
    work: PathBuf,
    done: bool,
}

fn sibling(place: &Path, kind: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{kind}-{}", std::process::id()))
}

impl RunFolder {
    /// Prepares a run that ends at `place`.
    ///
    /// # Errors
    /// Something else than a run folder or an empty folder is there already; the folder cannot be made.
    pub fn create(place: &Path) -> Result<Self> {
        let taken = |what: &str| Err(Error::file(place.display(), what, "choose another folder with --out"));
        if place.file_name().is_none() {
            return taken("a run cannot be written here");
        }
        if place.is_dir() {
            let mut entries = std::fs::read_dir(place).map_err(|e| Error::io(place, e))?;
            if entries.next().is_some() && !place.join(MARK).is_file() {
                return taken("this folder holds something else than a run and is not replaced");
            }
        } else if place.exists() {
            return taken("a file of this name exists");
        }
        if let Some(parent) = place.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
        }
        let work = sibling(place, "part");
        if work.exists() {
            // Left behind by a process of the same number that was killed.
            std::fs::remove_dir_all(&work).map_err(|e| Error::io(&work, e))?;
        }
        std::fs::create_dir(&work).map_err(|e| Error::io(place, e))?;
        Ok(Self { place: place.to_owned(), work, done: false })
    }

    /// Where the run will be.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Path of a file while the run is written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Path of a file once the run is finished.
    pub fn final_path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Writes a file, whole or not at all; folders in its name are made.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
        }
        Ok(lumigrad_scene::write_atomically(&path, bytes)?)
    }

    /// Ends a run: lists its files by what they are, writes page and figures, and [`finish`](Self::finish)es; what was saved on
    /// the way goes.
    ///
    /// # Errors
    /// What the system says.
    pub fn close(self, files: &[(&str, &str)], report: &Report, summary: &mut Summary, saves: &Saves) -> Result<()> {
        for (name, file) in files {
            summary.output(name, &self.final_path(file));
        }
        report.write(&self.path("report.html"))?;
        self.write("metrics.json", summary.to_json().as_bytes())?;
        self.finish()?;
        saves.remove();
        Ok(())
    }

    /// Moves the run to its place; an older run there is removed. Gives the place.
    ///
    /// On Linux the two change places in one step: whenever the process is killed, there is a whole run at the place.
    ///
    /// # Errors
    /// What the system says; the older run is then as it was.
    pub fn finish(mut self) -> Result<PathBuf> {
        let io = |e| Error::io(&self.place, e);
        if !self.place.exists() {
            std::fs::rename(&self.work, &self.place).map_err(io)?;
            self.done = true;
        } else if exchange(&self.work, &self.place).is_err() {
            // This system or this file system cannot exchange.
            let old = sibling(&self.place, "old");
            std::fs::rename(&self.place, &old).map_err(io)?;
            if let Err(e) = std::fs::rename(&self.work, &self.place) {
                let _ = std::fs::rename(&old, &self.place);
                return Err(io(e));
            }
            self.done = true;
            std::fs::remove_dir_all(&old).map_err(|e| Error::io(&old, e))?;
        }
        // After an exchange the older run lies where this one was written, and goes when this value is dropped.
        Ok(self.place.clone())
    }
}

/// Exchanges two paths in one step.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_appears_when_it_is_finished_and_replaces_an_older_one() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("runs/first");
        for text in ["one", "two"] {
            let run = RunFolder::create(&place).unwrap();
            run.write(MARK, b"").unwrap();
            run.write("views/a.txt", text.as_bytes()).unwrap();
            run.finish().unwrap();
            assert_eq!(std::fs::read_to_string(place.join("views/a.txt")).unwrap(), text);
            assert_eq!(files(place.parent().unwrap()), ["first"]);
        }
    }

    #[test]
    fn a_failed_run_leaves_the_older_one_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("run");
        let run = RunFolder::create(&place).unwrap();
        run.write(MARK, b"old").unwrap();
        run.finish().unwrap();
        let run = RunFolder::create(&place).unwrap();
        run.write(MARK, b"new").unwrap();
        drop(run);
        assert_eq!(std::fs::read_to_string(place.join(MARK)).unwrap(), "old");
        assert_eq!(files(root.path()), ["run"]);
    }

    #[test]
    fn folders_that_are_no_runs_are_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("thesis.txt"), "dear").unwrap();
        assert!(RunFolder::create(root.path()).unwrap_err().to_string().contains("--out"));
        assert!(RunFolder::create(&root.path().join("thesis.txt")).is_err());
        assert_eq!(files(root.path()), ["thesis.txt"]);
    }
}
