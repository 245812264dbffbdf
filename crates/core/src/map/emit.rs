//! WGSL of programs: one invocation per item, straight-line code.

use super::graph::{Id, Kind, Op};
use super::program::{Mode, OutputKind, Program};
use std::collections::HashMap;
use std::fmt::Write;

/// Invocations per workgroup.
pub const GROUP: u32 = 64;

/// WGSL text of a program. Bindings: parameters, inputs, outputs. Rows of items are bound from `first_item` on. Sums are
/// written per workgroup, from `first_group` on, and added up by `core/sum_rows`; scattered outputs are zeroed by the caller
/// and added to atomically.
pub fn wgsl(program: &Program) -> String {
    let mut w = String::new();
    let n_words = program.n_params + program.n_int_params;
    let vectors = n_words.div_ceil(4).max(1);
    writeln!(w, "#import dispatch").unwrap();
    writeln!(
        w,
        "struct Params {{ items: u32, first_item: u32, first_group: u32, unused: u32, words: array<vec4<u32>, {vectors}> }}"
    )
    .unwrap();
    writeln!(w, "@group(0) @binding(0) var<uniform> params: Params;").unwrap();
    for (k, input) in program.inputs.iter().enumerate() {
        let ty = if input.real { "f32" } else { "i32" };
        writeln!(w, "@group(0) @binding({}) var<storage, read> in{k}: array<{ty}>;", k + 1).unwrap();
    }
    let mut sums = 0;
    for (k, output) in program.outputs.iter().enumerate() {
        let ty = match (&output.kind, output.real) {
            (OutputKind::Scatter { .. }, _) => "atomic_float",
            (_, true) => "f32",
            (_, false) => "i32",
        };
        writeln!(
            w,
            "@group(0) @binding({}) var<storage, read_write> out{k}: array<{ty}>;",
            program.inputs.len() + k + 1
        )
        .unwrap();
        match &output.kind {
            OutputKind::Item(_) => {}
            OutputKind::Sum(values) => sums += values.len(),
            OutputKind::Scatter { .. } => writeln!(w, "#import atomics out{k}").unwrap(),
        }
    }
    if sums > 0 {
        writeln!(w, "var<workgroup> partial: array<f32, {GROUP}>;").unwrap();
    }
    writeln!(w, "@compute @workgroup_size({GROUP})").unwrap();
    writeln!(w, "fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,")
        .unwrap();
    writeln!(w, "        @builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{")
        .unwrap();
    writeln!(w, "let item = item_index(gid, groups, {GROUP}u);").unwrap();
    // Invocations past the end compute the last item again: barriers stay uniform, and nothing is written for them.
    writeln!(w, "let inside = item < params.items;").unwrap();
    writeln!(w, "let index = i32(min(item, max(params.items, 1u) - 1u));").unwrap();
    let mut emitter = Emitter { program, text: w, names: HashMap::new(), by_value: false };
    let mut sum_code = String::new();
    for (k, output) in program.outputs.iter().enumerate() {
        match &output.kind {
            OutputKind::Item(values) => {
                let names: Vec<String> = values.iter().map(|&v| emitter.visit(v)).collect();
                let t = &mut emitter.text;
                writeln!(t, "if inside {{").unwrap();
                for (c, name) in names.iter().enumerate() {
                    writeln!(t, "out{k}[index * {} + {c}] = {name};", output.width).unwrap();
                }
                writeln!(t, "}}").unwrap();
            }
            OutputKind::Sum(values) => {
                for (c, &v) in values.iter().enumerate() {
                    let name = emitter.visit(v);
                    writeln!(
                        sum_code,
                        "partial[lane] = select(0.0, {name}, inside);\nworkgroupBarrier();\n\
                         for (var s = {}u; s > 0u; s = s / 2u) {{\n\
                         if lane < s {{ partial[lane] = partial[lane] + partial[lane + s]; }}\nworkgroupBarrier();\n}}\n\
                         if lane == 0u && item < params.items {{ out{k}[(params.first_group + group_index(wid, groups)) * {}u + {c}u] = partial[0]; }}\n\
                         workgroupBarrier();",
                        GROUP / 2,
                        output.width
                    )
                    .unwrap();
                }
            }
            OutputKind::Scatter { adds, like } => {
                for add in adds {
                    let value = emitter.visit(add.value);
                    let row = emitter.visit(add.row);
                    let last = emitter.last_row(*like);
                    writeln!(
                        emitter.text,
                        "if inside && {value} != 0.0 {{ atomic_add_out{k}(u32(clamp({row}, 0, {last}) * {} + {}), {value}); }}",
                        output.width, add.component
                    )
                    .unwrap();
                }
            }
        }
    }
    let mut text = emitter.text;
    text.push_str(&sum_code);
    text.push_str("}\n");
    text
}

/// A WGSL function of a program's numbers at one item, `fn NAME(in0: f32, …) -> array<f32, N>`, for shaders that keep those
/// numbers in registers. Inputs and outputs are real and one number per item each.
pub fn function(program: &Program, name: &str) -> String {
    let inputs: Vec<String> = (0..program.inputs.len()).map(|k| format!("in{k}: f32")).collect();
    let n = program.outputs.len();
    let text = format!("fn {name}({}) -> array<f32, {n}> {{\n", inputs.join(", "));
    let mut emitter = Emitter { program, text, names: HashMap::new(), by_value: true };
    let values = program.outputs.iter().map(|output| match &output.kind {
        OutputKind::Item(values) => values[0],
        _ => unreachable!("functions are of numbers per item"),
    });
    let values: Vec<String> = values.map(|v| emitter.visit(v)).collect();
    format!("{}return array<f32, {n}>({});\n}}\n", emitter.text, values.join(", "))
}

struct Emitter<'a> {
    program: &'a Program,
    text: String,
    names: HashMap<Id, String>,
    /// Inputs are numbers `in0` and so on, not buffers.
    by_value: bool,
}

fn literal(x: f64) -> String {
    let x = x as f32;
    if x.is_finite() {
        format!("{x:?}f")
    } else if x.is_nan() {
        "bitcast<f32>(0x7fc00000u)".into()
    } else if x > 0.0 {
        "3.4028235e38f".into()
    } else {
        "-3.4028235e38f".into()
    }
}

impl Emitter<'_> {
    fn last_row(&self, input: usize) -> String {
        format!("(i32(arrayLength(&in{input})) / {} - 1)", self.program.inputs[input].width)
    }

    /// Emits a node after its arguments; returns its name.
    fn visit(&mut self, root: Id) -> String {
        let mut stack = vec![(root, false)];
        while let Some((id, ready)) = stack.pop() {
            if self.names.contains_key(&id) {
                continue;
            }
            let node = self.program.graph.node(id);
            let args = &node.args[..node.op.arity()];
            if !ready {
                stack.push((id, true));
                stack.extend(args.iter().rev().map(|&a| (a, false)));
                continue;
            }
            let names: Vec<String> = args.iter().map(|a| self.names[a].clone()).collect();
            let name = match node.op {
                Op::Const(bits) => literal(f64::from_bits(bits)),
                Op::ConstInt(x) => format!("i32({x})"),
                op => {
                    let expression = self.expression(op, &names);
                    let prefix = match op.kind() {
                        Kind::Real => 'v',
                        // Not `i`: i32 is a type.
                        Kind::Int => 'n',
                        Kind::Bool => 'b',
                    };
                    writeln!(self.text, "let {prefix}{id} = {expression};").unwrap();
                    format!("{prefix}{id}")
                }
            };
            self.names.insert(id, name);
        }
        self.names[&root].clone()
    }

    fn row_load(&self, input: u16, component: u16) -> String {
        let i = &self.program.inputs[input as usize];
        if self.by_value {
            return format!("in{input}");
        }
        match i.mode {
            Mode::Item => format!("in{input}[index * {} + {component}]", i.width),
            _ => format!("in{input}[{component}]"),
        }
    }

    fn expression(&self, op: Op, a: &[String]) -> String {
        let word = |k: usize| format!("params.words[{}][{}]", k / 4, k % 4);
        let fetch = |input: u16, component: u16| {
            let width = self.program.inputs[input as usize].width;
            format!("in{input}[clamp({}, 0, {}) * {width} + {component}]", a[0], self.last_row(input as usize))
        };
        match op {
            Op::Const(_) | Op::ConstInt(_) => unreachable!("literals have no statement"),
            Op::Param(k) => format!("bitcast<f32>({})", word(k as usize)),
            Op::ParamInt(k) => {
                format!("bitcast<i32>({})", word(self.program.n_params + k as usize))
            }
            Op::Load { input, component } | Op::LoadInt { input, component } => self.row_load(input, component),
            Op::Index => "(i32(params.first_item) + index)".into(),
            Op::Rows { input } => format!("({} + 1)", self.last_row(input as usize)),
            Op::Neg => format!("-({})", a[0]),
            Op::Abs => format!("abs({})", a[0]),
            Op::Floor => format!("floor({})", a[0]),
            Op::Sqrt => format!("sqrt({})", a[0]),
            Op::Exp => format!("exp({})", a[0]),
            Op::Ln => format!("log({})", a[0]),
            Op::Sin => format!("sin({})", a[0]),
            Op::Cos => format!("cos({})", a[0]),
            // Large arguments overflow in some drivers' tanh.
            Op::Tanh => format!("tanh(clamp({}, -15.0, 15.0))", a[0]),
            Op::Atan2 => format!("atan2({}, {})", a[0], a[1]),
            Op::Add | Op::AddInt => format!("{} + {}", a[0], a[1]),
            Op::Sub | Op::SubInt => format!("{} - {}", a[0], a[1]),
            Op::Mul | Op::MulInt => format!("{} * {}", a[0], a[1]),
            Op::Div => format!("{} / {}", a[0], a[1]),
            Op::Min | Op::MinInt => format!("min({}, {})", a[0], a[1]),
            Op::Max | Op::MaxInt => format!("max({}, {})", a[0], a[1]),
            Op::Select | Op::SelectInt => format!("select({}, {}, {})", a[2], a[1], a[0]),
            Op::ToReal => format!("f32({})", a[0]),
            Op::Fetch { input, component } | Op::FetchInt { input, component } => fetch(input, component),
            Op::ToInt => format!("i32(clamp({}, -2147483520.0, 2147483520.0))", a[0]),
            Op::RemInt => format!("(({0} % max({1}, 1)) + max({1}, 1)) % max({1}, 1)", a[0], a[1]),
            Op::DivInt => format!("{} / max({}, 1)", a[0], a[1]),
            Op::AndInt => format!("{} & {}", a[0], a[1]),
            Op::XorInt => format!("{} ^ {}", a[0], a[1]),
            Op::Less | Op::LessInt => format!("{} < {}", a[0], a[1]),
            Op::LessEq => format!("{} <= {}", a[0], a[1]),
            Op::EqInt => format!("{} == {}", a[0], a[1]),
            Op::And => format!("{} && {}", a[0], a[1]),
            Op::Or => format!("{} || {}", a[0], a[1]),
            Op::Not => format!("!{}", a[0]),
        }
    }
}
