//! What values keys take, as flags and in job files.

use std::path::Path;
use toml::Value;

/// The values that a key takes. Every kind accepts the text of a flag and the TOML value of a job file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// True or false; as a flag, its presence.
    Flag,
    /// A whole number of at least this much.
    Count(u64),
    /// A finite number.
    Number,
    /// A finite number of at least 0.
    Amount,
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file or folder; in a job file, relative to it.
    Path,
    /// Several of these.
    Paths,
    /// Files of materials: `FILE` or `NAME=FILE`, repeatable.
    Materials,
    /// `WxH`: columns and rows.
    Size,
    /// This many numbers.
    Numbers(usize),
    /// A folder, or how many.
    PathOrCount,
    /// A file, or the three numbers of a colour.
    PathOrColor,
    /// The name of a camera, `orbit:N`, or a `.json` file.
    Camera,
    /// Words separated by commas.
    Words(&'static [&'static str]),
    /// Parameters that may change: `POINTER` or `POINTER=RATE`, repeatable; tables in a job file.
    Params,
    /// Starts of parameters: `POINTER=VALUE`, repeatable; one table in a job file.
    Inits,
}

impl Kind {
    /// What stands for the value in help.
    pub fn placeholder(self) -> String {
        match self {
            Kind::Flag => String::new(),
            Kind::Count(_) => "N".into(),
            Kind::Number | Kind::Amount => "X".into(),
            Kind::Text => "TEXT".into(),
            Kind::Choice(words) if words.len() <= 4 => words.join("|"),
            Kind::Choice(_) => "NAME".into(),
            Kind::Path | Kind::Paths => "PATH".into(),
            Kind::Materials => "[NAME=]FILE".into(),
            Kind::Size => "WxH".into(),
            Kind::Numbers(n) => ["X", "Y", "Z", "W"][..n.min(4)].join(","),
            Kind::PathOrCount => "DIR|N".into(),
            Kind::PathOrColor => "FILE|R,G,B".into(),
            Kind::Camera => "NAME|orbit:N|FILE".into(),
            Kind::Words(_) => "NAME,NAME,…".into(),
            Kind::Params => "POINTER[=RATE]".into(),
            Kind::Inits => "POINTER=VALUE".into(),
        }
    }

    /// Whether a flag of this kind may be given several times.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::Params | Kind::Inits | Kind::Paths | Kind::Materials)
    }

    /// The canonical form of a value.
    ///
    /// # Errors
    /// A value of another kind: what was expected and what was found.
    pub fn normalise(self, value: Value) -> Result<Value, String> {
        let found = describe(&value);
        let expected = |what: &str| format!("expected {what}, found {found}");
        match (self, value) {
            (Kind::Flag, Value::Boolean(b)) => Ok(Value::Boolean(b)),
            (Kind::Flag, Value::String(s)) if s == "true" || s == "false" => Ok(Value::Boolean(s == "true")),
            (Kind::Flag, _) => Err(expected("true or false")),
            (Kind::Count(least), v) => match count(&v) {
                Some(n) if n >= least => Ok(Value::Integer(n as i64)),
                _ => Err(expected(&format!("a whole number of at least {least}"))),
            },
            (Kind::Number, v) => number(&v).map(Value::Float).ok_or_else(|| expected("a number")),
            (Kind::Amount, v) => match number(&v) {
                Some(x) if x >= 0.0 => Ok(Value::Float(x)),
                _ => Err(expected("a number of at least 0")),
            },
            (Kind::Text | Kind::Camera, Value::String(s)) => Ok(Value::String(s)),
            (Kind::Text | Kind::Camera, Value::Integer(n)) => Ok(Value::String(n.to_string())),
            (Kind::Text | Kind::Camera, Value::Float(x)) => Ok(Value::String(x.to_string())),
            (Kind::Text | Kind::Camera, _) => Err(expected("a text")),
            (Kind::Choice(words), Value::String(s)) => {
                if words.contains(&s.as_str()) {
                    return Ok(Value::String(s));
                }
                let hint =
                    nearest(&s, words.iter().copied()).map_or(String::new(), |w| format!(", did you mean {w:?}?"));
                Err(format!("{s:?} is not one of {}{hint}", words.join(", ")))
            }
            (Kind::Choice(words), _) => Err(expected(&format!("one of {}", words.join(", ")))),
            (Kind::Path, Value::String(s)) if !s.is_empty() => Ok(Value::String(s)),
            (Kind::Path, _) => Err(expected("a path")),
            (Kind::Paths | Kind::Materials, Value::Array(items)) => {
                items.into_iter().map(|v| Kind::Path.normalise(v)).collect::<Result<_, _>>().map(Value::Array)
            }
            (Kind::Paths | Kind::Materials, v) => Ok(Value::Array(vec![Kind::Path.normalise(v)?])),
            (Kind::Size, v) => size(&v).ok_or_else(|| expected("a size such as \"256x256\" (1 to 32768 a side)")),
            (Kind::Numbers(n), v) => list(&v).filter(|x| x.len() == n).map(floats).ok_or_else(|| {
                let example = ["5", "5,5", "1,1,1", "1,1,1,1"][n.clamp(1, 4) - 1];
                expected(&format!("{n} numbers such as {example}"))
            }),
            (Kind::PathOrCount, v) => match (count(&v), v) {
                (Some(0), _) => Err("expected a folder, or a number of at least 1, found 0".into()),
                (Some(n), _) => Ok(Value::Integer(n as i64)),
                (None, Value::String(s)) if !s.is_empty() && !s.starts_with('-') => Ok(Value::String(s)),
                _ => Err(expected("a folder, or a number of at least 1")),
            },
            (Kind::PathOrColor, v) => match (list(&v), v) {
                (Some(x), _) if x.len() == 3 => Ok(floats(x)),
                (None, Value::String(s)) if !s.is_empty() => Ok(Value::String(s)),
                _ => Err(expected("a file, or three numbers such as 1,1,1")),
            },
            (Kind::Words(known), v) => words(&v, known).map_err(|e| e.unwrap_or_else(|| expected("a list of names"))),
            (Kind::Params, v) => params(v),
            (Kind::Inits, v) => inits(v),
        }
    }

    /// The same value with relative paths taken as relative to `folder`.
    pub fn rebase(self, value: Value, folder: &Path) -> Value {
        let join = |s: String| Value::String(folder.join(s).to_string_lossy().into_owned());
        match (self, value) {
            (Kind::Path | Kind::PathOrCount | Kind::PathOrColor, Value::String(s)) => join(s),
            (Kind::Paths, Value::Array(items)) => {
                Value::Array(items.into_iter().map(|v| Kind::Path.rebase(v, folder)).collect())
            }
            (Kind::Materials, Value::Array(items)) => {
                let rebased = items.into_iter().map(|v| match v.as_str().and_then(|s| s.split_once('=')) {
                    Some((name, file)) => Value::String(format!("{name}={}", folder.join(file).to_string_lossy())),
                    None => Kind::Path.rebase(v, folder),
                });
                Value::Array(rebased.collect())
            }
            (Kind::Camera, Value::String(s)) if s.ends_with(".json") => join(s),
            (Kind::Inits, Value::Table(table)) => {
                let rebased = table.into_iter().map(|(pointer, v)| match v {
                    Value::String(s) if !s.starts_with("noise:") => (pointer, join(s)),
                    v => (pointer, v),
                });
                Value::Table(rebased.collect())
            }
            (_, v) => v,
        }
    }
}

/// The known word that is closest to `word`, where one is close.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // In short words one slip is a large part.
    let slip = |k| if strsim::damerau_levenshtein(word, k) <= 1 { 0.76 } else { 0.0 };
    let scored = known.into_iter().map(|k| (strsim::jaro_winkler(word, k).max(slip(k)), k));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}

/// Characters of a wrong text that a message repeats.
const SHOWN: usize = 80;

fn describe(value: &Value) -> String {
    match value {
        Value::String(s) if s.chars().count() > SHOWN => {
            format!("{:?}…", s.chars().take(SHOWN).collect::<String>())
        }
        Value::String(s) => format!("{s:?}"),
        Value::Table(_) => "a table".into(),
        Value::Array(items) if items.iter().any(Value::is_table) => "a list of tables".into(),
        v => v.to_string(),
    }
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(n) => u64::try_from(*n).ok(),
        Value::String(s) => s.replace('_', "").parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    let x = match value {
        Value::Integer(n) => *n as f64,
        Value::Float(x) => *x,
        Value::String(s) => s.trim().parse().ok()?,
        _ => return None,
    };
    x.is_finite().then_some(x)
}

/// Numbers of an array, or of a text with commas.
fn list(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Array(items) => items.iter().map(number).collect(),
        Value::String(s) => s.split(',').map(|x| number(&Value::String(x.into()))).collect(),
        v => number(v).map(|x| vec![x]),
    }
}

fn floats(x: Vec<f64>) -> Value {
    Value::Array(x.into_iter().map(Value::Float).collect())
}

fn size(value: &Value) -> Option<Value> {
    let (w, h) = value.as_str()?.split_once(['x', '×'])?;
    let side = |s: &str| s.trim().parse::<u32>().ok().filter(|n| (1..=32768).contains(n));
    Some(Value::String(format!("{}x{}", side(w)?, side(h)?)))
}

fn words(value: &Value, known: &[&str]) -> Result<Value, Option<String>> {
    let given: Vec<String> = match value {
        Value::String(s) => s.split(',').map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect(),
        Value::Array(items) => {
            items.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or(None)?
        }
        _ => return Err(None),
    };
    for word in &given {
        if !known.contains(&word.as_str()) {
            let hint = nearest(word, known.iter().copied()).map_or(String::new(), |k| format!(", did you mean {k:?}?"));
            return Err(Some(format!("{word:?} is not one of {}{hint}", known.join(", "))));
        }
    }
    Ok(Value::Array(given.into_iter().map(Value::String).collect()))
}

fn param(value: Value) -> Result<Value, String> {
    let mut table = toml::Table::new();
    match value {
        Value::String(s) => {
            let (pointer, rate) = match s.rsplit_once('=') {
                None => (s.as_str(), None),
                Some((pointer, rate)) => {
                    let rate = number(&Value::String(rate.into())).filter(|x| *x > 0.0);
                    (pointer, Some(rate.ok_or_else(|| format!("expected POINTER or POINTER=RATE, found {s:?}"))?))
                }
            };
            table.insert("pointer".into(), Value::String(pointer.into()));
            if let Some(rate) = rate {
                table.insert("lr".into(), Value::Float(rate));
            }
        }
        Value::Table(given) => {
            for (key, v) in given {
                let v = match key.as_str() {
                    "pointer" => Kind::Text.normalise(v)?,
                    "lr" => number(&v)
                        .filter(|x| *x > 0.0)
                        .map(Value::Float)
                        .ok_or_else(|| format!("lr: expected a rate above 0, found {}", describe(&v)))?,
                    _ => {
                        let hint = nearest(&key, ["pointer", "lr"]).unwrap_or("pointer");
                        return Err(format!("unknown key {key:?} of a parameter, did you mean {hint:?}?"));
                    }
                };
                table.insert(key, v);
            }
        }
        v => return Err(format!("expected a pointer, or a table with pointer and lr, found {}", describe(&v))),
    }
    match table.get("pointer").and_then(Value::as_str) {
        Some(p) if p.starts_with('/') => Ok(Value::Table(table)),
        Some(p) => {
            Err(format!("{p:?} is no pointer: expected one such as /materials/*/pbrMetallicRoughness/baseColorFactor"))
        }
        None => Err("a parameter has no pointer".into()),
    }
}

fn params(value: Value) -> Result<Value, String> {
    match value {
        Value::Array(items) => Ok(Value::Array(items.into_iter().map(param).collect::<Result<_, _>>()?)),
        v => Ok(Value::Array(vec![param(v)?])),
    }
}

fn init(value: Value) -> Result<Value, String> {
    if let Some(x) = list(&value).filter(|x| !x.is_empty()) {
        return Ok(if x.len() == 1 { Value::Float(x[0]) } else { floats(x) });
    }
    match value {
        Value::String(s) => match s.strip_prefix("noise:") {
            Some(sigma) if number(&Value::String(sigma.into())).is_none_or(|x| x < 0.0) => {
                Err(format!("noise:{sigma}: expected a number of at least 0, such as noise:0.3"))
            }
            None if s.is_empty() => Err("expected a number, numbers, a picture or noise:SIGMA, found \"\"".into()),
            _ => Ok(Value::String(s)),
        },
        v => Err(format!("expected a number, numbers, a picture or noise:SIGMA, found {}", describe(&v))),
    }
}

fn inits(value: Value) -> Result<Value, String> {
    let mut table = toml::Table::new();
    let mut insert = |pointer: String, v: Value| {
        if !pointer.starts_with('/') {
            return Err(format!("{pointer:?} is no pointer: pointers begin with /"));
        }
        let v = init(v).map_err(|e| format!("{pointer}: {e}"))?;
        table.insert(pointer, v);
        Ok(())
    };
    match value {
        Value::Table(given) => given.into_iter().try_for_each(|(pointer, v)| insert(pointer, v))?,
        Value::Array(items) => {
            for item in items {
                let text = item.as_str().unwrap_or_default().to_owned();
                let Some((pointer, v)) = text.split_once('=') else {
                    return Err(format!("expected POINTER=VALUE, found {}", describe(&item)));
                };
                insert(pointer.into(), Value::String(v.into()))?;
            }
        }
        v => return Err(format!("expected POINTER=VALUE, found {}", describe(&v))),
    }
    Ok(Value::Table(table))
}
