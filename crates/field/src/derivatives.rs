//! Which derivatives by the input travel with a value.

/// Second derivatives that travel with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Second {
    /// None.
    None,
    /// Their sum over the axes of the first derivatives, as one stream.
    Laplacian,
    /// These, each pair ascending and among the axes of the first derivatives.
    Pairs(Vec<[usize; 2]>),
}

/// One quantity that travels through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The value.
    Value,
    /// Its derivative along an axis.
    First(usize),
    /// Its second derivative along two axes.
    Pair(usize, usize),
    /// The sum of its second derivatives.
    Laplacian,
}

/// Which derivatives by the input travel with a value: its *streams*, in the order value, first derivatives, second
/// derivatives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Derivatives {
    first: Vec<usize>,
    second: Second,
}

impl Derivatives {
    /// None: the value alone.
    pub fn none() -> Self {
        Self { first: vec![], second: Second::None }
    }

    /// The gradient by `dim` inputs.
    pub fn gradient(dim: usize) -> Self {
        Self { first: (0..dim).collect(), second: Second::None }
    }

    /// The gradient and the Laplacian by `dim` inputs.
    pub fn laplacian(dim: usize) -> Self {
        Self { first: (0..dim).collect(), second: Second::Laplacian }
    }

    /// The gradient and all second derivatives by `dim` inputs: d(d + 1)/2 of them.
    pub fn hessian(dim: usize) -> Self {
        Self::hessian_by((0..dim).collect())
    }

    /// First and all second derivatives by some inputs.
    pub fn hessian_by(axes: Vec<usize>) -> Self {
        let pairs = axes.iter().enumerate().flat_map(|(i, &k)| axes[i..].iter().map(move |&l| [k.min(l), k.max(l)]));
        let second = Second::Pairs(pairs.collect());
        Self { first: axes, second }
    }

    /// What a set of first derivatives and pairs of second ones needs: the first derivatives along the pairs' axes too.
    pub fn of(first: &[usize], pairs: &[[usize; 2]]) -> Self {
        let mut axes: Vec<usize> = first.iter().copied().chain(pairs.iter().flatten().copied()).collect();
        axes.sort_unstable();
        axes.dedup();
        let mut pairs: Vec<[usize; 2]> = pairs.iter().map(|&[k, l]| [k.min(l), k.max(l)]).collect();
        pairs.sort_unstable();
        pairs.dedup();
        Self { first: axes, second: if pairs.is_empty() { Second::None } else { Second::Pairs(pairs) } }
    }

    /// Axes of the first derivatives.
    pub fn first(&self) -> &[usize] {
        &self.first
    }

    /// The second derivatives.
    pub fn second(&self) -> &Second {
        &self.second
    }

    /// All streams, in order.
    pub fn streams(&self) -> Vec<Stream> {
        let first = self.first.iter().map(|&k| Stream::First(k));
        let second = match &self.second {
            Second::None => vec![],
            Second::Laplacian => vec![Stream::Laplacian],
            Second::Pairs(pairs) => pairs.iter().map(|&[k, l]| Stream::Pair(k, l)).collect(),
        };
        std::iter::once(Stream::Value).chain(first).chain(second).collect()
    }

    /// Place of a stream among [`Self::streams`].
    pub fn position(&self, stream: Stream) -> Option<usize> {
        self.streams().iter().position(|&s| s == stream)
    }

    /// Their number.
    pub fn n_streams(&self) -> usize {
        1 + self.first.len()
            + match &self.second {
                Second::None => 0,
                Second::Laplacian => 1,
                Second::Pairs(pairs) => pairs.len(),
            }
    }

    /// The pairs of first derivatives whose products a second derivative is made of.
    pub(crate) fn products(&self, stream: Stream) -> Vec<[usize; 2]> {
        match stream {
            Stream::Pair(k, l) => vec![[k, l]],
            Stream::Laplacian => self.first.iter().map(|&k| [k, k]).collect(),
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_found() {
        for (d, n) in [
            (Derivatives::none(), 1),
            (Derivatives::gradient(3), 4),
            (Derivatives::laplacian(3), 5),
            (Derivatives::hessian(3), 10),
            (Derivatives::of(&[2], &[[1, 0], [0, 1]]), 5),
        ] {
            assert_eq!(d.n_streams(), n);
            let streams = d.streams();
            assert_eq!(streams.len(), n);
            assert!(streams.iter().enumerate().all(|(k, &s)| d.position(s) == Some(k)));
        }
    }
}
