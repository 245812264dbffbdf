//! Sounds in and out of WAV files.

use crate::{Error, Result};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::io::Cursor;
use std::path::Path;

/// Samples of one or more channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples in a second.
    pub rate: u32,
    /// Channels.
    pub channels: usize,
    /// [samples, channels]; full scale is 1.
    pub data: Vec<f32>,
}

impl Sound {
    /// Samples of a channel.
    pub fn len(&self) -> usize {
        self.data.len() / self.channels.max(1)
    }

    /// Its duration.
    pub fn seconds(&self) -> f64 {
        self.len() as f64 / self.rate.max(1) as f64
    }

    /// One channel.
    pub fn channel(&self, c: usize) -> Vec<f32> {
        self.data.iter().skip(c).step_by(self.channels).copied().collect()
    }

    /// Reads a WAV file: PCM of 8 to 32 bits, whose range becomes [−1, 1), or 32-bit floats as they are.
    ///
    /// # Errors
    /// A file that is missing, cut off, of another format or without samples; samples that are not finite.
    pub fn load(path: &Path, max_seconds: Option<f64>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let fails = |what: String, help: &str| Err(Error::file(path.display(), what, help));
        let refused = |e: hound::Error| match e {
            hound::Error::Unsupported => {
                let help = "convert it to WAV with 16-bit PCM or 32-bit float samples";
                Error::file(path.display(), "samples that are neither PCM of at most 32 bits nor 32-bit floats", help)
            }
            hound::Error::IoError(_) => {
                Error::file(path.display(), "the file ends within its header", "give a whole WAV file")
            }
            e => Error::file(path.display(), format!("no WAV file: {e}"), "give a file that begins with RIFF and WAVE"),
        };
        let mut reader = WavReader::new(Cursor::new(&bytes[..])).map_err(refused)?;
        let spec = reader.spec();
        let channels = spec.channels as usize;
        if channels == 0 || spec.sample_rate == 0 {
            let what = format!("{channels} channels of {} samples a second", spec.sample_rate);
            return fails(what, "expected at least 1 of each");
        }
        let most = max_seconds.map_or(usize::MAX, |s| (s * spec.sample_rate as f64).ceil().max(1.0) as usize);
        let declared = reader.duration() as usize;
        let wanted = declared.min(most).saturating_mul(channels);
        let full = (1u64 << (spec.bits_per_sample.max(1) - 1).min(62)) as f32;
        let data: std::result::Result<Vec<f32>, hound::Error> = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().take(wanted).collect(),
            SampleFormat::Int => reader.samples::<i32>().take(wanted).map(|s| Ok(s? as f32 / full)).collect(),
        };
        let data = match data {
            Ok(data) => data,
            Err(hound::Error::IoError(_)) => {
                let what = format!("the file ends before the {declared} samples that its header announces");
                return fails(what, "give the whole file, or a part by --max-seconds");
            }
            Err(e) => return Err(refused(e)),
        };
        if data.is_empty() {
            return fails("a sound without samples".into(), "give one that has some");
        }
        if let Some(k) = data.iter().position(|x| !x.is_finite()) {
            let time = (k / channels) as f64 / spec.sample_rate as f64;
            return fails(format!("the sample at {time:.6} s is not finite"), "repair the sound");
        }
        Ok(Self { rate: spec.sample_rate, channels, data })
    }

    /// A WAV file of 32-bit floats.
    ///
    /// # Errors
    /// More than a WAV file holds.
    pub fn to_wav(&self) -> Result<Vec<u8>> {
        self.write(SampleFormat::Float, 32, |writer, x| writer.write_sample(x))
    }

    /// A WAV file of 16-bit PCM, for pages; what is beyond full scale is cut off.
    ///
    /// # Errors
    /// More than a WAV file holds.
    pub fn to_wav_16(&self) -> Result<Vec<u8>> {
        self.write(SampleFormat::Int, 16, |writer, x| {
            writer.write_sample((x * 32768.0).round().clamp(-32768.0, 32767.0) as i16)
        })
    }

    fn write(
        &self,
        sample_format: SampleFormat,
        bits_per_sample: u16,
        mut write: impl FnMut(&mut WavWriter<&mut Cursor<Vec<u8>>>, f32) -> hound::Result<()>,
    ) -> Result<Vec<u8>> {
        let invalid = |e: hound::Error| Error::job(format!("the sound cannot be written as WAV: {e}"));
        let spec = WavSpec { channels: self.channels as u16, sample_rate: self.rate, bits_per_sample, sample_format };
        let mut file = Cursor::new(vec![]);
        let mut writer = WavWriter::new(&mut file, spec).map_err(invalid)?;
        for &x in &self.data {
            write(&mut writer, x).map_err(invalid)?;
        }
        writer.finalize().map_err(invalid)?;
        Ok(file.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: &[u8]) -> Result<Sound> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, bytes).unwrap();
        Sound::load(&path, None)
    }

    /// A file of one chunk of format and one of data, written by hand.
    fn file(tag: u16, channels: u16, bits: u16, extra: &[u8], data: &[u8]) -> Vec<u8> {
        let block = channels * bits.div_ceil(8);
        let mut format = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
        format.extend(8000u32.to_le_bytes());
        format.extend((8000 * block as u32).to_le_bytes());
        format.extend(block.to_le_bytes());
        format.extend(bits.to_le_bytes());
        format.extend(extra);
        let chunk = |name: &[u8], body: &[u8]| [name, &(body.len() as u32).to_le_bytes(), body].concat();
        let body = [b"WAVE".to_vec(), chunk(b"fmt ", &format), chunk(b"LIST", b"abcd"), chunk(b"data", data)].concat();
        chunk(b"RIFF", &body)
    }

    #[test]
    fn sounds_of_every_kind_are_read() {
        assert_eq!(load(&file(1, 1, 8, &[], &[0, 128, 255])).unwrap().data, [-1.0, 0.0, 127.0 / 128.0]);
        let sixteen = load(&file(1, 2, 16, &[], &[0, 0x80, 0, 0x40])).unwrap();
        assert_eq!((sixteen.channels, sixteen.rate, sixteen.len()), (2, 8000, 1));
        assert_eq!(sixteen.data, [-1.0, 0.5]);
        assert_eq!(load(&file(1, 1, 24, &[], &[0, 0, 0xc0, 0, 0, 0x40])).unwrap().data, [-0.5, 0.5]);
        assert_eq!(load(&file(1, 1, 32, &[], &[0, 0, 0, 0xc0])).unwrap().data, [-0.5]);
        let floats = [0.25f32, -1.5].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(load(&file(3, 1, 32, &[0, 0], &floats)).unwrap().data, [0.25, -1.5]);
        // Extensible: size, bits, mask, and the format's identifier.
        let mut extensible = vec![22, 0, 32, 0, 4, 0, 0, 0, 3, 0];
        extensible.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        assert_eq!(load(&file(0xfffe, 1, 32, &extensible, &floats)).unwrap().data, [0.25, -1.5]);
    }

    #[test]
    fn written_sounds_are_read_back() {
        let sound = Sound { rate: 44_100, channels: 2, data: vec![0.5, -0.25, 2.0, 1e-9] };
        assert_eq!(load(&sound.to_wav().unwrap()).unwrap(), sound);
        assert_eq!(load(&sound.to_wav_16().unwrap()).unwrap().data, [0.5, -0.25, 32767.0 / 32768.0, 0.0]);
    }

    #[test]
    fn broken_files_are_refused_with_what_is_wrong() {
        let whole = Sound { rate: 8000, channels: 1, data: vec![0.0; 100] }.to_wav().unwrap();
        let nan = f32::NAN.to_le_bytes();
        for (bytes, said) in [
            (&whole[..whole.len() - 40], "ends before the 100 samples"),
            (&whole[..30], "ends within its header"),
            (b"", "ends within its header"),
            (&b"OggS this is another format, of some length"[..], "no WAV file"),
            (&file(1, 1, 16, &[], &[]), "without samples"),
            (&file(1, 0, 16, &[], &[0, 0]), ""),
            (&file(3, 1, 32, &[0, 0], &[nan, nan].concat()), "0.000000 s is not finite"),
            (&file(7, 1, 8, &[0, 0], &[1, 2]), "neither PCM"),
        ] {
            let error = load(bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{said:?}: {error}");
        }
    }
}
