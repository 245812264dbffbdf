//! Room for the entries of lists whose number is not known when they are made.

use lumigrad_core::ops::concat_tensors;
use lumigrad_core::{CallParams, Map, Result, Tensor};
use std::sync::Mutex;

/// How many entries lists may have, and how many they would have had.
///
/// Lists that are made in a room are of its length: what is left over belongs to no tile, and what does not fit is left out.
/// Their numbers of entries stay on the device until they are asked for, together with what else a step is asked for; lists
/// that did not fit are then made again in a larger room, from the same arrays.
pub(crate) struct Room {
    entries: usize,
    /// Of each list that was made since the last question, u32 [1].
    counts: Mutex<Vec<Tensor>>,
}

impl Room {
    /// Of so many entries, at least one.
    pub fn new(entries: usize) -> Self {
        Self { entries: entries.max(1), counts: Mutex::default() }
    }

    /// Its length.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// A list has been made.
    pub fn enter(&self, count: Tensor) {
        self.counts.lock().expect("no panic holds it").push(count);
    }

    /// Numbers f32 of one element each, and whether all lists made since the last question fit; where they do not, the room
    /// is now larger. One read-back.
    ///
    /// **Errors**: those of the device.
    pub fn ask(&mut self, numbers: &[&Tensor]) -> Result<(Vec<f64>, bool)> {
        let counts = std::mem::take(self.counts.get_mut().expect("no panic holds it"));
        let beyond = Map::cached("splat/beyond the room", |m| {
            let ([count], most) = (m.item_int("counts"), m.int_param());
            m.output("beyond", &[(count - most).max(0).to_real()]);
        });
        let call = CallParams { items: 1, real: vec![], int: vec![self.entries as i32] };
        let mut asked = numbers.iter().map(|t| t.reshape(&[1])).collect::<Result<Vec<_>>>()?;
        for count in &counts {
            asked.push(beyond.run(&[&count.reshape(&[1, 1])?], &call)?.remove(0).reshape(&[1])?);
        }
        let found = concat_tensors(&asked.iter().collect::<Vec<_>>(), 0)?.to_f64_vec()?;
        let (numbers, beyond) = found.split_at(numbers.len());
        let beyond = beyond.iter().copied().fold(0.0, f64::max);
        if beyond > 0.0 {
            // A quarter more, for the pictures to come.
            self.entries = ((self.entries as f64 + beyond) * 1.25) as usize + 1;
        }
        Ok((numbers.to_vec(), beyond == 0.0))
    }
}
