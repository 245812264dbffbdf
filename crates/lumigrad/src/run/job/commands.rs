//! The keys of every command.

use super::Kind::*;
use super::key::job_keys;
use super::values::{EnvironmentChoice, InitEntry, ParamEntry, Size, ViewSource};
use crate::fields::{DERIVATIONS, SHADINGS};
use crate::guiding::PriorTermKeys;
use lumigrad_optim::{loss, method, schedule};
use std::collections::BTreeMap;
use std::path::PathBuf;

job_keys! {
    /// Keys of every command.
    Common {
        /// Where to compute. `auto` is a hardware GPU where there is one, else the CPU; `gpu:software` is a Vulkan driver
        /// that runs on the CPU, for tests.
        device: String, Choice(&["auto", "cpu", "gpu", "gpu:software"]), default "\"auto\"";
        /// Seed of everything random.
        seed: u64, Count(0), default "0";
        /// CPU threads; 0: one per core. Results are the same bits for any number.
        threads: usize, Count(0), default "0";
        /// Prefer reproducible kernels on GPUs too; the CPU is always deterministic.
        deterministic: bool, Flag, default "false";
        /// Print one JSON object on standard output, and nothing else there.
        json: bool, Flag, default "false";
        /// No progress and no summary.
        quiet: bool, Flag, default "false";
        /// Print time and bytes per kernel at the end.
        profile: bool, Flag, default "false";
    }
}

job_keys! {
    /// When an optimisation ends. Schedules follow max(iteration / iterations, elapsed / seconds).
    BudgetKeys {
        /// Steps. Without it 500, or no limit where `seconds` is given.
        iterations: Option<usize>, Count(0), example "500";
        /// Time limit of the optimisation; evaluation and writing come on top.
        seconds: Option<f64>, Amount, example "60.0";
        /// Stop when the training loss, the mean over all training views, is at or below this.
        stop_loss: Option<f64>, Amount, example "0.001";
        /// Views per step. Without it 1, or all where cameras are optimised. Levenberg-Marquardt takes all, this many at a
        /// time, which bounds its memory; without it together.
        batch: Option<usize>, Count(1), example "1";
        /// Go on from the checkpoint in `out`, or from the one beside it that a killed run left; without one, start anew.
        resume: bool, Flag, default "false";
        /// Seconds between checkpoints of a run, kept beside `out` until it ends.
        checkpoint_every: f64, Amount, default "30.0";
    }
}

job_keys! {
    /// Recover textures, shape, light, materials and cameras of a scene from pictures.
    OptimizeJob {
        include budget: BudgetKeys;
        include common: Common;
        include prior: PriorTermKeys;
        /// The scene to change: .glb, .gltf, .obj, .ply or .stl.
        scene: Option<PathBuf>, Path, example "\"scene.glb\"";
        /// What to match: a folder of posed pictures (transforms.json, COLMAP, LLFF), or with `target` a number of views on
        /// a sphere around it, one in eight held out.
        views: Option<ViewSource>, PathOrCount, example "24";
        /// A scene whose pictures, rendered here, are to be matched.
        target: Option<PathBuf>, Path, example "\"target.glb\"";
        /// Columns and rows of views rendered from `target`.
        size: Size, Size, default "\"256x256\"";
        /// Read pictures in linear light from .exr files.
        hdr: bool, Flag, default "false";
        /// Reduce posed pictures to 1/N of the size in their camera file.
        downscale: Option<usize>, Count(1), example "2";
        /// Bound of the longer side of posed pictures, pixels.
        max_size: Option<usize>, Count(1), example "800";
        /// What pictures with alpha are matched over: white, black, random or R,G,B.
        background: String, Text, default "\"black\"";
        /// What kind of scene the pictures show.
        scene_type: String, Choice(&["auto", "bounded", "forward-facing", "unbounded"]), default "\"auto\"";
        /// Light from all around: an equirectangular .hdr or .exr file, or the radiance R,G,B. Without it a constant 1, or
        /// none where the scene has lights of its own; with flexicubes and `target` another colour from each of six sides. It lights the
        /// scene and is not drawn.
        environment: Option<EnvironmentChoice>, PathOrColor, example "\"sky.hdr\"";
        /// Where the environment is optimised (--param /environment): over how many texels, squared, each step is spread.
        environment_smoothness: f64, Amount, default "1.0";
        /// Weight of the total variation of optimised textures beside the loss: keeps out noise where pictures say
        /// little, and fills what none of them sees; 0: none.
        texture_smoothness: f64, Amount, default "0.0";
        /// Weight of the squared uniform Laplacian of optimised shapes, in squares of their mean edge at the start: keeps
        /// surfaces smooth; 0: none. Steps are smooth without it (Nicolet et al. 2021).
        laplacian: f64, Amount, default "0.0";
        /// Weight of 1 − cos of the angle between neighbouring triangles of optimised shapes.
        normal_consistency: f64, Amount, default "0.0";
        /// Weight of the squared differences of optimised shapes' edges from the mean edge at the start, in squares of it.
        edge_length: f64, Amount, default "0.0";
        /// Let the weight of `texture_smoothness` tune itself: every eighth training picture is held out and judges it, by
        /// implicit differentiation (Lorraine et al. 2020).
        auto_regularisers: bool, Flag, default "false";
        /// Optimiser.
        optimizer: String, Choice(&method::NAMES), default "\"adam\"";
        /// How derivatives are made.
        gradient: String, Choice(&["analytic", "stochastic"]), default "\"analytic\"";
        /// How pictures are compared.
        loss: String, Choice(&loss::NAMES), default "\"l1\"";
        /// What shape is made of: mesh moves the vertices of the scene's, where a --param names them; flexicubes replaces the
        /// scene's only mesh by the surface of a signed distance on a grid, which starts at the mesh, is optimised whatever
        /// else is, and can change its topology and get sharp edges (Shen et al. 2023).
        representation: String, Choice(&["mesh", "flexicubes"]), default "\"mesh\"";
        /// With flexicubes: cells of the grid along the longest side of the scene, 16 to 256.
        grid_resolution: usize, Count(2), default "64";
        /// With flexicubes: pierce the shape and begin new parts where the loss's derivative by a vanishing hole or ball says so
        /// (Mehta et al. 2023), twelve times in the first part of the run.
        topology: bool, Flag, default "false";
        /// Give optimised shapes even triangles, and more of them, after 20, 40 and 60 % of the run (Botsch & Kobbelt 2004).
        /// Surfaces that carry textures, colours or joints keep their triangles, and so does Levenberg-Marquardt.
        remesh: bool, Flag, default "true";
        /// Shapes are displaced: each vertex moves along its normal only, one number instead of three.
        displacement: bool, Flag, default "false";
        /// Turn each view by DEGREES about a random axis and move it by PERCENT of its distance to the scene.
        perturb_cameras: Option<[f64; 2]>, Numbers(2), example "[5.0, 5.0]";
        /// Estimate standard errors of the result.
        uncertainty: bool, Flag, default "false";
        /// How learning rates change over the run; one-cycle rises and falls once, with momentum against it (Smith 2018).
        schedule: String, Choice(&schedule::NAMES), default "\"exponential\"";
        /// Scale all learning rates by a range test first: they rise until the loss does, a tenth of that is used (Smith 2017).
        find_lr: bool, Flag, default "false";
        /// Print the parameters of the scene with their shapes, and end.
        list_params: bool, Flag, default "false";
        /// Run folder that is written; an existing run is replaced when this one succeeds. Without it runs/NAME.
        out: Option<PathBuf>, Path, example "\"runs/scene\"";
        /// What may change: glTF object-model pointers with `*` and names, each with its own rate; the views' poses and
        /// lenses are /views/*/pose and /views/*/intrinsics, the light from all around is /environment. Repeatable flag; flags replace the file's list.
        param: Vec<ParamEntry>, Params, example "[{ pointer = \"/materials/*/pbrMetallicRoughness/baseColorTexture\", lr = 0.01 }]";
        /// Where parameters start: a number, numbers, a picture, or noise:SIGMA (the present value times exp(SIGMA·n)).
        /// Repeatable flag; flags are added to the file's table.
        init: BTreeMap<String, InitEntry>, Inits, example "{ \"/materials/*/pbrMetallicRoughness/baseColorTexture\" = 0.5 }";
    }
}

job_keys! {
    /// Draw the loss around the solution of an `optimize` run.
    LandscapeJob {
        include common: Common;
        /// The run folder.
        run: Option<PathBuf>, Path, example "\"runs/scene\"";
        /// Losses along each of two random directions; an odd number.
        samples: usize, Count(3), default "25";
        /// How far the directions go, in lengths of what is optimised.
        range: f64, Amount, default "1.0";
        /// Folder for landscape.html, .png and .json. Without it the run folder.
        out: Option<PathBuf>, Path, example "\"landscape\"";
    }
}

job_keys! {
    /// Train Gaussian splats on posed photographs.
    TrainSplatsJob {
        include common: Common;
        include prior: PriorTermKeys;
        /// Folder of posed pictures: transforms.json, COLMAP or LLFF.
        data: Option<PathBuf>, Path, example "\"photos\"";
        /// How much is spent where nothing else is said: 2000, 7000 or 30000 steps, and at most 4, 10 or 20 times the Gaussians
        /// of the start.
        preset: String, Choice(&["quick", "standard", "best"]), default "\"standard\"";
        /// Steps, of one picture each. Without it the preset's, or no limit where `seconds` is given.
        iterations: Option<usize>, Count(0), example "7000";
        /// Time limit of the training; evaluation and writing come on top.
        seconds: Option<f64>, Amount, example "600.0";
        /// Stop when the loss, the mean over the last pictures, is at or below this.
        stop_loss: Option<f64>, Amount, example "0.01";
        /// Go on from the checkpoint in `out`, or from the one beside it that a killed run left; without one, start anew.
        resume: bool, Flag, default "false";
        /// Seconds between checkpoints of a run, kept beside `out` until it ends.
        checkpoint_every: f64, Amount, default "30.0";
        /// Steps between scores of the held-out pictures. Without it ten times in a run.
        eval_every: Option<usize>, Count(1), example "1000";
        /// Reduce pictures to 1/N of the size in their camera file.
        downscale: Option<usize>, Count(1), example "2";
        /// Bound of the longer side of pictures, pixels.
        max_size: Option<usize>, Count(1), example "800";
        /// What stands behind Gaussians and transparent pictures: white, black, random or R,G,B.
        background: String, Text, default "\"black\"";
        /// Most Gaussians. Without it the preset's multiple of those of the start, at least 10000, 20000 or 100000.
        max_splats: Option<usize>, Count(1), example "100000";
        /// Most bytes of splats.ply: as many Gaussians as fit.
        max_bytes: Option<usize>, Count(1), example "20000000";
        /// How Gaussians are placed where they are needed: mcmc explores by noise; adc clones and splits those that pictures
        /// pull at, as 3DGS does, absgrad likewise by the sum of the pixels' pulls; fixed keeps those of the start.
        strategy: String, Choice(&["mcmc", "adc", "absgrad", "fixed"]), default "\"mcmc\"";
        /// Photographs with passers-by and other changes: dual trains two models that must agree, ema one and its moving
        /// average.
        robust: String, Choice(&["none", "dual", "ema"]), default "\"none\"";
        /// Optimiser: adam+lm ends with Levenberg-Marquardt, for the last quarter of the run. adam is fused with the renderer
        /// on the CPU; others take longer steps.
        optimizer: String, Choice(&method::NAMES), default "\"adam\"";
        /// Learn where the photographs were taken from: poses that are a little off make Gaussians blurred.
        refine_poses: bool, Flag, default "false";
        /// Rate of poses at the start, radians and parts of the scene's extent: 1e-4 suits poses of structure from motion,
        /// 1e-3 such that are a degree off.
        pose_rate: f64, Amount, default "1e-4";
        /// Learn how each photograph was exposed, an affine map of its colours; pictures are rendered as without.
        exposures: bool, Flag, default "false";
        /// Weight of the difference to depth maps, where the data set has them (`depth_file_path` of a transforms.json), in
        /// units of the scene's extent.
        depth_weight: f64, Amount, default "0.1";
        /// Weight of the difference to normal maps, where the data set has them (`normal_file_path` of a transforms.json: PNG
        /// of 0.5 n + 0.5, or EXR; `normal_space` opencv, opengl or world).
        normal_map_weight: f64, Amount, default "0.05";
        /// Learn how each photograph was toned, place by place and tone by tone: a bilateral grid of affine maps of colours.
        bilateral_grid: bool, Flag, default "false";
        /// Degree of the spherical harmonics, 0 to 4.
        sh_degree: usize, Count(0), default "3";
        /// Where Gaussians start: sfm takes the data set's points where it has them, random fills what the cameras see,
        /// mesh:FILE covers the surface of a scene (.glb, .gltf, .obj, .ply, .stl) that stands where the cameras see it.
        init: String, Text, default "\"sfm\"";
        /// Kernel: classic is that of 3DGS, mip keeps the brightness of small Gaussians (Mip-Splatting), surfel makes them flat
        /// discs whose depths and normals are those of a surface (2DGS).
        kernel: String, Choice(&["classic", "mip", "surfel"]), default "\"classic\"";
        /// How Gaussians become pictures: splat composites them in the order of their depths, raycast lets light fade in their
        /// densities along rays, without popping (RayGauss).
        renderer: String, Choice(RENDERERS), default "\"splat\"";
        /// With the surfel kernel: weight of how far apart along a ray is what it sees, after a tenth of the run.
        distortion_weight: f64, Amount, default "0.0";
        /// With the surfel kernel: weight of the difference between normals of surfels and of depths, after a quarter of the run.
        normal_weight: f64, Amount, default "0.05";
        /// With the mip kernel: make no Gaussian finer than what the photographs tell apart (its 3-D filter), so that surfaces
        /// neither thin out nor break up where they are looked at from nearer. Fine detail is softer at the photographs' own
        /// scale.
        smoothing: bool, Flag, default "false";
        /// Run folder that is written; an existing run is replaced when this one succeeds. Without it runs/NAME.
        out: Option<PathBuf>, Path, example "\"runs/photos\"";
    }
}

/// How Gaussians become pictures.
const RENDERERS: &[&str] = &["splat", "raycast"];

/// Auxiliary pictures of `render`.
pub const AOVS: &[&str] = &["depth", "median_depth", "normal", "albedo", "metallic", "roughness", "uv", "id", "mask"];

job_keys! {
    /// Render a scene, splats, a field or the result of a run.
    RenderJob {
        include common: Common;
        /// What to render: a scene (.glb, .gltf, .obj, .ply, .stl), splats (.ply, .splat, .spz, .sog, .glb), a field
        /// (field.safetensors: its surface, or the picture, video or sound that it was fitted to) or a run folder.
        model: Option<PathBuf>, Path, example "\"scene.glb\"";
        /// Where from: the name of a camera in the scene, orbit:N for N views around it (of what was trained
        /// as a forward-facing scene, from a small circle in front of it), or a transforms.json file. Without it the scene's first
        /// camera, else orbit:1.
        camera: Option<String>, Camera, example "\"orbit:8\"";
        /// Columns and rows. Without it 512x512, or what a picture's field was fitted to.
        size: Option<Size>, Size, example "\"512x512\"";
        /// Light from all around: an equirectangular .hdr or .exr file, or the radiance R,G,B. Without it a constant 1, or
        /// none where the scene has lights of its own, or lamps beside the camera for the surfaces of fields.
        environment: Option<EnvironmentChoice>, PathOrColor, example "\"sky.hdr\"";
        /// Materials of lumigrad fit material (a field.safetensors or its run folder) in place of a scene's own, repeatable: of the
        /// material of a name or number, or of all of them.
        material: Vec<String>, Materials, example "[\"gold=runs/material\"]";
        /// Auxiliary pictures beside colour, written as EXR: depth, normal, albedo, metallic, roughness, uv, id, mask;
        /// of splats depth (the mean), median_depth, normal and mask; of fields depth, normal and mask.
        aov: Vec<String>, Words(AOVS), default "[]";
        /// Format of colour: png is display-encoded, exr linear.
        format: String, Choice(&["png", "exr"]), default "\"png\"";
        /// Make a video of the pictures too, over black: .mp4, .webm or .gif, by an installed ffmpeg.
        video: Option<PathBuf>, Path, example "\"turn.mp4\"";
        /// Pictures in a second of the video, without it 30; of a sound's field samples in a second, without it the sound's.
        rate: Option<f64>, Amount, example "30.0";
        /// How splats are drawn: splat or raycast, as they were trained. Without it splat.
        renderer: Option<String>, Choice(RENDERERS), example "\"raycast\"";
        /// How a field's surface is shown: lit, its normals or its mean curvature (blue where it is hollow, red where it bulges)
        /// as colours, or as a mirror of `environment`, without one of bands of light, by which rough normals are seen.
        /// Without it lit.
        shading: Option<String>, Choice(SHADINGS), example "\"mirror\"";
        /// Normals and curvature of a field: polyfit by polynomials fitted around each point, which see through the roughness
        /// of grids, ad by differentiation. Without it polyfit.
        normals: Option<String>, Choice(DERIVATIONS), example "\"ad\"";
        /// Deviation of the fitted operator, in parts of the shape's longest side. Without it the one that the fit chose, or about
        /// that of a cell of the field's finest grid.
        polyfit_sigma: Option<f64>, Amount, example "0.01";
        /// Rays along each side of a pixel of a field's surface; 2 have smooth outlines and take four times as long. Without it 1.
        rays: Option<usize>, Count(1), example "2";
        /// A field's time: of a surface that moves from 0 to the duration it was fitted for, without it the end; of a video the
        /// frame, from 0, or between two.
        time: Option<f64>, Number, example "0.5";
        /// Pictures from the beginning to the end of a field that moves. Without it all frames of a video, one of a surface.
        frames: Option<usize>, Count(1), example "60";
        /// Folder for the pictures.
        out: PathBuf, Path, default "\"render\"";
    }
}

job_keys! {
    /// Compare pictures or surfaces.
    EvalJob {
        include common: Common;
        /// What is judged: a folder of pictures, a picture, a run folder, or a surface (.glb, .gltf, .obj, .ply, .stl).
        a: Option<PathBuf>, Path, example "\"result\"";
        /// What it is compared with, of the same sort; pictures are matched by name.
        against: Option<PathBuf>, Path, example "\"reference\"";
        /// Points drawn on each surface.
        samples: usize, Count(100), default "100000";
    }
}

job_keys! {
    /// Convert a scene (.glb, .gltf, .obj) or splats (.ply, .compressed.ply, .splat, .spz, .sog, .glb).
    ConvertJob {
        include common: Common;
        /// The file to read.
        from: Option<PathBuf>, Path, example "\"scene.glb\"";
        /// The file to write; its ending is the format.
        to: Option<PathBuf>, Path, example "\"scene.gltf\"";
        /// Splats: most Gaussians; those that pictures show least are left out.
        max_splats: Option<usize>, Count(1), example "100000";
        /// Splats: most bytes of the file, such as 5000000; Gaussians are left out until it fits.
        max_size: Option<usize>, Count(1), example "5000000";
    }
}

job_keys! {
    /// Show devices, instruction sets, the limits that matter, and which device `auto` takes.
    DevicesJob {
        include common: Common;
    }
}

job_keys! {
    /// Measure speed. Cases and counting rules stand in benches/README.md.
    BenchJob {
        include common: Common;
        /// What to measure.
        group: String, Choice(&["core", "raster", "splats", "fields", "voxels", "guidance", "all"]), default "\"all\"";
    }
}
