//! A small classifier of pictures, trained apart from every prior.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// The class of pictures that show nothing known.
pub const NONE: &str = "none";
/// Key of the file's metadata.
const KEY: &str = "lumigrad.judge";

/// A network with one hidden layer over small grey pictures: softmax(W₂·tanh(W₁·x + b₁) + b₂).
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    /// Names of the classes; one may be [`NONE`].
    pub labels: Vec<String>,
    /// Side of the pictures it sees.
    pub side: usize,
    /// W₁ [side², hidden], b₁ \[hidden\], W₂ [hidden, classes], b₂ \[classes\].
    pub layers: [Vec<f32>; 4],
}

impl Judge {
    /// What it sees of a display-encoded picture [height, width, 3]: means over cells of the mean of the channels, minus ½.
    ///
    /// # Errors
    /// Pictures that are smaller than what it sees, or not of three channels.
    pub fn features(side: usize, picture: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        if side == 0 || width < side || height < side || picture.len() != 3 * width * height {
            let message = format!(
                "{} numbers are no picture of {width}x{height} colours of at least {side} a side",
                picture.len()
            );
            return Err(Error::job(message));
        }
        let cell = |k: usize, n: usize| k * n / side..(k + 1) * n / side;
        let mut seen = Vec::with_capacity(side * side);
        for row in 0..side {
            for column in 0..side {
                let (ys, xs) = (cell(row, height), cell(column, width));
                let count = (ys.len() * xs.len() * 3) as f32;
                let sum: f32 = ys
                    .flat_map(|y| xs.clone().map(move |x| (y * width + x) * 3))
                    .map(|at| picture[at] + picture[at + 1] + picture[at + 2])
                    .sum();
                seen.push(sum / count - 0.5);
            }
        }
        Ok(seen)
    }

    /// Probabilities of the classes for [`Judge::features`].
    fn probabilities_of(&self, features: &[f32]) -> Vec<f64> {
        let [w1, b1, w2, b2] = &self.layers;
        let layer = |x: &[f32], w: &[f32], b: &[f32]| -> Vec<f32> {
            let sum = |k: usize| b[k] + x.iter().enumerate().map(|(i, x)| x * w[i * b.len() + k]).sum::<f32>();
            (0..b.len()).map(sum).collect()
        };
        let hidden: Vec<f32> = layer(features, w1, b1).into_iter().map(f32::tanh).collect();
        let scores = layer(&hidden, w2, b2);
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let parts: Vec<f64> = scores.iter().map(|s| ((s - most) as f64).exp()).collect();
        let total: f64 = parts.iter().sum();
        parts.into_iter().map(|p| p / total).collect()
    }

    /// The most probable class for features of side² numbers.
    pub fn class_of(&self, features: &[f32]) -> usize {
        let p = self.probabilities_of(features);
        (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap_or(0)
    }

    /// Probabilities of the classes for a display-encoded picture [height, width, 3].
    ///
    /// # Errors
    /// As [`Judge::features`].
    pub fn probabilities(&self, picture: &[f32], width: usize, height: usize) -> Result<Vec<f64>> {
        Ok(self.probabilities_of(&Self::features(self.side, picture, width, height)?))
    }

    /// The most probable class of such a picture.
    ///
    /// # Errors
    /// As [`Judge::features`].
    pub fn class(&self, picture: &[f32], width: usize, height: usize) -> Result<usize> {
        Ok(self.class_of(&Self::features(self.side, picture, width, height)?))
    }

    /// The file, safetensors.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (hidden, classes) = (self.layers[1].len(), self.layers[3].len());
        let shapes = [vec![self.side * self.side, hidden], vec![hidden], vec![hidden, classes], vec![classes]];
        let bytes: Vec<Vec<u8>> =
            self.layers.iter().map(|l| l.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let bad = |e: safetensors::SafeTensorError| Error::job(format!("a judge cannot be written: {e}"));
        let mut views = vec![];
        for (k, (shape, data)) in shapes.into_iter().zip(&bytes).enumerate() {
            views.push((format!("layer{k}"), TensorView::new(Dtype::F32, shape, data).map_err(bad)?));
        }
        let facts = serde_json::json!({ "labels": self.labels, "side": self.side }).to_string();
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_string(), facts)]))).map_err(bad)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Missing, truncated or other files.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads what [`Judge::to_bytes`] wrote; `name` is what messages call it.
    ///
    /// # Errors
    /// Truncated or other files.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |message: String| Error::file(name, message, "examples/make_priors.rs makes one");
        let broken = |e: safetensors::SafeTensorError| bad(format!("not a whole safetensors file ({e})"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let facts = header.metadata().as_ref().and_then(|m| m.get(KEY));
        let facts: Option<serde_json::Value> = facts.and_then(|text| serde_json::from_str(text).ok());
        let facts = facts.ok_or_else(|| bad(format!("no judge: its metadata has no {KEY}")))?;
        let words = facts["labels"].as_array().map(|l| l.iter().filter_map(|x| x.as_str().map(String::from)).collect());
        let labels: Vec<String> = words.unwrap_or_default();
        let side = facts["side"].as_u64().filter(|s| (1..=256).contains(s));
        let side = side.ok_or_else(|| bad("its metadata has no side from 1 to 256".into()))? as usize;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut layers: [Vec<f32>; 4] = Default::default();
        let mut shapes = vec![];
        for (k, layer) in layers.iter_mut().enumerate() {
            let view = file.tensor(&format!("layer{k}")).map_err(broken)?;
            if view.dtype() != Dtype::F32 {
                return Err(bad(format!("layer{k} holds {:?}, expected F32", view.dtype())));
            }
            *layer = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            shapes.push(view.shape().to_vec());
        }
        let (hidden, classes) = (layers[1].len(), labels.len());
        let expected = [vec![side * side, hidden], vec![hidden], vec![hidden, classes], vec![classes]];
        match shapes == expected && classes > 0 && layers.iter().flatten().all(|x| x.is_finite()) {
            true => Ok(Self { labels, side, layers }),
            false => Err(bad(format!("layers have shapes {shapes:?}, expected {expected:?} of finite numbers"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        // Bright pictures are "day", dark ones "night".
        let layers = [vec![1.0; 4], vec![0.0], vec![5.0, -5.0], vec![0.0; 2]];
        Judge { labels: vec!["day".into(), "night".into()], side: 2, layers }
    }

    #[test]
    fn a_picture_is_judged_by_its_cells() {
        let (bright, dark) = ([0.9; 4 * 4 * 3], [0.1; 4 * 4 * 3]);
        assert_eq!(judge().class(&bright, 4, 4).unwrap(), 0);
        assert_eq!(judge().class(&dark, 4, 4).unwrap(), 1);
        let p = judge().probabilities(&bright, 4, 4).unwrap();
        // tanh(4·0.4) by hand.
        let expected = 1.0 / (1.0 + (-10.0 * 1.6f64.tanh()).exp());
        assert!((p[0] - expected).abs() < 1e-6 && (p[0] + p[1] - 1.0).abs() < 1e-12);
        assert!(judge().class(&bright[..3], 1, 1).is_err());
    }

    #[test]
    fn files_hold_judges_and_broken_ones_are_errors() {
        let bytes = judge().to_bytes().unwrap();
        assert_eq!(Judge::from_bytes("a file", &bytes).unwrap(), judge());
        for cut in [0, 9, bytes.len() / 2, bytes.len() - 1] {
            assert!(Judge::from_bytes("cut", &bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let _ = Judge::from_bytes("damaged", &damaged); // an error or a judge, never a panic
        }
    }
}
