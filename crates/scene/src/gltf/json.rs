//! A JSON value that knows its file and pointer, so that every error names the place.

use crate::{Error, Result};
use serde_json::Value;

/// A borrowed value with its place in the document.
#[derive(Clone)]
pub(crate) struct Json<'a> {
    value: &'a Value,
    file: &'a str,
    pointer: String,
}

/// Escapes one segment of a JSON pointer (RFC 6901).
pub(crate) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// Undoes [`escape`].
pub(crate) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl<'a> Json<'a> {
    pub fn root(value: &'a Value, file: &'a str) -> Self {
        Self { value, file, pointer: String::new() }
    }

    /// The JSON pointer of this value.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// `file#pointer`, as errors print it.
    pub fn location(&self) -> String {
        format!("{}#{}", self.file, self.pointer)
    }

    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::invalid(self.location(), message, help)
    }

    /// The member `key`, or `None` where it is absent or this is no object.
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        Some(Self { value, file: self.file, pointer: format!("{}/{}", self.pointer, escape(key)) })
    }

    /// Follows several keys.
    pub fn path(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self.clone(), |at, key| at.get(key))
    }

    /// The value at a JSON pointer below this one.
    pub fn at(&self, pointer: &str) -> Option<Self> {
        let value = self.value.pointer(pointer)?;
        Some(Self { value, file: self.file, pointer: format!("{}{pointer}", self.pointer) })
    }

    /// The extension `name` of this object.
    pub fn extension(&self, name: &str) -> Option<Self> {
        self.path(&["extensions", name])
    }

    /// The objects of the array `key`; an absent array is empty.
    pub fn objects(&self, key: &str) -> Result<Vec<Self>> {
        let Some(array) = self.get(key) else { return Ok(Vec::new()) };
        let items = array.items()?;
        match items.iter().find(|item| !item.value.is_object()) {
            Some(item) => Err(item.expected("an object")),
            None => Ok(items),
        }
    }

    /// The elements of this array.
    pub fn items(&self) -> Result<Vec<Self>> {
        let array = self.value.as_array().ok_or_else(|| self.expected("an array"))?;
        let item = |(i, value)| Self { value, file: self.file, pointer: format!("{}/{i}", self.pointer) };
        Ok(array.iter().enumerate().map(item).collect())
    }

    /// Element `index` of the array `key`.
    pub fn item(&self, key: &str, index: usize) -> Option<Self> {
        let array = self.get(key)?;
        let value = array.value.as_array()?.get(index)?;
        Some(Self { value, file: self.file, pointer: format!("{}/{index}", array.pointer) })
    }

    /// How many elements the array `key` has; 0 where it is absent or no array.
    pub fn len_of(&self, key: &str) -> usize {
        self.get(key).and_then(|array| array.value.as_array().map(Vec::len)).unwrap_or(0)
    }

    pub fn expected(&self, what: &str) -> Error {
        self.error(format!("found {}, expected {what}", kind(self.value)), "")
    }

    pub fn as_text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    pub fn as_number(&self) -> Result<f64> {
        let number = self.value.as_f64().ok_or_else(|| self.expected("a number"))?;
        // A value beyond f32 would become an infinity in every kernel.
        if number.abs() > f64::from(f32::MAX) {
            return Err(self.error(format!("{number:e} is out of range"), "use values below 3.4e38"));
        }
        Ok(number)
    }

    /// A whole number; `3.0` counts as one, as the specification allows.
    pub fn as_count(&self) -> Result<usize> {
        let whole = |x: f64| (x >= 0.0 && x.fract() == 0.0 && x < 9e15).then_some(x as u64);
        let count = self.value.as_u64().or_else(|| self.value.as_f64().and_then(whole));
        count.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| self.expected("a non-negative integer"))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.get(key).map(|v| v.as_text()).transpose()
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|v| v.as_number()).transpose()
    }

    pub fn f32_or(&self, key: &str, default: f32) -> Result<f32> {
        Ok(self.number(key)?.map_or(default, |x| x as f32))
    }

    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.get(key).map(|v| v.as_count()).transpose()
    }

    /// A required count.
    pub fn need_count(&self, key: &str) -> Result<usize> {
        self.count(key)?.ok_or_else(|| self.error(format!("\"{key}\" is missing"), ""))
    }

    pub fn flag(&self, key: &str) -> Result<bool> {
        let Some(v) = self.get(key) else { return Ok(false) };
        v.value.as_bool().ok_or_else(|| v.expected("a boolean"))
    }

    /// An index into an array of `len` elements called `what`.
    pub fn index(&self, key: &str, len: usize, what: &str) -> Result<Option<usize>> {
        self.get(key).map(|v| v.as_index(len, what)).transpose()
    }

    pub fn as_index(&self, len: usize, what: &str) -> Result<usize> {
        let index = self.as_count()?;
        if index < len {
            return Ok(index);
        }
        Err(self.error(format!("index {index} is out of range: the file has {len} {what}"), ""))
    }

    pub fn as_indices(&self, len: usize, what: &str) -> Result<Vec<usize>> {
        self.items()?.iter().map(|v| v.as_index(len, what)).collect()
    }

    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.get(key).map(|v| v.items()?.iter().map(Self::as_number).collect()).transpose()
    }

    /// An array of exactly `N` numbers.
    pub fn array<const N: usize>(&self, key: &str) -> Result<Option<[f64; N]>> {
        let Some(numbers) = self.numbers(key)? else { return Ok(None) };
        let n = numbers.len();
        numbers.try_into().map(Some).map_err(|_| self.error(format!("\"{key}\" has {n} numbers, expected {N}"), ""))
    }

    pub fn f32s_or<const N: usize>(&self, key: &str, default: [f32; N]) -> Result<[f32; N]> {
        Ok(self.array::<N>(key)?.map_or(default, |a| a.map(|x| x as f32)))
    }
}
