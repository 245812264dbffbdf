//! Machine code for one part: a loop over the block's items, eight at a time.

use super::super::code::{Files, Step};
use super::super::graph::Op;
use super::assembler::{Assembler, Constant, at, constant, integer};
use super::plan::{Arg, Node};
use super::registers::{Registers, Source, xmm, ymm};
use super::rows::{Row, row};
use super::{BLOCK_BYTES, FILES};
use iced_x86::{Code, Instruction, MemoryOperand, Register};
use std::collections::HashMap;
use std::mem::offset_of;

/// General registers. `FILES` hold the place of the eight items in the block registers.
const SCALARS: [Register; 2] = [Register::R10, Register::R11];
pub const INPUTS: Register = Register::RCX;
const LAST_ROWS: Register = Register::RDX;
pub const ITEM: Register = Register::RSI;
const LEFT: Register = Register::RBX;
pub const TABLE: Register = Register::RAX;
pub const ROW: Register = Register::RDI;
pub const ROW_32: Register = Register::EDI;
/// Bytes of eight items in a block register.
const STEP: i32 = 32;

/// Bytes of a function `(files, first item)` that runs `members` for a block, and where it starts.
pub fn lower(nodes: &[Node], members: &[usize], widths: &[usize]) -> (Vec<u8>, usize) {
    // What the function needs of the stack is known when the loop is written: twice, the first time for that.
    let stack = Lower::new(nodes, members, widths).body();
    let mut lower = Lower::new(nodes, members, widths);
    let start = lower.a.here();
    lower.enter(stack);
    let top = lower.a.here();
    lower.body();
    lower.leave(top);
    (lower.a.finish(), start)
}

/// A function being written.
pub struct Lower<'a> {
    nodes: &'a [Node],
    members: &'a [usize],
    /// Components per row of each input.
    pub widths: &'a [usize],
    /// Its instructions.
    pub a: Assembler,
    /// Where its values are.
    pub r: Registers,
    /// Members that read a component of a row.
    pub readers: HashMap<(Row, u16), usize>,
    /// Nodes whose value exists.
    pub done: Vec<bool>,
}

impl<'a> Lower<'a> {
    fn new(nodes: &'a [Node], members: &'a [usize], widths: &'a [usize]) -> Self {
        let mut uses: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut inside = vec![false; nodes.len()];
        for (place, &n) in members.iter().enumerate() {
            inside[n] = true;
            for arg in &nodes[n].args {
                if let Arg::Node(a) = *arg {
                    uses.entry(a).or_default().push(place);
                }
            }
        }
        uses.values_mut().for_each(|u| u.reverse());
        let widths_used: Vec<i32> = widths.iter().map(|&w| w as i32).collect();
        Self {
            nodes,
            members,
            widths,
            a: Assembler::new(&widths_used),
            r: Registers::new(nodes, uses, |n| inside[n]),
            readers: members.iter().filter_map(|&n| row(nodes, n).map(|r| (r, n))).collect(),
            done: vec![false; nodes.len()],
        }
    }

    fn enter(&mut self, stack: usize) {
        use Register::{RBP, RSP};
        self.a.push(Instruction::with1(Code::Push_r64, RBP));
        self.a.push(Instruction::with2(Code::Mov_r64_rm64, RBP, RSP));
        self.a.push(Instruction::with1(Code::Push_r64, LEFT));
        let size = stack.next_multiple_of(32) as i32 + 32;
        // Every page is touched in order, as the guard page of a thread's stack expects.
        for page in (4096..size as i64).step_by(4096) {
            let place = MemoryOperand::with_base_displ_size(RSP, -page, 8);
            self.a.push(Instruction::with2(Code::Test_rm64_r64, place, LEFT));
        }
        self.a.push(Instruction::with2(Code::Sub_rm64_imm32, RSP, size));
        self.a.push(Instruction::with2(Code::And_rm64_imm8, RSP, -32));
        let load = |to: Register, from: usize| Instruction::with2(Code::Mov_r64_rm64, to, at(Register::RDI, from));
        self.a.push(load(FILES[0], offset_of!(Files, real)));
        self.a.push(load(FILES[1], offset_of!(Files, int)));
        self.a.push(load(SCALARS[0], offset_of!(Files, real_scalars)));
        self.a.push(load(SCALARS[1], offset_of!(Files, int_scalars)));
        self.a.push(load(INPUTS, offset_of!(Files, inputs)));
        self.a.push(load(LAST_ROWS, offset_of!(Files, last_rows)));
        self.a.push(Instruction::with2(Code::Mov_r64_imm64, LEFT, (BLOCK_BYTES as i32 / STEP) as u64));
    }

    fn leave(&mut self, top: usize) {
        for file in FILES {
            self.a.push(Instruction::with2(Code::Add_rm64_imm8, file, STEP));
        }
        self.a.push(Instruction::with2(Code::Add_rm64_imm8, ITEM, STEP / 4));
        self.a.push(Instruction::with2(Code::Sub_rm64_imm8, LEFT, 1));
        self.a.push(Instruction::with_branch(Code::Jne_rel32_64, top as u64));
        let saved = MemoryOperand::with_base_displ(Register::RBP, -8);
        self.a.push(Instruction::with2(Code::Mov_r64_rm64, LEFT, saved));
        self.a.push(Instruction::with2(Code::Mov_r64_rm64, Register::RSP, Register::RBP));
        self.a.push(Instruction::with1(Code::Pop_r64, Register::RBP));
        self.a.push(Ok(Instruction::with(Code::VEX_Vzeroupper)));
        self.a.push(Ok(Instruction::with(Code::Retnq)));
    }

    /// The loop's body; returns the bytes of stack that it needs.
    fn body(&mut self) -> usize {
        for &n in self.members {
            if !self.done[n] {
                self.node(n);
            }
            for k in 0..self.nodes[n].args.len() {
                if let Arg::Node(a) = self.nodes[n].args[k] {
                    self.r.used(a);
                }
            }
        }
        self.r.stack_bytes()
    }

    fn node(&mut self, n: usize) {
        let op = match self.nodes[n].step {
            Step::Offset { input, .. } => return self.offset(n, input),
            Step::Graph(op) => op,
        };
        if let Some((row, component)) = row(self.nodes, n) {
            return self.read(n, row, component);
        }
        use Code::*;
        match op {
            Op::Add => self.binary(n, VEX_Vaddps_ymm_ymm_ymmm256, true),
            Op::Sub => self.binary(n, VEX_Vsubps_ymm_ymm_ymmm256, false),
            Op::Mul => self.binary(n, VEX_Vmulps_ymm_ymm_ymmm256, true),
            Op::Div => self.binary(n, VEX_Vdivps_ymm_ymm_ymmm256, false),
            // The second operand where they compare false, as in the interpreter: operands change places.
            Op::Min => self.binary_of(n, VEX_Vminps_ymm_ymm_ymmm256, 1, 0),
            Op::Max => self.binary_of(n, VEX_Vmaxps_ymm_ymm_ymmm256, 1, 0),
            Op::AddInt => self.binary(n, VEX_Vpaddd_ymm_ymm_ymmm256, true),
            Op::SubInt => self.binary(n, VEX_Vpsubd_ymm_ymm_ymmm256, false),
            Op::MulInt => self.binary(n, VEX_Vpmulld_ymm_ymm_ymmm256, true),
            Op::MinInt => self.binary(n, VEX_Vpminsd_ymm_ymm_ymmm256, true),
            Op::MaxInt => self.binary(n, VEX_Vpmaxsd_ymm_ymm_ymmm256, true),
            Op::AndInt | Op::And => self.binary(n, VEX_Vpand_ymm_ymm_ymmm256, true),
            Op::Or => self.binary(n, VEX_Vpor_ymm_ymm_ymmm256, true),
            Op::XorInt => self.binary(n, VEX_Vpxor_ymm_ymm_ymmm256, true),
            Op::LessInt => self.binary_of(n, VEX_Vpcmpgtd_ymm_ymm_ymmm256, 1, 0),
            Op::EqInt => self.binary(n, VEX_Vpcmpeqd_ymm_ymm_ymmm256, true),
            Op::Less => self.compare(n, 0x11),
            Op::LessEq => self.compare(n, 0x12),
            Op::Neg => self.with_constant(n, VEX_Vxorps_ymm_ymm_ymmm256, Constant::SignBit),
            Op::Abs => self.with_constant(n, VEX_Vandps_ymm_ymm_ymmm256, Constant::AllButSign),
            Op::Not => self.with_constant(n, VEX_Vpxor_ymm_ymm_ymmm256, Constant::AllOnes),
            Op::Sqrt => self.unary(n, VEX_Vsqrtps_ymm_ymmm256),
            Op::ToReal => self.unary(n, VEX_Vcvtdq2ps_ymm_ymmm256),
            Op::Floor => self.floor(n),
            Op::ToInt => self.truncate(n),
            Op::Select | Op::SelectInt => self.select(n),
            Op::Index => self.index(n),
            _ => unreachable!("{op:?} is uniform or interpreted"),
        }
    }

    /// Operand `k` of a node; `real` scalars and others are in different files.
    fn source(&mut self, n: usize, k: usize) -> Source {
        match self.nodes[n].args[k] {
            Arg::Scalar(place) => {
                let real = super::plan::operand_is_real(self.nodes[n].step, k);
                Source::Memory(at(SCALARS[!real as usize], 32 * place as usize))
            }
            Arg::Node(value) => self.r.source(&mut self.a, value),
        }
    }

    /// Operand `k` in a register; the second result tells whether it is to be released.
    fn in_register(&mut self, n: usize, k: usize) -> (usize, bool) {
        match self.nodes[n].args[k] {
            Arg::Node(value) => (self.r.load(&mut self.a, value), false),
            Arg::Scalar(_) => {
                let Source::Memory(place) = self.source(n, k) else { unreachable!("scalars are in memory") };
                let register = self.r.take(&mut self.a);
                self.a.push(Instruction::with2(Code::VEX_Vmovups_ymm_ymmm256, ymm(register), place));
                (register, true)
            }
        }
    }

    /// From now on the register holds the value of node `n`.
    pub fn define(&mut self, register: usize, n: usize) {
        self.done[n] = true;
        self.r.define(&mut self.a, self.nodes, register, n);
    }

    /// Runs `emit(assembler, destination, first)` with the first operand in a register that stays.
    fn with_register(&mut self, n: usize, k: usize, emit: impl FnOnce(&mut Self, usize, usize)) {
        let (first, temporary) = self.in_register(n, k);
        let lock = self.r.lock(first);
        let destination = self.r.take(&mut self.a);
        emit(self, destination, first);
        self.r.unlock(lock);
        if temporary {
            self.r.release(first);
        }
        self.define(destination, n);
    }

    fn binary(&mut self, n: usize, code: Code, commutes: bool) {
        let in_register = |l: &Self, k: usize| match l.nodes[n].args[k] {
            Arg::Node(value) => l.r.has_register(value),
            Arg::Scalar(_) => false,
        };
        match commutes && !in_register(self, 0) && in_register(self, 1) {
            true => self.binary_of(n, code, 1, 0),
            false => self.binary_of(n, code, 0, 1),
        }
    }

    /// destination ← operand `x` ∘ operand `y`.
    fn binary_of(&mut self, n: usize, code: Code, x: usize, y: usize) {
        self.with_register(n, x, |l, to, first| {
            let instruction = match l.source(n, y) {
                Source::Register(second) => Instruction::with3(code, ymm(to), ymm(first), ymm(second)),
                Source::Memory(second) => Instruction::with3(code, ymm(to), ymm(first), second),
            };
            l.a.push(instruction);
        });
    }

    fn compare(&mut self, n: usize, predicate: i32) {
        let code = Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8;
        self.with_register(n, 0, |l, to, first| {
            let instruction = match l.source(n, 1) {
                Source::Register(second) => Instruction::with4(code, ymm(to), ymm(first), ymm(second), predicate),
                Source::Memory(second) => Instruction::with4(code, ymm(to), ymm(first), second, predicate),
            };
            l.a.push(instruction);
        });
    }

    fn with_constant(&mut self, n: usize, code: Code, c: Constant) {
        self.with_register(n, 0, |l, to, x| l.a.push(Instruction::with3(code, ymm(to), ymm(x), constant(c))));
    }

    fn unary(&mut self, n: usize, code: Code) {
        self.with_register(n, 0, |l, to, x| l.a.push(Instruction::with2(code, ymm(to), ymm(x))));
    }

    fn floor(&mut self, n: usize) {
        let code = Code::VEX_Vroundps_ymm_ymmm256_imm8;
        self.with_register(n, 0, |l, to, x| l.a.push(Instruction::with3(code, ymm(to), ymm(x), 9)));
    }

    /// Truncation, saturating, 0 for NaN.
    fn truncate(&mut self, n: usize) {
        use Code::*;
        self.with_register(n, 0, |l, to, x| {
            let mask = l.r.take(&mut l.a);
            let (to, x, mask_) = (ymm(to), ymm(x), ymm(mask));
            l.a.push(Instruction::with3(VEX_Vmaxps_ymm_ymm_ymmm256, to, x, constant(Constant::IntMin)));
            l.a.push(Instruction::with3(VEX_Vminps_ymm_ymm_ymmm256, to, to, constant(Constant::IntBelow)));
            l.a.push(Instruction::with2(VEX_Vcvttps2dq_ymm_ymmm256, to, to));
            let (least, ordered) = (0x1d, 0x07);
            let end = constant(Constant::IntEnd);
            l.a.push(Instruction::with4(VEX_Vcmpps_ymm_ymm_ymmm256_imm8, mask_, x, end, least));
            let most = constant(Constant::IntMax);
            l.a.push(Instruction::with4(VEX_Vblendvps_ymm_ymm_ymmm256_ymm, to, to, most, mask_));
            l.a.push(Instruction::with4(VEX_Vcmpps_ymm_ymm_ymmm256_imm8, mask_, x, x, ordered));
            l.a.push(Instruction::with3(VEX_Vandps_ymm_ymm_ymmm256, to, to, mask_));
            l.r.release(mask);
        });
    }

    fn select(&mut self, n: usize) {
        self.with_register(n, 0, |l, to, mask| {
            let (no, temporary) = l.in_register(n, 2);
            let lock = l.r.lock(no);
            let code = Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm;
            let instruction = match l.source(n, 1) {
                Source::Register(yes) => Instruction::with4(code, ymm(to), ymm(no), ymm(yes), ymm(mask)),
                Source::Memory(yes) => Instruction::with4(code, ymm(to), ymm(no), yes, ymm(mask)),
            };
            l.a.push(instruction);
            l.r.unlock(lock);
            if temporary {
                l.r.release(no);
            }
        });
    }

    fn index(&mut self, n: usize) {
        let to = self.r.take(&mut self.a);
        self.a.push(Instruction::with2(Code::VEX_Vmovd_xmm_rm32, xmm(to), Register::ESI));
        self.a.push(Instruction::with2(Code::VEX_Vpbroadcastd_ymm_xmmm32, ymm(to), xmm(to)));
        let lanes = constant(Constant::Lane);
        self.a.push(Instruction::with3(Code::VEX_Vpaddd_ymm_ymm_ymmm256, ymm(to), ymm(to), lanes));
        self.define(to, n);
    }

    /// Row number → first element of the row, clamped into the table.
    fn offset(&mut self, n: usize, input: u16) {
        use Code::*;
        self.with_register(n, 0, |l, to, row| {
            let (to, zero) = (ymm(to), constant(Constant::Zero));
            l.a.push(Instruction::with3(VEX_Vpmaxsd_ymm_ymm_ymmm256, to, ymm(row), zero));
            let last = at(LAST_ROWS, 32 * input as usize);
            l.a.push(Instruction::with3(VEX_Vpminsd_ymm_ymm_ymmm256, to, to, last));
            match l.widths[input as usize] {
                1 => {}
                w if w.is_power_of_two() => {
                    let shift = w.trailing_zeros();
                    l.a.push(Instruction::with3(VEX_Vpslld_ymm_ymm_imm8, to, to, shift));
                }
                _ => l.a.push(Instruction::with3(VEX_Vpmulld_ymm_ymm_ymmm256, to, to, integer(input as usize))),
            }
        });
    }
}
