//! The symbolic numbers that map definitions compute with.

use super::graph::{Graph, Id, Kind, Op};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

thread_local! {
    static GRAPH: RefCell<Option<Graph>> = const { RefCell::new(None) };
}

/// Runs `f` with a fresh graph that [`Expr`]s are added to; returns the graph too.
pub(super) fn with_graph<T>(f: impl FnOnce() -> T) -> (T, Graph) {
    let outer = GRAPH.with(|g| g.replace(Some(Graph::default())));
    let value = f();
    let graph = GRAPH.with(|g| g.replace(outer)).expect("set above");
    (value, graph)
}

pub(super) fn push(op: Op, args: &[Id]) -> Id {
    graph(|g| g.push(op, args))
}

fn graph<T>(f: impl FnOnce(&mut Graph) -> T) -> T {
    GRAPH.with(|g| f(g.borrow_mut().as_mut().expect("Expr is used only inside Map::new")))
}

/// A real number of a map definition.
#[derive(Clone, Copy, Debug)]
pub struct Expr(pub(super) Id);

/// An integer of a map definition (row numbers, wrap modes). Derivatives do not pass through integers.
#[derive(Clone, Copy, Debug)]
pub struct IntExpr(pub(super) Id);

/// A truth value of a map definition. Derivatives do not pass through conditions.
#[derive(Clone, Copy, Debug)]
pub struct BoolExpr(pub(super) Id);

impl From<f64> for Expr {
    fn from(x: f64) -> Self {
        Expr(graph(|g| g.constant(x)))
    }
}

impl From<i32> for IntExpr {
    fn from(x: i32) -> Self {
        IntExpr(graph(|g| g.constant_int(x)))
    }
}

macro_rules! operators {
    ($($T:ident, $lit:ty: $($Trait:ident $method:ident $op:ident),*;)*) => {$($(
        impl $Trait for $T {
            type Output = $T;
            fn $method(self, b: $T) -> $T { $T(push(Op::$op, &[self.0, b.0])) }
        }
        impl $Trait<$lit> for $T {
            type Output = $T;
            fn $method(self, b: $lit) -> $T { self.$method($T::from(b)) }
        }
        impl $Trait<$T> for $lit {
            type Output = $T;
            fn $method(self, b: $T) -> $T { $T::from(self).$method(b) }
        }
    )*)*};
}
operators! {
    Expr, f64: Add add Add, Sub sub Sub, Mul mul Mul, Div div Div;
    IntExpr, i32: Add add AddInt, Sub sub SubInt, Mul mul MulInt;
}

impl Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr(push(Op::Neg, &[self.0]))
    }
}

impl std::iter::Sum for Expr {
    fn sum<I: Iterator<Item = Expr>>(mut iter: I) -> Expr {
        let first = iter.next().unwrap_or_else(|| 0.0.into());
        iter.fold(first, |a, b| a + b)
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $op:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(self) -> Expr { Expr(push(Op::$op, &[self.0])) }
    )*};
}

impl Expr {
    unary! {
        /// |x|; the derivative at 0 is 1.
        abs Abs,
        /// Largest integer ≤ x; the derivative is 0.
        floor Floor,
        /// √x; the derivative at 0 is infinite: guard the argument.
        sqrt Sqrt,
        /// eˣ.
        exp Exp,
        /// Natural logarithm.
        ln Ln,
        /// sin x.
        sin Sin,
        /// cos x.
        cos Cos,
        /// tanh x.
        tanh Tanh,
    }

    /// atan2(self, x), in (−π, π].
    pub fn atan2(self, x: Expr) -> Expr {
        Expr(push(Op::Atan2, &[self.0, x.0]))
    }

    /// Smaller of both; the derivative goes to the smaller, to `self` at a tie.
    pub fn min(self, b: impl Into<Expr>) -> Expr {
        Expr(push(Op::Min, &[self.0, b.into().0]))
    }

    /// Larger of both; the derivative goes to the larger, to `self` at a tie.
    pub fn max(self, b: impl Into<Expr>) -> Expr {
        Expr(push(Op::Max, &[self.0, b.into().0]))
    }

    /// min(max(x, lo), hi); the derivative is 0 outside.
    pub fn clamp(self, lo: f64, hi: f64) -> Expr {
        self.max(lo).min(hi)
    }

    /// The derivative of this number by `x`, a number that it was made from: exact, and an expression again, so that
    /// derivatives of any order can be had. Zero where it does not depend on `x`.
    ///
    /// ```
    /// use lumigrad_core::{CallParams, Device, Map, Tensor};
    /// # fn main() -> lumigrad_core::Result<()> {
    /// let second = Map::new("second derivative of sin x²", |m| {
    ///     let [x] = m.item("x");
    ///     let y = (x * x).sin();
    ///     m.output("y''", &[y.derivative(x).derivative(x)]);
    /// });
    /// let x = Tensor::from_slice(&Device::cpu(), &[0.7f64], &[1])?;
    /// let found = second.run(&[&x], &CallParams::default())?[0].to_vec::<f64>()?[0];
    /// let s: f64 = 0.49;
    /// assert!((found - (2.0 * s.cos() - 4.0 * s * s.sin())).abs() < 1e-14);
    /// # Ok(()) }
    /// ```
    pub fn derivative(self, x: Expr) -> Expr {
        Expr(graph(|g| super::diff::derivative(g, self.0, x.0)))
    }

    /// x².
    pub fn square(self) -> Expr {
        self * self
    }

    /// ln(1 + eˣ), without overflow. Its parts do not bend at zero, so that the derivative is right there too.
    pub fn softplus(self) -> Expr {
        let negative = self.less(0.0);
        let (bulk, away) = (negative.select(0.0, self), negative.select(self, -self));
        bulk + (1.0 + away.exp()).ln()
    }

    /// e^{x²} erfc x for x ≥ 0, the scaled complementary error function, to a relative 1.2e-7.
    ///
    /// **Source**: the fit erfc x = t·exp(−x² + P(t)) of Numerical Recipes, section 6.2; the factor e^{−x²} drops out.
    pub fn scaled_erfc(self) -> Expr {
        const P: [f64; 10] = [
            -1.26551223,
            1.00002368,
            0.37409196,
            0.09678418,
            -0.18628806,
            0.27886807,
            -1.13520398,
            1.48851587,
            -0.82215223,
            0.17087277,
        ];
        let t = 1.0 / (1.0 + 0.5 * self);
        t * P.iter().rev().fold(Expr::from(0.0), |sum, &c| sum * t + c).exp()
    }

    /// P(X ≤ x) of a normal X, to a relative 1.2e-7.
    pub fn normal_cdf(self) -> Expr {
        let below = self.less(0.0);
        let away = below.select(-self, self);
        let tail = 0.5 * (std::f64::consts::FRAC_1_SQRT_2 * away).scaled_erfc() * (-0.5 * away * away).exp();
        below.select(tail, 1.0 - tail)
    }

    /// xᵖ for x > 0.
    pub fn pow(self, p: impl Into<Expr>) -> Expr {
        (p.into() * self.ln()).exp()
    }

    /// xⁿ by multiplication.
    pub fn powi(self, n: u32) -> Expr {
        match n {
            0 => 1.0.into(),
            1 => self,
            _ if n.is_multiple_of(2) => (self * self).powi(n / 2),
            _ => self * self.powi(n - 1),
        }
    }

    /// self < b.
    pub fn less(self, b: impl Into<Expr>) -> BoolExpr {
        BoolExpr(push(Op::Less, &[self.0, b.into().0]))
    }

    /// self ≤ b.
    pub fn less_eq(self, b: impl Into<Expr>) -> BoolExpr {
        BoolExpr(push(Op::LessEq, &[self.0, b.into().0]))
    }

    /// self > b.
    pub fn greater(self, b: impl Into<Expr>) -> BoolExpr {
        BoolExpr(push(Op::Less, &[b.into().0, self.0]))
    }

    /// The integer part (towards zero); saturates at the ends of `i32`.
    pub fn to_int(self) -> IntExpr {
        IntExpr(push(Op::ToInt, &[self.0]))
    }
}

impl IntExpr {
    /// As a real number (exact up to 2²⁴ in f32).
    pub fn to_real(self) -> Expr {
        Expr(push(Op::ToReal, &[self.0]))
    }

    /// Smaller of both.
    pub fn min(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::MinInt, &[self.0, b.into().0]))
    }

    /// Larger of both.
    pub fn max(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::MaxInt, &[self.0, b.into().0]))
    }

    /// Euclidean remainder for a positive divisor.
    pub fn modulo(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::RemInt, &[self.0, b.into().0]))
    }

    /// Quotient towards zero for a positive divisor.
    pub fn quotient(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::DivInt, &[self.0, b.into().0]))
    }

    /// Bitwise and.
    pub fn bit_and(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::AndInt, &[self.0, b.into().0]))
    }

    /// Bitwise exclusive or.
    pub fn bit_xor(self, b: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::XorInt, &[self.0, b.into().0]))
    }

    /// self < b.
    pub fn less(self, b: impl Into<IntExpr>) -> BoolExpr {
        BoolExpr(push(Op::LessInt, &[self.0, b.into().0]))
    }

    /// self = b.
    pub fn equals(self, b: impl Into<IntExpr>) -> BoolExpr {
        BoolExpr(push(Op::EqInt, &[self.0, b.into().0]))
    }
}

impl BoolExpr {
    /// `yes` where true, else `no`. Both are computed: keep the unused one finite, or its derivative is 0·∞.
    pub fn select(self, yes: impl Into<Expr>, no: impl Into<Expr>) -> Expr {
        Expr(push(Op::Select, &[self.0, yes.into().0, no.into().0]))
    }

    /// `yes` where true, else `no`.
    pub fn select_int(self, yes: impl Into<IntExpr>, no: impl Into<IntExpr>) -> IntExpr {
        IntExpr(push(Op::SelectInt, &[self.0, yes.into().0, no.into().0]))
    }

    /// Both.
    pub fn and(self, b: BoolExpr) -> BoolExpr {
        BoolExpr(push(Op::And, &[self.0, b.0]))
    }

    /// At least one.
    pub fn or(self, b: BoolExpr) -> BoolExpr {
        BoolExpr(push(Op::Or, &[self.0, b.0]))
    }

    /// The opposite.
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> BoolExpr {
        BoolExpr(push(Op::Not, &[self.0]))
    }
}

/// Kind of the value behind an id, for assertions in definitions.
pub(super) fn kind(id: Id) -> Kind {
    graph(|g| g.node(id).op.kind())
}

/// Small vectors of expressions.
pub mod vector {
    use super::Expr;

    /// Σ aᵢ bᵢ.
    pub fn dot<const N: usize>(a: [Expr; N], b: [Expr; N]) -> Expr {
        (0..N).map(|k| a[k] * b[k]).sum()
    }

    /// a + b.
    pub fn add<const N: usize>(a: [Expr; N], b: [Expr; N]) -> [Expr; N] {
        std::array::from_fn(|k| a[k] + b[k])
    }

    /// a − b.
    pub fn sub<const N: usize>(a: [Expr; N], b: [Expr; N]) -> [Expr; N] {
        std::array::from_fn(|k| a[k] - b[k])
    }

    /// s·a.
    pub fn scale<const N: usize>(a: [Expr; N], s: impl Into<Expr>) -> [Expr; N] {
        let s = s.into();
        a.map(|x| x * s)
    }

    /// a × b.
    pub fn cross(a: [Expr; 3], b: [Expr; 3]) -> [Expr; 3] {
        std::array::from_fn(|k| {
            let (i, j) = ((k + 1) % 3, (k + 2) % 3);
            a[i] * b[j] - a[j] * b[i]
        })
    }

    /// a / |a|, finite (and without derivative) where |a|² ≤ 1e-30.
    pub fn normalize<const N: usize>(a: [Expr; N]) -> [Expr; N] {
        scale(a, 1.0 / dot(a, a).max(1e-30).sqrt())
    }

    /// Component-wise t·b + (1 − t)·a.
    pub fn mix<const N: usize>(a: [Expr; N], b: [Expr; N], t: Expr) -> [Expr; N] {
        std::array::from_fn(|k| a[k] + (b[k] - a[k]) * t)
    }

    /// Row-major matrix (rows of length 3) times vector.
    pub fn mat3_mul(m: [Expr; 9], v: [Expr; 3]) -> [Expr; 3] {
        std::array::from_fn(|r| dot([m[3 * r], m[3 * r + 1], m[3 * r + 2]], v))
    }
}
