//! Parameters where they are needed.

use crate::Result;
use lumigrad_core::{Device, Tensor, Var};
use std::sync::{Arc, Mutex, PoisonError};

/// Parameters of a network, kept on the CPU and on the device that asked for them last.
pub struct Placed {
    home: Vec<Tensor>,
    moved: Mutex<Option<(Device, Arc<Vec<Var>>)>>,
}

impl Placed {
    /// Of tensors on the CPU.
    pub fn new(home: Vec<Tensor>) -> Self {
        Self { home, moved: Mutex::new(None) }
    }

    /// As they were given.
    pub fn home(&self) -> &[Tensor] {
        &self.home
    }

    /// On a device; moved once.
    ///
    /// # Errors
    /// Memory of the device.
    pub fn on(&self, device: &Device) -> Result<Arc<Vec<Var>>> {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = moved.as_ref().filter(|(at, _)| at == device) {
            return Ok(known.clone());
        }
        // The copy on another device goes before the new one is made.
        *moved = None;
        let there =
            self.home.iter().map(|t| Ok(t.to_device(device)?.into())).collect::<lumigrad_core::Result<Vec<Var>>>()?;
        let there = Arc::new(there);
        *moved = Some((device.clone(), there.clone()));
        Ok(there)
    }
}
