//! Shared WGSL: `#import name` lines are replaced by the text of `shaders/name.wgsl`, once each; `#import name arg`
//! replaces `$` in that text by `arg`.

use std::collections::HashSet;

const LIBRARY: &[(&str, &str)] = &[
    ("dispatch", include_str!("../../../shaders/dispatch.wgsl")),
    ("atomics", include_str!("../../../shaders/atomics.wgsl")),
];

/// Replaces imports by their text.
///
/// # Panics
/// When a shader of ours imports what is not in `shaders/`; a test resolves every kernel.
pub fn resolve(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 1024);
    expand(source, &mut HashSet::new(), &mut out);
    out
}

fn expand(source: &str, seen: &mut HashSet<String>, out: &mut String) {
    for line in source.lines() {
        match line.trim().strip_prefix("#import ") {
            Some(import) => {
                let (name, argument) = import.trim().split_once(' ').unwrap_or((import.trim(), "$"));
                if seen.insert(import.trim().into()) {
                    let (_, text) = LIBRARY
                        .iter()
                        .find(|(n, _)| *n == name)
                        .unwrap_or_else(|| panic!("shaders/{name}.wgsl is not in the library of core/src/wgsl.rs"));
                    expand(&text.replace('$', argument), seen, out);
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
