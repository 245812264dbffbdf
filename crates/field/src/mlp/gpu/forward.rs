//! The shader of a network's forward pass: a workgroup takes a tile of points through all layers.
//!
//! The tile holds, of each component and stream, the points in fours; an invocation makes all streams of four points and four
//! components of a layer, so that a weight is read once for them and activations happen in registers.

use super::shader::{HEADER, Net, blocks, for_vectors, fours, line, stored, streams, write_points};
use crate::mlp::Precision;

/// The code of a layer's linear part, into the vectors `s{slot}_{j}` of block `block` for own points.
fn linear(text: &mut String, net: &Net, layer: usize) {
    let place = &net.layout.layers[layer];
    let (n_streams, points) = (net.layout.streams, net.layout.forward.fours);
    if let Some(bias) = place.bias {
        line!(text, "let b = weight({bias}u + block);");
        for (j, x) in ["x", "y", "z", "w"].iter().enumerate() {
            line!(text, "s0_{j} = vec4(b.{x});");
        }
    }
    line!(text, "for (var k = 0u; k < {}u; k++) {{", place.takes);
    line!(text, "let w = weight({}u + k * {}u + block);", place.weight, place.blocks);
    for slot in &place.before {
        line!(text, "let a{slot} = tile[(k * {n_streams}u + {slot}u) * {points}u + own];");
        for (j, x) in ["x", "y", "z", "w"].iter().enumerate() {
            line!(text, "s{slot}_{j} += a{slot} * w.{x};");
        }
    }
    line!(text, "}}");
}

/// The whole shader. Buffers: packed parameters, streams in, streams out, and what is kept if asked for.
pub fn text(net: &Net, precision: Precision, keep: bool) -> String {
    let layout = net.layout;
    let (tile, n_streams) = (layout.forward, layout.streams);
    let points = tile.fours;
    let first = &layout.layers[0];
    let last = layout.layers.len() - 1;
    let mut text = HEADER.to_owned();
    text += &fours(1, "packed", "weight", precision, "read");
    streams(&mut text, 2, "input", &first.before, first.takes);
    let mut binding = 2 + first.before.len();
    for slot in &layout.layers[last].after {
        line!(text, "@group(0) @binding({binding}) var<storage, read_write> result_{slot}: array<f32>;");
        binding += 1;
    }
    if keep {
        text += &fours(binding, "kept", "", precision, "read_write");
    }
    text += &net.activations(false);
    line!(text, "var<workgroup> tile: array<vec4<f32>, {}>;", layout.columns() * n_streams * points);
    line!(text, "@compute @workgroup_size({})", tile.invocations);
    text += "fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
let group = group_index(wid, groups);
if group >= params.tiles { return; }
";
    line!(text, "let own = lane % {points}u;\nlet block = lane / {points}u;\nlet four = group * {points}u + own;");
    let takes = first.takes;
    line!(text, "for (var e = lane; e < {}u; e += {}u) {{", takes * points, tile.invocations);
    line!(text, "let k = e % {takes}u; let g = e / {takes}u;");
    for slot in &first.before {
        line!(text, "tile[(k * {n_streams}u + {slot}u) * {points}u + g] = input_{slot}(group * {points}u + g, k);");
    }
    line!(text, "}}\nworkgroupBarrier();");
    for (l, place) in layout.layers.iter().enumerate() {
        line!(text, "{{ // layer {l}\nlet busy = block < {}u;", place.blocks);
        blocks(&mut text, "o", &place.after);
        line!(text, "if busy {{");
        for slot in &place.before {
            (0..4).for_each(|j| line!(text, "var s{slot}_{j} = vec4(0.0);"));
        }
        linear(&mut text, net, l);
        for slot in &place.before {
            line!(text, "var s{slot} = array<vec4<f32>, 4>(s{slot}_0, s{slot}_1, s{slot}_2, s{slot}_3);");
        }
        if let Some(kept) = place.kept.filter(|_| keep) {
            for_vectors(&mut text, |text| {
                line!(text, "if four < params.fours && 4u * block + j < {}u {{", place.makes);
                for (k, slot) in place.before.iter().enumerate() {
                    let row = kept + k * place.makes;
                    let value = stored(&format!("s{slot}[j]"), precision);
                    line!(text, "kept[({row}u + 4u * block + j) * params.fours + four] = {value};");
                }
                line!(text, "}}");
            });
        }
        text += &net.activate(l, "s", "o");
        if l == last {
            for_vectors(&mut text, |text| {
                line!(text, "if 4u * block + j < {}u {{", place.makes);
                for slot in &place.after {
                    let (buffer, value) = (format!("result_{slot}"), format!("o{slot}[j]"));
                    write_points(text, &buffer, place.makes, "4u * block + j", &value);
                }
                line!(text, "}}");
            });
            line!(text, "}}\n}}");
            continue;
        }
        line!(text, "}}\nworkgroupBarrier();\nif busy {{");
        for_vectors(&mut text, |text| {
            for slot in &place.after {
                line!(text, "tile[((4u * block + j) * {n_streams}u + {slot}u) * {points}u + own] = o{slot}[j];");
            }
        });
        line!(text, "}}\nworkgroupBarrier();\n}}");
    }
    text + "}\n"
}
