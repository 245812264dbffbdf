//! The header of a PLY file.

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Ascii,
    LittleEndian,
    BigEndian,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
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

    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The value of little-endian bytes.
    pub(super) fn value(self, b: [u8; 8]) -> f64 {
        let four = [b[0], b[1], b[2], b[3]];
        match self {
            Self::I8 => f64::from(b[0] as i8),
            Self::U8 => f64::from(b[0]),
            Self::I16 => f64::from(i16::from_le_bytes([b[0], b[1]])),
            Self::U16 => f64::from(u16::from_le_bytes([b[0], b[1]])),
            Self::I32 => f64::from(i32::from_le_bytes(four)),
            Self::U32 => f64::from(u32::from_le_bytes(four)),
            Self::F32 => f64::from(f32::from_le_bytes(four)),
            Self::F64 => f64::from_le_bytes(b),
        }
    }

    /// What a stored colour value is divided by.
    pub(super) fn color_scale(self) -> f64 {
        match self {
            Self::F32 | Self::F64 => 1.0,
            Self::I16 | Self::U16 => 65535.0,
            _ => 255.0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Property {
    pub name: String,
    pub kind: Kind,
    /// The kind of a list's length.
    pub length: Option<Kind>,
}

#[derive(Debug)]
pub(super) struct Element {
    pub name: String,
    pub count: usize,
    pub properties: Vec<Property>,
}

#[derive(Debug)]
pub(super) struct Header {
    pub encoding: Encoding,
    pub elements: Vec<Element>,
}

impl Header {
    /// The header, and where the data start.
    pub(super) fn parse(bytes: &[u8], location: &str) -> Result<(Self, usize)> {
        let (mut start, mut line_number) = (0, 0);
        let mut encoding = None;
        let mut elements: Vec<Element> = Vec::new();
        loop {
            line_number += 1;
            let wrong =
                |message: String| Error::invalid(format!("{location}:{line_number}"), message, "expected a PLY file");
            let Some(length) = bytes[start..].iter().position(|b| *b == b'\n') else {
                return Err(wrong("the header has no end_header line".into()));
            };
            let line = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
            start += length + 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            if (line_number == 1) != (words == ["ply"]) {
                return Err(wrong(format!("found {:?}, and the first line must be \"ply\"", line.trim())));
            }
            match words[..] {
                ["ply"] | [] | ["comment" | "obj_info", ..] => {}
                ["format", "ascii", ..] => encoding = Some(Encoding::Ascii),
                ["format", "binary_little_endian", ..] => encoding = Some(Encoding::LittleEndian),
                ["format", "binary_big_endian", ..] => encoding = Some(Encoding::BigEndian),
                ["element", name, count] => {
                    let count = count.parse().map_err(|_| wrong(format!("{count:?} is not a count")))?;
                    elements.push(Element { name: name.to_string(), count, properties: Vec::new() });
                }
                ["property", "list", length, kind, name] => {
                    let kinds = Kind::parse(length).zip(Kind::parse(kind));
                    let (length, kind) = kinds.ok_or_else(|| wrong(format!("unknown type in {:?}", line.trim())))?;
                    let element = elements.last_mut().ok_or_else(|| wrong("a property before any element".into()))?;
                    element.properties.push(Property { name: name.to_string(), kind, length: Some(length) });
                }
                ["property", kind, name] => {
                    let kind = Kind::parse(kind).ok_or_else(|| wrong(format!("unknown type in {:?}", line.trim())))?;
                    let element = elements.last_mut().ok_or_else(|| wrong("a property before any element".into()))?;
                    element.properties.push(Property { name: name.to_string(), kind, length: None });
                }
                ["end_header"] => {
                    let encoding = encoding.ok_or_else(|| wrong("no format line".into()))?;
                    return Ok((Self { encoding, elements }, start));
                }
                _ => return Err(wrong(format!("found {:?}", line.trim()))),
            }
        }
    }
}
