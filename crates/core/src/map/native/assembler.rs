//! Bytes of x86-64 instructions, with a pool of constants before them.

use iced_x86::{Encoder, Instruction, MemoryOperand, Register};

/// Constants (repeated over eight lanes) that code may use, by place in the pool.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Constant {
    Zero,
    SignBit,
    AllButSign,
    AllOnes,
    Lane,
    /// −2³¹, the largest number below 2³¹, and 2³¹ as real numbers.
    IntMin,
    IntBelow,
    IntEnd,
    IntMax,
}

const POOL: [[u32; 8]; 9] = [
    [0; 8],
    [0x8000_0000; 8],
    [0x7fff_ffff; 8],
    [u32::MAX; 8],
    [0, 1, 2, 3, 4, 5, 6, 7],
    [0xcf00_0000; 8],
    [0x4eff_ffff; 8],
    [0x4f00_0000; 8],
    [0x7fff_ffff; 8],
];

/// Code being written; addresses count from its start, and it runs anywhere.
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    /// The pool, and further integers (repeated over the lanes) behind it.
    pub fn new(integers: &[i32]) -> Self {
        let mut bytes: Vec<u8> = POOL.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        bytes.extend(integers.iter().flat_map(|x| [x.to_le_bytes(); 8]).flatten());
        Self { bytes }
    }

    /// Address of the next instruction.
    pub fn here(&self) -> usize {
        self.bytes.len()
    }

    /// Appends an instruction.
    pub fn push(&mut self, instruction: Result<Instruction, iced_x86::IcedError>) {
        let instruction = instruction.expect("operands fit the instruction");
        let mut encoder = Encoder::new(64);
        encoder.encode(&instruction, self.bytes.len() as u64).expect("operands fit the instruction");
        self.bytes.append(&mut encoder.take_buffer());
    }

    /// All bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Where a constant is.
pub fn constant(constant: Constant) -> MemoryOperand {
    in_pool(constant as usize)
}

/// Where a further integer is.
pub fn integer(place: usize) -> MemoryOperand {
    in_pool(POOL.len() + place)
}

fn in_pool(place: usize) -> MemoryOperand {
    MemoryOperand::with_base_displ_size(Register::RIP, 32 * place as i64, 8)
}

/// Memory at a register plus bytes.
pub fn at(base: Register, bytes: usize) -> MemoryOperand {
    MemoryOperand::with_base_displ_size(base, bytes as i64, if bytes < 128 { 1 } else { 8 })
}

/// Memory at base + 4·index + bytes.
pub fn indexed(base: Register, index: Register, bytes: usize) -> MemoryOperand {
    MemoryOperand::with_base_index_scale_displ_size(base, index, 4, bytes as i64, if bytes < 128 { 1 } else { 8 })
}
