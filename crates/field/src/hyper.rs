//! Hypernetworks: a network that makes the parameters of a field from a code.

use crate::file::Description;
use crate::{Activation, Derivatives, Error, Field, Jet, Mlp, Omega, Parameter, Precision, Result, init};
use lumigrad_core::{Device, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A family of fields: a code for each member, a network that all share, and for each array of a member's parameters one
/// linear layer that makes it (Sitzmann et al. 2020, supplement §9).
///
/// The linear layers start near zero and their biases at a field's usual start, so that all members start as such.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hyper {
    /// What is made.
    pub field: Field,
    /// Members.
    pub n_codes: usize,
    /// Numbers of a code.
    pub code: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
}

/// How much smaller than usual the linear layers start.
const SMALL: f64 = 0.01;
/// Deviation of codes at their start.
const CODE: f64 = 0.1;
const MOST_PARAMETERS: usize = 1 << 28;

impl Hyper {
    fn trunk(&self) -> Mlp {
        let mut widths = vec![self.code];
        widths.extend(vec![self.width; self.depth]);
        let (activation, output) = (Activation::Relu, Activation::Relu);
        Mlp { widths, activation, output, bias: true, skips: vec![], precision: Precision::F32 }
    }

    /// Checks the description.
    ///
    /// # Errors
    /// What no family has.
    pub fn check(&self) -> Result<()> {
        self.field.check()?;
        let sizes = [self.n_codes, self.code, self.width, self.depth];
        let made: usize = self.field.shapes().iter().map(|(_, s)| s.iter().product::<usize>()).sum();
        let all = made.saturating_mul(self.width + 1).saturating_add(self.n_codes.saturating_mul(self.code));
        if sizes.contains(&0) || self.depth > 32 || self.width > 1 << 12 || all > MOST_PARAMETERS {
            return Err(Error::Description(format!(
                "{} codes of {} numbers, {} layers of {} units that make {made} parameters: expected at least 1 of each, and \
                 at most {MOST_PARAMETERS} parameters in all",
                self.n_codes, self.code, self.depth, self.width
            )));
        }
        Ok(())
    }

    /// Names and shapes of its parameters: codes, the shared network, and weight and bias for each array that is made.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = vec![("codes".to_owned(), vec![self.n_codes, self.code])];
        shapes.extend(self.trunk().shapes().into_iter().map(|(name, shape)| (format!("trunk.{name}"), shape)));
        for (name, shape) in self.field.shapes() {
            let n = shape.iter().product();
            shapes.push((format!("heads.{name}.weight"), vec![self.width, n]));
            shapes.push((format!("heads.{name}.bias"), vec![n]));
        }
        shapes
    }

    /// Parameters at their start.
    ///
    /// # Errors
    /// A description that makes no family; memory.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        self.check()?;
        let draw = |n: usize, stream: u64| -> Vec<f64> {
            (0..n as u64).map(|k| lumigrad_core::ops::random::normal(seed ^ stream, k)).collect()
        };
        let mut start = vec![(draw(self.n_codes * self.code, 1).into_iter().map(|x| CODE * x).collect(), 1.0)];
        start.extend(init::start(&self.trunk(), Omega::default(), seed ^ 2));
        let deviation = SMALL * (2.0 / self.width as f64).sqrt();
        for (k, parameter) in self.field.start(seed ^ 3, device)?.into_iter().enumerate() {
            let bias = parameter.value.to_f64_vec()?;
            let weight = draw(self.width * bias.len(), 4 + k as u64).into_iter().map(|x| deviation * x).collect();
            // Arrays of sine layers have rates of their own: a step of what makes them is as large.
            start.extend([(weight, parameter.rate), (bias, parameter.rate)]);
        }
        let arrays = start.into_iter().zip(self.shapes());
        arrays
            .map(|((values, rate), array): ((Vec<f64>, f64), _)| Parameter::new(array, &values, rate, device))
            .collect()
    }

    /// The codes [N, L].
    pub fn codes<'a>(&self, parameters: &'a [Var]) -> &'a Var {
        &parameters[0]
    }

    /// The parameters of the member with a code [1, L], as [`Field::shapes`] says.
    ///
    /// **Gradients**: to the code and all parameters.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn member(&self, parameters: &[Var], code: &Var) -> Result<Vec<Var>> {
        let n = self.trunk().shapes().len();
        let shapes = self.field.shapes();
        if parameters.len() != 1 + n + 2 * shapes.len() {
            let expected = format!("{} arrays", 1 + n + 2 * shapes.len());
            return Err(lumigrad_core::Error::shape("the parameters", &[parameters.len()], expected).into());
        }
        let input = Jet::new(Arc::new(Derivatives::none()), vec![Some(code.clone())]);
        let hidden = self.trunk().forward(&input, &parameters[1..=n])?;
        let heads = parameters[1 + n..].chunks_exact(2).zip(&shapes);
        heads.map(|(head, (_, shape))| Ok(hidden.value().linear(&head[0], Some(&head[1]))?.reshape(shape)?)).collect()
    }
}

/// What keeps codes near zero and fields smooth: 0.1·mean z² + 100·mean w² over all parameters that are made (ibid.; there
/// the code's term is a sum, whose weight depends on the length of the code).
///
/// # Errors
/// No parameters.
pub fn prior(code: &Var, member: &[Var]) -> Result<Var> {
    let mut sum = code.square()?.mean()?.scale(0.1)?;
    let n: usize = member.iter().map(Var::len).sum();
    for array in member {
        sum = sum.add(&array.square()?.sum()?.scale(100.0 / n as f64)?)?;
    }
    Ok(sum)
}

impl Description for Hyper {
    const KEY: &'static str = "lumigrad.hyper";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.shapes()
    }

    fn check(&self) -> Result<()> {
        self.check()
    }
}
