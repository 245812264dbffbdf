//! What a morph writes: figures, the field, frames, the page.

use super::task::{MorphTask, mixed};
use crate::Result;
use crate::fit::drive::Output;
use crate::fit::frames::picture;
use crate::fit::image::centres;
use lumigrad_core::Tensor;
use lumigrad_field::Model;
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;

/// Frames on the page.
const SHOWN: usize = 5;
/// Distance and half the width of the lines that show the warp, in the domain.
const LINES: f32 = 0.125;
const LINE: f32 = 0.006;

impl MorphTask {
    pub fn write(&self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let judged = self.judge(values)?;
        output.figure("landmark_error_px", "Landmarks, mean error", judged.landmarks, 3, " px");
        output.summary.metric("landmark_error_max_px", judged.farthest_landmark);
        output.figure("inverse_error", "T(T(x, t), −t) − x, RMS", judged.inverse_rms, 6, "");
        output.summary.metric("inverse_error_max", judged.inverse);
        output.figure("min_determinant", "det ∂T/∂x, least", judged.least_determinant, 4, "");
        output.summary.metric("folded_percent", 100.0 * judged.folded);
        output.figure("bending", "Thin plate, mean", judged.bending, 6, "");
        if judged.folded > 0.0 {
            let part = 100.0 * judged.folded;
            output.summary.warnings.push(format!(
                "the warp folds over at {part:.2} % of places and times: move landmarks that cross each other, or raise --smoothness"
            ));
        }
        self.model(values, output)?;
        let (w, h) = self.sides[0].size();
        let places = centres(w, h);
        let last = (self.job.frames - 1) as f32;
        let frame = |time: f32| -> Result<Picture> { Ok(picture(w, h, self.frame(values, &places, time)?)) };
        output.frames(self.job.frames, &self.job.written, |k| frame(k as f32 / last))?;
        let names: Vec<String> = (0..SHOWN).map(|k| format!("t = {}", k as f32 / (SHOWN - 1) as f32)).collect();
        let times = || (0..SHOWN).map(|k| k as f32 / (SHOWN - 1) as f32);
        let shown = times().map(frame).collect::<Result<Vec<_>>>()?;
        let fade = mixed(&self.sides[0].colours(&places)?, &self.sides[1].colours(&places)?, 0.5);
        let mut halfway = vec![("faded", picture(w, h, fade)), ("morphed", shown[SHOWN / 2].clone())];
        if self.blend.is_some() {
            halfway.insert(1, ("linear blend", picture(w, h, self.mean(values, &places, 0.5)?)));
        }
        output.slider("halfway", "without and with the warp".into(), halfway)?;
        let named = |pictures: Vec<Picture>| names.iter().map(String::as_str).zip(pictures).collect();
        output.gallery("frames", "", named(shown))?;
        let grids = times().map(|time| self.grid(values, &places, time)).collect::<Result<Vec<_>>>()?;
        output.gallery("the first picture's places", "", named(grids))
    }

    fn model(&self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let size = |k: usize| format!("{}x{}", self.sides[k].size().0, self.sides[k].size().1);
        let facts = [("kind", "warp".into()), ("warp", "T(x, t) = x + t f(x, t)".into())];
        let sizes = [("size", size(0)), ("target_size", size(1))];
        let facts: BTreeMap<String, String> = facts.into_iter().chain(sizes).map(|(k, v)| (k.to_owned(), v)).collect();
        output.model(&self.warp.field, self.of_warp(values), facts)?;
        let Some(blend) = &self.blend else { return Ok(()) };
        let facts =
            [("kind", "blend"), ("added", "4 t (1 - t) (1 - (x/a)^2) (1 - (y/b)^2) g(x, 2 t - 1) in |x| < a, |y| < b")];
        let facts = facts.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        let half = ("half".to_owned(), format!("{:?}", blend.half()));
        let values = values[self.n_warp()..].to_vec();
        let model = Model { field: blend.field.clone(), values, facts: facts.chain([half]).collect() };
        output.file("blend", "blend.safetensors", &model.to_bytes()?)
    }

    /// Where lines over the first picture are at a time, over the picture as it is then, darkened.
    fn grid(&self, values: &[Tensor], places: &[f32], time: f32) -> Result<Picture> {
        let (w, h) = self.sides[0].size();
        let from = self.warp.sample(self.of_warp(values), places, -time)?;
        let mut data = self.sides[0].colours(&from)?;
        let width = LINE.max(1.0 / w.max(h) as f32);
        let on = |x: f32| (x / LINES - (x / LINES).round()).abs() * LINES < width;
        for (place, colours) in from.chunks_exact(2).zip(data.chunks_exact_mut(self.sides[0].picture.channels)) {
            let line = on(place[0]) || on(place[1]);
            colours.iter_mut().for_each(|x| *x = if line { 1.0 } else { 0.6 * *x });
        }
        Ok(picture(w, h, data))
    }
}
