//! Kernels whose WGSL is made when sizes are known. Their CPU body is another operator's business.

use crate::{Device, Result, Tensor};

/// A kernel for GPUs whose text depends on more than permutations can name, as fused networks do.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Name in profiles and messages.
    pub name: String,
    /// WGSL before imports are resolved: parameters are binding 0, then come inputs, then outputs.
    pub wgsl: String,
    /// Entry point.
    pub entry: &'static str,
    key: String,
}

impl Generated {
    /// A kernel of this text.
    pub fn new(name: &str, wgsl: String, entry: &'static str) -> Self {
        let key = format!("{name} {entry} {:016x}", crate::wgsl::hash(&wgsl));
        Self { name: name.into(), wgsl, entry, key }
    }

    /// Runs it in `groups` workgroups (folded beyond 65 535, as `group_index` of the shader library undoes).
    ///
    /// # Errors
    /// The adapter's limits; tensors that are on other devices.
    pub fn launch(
        &self,
        device: &Device,
        params: &[u8],
        reads: &[&Tensor],
        writes: &mut [&mut Tensor],
        groups: usize,
    ) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = device.gpu() {
            for tensor in writes.iter_mut() {
                tensor.make_unique()?;
            }
            let bindings: Vec<bool> = reads.iter().map(|_| false).chain(writes.iter().map(|_| true)).collect();
            let tensors = reads.iter().copied().chain(writes.iter().map(|t| &**t));
            let tensors: Vec<_> = tensors.map(crate::gpu::Binding::whole).collect();
            let pipeline = gpu.pipeline(&self.key, self.entry, &self.wgsl, &bindings)?;
            return gpu.dispatch(&pipeline, params, &tensors, (groups, 1), &self.name);
        }
        let _ = (params, reads, writes, groups);
        Err(crate::Error::Unsupported {
            kernel: self.name.clone(),
            device: device.to_string(),
            reason: "its text is made for GPUs".into(),
        })
    }
}
