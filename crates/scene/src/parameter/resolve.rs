//! Finds parameters by pattern.

use super::Parameter;
use super::list::Entry;
use crate::{Error, Result, Scene};

/// How many nearest pointers an error names.
const SUGGESTIONS: usize = 3;

impl Scene {
    /// The parameters that `pattern` names.
    ///
    /// A pattern is a pointer in which names may stand in place of indices and `*` for anything: one step, or at the end
    /// one step or more (`/materials/Helmet/*`).
    ///
    /// # Errors
    /// Nothing matches; the error names the nearest pointers.
    pub fn resolve(&self, pattern: &str) -> Result<Vec<Parameter>> {
        let entries = self.entries();
        let matching = |listed: bool| -> Vec<Parameter> {
            let hit = |e: &&Entry| {
                (e.listed || !listed)
                    && (matches(pattern, &e.parameter.pointer)
                        || e.parameter.name.as_ref().is_some_and(|n| matches(pattern, n)))
            };
            entries.iter().filter(hit).map(|e| e.parameter.clone()).collect()
        };
        // A wildcard at the end means what is there; what could be there must be asked for by name.
        let mut found = matching(true);
        if found.is_empty() && !pattern.ends_with('*') {
            found = matching(false);
        }
        if found.is_empty() { Err(self.unknown(pattern, &entries)) } else { Ok(found) }
    }

    pub(super) fn unknown(&self, pattern: &str, entries: &[Entry]) -> Error {
        let spellings = entries.iter().filter(|e| e.listed).flat_map(|e| {
            let p = &e.parameter;
            [Some(&p.pointer), p.name.as_ref()]
                .into_iter()
                .flatten()
                .map(|s| (strsim::normalized_levenshtein(pattern, s), s))
        });
        let mut nearest: Vec<(f64, &String)> = spellings.collect();
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
        nearest.truncate(SUGGESTIONS);
        let help = match nearest.as_slice() {
            [] => "the scene has no parameters".to_owned(),
            near => format!("did you mean {}?", near.iter().map(|(_, s)| s.as_str()).collect::<Vec<_>>().join(", ")),
        };
        Error::invalid(format!("{}#{pattern}", self.file()), "no parameter matches this pointer", help)
    }
}

fn matches(pattern: &str, pointer: &str) -> bool {
    let (mut pattern, mut pointer) = (pattern.split('/').peekable(), pointer.split('/'));
    while let Some(want) = pattern.next() {
        let Some(have) = pointer.next() else { return false };
        if want == "*" && pattern.peek().is_none() {
            return true;
        }
        if want != "*" && want != have {
            return false;
        }
    }
    pointer.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_matches_one_step_or_the_rest() {
        assert!(matches("/a/*/c", "/a/b/c"));
        assert!(matches("/a/*", "/a/b/c"));
        assert!(matches("/a/*", "/a/b"));
        assert!(!matches("/a/*/c", "/a/b/d"));
        assert!(!matches("/a/*/c", "/a/b/b/c"));
        assert!(!matches("/a/*", "/a"));
        assert!(!matches("/a/b", "/a/b/c"));
    }
}
