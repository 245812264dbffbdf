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
    /// Seconds in the CPU body; on a GPU between the timestamps around the launch, or until the device finished it.
    pub seconds: f64,
    /// Bytes of the buffers that it was given.
    pub bytes: u64,
}

static ENABLED: AtomicBool = AtomicBool::new(false);
static TABLE: LazyLock<Mutex<HashMap<String, Entry>>> = LazyLock::new(Mutex::default);

/// Starts (or stops) recording. GPUs that write timestamps are asked at each submission; with others every launch is
/// waited for, so that its time counts the way to the device and back.
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
    add(name, start.elapsed().as_secs_f64(), bytes);
    result
}

/// Adds a launch to the table.
pub(crate) fn add(name: &str, seconds: f64, bytes: usize) {
    let mut table = TABLE.lock().unwrap();
    let entry = table.entry(name.into()).or_insert_with(|| Entry { name: name.into(), ..Default::default() });
    entry.launches += 1;
    entry.seconds += seconds;
    entry.bytes += bytes as u64;
}
