//! Videos of rendered pictures, made by an installed ffmpeg.

use crate::{Error, Result};
use lumigrad_scene::picture::Picture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes a video of pictures of one size, over black, `rate` of them in a second; its ending says which kind.
///
/// # Errors
/// There is no ffmpeg, or it refuses; pictures of different sizes.
pub fn video(pictures: &[PathBuf], rate: f64, to: &Path) -> Result<()> {
    let Some(first) = pictures.first() else { return Ok(()) };
    let shown = |path: &Path| -> Result<Picture> { Ok(Picture::load(path)?.into_srgb().over([0.0; 3])) };
    let Picture { width, height, .. } = shown(first)?;
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
    ffmpeg.args(["-s", &format!("{width}x{height}"), "-r", &rate.to_string(), "-i", "-"]);
    // The usual codecs want even sides.
    ffmpeg.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]).arg(to);
    let started = ffmpeg.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let folder = first.parent().unwrap_or(Path::new("."));
    let mut child = started.map_err(|e| {
        let help = format!("install ffmpeg, or make the video of the pictures in {}", folder.display());
        Error::usage("--video", format!("ffmpeg cannot be started: {e}"), help)
    })?;
    let mut pipe = child.stdin.take().expect("its input is piped");
    for path in pictures {
        let picture = shown(path)?;
        if (picture.width, picture.height) != (width, height) {
            _ = child.kill();
            let message = format!("{}x{}, others have {width}x{height}", picture.width, picture.height);
            return Err(Error::file(path.display(), message, "a video has pictures of one size"));
        }
        let bytes: Vec<u8> = picture.data.iter().map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        // Where ffmpeg has ended, what it says is of more use.
        if pipe.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(pipe);
    let done = child.wait_with_output().map_err(|e| Error::io(to, e))?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr);
            let help = "the ending must be one that ffmpeg knows: .mp4, .webm, .gif";
            Err(Error::file(to.display(), format!("ffmpeg: {}", said.trim().replace('\n', "; ")), help))
        }
    }
}
