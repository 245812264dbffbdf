//! Small pictures of surfaces on the pages of fits.

use super::drive::Output;
use crate::Result;
use crate::fields::operators::{Derivation, Operators, differentiated};
use crate::fields::render::{bounds, framing};
use crate::fields::seen::Seen;
use crate::fields::shade::{amounts, curvature_colours, scale_of};
use crate::fields::shading;
use crate::fields::solid::Solid;
use crate::fields::trace::steepest;
use crate::run::ELEVATION;
use crate::run::job::Size;
use crate::run::report::{Gallery, Image};
use lumigrad_scene::camera::{View, orbit};
use lumigrad_scene::picture::{Picture, Transfer};

/// Columns and rows.
const SIZE: Size = Size { width: 200, height: 200 };
/// Rays along each side of a pixel, where colours may be mixed.
const RAYS: usize = 2;
/// Side of a picture of a strip.
const STRIP: usize = 128;

/// How far points of the domain, three numbers each, are from where they should be, and what that is called.
pub type Off<'a> = (&'a str, &'a dyn Fn(&[f32]) -> Vec<f32>);

/// Shows a surface: lit, its curvature, its error where that is known; its normals and what it mirrors, by differentiation
/// and by the fitted operator.
pub fn surface(solid: &Solid, operators: &Operators, off: Option<Off>, output: &mut Output) -> Result<()> {
    let Some(view) = camera(std::slice::from_ref(solid), SIZE)? else { return Ok(()) };
    let steepest = steepest(solid)?;
    let fine = Seen::new(solid, &view.clone().resized(RAYS * SIZE.width, RAYS * SIZE.height), steepest)?;
    let own = operators.normals(solid, Derivation::Ad, &fine.points)?;
    let fitted = operators.normals(solid, Derivation::PolyFit, &fine.points)?;
    let shown = |colours: &[[f32; 3]], transfer| fine.picture(colours, transfer).resized(SIZE.width, SIZE.height);
    let lit = shown(&shading::lit(&fitted, &fine.directions, &view, None), Transfer::Linear);

    // One ray: curvature needs many evaluations, and errors have no mean.
    let seen = Seen::new(solid, &view, steepest)?;
    let curvatures = operators.curvatures(solid, Derivation::PolyFit, &seen.points)?;
    let range = scale_of(&curvatures);
    let mut states = vec![
        ("lit".to_owned(), lit),
        (format!("mean curvature, ±{range:.3}"), seen.picture(&curvature_colours(&curvatures, range), Transfer::Srgb)),
    ];
    if let Some((name, of)) = off {
        let errors = of(&seen.points);
        let range = scale_of(&errors);
        states.push((format!("{name}, 0 to {range:.1e}"), seen.picture(&amounts(&errors, range), Transfer::Srgb)));
    }
    output.slider("surface", String::new(), states)?;
    let both = |colours: &dyn Fn(&[[f32; 3]]) -> Picture| {
        vec![("differentiated".to_owned(), colours(&own)), ("fitted".to_owned(), colours(&fitted))]
    };
    let bands = shading::bands();
    let normals = both(&|n| shown(&shading::normal_colours(n), Transfer::Srgb));
    let mirrors = both(&|n| shown(&shading::mirror(n, &fine.directions, &bands), Transfer::Linear));
    output.slider("normals", String::new(), normals)?;
    output.slider("mirror", String::new(), mirrors)
}

/// Shows moments of a surface that moves side by side.
pub fn strip(moments: &[(String, Solid)], output: &mut Output) -> Result<()> {
    let Some(view) = camera(moments.iter().map(|(_, solid)| solid), Size { width: STRIP, height: STRIP })? else {
        return Ok(());
    };
    let fine = view.clone().resized(RAYS * STRIP, RAYS * STRIP);
    let mut strip = Gallery { name: "Moments".into(), ..Gallery::default() };
    for (name, solid) in moments {
        let seen = Seen::new(solid, &fine, steepest(solid)?)?;
        let normals = differentiated(solid, &seen.points)?;
        let lit = shading::lit(&normals, &seen.directions, &view, None);
        let picture = seen.picture(&lit, Transfer::Linear).resized(STRIP, STRIP);
        strip.states.push((name.clone(), Image::new(&picture.into_srgb(), STRIP)?));
    }
    output.report.galleries.push(strip);
    Ok(())
}

/// The camera that sees all of several surfaces; `None` where there are none.
fn camera<'a, 's: 'a>(solids: impl IntoIterator<Item = &'a Solid<'s>>, size: Size) -> Result<Option<View>> {
    let Some(bounds) = bounds(solids)? else { return Ok(None) };
    Ok(orbit(1, &framing(bounds, size), ELEVATION).pop())
}
