//! Derivatives of programs: forward mode (jvp) and reverse mode (vjp), as programs again.

use super::graph::{Graph, Id, Kind, Op};
use super::program::{Add, Input, Mode, Output, OutputKind, Program};
use std::collections::HashMap;

/// Partial derivatives of a real operation by its real arguments, as (argument position, factor node).
fn partials(g: &mut Graph, id: Id) -> Vec<(usize, Id)> {
    let node = g.node(id);
    let [a, b, _] = node.args;
    let one = g.constant(1.0);
    match node.op {
        Op::Neg => vec![(0, g.constant(-1.0))],
        Op::Abs => {
            let zero = g.constant(0.0);
            let minus = g.constant(-1.0);
            let negative = g.push(Op::Less, &[a, zero]);
            vec![(0, g.push(Op::Select, &[negative, minus, one]))]
        }
        Op::Sqrt => {
            let half = g.constant(0.5);
            vec![(0, g.push(Op::Div, &[half, id]))]
        }
        Op::Exp => vec![(0, id)],
        Op::Ln => vec![(0, g.push(Op::Div, &[one, a]))],
        Op::Sin => vec![(0, g.push(Op::Cos, &[a]))],
        Op::Cos => {
            let sin = g.push(Op::Sin, &[a]);
            vec![(0, g.push(Op::Neg, &[sin]))]
        }
        Op::Tanh => {
            let square = g.push(Op::Mul, &[id, id]);
            vec![(0, g.push(Op::Sub, &[one, square]))]
        }
        Op::Atan2 => {
            let (aa, bb) = (g.push(Op::Mul, &[a, a]), g.push(Op::Mul, &[b, b]));
            let norm = g.push(Op::Add, &[aa, bb]);
            let by_a = g.push(Op::Div, &[b, norm]);
            let minus_a = g.push(Op::Neg, &[a]);
            vec![(0, by_a), (1, g.push(Op::Div, &[minus_a, norm]))]
        }
        Op::Add => vec![(0, one), (1, one)],
        Op::Sub => vec![(0, one), (1, g.constant(-1.0))],
        Op::Mul => vec![(0, b), (1, a)],
        Op::Div => {
            let inverse = g.push(Op::Div, &[one, b]);
            let ratio = g.push(Op::Mul, &[id, inverse]);
            vec![(0, inverse), (1, g.push(Op::Neg, &[ratio]))]
        }
        Op::Min | Op::Max => {
            let zero = g.constant(0.0);
            let (x, y) = if node.op == Op::Min { (a, b) } else { (b, a) };
            let first = g.push(Op::LessEq, &[x, y]);
            vec![(0, g.push(Op::Select, &[first, one, zero])), (1, g.push(Op::Select, &[first, zero, one]))]
        }
        Op::Select => {
            let zero = g.constant(0.0);
            vec![(1, g.push(Op::Select, &[a, one, zero])), (2, g.push(Op::Select, &[a, zero, one]))]
        }
        _ => vec![],
    }
}

/// factor · x, where a selection of 1 and 0 becomes a selection of x and 0 (so that 0·∞ cannot arise).
fn times(g: &mut Graph, factor: Id, x: Id) -> Id {
    let node = g.node(factor);
    if node.op == Op::Select {
        let [c, yes, no] = node.args;
        let (y, n) = (g.value(yes), g.value(no));
        if matches!((y, n), (Some(_), Some(_))) {
            let yes = g.push(Op::Mul, &[yes, x]);
            let no = g.push(Op::Mul, &[no, x]);
            return g.push(Op::Select, &[c, yes, no]);
        }
    }
    g.push(Op::Mul, &[factor, x])
}

fn add(g: &mut Graph, a: Option<Id>, b: Id) -> Id {
    match a {
        None => b,
        Some(a) => g.push(Op::Add, &[a, b]),
    }
}

/// Nodes that the outputs depend on.
fn reachable(program: &Program) -> Vec<bool> {
    let nodes = program.graph.nodes();
    let mut live = vec![false; nodes.len()];
    for output in &program.outputs {
        match &output.kind {
            OutputKind::Item(values) | OutputKind::Sum(values) => values.iter().for_each(|&v| live[v as usize] = true),
            OutputKind::Scatter { adds, .. } => adds.iter().for_each(|a| live[a.value as usize] = true),
        }
    }
    for id in (0..nodes.len()).rev() {
        if live[id] {
            let node = nodes[id];
            node.args[..node.op.arity()].iter().for_each(|&a| live[a as usize] = true);
        }
    }
    live
}

/// The derivative of a real node by another, in the same graph: forward mode from `by` to `of`.
pub fn derivative(g: &mut Graph, of: Id, by: Id) -> Id {
    let zero = g.constant(0.0);
    if of < by {
        return zero;
    }
    let mut tangents: HashMap<Id, Id> = HashMap::from([(by, g.constant(1.0))]);
    for id in by + 1..=of {
        let node = g.node(id);
        let moves = |k: usize| tangents.contains_key(&node.args[k]);
        if node.op.kind() != Kind::Real || node.op == Op::ToReal || !(0..node.op.arity()).any(moves) {
            continue;
        }
        let mut sum = None;
        for (k, factor) in partials(g, id) {
            if let Some(&t) = tangents.get(&node.args[k]) {
                let term = times(g, factor, t);
                sum = Some(add(g, sum, term));
            }
        }
        if let Some(sum) = sum {
            tangents.insert(id, sum);
        }
    }
    tangents.get(&of).copied().unwrap_or(zero)
}

/// The program of tangents: takes the inputs, then a tangent for each input with `active[k]`; gives the tangents of
/// the real outputs, in order.
pub fn jvp(program: &Program, active: &[bool]) -> Program {
    let mut out = program.clone();
    let mut tangent_input = HashMap::new();
    for (k, _) in active.iter().enumerate().filter(|(_, a)| **a) {
        tangent_input.insert(k as u16, out.inputs.len() as u16);
        let input = &program.inputs[k];
        out.inputs.push(Input { name: format!("tangent of {}", input.name), ..input.clone() });
    }
    let live = reachable(program);
    let g = &mut out.graph;
    let mut tangent: Vec<Option<Id>> = vec![None; program.graph.nodes().len()];
    for id in 0..program.graph.nodes().len() as Id {
        let node = program.graph.node(id);
        if !live[id as usize] || node.op.kind() != Kind::Real {
            continue;
        }
        tangent[id as usize] = match node.op {
            Op::Load { input, component } => {
                tangent_input.get(&input).map(|&input| g.push(Op::Load { input, component }, &[]))
            }
            Op::Fetch { input, component } => {
                tangent_input.get(&input).map(|&input| g.push(Op::Fetch { input, component }, &node.args[..1]))
            }
            op if op.arity() > 0 && op != Op::ToReal => {
                let moving = (0..op.arity()).any(|k| tangent[node.args[k] as usize].is_some());
                let factors = if moving { partials(g, id) } else { vec![] };
                let mut sum = None;
                for (k, factor) in factors {
                    if let Some(t) = tangent[node.args[k] as usize] {
                        let term = times(g, factor, t);
                        sum = Some(add(g, sum, term));
                    }
                }
                sum
            }
            _ => None,
        };
    }
    let zero = g.constant(0.0);
    let of = |v: &mut Id| *v = tangent[*v as usize].unwrap_or(zero);
    out.outputs.retain(|o| o.real);
    for output in &mut out.outputs {
        match &mut output.kind {
            OutputKind::Item(values) | OutputKind::Sum(values) => values.iter_mut().for_each(of),
            OutputKind::Scatter { adds, .. } => adds.iter_mut().for_each(|a| of(&mut a.value)),
        }
    }
    out.name = format!("{}.jvp", program.name);
    out.apply_guard();
    out
}

/// The program of gradients: takes the inputs, then a cotangent for each real output with `given[k]`; gives the
/// gradient of each input with `wanted[k]`, in order.
pub fn vjp(program: &Program, given: &[bool], wanted: &[bool]) -> Program {
    let mut out = program.clone();
    let live = reachable(program);
    let g = &mut out.graph;
    let n = program.graph.nodes().len();
    let mut adjoint: Vec<Option<Id>> = vec![None; n];
    let seed = |g: &mut Graph, adjoint: &mut Vec<Option<Id>>, value: Id, cotangent: Id| {
        adjoint[value as usize] = Some(add(g, adjoint[value as usize], cotangent));
    };
    for (output, _) in program.outputs.iter().filter(|o| o.real).zip(given).filter(|(_, given)| **given) {
        let input = out.inputs.len() as u16;
        let mode = match output.kind {
            OutputKind::Item(_) => Mode::Item,
            OutputKind::Sum(_) => Mode::Uniform,
            OutputKind::Scatter { .. } => Mode::Table,
        };
        out.inputs.push(Input { name: format!("cotangent of {}", output.name), width: output.width, mode, real: true });
        match &output.kind {
            OutputKind::Item(values) | OutputKind::Sum(values) => {
                for (component, &value) in (0u16..).zip(values) {
                    let cotangent = g.push(Op::Load { input, component }, &[]);
                    seed(g, &mut adjoint, value, cotangent);
                }
            }
            OutputKind::Scatter { adds, .. } => {
                for a in adds {
                    let cotangent = g.push(Op::Fetch { input, component: a.component }, &[a.row]);
                    seed(g, &mut adjoint, a.value, cotangent);
                }
            }
        }
    }
    // What each wanted input gathers.
    let mut rows: Vec<Vec<Option<Id>>> = program.inputs.iter().map(|i| vec![None; i.width]).collect();
    let mut adds: Vec<Vec<Add>> = vec![vec![]; program.inputs.len()];
    let depends = depends_on(program, wanted);
    for id in (0..n as Id).rev() {
        let Some(cotangent) = adjoint[id as usize] else {
            continue;
        };
        let node = program.graph.node(id);
        if !live[id as usize] || !depends[id as usize] {
            continue;
        }
        match node.op {
            Op::Load { input, component } if wanted[input as usize] => {
                rows[input as usize][component as usize] = Some(cotangent);
            }
            Op::Fetch { input, component } if wanted[input as usize] => {
                adds[input as usize].push(Add { row: node.args[0], component, value: cotangent });
            }
            op if op.arity() > 0 => {
                for (k, factor) in partials(g, id) {
                    let arg = node.args[k] as usize;
                    if depends[arg] {
                        let term = times(g, factor, cotangent);
                        adjoint[arg] = Some(add(g, adjoint[arg], term));
                    }
                }
            }
            _ => {}
        }
    }
    let zero = g.constant(0.0);
    out.outputs = program
        .inputs
        .iter()
        .enumerate()
        .filter(|(k, _)| wanted[*k])
        .map(|(k, input)| {
            let values = || rows[k].iter().map(|v| v.unwrap_or(zero)).collect();
            let kind = match input.mode {
                Mode::Item => OutputKind::Item(values()),
                Mode::Uniform => OutputKind::Sum(values()),
                Mode::Table => OutputKind::Scatter { adds: adds[k].clone(), like: k },
            };
            Output { name: format!("gradient of {}", input.name), width: input.width, real: true, kind }
        })
        .collect();
    out.name = format!("{}.vjp", program.name);
    out.apply_guard();
    out
}

/// Real nodes whose value depends smoothly on a wanted input.
fn depends_on(program: &Program, wanted: &[bool]) -> Vec<bool> {
    let mut depends = vec![false; program.graph.nodes().len()];
    for (id, node) in program.graph.nodes().iter().enumerate() {
        depends[id] = match node.op {
            Op::Load { input, .. } | Op::Fetch { input, .. } => wanted[input as usize],
            op if op.kind() == Kind::Real && !matches!(op, Op::ToReal | Op::Floor) => {
                node.args[..op.arity()].iter().any(|&a| depends[a as usize])
            }
            _ => false,
        };
    }
    depends
}
