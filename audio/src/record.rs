//! A call on record: two channels on one clock.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{Seek, Write};

use crate::{SampleRate, WavEncoding, WavError, WavFormat, WavWriter};

/// Records both sides of a call into one stereo WAV file: the caller left, the agent right.
///
/// Every run of samples comes with its position on one clock, counted in samples since the recording began. So the
/// two sides cannot drift apart, gaps are silence of the right length, and what comes late lands where it belongs.
///
/// Sound may be given ahead of its time, as an agent's is. Up to [`advance`](Self::advance) it can be taken back:
/// [`clear_from`](Self::clear_from) removes what a barge-in dropped, so the recording holds what was heard and not
/// what was meant to be.
///
/// The file is a [`WavWriter`]'s and survives a crash as one does.
///
/// ```
/// use std::io::Cursor;
/// use voxline_audio::{Recorder, RecorderConfig, SampleRate, Side, WavReader};
///
/// let config = RecorderConfig::new(SampleRate::Hz8000);
/// let mut recorder = Recorder::new(Cursor::new(Vec::new()), config)?;
/// recorder.write(Side::Agent, 0, &[7; 4])?; // four samples ahead of time
/// recorder.clear_from(Side::Agent, 2); // two of them were never played
/// recorder.write(Side::Caller, 1, &[3; 2])?;
/// let file = recorder.finish()?.into_inner();
/// let mut samples = [0; 16];
/// let got = WavReader::new(&file[..])?.read_i16(&mut samples)?;
/// assert_eq!(samples[..got], [0, 7, 3, 7, 3, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder<W> {
    writer: WavWriter<W>,
    config: RecorderConfig,
    /// Sample frames that can still change, `[caller, agent]`; the first stands at `settled`.
    pending: VecDeque<[i16; 2]>,
    /// Position up to which the file is written.
    settled: u64,
    /// Where each side's sound ends.
    ends: [u64; 2],
    late_samples: u64,
    /// Reused for what goes to the file.
    block: Vec<i16>,
}

/// Whose sound it is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Ours: the right channel.
    Agent,
    /// The far end's: the left channel.
    Caller,
}

/// How a [`Recorder`] records.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Samples a second, for both sides and the clock.
    pub rate: SampleRate,
    /// How far ahead of [`Recorder::advance`] sound may be given. Default 60 s, which holds 2 MB at 8 kHz. Shorter
    /// refuses an agent's long answer given at once; longer holds as much more memory. At most a
    /// day.
    pub max_ahead: Duration,
}

impl RecorderConfig {
    /// Records at `rate`.
    #[must_use]
    pub const fn new(rate: SampleRate) -> Self {
        Self { rate, max_ahead: Duration::from_secs(60) }
    }

    /// Sets [`max_ahead`](Self::max_ahead).
    #[must_use]
    pub const fn with_max_ahead(mut self, max_ahead: Duration) -> Self {
        self.max_ahead = max_ahead;
        self
    }
}

impl<W: Write + Seek> Recorder<W> {
    /// Begins a recording.
    ///
    /// # Errors
    ///
    /// [`RecordError::Wav`] if the header cannot be written.
    pub fn new(output: W, config: RecorderConfig) -> Result<Self, RecordError> {
        let format = WavFormat::new(WavEncoding::Linear16, 2, config.rate);
        Ok(Self {
            writer: WavWriter::new(output, format)?,
            config,
            pending: VecDeque::new(),
            settled: 0,
            ends: [0; 2],
            late_samples: 0,
            block: Vec::with_capacity(BLOCK_FRAMES * 2),
        })
    }

    /// Puts `samples` of one side at position `at`, over what was there before.
    ///
    /// What lies before the last [`advance`](Self::advance) comes too late: it is left out and counted in
    /// [`late_samples`](Self::late_samples).
    ///
    /// # Errors
    ///
    /// [`RecordError::TooFarAhead`] with nothing recorded.
    pub fn write(&mut self, side: Side, at: u64, samples: &[i16]) -> Result<(), RecordError> {
        let end = at.saturating_add(samples.len() as u64);
        let limit = self.settled + self.config.rate.samples_in(self.config.max_ahead.min(LONGEST_AHEAD));
        if end > limit {
            return Err(RecordError::TooFarAhead { end, limit });
        }
        let late = self.settled.saturating_sub(at).min(samples.len() as u64);
        self.late_samples += late;
        let samples = &samples[late as usize..];
        if samples.is_empty() {
            return Ok(());
        }
        let first = (at + late - self.settled) as usize;
        if self.pending.len() < first + samples.len() {
            self.pending.resize(first + samples.len(), [0; 2]);
        }
        for (frame, &sample) in self.pending.range_mut(first..).zip(samples) {
            frame[side.channel()] = sample;
        }
        self.ends[side.channel()] = self.ends[side.channel()].max(end);
        Ok(())
    }

    /// Removes all sound of one side from position `from` on, as a barge-in does. What is already in the file, before
    /// the last [`advance`](Self::advance), was heard and stays.
    pub fn clear_from(&mut self, side: Side, from: u64) {
        let first = usize::try_from(from.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        for frame in self.pending.iter_mut().skip(first) {
            frame[side.channel()] = 0;
        }
        let end = &mut self.ends[side.channel()];
        *end = (*end).min(from.max(self.settled));
        // Silence of the other side is not sound to be kept.
        let sound = self.ends[0].max(self.ends[1]).saturating_sub(self.settled);
        self.pending.truncate(sound as usize);
    }

    /// Time has come to position `now`: everything before it was heard and goes to the file, silence where there
    /// was no sound. An earlier position than the last one does nothing.
    ///
    /// # Errors
    ///
    /// [`RecordError::Wav`], with nothing written where the file would be too long.
    pub fn advance(&mut self, now: u64) -> Result<(), RecordError> {
        if now <= self.settled {
            return Ok(());
        }
        let frame_bytes = self.writer.format().bytes_per_frame() as u64;
        let bytes = now.saturating_mul(frame_bytes);
        if bytes > crate::WavHeader::MAX_DATA {
            return Err(WavError::TooLong { bytes, most: crate::WavHeader::MAX_DATA }.into());
        }
        while self.settled < now {
            let frames = usize::try_from(now - self.settled).unwrap_or(usize::MAX).min(BLOCK_FRAMES);
            let sounding = frames.min(self.pending.len());
            self.block.clear();
            self.block.extend(self.pending.range(..sounding).flatten());
            self.block.resize(frames * 2, 0);
            self.writer.write_i16(&self.block)?;
            // Only what the file took is given up.
            self.pending.drain(..sounding);
            self.settled += frames as u64;
        }
        Ok(())
    }

    /// Writes what is left of both sides and gives back the file, complete.
    ///
    /// # Errors
    ///
    /// [`RecordError::Wav`].
    pub fn finish(mut self) -> Result<W, RecordError> {
        self.advance(self.ends[0].max(self.ends[1]))?;
        Ok(self.writer.finish()?)
    }

    /// Makes the file's header speak of all that was written, for a pause that may be long.
    ///
    /// # Errors
    ///
    /// [`RecordError::Wav`].
    pub fn checkpoint(&mut self) -> Result<(), RecordError> {
        Ok(self.writer.checkpoint()?)
    }

    /// Position up to which the file is written.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.settled
    }

    /// Samples that came after their time and are not in the recording.
    #[must_use]
    pub const fn late_samples(&self) -> u64 {
        self.late_samples
    }
}

impl Side {
    const fn channel(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Agent => 1,
        }
    }
}

/// Why a recording cannot take more.
#[non_exhaustive]
#[derive(Debug)]
pub enum RecordError {
    /// Sound given further ahead of time than is held.
    TooFarAhead {
        /// Position at which the sound would end.
        end: u64,
        /// The furthest position that can be held now.
        limit: u64,
    },
    /// The file cannot be written.
    Wav(WavError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFarAhead { end, limit } => write!(
                f,
                "sound up to sample {end} is too far ahead of the recording, which holds up to {limit}; \
                 advance it or raise max_ahead"
            ),
            Self::Wav(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooFarAhead { .. } => None,
            Self::Wav(error) => error.source(),
        }
    }
}

impl From<WavError> for RecordError {
    fn from(error: WavError) -> Self {
        Self::Wav(error)
    }
}

/// More than a WAV file holds at any rate.
const LONGEST_AHEAD: Duration = Duration::from_secs(86_400);

/// Sample frames that go to the file at once.
const BLOCK_FRAMES: usize = 512;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::WavReader;

    fn recorder() -> Recorder<Cursor<Vec<u8>>> {
        Recorder::new(Cursor::new(Vec::new()), RecorderConfig::new(SampleRate::Hz8000)).unwrap()
    }

    fn sides(file: &[u8]) -> (Vec<i16>, Vec<i16>) {
        let mut reader = WavReader::new(file).unwrap();
        let mut samples = vec![0; file.len() / 2 - 22];
        assert_eq!(reader.read_i16(&mut samples).unwrap(), samples.len());
        samples.as_chunks::<2>().0.iter().map(|[left, right]| (*left, *right)).unzip()
    }

    #[test]
    fn sound_stands_where_it_was_put_and_gaps_are_silence_of_their_length() {
        let mut recorder = recorder();
        recorder.write(Side::Caller, 100, &[1; 50]).unwrap();
        recorder.advance(500).unwrap();
        recorder.write(Side::Agent, 600, &[2; 30]).unwrap();
        recorder.write(Side::Caller, 8_000 * 30, &[3; 10]).unwrap();
        let (caller, agent) = sides(&recorder.finish().unwrap().into_inner());
        assert_eq!(caller.len(), 240_010);
        let positions = |side: &[i16], value| -> Vec<usize> {
            let at: Vec<usize> = (0..side.len()).filter(|&n| side[n] == value).collect();
            vec![at[0], at.len()]
        };
        assert_eq!(positions(&caller, 1), [100, 50]);
        assert_eq!(positions(&caller, 3), [240_000, 10]);
        assert_eq!(positions(&agent, 2), [600, 30]);
        assert_eq!(caller.iter().filter(|&&s| s == 0).count(), 240_010 - 60);
    }

    #[test]
    fn what_was_cleared_is_not_in_it_and_what_was_heard_is() {
        let mut recorder = recorder();
        recorder.write(Side::Agent, 0, &[5; 8_000]).unwrap();
        recorder.write(Side::Caller, 0, &[6; 2_500]).unwrap();
        recorder.advance(1_600).unwrap();
        // The caller spoke over us at 2,000; the file already holds 1,600.
        recorder.clear_from(Side::Agent, 2_000);
        recorder.write(Side::Agent, 4_000, &[7; 80]).unwrap();
        recorder.clear_from(Side::Agent, 0);
        let (caller, agent) = sides(&recorder.finish().unwrap().into_inner());
        assert_eq!(agent, [vec![5; 1_600], vec![0; 900]].concat());
        assert_eq!(caller, [6; 2_500]);
    }

    #[test]
    fn what_comes_late_is_counted_and_changes_nothing_that_is_written() {
        let mut recorder = recorder();
        recorder.advance(100).unwrap();
        recorder.advance(50).unwrap();
        recorder.write(Side::Caller, 90, &[9; 20]).unwrap();
        recorder.write(Side::Caller, 0, &[9; 20]).unwrap();
        assert_eq!((recorder.late_samples(), recorder.settled()), (30, 100));
        let (caller, _) = sides(&recorder.finish().unwrap().into_inner());
        assert_eq!(caller, [vec![0; 100], vec![9; 10]].concat());
    }

    #[test]
    fn a_position_out_of_reach_is_refused_with_nothing_recorded() {
        let mut recorder = recorder();
        for at in [u64::MAX, 480_000, 479_999] {
            let error = recorder.write(Side::Caller, at, &[1; 2]).unwrap_err();
            assert!(matches!(error, RecordError::TooFarAhead { limit: 480_000, .. }), "{error}");
        }
        let error = recorder.advance(u64::MAX).unwrap_err();
        assert!(matches!(error, RecordError::Wav(WavError::TooLong { .. })), "{error}");
        assert_eq!(sides(&recorder.finish().unwrap().into_inner()).0.len(), 0);
    }

    #[test]
    fn a_recording_left_alone_is_readable_up_to_the_last_checkpoint() {
        let mut recorder = recorder();
        for frame in 0..2_000 {
            recorder.write(Side::Caller, frame * 160, &[1; 160]).unwrap();
            recorder.write(Side::Agent, frame * 160, &[2; 160]).unwrap();
            recorder.advance((frame + 1) * 160).unwrap();
        }
        let file = recorder.writer.finish().unwrap().into_inner();
        for cut in (44..file.len()).step_by(9_973) {
            let mut reader = WavReader::new(&file[..cut]).unwrap();
            let mut samples = vec![0; file.len()];
            let got = reader.read_i16(&mut samples).unwrap();
            assert_eq!(got, (cut - 44) / 4 * 2);
            assert!(samples[..got].as_chunks::<2>().0.iter().all(|frame| *frame == [1, 2]));
        }
    }
}
