//! Accessors: bounds-checked reading of numbers, sparse, interleaved and normalised.

use crate::Result;
use crate::gltf::container::Document;
use crate::gltf::json::Json;

/// Numbers that one file may decode to, so that a small file cannot ask for all memory (512 MiB of f32).
const MAX_NUMBERS: usize = 1 << 27;
/// Numbers that one file may ask for without giving bytes for them.
const MAX_ZEROS: usize = 1 << 24;

/// Reads accessors of one document and keeps count of what they decode to.
pub(crate) struct Accessors<'a> {
    document: &'a Document,
    entries: Vec<Json<'a>>,
    decoded: usize,
    zeros: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Component {
    I8,
    U8,
    I16,
    U16,
    U32,
    F32,
}

impl Component {
    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
        }
    }

    fn read(at: &Json<'_>) -> Result<Self> {
        Ok(match at.need_count("componentType")? {
            5120 => Self::I8,
            5121 => Self::U8,
            5122 => Self::I16,
            5123 => Self::U16,
            5125 => Self::U32,
            5126 => Self::F32,
            other => return Err(at.error(format!("componentType {other} does not exist"), "")),
        })
    }

    fn scalar(self, b: &[u8], normalized: bool) -> f64 {
        let (x, max) = match self {
            Self::I8 => (f64::from(b[0] as i8), 127.0),
            Self::U8 => (f64::from(b[0]), 255.0),
            Self::I16 => (f64::from(i16::from_le_bytes([b[0], b[1]])), 32767.0),
            Self::U16 => (f64::from(u16::from_le_bytes([b[0], b[1]])), 65535.0),
            Self::U32 => (f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])), f64::from(u32::MAX)),
            Self::F32 => return f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        };
        if normalized { (x / max).max(-1.0) } else { x }
    }
}

/// The shape of one accessor, before its bytes are looked at.
struct Layout {
    component: Component,
    width: usize,
    columns: usize,
    count: usize,
    normalized: bool,
}

impl Layout {
    /// Byte offset of component `c` within an element: matrix columns start at multiples of 4.
    fn offset(&self, c: usize) -> usize {
        let rows = self.width / self.columns;
        let column = if self.columns > 1 { (rows * self.component.size()).next_multiple_of(4) } else { 0 };
        (c / rows) * column + (c % rows) * self.component.size()
    }

    fn element_size(&self) -> usize {
        self.offset(self.width - 1) + self.component.size()
    }
}

impl<'a> Accessors<'a> {
    pub fn new(document: &'a Document) -> Result<Self> {
        Ok(Self { document, entries: document.root().objects("accessors")?, decoded: 0, zeros: 0 })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Elements of `N` numbers each; the accessor's type must have `N` or, filled with `fill`, fewer from `least` on.
    pub fn read<const N: usize>(&mut self, index: usize, least: usize, fill: f32) -> Result<Vec<[f32; N]>> {
        let (layout, numbers) = self.numbers(index)?;
        if layout.width > N || layout.width < least {
            let at = &self.entries[index];
            let expected = if least == N { format!("{N}") } else { format!("{least} to {N}") };
            return Err(at.error(format!("elements have {} numbers, expected {expected}", layout.width), ""));
        }
        let element = |chunk: &[f64]| std::array::from_fn(|c| chunk.get(c).map_or(fill, |&x| x as f32));
        Ok(numbers.chunks_exact(layout.width).map(element).collect())
    }

    /// Scalars that are unsigned integers, such as vertex indices.
    pub fn read_indices(&mut self, index: usize) -> Result<Vec<u32>> {
        let (layout, numbers) = self.numbers(index)?;
        let unsigned = matches!(layout.component, Component::U8 | Component::U16 | Component::U32);
        if layout.width != 1 || !unsigned || layout.normalized {
            return Err(self.entries[index].error("indices must be unsigned integer scalars", ""));
        }
        Ok(numbers.into_iter().map(|x| x as u32).collect())
    }

    /// Elements of `N` unsigned integers, such as joints.
    pub fn read_integers<const N: usize>(&mut self, index: usize) -> Result<Vec<[u32; N]>> {
        let (layout, numbers) = self.numbers(index)?;
        if layout.width != N || !matches!(layout.component, Component::U8 | Component::U16) {
            return Err(self.entries[index].error(format!("expected elements of {N} unsigned bytes or shorts"), ""));
        }
        Ok(numbers.chunks_exact(N).map(|chunk| std::array::from_fn(|c| chunk[c] as u32)).collect())
    }

    fn numbers(&mut self, index: usize) -> Result<(Layout, Vec<f64>)> {
        let at = self.entries[index].clone();
        let layout = read_layout(&at)?;
        let total = layout.count.checked_mul(layout.width).filter(|&n| n <= MAX_NUMBERS);
        let too_much = || at.error("the scene's geometry needs more than 512 MiB", "split the scene");
        let total = total.ok_or_else(too_much)?;
        let mut numbers = match at.index("bufferView", self.view_count(), "buffer views")? {
            Some(view) => {
                let source =
                    self.strided(&at, view, at.count("byteOffset")?.unwrap_or(0), &layout, layout.count, true)?;
                self.decoded += total;
                if self.decoded > MAX_NUMBERS {
                    return Err(too_much());
                }
                source.collect(&layout, layout.count)
            }
            None => {
                self.zeros += total;
                if self.zeros > MAX_ZEROS {
                    return Err(at.error(
                        format!("{total} numbers are declared without any data"),
                        "give the accessor a bufferView",
                    ));
                }
                vec![0.0; total]
            }
        };
        if let Some(sparse) = at.get("sparse") {
            self.apply_sparse(&sparse, &layout, &mut numbers)?;
        }
        Ok((layout, numbers))
    }

    fn apply_sparse(&mut self, sparse: &Json<'_>, layout: &Layout, numbers: &mut [f64]) -> Result<()> {
        let count = sparse.need_count("count")?;
        if count > layout.count {
            return Err(sparse.error(format!("{count} sparse values for {} elements", layout.count), ""));
        }
        let part = |key: &str| sparse.get(key).ok_or_else(|| sparse.error(format!("\"{key}\" is missing"), ""));
        let (indices, values) = (part("indices")?, part("values")?);
        let view_of = |part: &Json<'_>| {
            let view = part.index("bufferView", self.view_count(), "buffer views")?;
            view.ok_or_else(|| part.error("\"bufferView\" is missing", ""))
        };
        let (index_view, value_view) = (view_of(&indices)?, view_of(&values)?);
        let component = Component::read(&indices)?;
        let index_layout = Layout { component, width: 1, columns: 1, count, normalized: false };
        let offset = |part: &Json<'_>| Ok::<_, crate::Error>(part.count("byteOffset")?.unwrap_or(0));
        let places = self
            .strided(&indices, index_view, offset(&indices)?, &index_layout, count, false)?
            .collect(&index_layout, count);
        let values = self.strided(&values, value_view, offset(&values)?, layout, count, false)?.collect(layout, count);
        for (place, value) in places.iter().zip(values.chunks_exact(layout.width)) {
            if !(*place >= 0.0 && *place < layout.count as f64) {
                return Err(indices
                    .error(format!("index {place} is out of range: the accessor has {} elements", layout.count), ""));
            }
            let start = *place as usize * layout.width;
            numbers[start..start + layout.width].copy_from_slice(value);
        }
        Ok(())
    }

    fn view_count(&self) -> usize {
        self.document.root().len_of("bufferViews")
    }

    /// The bytes of `count` elements, all known to lie inside the buffer view.
    fn strided(
        &self,
        at: &Json<'_>,
        view: usize,
        offset: usize,
        layout: &Layout,
        count: usize,
        may_stride: bool,
    ) -> Result<Strided<'a>> {
        let bytes = self.document.view(view)?;
        let declared =
            self.document.root().item("bufferViews", view).map(|v| v.count("byteStride")).transpose()?.flatten();
        let size = layout.element_size();
        // Some exporters write a stride of 0 for "tightly packed", as glTF 1 did.
        let stride = declared.filter(|&stride| may_stride && stride > 0).unwrap_or(size);
        if stride < size && count > 1 {
            return Err(at.error(format!("elements of {size} bytes overlap at a byteStride of {stride}"), ""));
        }
        let needed = match count {
            0 => Some(0),
            _ => stride.checked_mul(count - 1).and_then(|n| n.checked_add(size)),
        };
        let end = needed.and_then(|n| n.checked_add(offset)).filter(|&end| end <= bytes.len());
        if end.is_none() {
            let message = format!("{count} elements do not fit in buffer view {view} of {} bytes", bytes.len());
            return Err(at.error(message, "the file may be truncated"));
        }
        Ok(Strided { bytes: &bytes[offset.min(bytes.len())..], stride })
    }
}

struct Strided<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl Strided<'_> {
    fn collect(&self, layout: &Layout, count: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(count * layout.width);
        for i in 0..count {
            let element = &self.bytes[i * self.stride..];
            for c in 0..layout.width {
                out.push(layout.component.scalar(&element[layout.offset(c)..], layout.normalized));
            }
        }
        out
    }
}

fn read_layout(at: &Json<'_>) -> Result<Layout> {
    let kind = at.text("type")?.ok_or_else(|| at.error("\"type\" is missing", ""))?;
    let (width, columns) = match kind {
        "SCALAR" => (1, 1),
        "VEC2" => (2, 1),
        "VEC3" => (3, 1),
        "VEC4" => (4, 1),
        "MAT2" => (4, 2),
        "MAT3" => (9, 3),
        "MAT4" => (16, 4),
        other => return Err(at.error(format!("type \"{other}\" does not exist"), "use SCALAR, VEC2-4 or MAT2-4")),
    };
    let component = Component::read(at)?;
    Ok(Layout { component, width, columns, count: at.need_count("count")?, normalized: at.flag("normalized")? })
}
