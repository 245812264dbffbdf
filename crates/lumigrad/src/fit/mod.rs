//! `fit`: neural fields of signals, shapes and equations. One kind of fit is one file or folder here and one line in [`FITS`].

mod audio;
mod book;
pub(crate) mod describe;
pub(crate) mod drive;
mod eikonal;
mod evolve;
mod family;
pub(crate) mod frames;
mod helmholtz;
pub(crate) mod image;
mod keys;
mod known;
mod linear;
mod material;
mod morph;
mod normals;
mod pde;
mod poisson;
mod preview;
mod sdf;
mod slices;
mod slopes;
mod spectrum;
mod start;
mod video;
mod wave;

pub use frames::FrameKeys;
pub use keys::{FitKeys, RunKeys};

use crate::run::job::{Document, Key};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use std::path::PathBuf;

/// A kind of fit, or another command that runs in steps, can be stopped and writes a folder.
pub struct Fit {
    /// The command's name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Keys that are given by place.
    pub positional: &'static [&'static str],
    /// Its keys.
    pub keys: fn() -> Vec<Key>,
    /// Runs it.
    pub run: fn(&Document, &Stop, &mut dyn Observer) -> Result<Summary>,
}

/// Every one of them.
pub const FITS: &[Fit] = &[
    image::FIT,
    family::FIT,
    audio::FIT,
    video::FIT,
    poisson::FIT,
    morph::FIT,
    sdf::FIT,
    eikonal::FIT,
    slices::FIT,
    pde::FIT,
    evolve::FIT,
    helmholtz::FIT,
    wave::FIT,
    material::FIT,
    crate::train::SPLATS,
    crate::train::field::FIT,
    crate::train::mesh::FIT,
    crate::train::voxels::FIT,
    crate::texture::TEXTURE,
    crate::edit::EDIT,
    crate::create::MESH,
    crate::create::SPLATS,
    crate::prior::TRAIN,
    crate::bench::QUALITY,
];

/// What a fit is of.
///
/// # Errors
/// It was not given: `name` stands for it in the command's help, `help` tells how to give it.
pub(crate) fn given(path: &Option<PathBuf>, fit: &Fit, name: &str, help: &str) -> Result<PathBuf> {
    path.clone().ok_or_else(|| Error::usage(fit.name, format!("{name} is missing"), help))
}

/// Refuses numbers that are not above 0, by their flags.
fn positive(numbers: &[(&str, f64)]) -> Result<()> {
    match numbers.iter().find(|(_, x)| !(*x > 0.0 && x.is_finite())) {
        Some((flag, x)) => Err(Error::usage(flag, format!("is {x}"), "a number above 0")),
        None => Ok(()),
    }
}

/// Most columns of pictures of solutions.
const MOST_COLUMNS: usize = 4096;

/// Refuses pictures of more columns than there may be.
fn columns(n: usize, most: usize) -> Result<()> {
    if n > most {
        return Err(Error::usage("--picture", format!("{n} columns"), format!("at most {most}")));
    }
    Ok(())
}

/// Runs the fit that a job asks for, and writes its run folder.
///
/// # Errors
/// Data, settings or devices that cannot be used; files that cannot be written.
pub fn fit(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let name = document.command().name;
    let fit = FITS.iter().find(|f| f.name == name).ok_or_else(|| Error::job(format!("{name} is no fit")))?;
    (fit.run)(document, stop, observer)
}
