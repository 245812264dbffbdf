//! Expression graphs: nodes in topological order, without duplicates, simplified as they are built.

use std::collections::HashMap;

/// Index of a node.
pub type Id = u32;

/// Type of a node's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `f32` or `f64`.
    Real,
    /// `i32`.
    Int,
    /// Truth value.
    Bool,
}

/// What a node computes. Real constants are stored by their bits so that nodes can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Op {
    Const(u64),
    ConstInt(i32),
    /// Call parameter, the same for all items.
    Param(u16),
    ParamInt(u16),
    /// Component of this item's row (item inputs) or of the only row (uniform inputs).
    Load {
        input: u16,
        component: u16,
    },
    LoadInt {
        input: u16,
        component: u16,
    },
    /// Number of this item.
    Index,
    /// Rows of a table.
    Rows {
        input: u16,
    },
    Neg,
    Abs,
    Floor,
    Sqrt,
    Exp,
    Ln,
    Sin,
    Cos,
    Tanh,
    Atan2,
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Select,
    ToReal,
    /// Component of a table's row: args = `[row]`, clamped into the table.
    Fetch {
        input: u16,
        component: u16,
    },
    /// Truncation towards zero; saturates.
    ToInt,
    FetchInt {
        input: u16,
        component: u16,
    },
    AddInt,
    SubInt,
    MulInt,
    /// Euclidean remainder; the divisor is positive.
    RemInt,
    /// Quotient rounded towards zero; the divisor is positive.
    DivInt,
    MinInt,
    MaxInt,
    AndInt,
    XorInt,
    SelectInt,
    Less,
    LessEq,
    LessInt,
    EqInt,
    And,
    Or,
    Not,
}

impl Op {
    /// Number of arguments.
    pub fn arity(self) -> usize {
        use Op::*;
        match self {
            Const(_) | ConstInt(_) | Param(_) | ParamInt(_) | Load { .. } | LoadInt { .. } | Index | Rows { .. } => 0,
            Neg
            | Abs
            | Floor
            | Sqrt
            | Exp
            | Ln
            | Sin
            | Cos
            | Tanh
            | ToReal
            | Fetch { .. }
            | ToInt
            | FetchInt { .. }
            | Not => 1,
            Select | SelectInt => 3,
            _ => 2,
        }
    }

    /// Type of the result.
    pub fn kind(self) -> Kind {
        use Op::*;
        match self {
            ConstInt(_)
            | ParamInt(_)
            | LoadInt { .. }
            | Index
            | Rows { .. }
            | ToInt
            | FetchInt { .. }
            | AddInt
            | SubInt
            | MulInt
            | RemInt
            | DivInt
            | MinInt
            | MaxInt
            | AndInt
            | XorInt
            | SelectInt => Kind::Int,
            Less | LessEq | LessInt | EqInt | And | Or | Not => Kind::Bool,
            _ => Kind::Real,
        }
    }
}

/// A node: an operation on earlier nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Its arguments; unused ones are 0.
    pub args: [Id; 3],
}

/// A hash-consed expression graph.
#[derive(Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
}

impl Graph {
    /// All nodes; arguments come before their users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its index.
    pub fn node(&self, id: Id) -> Node {
        self.nodes[id as usize]
    }

    /// A real constant.
    pub fn constant(&mut self, x: f64) -> Id {
        // One zero: -0 would make a second node and no difference that a caller may rely on.
        self.intern(Op::Const((x + 0.0).to_bits()), [0; 3])
    }

    /// An integer constant.
    pub fn constant_int(&mut self, x: i32) -> Id {
        self.intern(Op::ConstInt(x), [0; 3])
    }

    /// Value of a real constant node.
    pub fn value(&self, id: Id) -> Option<f64> {
        match self.node(id).op {
            Op::Const(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn value_int(&self, id: Id) -> Option<i32> {
        match self.node(id).op {
            Op::ConstInt(x) => Some(x),
            _ => None,
        }
    }

    fn intern(&mut self, op: Op, args: [Id; 3]) -> Id {
        let node = Node { op, args };
        if let Some(&id) = self.known.get(&node) {
            return id;
        }
        let id = self.nodes.len() as Id;
        self.nodes.push(node);
        self.known.insert(node, id);
        id
    }

    /// Adds a node, or finds an equal or simpler one.
    pub fn push(&mut self, op: Op, args: &[Id]) -> Id {
        debug_assert_eq!(args.len(), op.arity(), "{op:?}");
        if let Some(simple) = self.simplify(op, args) {
            return simple;
        }
        let mut full = [0; 3];
        full[..args.len()].copy_from_slice(args);
        if matches!(op, Op::Add | Op::Mul | Op::AddInt | Op::MulInt) && full[0] > full[1] {
            full.swap(0, 1); // one order for commutative operations, so that equal sums are found
        }
        self.intern(op, full)
    }

    fn simplify(&mut self, op: Op, args: &[Id]) -> Option<Id> {
        let real = |k: usize| args.get(k).and_then(|&id| self.value(id));
        let int = |k: usize| args.get(k).and_then(|&id| self.value_int(id));
        let (a, b) = (real(0), real(1));
        let constant = match (op, a, b) {
            (Op::Neg, Some(x), _) => Some(-x),
            (Op::Abs, Some(x), _) => Some(x.abs()),
            (Op::Floor, Some(x), _) => Some(x.floor()),
            (Op::Sqrt, Some(x), _) => Some(x.sqrt()),
            (Op::Exp, Some(x), _) => Some(x.exp()),
            (Op::Ln, Some(x), _) => Some(x.ln()),
            (Op::Add, Some(x), Some(y)) => Some(x + y),
            (Op::Sub, Some(x), Some(y)) => Some(x - y),
            (Op::Mul, Some(x), Some(y)) => Some(x * y),
            (Op::Div, Some(x), Some(y)) => Some(x / y),
            (Op::Min, Some(x), Some(y)) => Some(x.min(y)),
            (Op::Max, Some(x), Some(y)) => Some(x.max(y)),
            (Op::Mul, Some(0.0), _) | (Op::Mul, _, Some(0.0)) | (Op::Div, Some(0.0), _) => Some(0.0),
            _ => None,
        };
        if let Some(x) = constant.filter(|x| x.is_finite()) {
            return Some(self.constant(x));
        }
        if let (Some(x), Some(y)) = (int(0), int(1)) {
            let folded = match op {
                Op::AddInt => x.checked_add(y),
                Op::SubInt => x.checked_sub(y),
                Op::MulInt => x.checked_mul(y),
                Op::MinInt => Some(x.min(y)),
                Op::MaxInt => Some(x.max(y)),
                _ => None,
            };
            if let Some(x) = folded {
                return Some(self.constant_int(x));
            }
        }
        match (op, a, b) {
            (Op::Add, Some(0.0), _) | (Op::Mul, Some(1.0), _) => Some(args[1]),
            (Op::Add | Op::Sub, _, Some(0.0)) | (Op::Mul | Op::Div, _, Some(1.0)) => Some(args[0]),
            (Op::Sub, Some(0.0), _) => Some(self.push(Op::Neg, &[args[1]])),
            (Op::Mul, Some(-1.0), _) => Some(self.push(Op::Neg, &[args[1]])),
            (Op::Mul, _, Some(-1.0)) => Some(self.push(Op::Neg, &[args[0]])),
            (Op::Neg, ..) if self.node(args[0]).op == Op::Neg => Some(self.node(args[0]).args[0]),
            (Op::Add, ..) if self.node(args[1]).op == Op::Neg => {
                let b = self.node(args[1]).args[0];
                Some(self.push(Op::Sub, &[args[0], b]))
            }
            (Op::Sub, ..) if self.node(args[1]).op == Op::Neg => {
                let b = self.node(args[1]).args[0];
                Some(self.push(Op::Add, &[args[0], b]))
            }
            (Op::Select | Op::SelectInt, ..) if args[1] == args[2] => Some(args[1]),
            (Op::AddInt, ..) if int(0) == Some(0) => Some(args[1]),
            (Op::AddInt | Op::SubInt, ..) if int(1) == Some(0) => Some(args[0]),
            (Op::MulInt, ..) if int(0) == Some(1) => Some(args[1]),
            (Op::MulInt, ..) if int(1) == Some(1) => Some(args[0]),
            _ => None,
        }
    }
}
