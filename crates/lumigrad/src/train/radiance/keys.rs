//! Keys of trainings of media.

use super::super::dataset::Dataset;
use super::super::photos::PhotoKeys;
use crate::guiding::PriorTermKeys;
use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use crate::volume::Domain;
use crate::{Error, Result};

job_keys! {
    /// Keys of photographs, and of the part of space that is modelled.
    SpaceKeys {
        include photos: PhotoKeys;
        include prior: PriorTermKeys;
        /// bounded: all is in a box around what the cameras look at; unbounded: space around the box is contracted into it.
        /// auto: bounded where pictures have alpha or masks.
        scene_type: String, Choice(&["auto", "bounded", "unbounded"]), default "\"auto\"";
        /// What pixels outside of masks are. silhouette: empty, for the mask shows what is to be reconstructed; ignore: unknown, they
        /// do not count. auto: silhouette in bounded scenes.
        masks: String, Choice(&["auto", "silhouette", "ignore"]), default "\"auto\"";
        /// Half of the box's side, in parts of what the cameras see where they look.
        extent: f64, Amount, default "1.0";
        /// Samples of a step at most; rays are left out of it until they fit.
        samples_per_step: usize, Count(1024), default "131072";
        /// Cells along a side of the grid that remembers where space is empty.
        occupancy_resolution: Option<usize>, Count(1), example "128";
        /// Weight of how far apart along a ray its light comes from (distortion), in parts of the box.
        distortion_weight: f64, Amount, default "0.0";
    }
}

impl SpaceKeys {
    /// What part of the world is modelled.
    ///
    /// # Errors
    /// An extent that is no number above 0.
    pub fn domain(&self, dataset: &Dataset) -> Result<Domain> {
        let (centre, radius) = dataset.focus();
        let cut_out = dataset.train.iter().any(|s| !s.alpha.is_empty() || !s.mask.is_empty());
        let unbounded = match self.scene_type.as_str() {
            "bounded" => false,
            "unbounded" => true,
            _ => !cut_out,
        };
        if !(self.extent > 0.0 && self.extent.is_finite()) {
            return Err(Error::usage("--extent", format!("is {}", self.extent), "a number above 0, such as 1"));
        }
        Ok(Domain::new(centre, [radius * self.extent; 3], unbounded)?)
    }
}
