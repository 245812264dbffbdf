//! Scheduling of programs for the CPU: what is the same for all items is computed once, the rest in blocks of
//! items with reused registers.

use super::graph::{Id, Kind, Op};
use super::program::{Mode, OutputKind, Program};
use std::collections::HashMap;

/// Marks an operand that is a scalar (the same for all items).
pub const SCALAR: u16 = 1 << 15;

/// An operation of scheduled code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// As in the graph; `Fetch` and `FetchInt` take an offset instead of a row.
    Graph(Op),
    /// Row number → first element of the (clamped) row.
    Offset {
        /// Input whose rows count.
        input: u16,
        /// Components per row.
        width: u16,
    },
}

/// One instruction: registers are numbered per type; [`SCALAR`] marks the scalar file.
#[derive(Clone, Copy, Debug)]
pub struct Instr {
    /// What is computed.
    pub step: Step,
    /// Where it goes.
    pub dst: u16,
    /// Its operands.
    pub args: [u16; 3],
}

/// Additions to one row of a table, with their registers.
#[derive(Clone, Debug)]
pub struct AddCode {
    /// Register of the row's offset.
    pub offset: u16,
    /// (component, register of the value).
    pub values: Vec<(u16, u16)>,
}

/// What to do with the registers of an output.
#[derive(Clone, Debug)]
pub enum OutputCode {
    /// Store rows.
    Item(Vec<u16>),
    /// Store rows of integers.
    ItemInt(Vec<u16>),
    /// Add up.
    Sum(Vec<u16>),
    /// Add to table rows.
    Scatter(Vec<AddCode>),
}

/// Scheduled code.
pub struct Code {
    /// Run once with scalars.
    pub prologue: Vec<Instr>,
    /// Scalar registers: real, int.
    pub scalars: (usize, usize),
    /// Run for every block.
    pub body: Body,
}

/// What runs for a block of items.
pub struct Body {
    /// In order.
    pub actions: Vec<Action>,
    /// Block registers: real, int.
    pub registers: (usize, usize),
    /// Outputs.
    pub outputs: Vec<OutputCode>,
}

/// A piece of a body.
pub enum Action {
    /// Instructions for the interpreter.
    Interpret(Vec<Instr>),
    /// Machine code.
    #[cfg_attr(not(all(feature = "native", target_arch = "x86_64")), allow(dead_code))]
    Native(Function),
}

/// Items per instruction of machine code.
pub const LANES: usize = 8;

/// Machine code for a block: what it reads and writes, and the first item.
pub type Function = unsafe extern "sysv64" fn(*const Files, i64);

/// What machine code reads and writes.
#[repr(C)]
pub struct Files {
    /// Block registers.
    pub real: *mut f32,
    /// Block registers of integers and truths.
    pub int: *mut i32,
    /// Scalars, repeated over the lanes of an instruction.
    pub real_scalars: *const [f32; LANES],
    /// Integer scalars, likewise.
    pub int_scalars: *const [i32; LANES],
    /// Data of each input.
    pub inputs: *const *const u8,
    /// Number of the last row of each input.
    pub last_rows: *const [i32; LANES],
}

struct Scheduler<'a> {
    program: &'a Program,
    uniform: Vec<bool>,
    order: Vec<(Step, Vec<usize>, bool)>,
    of_node: HashMap<Id, usize>,
    of_offset: HashMap<(u16, u16, Id), usize>,
}

impl Scheduler<'_> {
    /// Appends a node after its arguments; returns its place in the order.
    fn visit(&mut self, root: Id) -> usize {
        // Explicit stack: graphs can be deeper than a thread's stack.
        let mut stack = vec![(root, false)];
        while let Some((id, ready)) = stack.pop() {
            if self.of_node.contains_key(&id) {
                continue;
            }
            let node = self.program.graph.node(id);
            let args = &node.args[..node.op.arity()];
            if !ready {
                stack.push((id, true));
                stack.extend(args.iter().rev().map(|&a| (a, false)));
                continue;
            }
            let args = match node.op {
                Op::Fetch { input, .. } | Op::FetchInt { input, .. } => {
                    let width = self.program.inputs[input as usize].width as u16;
                    vec![self.offset(input, width, args[0])]
                }
                _ => args.iter().map(|a| self.of_node[a]).collect(),
            };
            self.order.push((Step::Graph(node.op), args, self.uniform[id as usize]));
            self.of_node.insert(id, self.order.len() - 1);
        }
        self.of_node[&root]
    }

    fn offset(&mut self, input: u16, width: u16, row: Id) -> usize {
        if let Some(&place) = self.of_offset.get(&(input, width, row)) {
            return place;
        }
        let place = self.visit(row);
        self.order.push((Step::Offset { input, width }, vec![place], self.uniform[row as usize]));
        self.of_offset.insert((input, width, row), self.order.len() - 1);
        self.order.len() - 1
    }
}

fn uniform_nodes(program: &Program) -> Vec<bool> {
    let mut uniform = vec![false; program.graph.nodes().len()];
    for (id, node) in program.graph.nodes().iter().enumerate() {
        uniform[id] = match node.op {
            Op::Index => false,
            Op::Load { input, .. } | Op::LoadInt { input, .. } => program.inputs[input as usize].mode != Mode::Item,
            op => node.args[..op.arity()].iter().all(|&a| uniform[a as usize]),
        };
    }
    uniform
}

enum Places {
    Item(Vec<usize>),
    ItemInt(Vec<usize>),
    Sum(Vec<usize>),
    Scatter(Vec<(usize, u16, usize)>),
}

/// Free registers of one file.
#[derive(Default)]
struct File {
    free: Vec<u16>,
    used: u16,
}

impl File {
    fn take(&mut self) -> u16 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            assert!(self.used < SCALAR, "a map needs more than 32 767 registers");
            self.used - 1
        })
    }
}

fn kind(step: Step) -> Kind {
    match step {
        Step::Graph(op) if op.kind() == Kind::Real => Kind::Real,
        _ => Kind::Int,
    }
}

/// Schedules a program.
pub fn compile(program: &Program) -> Code {
    let mut s = Scheduler {
        program,
        uniform: uniform_nodes(program),
        order: vec![],
        of_node: HashMap::new(),
        of_offset: HashMap::new(),
    };
    let mut places = vec![];
    for output in &program.outputs {
        places.push(match &output.kind {
            OutputKind::Item(values) if output.real => Places::Item(values.iter().map(|&v| s.visit(v)).collect()),
            OutputKind::Item(values) => Places::ItemInt(values.iter().map(|&v| s.visit(v)).collect()),
            OutputKind::Sum(values) => Places::Sum(values.iter().map(|&v| s.visit(v)).collect()),
            OutputKind::Scatter { adds, like } => {
                let mut list = vec![];
                for add in adds {
                    let value = s.visit(add.value);
                    list.push((s.offset(*like as u16, output.width as u16, add.row), add.component, value));
                }
                Places::Scatter(list)
            }
        });
    }
    let order = s.order;
    // Values live until their last use; what outputs use lives to the end.
    let mut last = vec![0; order.len()];
    for (place, (_, args, _)) in order.iter().enumerate() {
        args.iter().for_each(|&a| last[a] = place);
    }
    let mut keep = |p: usize| last[p] = usize::MAX;
    for p in &places {
        match p {
            Places::Item(v) | Places::ItemInt(v) | Places::Sum(v) => v.iter().for_each(|&p| keep(p)),
            Places::Scatter(adds) => adds.iter().for_each(|&(o, _, v)| {
                keep(o);
                keep(v);
            }),
        }
    }
    let mut scalars = (0u16, 0u16);
    let mut files = (File::default(), File::default());
    let mut register = vec![0u16; order.len()];
    let (mut prologue, mut body) = (vec![], vec![]);
    for (place, (step, args, uniform)) in order.iter().enumerate() {
        let real = kind(*step) == Kind::Real;
        let mut operands = [0; 3];
        for (k, &a) in args.iter().enumerate() {
            operands[k] = register[a];
        }
        if *uniform {
            let next = if real { &mut scalars.0 } else { &mut scalars.1 };
            register[place] = *next | SCALAR;
            *next += 1;
            // Inside the prologue the scalar file is the register file.
            let args = operands.map(|r| r & !SCALAR);
            prologue.push(Instr { step: *step, dst: register[place] & !SCALAR, args });
        } else {
            // The destination is taken before operands are freed, so that it never aliases them.
            let dst = if real { files.0.take() } else { files.1.take() };
            register[place] = dst;
            body.push(Instr { step: *step, dst, args: operands });
            let mut freed: Vec<usize> = args.iter().copied().filter(|&a| last[a] == place && !order[a].2).collect();
            freed.dedup();
            freed.sort_unstable();
            freed.dedup();
            for a in freed {
                match kind(order[a].0) {
                    Kind::Real => files.0.free.push(register[a]),
                    _ => files.1.free.push(register[a]),
                }
            }
        }
    }
    let registers_of = |v: &[usize]| v.iter().map(|&p| register[p]).collect();
    let outputs = places
        .iter()
        .map(|p| match p {
            Places::Item(v) => OutputCode::Item(registers_of(v)),
            Places::ItemInt(v) => OutputCode::ItemInt(registers_of(v)),
            Places::Sum(v) => OutputCode::Sum(registers_of(v)),
            Places::Scatter(adds) => OutputCode::Scatter(by_row(adds, &register)),
        })
        .collect();
    let registers = (files.0.used as usize, files.1.used as usize);
    Code {
        prologue,
        scalars: (scalars.0 as usize, scalars.1 as usize),
        body: Body { actions: vec![Action::Interpret(body)], registers, outputs },
    }
}

/// Groups additions by row, so that a row's place is found once for all its components.
fn by_row(adds: &[(usize, u16, usize)], register: &[u16]) -> Vec<AddCode> {
    let mut rows: Vec<AddCode> = vec![];
    for &(offset, component, value) in adds {
        let (offset, value) = (register[offset], register[value]);
        match rows.iter_mut().find(|r| r.offset == offset) {
            Some(row) => row.values.push((component, value)),
            None => rows.push(AddCode { offset, values: vec![(component, value)] }),
        }
    }
    rows.iter_mut().for_each(|r| r.values.sort_by_key(|v| v.0));
    rows
}
