//! Hearing key signals in band.

use core::f64::consts::{PI, TAU};
use core::fmt;
use std::sync::OnceLock;

use super::{COLUMNS_HZ, Digit, ROWS_HZ};
use crate::SampleRate;
use crate::level::{dot, energy};
use crate::simd::{Kernel, widest_of};
use crate::tame::tame;

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
/// Every 10 ms it takes the spectrum of the last 20 ms at the eight frequencies and asks: is there one tone of each
/// group, well over its neighbours; are both loud enough, and neither much louder than the other (twist: high over low
/// by 4 dB, low over high by 8 dB, and 2 dB of grace); is there little else, and nothing at their
/// harmonics, where a voice has plenty? Between two such spectra the phases must advance as those frequencies do, within 2.5 %
/// (1.5 % + 2 Hz must be accepted, 3.5 % rejected). Three in a row are a key; three misses are its end. So tones and
/// pauses of 40 ms are told apart, a tone under 20 ms is no key, and a gap of 10 ms ends none.
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
    table: &'static Table,
    /// The last 20 ms, its first `filled` samples valid.
    window: Box<[f32]>,
    /// Its even part, then its odd part.
    folded: Box<[f32]>,
    filled: usize,
    /// Samples seen up to the end of the window.
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
        let table = Table::shared(rate);
        let window = vec![0.0; 2 * table.hop].into_boxed_slice();
        let folded = window.clone();
        Self { table, window, folded, filled: 0, position: 0, last: None, hits: 0, misses: 0, down: None }
    }

    /// Takes a run of any length and tells what it heard in it.
    pub fn process(&mut self, mut samples: &[f32], mut on_event: impl FnMut(DtmfEvent)) {
        while !samples.is_empty() {
            let space = &mut self.window[self.filled..];
            let (now, later) = samples.split_at(samples.len().min(space.len()));
            for (to, from) in space.iter_mut().zip(now) {
                *to = tame(*from);
            }
            self.filled += now.len();
            self.position += now.len() as u64;
            samples = later;
            if self.filled == self.window.len() {
                let candidate = self.table.candidate(&self.window, &mut self.folded);
                self.judge(candidate, &mut on_event);
                self.window.copy_within(self.table.hop.., 0);
                self.filled = self.table.hop;
            }
        }
    }

    /// Forgets the stream; a key that is down is not told to have ended.
    pub fn reset(&mut self) {
        (self.filled, self.position) = (0, 0);
        (self.last, self.down) = (None, None);
        (self.hits, self.misses) = (0, 0);
    }

    fn judge(&mut self, candidate: Option<Candidate>, on_event: &mut impl FnMut(DtmfEvent)) {
        let last = core::mem::replace(&mut self.last, candidate);
        self.hits = match (candidate, last) {
            (Some(now), Some(before)) if self.table.agree(&now, &before) => self.hits + 1,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        let hop = self.table.hop as u64;
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
        if let (None, Some(digit)) = (self.down, heard)
            && self.hits >= LASTING
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

/// A window that holds one tone of each group.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    digit: Digit,
    low: Bin,
    high: Bin,
}

/// One frequency of the spectrum, its phase referred to the middle of the window.
#[derive(Debug, Default, Clone, Copy)]
struct Bin {
    cosine: f32,
    sine: f32,
}

impl Bin {
    fn power(self) -> f32 {
        self.cosine * self.cosine + self.sine * self.sine
    }

    /// Whether the phase turned from `before` to here as a tone's does.
    fn advanced_from(self, before: Self, tone: &Tone) -> bool {
        // The tone is cosine × cos ωt + sine × sin ωt, so its phase is the angle of cosine − i sine.
        let real = self.cosine * before.cosine + self.sine * before.sine;
        let imaginary = self.cosine * before.sine - self.sine * before.cosine;
        // Turned back by what is due; the cosine of what is left is compared, which spares the arc tangent.
        let left = real * tone.advance.cosine + imaginary * tone.advance.sine;
        left >= tone.least_cosine * (self.power() * before.power()).sqrt()
    }
}

/// One of the eight tones.
#[derive(Debug)]
struct Tone {
    /// How far its phase turns in a hop.
    advance: Bin,
    /// The cosine of how far off that may be.
    least_cosine: f32,
    /// Cosine and sine of the overtone that tells it from a voice, from the middle of the window outwards.
    overtone: [Vec<f32>; 2],
}

/// What depends on the rate alone.
#[derive(Debug)]
struct Table {
    /// 10 ms; the window is two of them.
    hop: usize,
    /// A Hann window from its middle outwards.
    window: Vec<f32>,
    /// Cosines of the eight frequencies, then their sines, from the middle outwards.
    waves: Vec<[f32; 16]>,
    /// The low group, then the high one.
    tones: [Tone; 8],
    /// Power of a tone's bin over the energy of the window, for a pure tone.
    pure: f32,
}

impl Table {
    fn shared(rate: SampleRate) -> &'static Self {
        static TABLES: [OnceLock<Table>; SampleRate::ALL.len()] =
            [const { OnceLock::new() }; SampleRate::ALL.len()];
        TABLES[rate as usize].get_or_init(|| Self::new(rate))
    }

    fn new(rate: SampleRate) -> Self {
        let hop = rate.hz() as usize / 100;
        // No sample stands in the very middle of an even window: they lie half a sample to its sides.
        let time = |index: usize| index as f64 + 0.5;
        let hann = |index| 0.5 + 0.5 * (PI * time(index) / hop as f64).cos();
        let window: Vec<f32> = (0..hop).map(|index| hann(index) as f32).collect();
        let tones_hz: Vec<f64> = ROWS_HZ.into_iter().chain(COLUMNS_HZ).map(f64::from).collect();
        let angle = |hz: f64, samples: f64| TAU * hz * samples / f64::from(rate.hz());
        let wave = |hz: f64, part: fn(f64) -> f64| {
            (0..hop).map(|index| part(angle(hz, time(index))) as f32).collect::<Vec<_>>()
        };
        let cosines_and_sines: [Vec<f32>; 16] =
            core::array::from_fn(|at| wave(tones_hz[at % 8], if at < 8 { f64::cos } else { f64::sin }));
        let waves = (0..hop).map(|index| core::array::from_fn(|at| cosines_and_sines[at][index])).collect();
        let tones = core::array::from_fn(|at| {
            let hz = tones_hz[at];
            let (sine, cosine) = angle(hz, hop as f64).sin_cos();
            let overtone_hz = hz * if at < 4 { 3.0 } else { 2.0 };
            Tone {
                advance: Bin { cosine: cosine as f32, sine: sine as f32 },
                least_cosine: angle(hz * OFF_FREQUENCY, hop as f64).cos() as f32,
                overtone: [wave(overtone_hz, f64::cos), wave(overtone_hz, f64::sin)],
            }
        });
        // A sine of amplitude one: its bin is Σw ⁄ 2, its windowed energy Σw² ⁄ 2, each sum over both halves.
        let (sum, squares) = (2.0 * window.iter().sum::<f32>(), 2.0 * energy(&window));
        let pure = (sum / 2.0) * (sum / 2.0) / (squares / 2.0);
        Self { hop, window, waves, tones, pure }
    }

    /// The key a window seems to hold.
    fn candidate(&self, samples: &[f32], folded: &mut [f32]) -> Option<Candidate> {
        let (before, after) = samples.split_at(self.hop);
        let (even, odd) = folded.split_at_mut(self.hop);
        widest_of(Fold { before, after, window: &self.window, even, odd });
        // Windowed energy: the squares of sum and difference hold each sample's twice.
        let total = energy(folded) / 2.0;
        if total < QUIETEST * self.hop as f32 {
            return None;
        }
        let (even, odd) = folded.split_at(self.hop);
        let bins = widest_of(Spectrum { even, odd, waves: &self.waves });
        let row = strongest(&bins[..4])?;
        let column = strongest(&bins[4..])?;
        let candidate = Candidate {
            digit: Digit { row, column },
            low: bins[usize::from(row)],
            high: bins[4 + usize::from(column)],
        };
        let (low, high) = (candidate.low.power(), candidate.high.power());
        let balanced = high <= low * FORWARD_TWIST && low <= high * REVERSE_TWIST;
        let pure = low + high >= PURITY * self.pure * total;
        (balanced && pure && !self.has_harmonics(&candidate, even, odd)).then_some(candidate)
    }

    /// Whether overtones are there too, as they would be in a voice: of the high tone the octave, of the low one the
    /// twelfth, its octave lying too near the high tones.
    fn has_harmonics(&self, candidate: &Candidate, even: &[f32], odd: &[f32]) -> bool {
        let stands_out = |tone: u8, bin: Bin| {
            let [cosines, sines] = &self.tones[usize::from(tone)].overtone;
            let overtone = Bin { cosine: dot(even, cosines), sine: dot(odd, sines) };
            overtone.power() > HARMONIC * bin.power()
        };
        stands_out(candidate.digit.row, candidate.low)
            || stands_out(4 + candidate.digit.column, candidate.high)
    }

    /// Whether two windows a hop apart hold the same two tones, on frequency.
    fn agree(&self, now: &Candidate, before: &Candidate) -> bool {
        let Digit { row, column } = now.digit;
        now.digit == before.digit
            && now.low.advanced_from(before.low, &self.tones[usize::from(row)])
            && now.high.advanced_from(before.high, &self.tones[4 + usize::from(column)])
    }
}

/// Splits a window about its middle into its even and its odd part, from the middle outwards: half the
/// multiplications of a spectrum, since cosines see only the one and sines only the other.
struct Fold<'a> {
    before: &'a [f32],
    after: &'a [f32],
    window: &'a [f32],
    even: &'a mut [f32],
    odd: &'a mut [f32],
}

impl Kernel for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { before, after, window, even, odd } = self;
        let pairs = before.iter().rev().zip(after).zip(window);
        for (((before, after), window), (even, odd)) in pairs.zip(even.iter_mut().zip(odd)) {
            *even = window * (after + before);
            *odd = window * (after - before);
        }
    }
}
/// The eight frequencies of a folded window.
struct Spectrum<'a> {
    even: &'a [f32],
    odd: &'a [f32],
    waves: &'a [[f32; 16]],
}

impl Kernel for Spectrum<'_> {
    type Output = [Bin; 8];

    #[inline(always)]
    fn run(self) -> [Bin; 8] {
        let Self { even, odd, waves } = self;
        // Four sets of sums, for the latency of the additions.
        let mut sums = [[0.0_f32; 16]; 4];
        let (even, odd, waves) = (even.as_chunks::<4>().0, odd.as_chunks::<4>().0, waves.as_chunks::<4>().0);
        for ((even, odd), waves) in even.iter().zip(odd).zip(waves) {
            for (((even, odd), waves), sums) in even.iter().zip(odd).zip(waves).zip(&mut sums) {
                for (sum, wave) in sums[..8].iter_mut().zip(&waves[..8]) {
                    *sum += even * wave;
                }
                for (sum, wave) in sums[8..].iter_mut().zip(&waves[8..]) {
                    *sum += odd * wave;
                }
            }
        }
        let total = |wave: usize| (sums[0][wave] + sums[1][wave]) + (sums[2][wave] + sums[3][wave]);
        core::array::from_fn(|wave| Bin { cosine: total(wave), sine: total(8 + wave) })
    }
}

/// The bin of a group that stands well over the three others.
fn strongest(group: &[Bin]) -> Option<u8> {
    let power = |index: u8| group[usize::from(index)].power();
    let best = (0..4).fold(0, |best, index| if power(index) > power(best) { index } else { best });
    let alone = (0..4).all(|index| index == best || power(index) * NEIGHBOUR <= power(best));
    alone.then_some(best)
}

/// Windows in a row that make a key, or its end: 40 ms of tone always hold three, and so does a pause of 40 ms,
/// while 20 ms of tone and a gap of 10 ms hold two at most.
const LASTING: u32 = 3;

/// Mean windowed power under which nothing is a key: about −42 dBFS, where Q.24 asks for −25 dBm a tone (−28 dBFS).
const QUIETEST: f32 = 2.5e-5;

/// High over low: 4 dB (Q.24, annex A), and 2 dB of grace, as power.
const FORWARD_TWIST: f32 = 4.0;

/// Low over high: 8 dB, and 2 dB of grace.
const REVERSE_TWIST: f32 = 10.0;

/// Share of the window's energy that is the two tones: at the edge of the frequency tolerance a bin keeps 0.72 of its
/// power, and a window of which the tone fills three quarters 0.86.
const PURITY: f32 = 0.55;

/// The most a harmonic may have, relative to its tone: −13 dB.
const HARMONIC: f32 = 0.05;

/// A tone over the others of its group, 6 dB: at the edge of the tolerance the next bin is 9 dB down.
const NEIGHBOUR: f32 = 4.0;

/// Half-way between what must be accepted and what must be rejected (Q.24).
const OFF_FREQUENCY: f64 = 0.025;
