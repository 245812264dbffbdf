//! What can go wrong.

impl From<lumigrad_optim::Error> for Error {
    fn from(e: lumigrad_optim::Error) -> Self {
        Error::Device { message: e.to_string() }
    }
}

/// Why Gaussians cannot be drawn or trained.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An array's length disagrees with the number of Gaussians.
    #[error("{name} has {found} entries, expected {expected} (from the number of Gaussians)")]
    Length {
        /// The array.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// Spherical harmonics of too high a degree.
    #[error("sh_degree is {found}, expected at most 4; drop the higher bands")]
    Degree {
        /// The degree.
        found: usize,
    },
    /// Something that needs ellipsoids.
    #[error("this cannot be done with surfels (2DGS); choose the classic or the mip kernel")]
    Surfels,
    /// Something that is not ray cast.
    #[error("{message}")]
    Rays {
        /// What, and what to do.
        message: String,
    },
    /// Something that needs cameras that stand still.
    #[error("cameras with a rolling shutter are not for this; render, or train by a device trainer")]
    Shutter,
    /// The camera is not a camera.
    #[error("the view has non-finite numbers or a focal length that is not positive; check its camera")]
    Camera,
    /// The picture is too large.
    #[error("a picture of {width} x {height} pixels is too large, expected at most 2^28 pixels; downscale it")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// Too many Gaussians cover too much of a picture.
    #[error(
        "Gaussians touch {entries} tiles of a picture, expected at most {most}; draw a smaller picture or prune them"
    )]
    Lists {
        /// Gaussians in tiles.
        entries: usize,
        /// The most that are listed.
        most: usize,
    },
    /// The device cannot do it.
    #[error("{message}")]
    Device {
        /// What it says.
        message: String,
    },
    /// A training picture has the wrong number of pixels, or there is none.
    #[error("training picture {index} has {found} pixels, expected {expected} (from its view, at least one)")]
    Picture {
        /// Which picture.
        index: usize,
        /// Its number of pixels.
        found: usize,
        /// Width times height of its view.
        expected: usize,
    },
}
