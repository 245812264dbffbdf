//! What the shaders of fused networks share, and those that pack parameters and unpack their gradients.

use super::layout::{Layout, Place};
use crate::jet::Activate;
use crate::mlp::Precision;
use crate::mlp::blocks::Plan;
use crate::{Activation, Derivatives, Mlp};
use std::fmt::Write;

/// Writes a line of a shader.
macro_rules! line {
    ($text:expr, $($rest:tt)*) => {{
        use std::fmt::Write as _;
        writeln!($text, $($rest)*).expect("writing to a string")
    }};
}
pub(super) use line;

/// A network whose shaders are written.
pub struct Net<'a> {
    pub mlp: &'a Mlp,
    pub derivatives: &'a Derivatives,
    pub plan: &'a Plan,
    pub layout: &'a Layout,
}

impl Net<'_> {
    /// The activation after a layer, where it has one, and the streams before it.
    fn activation(&self, layer: usize) -> Option<(Activation, &[bool])> {
        let activation = self.mlp.activation_after(layer);
        (activation != Activation::Identity).then(|| (activation, &self.plan.layers[layer].present[..]))
    }

    /// Layers whose activations differ from those of all layers before.
    fn first_of_kind(&self, layer: usize) -> usize {
        (0..layer).find(|&l| self.activation(l) == self.activation(layer)).unwrap_or(layer)
    }

    /// WGSL functions `act_L` and, where asked for, `back_L` of activations, L the first layer that has it.
    pub fn activations(&self, backward: bool) -> String {
        let mut text = String::new();
        for layer in 0..self.layout.layers.len() {
            let Some((activation, present)) = self.activation(layer) else { continue };
            if self.first_of_kind(layer) < layer {
                continue;
            }
            let map = Activate::new(activation, self.derivatives, present).map();
            text += &map.wgsl_function(&format!("act_{layer}"));
            if backward {
                let place = &self.layout.layers[layer];
                let (given, wanted) = (vec![true; place.after.len()], vec![true; place.before.len()]);
                text += &map.vjp_wgsl_function(&format!("back_{layer}"), &given, &wanted);
            }
        }
        text
    }

    /// Code that makes the blocks `{to}{slot}` of `{from}{slot}`, four vectors of four points each, by a layer's activation.
    pub fn activate(&self, layer: usize, from: &str, to: &str) -> String {
        let place = &self.layout.layers[layer];
        let given: Vec<String> = place.before.iter().map(|slot| format!("{from}{slot}")).collect();
        let made: Vec<String> = place.after.iter().map(|slot| format!("{to}{slot}")).collect();
        match self.activation(layer) {
            None => copies(&given, &made),
            Some(_) => calls(&format!("act_{}", self.first_of_kind(layer)), &given, &made),
        }
    }

    /// The gradient of that: `{to}{slot}` of what came in, `{z}{slot}`, and of cotangents `{c}{slot}`.
    pub fn activate_back(&self, layer: usize, z: &str, c: &str, to: &str) -> String {
        let place = &self.layout.layers[layer];
        let cotangents = place.after.iter().map(|slot| format!("{c}{slot}"));
        let made: Vec<String> = place.before.iter().map(|slot| format!("{to}{slot}")).collect();
        match self.activation(layer) {
            None => copies(&cotangents.collect::<Vec<_>>(), &made),
            Some(_) => {
                let inputs = place.before.iter().map(|slot| format!("{z}{slot}"));
                let given: Vec<String> = inputs.chain(cotangents).collect();
                calls(&format!("back_{}", self.first_of_kind(layer)), &given, &made)
            }
        }
    }
}

/// Declares blocks.
pub fn blocks(text: &mut String, name: &str, slots: &[usize]) {
    slots.iter().for_each(|slot| line!(text, "var {name}{slot}: array<vec4<f32>, 4>;"));
}

/// Code that does `body` for the vectors j = 0 to 3 of blocks. Text is repeated by a loop: drivers take long for long shaders.
pub fn for_vectors(text: &mut String, body: impl FnOnce(&mut String)) {
    line!(text, "for (var j = 0u; j < 4u; j++) {{");
    body(text);
    line!(text, "}}");
}

fn copies(given: &[String], made: &[String]) -> String {
    let mut text = String::new();
    given.iter().zip(made).for_each(|(from, to)| line!(text, "{to} = {from};"));
    text
}

/// Calls a function of numbers for all 16 numbers of blocks.
fn calls(function: &str, given: &[String], made: &[String]) -> String {
    let mut text = String::new();
    let arguments: Vec<String> = given.iter().map(|name| format!("{name}[e / 4u][e % 4u]")).collect();
    line!(text, "for (var e = 0u; e < 16u; e++) {{");
    line!(text, "let r = {function}({});", arguments.join(", "));
    for (k, name) in made.iter().enumerate() {
        line!(text, "{name}[e / 4u][e % 4u] = r[{k}];");
    }
    line!(text, "}}");
    text
}

/// Parameters of all of these shaders.
pub const HEADER: &str = "#import dispatch
struct Params { points: u32, fours: u32, tiles: u32, groups: u32 }
@group(0) @binding(0) var<uniform> params: Params;
";

/// A buffer of fours, under a name, and the function that reads one.
pub fn fours(binding: usize, name: &str, reader: &str, precision: Precision, access: &str) -> String {
    let (ty, read) = match precision {
        Precision::F32 => ("vec4<f32>", format!("return {name}[i];")),
        Precision::F16 => {
            ("vec2<u32>", format!("let x = {name}[i]; return vec4(unpack2x16float(x.x), unpack2x16float(x.y));"))
        }
    };
    let mut text = format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{ty}>;\n");
    if !reader.is_empty() {
        line!(text, "fn {reader}(i: u32) -> vec4<f32> {{ {read} }}");
    }
    text
}

/// An expression of a four as it is stored.
pub fn stored(four: &str, precision: Precision) -> String {
    match precision {
        Precision::F32 => four.into(),
        Precision::F16 => format!("vec2(pack2x16float({four}.xy), pack2x16float({four}.zw))"),
    }
}

/// Buffers of streams [N, width], one per slot, and functions `{name}_SLOT(four, component)` that read four points of them,
/// zeros behind the last.
pub fn streams(text: &mut String, binding: usize, name: &str, slots: &[usize], width: usize) {
    for (k, slot) in slots.iter().enumerate() {
        line!(text, "@group(0) @binding({}) var<storage, read> buffer_{name}_{slot}: array<f32>;", binding + k);
        line!(text, "fn {name}_{slot}(four: u32, c: u32) -> vec4<f32> {{\nvar x = vec4(0.0);");
        line!(text, "let n = min(4u, params.points - min(4u * four, params.points));");
        line!(text, "for (var q = 0u; q < n; q++) {{");
        line!(text, "x[q] = buffer_{name}_{slot}[(4u * four + q) * {width}u + c];\n}}\nreturn x;\n}}");
    }
}

/// Writes the four points of a vector to a stream [N, width].
pub fn write_points(text: &mut String, buffer: &str, width: usize, component: &str, value: &str) {
    line!(text, "for (var q = 0u; q < 4u; q++) {{\nlet point = 4u * four + q;");
    line!(text, "if point < params.points {{ {buffer}[point * {width}u + {component}] = {value}[q]; }}\n}}");
}

/// Parameters as arrays to one buffer of fours, rows of weights padded by zeros.
pub fn pack(layout: &Layout, precision: Precision) -> String {
    let mut text = HEADER.to_owned();
    let mut binding = 1;
    for (l, place) in layout.layers.iter().enumerate() {
        for name in ["w", "b"].into_iter().take(1 + place.bias.is_some() as usize) {
            line!(text, "@group(0) @binding({binding}) var<storage, read> {name}{l}: array<f32>;");
            binding += 1;
        }
    }
    text += &fours(binding, "packed", "", precision, "read_write");
    line!(
        text,
        "@compute @workgroup_size(64)\nfn pack(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {{"
    );
    line!(text, "let i = item_index(gid, groups, 64u);\nif i >= {}u {{ return; }}\nvar x = vec4(0.0);", layout.packed);
    for (l, place) in layout.layers.iter().enumerate() {
        let mut part = |name: &str, start: usize, rows: usize| {
            let (blocks, makes) = (place.blocks, place.makes);
            line!(text, "if i >= {start}u && i < {}u {{", start + rows * blocks);
            line!(text, "let row = (i - {start}u) / {blocks}u; let column = 4u * ((i - {start}u) % {blocks}u);");
            for (q, x) in ["x", "y", "z", "w"].iter().enumerate() {
                line!(text, "if column + {q}u < {makes}u {{ x.{x} = {name}{l}[row * {makes}u + column + {q}u]; }}");
            }
            line!(text, "}}");
        };
        part("w", place.weight, place.takes);
        if let Some(bias) = place.bias {
            part("b", bias, 1);
        }
    }
    line!(text, "packed[i] = {};\n}}", stored("x", precision));
    text
}

/// An array of parameters: its layer, and whether it is the bias.
pub type Array = (usize, bool);

/// Elements of an array.
pub fn elements(place: &Place, bias: bool) -> usize {
    if bias { place.makes } else { place.takes * place.makes }
}

/// Sums of workgroups, [groups, packed], to gradients of arrays.
pub fn unpack(layout: &Layout, arrays: &[Array]) -> String {
    let mut text = HEADER.to_owned();
    line!(text, "@group(0) @binding(1) var<storage, read> sums: array<f32>;");
    for k in 0..arrays.len() {
        line!(text, "@group(0) @binding({}) var<storage, read_write> gradient{k}: array<f32>;", k + 2);
    }
    write!(
        text,
        "fn total(i: u32) -> f32 {{
    var sum = 0.0;
    for (var g = 0u; g < params.groups; g++) {{ sum += sums[g * {}u + i]; }}
    return sum;
}}
@compute @workgroup_size(64)
fn unpack(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {{
let i = item_index(gid, groups, 64u);
",
        4 * layout.packed
    )
    .expect("writing to a string");
    let mut start = 0;
    for (k, &(l, bias)) in arrays.iter().enumerate() {
        let place = &layout.layers[l];
        let n = elements(place, bias);
        let at = if bias { place.bias.expect("it has one") } else { place.weight };
        let (makes, blocks) = (place.makes, place.blocks);
        line!(text, "if i >= {start}u && i < {}u {{\nlet j = i - {start}u;", start + n);
        line!(text, "gradient{k}[j] = total(4u * ({at}u + j / {makes}u * {blocks}u) + j % {makes}u);\n}}");
        start += n;
    }
    text + "}\n"
}
