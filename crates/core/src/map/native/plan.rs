//! Cutting the body of scheduled code into parts: what becomes machine code, and what stays interpreted between.

use super::super::code::{Action, AddCode, Body, Instr, OutputCode, SCALAR, Step};
use super::super::graph::{Kind, Op};

/// An operand of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// The same for all items: place in the scalar file of its kind.
    Scalar(u16),
    /// Result of another node.
    Node(usize),
}

/// An instruction whose operands are the nodes that make them, not registers.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub step: Step,
    /// Its operands.
    pub args: Vec<Arg>,
    /// Place in the block file where the value lives between parts.
    pub slot: Option<u16>,
    part: usize,
}

/// Nodes that run one after the other for a block of items.
#[derive(Debug)]
pub enum Part {
    /// Becomes a machine-code function.
    Native(Vec<usize>),
    /// Runs in the interpreter.
    Interpreted(Vec<Instr>),
}

/// The body, cut.
pub struct Plan {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// What runs, in order.
    pub parts: Vec<Part>,
    /// Block registers: real, int.
    pub slots: (usize, usize),
    /// Outputs in terms of slots.
    pub outputs: Vec<OutputCode>,
}

/// Functions that machine code would have to call lane by lane: blocks through the interpreter are faster.
fn interpreted(step: Step) -> bool {
    use Op::*;
    matches!(step, Step::Graph(Exp | Ln | Sin | Cos | Tanh | Atan2 | RemInt | DivInt))
}

/// Whether a value (or an operand) is real.
pub fn is_real(step: Step) -> bool {
    matches!(step, Step::Graph(op) if op.kind() == Kind::Real)
}

/// Whether operand `k` of a step is real.
pub fn operand_is_real(step: Step, k: usize) -> bool {
    use Op::*;
    match step {
        Step::Offset { .. } => false,
        Step::Graph(Select) => k > 0,
        Step::Graph(ToInt | Less | LessEq) => true,
        Step::Graph(ToReal | Fetch { .. }) => false,
        Step::Graph(op) => op.kind() == Kind::Real,
    }
}

fn arity(step: Step) -> usize {
    match step {
        Step::Offset { .. } => 1,
        Step::Graph(op) => op.arity(),
    }
}

/// Resolves registers to the nodes that last wrote them.
fn nodes(body: &Body) -> (Vec<Node>, Vec<usize>, Vec<usize>) {
    let (mut real, mut int) = (vec![usize::MAX; body.registers.0], vec![usize::MAX; body.registers.1]);
    let mut nodes: Vec<Node> = vec![];
    let interpreted = body.actions.iter().filter_map(|a| match a {
        Action::Interpret(instrs) => Some(instrs),
        Action::Native(_) => None,
    });
    for instr in interpreted.flatten() {
        let args = (0..arity(instr.step)).map(|k| match instr.args[k] {
            r if r & SCALAR != 0 => Arg::Scalar(r & !SCALAR),
            r if operand_is_real(instr.step, k) => Arg::Node(real[r as usize]),
            r => Arg::Node(int[r as usize]),
        });
        nodes.push(Node { step: instr.step, args: args.collect(), slot: None, part: 0 });
        let file = if is_real(instr.step) { &mut real } else { &mut int };
        file[instr.dst as usize] = nodes.len() - 1;
    }
    (nodes, real, int)
}

/// Cuts an interpreted body.
pub fn plan(body: &Body) -> Plan {
    let (mut nodes, real, int) = nodes(body);
    // Even parts are native, odd ones interpreted; an interpreted node comes after the native ones of its level.
    for n in 0..nodes.len() {
        let odd = interpreted(nodes[n].step) as usize;
        let earliest = nodes[n].args.iter().map(|a| match *a {
            Arg::Node(a) => nodes[a].part,
            Arg::Scalar(_) => 0,
        });
        let at = earliest.max().unwrap_or(0);
        nodes[n].part = at + usize::from(at % 2 != odd);
    }
    let mut slots = (0u16, 0u16);
    let mut give = |node: &mut Node| {
        if node.slot.is_none() {
            let next = if is_real(node.step) { &mut slots.0 } else { &mut slots.1 };
            node.slot = Some(*next);
            *next += 1;
        }
        node.slot.expect("just given")
    };
    for n in 0..nodes.len() {
        if nodes[n].part % 2 == 1 {
            give(&mut nodes[n]);
        }
        for arg in nodes[n].args.clone() {
            if let Arg::Node(a) = arg
                && nodes[a].part != nodes[n].part
            {
                give(&mut nodes[a]);
            }
        }
    }
    let mut place = |register: u16, is_real: bool| match register {
        r if r & SCALAR != 0 => r,
        r => give(&mut nodes[if is_real { real[r as usize] } else { int[r as usize] }]),
    };
    let outputs = body
        .outputs
        .iter()
        .map(|output| match output {
            OutputCode::Item(v) => OutputCode::Item(v.iter().map(|&r| place(r, true)).collect()),
            OutputCode::ItemInt(v) => OutputCode::ItemInt(v.iter().map(|&r| place(r, false)).collect()),
            OutputCode::Sum(v) => OutputCode::Sum(v.iter().map(|&r| place(r, true)).collect()),
            OutputCode::Scatter(adds) => OutputCode::Scatter(
                adds.iter()
                    .map(|add| AddCode {
                        offset: place(add.offset, false),
                        values: add.values.iter().map(|&(c, r)| (c, place(r, true))).collect(),
                    })
                    .collect(),
            ),
        })
        .collect();
    let last = nodes.iter().map(|n| n.part).max().unwrap_or(0);
    let parts = (0..=last)
        .map(|part| {
            let members = (0..nodes.len()).filter(|&n| nodes[n].part == part);
            match part % 2 {
                0 => Part::Native(members.collect()),
                _ => Part::Interpreted(members.map(|n| instr(&nodes, n)).collect()),
            }
        })
        .filter(|p| !matches!(p, Part::Native(v) if v.is_empty()))
        .collect();
    Plan { parts, slots: (slots.0 as usize, slots.1 as usize), outputs, nodes }
}

fn instr(nodes: &[Node], n: usize) -> Instr {
    let mut args = [0; 3];
    for (to, arg) in args.iter_mut().zip(&nodes[n].args) {
        *to = match *arg {
            Arg::Scalar(r) => r | SCALAR,
            Arg::Node(a) => nodes[a].slot.expect("operands of interpreted nodes have slots"),
        };
    }
    Instr { step: nodes[n].step, dst: nodes[n].slot.expect("interpreted nodes have slots"), args }
}
