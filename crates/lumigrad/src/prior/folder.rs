//! Pictures of a folder, and patches of them.

use crate::run::require_memory;
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::Condition;
use lumigrad_scene::picture::Picture;
use std::path::{Path, PathBuf};

/// Endings of pictures.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "exr", "hdr"];
/// Channels of patches.
pub const CHANNELS: usize = 3;
/// One picture in so many is held out, beginning with the first by name, as of posed photographs.
const HELD_OUT: usize = 4;
/// Part of labelled patches that are shown without their label, so that the prior knows what pictures have in common.
const UNLABELLED: f64 = 0.1;

/// One picture: display-encoded red, green and blue in [−1, 1].
struct Shot {
    path: PathBuf,
    width: usize,
    height: usize,
    data: Vec<f32>,
    label: Option<usize>,
}

/// The pictures that a prior is trained on, and those that it is judged by.
pub struct Folder {
    trained: Vec<Shot>,
    held_out: Vec<Shot>,
    /// Names of subfolders with pictures.
    pub labels: Vec<String>,
    /// Pixels of a patch along a side.
    pub patch: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Which pictures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Trained,
    HeldOut,
}

/// Patches with what they show.
pub struct Patches {
    /// [N, P, P, 3] in [−1, 1].
    pub pictures: Tensor,
    pub conditions: Vec<Condition>,
}

impl Folder {
    /// Reads the pictures of a folder and of its subfolders, whose names are labels. Every fourth by name is held out,
    /// beginning with the first.
    ///
    /// # Errors
    /// A folder that is missing, has fewer than two pictures that are as large as a patch, or a picture that cannot be read.
    pub fn load(folder: &Path, patch: usize) -> Result<Self> {
        let here = |message: String, help: &str| Error::file(folder.display(), message, help);
        if !folder.is_dir() {
            return Err(here("there is no such folder".into(), "give a folder with pictures"));
        }
        let (files, subfolders) = entries(folder)?;
        let mut found: Vec<(PathBuf, Option<usize>)> = files.into_iter().map(|f| (f, None)).collect();
        let mut labels = vec![];
        for sub in subfolders {
            let inside = entries(&sub)?.0;
            if let (false, Some(name)) = (inside.is_empty(), sub.file_name()) {
                found.extend(inside.into_iter().map(|f| (f, Some(labels.len()))));
                labels.push(name.to_string_lossy().into_owned());
            }
        }
        let help = "a prior needs at least two: one to train on and one to be judged by";
        if found.is_empty() {
            return Err(here(format!("no pictures are in it (files that end in {})", ENDINGS.join(", ")), help));
        }
        let (mut sizes, mut small) = (vec![], vec![]);
        for (path, label) in found {
            let (w, h) = Picture::dimensions(&path)?;
            match w.min(h) >= patch {
                true => sizes.push((path, label, w * h)),
                false => small.push(format!("{} ({w}×{h})", path.display())),
            }
        }
        if sizes.len() < 2 {
            let few = match (sizes.len(), small.is_empty()) {
                (1, true) => "one picture is in it".to_owned(),
                (n, _) => format!("{n} pictures are at least {patch}×{patch}; too small: {}", some(&small)),
            };
            let help = if small.is_empty() { help } else { "add larger pictures, or make --patch smaller" };
            return Err(here(few, help));
        }
        let bytes = sizes.iter().map(|(.., pixels)| 40 * *pixels as u64).sum();
        require_memory(bytes, &folder.display().to_string(), "take fewer or smaller pictures")?;
        let mut all = Self { trained: vec![], held_out: vec![], labels, patch, warnings: vec![] };
        if !small.is_empty() {
            all.warnings.push(format!("left out, smaller than {patch}×{patch}: {}", some(&small)));
        }
        for (k, (path, label, _)) in sizes.into_iter().enumerate() {
            let picture = crate::fit::image::load(&path, None)?.into_srgb().over([0.0; 3]);
            let data = picture.data.iter().map(|x| 2.0 * x.clamp(0.0, 1.0) - 1.0).collect();
            let shot = Shot { path, width: picture.width, height: picture.height, data, label };
            if k % HELD_OUT == 0 { all.held_out.push(shot) } else { all.trained.push(shot) }
        }
        Ok(all)
    }

    fn shots(&self, part: Part) -> &[Shot] {
        if part == Part::Trained { &self.trained } else { &self.held_out }
    }

    /// Names of the pictures that are held out.
    pub fn held_out(&self) -> Vec<String> {
        let name = |s: &Shot| s.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.held_out.iter().map(name).collect()
    }

    /// Pictures of a part.
    pub fn len(&self, part: Part) -> usize {
        self.shots(part).len()
    }

    /// `n` patches drawn from `seed`: a picture, then a place in it, each as likely as any other; half of them mirrored.
    pub fn draw(&self, part: Part, n: usize, seed: u64, device: &Device) -> Result<Patches> {
        let (p, shots) = (self.patch, self.shots(part));
        let mut data = Vec::with_capacity(n * p * p * CHANNELS);
        let mut conditions = Vec::with_capacity(n);
        for i in 0..n as u64 {
            let below = |k: u64, n: usize| (random::hash(seed, 5 * i + k) % n as u64) as usize;
            let shot = &shots[below(0, shots.len())];
            let (left, top) = (below(1, shot.width - p + 1), below(2, shot.height - p + 1));
            let mirrored = below(3, 2) == 1;
            for y in top..top + p {
                let row = &shot.data[(y * shot.width + left) * CHANNELS..][..p * CHANNELS];
                match mirrored {
                    false => data.extend_from_slice(row),
                    true => row.chunks_exact(CHANNELS).rev().for_each(|pixel| data.extend_from_slice(pixel)),
                }
            }
            let shown = shot.label.filter(|_| random::uniform(seed, 5 * i + 4) >= UNLABELLED);
            conditions.push(shown.map_or_else(Condition::null, Condition::label));
        }
        Ok(Patches { pictures: Tensor::from_slice(device, &data, &[n, p, p, CHANNELS])?, conditions })
    }
}

/// The first few of a list, and how many more there are.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let shown = names[..names.len().min(3)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Pictures and folders of a folder, by name; hidden ones are left out.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (vec![], vec![]);
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if hidden {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else if ENDINGS.contains(&ending.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &Path, width: usize, height: usize, value: f32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let transfer = lumigrad_scene::picture::Transfer::Srgb;
        let data = vec![value; width * height * 3];
        Picture { width, height, channels: 3, data, transfer, premultiplied: false }.save_png(path).unwrap();
    }

    fn refused(folder: &Path) -> String {
        Folder::load(folder, 16).err().expect("refused").to_string()
    }

    #[test]
    fn folders_without_enough_pictures_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(&dir.path().join("none")).contains("no such folder"));
        assert!(refused(dir.path()).contains("no pictures are in it"));
        picture(&dir.path().join("a.png"), 20, 20, 0.5);
        assert!(refused(dir.path()).contains("one picture is in it"));
        picture(&dir.path().join("b.png"), 20, 15, 0.5);
        let error = refused(dir.path());
        assert!(error.contains("1 pictures are at least 16×16") && error.contains("b.png (20×15)"), "{error}");
        std::fs::write(dir.path().join("c.png"), b"no picture").unwrap();
        assert!(refused(dir.path()).contains("c.png"));
    }

    #[test]
    fn every_fourth_picture_is_held_out_and_subfolders_are_labels() {
        let dir = tempfile::tempdir().unwrap();
        for (k, name) in ["a/0.png", "a/1.png", "a/2.png", "b/3.png", "b/4.png"].iter().enumerate() {
            picture(&dir.path().join(name), 16, 16, 0.2 * k as f32);
        }
        let folder = Folder::load(dir.path(), 16).unwrap();
        assert_eq!(folder.labels, ["a", "b"]);
        assert_eq!(folder.held_out(), ["0.png", "4.png"]);
        let drawn = folder.draw(Part::Trained, 200, 1, &Device::cpu()).unwrap();
        assert_eq!(drawn.pictures.shape(), [200, 16, 16, 3]);
        let of = |c: &Condition| drawn.conditions.iter().filter(|d| *d == c).count();
        assert_eq!(of(&Condition::null()) + of(&Condition::label(0)) + of(&Condition::label(1)), 200);
        // Two pictures of a, one of b.
        assert!(of(&Condition::label(0)) > of(&Condition::label(1)) && of(&Condition::null()) > 5);
    }
}
