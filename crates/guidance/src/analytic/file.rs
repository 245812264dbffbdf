//! Mixtures in safetensors files.

use super::{Component, Covariance, Mixture, Pictures};
use crate::file::KEY;
use crate::{Error, Result, View};
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;

/// How means and directions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    Full,
    /// 16-bit floats: half the size, pixel values to 1/2000.
    Half,
}

fn bytes_of(values: &[f64], precision: Precision) -> (Dtype, Vec<u8>) {
    match precision {
        Precision::Full => (Dtype::F32, values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()),
        Precision::Half => (Dtype::F16, values.iter().flat_map(|x| f16::from_f64(*x).to_le_bytes()).collect()),
    }
}

impl Mixture {
    /// The file: arrays `means` [K, D], `weights` \[K\], `variances` [K, r or D], and for principal directions `directions`
    /// [K, D, r] and `residuals` \[K\]; `labels` \[K\] (−1 for none) and `views` [K, 2] (azimuth, elevation; NaN for none).
    /// The metadata `lumigrad.prior` holds the rest as JSON.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        let (count, d) = (self.components.len(), self.dimensions());
        let all = |f: &dyn Fn(&Component) -> Vec<f64>| -> Vec<f64> { self.components.iter().flat_map(f).collect() };
        let mut arrays = vec![
            ("means", vec![count, d], bytes_of(&all(&|c| c.mean.clone()), precision)),
            ("weights", vec![count], bytes_of(&all(&|c| vec![c.weight]), Precision::Full)),
            ("labels", vec![count], bytes_of(&all(&|c| vec![c.label.map_or(-1.0, |l| l as f64)]), Precision::Full)),
        ];
        let seen = all(&|c| c.view.map_or(vec![f64::NAN; 2], |v| vec![v.azimuth, v.elevation]));
        arrays.push(("views", vec![count, 2], bytes_of(&seen, Precision::Full)));
        let variances = all(&|c| match &c.covariance {
            Covariance::Principal { variances, .. } | Covariance::Cosine { variances } => variances.clone(),
        });
        arrays.push(("variances", vec![count, variances.len() / count], bytes_of(&variances, Precision::Full)));
        let rank = self.components[0].covariance.rank();
        if let Some(r) = rank {
            let part = |c: &Component, which: bool| match (&c.covariance, which) {
                (Covariance::Principal { directions, .. }, true) => directions.clone(),
                (Covariance::Principal { residual, .. }, false) => vec![*residual],
                _ => vec![],
            };
            arrays.push(("directions", vec![count, d, r], bytes_of(&all(&|c| part(c, true)), precision)));
            arrays.push(("residuals", vec![count], bytes_of(&all(&|c| part(c, false)), Precision::Full)));
        }
        let header = json!({
            "kind": "mixture",
            "version": 1,
            "size": self.info.size,
            "channels": self.info.channels,
            "range": self.info.range,
            "labels": self.info.labels,
            "concentration": self.concentration,
            "basis": if rank.is_some() { "principal" } else { "cosine" },
        });
        let invalid = |e: safetensors::SafeTensorError| Error::Setting(format!("a mixture cannot be written: {e}"));
        let views = arrays
            .iter()
            .map(|(name, shape, (dtype, data))| Ok((*name, TensorView::new(*dtype, shape.clone(), data)?)))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(invalid)?;
        let metadata = HashMap::from([(KEY.to_string(), header.to_string())]);
        safetensors::serialize(views, Some(metadata)).map_err(invalid)
    }

    /// Reads what [`Mixture::to_bytes`] wrote; `name` is what messages call it.
    ///
    /// # Errors
    /// Truncated files, other priors, arrays of other shapes, numbers that make no mixture.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |reason: String| Error::File { file: name.into(), reason };
        let broken = |e: safetensors::SafeTensorError| bad(format!("not a whole safetensors file ({e})"));
        let header = crate::file::header(name, bytes)?;
        if header["kind"] != "mixture" {
            return Err(bad(format!("a prior of kind {}, expected \"mixture\"", header["kind"])));
        }
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let numbers = |key: &str| -> Option<Vec<f64>> { header[key].as_array()?.iter().map(Value::as_f64).collect() };
        let missing = |key: &str| bad(format!("its metadata has no {key}, or it is broken"));
        let size = numbers("size").filter(|s| s.len() == 2).ok_or_else(|| missing("size"))?;
        let size = [size[0] as usize, size[1] as usize];
        let range = numbers("range").filter(|s| s.len() == 2).ok_or_else(|| missing("range"))?;
        let channels = header["channels"].as_u64().ok_or_else(|| missing("channels"))? as usize;
        let labels = header["labels"].as_array().ok_or_else(|| missing("labels"))?;
        let labels = labels.iter().map(|l| l.as_str().unwrap_or_default().to_string()).collect();
        let concentration = header["concentration"].as_f64().ok_or_else(|| missing("concentration"))?;
        let d = size[0].checked_mul(size[1]).and_then(|p| p.checked_mul(channels)).unwrap_or(usize::MAX);
        let array = |array: &str,
                     shape: &dyn Fn(&[usize]) -> bool,
                     expected: String|
         -> Result<(Vec<usize>, Vec<f64>)> {
            let view =
                file.tensor(array).map_err(|_| bad(format!("it has no array {array:?}; it may be truncated")))?;
            if !shape(view.shape()) {
                return Err(bad(format!("{array} has shape {:?}, expected {expected}", view.shape())));
            }
            let data = match view.dtype() {
                Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b) as f64).collect(),
                Dtype::F16 => view.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect(),
                other => return Err(bad(format!("{array} holds {other:?}, expected F32 or F16"))),
            };
            Ok((view.shape().to_vec(), data))
        };
        let (shape, means) = array("means", &|s| s.len() == 2 && s[1] == d && s[0] > 0, format!("[K, {d}]"))?;
        let count = shape[0];
        let one = |name: &str| array(name, &|s| s == [count], format!("[{count}]")).map(|a| a.1);
        let (weights, label_numbers) = (one("weights")?, one("labels")?);
        let views = array("views", &|s| s == [count, 2], format!("[{count}, 2]"))?.1;
        let (shape, variances) = array("variances", &|s| s.len() == 2 && s[0] == count, format!("[{count}, r]"))?;
        let r = shape[1];
        let principal = header["basis"] == "principal";
        let (directions, residuals) = match principal {
            false => (vec![], vec![]),
            true => {
                (array("directions", &|s| s == [count, d, r], format!("[{count}, {d}, {r}]"))?.1, one("residuals")?)
            }
        };
        if !principal && r != d {
            return Err(bad(format!("variances has shape {shape:?}, expected [{count}, {d}]")));
        }
        let component = |k: usize| Component {
            weight: weights[k],
            label: (label_numbers[k] >= 0.0).then_some(label_numbers[k] as usize),
            view: (!views[2 * k].is_nan()).then(|| View { azimuth: views[2 * k], elevation: views[2 * k + 1] }),
            mean: means[k * d..(k + 1) * d].to_vec(),
            covariance: match principal {
                true => Covariance::Principal {
                    directions: directions[k * d * r..(k + 1) * d * r].to_vec(),
                    variances: variances[k * r..(k + 1) * r].to_vec(),
                    residual: residuals[k],
                },
                false => Covariance::Cosine { variances: variances[k * r..(k + 1) * r].to_vec() },
            },
        };
        let components = (0..count).map(component).collect();
        let name = name.to_string();
        let pictures = Pictures { name, size, channels, range: [range[0], range[1]], labels, concentration };
        Self::new(pictures, components)
    }
}
