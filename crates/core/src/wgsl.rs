//! Shared WGSL: `#import name` lines are replaced by the text of `shaders/name.wgsl`, once each; `#import name arg`
//! replaces `$` in that text by `arg`.

use std::collections::HashSet;

macro_rules! library {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../shaders/", $name, ".wgsl")))),*]
    };
}

const LIBRARY: &[(&str, &str)] = library![
    "atomic_float",
    "atomics",
    "dispatch",
    "patch",
    "radix",
    "scan",
    "scan_apply",
    "scan_blocks",
    "tile_product",
    "tiles",
    "workgroup_sum"
];

/// Texts that take the place of others on adapters with atomic float addition, under the name `…_native`.
const NATIVE: &[(&str, &str)] = library!["atomic_float_native", "atomics_native"];

/// Replaces imports by their text, for every adapter.
///
/// # Panics
/// When a shader of ours imports what is not in `shaders/`; a test resolves every kernel.
pub fn resolve(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 1024);
    expand(source, false, &mut HashSet::new(), &mut out);
    out
}

/// Replaces imports by their text, for adapters with atomic float addition (`SHADER_FLOAT32_ATOMIC`).
///
/// # Panics
/// As [`resolve`].
pub fn resolve_native(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 1024);
    expand(source, true, &mut HashSet::new(), &mut out);
    out
}

fn library_text(name: &str, native: bool) -> &'static str {
    let native_name = format!("{name}_native");
    let found = NATIVE.iter().find(|(n, _)| native && *n == native_name);
    let (_, text) = found
        .or_else(|| LIBRARY.iter().find(|(n, _)| *n == name))
        .unwrap_or_else(|| panic!("shaders/{name}.wgsl is not in the library of core/src/wgsl.rs"));
    text
}

fn expand(source: &str, native: bool, seen: &mut HashSet<String>, out: &mut String) {
    for line in source.lines() {
        match line.trim().strip_prefix("#import ") {
            Some(import) => {
                let (name, argument) = import.trim().split_once(' ').unwrap_or((import.trim(), "$"));
                if seen.insert(import.trim().into()) {
                    expand(&library_text(name, native).replace('$', argument), native, seen, out);
                }
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}

/// A hash of shader text, for pipeline caches.
pub fn hash(text: &str) -> u64 {
    // FNV-1a: stable across runs, good enough for a few hundred shaders.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3))
}
