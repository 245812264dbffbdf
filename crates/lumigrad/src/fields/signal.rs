//! Pictures, frames and sounds out of fields of them, at any size.

use super::file::FieldFile;
use super::sound::Sound;
use crate::run::require_memory;
use crate::{Error, Result};
use lumigrad_field::Derivatives;
use lumigrad_scene::picture::{Picture, Transfer};
use std::sync::Arc;

/// Most columns and rows that a file may name, as `--size` has it.
const MOST: usize = 1 << 15;
/// Most frames.
const MOST_FRAMES: f64 = 1e6;

/// The middle of a sample's time, the whole sound being [−1, 1].
pub fn time(index: usize, samples: usize) -> f32 {
    ((2 * index + 1) as f64 / samples as f64 - 1.0) as f32
}

/// Columns and rows that a picture's field was fitted to.
pub fn own_size(file: &FieldFile) -> Result<(usize, usize)> {
    let text = file.text("size")?;
    let side = |s: &str| s.parse::<usize>().ok().filter(|n| (1..=MOST).contains(n));
    let size = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
    size.ok_or_else(|| file.wrong("size", format!("{text:?}, expected columns and rows such as 256x256")))
}

/// The whole picture at a size; of a field of frames at a time of its domain.
///
/// # Errors
/// A field of something else; a picture that does not fit in memory.
pub fn picture(file: &FieldFile, (width, height): (usize, usize), time: Option<f32>) -> Result<Picture> {
    let dim = if time.is_some() { 3 } else { 2 };
    let (field, values) = file.field(dim)?;
    if !(1..=4).contains(&field.channels) {
        return Err(file.wrong("channels", format!("{}, expected 1 to 4", field.channels)));
    }
    let bytes = 8 * (width * height * (dim + field.channels)) as u64;
    require_memory(bytes, "--size", "choose a smaller picture")?;
    let (w, h) = own_size(file)?;
    let longest = w.max(h) as f64;
    // The longer side of what was fitted is −1 to 1; pixels are as wide as they must be to show all of it.
    let at = |k: usize, n: usize, own: usize| ((2 * k + 1) as f64 / n as f64 - 1.0) * own as f64 / longest;
    let point = |k: usize| {
        let place = [at(k % width, width, w) as f32, at(k / width, height, h) as f32];
        place.into_iter().chain(time)
    };
    let points: Vec<f32> = (0..width * height).flat_map(point).collect();
    let data = field.sample(values, &points, &Arc::new(Derivatives::none()))?.remove(0);
    let transfer = if file.text("transfer")? == "linear" { Transfer::Linear } else { Transfer::Srgb };
    Ok(Picture { width, height, channels: field.channels, data, transfer, premultiplied: false })
}

/// Frames that a field was fitted to.
pub struct Frames {
    /// Their number.
    pub count: usize,
    times: [f64; 2],
}

impl Frames {
    /// Of a file.
    pub fn of(file: &FieldFile) -> Result<Self> {
        let count = file.at_least("frames", 1.0)?.min(MOST_FRAMES) as usize;
        let [first, last] = ["first_time", "last_time"].map(|fact| file.at_least(fact, -1.0));
        Ok(Self { count, times: [first?, last?] })
    }

    /// The domain's time of a frame, counted from 0, or between two.
    ///
    /// # Errors
    /// A frame beyond the first or the last.
    pub fn time(&self, frame: f64) -> Result<f32> {
        let last = (self.count - 1) as f64;
        if !(0.0..=last).contains(&frame) {
            return Err(Error::usage("--time", format!("frame {frame}"), format!("expected 0 to {last}")));
        }
        let share = if last > 0.0 { frame / last } else { 0.0 };
        Ok((self.times[0] + share * (self.times[1] - self.times[0])) as f32)
    }
}

/// The whole sound at a rate, without one its own.
///
/// # Errors
/// A field of something else; a sound that does not fit in memory.
pub fn sound(file: &FieldFile, rate: Option<f64>) -> Result<Sound> {
    let (field, values) = file.field(1)?;
    let (own, count) = (file.at_least("rate", 1.0)?, file.at_least("samples", 1.0)?);
    let scale = file.at_least("scale", f64::MIN_POSITIVE)? as f32;
    let rate = rate.unwrap_or(own);
    if !(1.0..=f64::from(u32::MAX)).contains(&rate) || rate.fract() != 0.0 {
        return Err(Error::usage(
            "--rate",
            format!("{rate} samples a second"),
            "expected a whole number of at least 1",
        ));
    }
    let samples = (count / own * rate).round().max(1.0);
    let bytes = samples * 8.0 * (1 + field.channels) as f64;
    require_memory(bytes as u64, "--rate", "choose a lower rate")?;
    let samples = samples as usize;
    let points: Vec<f32> = (0..samples).map(|k| time(k, samples)).collect();
    let mut data = field.sample(values, &points, &Arc::new(Derivatives::none()))?.remove(0);
    data.iter_mut().for_each(|x| *x *= scale);
    Ok(Sound { rate: rate as u32, channels: field.channels, data })
}
