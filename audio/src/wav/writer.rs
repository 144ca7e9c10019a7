//! A WAV file that is valid at every moment.

use std::io::{Seek, SeekFrom, Write};

use super::{WavEncoding, WavError, WavFormat, WavHeader};
use crate::{g711, pcm};

/// Writes a WAV file so that a killed process leaves a readable one.
///
/// Sound is written first and the header's lengths after it, once every [`CHECKPOINT_BYTES`](Self::CHECKPOINT_BYTES):
/// what the header promises is there at every moment, and what came after the last checkpoint is lost at most to
/// readers that trust the header blindly. Give it a file without a buffer of its own, or a `BufWriter`, which is
/// flushed at each checkpoint.
///
/// To publish a file only when it is whole, write it under a temporary name and rename it after
/// [`finish`](Self::finish).
///
/// ```
/// use std::io::Cursor;
/// use voxline_audio::{SampleRate, WavEncoding, WavFormat, WavReader, WavWriter};
///
/// let format = WavFormat::new(WavEncoding::Linear16, 1, SampleRate::Hz16000);
/// let mut writer = WavWriter::new(Cursor::new(Vec::new()), format)?;
/// writer.write_i16(&[1, 2, 3])?;
/// let file = writer.finish()?.into_inner();
/// assert_eq!(WavReader::new(&file[..])?.promised_frames(), Some(3));
/// # Ok::<(), voxline_audio::WavError>(())
/// ```
#[derive(Debug)]
pub struct WavWriter<W> {
    output: W,
    format: WavFormat,
    data_bytes: u64,
    /// Bytes of sound the header in the file speaks of.
    promised: u64,
}

impl<W: Write + Seek> WavWriter<W> {
    /// How much sound may stand in the file before its header says so: half a second to four of a call.
    pub const CHECKPOINT_BYTES: u64 = 32 * 1_024;

    /// Writes the header of an empty file.
    ///
    /// # Errors
    ///
    /// [`WavError::Io`], and [`WavError::Channels`] for anything but one or two.
    pub fn new(mut output: W, format: WavFormat) -> Result<Self, WavError> {
        if !(1..=2).contains(&format.channels) {
            return Err(WavError::Channels { channels: format.channels, most: 2 });
        }
        output.write_all(&WavHeader::encode(format, 0)?)?;
        output.flush()?;
        Ok(Self { output, format, data_bytes: 0, promised: 0 })
    }

    /// Appends sound in the file's own encoding.
    ///
    /// # Errors
    ///
    /// [`WavError::TooLong`] with nothing written if the file cannot hold it, and [`WavError::Io`], after which the
    /// file is still valid up to the last checkpoint.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WavError> {
        let total = self.data_bytes + bytes.len() as u64;
        if total > WavHeader::MAX_DATA {
            return Err(WavError::TooLong { bytes: total, most: WavHeader::MAX_DATA });
        }
        self.output.write_all(bytes)?;
        self.data_bytes = total;
        if self.data_bytes - self.promised >= Self::CHECKPOINT_BYTES {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Appends samples, channels interleaved, in the file's own encoding.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_i16(&mut self, samples: &[i16]) -> Result<(), WavError> {
        let mut bytes = [0; 1_024];
        let width = self.format.encoding.bytes_per_sample();
        for block in samples.chunks(bytes.len() / width) {
            let bytes = &mut bytes[..block.len() * width];
            match self.format.encoding {
                WavEncoding::ALaw => g711::encode_alaw(block, bytes),
                WavEncoding::Float32 => {
                    for (to, &sample) in bytes.chunks_exact_mut(4).zip(block) {
                        to.copy_from_slice(&(f32::from(sample) / 32_768.0).to_le_bytes());
                    }
                }
                WavEncoding::Linear16 => pcm::i16_to_le_bytes(block, bytes),
                WavEncoding::Linear24 | WavEncoding::Linear32 => {
                    for (to, &sample) in bytes.chunks_exact_mut(width).zip(block) {
                        let sample = (i32::from(sample) << 16).to_le_bytes();
                        to.copy_from_slice(&sample[4 - width..]);
                    }
                }
                WavEncoding::MuLaw => g711::encode_mulaw(block, bytes),
                WavEncoding::Unsigned8 => {
                    for (to, &sample) in bytes.iter_mut().zip(block) {
                        *to = (((i32::from(sample) + 0x80) >> 8) + 128).min(255) as u8;
                    }
                }
            }
            self.write(bytes)?;
        }
        Ok(())
    }

    /// Makes the header speak of all that was written, and flushes.
    ///
    /// # Errors
    ///
    /// [`WavError::Io`].
    pub fn checkpoint(&mut self) -> Result<(), WavError> {
        // Sound before promise: were the header first, a crash between the two would leave a lie.
        self.output.flush()?;
        let whole = self.data_bytes - self.data_bytes % self.format.bytes_per_frame() as u64;
        let header = WavHeader::encode(self.format, whole)?;
        self.output.seek(SeekFrom::Start(0))?;
        self.output.write_all(&header)?;
        self.output.seek(SeekFrom::Start(header.len() as u64 + self.data_bytes))?;
        self.output.flush()?;
        self.promised = whole;
        Ok(())
    }

    /// Completes the file and gives it back, to be synced, renamed or closed.
    ///
    /// # Errors
    ///
    /// [`WavError::Io`]. Without this call the file is complete up to the last checkpoint.
    pub fn finish(mut self) -> Result<W, WavError> {
        self.checkpoint()?;
        if self.data_bytes % 2 == 1 {
            self.output.write_all(&[0])?;
            self.output.flush()?;
        }
        Ok(self.output)
    }

    /// Sample frames written so far.
    #[must_use]
    pub const fn frames_written(&self) -> u64 {
        self.data_bytes / self.format.bytes_per_frame() as u64
    }

    /// What the samples are.
    #[must_use]
    pub const fn format(&self) -> WavFormat {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{self, Cursor};
    use std::rc::Rc;

    use super::*;
    use crate::wav::WavReader;

    /// A disk that stops taking bytes for good after so many of them: a process killed mid-write.
    #[derive(Debug, Clone)]
    struct Disk {
        file: Rc<RefCell<Cursor<Vec<u8>>>>,
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let take = bytes.len().min(self.left);
            if take == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left -= take;
            self.file.borrow_mut().write(&bytes[..take])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.borrow_mut().seek(to)
        }
    }

    #[test]
    fn killed_at_any_byte_the_file_keeps_every_sample_that_reached_it() {
        let samples: Vec<i16> = (0..40_000).map(|n| n as i16).collect();
        let all = 44 + 2 * samples.len() + 3 * 44;
        for survives in (44..all).step_by(997).chain(44..160).chain(65_536..65_700) {
            let disk = Disk { file: Rc::default(), left: survives };
            let format = WavFormat { encoding: WavEncoding::Linear16, channels: 1, hz: 8_000 };
            let mut writer = WavWriter::new(disk.clone(), format).unwrap();
            let died = samples.chunks(160).map(|frame| writer.write_i16(frame)).any(|wrote| wrote.is_err());
            let file = disk.file.borrow().get_ref().clone();
            let mut reader = WavReader::new(&file[..]).unwrap();
            let mut read = vec![0; samples.len() + 1];
            let got = reader.read_i16(&mut read).unwrap();
            assert_eq!(read[..got], samples[..got], "killed after {survives} bytes");
            assert_eq!(
                reader.missing_bytes(),
                0,
                "killed after {survives} bytes: the header promises too much"
            );
            let there = (file.len() - 44) / 2;
            let unsaid = there - got;
            assert!(unsaid <= 16_384 + 512, "killed after {survives} bytes: {unsaid} samples unsaid");
            assert!(died || got + 16_384 > samples.len());
        }
    }

    #[test]
    fn an_odd_number_of_bytes_is_padded_and_not_counted() {
        let format = WavFormat { encoding: WavEncoding::MuLaw, channels: 1, hz: 8_000 };
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), format).unwrap();
        writer.write(&[0xFF; 3]).unwrap();
        assert_eq!(writer.frames_written(), 3);
        let file = writer.finish().unwrap().into_inner();
        assert_eq!(file.len(), 58 + 4);
        assert_eq!(WavReader::new(&file[..]).unwrap().promised_frames(), Some(3));
    }

    #[test]
    fn samples_are_written_in_the_encoding_of_the_file() {
        for encoding in WavEncoding::ALL {
            let format = WavFormat { encoding, channels: 1, hz: 8_000 };
            let mut writer = WavWriter::new(Cursor::new(Vec::new()), format).unwrap();
            // Values both laws hold exactly.
            let samples = [32_256, -32_256]
                .map(|s| if encoding == WavEncoding::MuLaw { s / 32_256 * 32_124 } else { s });
            writer.write_i16(&samples).unwrap();
            let file = writer.finish().unwrap().into_inner();
            let mut read = [0; 4];
            assert_eq!(WavReader::new(&file[..]).unwrap().read_i16(&mut read).unwrap(), 2);
            assert_eq!(read[..2], samples, "{encoding:?}");
        }
    }

    #[test]
    fn more_than_a_wav_file_can_hold_is_refused() {
        let format = WavFormat { encoding: WavEncoding::MuLaw, channels: 1, hz: 8_000 };
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), format).unwrap();
        writer.data_bytes = WavHeader::MAX_DATA - 1;
        assert!(matches!(writer.write(&[0; 2]), Err(WavError::TooLong { .. })));
        assert!(matches!(
            WavWriter::new(Cursor::new(Vec::new()), WavFormat { channels: 3, ..format }),
            Err(WavError::Channels { .. })
        ));
    }
}
