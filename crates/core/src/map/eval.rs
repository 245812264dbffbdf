//! Running scheduled code over all items in parallel. Chunks depend on the item count only, and partial sums are
//! added in chunk order, so that results are the same bits for any number of threads.

use super::approx::Elementary;
use super::code::{Action, AddCode, Body, Code, OutputCode};
use super::exec::{Call, Data, Registers, Src, operand, run};
use crate::simd::vectorized;
use rayon::prelude::*;

/// Items of a block: large enough to hide the interpreter, small enough that registers stay in the cache.
pub const L: usize = 128;
/// Chunks at most; each one has its own partial sums.
const MAX_CHUNKS: usize = 64;
/// Chunks at most when there are scattered outputs, whose partial sums are large.
const MAX_SCATTER_CHUNKS: usize = 16;
/// Elements of a page of a scattered partial sum.
const PAGE: usize = 256;

/// Destination of an output.
pub enum Target<'a, R> {
    /// Rows of items, or the single row of a sum, or a table.
    Real(&'a mut [R]),
    /// Rows of items.
    Int(&'a mut [i32]),
}

/// A table of partial sums of which only touched pages exist.
struct Paged<R> {
    /// Page number + 1 per page of the table; 0 = untouched.
    index: Vec<u32>,
    pages: Vec<[R; PAGE]>,
}

impl<R: Elementary> Paged<R> {
    fn new(len: usize) -> Self {
        Self { index: vec![0; len.div_ceil(PAGE)], pages: vec![] }
    }

    /// The page that holds element `at`.
    #[inline(always)]
    fn page(&mut self, at: usize) -> &mut [R; PAGE] {
        let slot = &mut self.index[at / PAGE];
        if *slot == 0 {
            self.pages.push([R::ZERO; PAGE]);
            *slot = self.pages.len() as u32;
        }
        &mut self.pages[*slot as usize - 1]
    }

    /// Adds `values` (component, block) to the rows at `offset`, lane by lane.
    #[inline(always)]
    fn add_rows<const N: usize>(&mut self, count: usize, offset: Src<i32, L>, values: [(u16, Src<R, L>); N]) {
        for l in 0..count {
            let x = values.map(|(_, v)| v.at(l));
            if x.iter().all(|&x| x == R::ZERO) {
                continue;
            }
            let row = offset.at(l) as usize;
            let last = row + values[N - 1].0 as usize;
            if row / PAGE == last / PAGE {
                let page = self.page(row);
                (0..N).for_each(|k| page[(row + values[k].0 as usize) % PAGE] += x[k]);
            } else {
                for k in 0..N {
                    let at = row + values[k].0 as usize;
                    self.page(at)[at % PAGE] += x[k];
                }
            }
        }
    }
}

/// Partial results of a chunk, one per output.
enum Partial<R> {
    None,
    Sum(Vec<[R; L]>),
    Scatter(Paged<R>),
}

/// A pointer to rows that chunks write without overlap.
#[derive(Clone, Copy)]
struct Rows<T>(*mut T);
// SAFETY: chunks write disjoint rows.
unsafe impl<T: Send> Send for Rows<T> {}
unsafe impl<T: Send> Sync for Rows<T> {}

#[derive(Clone, Copy)]
enum Sink<R> {
    Real(Rows<R>, usize),
    Int(Rows<i32>),
}

/// Items of a chunk where `n` are shared among threads.
pub fn shared_chunk(code: &Code, n: usize) -> usize {
    let scatters = code.body.outputs.iter().any(|o| matches!(o, OutputCode::Scatter(_)));
    let most = if scatters { MAX_SCATTER_CHUNKS } else { MAX_CHUNKS };
    n.div_ceil(most).next_multiple_of(L).max(8 * L)
}

/// Runs `code` for `n` items in chunks of so many, whole blocks of them through `native` where there is one. A single
/// chunk runs on the calling thread.
pub fn evaluate<R: Elementary>(
    code: &Code,
    native: Option<&Body>,
    data: &Data<R>,
    (n, chunk): (usize, usize),
    targets: &mut [Target<R>],
) {
    let chunks = n.div_ceil(chunk);
    let sinks: Vec<Sink<R>> = targets
        .iter_mut()
        .map(|t| match t {
            Target::Real(x) => Sink::Real(Rows(x.as_mut_ptr()), x.len()),
            Target::Int(x) => Sink::Int(Rows(x.as_mut_ptr())),
        })
        .collect();
    let mut scalars = Registers::<R, 1>::new(code.scalars);
    if n > 0 {
        let none = Registers::<R, 1>::new((0, 0));
        run::<R, 1>(&code.prologue, &mut scalars, &none, data, 0, n);
    }
    let call = native.map(|_| Call::new(data, &scalars));
    let one_chunk = |k: usize| {
        let range = k * chunk..((k + 1) * chunk).min(n);
        vectorized(
            #[inline(always)]
            || run_chunk(&code.body, native.zip(call.as_ref()), data, &scalars, range, n, &sinks),
        )
    };
    let partials: Vec<Vec<Partial<R>>> = if chunks <= 1 {
        (0..chunks).map(one_chunk).collect()
    } else {
        (0..chunks).into_par_iter().map(one_chunk).collect()
    };
    for (k, (output, target)) in code.body.outputs.iter().zip(targets).enumerate() {
        let Target::Real(target) = target else {
            continue;
        };
        match output {
            OutputCode::Sum(values) => {
                for c in 0..values.len() {
                    let lanes = |p: &Vec<Partial<R>>| match &p[k] {
                        Partial::Sum(sums) => sums[c].iter().map(|x| x.to_f64()).sum::<f64>(),
                        _ => 0.0,
                    };
                    target[c] = R::from_f64(partials.iter().map(lanes).sum());
                }
            }
            OutputCode::Scatter(_) => merge(target, &partials, k),
            _ => {}
        }
    }
}

/// Adds the pages of all chunks, in chunk order.
fn merge<R: Elementary>(target: &mut [R], partials: &[Vec<Partial<R>>], output: usize) {
    let parts: Vec<&Paged<R>> = partials
        .iter()
        .filter_map(|p| match &p[output] {
            Partial::Scatter(paged) if !paged.pages.is_empty() => Some(paged),
            _ => None,
        })
        .collect();
    let group = 64;
    target.par_chunks_mut(group * PAGE).enumerate().for_each(|(g, rows)| {
        for (p, row) in rows.chunks_mut(PAGE).enumerate() {
            row.fill(R::ZERO);
            for part in &parts {
                let slot = part.index[g * group + p];
                if slot != 0 {
                    let page = &part.pages[slot as usize - 1];
                    row.iter_mut().zip(page).for_each(|(a, &b)| *a += b);
                }
            }
        }
    });
}

#[inline(always)]
fn run_chunk<R: Elementary>(
    interpreted: &Body,
    native: Option<(&Body, &Call)>,
    data: &Data<R>,
    scalars: &Registers<R, 1>,
    range: std::ops::Range<usize>,
    n: usize,
    sinks: &[Sink<R>],
) -> Vec<Partial<R>> {
    let mut current: Option<&Body> = None;
    let mut regs = Registers::<R, L>::new((0, 0));
    let mut partials: Vec<Partial<R>> = interpreted
        .outputs
        .iter()
        .zip(sinks)
        .map(|(output, sink)| match (output, sink) {
            (OutputCode::Sum(values), _) => Partial::Sum(vec![[R::ZERO; L]; values.len()]),
            (OutputCode::Scatter(_), Sink::Real(_, len)) => Partial::Scatter(Paged::new(*len)),
            _ => Partial::None,
        })
        .collect();
    let flat_real = scalars.real.as_flattened();
    let flat_int = scalars.int.as_flattened();
    for start in range.clone().step_by(L) {
        let count = (range.end - start).min(L);
        let body = native.map_or(interpreted, |(body, _)| if count == L { body } else { interpreted });
        if current.is_none_or(|c| !std::ptr::eq(c, body)) {
            regs = Registers::new(body.registers);
            current = Some(body);
        }
        for action in &body.actions {
            match (action, native) {
                (Action::Interpret(instrs), _) => run::<R, L>(instrs, &mut regs, scalars, data, start, n),
                (Action::Native(function), Some((_, call))) => {
                    let files = call.files(&mut regs);
                    // SAFETY: registers are as many as the body says, all items of the block exist, and rows are
                    // clamped into tables that are not empty.
                    unsafe { function(&files, start as i64) }
                }
                (Action::Native(_), None) => unreachable!("machine code comes with its call"),
            }
        }
        let real = |r: u16| operand::<R, L>(regs.real.as_ptr(), flat_real, r);
        let int = |r: u16| operand::<i32, L>(regs.int.as_ptr(), flat_int, r);
        for ((output, partial), sink) in body.outputs.iter().zip(&mut partials).zip(sinks) {
            match (output, partial, sink) {
                (OutputCode::Item(values), _, Sink::Real(rows, _)) => {
                    // SAFETY: rows start..start + count belong to this chunk alone.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(rows.0.add(start * values.len()), count * values.len())
                    };
                    store(out, values, count, real);
                }
                (OutputCode::ItemInt(values), _, Sink::Int(rows)) => {
                    // SAFETY: as above.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(rows.0.add(start * values.len()), count * values.len())
                    };
                    store(out, values, count, int);
                }
                (OutputCode::Sum(values), Partial::Sum(sums), _) => {
                    for (sum, &v) in sums.iter_mut().zip(values) {
                        let x = real(v);
                        if count == L {
                            (0..L).for_each(|l| sum[l] += x.at(l));
                        } else {
                            (0..count).for_each(|l| sum[l] += x.at(l));
                        }
                    }
                }
                (OutputCode::Scatter(adds), Partial::Scatter(paged), _) => {
                    scatter(adds, paged, count, real, int);
                }
                _ => unreachable!("targets match outputs"),
            }
        }
    }
    partials
}

#[inline(always)]
fn store<'a, T: Copy + 'a>(out: &mut [T], values: &[u16], count: usize, of: impl Fn(u16) -> Src<'a, T, L>) {
    let width = values.len();
    for (c, &v) in values.iter().enumerate() {
        match of(v) {
            Src::Block(x) if width == 1 => out.copy_from_slice(&x[..count]),
            Src::Block(x) if count == L && width == 3 => (0..L).for_each(|l| out[3 * l + c.min(2)] = x[l]),
            Src::Block(x) if count == L && width == 4 => (0..L).for_each(|l| out[4 * l + (c & 3)] = x[l]),
            x => (0..count).for_each(|l| out[l * width + c] = x.at(l)),
        }
    }
}

#[inline(always)]
fn scatter<'a, R: Elementary>(
    adds: &[AddCode],
    paged: &mut Paged<R>,
    count: usize,
    real: impl Fn(u16) -> Src<'a, R, L>,
    int: impl Fn(u16) -> Src<'a, i32, L>,
) {
    if paged.index.is_empty() {
        return;
    }
    for add in adds {
        let offset = int(add.offset);
        let of = |&(component, value): &(u16, u16)| (component, real(value));
        // Components ascending, so that the last one tells whether the row straddles two pages.
        match add.values.as_slice() {
            [a] => paged.add_rows(count, offset, [of(a)]),
            [a, b] => paged.add_rows(count, offset, [of(a), of(b)]),
            [a, b, c] => paged.add_rows(count, offset, [of(a), of(b), of(c)]),
            [a, b, c, d] => paged.add_rows(count, offset, [of(a), of(b), of(c), of(d)]),
            many => many.iter().for_each(|v| paged.add_rows(count, offset, [of(v)])),
        }
    }
}
