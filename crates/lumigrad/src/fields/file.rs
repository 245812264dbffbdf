//! Trained fields in files, with what the files say about them.

use super::operators::{Operators, SAMPLES, SMOOTH, usual_sigma};
use super::place::Place;
use super::residual::Residual;
use super::solid::Solid;
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Field, Model};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file of a field in a run folder.
pub const FILE: &str = "field.safetensors";
/// And of voxel grids.
pub const GRID: &str = "grid.safetensors";

/// The field's file that a path means: a .safetensors file, or that of a run folder.
pub fn find(path: &Path) -> Option<PathBuf> {
    let is_file = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    let inside = || [FILE, GRID].iter().map(|name| path.join(name)).find(|file| file.is_file());
    if is_file { Some(path.to_owned()) } else { inside() }
}

/// What a file holds.
enum Network {
    Field(Field),
    Orex(Residual),
}

/// A trained field with facts about it.
pub struct FieldFile {
    name: String,
    network: Network,
    values: Vec<Tensor>,
    facts: BTreeMap<String, String>,
}

impl FieldFile {
    /// Reads a file that `fit` wrote.
    ///
    /// # Errors
    /// It is missing, cut off, no field, or its parameters are not finite.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::read(path, &std::fs::read(path).map_err(|e| Error::io(path, e))?, device)
    }

    /// The same of a file's bytes.
    pub fn read(path: &Path, bytes: &[u8], device: &Device) -> Result<Self> {
        let name = path.display().to_string();
        let help = format!("give the {FILE} of a run of lumigrad fit");
        let broken = |e: lumigrad_field::Error| Error::file(&name, e.to_string(), &help);
        let residual = Residual::new();
        if let Some((values, facts)) = residual.read(bytes, device).map_err(broken)? {
            return Ok(Self { network: Network::Orex(residual), values, facts, name });
        }
        let Model { field, values, facts } = Model::<Field>::from_bytes(bytes, device).map_err(broken)?;
        Ok(Self { network: Network::Field(field), values, facts, name })
    }

    /// How messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is a field of.
    pub fn kind(&self) -> &str {
        self.facts.get("kind").map_or("", String::as_str)
    }

    /// The error of a file whose contents are wrong at a place.
    pub fn wrong(&self, place: &str, message: impl Into<String>) -> Error {
        Error::file(format!("{}: {place}", self.name), message, "write the file anew by lumigrad fit")
    }

    /// A fact that the file must have.
    pub fn text(&self, fact: &str) -> Result<&str> {
        let found = self.facts.get(fact).map(String::as_str);
        found.ok_or_else(|| self.wrong(fact, format!("the field is of kind {:?} and lacks it", self.kind())))
    }

    /// A fact of numbers, where the file has it.
    pub fn number<T: DeserializeOwned>(&self, fact: &str) -> Result<Option<T>> {
        let Some(text) = self.facts.get(fact) else { return Ok(None) };
        let found = serde_json::from_str(text);
        found.map(Some).map_err(|e| self.wrong(fact, format!("cannot read {text:?}: {e}")))
    }

    /// A number that the file must have, of at least this much.
    pub fn at_least(&self, fact: &str, least: f64) -> Result<f64> {
        self.text(fact)?;
        let found: f64 = self.number(fact)?.unwrap_or(f64::NAN);
        match found >= least && found.is_finite() {
            true => Ok(found),
            false => Err(self.wrong(fact, format!("{found}, expected at least {least}"))),
        }
    }

    /// The field with its parameters, of so many coordinates.
    pub fn field(&self, dim: usize) -> Result<(&Field, &[Tensor])> {
        match &self.network {
            Network::Field(field) if field.dim == dim => Ok((field, &self.values)),
            Network::Field(field) => Err(self.wrong("dim", format!("{} coordinates, expected {dim}", field.dim))),
            Network::Orex(_) => Err(self.wrong("kind", format!("{:?} of a residual network", self.kind()))),
        }
    }

    /// How long its surface moves; `None` where it does not.
    pub fn duration(&self) -> Result<Option<f64>> {
        (self.kind() == "evolution").then(|| self.at_least("duration", f64::MIN_POSITIVE)).transpose()
    }

    /// The solid that it describes, where it does, at a time between 0 and its duration, without one at the end.
    ///
    /// # Errors
    /// It is a field of something else; a time that it does not have; facts that are wrong.
    pub fn solid(&self, time: Option<f64>) -> Result<Solid<'_>> {
        let kind = self.kind();
        if !["sdf", "slices", "evolution"].contains(&kind) {
            let help = "give a field of fit sdf, fit eikonal, fit slices or fit evolve";
            return Err(Error::file(&self.name, format!("a field of kind {kind:?} has no surface"), help));
        }
        let duration = self.duration()?;
        let time = match (duration, time) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::usage("--time", format!("{} does not move", self.name), "leave it out"));
            }
            (Some(duration), time) => {
                let time = time.unwrap_or(duration);
                if !(0.0..=duration).contains(&time) {
                    return Err(Error::usage("--time", format!("{time}"), format!("expected 0 to {duration}")));
                }
                Some((2.0 * time / duration - 1.0) as f32)
            }
        };
        self.text("centre")?;
        let centre = self.number("centre")?.unwrap_or([f64::NAN; 3]);
        let place = Place { centre, scale: self.at_least("scale", f64::MIN_POSITIVE)? };
        if !place.outwards([1e3; 3]).iter().all(|x| x.is_finite()) {
            return Err(self.wrong("centre", format!("{place:?} is beyond numbers of 32 bits")));
        }
        let mut solid = match &self.network {
            Network::Field(field) => {
                self.field(if time.is_some() { 4 } else { 3 })?;
                if field.channels != 1 {
                    return Err(self.wrong("channels", format!("{}, expected 1", field.channels)));
                }
                Solid::of_field(field, &self.values, place)
            }
            Network::Orex(residual) => {
                let device = self.values[0].device().clone();
                let parameters: Vec<Var> = self.values.iter().cloned().map(Var::from).collect();
                Solid::new(&device, place, move |points, derivatives| residual.jet(&parameters, points, derivatives))
            }
        };
        let half: [f64; 3] = self.number("half")?.unwrap_or([1.0; 3]);
        if half.iter().any(|h| !(1e-3..=1e3).contains(h)) {
            return Err(self.wrong("half", format!("{half:?}, expected half the sides of a box")));
        }
        (solid.half, solid.time) = (DVec3::from(half), time);
        solid.sign = self.number("sign")?.unwrap_or(1.0);
        Ok(solid)
    }

    /// Operators of a solid of this file, of a deviation in parts of its shape's longest side; without one the file's, else
    /// about that of a cell of the field's finest grid.
    pub fn operators(&self, solid: &Solid, sigma: Option<f64>, seed: u64) -> Result<Operators> {
        let side = self.number("side")?.unwrap_or(2.0 * solid.half.max_element());
        let own = match &self.network {
            Network::Field(field) => usual_sigma(&field.encoding),
            Network::Orex(_) => SMOOTH,
        };
        let sigma = match (sigma, self.number::<f64>("polyfit_sigma")?) {
            (Some(given), _) if !(given > 0.0) => {
                return Err(Error::usage("--polyfit-sigma", format!("{given}"), "expected more than 0"));
            }
            (given, told) => given.or(told).map_or(own, |s| s * side),
        };
        Operators::new(sigma, SAMPLES, seed)
    }
}
