//! Reading rows of inputs: those of the items themselves, and those that are fetched.

use super::super::code::Step;
use super::super::graph::Op;
use super::assembler::{at, indexed};
use super::lower::{INPUTS, ITEM, Lower, ROW, ROW_32, TABLE};
use super::plan::{Arg, Node};
use super::registers::{xmm, ymm};
use iced_x86::{Code, Instruction, MemoryOperand};

/// Rows that eight items read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// Their own.
    Item { input: u16 },
    /// Those at the offsets that a node computes.
    Fetched { input: u16, offset: usize },
}

/// The row and component that a node reads, if it reads one.
pub fn row(nodes: &[Node], n: usize) -> Option<(Row, u16)> {
    let Step::Graph(op) = nodes[n].step else { return None };
    match (op, nodes[n].args.first()) {
        (Op::Load { input, component } | Op::LoadInt { input, component }, _) => Some((Row::Item { input }, component)),
        (Op::Fetch { input, component } | Op::FetchInt { input, component }, Some(&Arg::Node(offset))) => {
            Some((Row::Fetched { input, offset }, component))
        }
        _ => None,
    }
}

impl Lower<'_> {
    /// Components of eight rows. Rows are read whole and transposed when more than one of four neighbouring components is
    /// needed; [`crate::storage`] keeps memory behind a table readable.
    pub fn read(&mut self, n: usize, row: Row, component: u16) {
        let (input, offsets) = match row {
            Row::Item { input } => (input, None),
            Row::Fetched { input, offset } => (input, Some(self.r.keep_in_memory(&mut self.a, offset))),
        };
        self.a.push(Instruction::with2(Code::Mov_r64_rm64, TABLE, at(INPUTS, 8 * input as usize)));
        let width = self.widths[input as usize];
        if offsets.is_none() && width == 1 {
            let to = self.r.take(&mut self.a);
            self.a.push(Instruction::with2(Code::VEX_Vmovups_ymm_ymmm256, ymm(to), indexed(TABLE, ITEM, 0)));
            return self.define(to, n);
        }
        if offsets.is_none() {
            self.a.push(Instruction::with3(Code::Imul_r64_rm64_imm32, ROW, ITEM, width as i32));
        }
        let group = component / 4 * 4;
        let columns: [Option<usize>; 4] =
            std::array::from_fn(|c| self.readers.get(&(row, group + c as u16)).copied().filter(|&n| !self.done[n]));
        let place = |l: &mut Self, lane: usize, component: u16| {
            let bytes = 4 * component as usize;
            match offsets {
                None => indexed(TABLE, ROW, bytes + 4 * lane * width),
                Some(offsets) => {
                    let mut lane_of = offsets;
                    lane_of.displacement += 4 * lane as i64;
                    lane_of.displ_size = if lane_of.displacement < 128 { 1 } else { 8 };
                    l.a.push(Instruction::with2(Code::Mov_r32_rm32, ROW_32, lane_of));
                    indexed(TABLE, ROW, bytes)
                }
            }
        };
        match columns.iter().flatten().count() {
            0 | 1 => {
                let to = self.gather(&mut |l, lane| place(l, lane, component));
                self.define(to, n);
            }
            _ => self.transpose(columns, &mut |l, lane| place(l, lane, group)),
        }
    }

    /// Eight numbers.
    fn gather(&mut self, place: &mut dyn FnMut(&mut Self, usize) -> MemoryOperand) -> usize {
        let halves = [0, 4].map(|first| {
            let to = self.r.take(&mut self.a);
            let from = place(self, first);
            self.a.push(Instruction::with2(Code::VEX_Vmovss_xmm_m32, xmm(to), from));
            for lane in 1..4 {
                let from = place(self, first + lane);
                let code = Code::VEX_Vinsertps_xmm_xmm_xmmm32_imm8;
                self.a.push(Instruction::with4(code, xmm(to), xmm(to), from, 16 * lane as u32));
            }
            to
        });
        let [to, high] = halves;
        let code = Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8;
        self.a.push(Instruction::with4(code, ymm(to), ymm(to), xmm(high), 1));
        self.r.release(high);
        to
    }

    /// Four neighbouring components of eight rows, of which some are wanted.
    fn transpose(&mut self, columns: [Option<usize>; 4], place: &mut dyn FnMut(&mut Self, usize) -> MemoryOperand) {
        use Code::*;
        let rows = [0, 1, 2, 3].map(|lane| {
            let to = self.r.take(&mut self.a);
            let low = place(self, lane);
            self.a.push(Instruction::with2(VEX_Vmovups_xmm_xmmm128, xmm(to), low));
            let high = place(self, lane + 4);
            self.a.push(Instruction::with4(VEX_Vinsertf128_ymm_ymm_xmmm128_imm8, ymm(to), ymm(to), high, 1));
            to
        });
        let fifth = self.r.take(&mut self.a);
        let mut shuffle = |code: Code, to: usize, x: usize, y: usize| {
            self.a.push(Instruction::with3(code, ymm(to), ymm(x), ymm(y)));
        };
        let (low32, high32) = (VEX_Vunpcklps_ymm_ymm_ymmm256, VEX_Vunpckhps_ymm_ymm_ymmm256);
        let (low64, high64) = (VEX_Vunpcklpd_ymm_ymm_ymmm256, VEX_Vunpckhpd_ymm_ymm_ymmm256);
        let [r0, r1, r2, r3] = rows;
        shuffle(low32, fifth, r0, r1);
        shuffle(high32, r0, r0, r1);
        shuffle(low32, r1, r2, r3);
        shuffle(high32, r2, r2, r3);
        shuffle(low64, r3, fifth, r1);
        shuffle(high64, fifth, fifth, r1);
        shuffle(low64, r1, r0, r2);
        shuffle(high64, r0, r0, r2);
        self.r.release(r2);
        for (register, column) in [r3, fifth, r1, r0].into_iter().zip(columns) {
            match column {
                Some(n) => self.define(register, n),
                None => self.r.release(register),
            }
        }
    }
}
