//! Keys that all fits share.

use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use std::path::PathBuf;

job_keys! {
    /// Keys of everything that is trained step by step.
    RunKeys {
        include common: Common;
        /// Points, rays or pictures of a step.
        batch: Option<usize>, Count(1), example "16384";
        /// Steps. Without it what suits the fit, or no limit where `seconds` is given.
        iterations: Option<usize>, Count(0), example "1000";
        /// Time limit of the training; evaluation and writing come on top.
        seconds: Option<f64>, Amount, example "60.0";
        /// Stop when the loss is at or below this.
        stop_loss: Option<f64>, Amount, example "1e-5";
        /// Go on from the checkpoint in `out`, or from the one beside it that a killed run left; without one, start anew.
        resume: bool, Flag, default "false";
        /// Seconds between checkpoints of a run, kept beside `out` until it ends.
        checkpoint_every: f64, Amount, default "30.0";
        /// Steps between scores. Without it ten times in a run.
        eval_every: Option<usize>, Count(1), example "100";
        /// Run folder that is written; an existing run is replaced when this one succeeds. Without it runs/NAME.
        out: Option<PathBuf>, Path, example "\"runs/fit\"";
    }
}

job_keys! {
    /// Keys of every fit of a field: the field, its training, the run.
    FitKeys {
        include run: RunKeys;
        /// What the network sees of a point: none is the point itself, positional and fourier its waves, hash features in grids
        /// of several resolutions, dense likewise without a hash, planes features in planes. Without it what suits the fit.
        encoding: Option<String>, Choice(&["none", "positional", "fourier", "hash", "dense", "planes"]), example "\"hash\"";
        /// What the network does between its layers. Without it what suits the encoding.
        activation: Option<String>, Choice(&["sine", "relu", "leaky-relu", "softplus", "mish", "tanh", "mittag-leffler", "hermite", "fourier", "tropical"]), example "\"sine\"";
        /// Units of a hidden layer.
        width: Option<usize>, Count(1), example "256";
        /// Hidden layers.
        depth: Option<usize>, Count(1), example "4";
        /// Frequency of the first sine layer; the finer the detail of the signal, the higher.
        omega: Option<f64>, Amount, example "30.0";
        /// Let every hidden layer see the encoded point.
        skips: bool, Flag, default "false";
        /// Levels of a grid.
        levels: Option<usize>, Count(1), example "16";
        /// Features of a level: 1, 2, 4 or 8.
        features: Option<usize>, Count(1), example "2";
        /// log2 of the rows of a hashed level.
        log2_hashmap_size: Option<usize>, Count(1), example "16";
        /// Resolution of the coarsest level.
        base_resolution: Option<usize>, Count(2), example "16";
        /// Resolution of the finest level.
        finest_resolution: Option<usize>, Count(2), example "512";
        /// Weights between a grid's corners: smoothstep has derivatives that are continuous.
        interpolation: String, Choice(&["linear", "smoothstep"]), default "\"linear\"";
        /// Frequencies of the positional encoding, or features of the fourier encoding.
        frequencies: Option<usize>, Count(1), example "10";
        /// Deviation of the projections of the fourier encoding.
        sigma: f64, Amount, default "4.0";
        /// How a GPU stores the weights of networks of at most 128 units and what it keeps of them between forward and backward
        /// pass; sums are of f32 in either case.
        precision: String, Choice(&["f32", "f16"]), default "\"f32\"";
        /// Learning rate of the network at the start. Without it what suits the field.
        lr: Option<f64>, Amount, example "1e-3";
        /// Learning rate of grids at the start.
        lr_grid: f64, Amount, default "1e-2";
    }
}
