//! Jets: values with derivatives by the input, which travel through a network together.
//!
//! Every stream is a recorded value, so that a loss of any of them reaches the parameters by one backward pass. A linear
//! layer applies its weights to all streams and its bias to the value; an activation φ makes, of z and its derivatives,
//! φ(z), φ'(z)·zₖ and φ'(z)·zₖₗ + φ''(z)·zₖ·zₗ.

use crate::{Activation, Derivatives, Error, Result, Second, Stream};
use lumigrad_core::map::Expr;
use lumigrad_core::{Map, Tensor, Var};
use std::fmt::Write;
use std::sync::Arc;

/// A value [N, C] and derivatives of it by the input, each [N, C]. A stream that is zero wherever it exists is absent.
#[derive(Clone, Debug)]
pub struct Jet {
    derivatives: Arc<Derivatives>,
    streams: Vec<Option<Var>>,
}

impl Jet {
    /// Of streams in the order of [`Derivatives::streams`]; the first, the value, is there.
    pub fn new(derivatives: Arc<Derivatives>, streams: Vec<Option<Var>>) -> Self {
        debug_assert!(streams.len() == derivatives.n_streams() && streams[0].is_some());
        Self { derivatives, streams }
    }

    /// The input itself, points [N, d]: its gradient is the identity.
    pub fn seed(points: &Var, derivatives: Arc<Derivatives>) -> Result<Self> {
        let &[n, d] = points.shape() else {
            return Err(lumigrad_core::Error::shape("points", points.shape(), "[N, d]").into());
        };
        let unit = |axis: usize| -> Result<Var> {
            let row: Vec<f64> = (0..d).map(|k| (k == axis) as u8 as f64).collect();
            let row = Tensor::from_slice(&lumigrad_core::Device::cpu(), &row, &[1, d])?.cast(points.dtype())?;
            Ok(Var::from(row.to_device(points.device())?).broadcast_to(&[n, d])?)
        };
        let streams = derivatives.streams().into_iter().map(|s| match s {
            Stream::Value => Ok(Some(points.clone())),
            Stream::First(k) if k < d => unit(k).map(Some),
            Stream::First(k) => Err(Error::Description(format!("derivative {k} of points with {d} coordinates"))),
            _ => Ok(None),
        });
        let streams = streams.collect::<Result<_>>()?;
        Ok(Self { derivatives, streams })
    }

    /// Which derivatives it carries.
    pub fn derivatives(&self) -> &Arc<Derivatives> {
        &self.derivatives
    }

    /// All streams, in the order of [`Derivatives::streams`].
    pub fn streams(&self) -> &[Option<Var>] {
        &self.streams
    }

    /// The value [N, C].
    pub fn value(&self) -> &Var {
        self.streams[0].as_ref().expect("a jet has a value")
    }

    /// Points.
    pub fn n(&self) -> usize {
        self.value().shape()[0]
    }

    /// Components.
    pub fn channels(&self) -> usize {
        self.value().shape()[1]
    }

    /// The derivative along an axis, [N, C].
    ///
    /// # Errors
    /// It was not asked for.
    pub fn first(&self, axis: usize) -> Result<Var> {
        match self.stream(Stream::First(axis))? {
            Some(v) => Ok(v.clone()),
            None => self.zeros(),
        }
    }

    /// The second derivative along two axes, [N, C].
    ///
    /// # Errors
    /// It was not asked for, or it is zero wherever it exists.
    pub fn second(&self, k: usize, l: usize) -> Result<Var> {
        self.curved(Stream::Pair(k.min(l), k.max(l)))
    }

    /// The Laplacian, [N, C]; the sum of second derivatives where those travel.
    ///
    /// # Errors
    /// It was not asked for, or it is zero wherever it exists.
    pub fn laplacian(&self) -> Result<Var> {
        if self.derivatives.second() == &Second::Laplacian {
            return self.curved(Stream::Laplacian);
        }
        let mut sum: Option<Var> = None;
        for &k in self.derivatives.first() {
            let own = self.second(k, k)?;
            sum = Some(match sum {
                None => own,
                Some(s) => s.add(&own)?,
            });
        }
        sum.ok_or_else(|| Error::NotCarried { wanted: "the Laplacian".into() })
    }

    fn stream(&self, stream: Stream) -> Result<Option<&Var>> {
        match self.derivatives.position(stream) {
            Some(k) => Ok(self.streams[k].as_ref()),
            None => Err(Error::NotCarried { wanted: named(stream) }),
        }
    }

    fn curved(&self, stream: Stream) -> Result<Var> {
        let found = self.stream(stream)?.cloned();
        found.ok_or_else(|| Error::Flat { wanted: named(stream) })
    }

    fn zeros(&self) -> Result<Var> {
        let v = self.value();
        Ok(Tensor::zeros(v.device(), v.dtype(), v.shape())?.into())
    }

    /// The same with derivatives by coordinates of which the input has `per_unit[k]` in one along axis k.
    pub fn in_units(&self, per_unit: &[f64]) -> Result<Jet> {
        let factor = |s: Stream| match s {
            Stream::Value => Some(1.0),
            Stream::First(k) => per_unit.get(k).copied(),
            Stream::Pair(k, l) => Some(per_unit.get(k)? * per_unit.get(l)?),
            // A sum of different units has none.
            Stream::Laplacian => {
                let first = *per_unit.first()?;
                per_unit.iter().all(|x| *x == first).then_some(first * first)
            }
        };
        let streams = self.derivatives.streams().into_iter().zip(&self.streams).map(|(s, v)| {
            let unknown = || Error::Description(format!("{} has no unit among {per_unit:?}", named(s)));
            let factor = factor(s).ok_or_else(unknown)?;
            Ok(v.as_ref().map(|v| if factor == 1.0 { Ok(v.clone()) } else { v.scale(factor) }).transpose()?)
        });
        Ok(Jet { derivatives: self.derivatives.clone(), streams: streams.collect::<Result<_>>()? })
    }

    /// A linear layer: weight [C, D] on all streams, bias \[D\] on the value.
    pub fn linear(&self, weight: &Var, bias: Option<&Var>) -> Result<Jet> {
        let streams = self.streams.iter().enumerate().map(|(k, s)| match s {
            Some(s) => Ok(Some(s.linear(weight, bias.filter(|_| k == 0))?)),
            None => Ok(None),
        });
        Ok(Jet { derivatives: self.derivatives.clone(), streams: streams.collect::<Result<_>>()? })
    }

    /// An activation; `coefficients` are those that it learns.
    pub fn activate(&self, activation: Activation, coefficients: Option<&Var>) -> Result<Jet> {
        if activation == Activation::Identity {
            return Ok(self.clone());
        }
        let streams = Activate::new(activation, &self.derivatives, &self.present());
        let inputs: Vec<&Var> = self.streams.iter().flatten().chain(coefficients).collect();
        let shape = self.value().shape().to_vec();
        let mut found = streams.map().apply(&inputs)?.into_iter();
        let present = streams.results();
        let streams = present.iter().map(|&p| match p {
            true => Ok(Some(found.next().expect("one output per stream").reshape(&shape)?)),
            false => Ok(None),
        });
        Ok(Jet { derivatives: self.derivatives.clone(), streams: streams.collect::<Result<_>>()? })
    }

    /// The components of several jets side by side.
    pub fn join(jets: &[&Jet]) -> Result<Jet> {
        let first = jets[0];
        let streams = (0..first.streams.len()).map(|k| {
            if jets.iter().all(|j| j.streams[k].is_none()) {
                return Ok(None);
            }
            let parts = jets.iter().map(|j| match &j.streams[k] {
                Some(s) => Ok(s.clone()),
                None => j.zeros(),
            });
            let parts: Vec<Var> = parts.collect::<Result<_>>()?;
            Ok(Some(lumigrad_core::ops::concat(&parts.iter().collect::<Vec<_>>(), 1)?))
        });
        Ok(Jet { derivatives: first.derivatives.clone(), streams: streams.collect::<Result<_>>()? })
    }

    /// The sum of two jets of the same shape.
    pub fn plus(&self, other: &Jet) -> Result<Jet> {
        let streams = self.streams.iter().zip(&other.streams).map(|pair| match pair {
            (Some(a), Some(b)) => Ok(Some(a.add(b)?)),
            (a, b) => Ok(a.as_ref().or(b.as_ref()).cloned()),
        });
        Ok(Jet { derivatives: self.derivatives.clone(), streams: streams.collect::<Result<_>>()? })
    }

    pub(crate) fn present(&self) -> Vec<bool> {
        self.streams.iter().map(Option::is_some).collect()
    }
}

fn named(stream: Stream) -> String {
    match stream {
        Stream::Value => "the value".into(),
        Stream::First(k) => format!("the derivative along axis {k}"),
        Stream::Pair(k, l) => format!("the second derivative along axes {k} and {l}"),
        Stream::Laplacian => "the Laplacian".into(),
    }
}

/// An activation on the streams of a jet: which come in, which come out, and the map between.
pub(crate) struct Activate<'a> {
    activation: Activation,
    derivatives: &'a Derivatives,
    present: Vec<bool>,
}

impl<'a> Activate<'a> {
    pub fn new(activation: Activation, derivatives: &'a Derivatives, present: &[bool]) -> Self {
        Self { activation, derivatives, present: present.to_vec() }
    }

    /// Products of first derivatives that a second derivative gains.
    fn products(&self, stream: Stream) -> Vec<[usize; 2]> {
        let there = |k: usize| self.derivatives.position(Stream::First(k)).is_some_and(|at| self.present[at]);
        let products = self.derivatives.products(stream);
        products.into_iter().filter(|&[k, l]| !self.activation.is_piecewise_linear() && there(k) && there(l)).collect()
    }

    /// Which streams come out.
    pub fn results(&self) -> Vec<bool> {
        let streams = self.derivatives.streams().into_iter().zip(&self.present);
        streams.map(|(s, &p)| p || !self.products(s).is_empty()).collect()
    }

    /// The map: present streams in, streams out, one number per item each; coefficients come last.
    pub fn map(&self) -> Map {
        let mut key = format!("field/{}", self.activation.name());
        let streams = self.derivatives.streams();
        for (stream, &p) in streams.iter().zip(&self.present).skip(1) {
            let mark = if p { "" } else { "-" };
            match stream {
                Stream::First(k) => write!(key, " {mark}{k}"),
                Stream::Pair(k, l) => write!(key, " {mark}{k}{l}"),
                _ => write!(key, " {mark}laplacian"),
            }
            .expect("writing to a string");
        }
        Map::cached(&key, |m| {
            let z: Vec<Option<Expr>> =
                streams.iter().zip(&self.present).map(|(s, &p)| p.then(|| m.item::<1>(&named(*s))[0])).collect();
            let count = self.activation.coefficients().len();
            let coefficients = if count > 0 { m.uniform_row("coefficients", count) } else { vec![] };
            let value = z[0].expect("a jet has a value");
            let f = self.activation.of(value, &coefficients);
            let f1 = f.derivative(value);
            let f2 = f1.derivative(value);
            let first = |k: usize| z[self.derivatives.position(Stream::First(k)).expect("checked")].expect("checked");
            for (&stream, own) in streams.iter().zip(&z) {
                if stream == Stream::Value {
                    m.output("value", &[f]);
                    continue;
                }
                let products = self.products(stream).into_iter().map(|[k, l]| first(k) * first(l));
                let curved = products.reduce(|a, b| a + b).map(|p| f2 * p);
                let sum = [own.map(|z| f1 * z), curved].into_iter().flatten().reduce(|a, b| a + b);
                if let Some(sum) = sum {
                    m.output(&named(stream), &[sum]);
                }
            }
        })
    }
}
