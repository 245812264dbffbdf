//! Keys of trainings of media.

use super::super::dataset::Dataset;
use super::super::photos::PhotoKeys;
use super::rig::Rig;
use crate::guiding::PriorTermKeys;
use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use crate::volume::{Domain, Mapping};
use crate::{Error, Result};

job_keys! {
    /// Keys of photographs, and of the part of space that is modelled.
    SpaceKeys {
        include photos: PhotoKeys;
        include prior: PriorTermKeys;
        /// bounded: all is in a box around what the cameras look at; unbounded: space around the box is contracted into it;
        /// forward-facing: all is in front of the cameras, out to infinity (normalised device coordinates). auto: bounded where
        /// pictures have alpha or masks; forward-facing where cameras at different places, behind one another by no more than half of
        /// their largest distance from the middle, all stand before what they see and no pixel looks more than 84 degrees off
        /// their mean axis; else unbounded.
        scene_type: String, Choice(&["auto", "bounded", "forward-facing", "unbounded"]), default "\"auto\"";
        /// Depth at which forward-facing scenes begin, in front of the middle of the cameras. Without it 3/4 of the least that their
        /// bounds or points tell.
        near: Option<f64>, Amount, example "1.0";
        /// What pixels outside of masks are. silhouette: empty, for the mask shows what is to be reconstructed; ignore: unknown, they
        /// do not count. auto: silhouette in bounded scenes.
        masks: String, Choice(&["auto", "silhouette", "ignore"]), default "\"auto\"";
        /// Half of the box's side, in parts of what the cameras see where they look; forward-facing scenes have none.
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
    /// An extent that is no number above 0; cameras that do not look into one half space where the scene is to be forward-facing.
    pub fn domain(&self, dataset: &Dataset) -> Result<Domain> {
        if !(self.extent > 0.0 && self.extent.is_finite()) {
            return Err(Error::usage("--extent", format!("is {}", self.extent), "a number above 0, such as 1"));
        }
        let cut_out = || dataset.train.iter().any(|s| !s.alpha.is_empty() || !s.mask.is_empty());
        let rig = Rig::new(dataset);
        let mapping = match self.scene_type.as_str() {
            "forward-facing" => return rig.domain(self.near),
            "unbounded" => Mapping::Contracted,
            "bounded" => Mapping::Bounded,
            _ if cut_out() => Mapping::Bounded,
            _ if rig.is_forward() => return rig.domain(self.near),
            _ => Mapping::Contracted,
        };
        if self.near.is_some() {
            let message = "is of forward-facing scenes, and this is none";
            return Err(Error::usage("--near", message, "leave it out, or choose --scene-type forward-facing"));
        }
        let (centre, radius) = dataset.focus();
        Ok(Domain::new(centre, [radius * self.extent; 3], mapping)?)
    }
}
