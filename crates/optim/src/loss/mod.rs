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
    Picture(fn(&Var, &Tensor, Option<&Tensor>) -> Result<Var>),
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
}

const fn loss(name: &'static str, about: &'static str, form: Form) -> Loss {
    Loss { name, about, form, pyramid: false }
}

/// All losses. Each one also has a multi-scale form, `NAME/pyramid`: the mean over levels of a 2 × 2 box pyramid.
pub const LOSSES: &[Loss] = &[
    loss("l1", "mean |a − b|", Form::Pixel(pixel::L1)),
    loss("l2", "mean (a − b)²", Form::Pixel(pixel::L2)),
    loss("charbonnier", "mean √((a − b)² + ε²) − ε, ε = 0.001", Form::Pixel(pixel::CHARBONNIER)),
    loss("ssim", "1 − mean SSIM (11 × 11 Gaussian window, σ = 1.5)", Form::Picture(ssim::ssim)),
    loss("l1+ssim", "0.8 L1 + 0.2 (1 − SSIM)", Form::Picture(ssim::mixed)),
    loss("log", "mean (ln(1 + a) − ln(1 + b))², for high dynamic range", Form::Pixel(pixel::LOG)),
    loss("iou", "1 − intersection over union of the last channel, a soft silhouette", Form::Picture(silhouette::iou)),
];

/// Other names, as they stand in older jobs.
const ALIASES: &[(&str, &str)] =
    &[("mse", "l2"), ("log-l2", "log"), ("silhouette-iou", "iou"), ("pyramid", "l1/pyramid")];

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
        check(picture, target, weight)?;
        let one = |picture: &Var, target: &Tensor, weight: Option<&Tensor>| match self.form {
            Form::Pixel(pixel) => pixel.mean(picture, target, weight),
            Form::Picture(f) => f(picture, target, weight),
        };
        if !self.pyramid {
            return one(picture, target, weight);
        }
        let levels = pyramid::levels(picture, target, weight)?;
        let mut total: Option<Var> = None;
        for (picture, target, weight) in &levels {
            let loss = one(picture, target, weight.as_ref())?;
            total = Some(match total {
                None => loss,
                Some(t) => t.add(&loss)?,
            });
        }
        Ok(total.expect("a pyramid has a first level").scale(1.0 / levels.len() as f64)?)
    }

    /// Residuals r for least-squares methods, such that ½‖r‖² has the loss's gradient (for L1: but within 0.001 of the
    /// target).
    ///
    /// For L2 and log, ½‖r‖² is the loss. For L1 and Charbonnier, r carries the weights of iteratively reweighted least
    /// squares, through which no derivative flows; there ½‖r‖² is about half the loss.
    ///
    /// # Errors
    /// For losses that are not sums over elements, and when shapes do not fit.
    pub fn residuals(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
        let pixel = self.pixel(picture, target, weight)?;
        if !self.pyramid {
            return pixel.residuals(picture, target, weight);
        }
        let levels = pyramid::levels(picture, target, weight)?;
        let scale = (1.0 / levels.len() as f64).sqrt();
        let parts = levels
            .iter()
            .map(|(p, t, w)| Ok(pixel.residuals(p, t, w.as_ref())?.scale(scale)?))
            .collect::<Result<Vec<_>>>()?;
        Ok(lumigrad_core::ops::concat(&parts.iter().collect::<Vec<_>>(), 0)?)
    }
}

impl Loss {
    /// [`Loss::residuals`] of pictures whose sides were halved `times` times, or as often as 8 pixels remain: means of
    /// pixels see edges that are still far apart.
    ///
    /// # Errors
    /// As [`Loss::residuals`].
    pub fn reduced_residuals(
        &self,
        picture: &Var,
        target: &Tensor,
        weight: Option<&Tensor>,
        times: usize,
    ) -> Result<Var> {
        if times == 0 {
            return self.residuals(picture, target, weight);
        }
        let pixel = self.pixel(picture, target, weight)?;
        let mut levels = pyramid::levels(picture, target, weight)?;
        let (picture, target, weight) = levels.swap_remove(times.min(levels.len() - 1));
        pixel.residuals(&picture, &target, weight.as_ref())
    }

    /// What each element adds to the loss, [H, W, C], for methods that attribute it to pixels and channels.
    ///
    /// # Errors
    /// For losses that are not sums over pixels, and when shapes do not fit.
    pub fn per_pixel(&self, picture: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
        let pixel = self.pixel(&picture.clone().into(), target, weight)?;
        if self.pyramid {
            let reason = "a pyramid has no loss of single pixels; choose l1, l2, charbonnier or log".into();
            return Err(Error::Numeric { what: "the loss of pixels", reason });
        }
        pixel.shares(picture, target, weight)
    }

    /// The definition per element, of pictures that fit.
    fn pixel(&self, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<pixel::Pixel> {
        check(picture, target, weight)?;
        let Form::Pixel(pixel) = self.form else {
            let reason = format!("the loss {} is not a sum over pixels; choose l2, l1, charbonnier or log", self.name);
            return Err(Error::Numeric { what: "the loss of pixels", reason });
        };
        Ok(pixel)
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
