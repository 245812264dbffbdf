//! Which value is in which vector register, and where it is in memory. Code has no branches, so that the value whose
//! next use is furthest makes room (Belady 1966).

use super::assembler::{Assembler, at};
use super::plan::Node;
use super::{BLOCK_BYTES, FILES};
use iced_x86::{Code, Instruction, MemoryOperand, Register};
use std::collections::HashMap;

/// A source operand.
#[derive(Clone, Copy)]
pub enum Source {
    /// In a vector register.
    Register(usize),
    /// In memory.
    Memory(MemoryOperand),
}

/// Register `k` of eight lanes.
pub fn ymm(k: usize) -> Register {
    Register::YMM0 + k as u32
}

/// Its lower half.
pub fn xmm(k: usize) -> Register {
    Register::XMM0 + k as u32
}

#[derive(Clone, Copy, PartialEq)]
enum Held {
    Nothing,
    Value(usize),
    /// In use for something else.
    Taken,
}

/// Registers and stack of one function.
pub struct Registers {
    held: [Held; 16],
    /// Where values have a copy in memory.
    memory: HashMap<usize, MemoryOperand>,
    register: HashMap<usize, usize>,
    /// Places in the instruction list that use a value, the next one last.
    uses: HashMap<usize, Vec<usize>>,
    stack: usize,
    free_stack: Vec<usize>,
    on_stack: HashMap<usize, usize>,
}

impl Registers {
    /// Values of other parts are in their slots.
    pub fn new(nodes: &[Node], uses: HashMap<usize, Vec<usize>>, inside: impl Fn(usize) -> bool) -> Self {
        let outside = uses.keys().copied().filter(|&n| !inside(n));
        let memory = outside.map(|n| (n, slot_of(nodes, n).expect("values of other parts have slots"))).collect();
        Self {
            held: [Held::Nothing; 16],
            memory,
            register: HashMap::new(),
            uses,
            stack: 0,
            free_stack: vec![],
            on_stack: HashMap::new(),
        }
    }

    /// Bytes of stack in use at most.
    pub fn stack_bytes(&self) -> usize {
        32 * self.stack
    }

    /// A place of 32 bytes on the stack.
    fn take_stack(&mut self) -> usize {
        self.free_stack.pop().unwrap_or_else(|| {
            self.stack += 1;
            self.stack - 1
        })
    }

    fn next_use(&self, value: usize) -> usize {
        self.uses.get(&value).and_then(|u| u.last()).copied().unwrap_or(usize::MAX)
    }

    /// A register to write to. Its former value goes to memory if it is still needed.
    pub fn take(&mut self, a: &mut Assembler) -> usize {
        let free = self.held.iter().position(|h| *h == Held::Nothing);
        let register = free.unwrap_or_else(|| {
            let furthest = |k: &usize| match self.held[*k] {
                Held::Value(v) => self.next_use(v),
                _ => 0,
            };
            let victim = (0..16).max_by_key(furthest).expect("sixteen registers");
            let Held::Value(value) = self.held[victim] else { panic!("every vector register is taken") };
            if self.next_use(value) != usize::MAX {
                self.keep_in_memory(a, value);
            }
            self.register.remove(&value);
            victim
        });
        self.held[register] = Held::Taken;
        register
    }

    /// Gives a taken register back.
    pub fn release(&mut self, register: usize) {
        self.held[register] = Held::Nothing;
    }

    /// From now on the register holds `value`, which is stored where later parts and outputs look for it.
    pub fn define(&mut self, a: &mut Assembler, nodes: &[Node], register: usize, value: usize) {
        if let Some(slot) = slot_of(nodes, value) {
            a.push(Instruction::with2(Code::VEX_Vmovups_ymmm256_ymm, slot, ymm(register)));
            self.memory.insert(value, slot);
        }
        if self.next_use(value) == usize::MAX {
            self.held[register] = Held::Nothing;
            return;
        }
        self.held[register] = Held::Value(value);
        self.register.insert(value, register);
    }

    /// Makes sure of a copy in memory.
    pub fn keep_in_memory(&mut self, a: &mut Assembler, value: usize) -> MemoryOperand {
        if let Some(&place) = self.memory.get(&value) {
            return place;
        }
        let stack = self.take_stack();
        let place = at(Register::RSP, 32 * stack);
        a.push(Instruction::with2(Code::VEX_Vmovups_ymmm256_ymm, place, ymm(self.register[&value])));
        self.memory.insert(value, place);
        self.on_stack.insert(value, stack);
        place
    }

    /// The value as a source: in a register if it has one or will be used again.
    pub fn source(&mut self, a: &mut Assembler, value: usize) -> Source {
        if let Some(&register) = self.register.get(&value) {
            return Source::Register(register);
        }
        let again = self.uses.get(&value).is_some_and(|u| u.len() > 1);
        match again {
            true => Source::Register(self.load(a, value)),
            false => Source::Memory(self.memory[&value]),
        }
    }

    /// The value in a register.
    pub fn load(&mut self, a: &mut Assembler, value: usize) -> usize {
        if let Some(&register) = self.register.get(&value) {
            return register;
        }
        let register = self.take(a);
        a.push(Instruction::with2(Code::VEX_Vmovups_ymm_ymmm256, ymm(register), self.memory[&value]));
        self.held[register] = Held::Value(value);
        self.register.insert(value, register);
        register
    }

    /// Whether the value is in a register now.
    pub fn has_register(&self, value: usize) -> bool {
        self.register.contains_key(&value)
    }

    /// Keeps a register from being taken until it is [unlocked](Self::unlock).
    pub fn lock(&mut self, register: usize) -> Lock {
        let held = std::mem::replace(&mut self.held[register], Held::Taken);
        Lock { register, held }
    }

    /// Ends a lock.
    pub fn unlock(&mut self, lock: Lock) {
        self.held[lock.register] = lock.held;
    }

    /// One use of the value at this place is done; after the last one its places are free.
    pub fn used(&mut self, value: usize) {
        let uses = self.uses.get_mut(&value).expect("a use was counted");
        uses.pop();
        if uses.is_empty() {
            if let Some(register) = self.register.remove(&value) {
                self.held[register] = Held::Nothing;
            }
            if let Some(stack) = self.on_stack.remove(&value) {
                self.free_stack.push(stack);
                self.memory.remove(&value);
            }
        }
    }
}

/// A register that is kept for the moment.
#[must_use]
pub struct Lock {
    register: usize,
    held: Held,
}

fn slot_of(nodes: &[Node], value: usize) -> Option<MemoryOperand> {
    let node = &nodes[value];
    let file = FILES[!super::plan::is_real(node.step) as usize];
    node.slot.map(|slot| at(file, slot as usize * BLOCK_BYTES))
}
