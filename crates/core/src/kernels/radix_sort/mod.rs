//! Stable radix sort of u32 keys with a payload, from the lowest digit to the highest.
//!
//! For every digit: blocks of keys count their digits, the counts are scanned, and the blocks move their keys. No
//! workgroup waits for another one (Satish, Harris and Garland 2009, "Designing efficient sorting algorithms for manycore
//! GPUs", §4; here the ranks within a block come from counts per invocation instead of a sort by bits).

use super::scan::{Order, scan};
use crate::{DType, Error, Result, Tensor, kernel, params};

mod cpu;

params! {
    /// Parameters of one pass of the sort.
    pub struct Params {
        items: u32,
        /// Bits below the digit.
        shift: u32,
        /// Values of a digit, a power of two.
        digits: u32,
        /// Keys of a block.
        block: u32,
        blocks: u32,
        /// 1 where the payload is the number of the key.
        numbered: u32,
        unused: [u32; 2],
    }
}

kernel! {
    /// Digits per block: counts [digits, blocks].
    pub struct RadixCount(RadixCountBuffers) {
        keys: read u32,
        counts: write u32,
    }
    name: "core/radix_count", wgsl: include_str!("count.wgsl"), entry: "radix_count", items_per_group: 1,
    params: Params, cpu: radix_count
}

kernel! {
    /// Keys and payloads in the order of one digit.
    pub struct RadixMove(RadixMoveBuffers) {
        keys: read u32,
        payload: read u32,
        /// First place of each digit of each block [digits, blocks].
        offsets: read u32,
        keys_out: write u32,
        payload_out: write u32,
    }
    name: "core/radix_move", wgsl: include_str!("move.wgsl"), entry: "radix_move", items_per_group: 1,
    params: Params, cpu: radix_move
}

/// Keys that a workgroup moves: 8 for each of its 128 invocations.
const GPU_BLOCK: usize = 1 << 10;

/// What [`radix_sort`] returns.
#[derive(Clone, Debug)]
pub struct Sorted {
    /// The keys in ascending order, u32 `[N]`.
    pub keys: Tensor,
    /// The payloads in the order of their keys, u32 `[N]`; without a payload, the permutation: key i of the result was
    /// key `payload[i]` of the input.
    pub payload: Tensor,
}

/// Sorts u32 keys by their lowest `bits` bits, with a payload; equal keys keep their order.
///
/// **Shapes**: keys and payload u32 `[N]`.
/// **Gradients**: keys have none; [`Var::gather`](crate::Var::gather) with the permutation differentiates what is sorted.
/// **Errors**: other element types, a payload of another size, 2³² or more keys.
/// **Determinism**: the only stable order, on both devices.
/// **Cost**: a pass per 8 bits on the CPU, per 4 bits on a GPU; a pass reads keys twice and payloads once.
///
/// ```
/// use lumigrad_core::{Device, Tensor, Var, kernels::radix_sort};
/// # fn main() -> lumigrad_core::Result<()> {
/// let cpu = Device::cpu();
/// let keys = Tensor::from_slice(&cpu, &[30u32, 10, 20], &[3])?;
/// let depths = Var::from(Tensor::from_slice(&cpu, &[3.0f32, 1.0, 2.0], &[3])?);
/// let sorted = radix_sort(&keys, None, 32)?;
/// assert_eq!(sorted.payload.to_vec::<u32>()?, [1, 2, 0]);
/// assert_eq!(depths.gather(&sorted.payload)?.tensor().to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn radix_sort(keys: &Tensor, payload: Option<&Tensor>, bits: u32) -> Result<Sorted> {
    for (name, tensor) in [Some(("keys", keys)), payload.map(|p| ("payload", p))].into_iter().flatten() {
        if tensor.dtype() != DType::U32 {
            let tensor_name = format!("{name} of radix_sort");
            return Err(Error::DType { tensor: tensor_name, found: tensor.dtype().name(), expected: "u32".into() });
        }
        if tensor.shape() != [keys.len()] || u32::try_from(keys.len()).is_err() {
            let expected = format!("[{}] (N keys, fewer than 2³²)", keys.len());
            return Err(Error::shape(&format!("{name} of radix_sort"), tensor.shape(), expected));
        }
    }
    let (n, device) = (keys.len(), keys.device());
    let (digit_bits, block) = if device.is_cpu() { (8, 1 << 14) } else { (4, GPU_BLOCK) };
    let blocks = n.div_ceil(block);
    let new = |len: usize| Tensor::uninit(device, DType::U32, &[len]);
    let mut sorted = Sorted { keys: keys.clone(), payload: payload.cloned().map_or_else(|| new(n), Ok)? };
    if n == 0 {
        return Ok(sorted);
    }
    let bits = bits.min(u32::BITS);
    // One pass even without bits, so that there always is a payload.
    for shift in (0..bits.max(1)).step_by(digit_bits) {
        let params = Params {
            items: n as u32,
            shift,
            digits: 1 << (bits - shift).min(digit_bits as u32),
            block: block as u32,
            blocks: blocks as u32,
            numbered: (shift == 0 && payload.is_none()) as u32,
            unused: [0; 2],
        };
        let mut counts = new(params.digits as usize * blocks)?;
        RadixCount { keys: &sorted.keys, counts: &mut counts }.launch(&params, blocks)?;
        let offsets = scan(&counts, 0, Order { exclusive: true, reverse: false })?;
        let mut next = Sorted { keys: new(n)?, payload: new(n)? };
        RadixMove {
            keys: &sorted.keys,
            payload: &sorted.payload,
            offsets: &offsets,
            keys_out: &mut next.keys,
            payload_out: &mut next.payload,
        }
        .launch(&params, blocks)?;
        sorted = next;
    }
    Ok(sorted)
}
