//! Maps: what happens at one item, written once.
//!
//! A [`Map`] is defined by a closure over symbolic numbers ([`Expr`]). From this one definition come the CPU body
//! (blocks of items, widest instruction set, `f32` and `f64`), the WGSL body, and the forward- and reverse-mode
//! derivatives of both.
//!
//! ```
//! use lumigrad_core::{Device, DType, Map, Tape, Tensor};
//! # fn main() -> lumigrad_core::Result<()> {
//! let square = Map::new("square", |m| {
//!     let [x] = m.item("x");
//!     m.output("y", &[x * x]);
//! });
//! let tape = Tape::new();
//! let x = tape.variable(Tensor::from_slice(&Device::cpu(), &[1.0f32, 2.0, 3.0], &[3, 1])?);
//! let y = square.apply(&[&x])?.remove(0).sum()?;
//! let gradients = tape.backward(&y)?;
//! assert_eq!(gradients.get(&x).unwrap().to_vec::<f32>()?, [2.0, 4.0, 6.0]);
//! # Ok(()) }
//! ```

pub mod approx;
mod call;
mod code;
mod diff;
mod emit;
mod eval;
mod exec;
mod expr;
#[cfg(feature = "gpu")]
mod gpu;
pub mod graph;
#[cfg_attr(not(all(feature = "native", target_arch = "x86_64", any(unix, windows))), path = "native_absent.rs")]
mod native;
mod program;
pub mod random;
mod saved;
mod slices;
pub mod srgb;

pub use expr::{BoolExpr, Expr, IntExpr, vector};
pub use program::{Builder, IntTable, Mode, Table};
pub use slices::Slices;

use crate::tape::{self, Var};
use crate::{DType, Device, Error, Result, Tensor, profile};
use approx::Elementary;
use call::MapCall;
use code::Code;
use eval::Target;
use exec::Data;
use graph::Op;
use program::{OutputKind, Program};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// A differentiable computation per item. Cheap to clone; derivatives are made on first use and kept.
#[derive(Clone)]
pub struct Map(Arc<Inner>);

struct Inner {
    program: Program,
    compiled: Mutex<HashMap<Derivative, Arc<Compiled>>>,
    kept: Mutex<HashMap<KeptFor, Option<Arc<Kept>>>>,
}

/// Inputs whose gradients are wanted, and components per tensor of kept values.
type KeptFor = (Vec<bool>, usize);

/// A forward pass that keeps values, and the backward pass that takes them.
struct Kept {
    wanted: Vec<bool>,
    forward: Compiled,
    backward: Compiled,
}

/// Which derivative, for which inputs and outputs.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Derivative {
    Primal,
    Jvp(Vec<bool>),
    Vjp { given: Vec<bool>, wanted: Vec<bool> },
}

struct Compiled {
    program: Program,
    code: Code,
    native: native::Lazy,
    shader: LazyLock<Shader, Box<dyn FnOnce() -> Shader + Send>>,
}

/// WGSL with imports, and the key of its pipeline.
struct Shader {
    text: String,
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    key: String,
}

/// Numbers of a call that are the same for all items and have no derivative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallParams {
    /// Number of items; taken from the first item input when there is one.
    pub items: usize,
    /// Values of [`Builder::param`], in order.
    pub real: Vec<f64>,
    /// Values of [`Builder::int_param`], in order.
    pub int: Vec<i32>,
}

impl Map {
    /// Defines a map. `name` appears in profiles and error messages.
    pub fn new(name: &str, define: impl FnOnce(&mut Builder)) -> Self {
        let (builder, graph) = expr::with_graph(|| {
            let mut builder = Builder::default();
            define(&mut builder);
            builder
        });
        let program = builder.finish(name, graph);
        Self(Arc::new(Inner { program, compiled: Mutex::default(), kept: Mutex::default() }))
    }

    /// The map of this key, defined on first use: for families of maps (one per combination of options).
    pub fn cached(key: &str, define: impl FnOnce(&mut Builder)) -> Self {
        static MAPS: LazyLock<Mutex<HashMap<String, Map>>> = LazyLock::new(Mutex::default);
        if let Some(map) = MAPS.lock().unwrap().get(key) {
            return map.clone();
        }
        let map = Self::new(key, define);
        MAPS.lock().unwrap().insert(key.into(), map.clone());
        map
    }

    /// The name that was given.
    pub fn name(&self) -> &str {
        &self.0.program.name
    }

    /// Runs the map on recorded values without call parameters; see [`Map::apply_with`].
    pub fn apply(&self, inputs: &[&Var]) -> Result<Vec<Var>> {
        self.apply_with(inputs, CallParams::default())
    }

    /// Runs the map and records it.
    ///
    /// **Shapes**: item inputs hold `items · width` elements in any shape; uniform inputs `width`; tables a multiple of
    /// `width`. Item outputs are [items, width], sums [1, width], scattered outputs [rows, width].
    ///
    /// **Gradients**: exact derivatives of the definition; conditions, integers and `floor` have none.
    ///
    /// **Cost**: a recorded call keeps what its backward pass would take longest to compute again, some floats per item.
    pub fn apply_with(&self, inputs: &[&Var], params: CallParams) -> Result<Vec<Var>> {
        let wanted: Vec<bool> = inputs.iter().map(|v| v.is_recorded() && v.tensor().dtype().is_real()).collect();
        let device = inputs.first().map_or_else(Device::cpu, |v| v.tensor().device().clone());
        let kept = if wanted.contains(&true) { self.kept(wanted, &device) } else { None };
        let mut outputs = tape::apply(Arc::new(MapCall { map: self.clone(), params, kept }), inputs)?;
        outputs.truncate(self.0.program.outputs.len());
        Ok(outputs)
    }

    /// How to keep values for the gradients of the wanted inputs, if any should be.
    fn kept(&self, wanted: Vec<bool>, device: &Device) -> Option<Arc<Kept>> {
        let primal = &self.0.program;
        if wanted.len() != primal.inputs.len() {
            return None; // an error that the call will report
        }
        // Shaders have few bindings; on the CPU planes are faster.
        let width = if device.is_cpu() { 1 } else { 4 };
        let key = (wanted, width);
        let mut known = self.0.kept.lock().unwrap();
        if let Some(found) = known.get(&key) {
            return found.clone();
        }
        let given = vec![true; primal.outputs.iter().filter(|o| o.real).count()];
        let split = saved::split(primal, &diff::vjp(primal, &given, &key.0), width);
        let kept = split.filter(|s| s.forward.bindings().max(s.backward.bindings()) <= device.bindings()).map(|s| {
            let (forward, backward) = (Compiled::new(s.forward), Compiled::new(s.backward));
            Arc::new(Kept { wanted: key.0.clone(), forward, backward })
        });
        known.insert(key, kept.clone());
        kept
    }

    /// Runs the map on plain tensors.
    pub fn run(&self, inputs: &[&Tensor], params: &CallParams) -> Result<Vec<Tensor>> {
        self.compiled(Derivative::Primal).run(inputs, params)
    }

    fn compiled(&self, mode: Derivative) -> Arc<Compiled> {
        if let Some(found) = self.0.compiled.lock().unwrap().get(&mode) {
            return found.clone();
        }
        let program = match &mode {
            Derivative::Primal => self.0.program.clone(),
            Derivative::Jvp(active) => diff::jvp(&self.0.program, active),
            Derivative::Vjp { given, wanted } => diff::vjp(&self.0.program, given, wanted),
        };
        let compiled = Arc::new(Compiled::new(program));
        self.0.compiled.lock().unwrap().insert(mode, compiled.clone());
        compiled
    }

    /// WGSL of the map and of its full vjp and jvp, for validation without a GPU.
    pub fn shaders(&self) -> Vec<String> {
        self.sources().iter().map(|text| crate::wgsl::resolve(text)).collect()
    }

    /// [`Map::shaders`] for adapters with atomic float addition.
    pub fn native_shaders(&self) -> Vec<String> {
        self.sources().iter().map(|text| crate::wgsl::resolve_native(text)).collect()
    }

    fn sources(&self) -> Vec<String> {
        let p = &self.0.program;
        let real: Vec<bool> = p.inputs.iter().map(|i| i.real).collect();
        let given = vec![true; p.outputs.iter().filter(|o| o.real).count()];
        let modes = [Derivative::Primal, Derivative::Jvp(real.clone()), Derivative::Vjp { given, wanted: real }];
        modes.into_iter().map(|m| self.compiled(m).shader.text.clone()).collect()
    }
}

impl Compiled {
    fn new(program: Program) -> Self {
        let for_wgsl = program.clone();
        Compiled {
            code: code::compile(&program),
            native: Default::default(),
            shader: LazyLock::new(Box::new(move || {
                let text = emit::wgsl(&for_wgsl);
                Shader { key: format!("{} {:016x}", for_wgsl.name, crate::wgsl::hash(&text)), text }
            })),
            program,
        }
    }

    fn items(&self, inputs: &[&Tensor], params: &CallParams) -> Result<usize> {
        let p = &self.program;
        if inputs.len() != p.inputs.len() {
            return Err(Error::shape(
                &format!("the inputs of {}", p.name),
                &[inputs.len()],
                format!("{} tensors", p.inputs.len()),
            ));
        }
        let mut items = (params.items > 0).then_some(params.items);
        for (tensor, input) in inputs.iter().zip(&p.inputs) {
            let what = || format!("{} of {}", input.name, p.name);
            if tensor.dtype().is_real() != input.real {
                let expected = if input.real { "f32 or f64" } else { "u32 or i32" };
                return Err(Error::DType { tensor: what(), found: tensor.dtype().name(), expected: expected.into() });
            }
            let fits = match input.mode {
                Mode::Item => {
                    let n = *items.get_or_insert(tensor.len() / input.width);
                    tensor.len() == n * input.width
                }
                Mode::Uniform => tensor.len() == input.width,
                Mode::Table => tensor.len() % input.width == 0 && tensor.len() <= i32::MAX as usize,
            };
            if !fits {
                let rows = match input.mode {
                    Mode::Item => format!("{} items", items.unwrap_or(0)),
                    Mode::Uniform => "1 row".into(),
                    Mode::Table => "any rows".into(),
                };
                return Err(Error::shape(&what(), tensor.shape(), format!("{rows} of width {}", input.width)));
            }
        }
        Ok(items.unwrap_or(0))
    }

    fn run(&self, inputs: &[&Tensor], params: &CallParams) -> Result<Vec<Tensor>> {
        let items = self.items(inputs, params)?;
        let device = inputs.first().map_or_else(Device::cpu, |t| t.device().clone());
        if inputs.iter().any(|t| *t.device() != device) {
            return Err(Error::MixedDevices { operator: self.program.name.clone() });
        }
        let mut real = inputs.iter().map(|t| t.dtype()).filter(|d| d.is_real());
        let dtype = real.next().unwrap_or(DType::F32);
        if let Some(other) = real.find(|d| *d != dtype) {
            return Err(Error::DType {
                tensor: format!("an input of {}", self.program.name),
                found: other.name(),
                expected: dtype.name().into(),
            });
        }
        if let Some(sources) = self.copied_inputs() {
            return sources.into_iter().map(|k| inputs[k].reshape(&[items, self.program.inputs[k].width])).collect();
        }
        if !device.is_cpu() {
            #[cfg(feature = "gpu")]
            return self.run_gpu(&device, inputs, params, items);
        }
        match dtype {
            DType::F64 => self.run_cpu::<f64>(inputs, params, items),
            _ => self.run_cpu::<f32>(inputs, params, items),
        }
    }

    /// Where every output is an input as it is (the gradients of a sum, say): which.
    fn copied_inputs(&self) -> Option<Vec<usize>> {
        let p = &self.program;
        let source = |output: &program::Output| {
            let OutputKind::Item(values) = &output.kind else { return None };
            let first = match p.graph.node(values[0]).op {
                Op::Load { input, .. } | Op::LoadInt { input, .. } => input,
                _ => return None,
            };
            let in_order = (0u16..).zip(values).all(|(c, &v)| match p.graph.node(v).op {
                Op::Load { input, component } | Op::LoadInt { input, component } => input == first && component == c,
                _ => false,
            });
            let input = &p.inputs[first as usize];
            (in_order && input.mode == Mode::Item && input.width == output.width).then_some(first as usize)
        };
        p.outputs.iter().map(source).collect()
    }

    fn output_shape(&self, k: usize, inputs: &[&Tensor], items: usize) -> [usize; 2] {
        let output = &self.program.outputs[k];
        let rows = match output.kind {
            OutputKind::Item(_) => items,
            OutputKind::Sum(_) => 1,
            OutputKind::Scatter { like, .. } => inputs[like].len() / self.program.inputs[like].width,
        };
        [rows, output.width]
    }

    fn run_cpu<R: Elementary>(&self, inputs: &[&Tensor], params: &CallParams, items: usize) -> Result<Vec<Tensor>> {
        let p = &self.program;
        let mut outputs = (0..p.outputs.len())
            .map(|k| {
                let dtype = if p.outputs[k].real { R::DTYPE } else { DType::I32 };
                Tensor::uninit(&Device::cpu(), dtype, &self.output_shape(k, inputs, items))
            })
            .collect::<Result<Vec<_>>>()?;
        let data = Data {
            real: inputs.iter().map(|t| t.as_slice::<R>().unwrap_or(&[])).collect(),
            int: inputs
                .iter()
                .map(|t| t.as_slice::<i32>().or_else(|| t.as_slice::<u32>().map(bytemuck::cast_slice)).unwrap_or(&[]))
                .collect(),
            widths: p.inputs.iter().map(|i| i.width).collect(),
            rows: inputs.iter().zip(&p.inputs).map(|(t, i)| t.len() / i.width).collect(),
            params: params.real.iter().map(|&x| R::from_f64(x)).collect(),
            int_params: params.int.clone(),
        };
        let bytes =
            inputs.iter().map(|t| t.byte_len()).sum::<usize>() + outputs.iter().map(|t| t.byte_len()).sum::<usize>();
        profile::record(&p.name, bytes, || {
            let mut targets: Vec<Target<R>> = outputs
                .iter_mut()
                .map(|t| match t.dtype() {
                    DType::I32 => Target::Int(t.as_slice_mut().expect("a new CPU tensor")),
                    _ => Target::Real(t.as_slice_mut().expect("a new CPU tensor")),
                })
                .collect();
            let native = self.native.get(&self.code, &data, items);
            eval::evaluate(&self.code, native, &data, (items, eval::shared_chunk(&self.code, items)), &mut targets);
            Ok(())
        })?;
        Ok(outputs)
    }
}
