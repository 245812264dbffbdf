//! Rendering Gaussians on the host.

use crate::composite::{Drawn, Tiled, place};
use crate::device::{CameraVars, DeviceOptions, GaussianVars, render_vars};
use crate::frame::{Frame, TILE};
use crate::lanes::Precision;
use crate::project::Camera;
use crate::raycast;
use crate::raycast::host::Rays;
use crate::rows::Rows;
use crate::{Error, Gaussians, Image, Kernel, RenderOptions, Shutter, Technique, View, view};
use lumigrad_core::{DType, Device, Var};
use rayon::prelude::*;

/// Alphas below this are not drawn.
const ALPHA_MIN: f64 = 1.0 / 255.0;

fn core(e: lumigrad_core::Error) -> Error {
    Error::Device { message: e.to_string() }
}

/// What the renderer sees of a view of Gaussians.
pub(crate) fn camera<T: Precision>(kernel: Kernel, sh_degree: usize, view: &View, near: f32) -> Camera<T> {
    Camera {
        rotation: std::array::from_fn(|i| std::array::from_fn(|k| T::of(view.viewmat[i][k]))),
        translation: std::array::from_fn(|i| T::of(view.viewmat[i][3])),
        intrinsics: view.intrinsics.map(T::of),
        size: [view.width, view.height].map(|n| T::from_f64(n as f64)),
        near: T::of(near),
        kernel,
        projection: view.projection,
        sh_degree,
        least: T::from_f64(ALPHA_MIN.log2()),
    }
}

/// Draws Gaussians on the host.
///
/// Colour = Σ wᵢ cᵢ + T · background, front to back with wᵢ = αᵢ Π (1 − αⱼ); alphas are at most 0.99 and those below 1/255
/// are left out, as are Gaussians with non-finite parameters or without a rotation.
///
/// Surfels, and what cameras with a rolling shutter see, are drawn as [`render_vars`] draws them; with [`Technique::Raycast`] as [`raycast::raycast_vars`] does.
///
/// **Errors**: arrays whose lengths disagree, cameras that are not finite, pictures beyond 2²⁸ pixels; surfels and rays with
/// orthographic cameras; rays through surfels or with rolling shutters. **Determinism**: the same bits for any number of threads.
/// **Source**: Kerbl et al. 2023, 3D Gaussian Splatting.
pub fn render(gaussians: &Gaussians, view: &View, options: &RenderOptions) -> Result<Image, Error> {
    Renderer::new(gaussians)?.render(view, options)
}

/// [`render`] of several views.
///
/// **Errors**: as [`render`].
pub fn render_views(gaussians: &Gaussians, views: &[View], options: &RenderOptions) -> Result<Vec<Image>, Error> {
    let mut renderer = Renderer::new(gaussians)?;
    views.iter().map(|view| renderer.render(view, options)).collect()
}

/// Draws the same Gaussians from many views; they are prepared once.
pub struct Renderer {
    kernel: Kernel,
    sh_degree: usize,
    rows: Rows<f32>,
    pub(crate) frame: Frame<f32>,
    pub(crate) drawn: Drawn<f32>,
    len: usize,
    /// What the tape draws: surfels, and what moving cameras see; made when it is first asked for.
    vars: Option<GaussianVars>,
    rays: Rays<f32>,
}

impl Renderer {
    /// Prepares Gaussians.
    ///
    /// **Errors**: arrays whose lengths disagree.
    pub fn new(gaussians: &Gaussians) -> Result<Self, Error> {
        view::check_gaussians(gaussians)?;
        let (kernel, sh_degree) = (gaussians.kernel, gaussians.sh_degree);
        Ok(Self {
            vars: None,
            rays: Rays::default(),
            kernel,
            sh_degree,
            rows: Rows::new(gaussians),
            frame: Frame::default(),
            drawn: Drawn::default(),
            len: gaussians.len(),
        })
    }

    /// Number of Gaussians.
    #[allow(clippy::len_without_is_empty)] // of something prepared, not of a container
    pub fn len(&self) -> usize {
        self.len
    }

    /// Projects and lists the splats of a view.
    pub(crate) fn list(&mut self, view: &View, options: &RenderOptions) -> Result<(), Error> {
        view::check_view(view)?;
        if self.kernel == Kernel::Surfel {
            return Err(Error::Surfels);
        }
        view::check_still(view)?;
        let size = [view.width, view.height];
        self.frame.update(&self.rows, &[], &camera(self.kernel, self.sh_degree, view, options.near), size, false)
    }

    /// Whether the tape draws a view: of surfels, and of cameras that move.
    pub(crate) fn is_taped(&self, view: &View) -> bool {
        self.kernel == Kernel::Surfel || view.shutter != Shutter::Global
    }

    /// What the tape draws of a view.
    pub(crate) fn taped(
        &mut self,
        view: &View,
        options: &RenderOptions,
        draw: impl Fn(&GaussianVars, &CameraVars, &DeviceOptions) -> lumigrad_core::Result<Var>,
    ) -> Result<Vec<f32>, Error> {
        view::check_view(view)?;
        let near = f64::from(options.near);
        let options = DeviceOptions { kernel: self.kernel, sh_degree: self.sh_degree, alpha_min: ALPHA_MIN };
        let camera = CameraVars { near, ..CameraVars::new(view, &Device::cpu(), DType::F32).map_err(core)? };
        if self.vars.is_none() {
            let gaussians = self.rows.gaussians(&Gaussians {
                sh_degree: self.sh_degree,
                kernel: self.kernel,
                ..Gaussians::default()
            });
            self.vars = Some(GaussianVars::new(&gaussians, &Device::cpu(), DType::F32).map_err(core)?);
        }
        let Some(vars) = &self.vars else { return Ok(vec![]) };
        let drawn = draw(vars, &camera, &options).map_err(core)?;
        drawn.tensor().to_vec::<f32>().map_err(core)
    }

    /// The picture of a view, as [`render`].
    ///
    /// **Errors**: cameras that are not finite, pictures beyond 2²⁸ pixels; surfels and rays with orthographic cameras; rays
    /// through surfels.
    pub fn render(&mut self, view: &View, options: &RenderOptions) -> Result<Image, Error> {
        let size = [view.width, view.height];
        if options.technique == Technique::Raycast {
            view::check_view(view)?;
            raycast::check(self.kernel, view)?;
            let camera = Rays::<f32>::camera(camera(self.kernel, self.sh_degree, view, options.near));
            self.rays.draw(&self.rows, &[], &camera, size, false)?;
            return Ok(image(&self.rays.picture, size, options.background));
        }
        if self.is_taped(view) {
            let pixels = self.taped(view, options, render_vars)?;
            let pixels = pixels.as_chunks::<5>().0;
            let over = |p: &[f32; 5]| [0, 1, 2].map(|ch| p[ch] + p[4] * options.background[ch]);
            return Ok(Image {
                width: view.width,
                height: view.height,
                colour: pixels.iter().map(over).collect(),
                alpha: pixels.iter().map(|p| 1.0 - p[4]).collect(),
                depth: pixels.iter().map(|p| p[3]).collect(),
            });
        }
        self.list(view, options)?;
        self.drawn.update(&self.frame, true, false);
        Ok(image(&self.drawn.picture, size, options.background))
    }
}

/// The picture over a background.
fn image(drawn: &Tiled<f32>, size: [usize; 2], background: [f32; 3]) -> Image {
    let (n, width, columns) = (size[0] * size[1], size[0], size[0].div_ceil(TILE));
    let mut out = Image { width, height: size[1], colour: vec![[0.0; 3]; n], alpha: vec![0.0; n], depth: vec![0.0; n] };
    let strip = (TILE * width).max(1);
    let strips = out.colour.par_chunks_mut(strip).zip(out.alpha.par_chunks_mut(strip));
    strips.zip(out.depth.par_chunks_mut(strip)).enumerate().for_each(|(line, ((colour, alpha), depth))| {
        for (i, colour) in colour.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let (planes, at) = (&drawn[line * columns + x / TILE], place(x % TILE, y));
            let left = planes[4][at];
            *colour = std::array::from_fn(|ch| planes[ch][at] + left * background[ch]);
            alpha[i] = 1.0 - left;
            depth[i] = planes[3][at];
        }
    });
    out
}
