//! The corpus of the fuzz targets, and mutations of it, through the readers of scenes, splats, fields and jobs: never a panic, never
//! much memory. `LUMIGRAD_FUZZ_ROUNDS` sets the number of mutations.

#[path = "fuzz/readers.rs"]
mod readers;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Mutations of each corpus in an ordinary test run.
const ROUNDS: u64 = 10_000;
/// Bytes that reading a small file may hold: a file may declare 2^24 zeros without giving bytes for them.
const MAX_BYTES: usize = 400 << 20;

/// The system's allocator with a count of what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One reader at a time, so that the count is its own.
static TURN: Mutex<()> = Mutex::new(());

/// A counter-based generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// One to four changes: flipped bits, other digits, cut ends, repeated and removed spans, parts of other files.
fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    const NUMBERS: [&[u8]; 8] =
        [b"-1", b"0", b"1e38", b"1e999", b"4294967295", b"18446744073709551616", b"0.5", b"null"];
    for _ in 0..1 + random.below(4) {
        let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
        let (start, end) = (at.min(other), (at.max(other)).min(at.min(other) + 64));
        match random.below(9) {
            _ if bytes.is_empty() => return,
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(start..end)),
            4 => {
                let span = bytes[start..end].to_vec();
                bytes.splice(other..other, span);
            }
            5 => {
                let donor = &corpus[random.below(corpus.len())];
                let from = random.below(donor.len());
                let span = donor[from..donor.len().min(from + random.below(200))].to_vec();
                bytes.splice(start..end, span);
            }
            // A wrong number keeps the syntax and so goes deepest.
            _ => {
                let Some(first) = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit()) else { continue };
                let last = (first..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
                match random.below(2) {
                    0 => bytes[first] = b'0' + random.below(10) as u8,
                    _ => drop(bytes.splice(first..last, NUMBERS[random.below(NUMBERS.len())].iter().copied())),
                }
            }
        }
    }
}

/// Reads the corpus, all of which must be good, and then mutations.
fn fuzz(folder: &str, seed: u64, read: fn(&[u8]) -> bool) {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, bytes) in files.iter().zip(&corpus) {
        assert!(read(bytes), "{} is read", file.display());
    }
    let rounds = std::env::var("LUMIGRAD_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let mut good = 0;
    for round in 0..rounds {
        let mut random = Random(seed.wrapping_mul(1 << 40) ^ round);
        let mut bytes = corpus[random.below(corpus.len())].clone();
        mutate(&mut bytes, &corpus, &mut random);
        let before = HELD.load(Relaxed);
        PEAK.store(before, Relaxed);
        let outcome = std::panic::catch_unwind(|| read(&bytes));
        let held = PEAK.load(Relaxed).saturating_sub(before);
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        match outcome {
            Ok(is_good) => good += u64::from(is_good),
            Err(_) => panic!("round {round} panics:\n{}", shown()),
        }
        assert!(held <= MAX_BYTES, "round {round} holds {held} bytes:\n{}", shown());
    }
    println!("{good} of {rounds} mutations are still good");
    assert!(good * 50 > rounds, "mutations that break everything test nothing");
}

#[test]
fn mutated_scenes_end_cleanly_in_bounded_memory() {
    fuzz("gltf", 1, readers::gltf);
}

#[test]
fn mutated_splats_end_cleanly_in_bounded_memory() {
    fuzz("splats", 3, readers::splats);
}

#[test]
fn mutated_fields_end_cleanly_in_bounded_memory() {
    fuzz("field", 4, readers::field);
}

#[test]
fn mutated_jobs_end_cleanly_in_bounded_memory() {
    fuzz("job", 2, readers::job);
}
