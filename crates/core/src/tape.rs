//! Operators, and the tape that records them.

use crate::{DType, Device, Error, Result, Tensor, ops};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// One differentiable step, the same for both devices.
///
/// Implement it to define your own; see `crates/lumigrad/examples/custom_operator.rs`.
pub trait Operator: Send + Sync {
    /// Name for profiles and messages.
    fn name(&self) -> &str;

    /// Computes the outputs.
    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>>;

    /// Reverse mode: the gradient of each input with `wanted[k]`, given the outputs' cotangents (`None` = zero).
    /// Gradients have their input's shape; `None` = zero.
    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>>;

    /// Forward mode: the tangent of each output, given the inputs' tangents (`None` = zero).
    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>>;
}

/// A tensor that may be recorded on a tape.
#[derive(Clone)]
pub struct Var {
    tensor: Tensor,
    record: Option<(Tape, usize)>,
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}{}", self.tensor, if self.record.is_some() { " (recorded)" } else { "" })
    }
}

impl From<Tensor> for Var {
    fn from(tensor: Tensor) -> Self {
        Var { tensor, record: None }
    }
}

impl Var {
    /// A value without derivative.
    pub fn constant(tensor: Tensor) -> Self {
        tensor.into()
    }

    /// The value.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Sizes of its dimensions.
    pub fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.tensor.len()
    }

    /// True when a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.tensor.is_empty()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.tensor.dtype()
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        self.tensor.device()
    }

    /// True when derivatives can flow to it.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Its number on a tape, where it is recorded there.
    pub(crate) fn id_on(&self, tape: &Tape) -> Option<usize> {
        self.record.as_ref().filter(|(own, _)| Arc::ptr_eq(&own.0, &tape.0)).map(|(_, id)| *id)
    }

    /// The same value, through which no derivative flows.
    pub fn stop_gradient(&self) -> Self {
        self.tensor.clone().into()
    }
}

pub(crate) struct Node {
    pub(crate) operator: Arc<dyn Operator>,
    pub(crate) inputs: Vec<Tensor>,
    input_ids: Vec<Option<usize>>,
    pub(crate) outputs: Vec<Tensor>,
    output_ids: Vec<usize>,
}

#[derive(Default)]
struct Record {
    nodes: Vec<Arc<Node>>,
    values: usize,
}

/// A record of operators. Cheap to clone; lives as long as a value recorded on it.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Record>>);

/// Gradients by variable.
#[derive(Default)]
pub struct Gradients(HashMap<usize, Tensor>);

impl Gradients {
    /// The gradient for a variable; `None` when the result does not depend on it.
    pub fn get(&self, variable: &Var) -> Option<&Tensor> {
        self.0.get(&variable.record.as_ref()?.1)
    }

    /// Takes the gradient for a variable out.
    pub fn take(&mut self, variable: &Var) -> Option<Tensor> {
        self.0.remove(&variable.record.as_ref()?.1)
    }
}

/// Runs an operator and records it when an input is recorded.
pub fn apply(operator: Arc<dyn Operator>, inputs: &[&Var]) -> Result<Vec<Var>> {
    let mut tape: Option<&Tape> = None;
    for (other, _) in inputs.iter().filter_map(|v| v.record.as_ref()) {
        if tape.is_some_and(|t| !Arc::ptr_eq(&t.0, &other.0)) {
            return Err(Error::MixedTapes { operator: operator.name().into() });
        }
        tape = Some(other);
    }
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.tensor.clone()).collect();
    let outputs = operator.forward(&tensors)?;
    let Some(tape) = tape else {
        return Ok(outputs.into_iter().map(Var::from).collect());
    };
    let mut record = tape.0.lock().unwrap();
    let first = record.values;
    record.values += outputs.len();
    let output_ids: Vec<usize> = (first..record.values).collect();
    record.nodes.push(Arc::new(Node {
        operator,
        inputs: tensors,
        input_ids: inputs.iter().map(|v| v.record.as_ref().map(|(_, id)| *id)).collect(),
        outputs: outputs.clone(),
        output_ids: output_ids.clone(),
    }));
    Ok(outputs
        .into_iter()
        .zip(output_ids)
        .map(|(tensor, id)| {
            let record = tensor.dtype().is_real().then(|| (tape.clone(), id));
            Var { tensor, record }
        })
        .collect())
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// A recorded value that derivatives can be taken by.
    pub fn variable(&self, tensor: Tensor) -> Var {
        let mut record = self.0.lock().unwrap();
        record.values += 1;
        Var { tensor, record: Some((self.clone(), record.values - 1)) }
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.0.lock().unwrap().nodes.clone()
    }

    /// Gradients of a one-element result by every variable that it depends on.
    pub fn backward(&self, loss: &Var) -> Result<Gradients> {
        if loss.len() != 1 {
            return Err(Error::shape("the loss", loss.shape(), "one element; use backward_with for others"));
        }
        self.backward_with(loss, Tensor::full(loss.device(), loss.dtype(), loss.shape(), 1.0)?)
    }

    /// Jᵀ·cotangent: gradients of Σ cotangent · result by every variable.
    pub fn backward_with(&self, result: &Var, cotangent: Tensor) -> Result<Gradients> {
        let mut gradients = Gradients::default();
        if let Some((tape, id)) = &result.record {
            if !Arc::ptr_eq(&tape.0, &self.0) {
                return Err(Error::MixedTapes { operator: "backward".into() });
            }
            gradients.0 = sweep_back(&self.nodes(), *id, cotangent)?;
        }
        Ok(gradients)
    }

    /// The Jacobian of `result` by `variables` at the recorded point. It can be applied many times; the forward pass is
    /// not run again.
    pub fn linearize(&self, result: &Var, variables: &[&Var]) -> Result<Jacobian> {
        let id = |v: &Var| v.id_on(self).ok_or_else(|| Error::MixedTapes { operator: "linearize".into() });
        Ok(Jacobian {
            nodes: self.nodes(),
            result: result.tensor.clone(),
            result_id: id(result)?,
            variables: variables.iter().map(|v| Ok((id(v)?, v.tensor.clone()))).collect::<Result<_>>()?,
        })
    }
}

fn sweep_back(nodes: &[Arc<Node>], id: usize, cotangent: Tensor) -> Result<HashMap<usize, Tensor>> {
    sweep_back_with(nodes, id, cotangent, &mut |_, _, _| Ok(()))
}

/// A node, its outputs' cotangents and its inputs' gradients, as the sweep passes it.
type See<'a> = dyn FnMut(&Arc<Node>, &[Option<Tensor>], &[Option<Tensor>]) -> Result<()> + 'a;

pub(crate) fn sweep_back_with(
    nodes: &[Arc<Node>],
    id: usize,
    cotangent: Tensor,
    see: &mut See<'_>,
) -> Result<HashMap<usize, Tensor>> {
    let mut adjoints = HashMap::from([(id, cotangent)]);
    for node in nodes.iter().rev() {
        if !node.output_ids.iter().any(|id| adjoints.contains_key(id)) {
            continue;
        }
        // An adjoint is complete when its producer is reached, and not needed after.
        let cotangents: Vec<Option<Tensor>> = node.output_ids.iter().map(|id| adjoints.remove(id)).collect();
        let wanted: Vec<bool> = node.input_ids.iter().map(Option::is_some).collect();
        let gradients = node.operator.vjp(&node.inputs, &node.outputs, &cotangents, &wanted)?;
        see(node, &cotangents, &gradients)?;
        for ((gradient, id), input) in gradients.into_iter().zip(&node.input_ids).zip(&node.inputs) {
            let (Some(gradient), Some(id)) = (gradient, id) else {
                continue;
            };
            debug_assert_eq!(gradient.shape(), input.shape(), "gradient of {}", node.operator.name());
            let sum = match adjoints.remove(id) {
                None => gradient,
                Some(other) => ops::add_tensors(&other, &gradient)?,
            };
            adjoints.insert(*id, sum);
        }
    }
    Ok(adjoints)
}

/// The Jacobian J of a recorded result by chosen variables, applied without forming it.
pub struct Jacobian {
    nodes: Vec<Arc<Node>>,
    result: Tensor,
    result_id: usize,
    variables: Vec<(usize, Tensor)>,
}

impl Jacobian {
    /// The result at the recorded point.
    pub fn value(&self) -> &Tensor {
        &self.result
    }

    /// J·v: `tangents[k]` belongs to variable k.
    pub fn apply(&self, tangents: &[Tensor]) -> Result<Tensor> {
        self.push(self.variables.iter().zip(tangents).map(|((id, _), t)| (*id, t.clone())).collect())
    }

    /// J·v for the tangents of some variables, by id; those of the others are zero.
    fn push(&self, mut known: HashMap<usize, Tensor>) -> Result<Tensor> {
        for node in &self.nodes {
            let given: Vec<Option<Tensor>> =
                node.input_ids.iter().map(|id| id.and_then(|id| known.get(&id).cloned())).collect();
            if given.iter().all(Option::is_none) {
                continue;
            }
            let results = node.operator.jvp(&node.inputs, &node.outputs, &given)?;
            for (id, tangent) in node.output_ids.iter().zip(results) {
                if let Some(tangent) = tangent {
                    known.insert(*id, tangent);
                }
            }
        }
        match known.remove(&self.result_id) {
            Some(t) => t.reshape(self.result.shape()),
            None => Tensor::zeros(self.result.device(), self.result.dtype(), self.result.shape()),
        }
    }

    /// Jᵀ·u: one tensor per variable, zeros where the result does not depend on it.
    pub fn apply_transpose(&self, cotangent: &Tensor) -> Result<Vec<Tensor>> {
        let mut adjoints = sweep_back(&self.nodes, self.result_id, cotangent.clone())?;
        self.variables
            .iter()
            .map(|(id, tensor)| match adjoints.remove(id) {
                Some(g) => Ok(g),
                None => Tensor::zeros(tensor.device(), tensor.dtype(), tensor.shape()),
            })
            .collect()
    }

    /// diag(JᵀJ), one tensor per variable.
    ///
    /// Exact for variables of at most `probes` elements, from one column of J each. For larger ones an unbiased estimate:
    /// the mean of (Jᵀz)² over `probes` vectors z of random signs. Its relative standard deviation is at most
    /// √(2/probes), and 0 for elements that influence a single element of the result.
    /// **Cost**: an application of J per element of a small variable, `probes` of Jᵀ where there are large ones.
    pub fn diagonal(&self, probes: usize, seed: u64) -> Result<Vec<Tensor>> {
        let probes = probes.max(1);
        let small = |variable: &(usize, Tensor)| variable.1.len() <= probes;
        let estimate = if self.variables.iter().all(small) { vec![] } else { self.estimated_diagonal(probes, seed)? };
        self.variables
            .iter()
            .enumerate()
            .map(|(k, variable)| match small(variable) {
                true => self.squared_columns(variable.0, &variable.1),
                false => Ok(estimate[k].clone()),
            })
            .collect()
    }

    /// Squared lengths of the columns of J that belong to a variable.
    fn squared_columns(&self, id: usize, variable: &Tensor) -> Result<Tensor> {
        let mut squares = vec![];
        for element in 0..variable.len() {
            let unit: Vec<f64> = (0..variable.len()).map(|k| (k == element) as u8 as f64).collect();
            let unit = Tensor::from_slice(&Device::cpu(), &unit, variable.shape())?;
            let unit = unit.cast(variable.dtype())?.to_device(variable.device())?;
            let column = self.push(HashMap::from([(id, unit)]))?;
            squares.push(Var::from(column).square()?.sum()?.tensor().reshape(&[1])?);
        }
        match squares.is_empty() {
            true => Ok(variable.clone()),
            false => ops::concat_tensors(&squares.iter().collect::<Vec<_>>(), 0)?.reshape(variable.shape()),
        }
    }

    fn estimated_diagonal(&self, probes: usize, seed: u64) -> Result<Vec<Tensor>> {
        let mut total: Option<Vec<Tensor>> = None;
        for probe in 0..probes {
            let signs = ops::random_signs(&self.result, seed.wrapping_add(probe as u64))?;
            let squares = self
                .apply_transpose(&signs)?
                .iter()
                .map(|g| ops::multiply_tensors(g, g))
                .collect::<Result<Vec<_>>>()?;
            total = Some(match total {
                None => squares,
                Some(t) => t.iter().zip(&squares).map(|(a, b)| ops::add_tensors(a, b)).collect::<Result<_>>()?,
            });
        }
        total.unwrap_or_default().iter().map(|t| ops::scale_tensor(t, 1.0 / probes as f64)).collect()
    }
}

type Recomputed = Arc<dyn Fn(&[Var]) -> Result<Vec<Var>> + Send + Sync>;

struct Checkpoint(Recomputed);

impl Checkpoint {
    fn rerun(&self, inputs: &[Tensor]) -> Result<(Tape, Vec<Var>, Vec<Var>)> {
        let tape = Tape::new();
        let variables: Vec<Var> = inputs
            .iter()
            .map(|t| if t.dtype().is_real() { tape.variable(t.clone()) } else { t.clone().into() })
            .collect();
        let outputs = (self.0)(&variables)?;
        Ok((tape, variables, outputs))
    }
}

impl Operator for Checkpoint {
    fn name(&self) -> &str {
        "checkpoint"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let constants: Vec<Var> = inputs.iter().cloned().map(Var::from).collect();
        Ok((self.0)(&constants)?.into_iter().map(|v| v.tensor).collect())
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let (tape, variables, outputs) = self.rerun(inputs)?;
        let mut sums: Vec<Option<Tensor>> = vec![None; inputs.len()];
        for (output, cotangent) in outputs.iter().zip(cotangents) {
            let Some(cotangent) = cotangent else { continue };
            let mut gradients = tape.backward_with(output, cotangent.clone())?;
            for (k, variable) in variables.iter().enumerate().filter(|(k, _)| wanted[*k]) {
                if let Some(g) = gradients.take(variable) {
                    sums[k] = Some(match sums[k].take() {
                        None => g,
                        Some(s) => ops::add_tensors(&s, &g)?,
                    });
                }
            }
        }
        Ok(sums)
    }

    fn jvp(&self, inputs: &[Tensor], _outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let (tape, variables, outputs) = self.rerun(inputs)?;
        let moving: Vec<(&Var, &Tensor)> =
            variables.iter().zip(tangents).filter_map(|(v, t)| t.as_ref().map(|t| (v, t))).collect();
        let by: Vec<&Var> = moving.iter().map(|(v, _)| *v).collect();
        let along: Vec<Tensor> = moving.iter().map(|(_, t)| (*t).clone()).collect();
        outputs
            .iter()
            .map(|o| match o.is_recorded() {
                true => tape.linearize(o, &by)?.apply(&along).map(Some),
                false => Ok(None),
            })
            .collect()
    }
}

/// Runs `f` without keeping what it records; its derivatives run it again.
///
/// **Gradients**: those of `f`, to `inputs` only: recorded values that `f` captures must be passed as inputs.
/// **Cost**: the tape keeps inputs and outputs instead of everything between; each derivative runs `f` once more. A long
/// computation of n steps kept in √n checkpoints needs memory for about 2√n of them.
/// **Errors**: those of `f`, also while derivatives are taken.
///
/// ```
/// use lumigrad_core::{Device, Tape, Tensor, checkpoint};
/// # fn main() -> lumigrad_core::Result<()> {
/// let tape = Tape::new();
/// let start = tape.variable(Tensor::from_slice(&Device::cpu(), &[0.5, 1.0], &[2])?);
/// // Twelve steps of x ← sin x, of which the tape keeps every fourth.
/// let mut x = start.clone();
/// for _ in 0..3 {
///     x = checkpoint(&[&x], |v| {
///         let mut x = v[0].clone();
///         for _ in 0..4 {
///             x = x.sin()?;
///         }
///         Ok(vec![x])
///     })?
///     .remove(0);
/// }
/// let gradient = tape.backward(&x.sum()?)?.take(&start).unwrap().to_vec::<f64>()?;
/// // The chain rule by hand: the product of cos x over all steps.
/// let (mut y, mut product) = (0.5f64, 1.0);
/// for _ in 0..12 {
///     (y, product) = (y.sin(), product * y.cos());
/// }
/// assert!((gradient[0] - product).abs() < 1e-12);
/// # Ok(()) }
/// ```
pub fn checkpoint(inputs: &[&Var], f: impl Fn(&[Var]) -> Result<Vec<Var>> + Send + Sync + 'static) -> Result<Vec<Var>> {
    apply(Arc::new(Checkpoint(Arc::new(f))), inputs)
}
