//! Programs: an expression graph with its inputs and outputs.

use super::expr::{self, BoolExpr, Expr, IntExpr};
use super::graph::{Graph, Id, Kind, Op};

/// How items address an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Item i reads row i.
    Item,
    /// All items read the only row.
    Uniform,
    /// Items fetch rows by computed numbers.
    Table,
}

/// Declaration of an input.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name for error messages.
    pub name: String,
    /// Components per row.
    pub width: usize,
    /// How it is addressed.
    pub mode: Mode,
    /// False for `u32`/`i32` inputs.
    pub real: bool,
}

/// One addition to a scattered output: row, component, value.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Row number (clamped into the output).
    pub row: Id,
    /// Component.
    pub component: u16,
    /// What is added.
    pub value: Id,
}

/// What becomes of computed values.
#[derive(Clone, Debug)]
pub enum OutputKind {
    /// Row i of an [items, width] tensor.
    Item(Vec<Id>),
    /// Summed over items into a [1, width] tensor.
    Sum(Vec<Id>),
    /// Added to rows of a table.
    Scatter {
        /// The additions.
        adds: Vec<Add>,
        /// The table has as many rows as this input.
        like: usize,
    },
}

/// Declaration of an output.
#[derive(Clone, Debug)]
pub struct Output {
    /// Name for error messages.
    pub name: String,
    /// Components per row.
    pub width: usize,
    /// False for `i32` outputs (items only).
    pub real: bool,
    /// Its values.
    pub kind: OutputKind,
}

/// A map definition, or a derivative of one.
#[derive(Clone)]
pub struct Program {
    /// Name, unique among maps of different meaning.
    pub name: String,
    /// The expressions.
    pub graph: Graph,
    /// Inputs, in call order.
    pub inputs: Vec<Input>,
    /// Outputs, in result order.
    pub outputs: Vec<Output>,
    /// Items where this is false produce zeros and nothing else.
    pub guard: Option<Id>,
    /// Real call parameters.
    pub n_params: usize,
    /// Integer call parameters.
    pub n_int_params: usize,
}

/// Declares inputs and outputs inside [`Map::new`](super::Map::new).
#[derive(Default)]
pub struct Builder {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    guard: Option<Id>,
    n_params: usize,
    n_int_params: usize,
}

/// A real table input: rows are fetched by number.
#[derive(Clone, Copy, Debug)]
pub struct Table<const N: usize>(u16);

/// An integer table input.
#[derive(Clone, Copy, Debug)]
pub struct IntTable<const N: usize>(u16);

impl<const N: usize> Table<N> {
    /// Row `row`, clamped into the table. Derivatives flow to the table, not to `row`.
    pub fn fetch(self, row: IntExpr) -> [Expr; N] {
        std::array::from_fn(|c| Expr(expr::push(Op::Fetch { input: self.0, component: c as u16 }, &[row.0])))
    }

    /// Number of rows.
    pub fn rows(self) -> IntExpr {
        IntExpr(expr::push(Op::Rows { input: self.0 }, &[]))
    }
}

impl<const N: usize> IntTable<N> {
    /// Row `row`, clamped into the table.
    pub fn fetch(self, row: IntExpr) -> [IntExpr; N] {
        std::array::from_fn(|c| IntExpr(expr::push(Op::FetchInt { input: self.0, component: c as u16 }, &[row.0])))
    }

    /// Number of rows.
    pub fn rows(self) -> IntExpr {
        IntExpr(expr::push(Op::Rows { input: self.0 }, &[]))
    }
}

impl Builder {
    fn input(&mut self, name: &str, width: usize, mode: Mode, real: bool) -> u16 {
        self.inputs.push(Input { name: name.into(), width, mode, real });
        (self.inputs.len() - 1) as u16
    }

    fn load<const N: usize>(&mut self, name: &str, mode: Mode) -> [Expr; N] {
        let input = self.input(name, N, mode, true);
        std::array::from_fn(|c| Expr(expr::push(Op::Load { input, component: c as u16 }, &[])))
    }

    /// This item's row of a real input of width `N`.
    pub fn item<const N: usize>(&mut self, name: &str) -> [Expr; N] {
        self.load(name, Mode::Item)
    }

    /// This item's row of a real input of a width that is not known when the program is compiled.
    pub fn item_row(&mut self, name: &str, width: usize) -> Vec<Expr> {
        let input = self.input(name, width, Mode::Item, true);
        (0..width as u16).map(|component| Expr(expr::push(Op::Load { input, component }, &[]))).collect()
    }

    /// The only row of a real input that all items share, of such a width.
    pub fn uniform_row(&mut self, name: &str, width: usize) -> Vec<Expr> {
        let input = self.input(name, width, Mode::Uniform, true);
        (0..width as u16).map(|component| Expr(expr::push(Op::Load { input, component }, &[]))).collect()
    }

    /// The only row of a real input that all items share.
    pub fn uniform<const N: usize>(&mut self, name: &str) -> [Expr; N] {
        self.load(name, Mode::Uniform)
    }

    /// This item's row of a `u32` or `i32` input.
    pub fn item_int<const N: usize>(&mut self, name: &str) -> [IntExpr; N] {
        let input = self.input(name, N, Mode::Item, false);
        std::array::from_fn(|c| IntExpr(expr::push(Op::LoadInt { input, component: c as u16 }, &[])))
    }

    /// A real table of rows of width `N`.
    pub fn table<const N: usize>(&mut self, name: &str) -> Table<N> {
        Table(self.input(name, N, Mode::Table, true))
    }

    /// A `u32` or `i32` table of rows of width `N`.
    pub fn table_int<const N: usize>(&mut self, name: &str) -> IntTable<N> {
        IntTable(self.input(name, N, Mode::Table, false))
    }

    /// The next real call parameter: a number without derivative, the same for all items.
    pub fn param(&mut self) -> Expr {
        self.n_params += 1;
        Expr(expr::push(Op::Param((self.n_params - 1) as u16), &[]))
    }

    /// The next integer call parameter.
    pub fn int_param(&mut self) -> IntExpr {
        self.n_int_params += 1;
        IntExpr(expr::push(Op::ParamInt((self.n_int_params - 1) as u16), &[]))
    }

    /// Number of this item.
    pub fn index(&self) -> IntExpr {
        IntExpr(expr::push(Op::Index, &[]))
    }

    /// Items where `condition` is false (padding) produce zeros and no gradients.
    pub fn guard(&mut self, condition: BoolExpr) {
        self.guard = Some(match self.guard {
            None => condition.0,
            Some(g) => expr::push(Op::And, &[g, condition.0]),
        });
    }

    /// An [items, N] output.
    pub fn output(&mut self, name: &str, values: &[Expr]) {
        let values: Vec<Id> = values.iter().map(|e| e.0).collect();
        debug_assert!(values.iter().all(|&v| expr::kind(v) == Kind::Real));
        self.outputs.push(Output {
            name: name.into(),
            width: values.len(),
            real: true,
            kind: OutputKind::Item(values),
        });
    }

    /// An [items, N] output of `i32`.
    pub fn output_int(&mut self, name: &str, values: &[IntExpr]) {
        let values: Vec<Id> = values.iter().map(|e| e.0).collect();
        self.outputs.push(Output {
            name: name.into(),
            width: values.len(),
            real: false,
            kind: OutputKind::Item(values),
        });
    }

    /// A [1, N] output: the sum over all items.
    pub fn sum(&mut self, name: &str, values: &[Expr]) {
        self.outputs.push(Output {
            name: name.into(),
            width: values.len(),
            real: true,
            kind: OutputKind::Sum(values.iter().map(|e| e.0).collect()),
        });
    }

    /// A table with as many rows as the table `like`, to which every item adds rows.
    pub fn scatter<const N: usize, const M: usize>(
        &mut self,
        name: &str,
        like: Table<M>,
        adds: &[(IntExpr, [Expr; N])],
    ) {
        let adds = adds
            .iter()
            .flat_map(|(row, values)| {
                (0u16..).zip(values).map(|(component, v)| Add { row: row.0, component, value: v.0 })
            })
            .collect();
        let kind = OutputKind::Scatter { adds, like: like.0 as usize };
        self.outputs.push(Output { name: name.into(), width: N, real: true, kind });
    }

    pub(super) fn finish(self, name: &str, graph: Graph) -> Program {
        let mut program = Program {
            name: name.into(),
            graph,
            inputs: self.inputs,
            outputs: self.outputs,
            guard: self.guard,
            n_params: self.n_params,
            n_int_params: self.n_int_params,
        };
        program.apply_guard();
        program
    }
}

impl Program {
    /// Storage buffers of the shader.
    pub(super) fn bindings(&self) -> usize {
        self.inputs.len() + self.outputs.len()
    }

    /// Makes guarded-out items contribute zeros.
    pub(super) fn apply_guard(&mut self) {
        let Some(guard) = self.guard else { return };
        let graph = &mut self.graph;
        let zero = graph.constant(0.0);
        let zero_int = graph.constant_int(0);
        for output in &mut self.outputs {
            let real = output.real;
            let mut wrap = |v: &mut Id| {
                *v = match real {
                    true => graph.push(Op::Select, &[guard, *v, zero]),
                    false => graph.push(Op::SelectInt, &[guard, *v, zero_int]),
                };
            };
            match &mut output.kind {
                OutputKind::Item(values) | OutputKind::Sum(values) => values.iter_mut().for_each(&mut wrap),
                OutputKind::Scatter { adds, .. } => adds.iter_mut().for_each(|a| wrap(&mut a.value)),
            }
        }
    }
}
