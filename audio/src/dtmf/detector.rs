//! Hearing key signals in band.

use core::fmt;

use super::Digit;
use super::spectrum::{Candidate, Spectra, average};
use crate::SampleRate;

/// What a [`DtmfDetector`] heard. Positions count samples from the start of the stream, within some 5 ms.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtmfEvent {
    /// The key is up again: 30 ms have passed without it.
    Ended {
        /// The key.
        digit: Digit,
        /// Where the tone ended.
        at: u64,
    },
    /// A key was pressed: told some 40 ms after the tone began, and once however long it lasts.
    Started {
        /// The key.
        digit: Digit,
        /// Where the tone began.
        at: u64,
    },
}

/// Finds key signals in a stream, by the rules of telephone receivers (ITU-T Q.24).
///
/// Key signals lie under 1.7 kHz, so at higher rates it listens to means of samples at 8 to 15 kHz. Every 10 ms it
/// takes the spectrum of the last 20 ms at the eight frequencies and asks: is there one tone of each group, well over
/// its neighbours; are both loud enough, and neither much louder than the other (twist: high over low by 4 dB, low
/// over high by 8 dB, and 2 dB of grace); is there little else, and nothing at their harmonics, where a voice has
/// plenty? Between two such spectra the phases must advance as those frequencies do, within 2.5 % (1.5 % + 2 Hz must be
/// accepted, 3.5 % rejected). Three in a row are a key if the middle one, which a key fills, holds hardly anything
/// else; three misses are its end. So tones and pauses of 40 ms are told apart, a tone of 20 ms is no key, and a gap of
/// 10 ms ends none.
///
/// Seven hours of synthetic speech, thirty voices in fourteen languages, held two keys.
///
/// ```
/// use voxline_audio::{DtmfDetector, DtmfEvent, DtmfGenerator, SampleRate};
///
/// let mut sound = vec![0.0; 4_000];
/// DtmfGenerator::new(SampleRate::Hz8000, "42#")?.fill(&mut sound);
/// let mut dialled = String::new();
/// let mut detector = DtmfDetector::new(SampleRate::Hz8000);
/// for frame in sound.chunks(160) {
///     detector.process(frame, |event| {
///         if let DtmfEvent::Started { digit, .. } = event {
///             dialled.push(digit.as_char());
///         }
///     });
/// }
/// assert_eq!(dialled, "42#");
/// # Ok::<(), voxline_audio::UnsupportedDigit>(())
/// ```
#[derive(Clone)]
pub struct DtmfDetector {
    spectra: &'static Spectra,
    /// Samples of the mean that is not whole yet, the first `waits` of them valid.
    waiting: Box<[f32]>,
    waits: usize,
    /// The last 20 ms of means, its first `filled` valid.
    window: Box<[f32]>,
    /// Its even part, then its odd part.
    folded: Box<[f32]>,
    filled: usize,
    /// Samples heard up to the end of the window.
    position: u64,
    last: Option<Candidate>,
    /// Windows in a row that agreed with the last one.
    hits: u32,
    /// Windows in a row without the key that is down.
    misses: u32,
    down: Option<Digit>,
}

impl DtmfDetector {
    /// A detector for a stream at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let spectra = Spectra::shared(rate);
        let window = vec![0.0; 2 * spectra.hop].into_boxed_slice();
        let folded = window.clone();
        let waiting = vec![0.0; spectra.pool].into_boxed_slice();
        Self {
            spectra,
            waiting,
            waits: 0,
            window,
            folded,
            filled: 0,
            position: 0,
            last: None,
            hits: 0,
            misses: 0,
            down: None,
        }
    }

    /// Takes a run of any length and tells what it heard in it.
    pub fn process(&mut self, mut samples: &[f32], mut on_event: impl FnMut(DtmfEvent)) {
        let pool = self.spectra.pool;
        while !samples.is_empty() {
            // As many whole means as there is room for, or one from what waits and what is new.
            let space = &mut self.window[self.filled..];
            let means = if self.waits == 0 { space.len().min(samples.len() / pool) } else { 0 };
            if means > 0 {
                let (now, later) = samples.split_at(means * pool);
                average(now, pool, &mut space[..means]);
                (samples, self.filled) = (later, self.filled + means);
                self.position += now.len() as u64;
            } else {
                let lacking = &mut self.waiting[self.waits..];
                let (now, later) = samples.split_at(samples.len().min(lacking.len()));
                lacking[..now.len()].copy_from_slice(now);
                (samples, self.waits) = (later, self.waits + now.len());
                if self.waits < pool {
                    return;
                }
                average(&self.waiting, pool, &mut space[..1]);
                self.waits = 0;
                self.filled += 1;
                self.position += pool as u64;
            }
            if self.filled == self.window.len() {
                let candidate = self.spectra.candidate(&self.window, &mut self.folded);
                self.judge(candidate, &mut on_event);
                self.window.copy_within(self.spectra.hop.., 0);
                self.filled = self.spectra.hop;
            }
        }
    }

    /// Forgets the stream; a key that is down is not told to have ended.
    pub fn reset(&mut self) {
        (self.waits, self.filled, self.position) = (0, 0, 0);
        (self.last, self.down) = (None, None);
        (self.hits, self.misses) = (0, 0);
    }

    fn judge(&mut self, candidate: Option<Candidate>, on_event: &mut impl FnMut(DtmfEvent)) {
        let last = core::mem::replace(&mut self.last, candidate);
        self.hits = match (candidate, last) {
            (Some(now), Some(before)) if self.spectra.agree(&now, &before) => self.hits + 1,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        let hop = (self.spectra.hop * self.spectra.pool) as u64;
        let heard = candidate.map(|now| now.digit);
        if let Some(digit) = self.down {
            self.misses = if heard == Some(digit) { 0 } else { self.misses + 1 };
            if self.misses == LASTING {
                // A window counts by its middle; the last one with the key lies `LASTING` hops back.
                on_event(DtmfEvent::Ended {
                    digit,
                    at: self.position.saturating_sub(hop * u64::from(LASTING)),
                });
                self.down = None;
            }
        }
        // Of the three that make a key the middle one is full of it, wherever they lie.
        if let (None, Some(digit)) = (self.down, heard)
            && self.hits >= LASTING
            && last.is_some_and(|last| last.is_clear)
        {
            on_event(DtmfEvent::Started {
                digit,
                at: self.position.saturating_sub(hop * u64::from(self.hits + 1)),
            });
            self.down = Some(digit);
            self.misses = 0;
        }
    }
}

impl fmt::Debug for DtmfDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtmfDetector")
            .field("position", &self.position)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

/// Windows in a row that make a key, or its end: 40 ms of tone always hold three, and so does a pause of 40 ms,
/// while 20 ms of tone and a gap of 10 ms hold two at most.
const LASTING: u32 = 3;
