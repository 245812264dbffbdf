//! What an inverse-rendering run is asked to do.

use super::shape::ShapeWeights;
use crate::guiding::PriorTermKeys;
use crate::run::Budget;
use crate::run::job::commands::OptimizeJob;
use crate::run::job::{EnvironmentChoice, InitEntry, ViewSource};
use crate::splat::Background;
use crate::{Error, Result};
use lumigrad_optim::Schedule;
use lumigrad_optim::method::find;
use lumigrad_scene::environment::Environment;
use std::path::PathBuf;

/// Where the pictures come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of posed pictures.
    Pictures(PathBuf),
    /// Views on a sphere around a scene, rendered by ourselves.
    Synthesise {
        /// The scene to show.
        target: PathBuf,
        /// Number of views, one in eight held out.
        views: usize,
    },
}

/// A parameter that may change.
#[derive(Clone, Debug)]
pub struct ParamChoice {
    /// Pointer or pattern.
    pub pattern: String,
    /// Learning rate; `None`: chosen by kind.
    pub rate: Option<f64>,
}

/// Where a parameter starts.
#[derive(Clone, Debug)]
pub enum Init {
    /// One number for all elements (a texture's alpha is kept).
    Number(f32),
    /// A vector for every row.
    Vector(Vec<f32>),
    /// The present value times exp(σ·n), n normal.
    Noise(f64),
    /// A picture.
    Picture(PathBuf),
}

/// An inverse-rendering run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The scene to change.
    pub scene: PathBuf,
    /// What it has to look like.
    pub source: Source,
    /// Columns and rows of synthesised views.
    pub size: (usize, usize),
    /// EXR pictures are read.
    pub hdr: bool,
    /// Reduction of posed pictures.
    pub downscale: Option<usize>,
    /// Longer side of posed pictures at most.
    pub max_size: Option<usize>,
    /// What may change.
    pub params: Vec<ParamChoice>,
    /// Cells along the longest side of the grid that shape is made of, where it is no mesh.
    pub grid: Option<usize>,
    /// Whether it gets holes and islands where the loss asks for them.
    pub topology: bool,
    /// Where it starts.
    pub init: Vec<(String, Init)>,
    /// Random rotation in degrees and translation in % of the distance for every view.
    pub perturb_cameras: Option<(f64, f64)>,
    /// Light from all around.
    pub environment: Option<Environment>,
    /// λ of the Laplacian over the texels of an environment that is optimised; 0: none.
    pub environment_smoothness: f64,
    /// Vertices move along their normals only.
    pub displacement: bool,
    /// Shapes are remeshed between stages.
    pub remesh: bool,
    /// Standard errors are estimated at the end.
    pub uncertainty: bool,
    /// The weight of `texture_smoothness` tunes itself.
    pub auto_regularisers: bool,
    /// Weight of the total variation of textures.
    pub texture_smoothness: f64,
    /// Weights of what keeps shapes well formed.
    pub shape: ShapeWeights,
    /// A prior that pulls beside the pictures.
    pub prior: Option<PriorTermKeys>,
    /// What pictures are compared over.
    pub background: Background,
    /// Name of the optimiser.
    pub optimizer: String,
    /// How learning rates change over the run.
    pub schedule: Schedule,
    /// Learning rates are scaled by a range test first.
    pub find_lr: bool,
    /// Gradients are estimated from pictures alone.
    pub stochastic: bool,
    /// Name of the loss.
    pub loss: String,
    /// When it ends.
    pub budget: Budget,
    /// Views per step; `None`: 1, or all where cameras move.
    pub batch: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
}

impl Settings {
    /// Positions are optimised.
    pub fn moves_geometry(&self) -> bool {
        self.grid.is_some() || self.params.iter().any(|p| p.pattern.ends_with("/POSITION"))
    }

    /// Cameras of the views are optimised.
    pub fn moves_cameras(&self) -> bool {
        self.params.iter().any(|p| p.pattern.starts_with("/views/"))
    }

    /// True when the optimiser compares losses between steps, which must then be of the same views.
    pub fn needs_all_views(&self) -> bool {
        find(&self.optimizer).is_ok_and(|m| m.deterministic)
    }
}

impl Settings {
    /// The settings of a job.
    ///
    /// # Errors
    /// Something is missing or is not in this version; the message says what to give instead.
    pub fn from_job(job: &OptimizeJob) -> Result<Self> {
        let need = |what: &str, help: &str| Error::usage("optimize", format!("no {what} is given"), help);
        let scene = job.scene.clone().ok_or_else(|| need("scene", "lumigrad optimize scene.glb --target other.glb"))?;
        let source = match (&job.target, &job.views) {
            (Some(target), views) => {
                let views = match views {
                    Some(ViewSource::Count(n)) => *n,
                    None => 24,
                    Some(ViewSource::Folder(_)) => {
                        let help = "leave out the target, or give views a number";
                        return Err(Error::usage("--views", "a folder of pictures and a target are both given", help));
                    }
                };
                if views == 0 {
                    return Err(Error::usage("--views", "0 views", "give at least one"));
                }
                Source::Synthesise { target: target.clone(), views }
            }
            (None, Some(ViewSource::Folder(dir))) => Source::Pictures(dir.clone()),
            (None, _) => {
                return Err(need("picture to match", "--views DIR (posed pictures), or --target SCENE --views N"));
            }
        };
        let stochastic = job.gradient == "stochastic";
        if stochastic {
            check_estimates(job)?;
        }
        let flexible = job.representation == "flexicubes";
        if job.topology && !flexible {
            let what = "meshes keep their connections";
            return Err(Error::usage("--topology", what, "add --representation flexicubes"));
        }
        if flexible {
            check_flexible(job)?;
        }
        let shape = ShapeWeights {
            laplacian: job.laplacian,
            normal_consistency: job.normal_consistency,
            edge_length: job.edge_length,
        };
        if shape != ShapeWeights::default() && job.optimizer.contains("lm") {
            let what = format!("{} takes no regularisers of shapes", job.optimizer);
            return Err(Error::usage("--optimizer", what, "adam, for example, or leave their weights out"));
        }
        let compares = job.optimizer.contains("lm") || find(&job.optimizer)?.deterministic;
        if job.prior.guide.prior.is_some() && compares {
            let what = format!("{} compares losses, and a prior's pull is the gradient of none", job.optimizer);
            return Err(Error::usage("--optimizer", what, "adam, for example, or leave --prior out"));
        }
        let environment = job.environment.as_ref().map(EnvironmentChoice::load).transpose()?;
        let mut init = vec![];
        for (pattern, entry) in &job.init {
            let value = match entry {
                InitEntry::Number(x) => Init::Number(*x as f32),
                InitEntry::Vector(v) => Init::Vector(v.iter().map(|x| *x as f32).collect()),
                InitEntry::Text(text) => match text.strip_prefix("noise:") {
                    Some(sigma) => Init::Noise(sigma.parse().map_err(|_| {
                        Error::usage("--init", format!("noise:{sigma} has no number"), "noise:0.3, for example")
                    })?),
                    None => Init::Picture(text.into()),
                },
            };
            init.push((pattern.clone(), value));
        }
        Ok(Self {
            scene,
            source,
            size: (job.size.width, job.size.height),
            hdr: job.hdr,
            downscale: job.downscale,
            max_size: job.max_size,
            grid: flexible.then_some(job.grid_resolution),
            topology: job.topology,
            params: job.param.iter().map(|p| ParamChoice { pattern: p.pointer.clone(), rate: p.lr }).collect(),
            init,
            perturb_cameras: job.perturb_cameras.map(|[d, p]| (d, p)),
            environment,
            environment_smoothness: job.environment_smoothness,
            texture_smoothness: job.texture_smoothness,
            shape,
            prior: Some(job.prior.clone()),
            background: crate::run::background(&job.background)?,
            auto_regularisers: job.auto_regularisers,
            displacement: job.displacement,
            remesh: job.remesh && !flexible && !job.optimizer.contains("lm"),
            uncertainty: job.uncertainty,
            stochastic,
            optimizer: job.optimizer.clone(),
            schedule: Schedule::from_name(&job.schedule).expect("a name of the list"),
            find_lr: job.find_lr,
            loss: job.loss.clone(),
            budget: Budget::new(job.budget.iterations, job.budget.seconds, job.budget.stop_loss),
            batch: job.budget.batch,
            seed: job.common.seed,
        })
    }
}

/// Refuses what cannot be done with a shape that is no mesh.
fn check_flexible(job: &OptimizeJob) -> Result<()> {
    let usage = |flag: &str, what: &str, help: &str| {
        Err(Error::usage(flag, format!("{what} with --representation flexicubes"), help))
    };
    let shape = job.param.iter().find(|p| p.pointer.contains("/meshes/") || p.pointer.contains("Texture"));
    if let Some(p) = shape {
        return usage("--param", &format!("{} has no place", p.pointer), "factors, lights and views may change");
    }
    if job.gradient == "stochastic" {
        return usage("--gradient", "gradients cannot be estimated", "leave it out");
    }
    if job.optimizer.contains("lm") || job.uncertainty {
        return usage("--optimizer", "there are too many numbers for systems of equations", "adam, for example");
    }
    match job.grid_resolution {
        16..=256 => Ok(()),
        n => usage("--grid-resolution", &format!("{n} cells"), "16 to 256"),
    }
}

/// Refuses what cannot be done with estimated gradients.
fn check_estimates(job: &OptimizeJob) -> Result<()> {
    let usage = |flag: &str, what: &str, help: &str| {
        Err(Error::usage(flag, format!("{what} with --gradient stochastic"), help))
    };
    if !find(&job.optimizer)?.takes_estimates {
        return usage(
            "--optimizer",
            &format!("{} needs derivatives and cannot be used", job.optimizer),
            "adam, for example",
        );
    }
    if job.auto_regularisers {
        return usage("--auto-regularisers", "weights need derivatives and cannot be tuned", "leave it out");
    }
    if job.uncertainty {
        return usage("--uncertainty", "standard errors need derivatives and cannot be had", "leave it out");
    }
    match job.loss.as_str() {
        "l1" | "l2" | "charbonnier" | "huber" | "log" | "log-l2" => Ok(()),
        other => usage(
            "--loss",
            &format!("{other} is no sum over pixels and cannot be used"),
            "l1, l2, charbonnier, huber or log",
        ),
    }
}
