//! The network of OReX: one small network that improves the field again and again.

use lumigrad_core::ops::random::uniform;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Error, Jet, Mlp, Omega, Parameter, Precision, Result, arrays, init};
use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_2, PI};
use std::sync::Arc;

/// Key of the facts in a file's header.
const KEY: &str = "lumigrad.orex";
/// Frequencies per coordinate, learnt; they start at π·2ᵏ.
const FREQUENCIES: usize = 5;
/// Numbers that an iteration hands to the next beside the field.
const STATE: usize = 32;
/// Numbers that tell an iteration from the others.
const MARK: usize = 4;
/// Times that the network is applied.
const ITERATIONS: usize = 10;
/// Hidden layers and their units.
const DEPTH: usize = 6;
const WIDTH: usize = 64;

/// Parameters, and facts by name.
pub type Trained = (Vec<Tensor>, BTreeMap<String, String>);

/// A residual network (Sawdayee et al. 2023): waves of the point, the field so far, a state and a mark of the iteration go
/// in; what is added to the field and the next state come out.
pub struct Residual {
    network: Mlp,
    waves: Mlp,
}

impl Residual {
    pub fn new() -> Self {
        let width = 6 * FREQUENCIES;
        let mut widths = vec![3 + width + 1 + STATE + MARK];
        widths.extend([WIDTH; DEPTH]);
        widths.push(1 + STATE);
        let plain = |widths, activation, output| Mlp {
            widths,
            activation,
            output,
            bias: true,
            skips: vec![],
            precision: Precision::F32,
        };
        let identity = Activation::Identity;
        Self {
            network: plain(widths, Activation::LeakyRelu, identity),
            waves: plain(vec![3, width], identity, Activation::Sine),
        }
    }

    /// Parameters at their start: of the waves, the marks, the network.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        let n = 3 * FREQUENCIES;
        // Columns: sines, then cosines, of each coordinate at each frequency.
        let frequency = |row: usize, column: usize| {
            let wave = column % n;
            if wave % 3 == row { PI * (1u32 << (wave / 3)) as f64 } else { 0.0 }
        };
        let waves: Vec<f64> = (0..3 * 2 * n).map(|k| frequency(k / (2 * n), k % (2 * n))).collect();
        let phases = (0..2 * n).map(|k| if k < n { 0.0 } else { FRAC_PI_2 }).collect();
        let marks = (0..ITERATIONS * MARK).map(|k| uniform(!seed, k as u64) - 0.5).collect();
        let mut arrays = vec![
            ("waves.weight".to_owned(), vec![3, 2 * n], waves),
            ("waves.bias".to_owned(), vec![2 * n], phases),
            ("marks".to_owned(), vec![ITERATIONS, MARK], marks),
        ];
        let network = init::start(&self.network, Omega::default(), seed).into_iter().zip(self.network.shapes());
        arrays.extend(network.map(|((values, _), (name, shape))| (name, shape, values)));
        let last = arrays.len() - 2;
        // Small first answers: ten of them are added.
        arrays[last].2.iter_mut().for_each(|x| *x *= 0.1);
        arrays
            .into_iter()
            .map(|(name, shape, values)| {
                let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
                Ok(Parameter { name, value: Tensor::from_slice(device, &values, &shape)?, rate: 1.0, sparse: false })
            })
            .collect()
    }

    /// The field after each iteration, at points [N, 3].
    pub fn jets(&self, parameters: &[Var], points: &Var, derivatives: &Arc<Derivatives>) -> Result<Vec<Jet>> {
        let (waves, rest) = parameters.split_at(2);
        let (marks, network) = rest.split_at(1);
        let seed = Jet::seed(points, derivatives.clone())?;
        let encoded = Jet::join(&[&seed, &self.waves.forward(&seed, waves)?])?;
        let n = points.shape()[0];
        let plain = |value: Var| {
            let mut streams = vec![None; derivatives.n_streams()];
            streams[0] = Some(value);
            Jet::new(derivatives.clone(), streams)
        };
        let zeros = |c: usize| Ok::<_, Error>(plain(Tensor::zeros(points.device(), points.dtype(), &[n, c])?.into()));
        let (mut field, mut state) = (zeros(1)?, zeros(STATE)?);
        let mut found = vec![];
        for k in 0..ITERATIONS {
            let mark = marks[0].slice(0, k, k + 1)?.broadcast_to(&[n, MARK])?;
            let given = Jet::join(&[&encoded, &field, &state, &plain(mark)])?;
            let made = self.network.forward(&given, network)?;
            field = field.plus(&part(&made, 0, 1)?)?;
            state = part(&made, 1, 1 + STATE)?;
            found.push(field.clone());
        }
        Ok(found)
    }

    /// The field after the last iteration, at points [N, 3].
    pub fn jet(&self, parameters: &[Var], points: &Var, derivatives: &Arc<Derivatives>) -> Result<Jet> {
        Ok(self.jets(parameters, points, derivatives)?.pop().expect("there are iterations"))
    }

    /// The file of its parameters, with facts in the header.
    pub fn to_bytes(&self, values: &[Tensor], facts: &BTreeMap<String, String>) -> Result<Vec<u8>> {
        arrays::to_bytes(self.shapes()?, values, (KEY, serde_json::json!(facts).to_string()))
    }

    /// Parameters and facts of a file; `None` where it is of another network.
    pub fn read(&self, bytes: &[u8], device: &Device) -> Result<Option<Trained>> {
        let Some(text) = arrays::text(bytes, KEY)? else { return Ok(None) };
        let facts = serde_json::from_str(&text).map_err(|e| Error::File(format!("not a whole field: {e}")))?;
        Ok(Some((arrays::from_bytes(bytes, self.shapes()?, device)?, facts)))
    }

    fn shapes(&self) -> Result<arrays::Shapes> {
        Ok(self.start(0, &Device::cpu())?.into_iter().map(|p| (p.name, p.value.shape().to_vec())).collect())
    }
}

/// Some components of a jet.
fn part(jet: &Jet, from: usize, to: usize) -> Result<Jet> {
    let streams = jet.streams().iter().map(|s| s.as_ref().map(|s| s.slice(1, from, to)).transpose());
    Ok(Jet::new(jet.derivatives().clone(), streams.collect::<lumigrad_core::Result<_>>()?))
}
