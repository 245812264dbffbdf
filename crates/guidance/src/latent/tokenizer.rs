//! CLIP's byte-pair tokeniser, from `vocab.json` and `merges.txt` (Sennrich et al. 2016; Radford et al. 2021).

use super::config::{read_json, read_text};
use crate::{Error, Result};
use regex::Regex;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;

/// Marks the last part of a word.
const END_OF_WORD: &str = "</w>";
/// What words are: contractions, letters, single digits, anything else between blanks.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// Bytes of a word that are looked at: the work grows with their square, and texts have room for few tokens.
const LONGEST: usize = 4096;

/// Texts to numbers of a fixed length.
pub struct Tokenizer {
    vocabulary: HashMap<String, u32>,
    /// Rank of each pair that may be merged, by its first and its second part.
    merges: HashMap<String, HashMap<String, usize>>,
    words: Regex,
    /// The letter that stands for each byte.
    letters: [char; 256],
    /// Tokens that stand for themselves wherever a text has them, as "!" does where it is the padding.
    special: Vec<(String, u32)>,
    start: u32,
    end: u32,
    pad: u32,
    unknown: u32,
    length: usize,
}

/// A letter for each byte: itself where it is printable, otherwise the next free one from 256 on.
fn letters() -> [char; 256] {
    let mut free = 256;
    std::array::from_fn(|byte| {
        let own = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        if !own {
            free += 1;
        }
        char::from_u32(if own { byte } else { free - 1 } as u32).expect("below 512")
    })
}

/// A token that a file names as text or as {"content": text}.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

impl Tokenizer {
    /// The tokeniser in a folder.
    ///
    /// # Errors
    /// Missing files; merges or special tokens that are not in the vocabulary.
    pub fn open(folder: &Path) -> Result<Self> {
        let [vocab, merges] = ["vocab.json", "merges.txt"].map(|name| folder.join(name));
        let wrong = |path: &Path, reason: String| Error::File { file: path.display().to_string(), reason };
        let vocabulary: HashMap<String, u32> = read_json(&vocab)?;
        let mut ranks: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (k, line) in read_text(&merges)?.lines().enumerate() {
            if line.trim().is_empty() || (k == 0 && line.starts_with("#version")) {
                continue;
            }
            let pair = line.split_once(' ').filter(|(_, b)| !b.contains(' '));
            let Some((a, b)) = pair else {
                return Err(wrong(&merges, format!("line {} is {line:?}, expected two parts of a word", k + 1)));
            };
            // Line numbers are ranks.
            ranks.entry(a.to_owned()).or_default().entry(b.to_owned()).or_insert(k);
        }
        // Either file may name the special tokens; the second counts where both do.
        let mut said = HashMap::from([("bos_token", "<|startoftext|>".into()), ("eos_token", "<|endoftext|>".into())]);
        let mut length = None;
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            let file: HashMap<String, Value> = read_json(&path)?;
            for key in ["bos_token", "eos_token", "pad_token", "unk_token"] {
                if let Some(token) = file.get(key).and_then(content) {
                    said.insert(key, token.to_owned());
                }
            }
            length = length.or(file.get("model_max_length").and_then(Value::as_u64));
        }
        let id = |key: &str| {
            let token = said.get(key).or(said.get("eos_token")).expect("given above");
            let id = vocabulary.get(token).copied();
            id.ok_or_else(|| wrong(&vocab, format!("{key} is {token:?}, which is not in it")))
        };
        let [start, end, pad, unknown] = [id("bos_token")?, id("eos_token")?, id("pad_token")?, id("unk_token")?];
        let special = said.into_values().filter(|token| !token.is_empty());
        Ok(Self {
            special: special.map(|token| (token.clone(), vocabulary[&token])).collect(),
            start,
            end,
            pad,
            unknown,
            // Some files have a number here that means no limit.
            length: length.filter(|n| (3..=4096).contains(n)).unwrap_or(77) as usize,
            vocabulary,
            merges: ranks,
            words: Regex::new(WORDS).expect("a pattern that the test uses"),
            letters: letters(),
        })
    }

    /// Numbers that a text always has.
    pub fn length(&self) -> usize {
        self.length
    }

    /// One more than the largest number.
    pub fn size(&self) -> usize {
        self.vocabulary.values().max().map_or(0, |&k| k as usize + 1)
    }

    /// The numbers of a text's words, without start, end and padding.
    pub fn plain(&self, text: &str) -> Vec<u32> {
        let (mut numbers, mut rest) = (vec![], text);
        loop {
            // The first special token that comes, the longest of those at one place.
            let places = self.special.iter().filter_map(|(token, id)| Some((rest.find(token)?, token.len(), *id)));
            let Some((at, length, id)) = places.min_by_key(|&(at, length, _)| (at, std::cmp::Reverse(length))) else {
                numbers.extend(self.between(rest));
                return numbers;
            };
            numbers.extend(self.between(&rest[..at]));
            numbers.push(id);
            rest = &rest[at + length..];
        }
    }

    /// Numbers of a text without special tokens. Letters lose their case one by one: a last sigma is one like others.
    fn between(&self, text: &str) -> Vec<u32> {
        let text: String = text.nfc().flat_map(char::to_lowercase).collect();
        self.words.find_iter(&text).flat_map(|word| self.word(word.as_str())).collect()
    }

    /// A text as `length` numbers: start, words as far as they fit, end, padding.
    pub fn padded(&self, text: &str) -> Vec<u32> {
        let mut all = vec![self.start];
        all.extend(self.plain(text).into_iter().take(self.length - 2));
        all.push(self.end);
        all.resize(self.length, self.pad);
        all
    }

    /// Merges the pairs of a word's letters, those of the lowest rank first.
    fn word(&self, word: &str) -> Vec<u32> {
        let mut parts: Vec<String> = word.bytes().take(LONGEST).map(|b| self.letters[b as usize].to_string()).collect();
        if let Some(last) = parts.last_mut() {
            last.push_str(END_OF_WORD);
        }
        loop {
            let rank = |pair: &[String]| self.merges.get(&pair[0])?.get(&pair[1]).copied();
            let Some(least) = parts.windows(2).filter_map(rank).min() else { break };
            let mut merged: Vec<String> = Vec::with_capacity(parts.len());
            let mut k = 0;
            while k < parts.len() {
                let pair = parts.get(k..k + 2).filter(|pair| rank(pair) == Some(least));
                merged.push(pair.map_or_else(|| parts[k].clone(), |pair| pair.concat()));
                k += if pair.is_some() { 2 } else { 1 };
            }
            parts = merged;
        }
        parts.iter().map(|part| self.vocabulary.get(part).copied().unwrap_or(self.unknown)).collect()
    }
}
