//! Element-wise operators with broadcasting.

use crate::map::{CallParams, Expr, Map};
use crate::{Error, Result, Tensor, Var};

/// Shape that all inputs broadcast to.
fn broadcast_shape(name: &str, inputs: &[&Var]) -> Result<Vec<usize>> {
    let rank = inputs.iter().map(|v| v.shape().len()).max().unwrap_or(0);
    let mut shape = vec![1; rank];
    for input in inputs {
        let lead = rank - input.shape().len();
        for (k, &d) in input.shape().iter().enumerate() {
            let s = &mut shape[lead + k];
            match (*s, d) {
                (a, b) if a == b => {}
                (1, b) => *s = b,
                (_, 1) => {}
                _ => {
                    let shapes: Vec<_> = inputs.iter().map(|v| v.shape().to_vec()).collect();
                    return Err(Error::shape(
                        &format!("an input of {name}"),
                        input.shape(),
                        format!("shapes that broadcast together, given {shapes:?}"),
                    ));
                }
            }
        }
    }
    Ok(shape)
}

/// An element-wise function of any number of inputs, broadcast to one shape.
///
/// `name` must be unique for `f`: the map is made once per name and broadcasting pattern.
pub fn pointwise(name: &str, inputs: &[&Var], f: impl Fn(&[Expr]) -> Expr) -> Result<Var> {
    let shape = broadcast_shape(name, inputs)?;
    let mut pattern = String::new();
    let mut prepared: Vec<Var> = vec![];
    let many = shape.iter().product::<usize>() != 1;
    for input in inputs {
        if input.len() == 1 && many {
            pattern.push('u');
            prepared.push((*input).clone());
        } else {
            pattern.push('i');
            let same = input.len() == shape.iter().product::<usize>();
            prepared.push(if same { (*input).clone() } else { input.broadcast_to(&shape)? });
        }
    }
    let map = Map::cached(&format!("{name} {pattern}"), |m| {
        let args: Vec<Expr> = pattern
            .chars()
            .enumerate()
            .map(|(k, p)| match p {
                'u' => m.uniform::<1>(&format!("argument {k}"))[0],
                _ => m.item::<1>(&format!("argument {k}"))[0],
            })
            .collect();
        m.output("result", &[f(&args)]);
    });
    map.apply(&prepared.iter().collect::<Vec<_>>())?.remove(0).reshape(&shape)
}

/// a + b for plain tensors of one shape.
pub fn add_tensors(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let sum = pointwise("add", &[&a.clone().into(), &b.clone().into()], |x| x[0] + x[1])?;
    Ok(sum.tensor().clone())
}

/// a · b for plain tensors of one shape.
pub fn multiply_tensors(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let product = pointwise("mul", &[&a.clone().into(), &b.clone().into()], |x| x[0] * x[1])?;
    Ok(product.tensor().clone())
}

/// s · a for a plain tensor.
pub fn scale_tensor(a: &Tensor, s: f64) -> Result<Tensor> {
    Ok(Var::from(a.clone()).scale(s)?.tensor().clone())
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = $f:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Result<Var> {
            pointwise(stringify!($name), &[self], |x| { let f: fn(Expr) -> Expr = $f; f(x[0]) })
        }
    )*};
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $f:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, other: &Var) -> Result<Var> {
            pointwise(stringify!($name), &[self, other], |x| { let f: fn(Expr, Expr) -> Expr = $f; f(x[0], x[1]) })
        }
    )*};
}

impl Var {
    unary! {
        /// −x.
        neg = |x| -x;
        /// |x|; the gradient at 0 is 1.
        abs = |x| x.abs();
        /// eˣ.
        exp = |x| x.exp();
        /// Natural logarithm.
        ln = |x| x.ln();
        /// √x; the gradient at 0 is infinite.
        sqrt = |x| x.sqrt();
        /// x².
        square = |x| x * x;
        /// 1/x.
        recip = |x| 1.0 / x;
        /// sin x.
        sin = |x| x.sin();
        /// cos x.
        cos = |x| x.cos();
        /// tanh x.
        tanh = |x| x.tanh();
        /// 1 / (1 + e⁻ˣ), without overflow.
        sigmoid = |x| 0.5 * (0.5 * x).tanh() + 0.5;
        /// x / (1 + e⁻ˣ) (also called swish), without overflow.
        silu = |x| 0.5 * x * ((0.5 * x).tanh() + 1.0);
        /// x · P(X ≤ x) of a normal X (Hendrycks & Gimpel 2016), not its approximation by tanh.
        gelu = |x| x * x.normal_cdf();
        /// x / (1 + e^{−1.702 x}), a rougher gelu (same source).
        quick_gelu = |x| 0.5 * x * ((0.851 * x).tanh() + 1.0);
        /// ln(1 + eˣ), without overflow.
        softplus = |x| x.softplus();
        /// max(x, 0); the gradient at 0 is 1.
        relu = |x| x.max(0.0);
        /// Largest integer ≤ x; the gradient is 0.
        floor = |x| x.floor();
    }

    binary! {
        /// self + other.
        add = |a, b| a + b;
        /// self − other.
        sub = |a, b| a - b;
        /// self · other, element by element.
        mul = |a, b| a * b;
        /// self / other.
        div = |a, b| a / b;
        /// Smaller of both; at a tie the gradient goes to `self`.
        minimum = |a, b| a.min(b);
        /// Larger of both; at a tie the gradient goes to `self`.
        maximum = |a, b| a.max(b);
        /// self to the power other, for positive `self`.
        pow = |a, b| a.pow(b);
        /// atan2(self, other).
        atan2 = |a, b| a.atan2(b);
        /// 1 where self < other, else 0; the gradient is 0.
        less = |a, b| a.less(b).select(1.0, 0.0);
    }

    fn with_params(&self, name: &str, params: &[f64], f: fn(Expr, &[Expr]) -> Expr) -> Result<Var> {
        let n = params.len();
        let map = Map::cached(&format!("{name} p{n}"), |m| {
            let [x] = m.item("argument");
            let p: Vec<Expr> = (0..n).map(|_| m.param()).collect();
            m.output("result", &[f(x, &p)]);
        });
        let call = CallParams { items: self.len(), real: params.to_vec(), int: vec![] };
        map.apply_with(&[self], call)?.remove(0).reshape(self.shape())
    }

    /// s · self for a number.
    pub fn scale(&self, s: f64) -> Result<Var> {
        self.with_params("scale", &[s], |x, p| x * p[0])
    }

    /// self + c for a number.
    pub fn offset(&self, c: f64) -> Result<Var> {
        self.with_params("offset", &[c], |x, p| x + p[0])
    }

    /// min(max(x, lo), hi); the gradient is 0 outside.
    pub fn clamp(&self, lo: f64, hi: f64) -> Result<Var> {
        self.with_params("clamp", &[lo, hi], |x, p| x.max(p[0]).min(p[1]))
    }

    /// `yes` where self ≠ 0, else `no`. No gradient flows to `self`.
    pub fn select(&self, yes: &Var, no: &Var) -> Result<Var> {
        pointwise("where", &[self, yes, no], |x| x[0].abs().greater(0.0).select(x[1], x[2]))
    }
}
