//! What can be created.

use super::learnt::{Learnt, Recorded};
use super::reference::Reference;
use crate::Result;
use crate::run::{Checkpoint, RunFolder, Summary};
use lumigrad_core::{Tape, Tensor, Var};
use lumigrad_guidance::View as Direction;

/// What is seen of a model.
pub struct Drawn {
    /// [n, side, side, 3] over white, display-encoded.
    pub renders: Var,
    /// Its normals as colours [n, side, side, 3] of the prior that pulls at them, while they are polished.
    pub normals: Option<Var>,
    /// What is added to the loss.
    pub loss: Option<Var>,
}

/// Something that is rendered, and pulled.
pub trait Model {
    /// Its arrays.
    fn learnt(&self) -> &Learnt;

    /// The same, to be changed.
    fn learnt_mut(&mut self) -> &mut Learnt;

    /// What is seen of arrays from some directions when so much of the run is done.
    ///
    /// # Errors
    /// Those of the renderer.
    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, progress: f64) -> Result<Drawn>;

    /// Multiplies colours (BEG).
    ///
    /// # Errors
    /// Those of the device.
    fn damp(&mut self, factor: f64) -> Result<()>;

    /// Becomes something finer, whose arrays are others, where the time for it has come: true.
    ///
    /// # Errors
    /// What it is gives nothing finer.
    fn refine(&mut self, _progress: f64) -> Result<bool> {
        Ok(false)
    }

    /// How much of the time of its present arrays is over, from 0 to 1, when so much of the run is done.
    fn share(&self, progress: f64) -> f64 {
        progress
    }

    /// Writes its state into a checkpoint.
    ///
    /// # Errors
    /// Those of the device.
    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.learnt().save(checkpoint)
    }

    /// Takes up a checkpoint.
    ///
    /// # Errors
    /// Arrays that are missing or of another size.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.learnt_mut().restore(checkpoint)
    }

    /// Writes the result; tells what the files are.
    ///
    /// # Errors
    /// Files that cannot be written.
    fn write(&self, folder: &RunFolder, summary: &mut Summary) -> Result<Vec<(&'static str, &'static str)>>;
}

impl dyn Model + '_ {
    /// Renders [n, side, side, 3] from some directions.
    ///
    /// # Errors
    /// As [`Model::drawn`].
    pub fn renders(&self, from: &[Direction], side: usize) -> Result<Tensor> {
        Ok(self.drawn(&self.learnt().vars(), from, side, 1.0)?.renders.tensor().clone())
    }

    /// The same, recorded, with the difference to a picture where there is one.
    ///
    /// # Errors
    /// As [`Model::drawn`].
    pub fn record(
        &self,
        from: &[Direction],
        side: usize,
        progress: f64,
        reference: Option<&Reference>,
    ) -> Result<Recorded> {
        let tape = Tape::new();
        let leaves: Vec<Var> = self.learnt().arrays.iter().map(|t| tape.variable(t.clone())).collect();
        let Drawn { renders, normals, mut loss } = self.drawn(&leaves, from, side, progress)?;
        if let Some(reference) = reference {
            let seen = self.drawn(&leaves, &[reference.direction], reference.side, progress)?;
            let off = reference.loss(&seen.renders)?;
            loss = Some(match loss {
                Some(loss) => loss.add(&off)?,
                None => off,
            });
        }
        Ok(Recorded { tape, leaves, renders, normals, loss })
    }
}
