//! Structural similarity (Wang et al. 2004) as a loss.
//!
//! Local moments come from a separable blur that is its own transpose, so that the gradient costs as much as the value.
//! The picture is taken as zero outside, as in 3-D Gaussian splatting's training code; metrics use the interior only.

use super::pixel::{self, total};
use crate::Result;
use crate::kernels::blur;
use lumigrad_core::map::Expr;
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, Map, Tensor, Var};

/// (0.01)² and (0.03)² for a data range of 1.
const C1: f64 = 1e-4;
const C2: f64 = 9e-4;
/// Share of 1 − SSIM in the mixed loss.
const MIX: f64 = 0.2;
/// Added to 1 − SSIM under a root, whose slope has no bound at 0.
const GUARD: f64 = 1e-5;

/// 1 − mean SSIM.
pub fn ssim(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    mixture(1.0, picture, target, weight)
}

/// 0.8 L1 + 0.2 (1 − SSIM).
pub fn mixed(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    mixture(MIX, picture, target, weight)
}

/// SSIM from blurred a, a², ab and b, b².
fn similarity([a, aa, ab]: [Expr; 3], [b, bb]: [Expr; 2]) -> Expr {
    let (va, vb, covariance) = (aa - a * a, bb - b * b, ab - a * b);
    // Variances are not negative but for rounding.
    let contrast = (va + vb + C2).max(0.1 * C2);
    (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * contrast)
}

/// √(1 − SSIM) per element and channel, such that ½‖r‖² is the loss and `GUARD`.
pub fn residuals(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    roots(1.0, picture, target, weight)
}

/// Residuals of both parts.
pub fn mixed_residuals(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    let l1 = pixel::L1.residuals(picture, target, weight)?.scale((1.0 - MIX).sqrt())?;
    Ok(concat(&[&l1, &roots(MIX, picture, target, weight)?], 0)?)
}

/// Blurred a, a², ab [H, W, 3C] and b, b² [H, W, 2C].
fn moments(picture: &Var, target: &Var) -> Result<(Var, Var)> {
    let &[h, w, c] = picture.shape() else { unreachable!("shapes were checked") };
    let both = Map::cached("optim/ssim_moments", |m| {
        let ([a], [b]) = (m.item("picture"), m.item("target"));
        m.output("moments", &[a, a * a, a * b]);
    });
    let squares = Map::cached("optim/ssim_squares", |m| {
        let [b] = m.item("target");
        m.output("moments", &[b, b * b]);
    });
    let of_both = blur(&both.apply(&[picture, target])?[0].reshape(&[h, w, 3 * c])?)?;
    let of_target = blur(&squares.apply(&[target])?[0].reshape(&[h, w, 2 * c])?)?;
    Ok((of_both, of_target))
}

fn roots(share: f64, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    let (of_both, of_target) = moments(picture, &target.clone().into())?;
    let masked = weight.is_some();
    let map = Map::cached(&format!("optim/ssim_roots {masked}"), |m| {
        let (x, y, share) = (m.item::<3>("moments"), m.item::<2>("target moments"), m.param());
        let lost = (1.0 - similarity(x, y)).max(0.0) + GUARD;
        let weight = if masked {
            let channels = m.int_param();
            let [w] = m.table::<1>("weight").fetch(m.index().quotient(channels));
            let [total] = m.uniform("total");
            w.max(0.0) / total
        } else {
            1.0.into()
        };
        m.output("residuals", &[(2.0 * share * weight).sqrt() * lost.sqrt()]);
    });
    let channels = picture.shape()[2];
    let weight = match weight {
        Some(weight) => {
            let total = with_channels!(channels, total(weight))?;
            Some([Var::from(weight.clone()), total.into()])
        }
        None => None,
    };
    let inputs: Vec<&Var> = [&of_both, &of_target].into_iter().chain(weight.iter().flatten()).collect();
    let (share, int) = if masked { (share, vec![channels as i32]) } else { (share / picture.len() as f64, vec![]) };
    let roots = map.apply_with(&inputs, CallParams { items: 0, real: vec![share], int })?.remove(0);
    Ok(roots.reshape(&[picture.len()])?)
}

fn mixture(share: f64, picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    let c = picture.shape()[2];
    let target = Var::from(target.clone());
    let (of_both, of_target) = moments(picture, &target)?;
    let masked = weight.is_some();
    let map = Map::cached(&format!("optim/ssim {masked}"), |m| {
        let (x, y) = (m.item::<3>("moments"), m.item::<2>("target moments"));
        let ([a], [b], share) = (m.item("picture"), m.item("target"), m.param());
        let loss = share * (1.0 - similarity(x, y)) + (1.0 - share) * (a - b).abs();
        if masked {
            let channels = m.int_param();
            let [w] = m.table::<1>("weight").fetch(m.index().quotient(channels));
            m.sum("loss", &[w * loss, w]);
        } else {
            m.sum("loss", &[loss]);
        }
    });
    let weight = weight.cloned().map(Var::from);
    let inputs: Vec<&Var> = [&of_both, &of_target, picture, &target].into_iter().chain(&weight).collect();
    let int = if masked { vec![c as i32] } else { vec![] };
    let sums = map.apply_with(&inputs, CallParams { items: 0, real: vec![share], int })?.remove(0);
    if !masked {
        return Ok(sums.reshape(&[])?.scale(1.0 / picture.len() as f64)?);
    }
    let total = sums.slice(1, 1, 2)?.clamp(1e-12, 1e30)?.stop_gradient();
    Ok(sums.slice(1, 0, 1)?.div(&total)?.reshape(&[])?)
}
