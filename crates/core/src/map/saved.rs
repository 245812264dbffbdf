//! Which values of a forward pass are kept for the backward pass, and which are computed again.
//!
//! The cheapest choice is a minimum cut (as in Chen et al. 2016 turned into an exact optimum, "min-cut
//! rematerialisation"): a value that the backward pass needs is either kept (memory written and read) or computed from
//! its arguments, which are then needed in turn.

use super::graph::{Id, Kind, Op};
use super::program::{Input, Mode, Output, OutputKind, Program};
use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};

/// Cost of keeping a value, in arithmetic operations per item: eight bytes of memory traffic.
const KEEP: u64 = 32;
const NEVER: u64 = 1 << 40;

/// A forward program that also gives what its backward program takes.
pub struct Saved {
    /// The primal program with further outputs.
    pub forward: Program,
    /// The vjp, taking those outputs as further inputs.
    pub backward: Program,
}

/// Cost of computing a node, in arithmetic operations per item.
fn cost(op: Op) -> u64 {
    match op {
        Op::Fetch { .. } | Op::FetchInt { .. } => 5,
        Op::Div | Op::Sqrt => 3,
        Op::Exp | Op::Ln | Op::Sin | Op::Cos | Op::Tanh | Op::Atan2 | Op::RemInt | Op::DivInt => 15,
        _ => 1,
    }
}

/// What a node depends on.
#[derive(Clone, Copy, Default)]
struct Dependence {
    /// Differs from item to item.
    item: bool,
    /// Needs a cotangent.
    cotangent: bool,
}

fn dependences(program: &Program, n_primal_inputs: usize) -> Vec<Dependence> {
    let mut all: Vec<Dependence> = vec![];
    for node in program.graph.nodes() {
        let of_input = |input: u16| Dependence {
            item: program.inputs[input as usize].mode == Mode::Item,
            cotangent: input as usize >= n_primal_inputs,
        };
        let mut own = match node.op {
            Op::Index => Dependence { item: true, cotangent: false },
            Op::Load { input, .. } | Op::LoadInt { input, .. } => of_input(input),
            Op::Fetch { input, .. } | Op::FetchInt { input, .. } => Dependence { item: false, ..of_input(input) },
            _ => Dependence::default(),
        };
        for &a in &node.args[..node.op.arity()] {
            own.item |= all[a as usize].item;
            own.cotangent |= all[a as usize].cotangent;
        }
        all.push(own);
    }
    all
}

/// Nodes that an output names.
fn named(output: &Output) -> Vec<Id> {
    match &output.kind {
        OutputKind::Item(values) | OutputKind::Sum(values) => values.clone(),
        OutputKind::Scatter { adds, .. } => adds.iter().flat_map(|a| [a.row, a.value]).collect(),
    }
}

/// The values to keep: a minimum cut between what can be computed and what is needed.
fn cut(program: &Program, of: &[Dependence]) -> Vec<Id> {
    let nodes = program.graph.nodes();
    let mut live = vec![false; nodes.len()];
    let mut needed = vec![false; nodes.len()];
    for id in program.outputs.iter().flat_map(named) {
        live[id as usize] = true;
        needed[id as usize] = true;
    }
    for id in (0..nodes.len()).rev() {
        if live[id] {
            for &a in &nodes[id].args[..nodes[id].op.arity()] {
                live[a as usize] = true;
                needed[a as usize] |= of[id].cotangent;
            }
        }
    }
    // Each primal node is "computed" and "at hand"; what falls on the sink's side is.
    let mut network = DiGraph::<(), u64>::new();
    let (source, sink) = (network.add_node(()), network.add_node(()));
    let computed = |id: usize| NodeIndex::new(2 + 2 * id);
    let at_hand = |id: usize| NodeIndex::new(3 + 2 * id);
    for _ in 0..2 * nodes.len() {
        network.add_node(());
    }
    for id in (0..nodes.len()).filter(|&id| live[id] && !of[id].cotangent && of[id].item) {
        let op = nodes[id].op;
        let keep = if op.kind() == Kind::Bool { NEVER } else { KEEP };
        network.add_edge(source, computed(id), cost(op));
        network.add_edge(computed(id), at_hand(id), keep);
        if needed[id] {
            network.add_edge(at_hand(id), sink, NEVER);
        }
        for &a in nodes[id].args[..op.arity()].iter().filter(|&&a| of[a as usize].item) {
            network.add_edge(at_hand(a as usize), computed(id), NEVER);
        }
    }
    let (_, flow) = dinics(&network, source, sink);
    let mut on_source_side = vec![false; network.node_count()];
    let mut open = vec![source];
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut on_source_side[at.index()], true) {
            continue;
        }
        use petgraph::Direction::{Incoming, Outgoing};
        use petgraph::visit::EdgeRef;
        let ahead = network.edges_directed(at, Outgoing).filter(|e| flow[e.id().index()] < *e.weight());
        let back = network.edges_directed(at, Incoming).filter(|e| flow[e.id().index()] > 0);
        open.extend(ahead.map(|e| e.target()).chain(back.map(|e| e.source())));
    }
    (0..nodes.len())
        .filter(|&id| on_source_side[computed(id).index()] && !on_source_side[at_hand(id).index()])
        .filter(|&id| live[id] && !of[id].cotangent && of[id].item)
        .map(|id| id as Id)
        .collect()
}

/// The program with some nodes replaced by others without arguments.
fn with_leaves(mut program: Program, leaf: impl Fn(usize) -> Option<Op>) -> Program {
    let old = std::mem::take(&mut program.graph);
    let mut new: Vec<Id> = vec![];
    for (id, node) in old.nodes().iter().enumerate() {
        let args: Vec<Id> = node.args[..node.op.arity()].iter().map(|&a| new[a as usize]).collect();
        new.push(match leaf(id) {
            Some(leaf) => program.graph.push(leaf, &[]),
            None => program.graph.push(node.op, &args),
        });
    }
    let renew = |id: &mut Id| *id = new[*id as usize];
    program.guard.iter_mut().for_each(renew);
    for output in &mut program.outputs {
        match &mut output.kind {
            OutputKind::Item(values) | OutputKind::Sum(values) => values.iter_mut().for_each(renew),
            OutputKind::Scatter { adds, .. } => adds.iter_mut().for_each(|a| {
                renew(&mut a.row);
                renew(&mut a.value);
            }),
        }
    }
    program
}

/// Splits the work of `primal` and its `vjp` so that values are kept where that is cheaper; `None` where nothing is.
/// Values are kept in tensors of `width` components.
pub fn split(primal: &Program, vjp: &Program, width: usize) -> Option<Saved> {
    let of = dependences(vjp, primal.inputs.len());
    let kept = cut(vjp, &of);
    if kept.is_empty() {
        return None;
    }
    let is_real = |id: &Id| vjp.graph.node(*id).op.kind() == Kind::Real;
    let (real, int): (Vec<Id>, Vec<Id>) = kept.into_iter().partition(is_real);
    let mut forward = Program { graph: vjp.graph.clone(), ..primal.clone() };
    let mut backward = vjp.clone();
    let mut loads = vec![None; of.len()];
    for (ids, real) in [(real, true), (int, false)] {
        for ids in ids.chunks(width) {
            let input = backward.inputs.len() as u16;
            for (component, &id) in (0u16..).zip(ids) {
                loads[id as usize] = Some(match real {
                    true => Op::Load { input, component },
                    false => Op::LoadInt { input, component },
                });
            }
            let (name, width) = (format!("kept {input}"), ids.len());
            backward.inputs.push(Input { name: name.clone(), width, mode: Mode::Item, real });
            forward.outputs.push(Output { name, width, real, kind: OutputKind::Item(ids.to_vec()) });
        }
    }
    let cotangent = |id: usize| match vjp.graph.nodes()[id].op {
        Op::Load { .. } | Op::Fetch { .. } if of[id].cotangent => Some(Op::Const(0)),
        _ => None,
    };
    Some(Saved { forward: with_leaves(forward, cotangent), backward: with_leaves(backward, |id| loads[id]) })
}

#[cfg(test)]
mod tests {
    use super::super::{Map, diff};
    use super::*;

    fn split_of(map: &Map) -> Option<Saved> {
        split(&map.0.program, &diff::vjp(&map.0.program, &[true], &[true, false]), 1)
    }

    #[test]
    fn a_long_computation_is_kept_at_its_narrowest_place() {
        // Sixty-four operations lead to one factor of the gradient by x.
        let map = Map::new("narrow", |m| {
            let [x] = m.item::<1>("x");
            let [seed] = m.item::<1>("seed");
            let factor = (0..16).fold(seed, |y, _| ((y * y + seed) / (y + 2.0)).sqrt());
            m.output("y", &[x * factor]);
        });
        let saved = split_of(&map).expect("keeping one number is cheaper");
        assert_eq!(saved.forward.outputs.len(), 2, "one output and one kept number");
        let graph = &saved.backward.graph;
        let live = saved.backward.outputs.iter().flat_map(named).map(|id| graph.node(id).op).collect::<Vec<_>>();
        assert_eq!(live, [Op::Mul], "the gradient is the cotangent times what was kept");
    }

    #[test]
    fn what_is_cheap_is_computed_again() {
        let map = Map::new("cheap", |m| {
            let [x] = m.item::<1>("x");
            let [y] = m.item::<1>("y");
            m.output("z", &[x * x * y]);
        });
        assert!(split_of(&map).is_none());
    }
}
