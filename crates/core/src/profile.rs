//! Time and bytes per kernel, for `--profile`.

use crate::Result;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

/// What one kernel has cost since [`enable`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Kernel name.
    pub name: String,
    /// Number of launches.
    pub launches: u64,
    /// Seconds in the CPU body; on a GPU, seconds until the device finished the launch.
    pub seconds: f64,
    /// Bytes of the buffers that it was given.
    pub bytes: u64,
}

static ENABLED: AtomicBool = AtomicBool::new(false);
static TABLE: LazyLock<Mutex<HashMap<String, Entry>>> = LazyLock::new(Mutex::default);

/// Starts (or stops) recording. Recording a GPU waits for every launch, so totals are right and overlap is lost.
pub fn enable(on: bool) {
    ENABLED.store(on, Ordering::Relaxed);
}

/// True while recording.
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Forgets what was recorded.
pub fn reset() {
    TABLE.lock().unwrap().clear();
}

/// What was recorded, most expensive first.
pub fn table() -> Vec<Entry> {
    let mut rows: Vec<Entry> = TABLE.lock().unwrap().values().cloned().collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// Runs `f`, adding its time and bytes to the table while recording.
pub fn record<T>(name: &str, bytes: usize, f: impl FnOnce() -> Result<T>) -> Result<T> {
    if !enabled() {
        return f();
    }
    let start = Instant::now();
    let result = f();
    let seconds = start.elapsed().as_secs_f64();
    let mut table = TABLE.lock().unwrap();
    let entry = table.entry(name.into()).or_insert_with(|| Entry { name: name.into(), ..Default::default() });
    entry.launches += 1;
    entry.seconds += seconds;
    entry.bytes += bytes as u64;
    result
}
