//! What this machine can compute with.

use super::Summary;
use lumigrad_core::Device;
use serde_json::{Value, json};

/// Adapters with the limits that matter, instruction sets, and what `auto` takes and why.
pub fn devices(summary: &mut Summary) {
    #[cfg(feature = "gpu")]
    let adapters: Vec<Value> = lumigrad_core::gpu::adapters()
        .iter()
        .map(|a| {
            json!({
                "name": a.name, "backend": a.backend, "software": a.software,
                "max_binding_bytes": a.max_binding_bytes, "max_buffer_bytes": a.max_buffer_bytes,
                "max_storage_buffers": a.max_storage_buffers, "max_workgroup_bytes": a.max_workgroup_bytes,
                "subgroups": a.subgroups, "float_atomics": a.float_atomics, "f16": a.f16, "timestamps": a.timestamps,
            })
        })
        .collect();
    #[cfg(not(feature = "gpu"))]
    let adapters: Vec<Value> = vec![];
    let auto = Device::from_name("auto").unwrap_or_else(|_| Device::cpu());
    let why = match (auto.is_cpu(), adapters.is_empty()) {
        (false, _) => "a hardware adapter is there",
        (true, true) => "no adapter with a Vulkan, Metal or DX12 driver was found",
        (true, false) => "no hardware adapter can be used, and software adapters are slower than native code",
    };
    let cpu = json!({
        "instruction_set": lumigrad_core::device::instruction_set(),
        "architecture": std::env::consts::ARCH,
        "threads": rayon::current_num_threads(),
    });
    summary.details.insert("cpu".into(), cpu);
    summary.metric("adapters", adapters.len() as f64);
    summary.details.insert("adapters".into(), Value::Array(adapters));
    summary.details.insert("auto".into(), json!({"device": auto.to_string(), "why": why}));
}
