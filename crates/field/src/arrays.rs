//! Named arrays in files: safetensors with one text in the header.

use crate::{Error, Result};
use lumigrad_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::fmt::Display;

/// Names and shapes of arrays, in order.
pub type Shapes = Vec<(String, Vec<usize>)>;

fn broken(e: &dyn Display) -> Error {
    Error::File(format!("not a whole field: {e}"))
}

/// The file of arrays, with a text in its header under a key. The same arrays and text give the same bytes.
///
/// # Errors
/// Values that cannot be read back from their device.
pub fn to_bytes(shapes: Shapes, values: &[Tensor], (key, text): (&str, String)) -> Result<Vec<u8>> {
    let refused = |e: &dyn Display| Error::File(e.to_string());
    let arrays = shapes.into_iter().zip(values).map(|((name, shape), value)| {
        let numbers = value.to_vec::<f32>()?;
        Ok((name, shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let views = arrays.iter().map(|(name, shape, bytes)| {
        Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| refused(&e))?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    // One entry: maps of several would be written in no fixed order.
    safetensors::serialize(views, Some(HashMap::from([(key.to_owned(), text)]))).map_err(|e| refused(&e))
}

/// The text under a key of a file's header, where it has one.
///
/// # Errors
/// Bytes that are no safetensors file.
pub fn text(bytes: &[u8], key: &str) -> Result<Option<String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
    Ok(header.metadata().as_ref().and_then(|m| m.get(key)).cloned())
}

/// The arrays of a file.
///
/// # Errors
/// A file that is cut off; arrays that are missing, of other shapes or kinds, or not finite.
pub fn from_bytes(bytes: &[u8], shapes: Shapes, device: &Device) -> Result<Vec<Tensor>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
    let read = |(name, shape): (String, Vec<usize>)| {
        let view = file.tensor(&name).map_err(|e| broken(&e))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let (found, kind) = (view.shape(), view.dtype());
            return Err(Error::File(format!("{name} has shape {found:?} of {kind:?}, expected {shape:?} of F32")));
        }
        let four = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let numbers: Vec<f32> = four.collect();
        if let Some(first) = numbers.iter().position(|x| !x.is_finite()) {
            let n = numbers.iter().filter(|x| !x.is_finite()).count();
            let found = numbers[first];
            return Err(Error::File(format!(
                "{n} values of {name} are not finite, the first, number {first}, is {found}"
            )));
        }
        Ok(Tensor::from_slice(device, &numbers, &shape)?)
    };
    shapes.into_iter().map(read).collect()
}
