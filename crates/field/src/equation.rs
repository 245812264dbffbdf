//! Equations as text: what must be zero, from an unknown function, its derivatives, coordinates and constants.

use crate::{Derivatives, Error, Jet, Result, Stream};
use lumigrad_core::map::Expr;
use lumigrad_core::{Map, Var};
use std::collections::BTreeMap;

/// A parsed equation.
///
/// Numbers, `pi`, coordinates, named constants, unknowns (`u`), their derivatives (`u_x`, `u_xy`), `+ - * / ^`, parentheses
/// and sin, cos, tan, exp, ln, sqrt, abs, tanh. A power of whole exponent multiplies; others are of positive numbers.
#[derive(Clone, Debug)]
pub struct Equation {
    text: String,
    root: Node,
    needs: Derivatives,
}

/// What a mistake in an equation is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    /// Where, in characters from 0.
    at: usize,
    message: String,
}

#[derive(Clone, Debug)]
enum Node {
    Number(f64),
    Coordinate(usize),
    /// Stream of a component.
    Unknown(usize, Stream),
    Negative(Box<Node>),
    Binary(char, Box<Node>, Box<Node>),
    Call(Function, Box<Node>),
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Sin,
    Cos,
    Tan,
    Exp,
    Ln,
    Sqrt,
    Abs,
    Tanh,
}

const FUNCTIONS: [(&str, Function); 8] = [
    ("sin", Function::Sin),
    ("cos", Function::Cos),
    ("tan", Function::Tan),
    ("exp", Function::Exp),
    ("ln", Function::Ln),
    ("sqrt", Function::Sqrt),
    ("abs", Function::Abs),
    ("tanh", Function::Tanh),
];

/// Deepest nesting, and longest text.
const DEEPEST: usize = 100;
const LONGEST: usize = 10_000;

/// Names that an equation may use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Coordinates, one letter each, in the order of a point's numbers.
    pub coordinates: Vec<char>,
    /// Components of the unknown function.
    pub unknowns: Vec<String>,
    /// Constants with their values.
    pub constants: BTreeMap<String, f64>,
}

impl Equation {
    /// Reads an equation.
    ///
    /// # Errors
    /// Syntax that cannot be read and names that are not known, with their place.
    pub fn parse(text: &str, names: &Names) -> Result<Self> {
        let fails = |m: Mistake| {
            let marked: String =
                text.chars().take(m.at).chain(['⟨', 'h', 'e', 'r', 'e', '⟩']).chain(text.chars().skip(m.at)).collect();
            Error::Description(format!("{} at character {}: {marked}", m.message, m.at + 1))
        };
        if text.chars().count() > LONGEST {
            return Err(Error::Description(format!("an equation of more than {LONGEST} characters")));
        }
        let characters: Vec<char> = text.chars().collect();
        let mut parser = Parser { text: &characters, at: 0, depth: 0, names, first: vec![], pairs: vec![] };
        let root = parser.sum().map_err(fails)?;
        parser.spaces();
        if parser.at < characters.len() {
            let message = format!("expected an operator, found {:?}", characters[parser.at]);
            return Err(fails(Mistake { at: parser.at, message }));
        }
        let needs = Derivatives::of(&parser.first, &parser.pairs);
        Ok(Self { text: text.to_owned(), root, needs })
    }

    /// The derivatives that it needs.
    pub fn needs(&self) -> &Derivatives {
        &self.needs
    }

    /// Its value at points [N, d] where the unknown has this jet: [N, 1], zero where the equation holds.
    ///
    /// # Errors
    /// The jet lacks derivatives, or has those that are zero wherever they exist.
    pub fn residual(&self, jet: &Jet, points: &Var) -> Result<Var> {
        let dim = points.shape()[1];
        let streams = self.needs.streams();
        let mut inputs = vec![points.clone()];
        for stream in &streams {
            inputs.push(match *stream {
                Stream::Value => jet.value().clone(),
                Stream::First(k) => jet.first(k)?,
                Stream::Pair(k, l) => jet.second(k, l)?,
                Stream::Laplacian => jet.laplacian()?,
            });
        }
        let channels = jet.channels();
        let map = Map::cached(&format!("field/equation {dim} {channels} {:?}", self.root), |m| {
            let x = m.item_row("points", dim);
            let rows: Vec<Vec<Expr>> = streams.iter().map(|s| m.item_row(&format!("{s:?}"), channels)).collect();
            let of = |component: usize, stream: Stream| {
                rows[self.needs.position(stream).expect("the equation's own stream")][component]
            };
            m.output("residual", &[build(&self.root, &x, &of)]);
        });
        Ok(map.apply(&inputs.iter().collect::<Vec<_>>())?.remove(0))
    }

    /// The same of one unknown, where it is linear in it: the factor of each of the streams of [`Self::needs`] at points
    /// [N, d], then the rest, [N, streams + 1]; the equation is their sum. `None` where it is not.
    ///
    /// # Errors
    /// Points that are no rows.
    pub fn linear(&self, points: &Var) -> Result<Option<Var>> {
        if degree(&self.root) > 1 {
            return Ok(None);
        }
        let &[_, dim] = points.shape() else {
            return Err(lumigrad_core::Error::shape("points", points.shape(), "[N, d]").into());
        };
        let streams = self.needs.streams();
        let map = Map::cached(&format!("field/linear equation {dim} {:?}", self.root), |m| {
            let x = m.item_row("points", dim);
            let with = |one: Option<Stream>| {
                build(&self.root, &x, &|_, stream| (if one == Some(stream) { 1.0 } else { 0.0 }).into())
            };
            let rest = with(None);
            let mut row: Vec<Expr> = streams.iter().map(|&s| with(Some(s)) - rest).collect();
            row.push(rest);
            m.output("factors", &row);
        });
        Ok(Some(map.apply(&[points])?.remove(0)))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// 0 where the unknown is not in it, 1 where it is linear in it, else more.
fn degree(node: &Node) -> u32 {
    match node {
        Node::Number(_) | Node::Coordinate(_) => 0,
        Node::Unknown(..) => 1,
        Node::Negative(a) => degree(a),
        Node::Binary(op, a, b) => match (op, degree(a), degree(b)) {
            ('+' | '-', a, b) => a.max(b),
            ('*', a, b) => (a + b).min(2),
            (_, 0, 0) => 0,
            ('/', a, 0) => a,
            _ => 2,
        },
        Node::Call(_, a) => 2 * degree(a).min(1),
    }
}

fn build(node: &Node, x: &[Expr], unknown: &dyn Fn(usize, Stream) -> Expr) -> Expr {
    match node {
        Node::Number(n) => (*n).into(),
        Node::Coordinate(k) => x[*k],
        Node::Unknown(component, stream) => unknown(*component, *stream),
        Node::Negative(a) => -build(a, x, unknown),
        Node::Binary(op, a, b) => {
            let left = build(a, x, unknown);
            if let ('^', Node::Number(n)) = (*op, &**b)
                && n.fract() == 0.0
                && n.abs() <= 64.0
            {
                let power = left.powi(n.abs() as u32);
                return if *n < 0.0 { 1.0 / power } else { power };
            }
            let right = build(b, x, unknown);
            match op {
                '+' => left + right,
                '-' => left - right,
                '*' => left * right,
                '/' => left / right,
                _ => left.pow(right),
            }
        }
        Node::Call(function, a) => {
            let a = build(a, x, unknown);
            match function {
                Function::Sin => a.sin(),
                Function::Cos => a.cos(),
                Function::Tan => a.sin() / a.cos(),
                Function::Exp => a.exp(),
                Function::Ln => a.ln(),
                Function::Sqrt => a.sqrt(),
                Function::Abs => a.abs(),
                Function::Tanh => a.tanh(),
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [char],
    at: usize,
    depth: usize,
    names: &'a Names,
    first: Vec<usize>,
    pairs: Vec<[usize; 2]>,
}

type Parsed = std::result::Result<Node, Mistake>;

impl Parser<'_> {
    fn spaces(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    /// The next character that is no space, if it is one of these.
    fn take(&mut self, any: &str) -> Option<char> {
        self.spaces();
        let c = *self.text.get(self.at).filter(|c| any.contains(**c))?;
        self.at += 1;
        Some(c)
    }

    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { at: self.at, message: message.into() }
    }

    fn sum(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.mistake("the equation is nested too deeply"));
        }
        let mut left = self.product()?;
        while let Some(op) = self.take("+-") {
            left = Node::Binary(op, left.into(), self.product()?.into());
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        while let Some(op) = self.take("*/") {
            left = Node::Binary(op, left.into(), self.signed()?.into());
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        let mut negative = false;
        while let Some(sign) = self.take("+-") {
            negative ^= sign == '-';
        }
        let power = self.power()?;
        Ok(if negative { Node::Negative(power.into()) } else { power })
    }

    fn power(&mut self) -> Parsed {
        let base = self.atom()?;
        if self.take("^").is_none() {
            return Ok(base);
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.mistake("the equation is nested too deeply"));
        }
        let exponent = match self.signed()? {
            Node::Negative(n) if matches!(*n, Node::Number(_)) => match *n {
                Node::Number(x) => Node::Number(-x),
                other => other,
            },
            other => other,
        };
        self.depth -= 1;
        Ok(Node::Binary('^', base.into(), exponent.into()))
    }

    fn atom(&mut self) -> Parsed {
        if self.take("(").is_some() {
            let inner = self.sum()?;
            return match self.take(")") {
                Some(_) => Ok(inner),
                None => Err(self.mistake("expected )")),
            };
        }
        self.spaces();
        let start = self.at;
        let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        match self.text.get(start) {
            Some(c) if c.is_ascii_digit() || *c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => {
                while self.text.get(self.at).is_some_and(word) {
                    self.at += 1;
                }
                let name: String = self.text[start..self.at].iter().collect();
                self.named(&name, start)
            }
            Some(c) => Err(self.mistake(format!("expected a number, a name or (, found {c:?}"))),
            None => Err(self.mistake("expected a number, a name or (, found the end")),
        }
    }

    fn number(&mut self) -> Parsed {
        let start = self.at;
        let mut end = start;
        let is = |i: usize, f: &dyn Fn(char) -> bool| self.text.get(i).is_some_and(|c| f(*c));
        while is(end, &|c| c.is_ascii_digit() || c == '.') {
            end += 1;
        }
        // An exponent needs its digits.
        if is(end, &|c| c == 'e' || c == 'E') {
            let digits = end + 1 + is(end + 1, &|c| c == '-' || c == '+') as usize;
            if is(digits, &|c| c.is_ascii_digit()) {
                end = digits;
                while is(end, &|c| c.is_ascii_digit()) {
                    end += 1;
                }
            }
        }
        let text: String = self.text[start..end].iter().collect();
        match text.parse::<f64>().ok().filter(|x| x.is_finite()) {
            Some(x) => {
                self.at = end;
                Ok(Node::Number(x))
            }
            None => Err(self.mistake(format!("{text:?} is no number"))),
        }
    }

    fn named(&mut self, name: &str, start: usize) -> Parsed {
        if let Some((_, function)) = FUNCTIONS.iter().find(|(n, _)| *n == name) {
            return match self.take("(") {
                Some(_) => {
                    let inner = self.sum()?;
                    self.take(")")
                        .map(|_| Node::Call(*function, inner.into()))
                        .ok_or_else(|| self.mistake("expected )"))
                }
                None => Err(self.mistake(format!("expected ( after {name}"))),
            };
        }
        if let Some(value) = self.names.constants.get(name) {
            return Ok(Node::Number(*value));
        }
        let mut letters = name.chars();
        if let (Some(letter), None) = (letters.next(), letters.next())
            && let Some(k) = self.names.coordinates.iter().position(|c| *c == letter)
        {
            return Ok(Node::Coordinate(k));
        }
        if name == "pi" {
            return Ok(Node::Number(std::f64::consts::PI));
        }
        let (base, along) = name.split_once('_').unwrap_or((name, ""));
        let component = self.names.unknowns.iter().position(|u| u == base);
        let axes: Option<Vec<usize>> =
            along.chars().map(|c| self.names.coordinates.iter().position(|x| *x == c)).collect();
        let stream = match (component, axes.as_deref()) {
            (Some(_), Some([])) if !name.contains('_') => Stream::Value,
            (Some(_), Some(&[k])) => {
                self.first.push(k);
                Stream::First(k)
            }
            (Some(_), Some(&[k, l])) => {
                self.pairs.push([k, l]);
                Stream::Pair(k.min(l), k.max(l))
            }
            (Some(_), Some([_, _, _, ..])) => {
                return Err(Mistake { at: start, message: format!("{name}: derivatives go up to the second") });
            }
            _ => {
                let known = self.known();
                return Err(Mistake { at: start, message: format!("unknown name {name:?} (known: {known})") });
            }
        };
        Ok(Node::Unknown(component.expect("checked"), stream))
    }

    fn known(&self) -> String {
        let n = self.names;
        let letters: Vec<String> = n.coordinates.iter().map(|c| c.to_string()).collect();
        let derivatives: Vec<String> =
            n.unknowns.iter().flat_map(|u| n.coordinates.iter().map(move |c| format!("{u}_{c}"))).collect();
        let constants: Vec<String> = n.constants.keys().cloned().collect();
        let functions: Vec<String> = FUNCTIONS.iter().map(|(n, _)| format!("{n}(…)")).collect();
        [n.unknowns.clone(), derivatives, letters, constants, vec!["pi".into()], functions].concat().join(", ")
    }
}
