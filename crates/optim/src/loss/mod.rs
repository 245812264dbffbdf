//! Losses between pictures. Each one is an entry of [`LOSSES`].

/// Calls a function with the number of channels as a constant.
macro_rules! with_channels {
    ($c:expr, $f:ident ( $($arg:expr),* )) => {
        match $c {
            1 => $f::<1>($($arg),*),
            2 => $f::<2>($($arg),*),
            3 => $f::<3>($($arg),*),
            _ => $f::<4>($($arg),*),
        }
    };
}

pub mod mesh;
pub mod perimeter;
mod pixel;
mod pyramid;
mod silhouette;
mod ssim;
pub mod texture;

use crate::{Error, Result};
use lumigrad_core::{Error as CoreError, Tensor, Var};

/// How a loss is computed.
#[derive(Clone, Copy)]
enum Form {
    /// The mean over elements of a function of an element and its target.
    Pixel(pixel::Pixel),
    /// A number for the whole picture.
    Picture {
        value: fn(&Var, &Tensor, Option<&Tensor>) -> Result<Var>,
        /// Flat, with ½‖r‖² as [`Loss::residuals`] says.
        residuals: fn(&Var, &Tensor, Option<&Tensor>) -> Result<Var>,
    },
}

/// A loss between a picture and its target.
#[derive(Clone, Copy)]
pub struct Loss {
    /// Name as in jobs; `from_name` also takes `NAME/pyramid`.
    pub name: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    form: Form,
    pyramid: bool,
    coarseness: usize,
}

const fn loss(name: &'static str, about: &'static str, form: Form) -> Loss {
    Loss { name, about, form, pyramid: false, coarseness: 0 }
}

/// All losses. Each one also has a multi-scale form, `NAME/pyramid`: the mean over levels of a 2 × 2 box pyramid.
pub const LOSSES: &[Loss] = &[
    loss("l1", "mean |a − b|", Form::Pixel(pixel::L1)),
    loss("l2", "mean (a − b)²", Form::Pixel(pixel::L2)),
    loss("charbonnier", "mean √((a − b)² + ε²) − ε, ε = 0.001", Form::Pixel(pixel::CHARBONNIER)),
    loss("huber", "mean e²/2 for |e| = |a − b| ≤ δ, else δ(|e| − δ/2), δ = 0.1", Form::Pixel(pixel::HUBER)),
    loss(
        "ssim",
        "1 − mean SSIM (11 × 11 Gaussian window, σ = 1.5)",
        Form::Picture { value: ssim::ssim, residuals: ssim::residuals },
    ),
    loss("l1+ssim", "0.8 L1 + 0.2 (1 − SSIM)", Form::Picture { value: ssim::mixed, residuals: ssim::mixed_residuals }),
    loss("log", "mean (ln(1 + a) − ln(1 + b))², for high dynamic range", Form::Pixel(pixel::LOG)),
    loss(
        "iou",
        "1 − intersection over union of the last channel, a soft silhouette",
        Form::Picture { value: silhouette::iou, residuals: silhouette::residuals },
    ),
];

/// Other names, as they stand in older jobs.
const ALIASES: &[(&str, &str)] =
    &[("mse", "l2"), ("log-l2", "log"), ("silhouette-iou", "iou"), ("pyramid", "l1/pyramid")];

/// The names of [`LOSSES`], and their older ones.
pub const NAMES: [&str; LOSSES.len() + ALIASES.len()] = {
    let (mut names, mut k) = ([""; LOSSES.len() + ALIASES.len()], 0);
    while k < names.len() {
        names[k] = if k < LOSSES.len() { LOSSES[k].name } else { ALIASES[k - LOSSES.len()].0 };
        k += 1;
    }
    names
};

impl std::fmt::Debug for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loss({}{})", self.name, if self.pyramid { "/pyramid" } else { "" })
    }
}

impl Loss {
    /// The loss of a name, or of a name with `/pyramid` after it.
    ///
    /// # Errors
    /// There is none; the message lists all.
    pub fn from_name(name: &str) -> Result<Self> {
        let full = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, full)| full);
        let (base, pyramid) = full.strip_suffix("/pyramid").map_or((full, false), |base| (base, true));
        let found = LOSSES.iter().find(|l| l.name == base);
        found.map(|l| Loss { pyramid, ..*l }).ok_or_else(|| Error::UnknownLoss {
            name: name.into(),
            known: LOSSES.iter().map(|l| l.name).collect::<Vec<_>>().join(", ") + ", each also with /pyramid after it",
        })
    }

    /// The loss of a picture [H, W, C] against a target of the same shape (C ≤ 4), shape [].
    ///
    /// `weight` [H, W, 1] counts pixels more or less (a mask); the mean is over the weights.
    /// **Gradients** flow to `picture`. **Cost**: point-wise losses read each array once.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn evaluate(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let levels = self.levels(picture, target, weight)?;
        let mut total: Option<Var> = None;
        for (picture, target, weight) in &levels {
            let loss = match self.form {
                Form::Pixel(pixel) => pixel.mean(picture, target, weight.as_ref())?,
                Form::Picture { value, .. } => value(picture, target, weight.as_ref())?,
            };
            total = Some(match total {
                None => loss,
                Some(t) => t.add(&loss)?,
            });
        }
        let total = total.expect("a picture has a level");
        Ok(if levels.len() == 1 { total } else { total.scale(1.0 / levels.len() as f64)? })
    }

    /// Residuals r for least-squares methods, flat, such that ½‖r‖² has the loss's gradient (for L1: but within 0.001 of
    /// the target).
    ///
    /// For L2 and log, ½‖r‖² is the loss. For L1, Charbonnier and Huber, r carries the weights of iteratively reweighted
    /// least squares, through which no derivative flows; there ½‖r‖² is about half the loss. Of SSIM r is √(1 − SSIM) per
    /// pixel and channel, of a silhouette √(1 − IoU), guarded at 0: ½‖r‖² is the loss and at most 10⁻⁵.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn residuals(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let levels = self.levels(picture, target, weight)?;
        let scale = (1.0 / levels.len() as f64).sqrt();
        let parts = levels.iter().map(|(picture, target, weight)| {
            let part = match self.form {
                Form::Pixel(pixel) => pixel.residuals(picture, target, weight.as_ref()),
                Form::Picture { residuals, .. } => residuals(picture, target, weight.as_ref()),
            };
            Ok(if levels.len() == 1 { part? } else { part?.scale(scale)? })
        });
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(lumigrad_core::ops::concat(&parts.iter().collect::<Vec<_>>(), 0)?),
        }
    }

    /// The loss of pictures whose sides were halved `times` times, or as often as 8 pixels remain: means of pixels see
    /// edges that are still far apart. Where they are halved at all, `huber` stands for L1, Charbonnier and SSIM, whose
    /// weights hold what is right already faster than they move what is not.
    pub fn coarse(self, times: usize) -> Self {
        let stands_in = times > 0 && ["l1", "charbonnier", "ssim", "l1+ssim"].contains(&self.name);
        let form = if stands_in { Form::Pixel(pixel::HUBER) } else { self.form };
        Self { coarseness: times, form, ..self }
    }

    /// True where ½‖r‖² of [`Loss::residuals`] is the loss itself.
    pub fn is_sum_of_squares(&self) -> bool {
        matches!(self.form, Form::Pixel(pixel) if pixel.is_square())
    }

    /// The pictures that are compared, the mean over which is the loss.
    fn levels(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Vec<pyramid::Level>> {
        check(picture, target, weight)?;
        if !self.pyramid && self.coarseness == 0 {
            return Ok(vec![(picture.clone(), target.clone(), weight.cloned())]);
        }
        let mut levels = pyramid::levels(picture, target, weight)?;
        if self.coarseness > 0 {
            let level = self.coarseness.min(levels.len() - 1);
            levels = vec![levels.swap_remove(level)];
        }
        Ok(levels)
    }

    /// What each element adds to the loss, [H, W, C], for methods that attribute it to pixels and channels.
    ///
    /// # Errors
    /// For losses that are not sums over pixels, and when shapes do not fit.
    pub fn per_pixel(&self, picture: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        check(&picture.clone().into(), target, weight)?;
        match self.form {
            Form::Pixel(pixel) if !self.pyramid => pixel.shares(picture, target, weight),
            _ => {
                let all = "l1, l2, charbonnier, huber or log";
                let reason = format!("the loss {} is not a sum over pixels; choose {all}", self.name);
                Err(Error::Numeric { what: "the loss of pixels", reason })
            }
        }
    }
}

fn check(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    let &[h, w, c] = picture.shape() else {
        return Err(CoreError::shape("the picture", picture.shape(), "[H, W, C]").into());
    };
    if !(1..=4).contains(&c) || h * w == 0 {
        return Err(CoreError::shape("the picture", picture.shape(), "at least one pixel of 1 to 4 channels").into());
    }
    if target.shape() != picture.shape() {
        return Err(
            CoreError::shape("the target", target.shape(), format!("the picture's shape {:?}", [h, w, c])).into()
        );
    }
    match weight {
        Some(m) if m.len() != h * w => {
            Err(CoreError::shape("the weight", m.shape(), format!("[{h}, {w}, 1], one number per pixel")).into())
        }
        _ => Ok(()),
    }
}
