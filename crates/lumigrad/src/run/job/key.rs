//! Keys of job files. A key is declared once, in a `job_keys!` table, with its type, its text and its default; the job
//! file's reader, the printed template, the command line's flags and their help are all made from that declaration.

use super::kind::Kind;

/// One key of a job file, which is also a flag.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in job files; the flag has `-` for `_`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Its default, or an example where it has none.
    pub preset: Preset,
    /// Lines of its documentation.
    pub doc: &'static [&'static str],
}

/// A key's value in a printed job, in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The value where none is given.
    Default(&'static str),
    /// The key has no value where none is given; this is one that it could have.
    Example(&'static str),
}

impl Preset {
    /// The value where none is given.
    pub const fn default(text: &'static str) -> Self {
        Self::Default(text)
    }

    /// An example for a key without a default.
    pub const fn example(text: &'static str) -> Self {
        Self::Example(text)
    }
}

impl Key {
    /// Documentation as one line, with the words that a choice is made from.
    pub fn help(&self) -> String {
        let mut text = self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        if let Kind::Choice(words) = self.kind {
            text += &format!(" One of {}.", words.join(", "));
        }
        text
    }

    /// The words of a long choice with what they mean, where the optimisers' or the losses' registry tells; else nothing.
    pub fn words(&self) -> Vec<(&'static str, &'static str)> {
        let Kind::Choice(words) = self.kind else { return vec![] };
        let methods = lumigrad_optim::METHODS.iter().map(|m| (m.name, m.about));
        let losses = lumigrad_optim::LOSSES.iter().map(|l| (l.name, l.about));
        let known: Vec<_> = methods.chain(losses).filter(|(name, _)| words.contains(name)).collect();
        if words.len() > 4 { known } else { vec![] }
    }

    /// Name of the flag, without the leading dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// Declares a struct of job values together with the table of its keys.
///
/// Each field: documentation, name, Rust type, [`Kind`], and `default "toml"` or `example "toml"`. `include field: Type;`
/// lines at the top take in the keys of another such struct.
macro_rules! job_keys {
    ($(#[doc = $about:literal])+ $name:ident {
        $(include $part:ident: $part_type:ty;)*
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty, $kind:expr, $given:ident $text:literal;)*
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Deserialize)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $(
                #[doc = concat!("Keys of [`", stringify!($part_type), "`].")]
                #[serde(flatten)]
                pub $part: $part_type,
            )*
        }

        impl $name {
            /// What the command does.
            pub const ABOUT: &[&str] = &[$($about),+];

            /// Its keys, in the order of a printed job.
            pub fn keys() -> Vec<$crate::run::job::Key> {
                #[allow(unused_mut)]
                let mut keys = vec![$($crate::run::job::Key {
                    name: stringify!($field),
                    kind: $kind,
                    preset: $crate::run::job::Preset::$given($text),
                    doc: &[$($doc),+],
                }),*];
                $(keys.extend(<$part_type>::keys());)*
                keys
            }
        }
    };
}
pub(crate) use job_keys;
