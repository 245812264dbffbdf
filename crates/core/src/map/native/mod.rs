//! Machine code for the bodies of maps, made when a map has run for many items. The interpreter loads and stores every
//! intermediate value of a block; here they stay in registers. Both give the same bits.

mod assembler;
mod lower;
mod plan;
mod registers;
mod rows;

use super::code::{Action, Body, Code, Function};
use super::exec::Data;
use crate::{DType, Element, simd};
use iced_x86::Register;
use memmap2::{Mmap, MmapMut};
use plan::Part;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a block register.
const BLOCK_BYTES: usize = 4 * super::eval::L;
/// General registers that hold the place of the items in the block registers (real, int).
const FILES: [Register; 2] = [Register::R8, Register::R9];

/// Machine code of one map.
struct Native {
    body: Body,
    /// What the functions of `body` are in.
    _memory: Option<Mmap>,
}

/// Code that is compiled when enough items have passed.
#[derive(Default)]
pub struct Lazy {
    items: AtomicUsize,
    made: OnceLock<Option<Native>>,
}

/// Items after which compiling (some microseconds per instruction) has paid for itself.
const WORTH_IT: usize = 1 << 17;

impl Lazy {
    /// Counts `n` items; machine code once it is worth it and where it can be had.
    pub fn get<R: Element>(&self, code: &Code, data: &Data<R>, n: usize) -> Option<&Body> {
        let before = self.items.fetch_add(n, Ordering::Relaxed);
        // Rows of empty tables are zeros, which only the interpreter knows.
        if R::DTYPE != DType::F32 || before + n < WORTH_IT || data.rows.contains(&0) {
            return None;
        }
        self.made.get_or_init(|| compile(code, &data.widths)).as_ref().map(|native| &native.body)
    }
}

/// Compiles `code`, whose inputs have these widths; `None` where the machine or the system does not allow it.
fn compile(code: &Code, widths: &[usize]) -> Option<Native> {
    if simd::level() < simd::Level::Avx2 {
        return None;
    }
    let plan = plan::plan(&code.body);
    let mut bytes: Vec<u8> = vec![];
    let mut starts = vec![];
    for part in &plan.parts {
        if let Part::Native(members) = part {
            bytes.resize(bytes.len().next_multiple_of(64), 0);
            let (function, start) = lower::lower(&plan.nodes, members, widths);
            starts.push(bytes.len() + start);
            bytes.extend(function);
        }
    }
    let memory = match bytes.is_empty() {
        true => None,
        false => {
            let mut memory = MmapMut::map_anon(bytes.len()).ok()?;
            memory.copy_from_slice(&bytes);
            Some(memory.make_exec().ok()?)
        }
    };
    let base = memory.as_ref().map_or(std::ptr::null(), |m| m.as_ptr());
    let mut starts = starts.into_iter();
    let actions = plan.parts.into_iter().map(|part| match part {
        Part::Native(_) => {
            let start = base.wrapping_add(starts.next().expect("one function per native part"));
            // SAFETY: a function of this signature was written there.
            Action::Native(unsafe { std::mem::transmute::<*const u8, Function>(start) })
        }
        Part::Interpreted(instrs) => Action::Interpret(instrs),
    });
    let body = Body { actions: actions.collect(), registers: plan.slots, outputs: plan.outputs };
    Some(Native { body, _memory: memory })
}

#[cfg(test)]
mod tests;
