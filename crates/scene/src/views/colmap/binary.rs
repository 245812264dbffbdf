//! COLMAP's little-endian binary files.

use super::{Camera, Image, MODELS, Point, camera};
use crate::{Error, Result};
use std::path::Path;

struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
    record: String,
}

impl Reader<'_> {
    fn location(&self) -> String {
        format!("{}: {}", self.path.display(), self.record)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = found.copied().ok_or_else(|| {
            let message = format!("the file ends at byte {}", self.bytes.len());
            Error::invalid(self.location(), message, "the file is cut off")
        })?;
        self.at += N;
        Ok(found)
    }

    fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn floats<const N: usize>(&mut self) -> Result<[f64; N]> {
        let mut out = [0.0; N];
        for x in &mut out {
            *x = self.take().map(f64::from_le_bytes)?;
        }
        Ok(out)
    }

    /// A count of records of at least `size` bytes: refused where the rest of the file cannot hold them, so that no
    /// count can ask for more memory than the file's own size.
    fn count(&mut self, size: usize) -> Result<usize> {
        let count = self.u64()?;
        let rest = self.bytes.len() - self.at;
        if count > (rest / size) as u64 {
            let message = format!("{count} records are announced, but only {rest} bytes follow");
            return Err(Error::invalid(self.location(), message, "the file is cut off or damaged"));
        }
        Ok(count as usize)
    }

    fn string(&mut self) -> Result<String> {
        let mut name = Vec::new();
        loop {
            match self.take::<1>()? {
                [0] => return Ok(String::from_utf8_lossy(&name).into_owned()),
                [byte] => name.push(byte),
            }
        }
    }
}

fn records<T>(path: &Path, what: &str, size: usize, mut read: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let mut reader = Reader { path, bytes: &bytes, at: 0, record: "count".into() };
    let count = reader.count(size)?;
    let mut list = Vec::with_capacity(count);
    for i in 0..count {
        reader.record = format!("{what} record {i}");
        list.push(read(&mut reader)?);
    }
    Ok(list)
}

pub(super) fn cameras(path: &Path) -> Result<Vec<Camera>> {
    records(path, "camera", 48, |r| {
        let (id, model) = (r.u32()?, r.u32()?);
        let size = [r.u64()?, r.u64()?];
        let Some((name, n)) = MODELS.get(model as usize) else {
            return Err(Error::unsupported(r.location(), format!("the camera model number {model}"), ""));
        };
        let parameters = (0..*n).map(|_| Ok(r.floats::<1>()?[0])).collect::<Result<Vec<f64>>>()?;
        camera(&r.location(), id, name, size, &parameters)
    })
}

pub(super) fn images(path: &Path) -> Result<Vec<Image>> {
    records(path, "image", 73, |r| {
        r.u32()?;
        let (quat, translation, camera_id, name) = (r.floats()?, r.floats()?, r.u32()?, r.string()?);
        let n = r.count(24)?;
        let mut observations = Vec::new();
        for _ in 0..n {
            let (pixel, point) = (r.floats()?, r.u64()?);
            if point != u64::MAX {
                observations.push((pixel, point));
            }
        }
        Ok(Image { name, camera_id, quat, translation, observations })
    })
}

pub(super) fn points(path: &Path) -> Result<Vec<Point>> {
    records(path, "point", 51, |r| {
        let (id, position, color) = (r.u64()?, r.floats()?, r.take()?);
        r.floats::<1>()?;
        let track = r.count(8)?;
        r.at += 8 * track;
        Ok(Point { id, position, color })
    })
}
