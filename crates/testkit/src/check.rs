use lumigrad_core::{DType, Device, Result, Tape, Tensor, Var, ops::random};

/// Relative error of derivatives in f64 against central differences.
const FINITE_DIFFERENCE_TOLERANCE: f64 = 1e-6;
/// Relative error of ⟨u, J v⟩ = ⟨Jᵀ u, v⟩ in f64.
const TRANSPOSE_TOLERANCE: f64 = 1e-10;
/// Largest error of f32 results against f64 ones, relative to the largest value.
const F32_TOLERANCE: f64 = 1e-4;

/// A tensor of numbers in (−1, 1), in f64 on the CPU, the starting point of checks.
pub fn real(shape: &[usize], seed: u64) -> Tensor {
    real_in(shape, seed, -1.0, 1.0)
}

/// A tensor of numbers in (lo, hi), in f64 on the CPU.
pub fn real_in(shape: &[usize], seed: u64, lo: f64, hi: f64) -> Tensor {
    lumigrad_core::ops::random_uniform(&Device::cpu(), DType::F64, shape, seed, lo, hi).expect("test tensor")
}

/// A tensor of integers in 0..below.
pub fn integers(shape: &[usize], seed: u64, below: u32) -> Tensor {
    let n: usize = shape.iter().product();
    let data: Vec<u32> = (0..n as u64).map(|i| (random::hash(seed, i) % below.max(1) as u64) as u32).collect();
    Tensor::from_slice(&Device::cpu(), &data, shape).expect("test tensor")
}

/// The devices that tests run on: the CPU, and a GPU where there is one.
pub fn devices(what: &str) -> Vec<Device> {
    [Device::cpu()].into_iter().chain(crate::gpu(what)).collect()
}

/// Checks of one operator or composition.
pub struct Check<'a, F> {
    name: &'a str,
    f: F,
    step: f64,
    f32_tolerance: f64,
    fixed: Vec<usize>,
    on_gpu: bool,
}

impl<'a, F: Fn(&[Var]) -> Result<Vec<Var>>> Check<'a, F> {
    /// A check of `f`, whose outputs may be several.
    pub fn new(name: &'a str, f: F) -> Self {
        Self { name, f, step: 1e-6, f32_tolerance: F32_TOLERANCE, fixed: vec![], on_gpu: true }
    }

    /// Step of the central differences (default 1e-6).
    pub fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    /// Another tolerance for f32 results; state why at the call.
    pub fn f32_tolerance(mut self, tolerance: f64) -> Self {
        self.f32_tolerance = tolerance;
        self
    }

    /// Inputs without derivative.
    pub fn fixed(mut self, inputs: &[usize]) -> Self {
        self.fixed = inputs.to_vec();
        self
    }

    /// Leaves the GPU out; state why at the call.
    pub fn cpu_only(mut self) -> Self {
        self.on_gpu = false;
        self
    }

    /// Runs all checks at a point given in f64 on the CPU.
    ///
    /// # Panics
    /// When a check fails.
    pub fn run(&self, inputs: &[Tensor]) {
        let reference = self.derivatives(inputs);
        self.finite_differences(inputs, &reference);
        for device in devices(self.name) {
            if !self.on_gpu && !device.is_cpu() {
                continue;
            }
            let moved: Vec<Tensor> = inputs
                .iter()
                .map(|t| {
                    let narrow = if t.dtype() == DType::F64 { t.cast(DType::F32) } else { Ok(t.clone()) };
                    narrow.and_then(|t| t.to_device(&device)).expect("moving test inputs")
                })
                .collect();
            let found = self.derivatives(&moved);
            for (what, a, b) in [
                ("values", &found.values, &reference.values),
                ("tangents", &found.tangents, &reference.tangents),
                ("gradients", &found.gradients, &reference.gradients),
            ] {
                compare(self.name, &format!("{what} on {device}"), a, b, self.f32_tolerance);
            }
        }
    }

    fn moves(&self, k: usize, input: &Tensor) -> bool {
        input.dtype().is_real() && !self.fixed.contains(&k)
    }

    fn random_like(t: &Tensor, seed: u64) -> Tensor {
        real(t.shape(), seed).cast(t.dtype()).and_then(|x| x.to_device(t.device())).expect("random direction")
    }

    fn derivatives(&self, inputs: &[Tensor]) -> Derivatives {
        let run = || -> Result<Derivatives> {
            let tape = Tape::new();
            let vars: Vec<Var> = inputs
                .iter()
                .enumerate()
                .map(|(k, t)| if self.moves(k, t) { tape.variable(t.clone()) } else { t.clone().into() })
                .collect();
            let outputs = (self.f)(&vars)?;
            let moving: Vec<&Var> = vars.iter().filter(|v| v.is_recorded()).collect();
            let directions: Vec<Tensor> =
                moving.iter().zip(100..).map(|(v, seed)| Self::random_like(v.tensor(), seed)).collect();
            let gradients = moving.iter().map(|v| vec![0.0; v.len()]).collect();
            let mut d = Derivatives { gradients, ..Default::default() };
            for (output, seed) in outputs.iter().zip(200..) {
                d.values.push(output.tensor().to_f64_vec()?);
                if !output.is_recorded() {
                    continue;
                }
                let jacobian = tape.linearize(output, &moving)?;
                let tangent = jacobian.apply(&directions)?.to_f64_vec()?;
                let cotangent = Self::random_like(output.tensor(), seed);
                let gradients = jacobian.apply_transpose(&cotangent)?;
                d.left += dot(&cotangent.to_f64_vec()?, &tangent);
                d.tangents.push(tangent);
                for ((sum, g), v) in d.gradients.iter_mut().zip(&gradients).zip(&directions) {
                    let g = g.to_f64_vec()?;
                    d.right += dot(&g, &v.to_f64_vec()?);
                    sum.iter_mut().zip(g).for_each(|(s, g)| *s += g);
                }
            }
            Ok(d)
        };
        run().unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    fn finite_differences(&self, inputs: &[Tensor], reference: &Derivatives) {
        let scale = reference.left.abs().max(reference.right.abs()).max(1e-3);
        let gap = (reference.left - reference.right).abs() / scale;
        assert!(
            gap <= TRANSPOSE_TOLERANCE,
            "{}: ⟨u, Jv⟩ = {} but ⟨Jᵀu, v⟩ = {}",
            self.name,
            reference.left,
            reference.right
        );
        let shifted = |sign: f64| -> Vec<Vec<f64>> {
            let mut seed = 99;
            let moved: Vec<Var> = inputs
                .iter()
                .enumerate()
                .map(|(k, t)| {
                    if !self.moves(k, t) {
                        return t.clone().into();
                    }
                    seed += 1;
                    let v = Self::random_like(t, seed).to_f64_vec().expect("direction");
                    let x = t.to_f64_vec().expect("input");
                    let y: Vec<f64> = x.iter().zip(v).map(|(x, v)| x + sign * self.step * v).collect();
                    Tensor::from_slice(t.device(), &y, t.shape()).expect("shifted input").into()
                })
                .collect();
            let outputs = (self.f)(&moved).unwrap_or_else(|e| panic!("{}: {e}", self.name));
            outputs.iter().filter(|o| o.dtype().is_real()).map(|o| o.tensor().to_f64_vec().expect("output")).collect()
        };
        let (plus, minus) = (shifted(1.0), shifted(-1.0));
        let differences: Vec<Vec<f64>> = plus
            .iter()
            .zip(&minus)
            .map(|(p, m)| p.iter().zip(m).map(|(p, m)| (p - m) / (2.0 * self.step)).collect())
            .collect();
        compare(
            self.name,
            "tangents against finite differences",
            &reference.tangents,
            &differences,
            FINITE_DIFFERENCE_TOLERANCE,
        );
        // A wrongly zero derivative passes any absolute tolerance, so magnitudes are compared too.
        for (t, d) in reference.tangents.iter().zip(&differences) {
            let (a, b) = (dot(t, t).sqrt(), dot(d, d).sqrt());
            assert!(b < 1e-9 || (a / b - 1.0).abs() < 1e-4, "{}: tangent of length {a}, differences {b}", self.name);
        }
    }
}

/// Compares lists of numbers, with an error relative to the largest of each list.
///
/// # Panics
/// When they differ, with `name` and `what` was compared.
pub(crate) fn compare(name: &str, what: &str, found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: number of {what}");
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        assert_eq!(a.len(), b.len(), "{name}: size of {what} {k}");
        let scale = b.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            // Phrased so that NaN fails.
            assert!(
                (x - y).abs() <= tolerance * scale,
                "{name}: {what} {k}, element {i}: {x} against {y} (largest {scale})"
            );
        }
    }
}

#[derive(Default)]
struct Derivatives {
    values: Vec<Vec<f64>>,
    tangents: Vec<Vec<f64>>,
    gradients: Vec<Vec<f64>>,
    left: f64,
    right: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
