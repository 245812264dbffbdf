//! The CPU interpreter of scheduled code: every instruction runs over a block of `L` items, compiled for the widest
//! instruction set of the machine.

use super::approx::Elementary;
use super::code::{Files, Instr, LANES, SCALAR, Step};
use super::graph::Op;

/// Input slices of a call, in program order; the unused kind is empty.
pub struct Data<'a, R> {
    /// Real inputs.
    pub real: Vec<&'a [R]>,
    /// Integer inputs.
    pub int: Vec<&'a [i32]>,
    /// Components per row of each input.
    pub widths: Vec<usize>,
    /// Rows of each input.
    pub rows: Vec<usize>,
    /// Real call parameters.
    pub params: Vec<R>,
    /// Integer call parameters.
    pub int_params: Vec<i32>,
}

/// Register files of one block.
pub struct Registers<R, const L: usize> {
    /// Real registers.
    pub real: Vec<[R; L]>,
    /// Integer and truth registers (0 or −1).
    pub int: Vec<[i32; L]>,
}

impl<R: Elementary, const L: usize> Registers<R, L> {
    /// Zeroed registers.
    pub fn new(sizes: (usize, usize)) -> Self {
        Self { real: vec![[R::ZERO; L]; sizes.0], int: vec![[0; L]; sizes.1] }
    }
}

/// Inputs and scalars of one call, as machine code (of f32 maps) wants them.
pub struct Call {
    real_scalars: Vec<[f32; LANES]>,
    int_scalars: Vec<[i32; LANES]>,
    inputs: Vec<*const u8>,
    last_rows: Vec<[i32; LANES]>,
}

// SAFETY: the pointers are to inputs, which are only read.
unsafe impl Sync for Call {}

impl Call {
    /// Repeats scalars over the lanes of an instruction.
    pub fn new<R: Elementary>(data: &Data<R>, scalars: &Registers<R, 1>) -> Self {
        let pointer = |(real, int): (&&[R], &&[i32])| match real.is_empty() {
            true => int.as_ptr().cast(),
            false => real.as_ptr().cast(),
        };
        Self {
            real_scalars: scalars.real.iter().map(|x| [x[0].to_f64() as f32; LANES]).collect(),
            int_scalars: scalars.int.iter().map(|x| [x[0]; LANES]).collect(),
            inputs: data.real.iter().zip(&data.int).map(pointer).collect(),
            last_rows: data.rows.iter().map(|&n| [n.saturating_sub(1) as i32; LANES]).collect(),
        }
    }

    /// What machine code reads and writes with these registers.
    pub fn files<R, const L: usize>(&self, registers: &mut Registers<R, L>) -> Files {
        Files {
            real: registers.real.as_mut_ptr().cast(),
            int: registers.int.as_mut_ptr().cast(),
            real_scalars: self.real_scalars.as_ptr(),
            int_scalars: self.int_scalars.as_ptr(),
            inputs: self.inputs.as_ptr(),
            last_rows: self.last_rows.as_ptr(),
        }
    }
}

/// An operand: a block, or a scalar.
#[derive(Clone, Copy)]
pub enum Src<'a, T, const L: usize> {
    /// One value per item.
    Block(&'a [T; L]),
    /// The same for all.
    One(T),
}

impl<T: Copy, const L: usize> Src<'_, T, L> {
    /// Value of lane `l`.
    #[inline(always)]
    pub fn at(&self, l: usize) -> T {
        match self {
            Src::Block(b) => b[l],
            Src::One(x) => *x,
        }
    }
}

#[inline(always)]
fn map1<T: Copy, U, const L: usize>(d: &mut [U; L], a: Src<T, L>, f: impl Fn(T) -> U) {
    match a {
        Src::Block(a) => (0..L).for_each(|l| d[l] = f(a[l])),
        Src::One(a) => (0..L).for_each(|l| d[l] = f(a)),
    }
}

#[inline(always)]
fn map2<T: Copy, U, const L: usize>(d: &mut [U; L], a: Src<T, L>, b: Src<T, L>, f: impl Fn(T, T) -> U) {
    match (a, b) {
        (Src::Block(a), Src::Block(b)) => (0..L).for_each(|l| d[l] = f(a[l], b[l])),
        (Src::Block(a), Src::One(b)) => (0..L).for_each(|l| d[l] = f(a[l], b)),
        (Src::One(a), Src::Block(b)) => (0..L).for_each(|l| d[l] = f(a, b[l])),
        (Src::One(a), Src::One(b)) => (0..L).for_each(|l| d[l] = f(a, b)),
    }
}

/// x / y rounded towards zero, y at least 1. Real division vectorises and is exact: the quotient of two i32 is further
/// from the next integer than half a unit of f64's last place.
#[inline(always)]
fn quotient(x: i32, y: i32) -> i32 {
    // SAFETY: the magnitude is at most that of x.
    unsafe { (x as f64 / y.max(1) as f64).to_int_unchecked::<i32>() }
}

/// The remainder in 0..y that belongs to it, y at least 1.
#[inline(always)]
fn remainder(x: i32, y: i32) -> i32 {
    let rest = x.wrapping_sub(y.max(1).wrapping_mul(quotient(x, y)));
    if rest < 0 { rest + y.max(1) } else { rest }
}

/// Truths are 0 or −1, so that a choice is a mask, which vectorises whatever the operands are.
#[inline(always)]
fn select<T: Copy, const L: usize>(
    d: &mut [T; L],
    c: Src<i32, L>,
    a: Src<T, L>,
    b: Src<T, L>,
    pick: impl Fn(i32, T, T) -> T,
) {
    match (c, a, b) {
        (Src::Block(c), Src::Block(a), Src::Block(b)) => (0..L).for_each(|l| d[l] = pick(c[l], a[l], b[l])),
        (Src::Block(c), Src::Block(a), Src::One(b)) => (0..L).for_each(|l| d[l] = pick(c[l], a[l], b)),
        (Src::Block(c), Src::One(a), Src::Block(b)) => (0..L).for_each(|l| d[l] = pick(c[l], a, b[l])),
        (Src::Block(c), Src::One(a), Src::One(b)) => (0..L).for_each(|l| d[l] = pick(c[l], a, b)),
        (Src::One(c), a, b) => (0..L).for_each(|l| d[l] = pick(c, a.at(l), b.at(l))),
    }
}

/// Source operand of a register number.
#[inline(always)]
pub fn operand<'a, T: Copy, const L: usize>(file: *const [T; L], scalars: &[T], r: u16) -> Src<'a, T, L> {
    if r & SCALAR != 0 {
        Src::One(scalars[(r & !SCALAR) as usize])
    } else {
        // SAFETY: register numbers come from `compile`, which sized the file.
        Src::Block(unsafe { &*file.add(r as usize) })
    }
}

/// Runs instructions over the block of items `start..start + L` (items past `n` repeat the last one).
#[inline(always)]
pub fn run<R: Elementary, const L: usize>(
    code: &[Instr],
    regs: &mut Registers<R, L>,
    scalars: &Registers<R, 1>,
    data: &Data<R>,
    start: usize,
    n: usize,
) {
    let flat_real: &[R] = scalars.real.as_flattened();
    let flat_int: &[i32] = scalars.int.as_flattened();
    let (real, int) = (regs.real.as_mut_ptr(), regs.int.as_mut_ptr());
    for instr in code {
        let [a, b, c] = instr.args;
        // SAFETY: `compile` never lets a destination alias an operand of the same instruction, and register numbers
        // are below the file sizes.
        let dr = || unsafe { &mut *real.add(instr.dst as usize) };
        let di = || unsafe { &mut *int.add(instr.dst as usize) };
        let r = |k: u16| operand::<R, L>(real, flat_real, k);
        let i = |k: u16| operand::<i32, L>(int, flat_int, k);
        let truth = |x: bool| -(x as i32);
        let op = match instr.step {
            Step::Graph(op) => op,
            Step::Offset { input, width } => {
                let last = data.rows[input as usize].saturating_sub(1) as i32;
                map1(di(), i(a), |row| row.max(0).min(last).wrapping_mul(width as i32));
                continue;
            }
        };
        match op {
            Op::Const(bits) => *dr() = [R::from_f64(f64::from_bits(bits)); L],
            Op::ConstInt(x) => *di() = [x; L],
            Op::Param(k) => *dr() = [data.params[k as usize]; L],
            Op::ParamInt(k) => *di() = [data.int_params[k as usize]; L],
            Op::Load { input, component } => {
                load(dr(), data.real[input as usize], data.widths[input as usize], component, start, n);
            }
            Op::LoadInt { input, component } => {
                load(di(), data.int[input as usize], data.widths[input as usize], component, start, n);
            }
            Op::Index => {
                let d = di();
                (0..L).for_each(|l| d[l] = (start + l) as i32);
            }
            Op::Rows { input } => *di() = [data.rows[input as usize] as i32; L],
            Op::Neg => map1(dr(), r(a), |x| -x),
            Op::Abs => map1(dr(), r(a), |x| x.abs()),
            Op::Floor => map1(dr(), r(a), |x| x.floor()),
            Op::Sqrt => map1(dr(), r(a), |x| x.sqrt()),
            Op::Exp => map1(dr(), r(a), |x| x.exp_()),
            Op::Ln => map1(dr(), r(a), |x| x.ln_()),
            Op::Sin => map1(dr(), r(a), |x| x.sin_()),
            Op::Cos => map1(dr(), r(a), |x| x.cos_()),
            Op::Tanh => map1(dr(), r(a), |x| x.tanh_()),
            Op::Atan2 => map2(dr(), r(a), r(b), |y, x| y.atan2_(x)),
            Op::Add => map2(dr(), r(a), r(b), |x, y| x + y),
            Op::Sub => map2(dr(), r(a), r(b), |x, y| x - y),
            Op::Mul => map2(dr(), r(a), r(b), |x, y| x * y),
            Op::Div => map2(dr(), r(a), r(b), |x, y| x / y),
            Op::Min => map2(dr(), r(a), r(b), |x, y| if y < x { y } else { x }),
            Op::Max => map2(dr(), r(a), r(b), |x, y| if y > x { y } else { x }),
            Op::Select => select(dr(), i(a), r(b), r(c), R::pick),
            Op::ToReal => map1(dr(), i(a), |x| R::from_i32(x)),
            Op::Fetch { input, component } => {
                fetch(dr(), i(a), data.real[input as usize], component);
            }
            Op::FetchInt { input, component } => {
                fetch(di(), i(a), data.int[input as usize], component);
            }
            Op::ToInt => map1(di(), r(a), |x| x.to_i32()),
            Op::AddInt => map2(di(), i(a), i(b), |x, y| x.wrapping_add(y)),
            Op::SubInt => map2(di(), i(a), i(b), |x, y| x.wrapping_sub(y)),
            Op::MulInt => map2(di(), i(a), i(b), |x, y| x.wrapping_mul(y)),
            Op::RemInt => map2(di(), i(a), i(b), remainder),
            Op::DivInt => map2(di(), i(a), i(b), quotient),
            Op::MinInt => map2(di(), i(a), i(b), |x, y| x.min(y)),
            Op::MaxInt => map2(di(), i(a), i(b), |x, y| x.max(y)),
            Op::AndInt => map2(di(), i(a), i(b), |x, y| x & y),
            Op::XorInt => map2(di(), i(a), i(b), |x, y| x ^ y),
            Op::SelectInt => select(di(), i(a), i(b), i(c), |c, x, y| (c & x) | (!c & y)),
            Op::Less => map2(di(), r(a), r(b), |x, y| truth(x < y)),
            Op::LessEq => map2(di(), r(a), r(b), |x, y| truth(x <= y)),
            Op::LessInt => map2(di(), i(a), i(b), |x, y| truth(x < y)),
            Op::EqInt => map2(di(), i(a), i(b), |x, y| truth(x == y)),
            Op::And => map2(di(), i(a), i(b), |x, y| x & y),
            Op::Or => map2(di(), i(a), i(b), |x, y| x | y),
            Op::Not => map1(di(), i(a), |x| !x),
        }
    }
}

#[inline(always)]
fn load<T: Copy, const L: usize>(d: &mut [T; L], src: &[T], width: usize, component: u16, start: usize, n: usize) {
    let c = component as usize;
    if start + L <= n && width > 0 && (start + L) * width <= src.len() {
        let rows = &src[start * width..(start + L) * width];
        match width {
            1 => d.copy_from_slice(rows),
            2 => (0..L).for_each(|l| d[l] = rows[2 * l + (c & 1)]),
            3 => (0..L).for_each(|l| d[l] = rows[3 * l + c.min(2)]),
            4 => (0..L).for_each(|l| d[l] = rows[4 * l + (c & 3)]),
            _ => (0..L).for_each(|l| d[l] = rows[width * l + c]),
        }
    } else {
        // The last block, or a uniform input (one row).
        let last = (src.len() / width.max(1)).min(n.max(1)) - 1;
        (0..L).for_each(|l| d[l] = src[(start + l).min(last) * width + c]);
    }
}

#[inline(always)]
fn fetch<T: Copy + Default, const L: usize>(d: &mut [T; L], offset: Src<i32, L>, table: &[T], component: u16) {
    if table.is_empty() {
        *d = [T::default(); L];
        return;
    }
    debug_assert!((0..L).all(|l| (offset.at(l) as usize + component as usize) < table.len()));
    // SAFETY: `Offset` clamped the row into the table, and components are below its width.
    let table = unsafe { table.get_unchecked(component as usize..) };
    map1(d, offset, |o| unsafe { *table.get_unchecked(o as usize) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_division_is_that_of_the_language() {
        let limits = [i32::MIN, i32::MIN + 1, -1, 0, 1, 2, 3, 7, 46_341, 1 << 30, i32::MAX - 1, i32::MAX];
        let pairs: Vec<(i32, i32)> = limits.iter().flat_map(|&x| limits.map(|y| (x, y))).collect();
        for (x, y) in pairs {
            assert_eq!(quotient(x, y), x / y.max(1), "{x} / {y}");
            assert_eq!(remainder(x, y), x.rem_euclid(y.max(1)), "{x} mod {y}");
        }
    }
}
