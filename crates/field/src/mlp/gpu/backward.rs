//! The shader of a network's backward pass: a workgroup takes tiles of points back through all layers, one after the other,
//! and adds up its own parameter gradients.

use super::layout::Place;
use super::shader::{HEADER, Net, blocks, for_vectors, fours, line, streams, write_points};
use crate::mlp::Precision;

/// What the pass gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Streams that come out and have a cotangent.
    pub given: Vec<bool>,
    /// Gradients of the streams that come in, and of parameters.
    pub to_input: bool,
    pub to_parameters: bool,
}

/// The whole shader. Buffers: packed parameters, what was kept, streams in, cotangents that are given; then the workgroups'
/// sums of parameter gradients and the gradients of streams in, as wanted.
pub fn text(net: &Net, precision: Precision, wanted: &Wanted) -> String {
    let layout = net.layout;
    let tile = layout.backward;
    let first = &layout.layers[0];
    let last = &layout.layers[layout.layers.len() - 1];
    let given: Vec<usize> = last.after.iter().zip(&wanted.given).filter(|(_, g)| **g).map(|(s, _)| *s).collect();
    let mut text = HEADER.to_owned();
    text += &fours(1, "packed", "weight", precision, "read");
    text += &fours(2, "kept", "before", precision, "read");
    streams(&mut text, 3, "input", &first.before, first.takes);
    let mut binding = 3 + first.before.len();
    streams(&mut text, binding, "cotangent", &given, last.makes);
    binding += given.len();
    if wanted.to_parameters {
        line!(text, "@group(0) @binding({binding}) var<storage, read_write> sums: array<vec4<f32>>;");
        binding += 1;
    }
    for slot in first.before.iter().filter(|_| wanted.to_input) {
        line!(text, "@group(0) @binding({binding}) var<storage, read_write> gradient_{slot}: array<f32>;");
        binding += 1;
    }
    text += &net.activations(true);
    let numbers = layout.columns() * layout.streams * tile.fours;
    line!(text, "var<workgroup> taken: array<vec4<f32>, {numbers}>;");
    line!(text, "var<workgroup> adjoint: array<vec4<f32>, {numbers}>;");
    line!(text, "@compute @workgroup_size({})", tile.invocations);
    text += "fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
let group = group_index(wid, groups);
if group >= params.groups { return; }
";
    line!(text, "let own = lane % {0}u;\nlet block = lane / {0}u;", tile.fours);
    line!(text, "let to_sums = group * {}u;", layout.packed);
    line!(text, "for (var t = group; t < params.tiles; t += params.groups) {{");
    line!(text, "let four = t * {}u + own;", tile.fours);
    // Behind the last points cotangents are zero, whatever was kept.
    line!(text, "let kept_four = min(four, params.fours - 1u);");
    for l in (0..layout.layers.len()).rev() {
        line!(text, "{{ // layer {l}");
        through_activation(&mut text, net, l, &given);
        what_it_took(&mut text, net, l);
        line!(text, "workgroupBarrier();");
        if wanted.to_parameters {
            to_parameters(&mut text, net, &layout.layers[l]);
        }
        if l > 0 || wanted.to_input {
            to_what_it_took(&mut text, net, l);
        } else {
            line!(text, "workgroupBarrier();");
        }
        line!(text, "}}");
    }
    text + "}\n}\n"
}

/// A number of a tile: component, slot and four are expressions.
fn at(net: &Net, tile: &str, component: &str, slot: usize, four: &str) -> String {
    let (streams, points) = (net.layout.streams, net.layout.backward.fours);
    format!("{tile}[(({component}) * {streams}u + {slot}u) * {points}u + {four}]")
}

/// Reads what a layer kept of the own block, `z{slot}`.
fn kept(text: &mut String, place: &Place) {
    let row = place.kept.expect("it keeps");
    blocks(text, "z", &place.before);
    for_vectors(text, |text| {
        line!(text, "let column = min(4u * block + j, {}u);", place.makes - 1);
        for (k, slot) in place.before.iter().enumerate() {
            let start = row + k * place.makes;
            line!(text, "z{slot}[j] = before(({start}u + column) * params.fours + kept_four);");
        }
    });
}

/// Cotangents of the own block after a layer's activation, to those before it, in the tile `adjoint`.
fn through_activation(text: &mut String, net: &Net, l: usize, given: &[usize]) {
    let place = &net.layout.layers[l];
    let is_last = l + 1 == net.layout.layers.len();
    line!(text, "if block < {}u {{", place.blocks);
    blocks(text, "c", &place.after);
    for_vectors(text, |text| {
        for slot in &place.after {
            let value = match is_last {
                true if given.contains(slot) => {
                    format!("cotangent_{slot}(four, min(4u * block + j, {}u))", place.makes - 1)
                }
                true => "vec4<f32>(0.0)".into(),
                false => at(net, "adjoint", "4u * block + j", *slot, "own"),
            };
            line!(text, "c{slot}[j] = {value};");
        }
    });
    if place.kept.is_some() {
        kept(text, place);
    }
    blocks(text, "d", &place.before);
    *text += &net.activate_back(l, "z", "c", "d");
    for_vectors(text, |text| {
        for slot in &place.before {
            let value = match place.makes % 4 {
                0 => format!("d{slot}[j]"),
                _ => format!("select(vec4(0.0), d{slot}[j], 4u * block + j < {}u)", place.makes),
            };
            line!(text, "{} = {value};", at(net, "adjoint", "4u * block + j", *slot, "own"));
        }
    });
    line!(text, "}}");
}

/// What a layer took, in the tile `taken`: the input, or the activation of the layer before.
fn what_it_took(text: &mut String, net: &Net, l: usize) {
    let place = &net.layout.layers[l];
    let tile = net.layout.backward;
    if l == 0 {
        line!(text, "for (var e = lane; e < {}u; e += {}u) {{", place.takes * tile.fours, tile.invocations);
        line!(text, "let k = e % {0}u; let g = e / {0}u;", place.takes);
        for slot in &place.before {
            line!(text, "{} = input_{slot}(t * {}u + g, k);", at(net, "taken", "k", *slot, "g"), tile.fours);
        }
        line!(text, "}}");
        return;
    }
    let before = &net.layout.layers[l - 1];
    line!(text, "if block < {}u {{", before.blocks);
    kept(text, before);
    blocks(text, "o", &before.after);
    *text += &net.activate(l - 1, "z", "o");
    for_vectors(text, |text| {
        for slot in &before.after {
            line!(text, "{} = o{slot}[j];", at(net, "taken", "4u * block + j", *slot, "own"));
        }
    });
    line!(text, "}}");
}

/// Adds the tile's parameter gradients to the workgroup's sums, in blocks of 4 × 4.
fn to_parameters(text: &mut String, net: &Net, place: &Place) {
    let tile = net.layout.backward;
    let rows = place.takes.div_ceil(4);
    // One tile sets what the others add to.
    let add = |text: &mut String, index: String, value: &str| {
        line!(text, "if t == group {{ sums[{index}] = {value}; }} else {{ sums[{index}] += {value}; }}");
    };
    line!(text, "for (var e = lane; e < {}u; e += {}u) {{", rows * place.blocks, tile.invocations);
    line!(text, "let kb = e / {0}u; let nb = e % {0}u;", place.blocks);
    for i in 0..4 {
        line!(text, "var r{i} = vec4(0.0);");
    }
    // Neighbouring invocations start at other points, so that they read other banks.
    line!(text, "for (var i = 0u; i < {0}u; i++) {{\nlet g = (i + lane) % {0}u;", tile.fours);
    for slot in &place.before {
        line!(text, "{{");
        for j in 0..4 {
            line!(text, "let d{j} = {};", at(net, "adjoint", &format!("4u * nb + {j}u"), *slot, "g"));
        }
        for i in 0..4 {
            line!(text, "let a{i} = {};", at(net, "taken", &format!("4u * kb + {i}u"), *slot, "g"));
            line!(text, "r{i} += vec4(dot(a{i}, d0), dot(a{i}, d1), dot(a{i}, d2), dot(a{i}, d3));");
        }
        line!(text, "}}");
    }
    line!(text, "}}");
    line!(text, "var rows = array<vec4<f32>, 4>(r0, r1, r2, r3);");
    for_vectors(text, |text| {
        line!(text, "if 4u * kb + j < {}u {{", place.takes);
        let index = format!("to_sums + {}u + (4u * kb + j) * {}u + nb", place.weight, place.blocks);
        add(text, index, "rows[j]");
        line!(text, "}}");
    });
    line!(text, "}}");
    if let Some(bias) = place.bias {
        line!(text, "for (var e = lane; e < {}u; e += {}u) {{\nvar b = vec4(0.0);", place.blocks, tile.invocations);
        line!(text, "for (var i = 0u; i < {0}u; i++) {{\nlet g = (i + lane) % {0}u;", tile.fours);
        let sums = (0..4).map(|j| format!("dot({}, vec4(1.0))", at(net, "adjoint", &format!("4u * e + {j}u"), 0, "g")));
        line!(text, "b += vec4({});\n}}", sums.collect::<Vec<_>>().join(", "));
        add(text, format!("to_sums + {bias}u + e"), "b");
        line!(text, "}}");
    }
}

/// Cotangents of what a layer took: in the tile `adjoint` for the layer before, or written as gradients of the input.
fn to_what_it_took(text: &mut String, net: &Net, l: usize) {
    let place = &net.layout.layers[l];
    line!(text, "let busy = block < {}u;", place.takes.div_ceil(4));
    for slot in &place.before {
        for j in 0..4 {
            line!(text, "var m{slot}_{j} = vec4(0.0);");
        }
    }
    line!(text, "if busy {{\nfor (var nb = 0u; nb < {}u; nb++) {{", place.blocks);
    for j in 0..4 {
        let row = format!("min(4u * block + {j}u, {}u)", place.takes - 1);
        line!(text, "let w{j} = weight({}u + {row} * {}u + nb);", place.weight, place.blocks);
    }
    for slot in &place.before {
        line!(text, "{{");
        for i in 0..4 {
            line!(text, "let d{i} = {};", at(net, "adjoint", &format!("4u * nb + {i}u"), *slot, "own"));
        }
        for j in 0..4 {
            line!(text, "m{slot}_{j} += d0 * w{j}.x + d1 * w{j}.y + d2 * w{j}.z + d3 * w{j}.w;");
        }
        line!(text, "}}");
    }
    line!(text, "}}\n}}\nworkgroupBarrier();\nif busy {{");
    for slot in &place.before {
        line!(text, "var m{slot} = array<vec4<f32>, 4>(m{slot}_0, m{slot}_1, m{slot}_2, m{slot}_3);");
    }
    for_vectors(text, |text| {
        if l > 0 {
            for slot in &place.before {
                line!(text, "{} = m{slot}[j];", at(net, "adjoint", "4u * block + j", *slot, "own"));
            }
            return;
        }
        line!(text, "if 4u * block + j < {}u {{", place.takes);
        for slot in &place.before {
            let (buffer, value) = (format!("gradient_{slot}"), format!("m{slot}[j]"));
            write_points(text, &buffer, place.takes, "4u * block + j", &value);
        }
        line!(text, "}}");
    });
    line!(text, "}}");
}
