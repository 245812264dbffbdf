//! Checkpoints: named arrays and what they belong to, in one safetensors file.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Version of the layout of checkpoints.
const LAYOUT: &str = "1";

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
}

impl Array {
    fn len(&self) -> usize {
        match self {
            Array::F32(x) => x.len(),
            Array::F64(x) => x.len(),
            Array::U32(x) => x.len(),
        }
    }

    fn to_bytes(&self) -> (Dtype, Vec<u8>) {
        match self {
            Array::F32(x) => (Dtype::F32, x.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Array::F64(x) => (Dtype::F64, x.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Array::U32(x) => (Dtype::U32, x.iter().flat_map(|v| v.to_le_bytes()).collect()),
        }
    }

    fn from_view(view: &TensorView) -> Option<Self> {
        let four = || view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        Some(match view.dtype() {
            Dtype::F32 => Array::F32(four().map(f32::from_le_bytes).collect()),
            Dtype::U32 => Array::U32(four().map(u32::from_le_bytes).collect()),
            Dtype::F64 => {
                let eight = view.data().chunks_exact(8).filter_map(|b| b.try_into().ok());
                Array::F64(eight.map(f64::from_le_bytes).collect())
            }
            _ => return None,
        })
    }
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// The job that made it, as text: two checkpoints with the same text go on in the same way.
    pub job: String,
    /// Further facts by name.
    pub facts: BTreeMap<String, String>,
    /// Shape and elements by name.
    pub tensors: BTreeMap<String, (Vec<usize>, Array)>,
}

impl Checkpoint {
    /// Adds an array; its length is the product of `shape`.
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], array: Array) {
        debug_assert_eq!(array.len(), shape.iter().product::<usize>(), "array and shape differ");
        self.tensors.insert(name.into(), (shape.to_vec(), array));
    }

    /// Facts that are numbers, of names that begin with `prefix`, without it.
    pub fn numbers_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.facts.iter().filter_map(move |(name, text)| Some((name.strip_prefix(prefix)?, text.parse().ok()?)))
    }

    /// Arrays of 32-bit floats, of names that begin with `prefix`, without it, and their shapes.
    pub fn arrays_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])> {
        self.tensors.iter().filter_map(move |(name, (shape, array))| match array {
            Array::F32(data) => Some((name.strip_prefix(prefix)?, &shape[..], &data[..])),
            _ => None,
        })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut facts: HashMap<String, String> = self.facts.clone().into_iter().collect();
        for (name, value) in [
            ("lumigrad.layout", LAYOUT.to_owned()),
            ("lumigrad.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("lumigrad.step", self.step.to_string()),
            ("lumigrad.seed", self.seed.to_string()),
            ("lumigrad.job", self.job.clone()),
            ("lumigrad.job_hash", format!("{:016x}", fnv1a(self.job.as_bytes()))),
        ] {
            facts.insert(name.into(), value);
        }
        let bytes: Vec<_> = self.tensors.iter().map(|(name, (shape, a))| (name, shape, a.to_bytes())).collect();
        let invalid = |e: safetensors::SafeTensorError| Error::file(path.display(), e.to_string(), "");
        let mut views = vec![];
        for (name, shape, (dtype, data)) in &bytes {
            views.push((name.as_str(), TensorView::new(*dtype, (*shape).clone(), data).map_err(invalid)?));
        }
        let file = safetensors::serialize(views, Some(facts)).map_err(invalid)?;
        Ok(lumigrad_scene::write_atomically(path, &file)?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is missing, truncated, of another program or of another layout; elements of an unknown type.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let anew = "leave --resume out to start anew";
        let invalid = |message: String| Error::file(path.display(), message, anew);
        let damaged = |e: safetensors::SafeTensorError| invalid(format!("not a whole checkpoint: {e}"));
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let mut facts: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut take = |name: &str| facts.remove(&format!("lumigrad.{name}"));
        match take("layout") {
            Some(layout) if layout == LAYOUT => {}
            Some(layout) => return Err(invalid(format!("a checkpoint of layout {layout}, expected {LAYOUT}"))),
            None => return Err(invalid("not a checkpoint of lumigrad".into())),
        }
        let mut number = |name: &str| {
            let text = take(name).unwrap_or_default();
            text.parse().map_err(|_| invalid(format!("lumigrad.{name} is {text:?}, expected a whole number")))
        };
        let (step, seed) = (number("step")?, number("seed")?);
        let job = take("job").unwrap_or_default();
        let (hash, _) = (take("job_hash").unwrap_or_default(), take("version"));
        if hash != format!("{:016x}", fnv1a(job.as_bytes())) {
            return Err(invalid("the job in it does not fit its hash".into()));
        }
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let kind = view.dtype();
            let array = Array::from_view(&view)
                .ok_or_else(|| invalid(format!("{name} holds {kind:?}, expected F32, F64 or U32")))?;
            tensors.insert(name, (view.shape().to_vec(), array));
        }
        Ok(Self { step, seed, job, facts, tensors })
    }

    /// An array of 32-bit floats of a known shape.
    ///
    /// # Errors
    /// There is none of this name, type and shape.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        match self.expect(name, shape)? {
            Array::F32(x) => Ok(x),
            _ => Err(mismatch(name, "other elements than 32-bit floats".into())),
        }
    }

    /// An array of 64-bit floats of a known shape.
    ///
    /// # Errors
    /// There is none of this name, type and shape.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<&[f64]> {
        match self.expect(name, shape)? {
            Array::F64(x) => Ok(x),
            _ => Err(mismatch(name, "other elements than 64-bit floats".into())),
        }
    }

    /// An array of 32-bit unsigned integers of a known shape.
    ///
    /// # Errors
    /// There is none of this name, type and shape.
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<&[u32]> {
        match self.expect(name, shape)? {
            Array::U32(x) => Ok(x),
            _ => Err(mismatch(name, "other elements than 32-bit integers".into())),
        }
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<&Array> {
        match self.tensors.get(name) {
            Some((found, array)) if found == shape => Ok(array),
            Some((found, _)) => Err(mismatch(name, format!("shape {found:?}, expected {shape:?}"))),
            None => Err(mismatch(name, "nothing".into())),
        }
    }

    /// Checks that the checkpoint belongs to a job.
    ///
    /// # Errors
    /// The job has changed; the message shows the first line that differs.
    pub fn check_job(&self, job: &str) -> Result<()> {
        if self.job == job {
            return Ok(());
        }
        let mut pairs = self.job.lines().zip(job.lines());
        let differs =
            pairs.find(|(a, b)| a != b).map_or(String::new(), |(a, b)| format!(": it has {a:?}, now it is {b:?}"));
        let message = format!("the job has changed since the checkpoint was written{differs}");
        Err(Error::file("--resume", message, "give the same job, or leave --resume out to start anew"))
    }
}

fn mismatch(name: &str, found: String) -> Error {
    let help = "the checkpoint belongs to another job; leave --resume out to start anew";
    Error::file("--resume", format!("the checkpoint has {found} for {name:?}"), help)
}

/// The FNV-1a hash, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut c = Checkpoint { step: 7, seed: 3, job: "seed = 3\nloss = \"l1\"\n".into(), ..Checkpoint::default() };
        c.facts.insert("history".into(), "[]".into());
        c.insert("/a", &[2, 2], Array::F32(vec![1.0, -2.0, f32::MIN_POSITIVE, 4.5]));
        c.insert("order", &[3], Array::U32(vec![1, 2, u32::MAX]));
        c.insert("adam.v", &[1], Array::F64(vec![0.1]));
        c.insert("empty", &[0, 4], Array::F32(vec![]));
        c
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        sample().save(&path).unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        assert_eq!(loaded, sample());
        assert_eq!(loaded.f32("/a", &[2, 2]).unwrap()[1], -2.0);
        assert_eq!(loaded.u32("order", &[3]).unwrap()[2], u32::MAX);
        assert!(loaded.f32("/a", &[4]).unwrap_err().to_string().contains("expected [4]"));
        assert!(loaded.f32("order", &[3]).is_err() && loaded.f32("none", &[3]).is_err());
        assert!(loaded.check_job(&sample().job).is_ok());
        let changed = loaded.check_job("seed = 4\nloss = \"l1\"\n").unwrap_err().to_string();
        assert!(changed.contains("seed = 3") && changed.contains("seed = 4"), "{changed}");
    }

    #[test]
    fn every_truncation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        sample().save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for n in 0..whole.len() {
            std::fs::write(&path, &whole[..n]).unwrap();
            assert!(Checkpoint::load(&path).is_err(), "{n} of {} bytes", whole.len());
        }
        std::fs::write(&path, safetensors::serialize(Vec::<(&str, TensorView)>::new(), None).unwrap()).unwrap();
        assert!(Checkpoint::load(&path).unwrap_err().to_string().contains("not a checkpoint of lumigrad"));
        assert!(Checkpoint::load(&folder.path().join("missing")).is_err());
    }
}
