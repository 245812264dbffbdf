//! What trained priors have to beat: the Gaussian with mean and full covariance of the trained patches.

use super::task::{ESTIMATED, PriorTask};
use crate::prior::folder::{CHANNELS, Part};
use crate::{Error, Result};
use faer::{Mat, Side};
use lumigrad_core::{CallParams, Device, Map, Tensor, Var, ops};
use lumigrad_guidance::{
    Condition, DiffusionPrior, Level, Parameterisation, PriorInfo, Result as GuidanceResult, Schedule, TrainedPrior,
    of_picture,
};

/// Least variance of a direction: that of rounding to 8 bits, in [−1, 1].
const LEAST: f64 = 4.0 / (12.0 * 255.0 * 255.0);
/// Numbers of a patch up to which the full covariance is taken.
const MOST: usize = 1536;

impl PriorTask {
    /// The best Gaussian of the trained patches; of large ones that of cosine waves, which is what the network starts at.
    pub fn best_gaussian(&self) -> Result<Box<dyn DiffusionPrior>> {
        let seed = super::frechet::stream(self.job.run.common.seed, 4);
        if self.job.patch * self.job.patch * CHANNELS > MOST {
            let (network, gaussian) = (self.prior.network().config().clone(), self.prior.gaussian().clone());
            let labels = self.folder.labels.clone();
            let start = (seed, &self.device);
            let prior = TrainedPrior::new("the Gaussian", network, gaussian, labels, self.prior.objective(), start)?;
            return Ok(Box::new(prior));
        }
        let patches = self.folder.draw(Part::Trained, ESTIMATED, seed, &Device::cpu())?.pictures;
        Ok(Box::new(FullGaussian::estimate(&patches)?))
    }
}

struct FullGaussian {
    info: PriorInfo,
    mean: Tensor,
    directions: Tensor,
    variances: Vec<f64>,
}

impl FullGaussian {
    fn estimate(patches: &Tensor) -> Result<Self> {
        let [n, h, w, c] = [0, 1, 2, 3].map(|k| patches.shape()[k]);
        let d = h * w * c;
        let rows = Var::from(patches.reshape(&[n, d])?);
        let mean = rows.mean_axis(0)?;
        let off = rows.sub(&mean)?;
        let products = ops::matmul_with(&off, true, &off, false)?.tensor().to_f64_vec()?;
        let covariance = Mat::from_fn(d, d, |i, j| products[i * d + j] / n as f64);
        let eigen =
            covariance.self_adjoint_eigen(Side::Lower).map_err(|_| Error::job("a covariance without eigenvalues"))?;
        let (u, s) = (eigen.U(), eigen.S().column_vector());
        let directions: Vec<f32> = (0..d * d).map(|k| u[(k / d, k % d)] as f32).collect();
        let info = PriorInfo {
            name: "the best Gaussian".into(),
            size: Some([h, w]),
            multiple: 1,
            channels: c,
            range: [-1.0, 1.0],
            labels: vec![],
            schedule: Schedule::Flow,
            parameterisation: Parameterisation::Noise,
            capabilities: vec![],
        };
        let variances = (0..d).map(|k| s[k].max(LEAST)).collect();
        Ok(Self {
            info,
            mean: mean.tensor().clone(),
            directions: Tensor::from_slice(&Device::cpu(), &directions, &[d, d])?,
            variances,
        })
    }
}

impl DiffusionPrior for FullGaussian {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], _: &[Condition]) -> GuidanceResult<Tensor> {
        let n = noisy.shape()[0];
        let d = self.variances.len();
        let put = |t: &Tensor| t.to_device(noisy.device()).map(Var::from);
        let (mean, directions) = (put(&self.mean)?, put(&self.directions)?);
        let a: Vec<f64> = (0..n).map(|i| of_picture(levels, i).a).collect();
        let table = |data: Vec<f64>, shape: &[usize]| -> GuidanceResult<Var> {
            Ok(Tensor::from_slice(&Device::cpu(), &data, shape)?.cast(noisy.dtype())?.to_device(noisy.device())?.into())
        };
        let scales = table(a.clone(), &[n, 1])?;
        let off = Var::from(noisy.reshape(&[n, d])?).sub(&mean.reshape(&[1, d])?.mul(&scales)?)?;
        let map = Map::cached("prior/full gaussian", |m| {
            let count = m.int_param();
            let [x] = m.item("coefficients");
            let (variances, levels) = (m.table::<1>("variances"), m.table::<2>("levels"));
            let [v] = variances.fetch(m.index().modulo(count));
            let [a, s] = levels.fetch(m.index().quotient(count));
            m.output("noise", &[x * s / (a * a * v + s * s)]);
        });
        let pairs = (0..n).flat_map(|i| [of_picture(levels, i).a, of_picture(levels, i).sigma]).collect();
        let call = CallParams { int: vec![d as i32], ..CallParams::default() };
        let coefficients = off.matmul(&directions)?;
        let variances = table(self.variances.clone(), &[d, 1])?;
        let noise = map.apply_with(&[&coefficients, &variances, &table(pairs, &[n, 2])?], call)?.remove(0).reshape(&[n, d])?;
        Ok(ops::matmul_with(&noise, false, &directions, true)?.tensor().reshape(noisy.shape())?)
    }
}
