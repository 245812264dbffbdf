//! COLMAP's text files.

use super::{Camera, Image, Point, camera};
use crate::{Error, Result};
use std::path::Path;
use std::str::FromStr;

/// Lines that are not comments, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.starts_with('#'))
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The fields of one line.
struct Fields<'a> {
    location: String,
    words: std::str::SplitWhitespace<'a>,
}

impl<'a> Fields<'a> {
    fn new(path: &Path, number: usize, line: &'a str) -> Self {
        Self { location: format!("{}:{number}", path.display()), words: line.split_whitespace() }
    }

    fn word(&mut self) -> Result<&'a str> {
        let ended = || Error::invalid(&self.location, "the line ends too early", "the file is cut off or damaged");
        self.words.next().ok_or_else(ended)
    }

    fn next<T: FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse().map_err(|_| Error::invalid(&self.location, format!("{word:?} is not a number that fits here"), ""))
    }

    fn array<T: FromStr + Copy + Default, const N: usize>(&mut self) -> Result<[T; N]> {
        let mut out = [T::default(); N];
        for x in &mut out {
            *x = self.next()?;
        }
        Ok(out)
    }
}

pub(super) fn cameras(path: &Path) -> Result<Vec<Camera>> {
    let text = read(path)?;
    let filled = lines(&text).filter(|(_, line)| !line.is_empty());
    let parse = |(number, line)| {
        let mut f = Fields::new(path, number, line);
        let (id, model, size) = (f.next()?, f.word()?, f.array()?);
        let mut parameters = Vec::new();
        while f.words.clone().next().is_some() {
            parameters.push(f.next()?);
        }
        camera(&f.location, id, model, size, &parameters)
    };
    filled.map(parse).collect()
}

pub(super) fn images(path: &Path) -> Result<Vec<Image>> {
    let text = read(path)?;
    let mut lines = lines(&text);
    let mut list = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let mut f = Fields::new(path, number, line);
        let (_, quat, translation, camera_id): (u32, _, _, _) = (f.next()?, f.array()?, f.array()?, f.next()?);
        // The name is the rest of the line: it may hold spaces.
        let name = line.splitn(10, ' ').nth(9).unwrap_or(f.word()?).to_string();
        let mut observations = Vec::new();
        // The second line of a picture lists its points, and is empty where it has none.
        let (number, line) = lines.next().unwrap_or((number + 1, ""));
        let mut f = Fields::new(path, number, line);
        while f.words.clone().next().is_some() {
            let (pixel, point): (_, i64) = (f.array()?, f.next()?);
            if let Ok(point) = u64::try_from(point) {
                observations.push((pixel, point));
            }
        }
        list.push(Image { name, camera_id, quat, translation, observations });
    }
    Ok(list)
}

pub(super) fn points(path: &Path) -> Result<Vec<Point>> {
    let text = read(path)?;
    let filled = lines(&text).filter(|(_, line)| !line.is_empty());
    let parse = |(number, line)| {
        let mut f = Fields::new(path, number, line);
        Ok(Point { id: f.next()?, position: f.array()?, color: f.array()? })
    };
    filled.map(parse).collect()
}
