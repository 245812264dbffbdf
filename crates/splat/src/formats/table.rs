//! PLY as a set of tables: elements with columns of numbers.

use super::FormatError;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Number {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number at the beginning of `bytes`, which are in little-endian order.
    fn read(self, bytes: &[u8]) -> f64 {
        let four = || [bytes[0], bytes[1], bytes[2], bytes[3]];
        match self {
            Self::I8 => bytes[0] as i8 as f64,
            Self::U8 => bytes[0] as f64,
            Self::I16 => i16::from_le_bytes([bytes[0], bytes[1]]) as f64,
            Self::U16 => u16::from_le_bytes([bytes[0], bytes[1]]) as f64,
            Self::I32 => i32::from_le_bytes(four()) as f64,
            Self::U32 => u32::from_le_bytes(four()) as f64,
            Self::F32 => f32::from_le_bytes(four()) as f64,
            Self::F64 => f64::from_le_bytes(std::array::from_fn(|k| bytes[k])),
        }
    }
}

/// An element: rows of numbers.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub rows: usize,
    /// Names and types.
    pub columns: Vec<(String, Number)>,
    /// Rows one after the other, numbers little-endian.
    bytes: Vec<u8>,
}

impl Table {
    /// Bytes of a row.
    fn stride(&self) -> usize {
        self.columns.iter().map(|c| c.1.size()).sum()
    }

    /// Whether there is a column.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|c| c.0 == name)
    }

    /// The numbers of a column.
    pub fn column(&self, name: &str) -> Option<impl Iterator<Item = f64> + '_> {
        let place = self.columns.iter().position(|c| c.0 == name)?;
        let (offset, kind) = (self.columns[..place].iter().map(|c| c.1.size()).sum::<usize>(), self.columns[place].1);
        let stride = self.stride();
        Some((0..self.rows).map(move |i| kind.read(&self.bytes[i * stride + offset..])))
    }

    /// The numbers of a column that must be there.
    pub fn require(&self, name: &str) -> Result<impl Iterator<Item = f64> + '_, FormatError> {
        self.column(name).ok_or_else(|| {
            FormatError::new(format!("the element {:?} has no property {name:?}", self.name), "not a PLY of Gaussians")
        })
    }
}

/// Tables and comments of a PLY file.
#[derive(Debug)]
pub struct Ply {
    pub tables: Vec<Table>,
    pub comments: Vec<String>,
}

impl Ply {
    /// The element of a name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name == name)
    }

    /// Reads a whole file: text, or binary of either byte order. Lists are not numbers and are refused.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let broken = |message: String| FormatError::new(message, "the file is damaged, or not a PLY");
        let (lines, mut rest) = header(bytes).ok_or_else(|| broken("no PLY header".into()))?;
        let mut out = Ply { tables: vec![], comments: vec![] };
        let mut format = "";
        for line in &lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["format", kind, _] => format = kind,
                ["comment", ..] => out.comments.push(line.trim_start_matches("comment").trim().into()),
                ["element", name, count] => {
                    let rows = count.parse().map_err(|_| broken(format!("the count {count:?} is no number")))?;
                    out.tables.push(Table { name: name.into(), rows, columns: vec![], bytes: vec![] });
                }
                ["property", "list", ..] => return Err(broken("it has lists, expected Gaussians only".into())),
                ["property", kind, name] => {
                    let kind = Number::named(kind).ok_or_else(|| broken(format!("unknown type {kind:?}")))?;
                    let table = out.tables.last_mut().ok_or_else(|| broken("a property without an element".into()))?;
                    table.columns.push((name.into(), kind));
                }
                [] | ["obj_info", ..] => {}
                _ => return Err(broken(format!("cannot read the header line {line:?}"))),
            }
        }
        for table in &mut out.tables {
            let size = table.rows.checked_mul(table.stride());
            if format == "ascii" {
                rest = ascii(table, rest)?;
                continue;
            }
            let Some(size) = size.filter(|&s| s <= rest.len()) else {
                let message = format!(
                    "{} rows of {:?} are promised ({} bytes each), {} bytes follow",
                    table.rows,
                    table.name,
                    table.stride(),
                    rest.len()
                );
                return Err(FormatError::new(message, "the file is truncated; copy it again"));
            };
            table.bytes = rest[..size].to_vec();
            rest = &rest[size..];
            match format {
                "binary_little_endian" => {}
                "binary_big_endian" => swap(table),
                other => return Err(broken(format!("unknown format {other:?}"))),
            }
        }
        Ok(out)
    }
}

/// Lines between `ply` and `end_header`, and what follows.
fn header(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let (mut lines, mut rest) = (vec![], bytes);
    loop {
        // Longer lines are no header.
        let end = rest.iter().take(4096).position(|&b| b == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?.trim_end_matches('\r').to_owned();
        rest = &rest[end + 1..];
        match line.as_str() {
            "ply" if lines.is_empty() => lines.push(line),
            _ if lines.is_empty() => return None,
            "end_header" => return Some((lines.split_off(1), rest)),
            _ => lines.push(line),
        }
    }
}

fn ascii<'a>(table: &mut Table, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let mut rest = bytes;
    let truncated = || FormatError::new("fewer numbers follow than the header promises", "the file is truncated");
    // Every number takes a byte at least: counts that lie end early.
    for _ in 0..table.rows {
        for column in &mut table.columns {
            let start = rest.iter().position(|b| !b.is_ascii_whitespace()).ok_or_else(truncated)?;
            let word = &rest[start..];
            let end = word.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(word.len());
            let text = String::from_utf8_lossy(&word[..end]);
            let number: f64 =
                text.parse().map_err(|_| FormatError::new(format!("{text:?} is no number"), "the file is damaged"))?;
            table.bytes.extend((number as f32).to_le_bytes());
            column.1 = Number::F32;
            rest = &word[end..];
        }
        if table.columns.is_empty() {
            break;
        }
    }
    Ok(rest)
}

/// Big-endian numbers become little-endian.
fn swap(table: &mut Table) {
    let sizes: Vec<usize> = table.columns.iter().map(|c| c.1.size()).collect();
    let mut at = 0;
    for _ in 0..table.rows {
        for &size in &sizes {
            table.bytes[at..at + size].reverse();
            at += size;
        }
    }
}
