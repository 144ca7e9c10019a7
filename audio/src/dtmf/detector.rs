//! Hearing key signals in band.

use core::f64::consts::{PI, TAU};
use core::fmt;
use std::sync::OnceLock;

use super::{COLUMNS_HZ, Digit, ROWS_HZ};
use crate::SampleRate;
use crate::level::energy;
use crate::simd::{Kernel, dot, widest_of};
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
/// Key signals lie under 1.7 kHz, so at higher rates it listens to means of samples at 8 to 15 kHz. Every 10 ms it
/// takes the spectrum of the last 20 ms at the eight frequencies and asks: is there one tone of each
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
        let table = Table::shared(rate);
        let window = vec![0.0; 2 * table.hop].into_boxed_slice();
        let folded = window.clone();
        let waiting = vec![0.0; table.pool].into_boxed_slice();
        Self {
            table,
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
        let pool = self.table.pool;
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
                let candidate = self.table.candidate(&self.window, &mut self.folded);
                self.judge(candidate, &mut on_event);
                self.window.copy_within(self.table.hop.., 0);
                self.filled = self.table.hop;
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
            (Some(now), Some(before)) if self.table.agree(&now, &before) => self.hits + 1,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        let hop = (self.table.hop * self.table.pool) as u64;
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
#[derive(Debug, Clone, Copy)]
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
    /// Samples of one mean.
    pool: usize,
    /// 10 ms of means; the window is two of them.
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
        let frame = rate.hz() as usize / 100;
        let most = rate.hz() as usize / 8_000;
        let pool = (1..=most).rev().find(|pool| frame.is_multiple_of(*pool)).unwrap_or(1);
        let hop = frame / pool;
        // No sample stands in the very middle of an even window: they lie half a sample to its sides.
        let time = |index: usize| index as f64 + 0.5;
        let hann = |index| 0.5 + 0.5 * (PI * time(index) / hop as f64).cos();
        let window: Vec<f32> = (0..hop).map(|index| hann(index) as f32).collect();
        let tones_hz: Vec<f64> = ROWS_HZ.into_iter().chain(COLUMNS_HZ).map(f64::from).collect();
        let angle = |hz: f64, means: f64| TAU * hz * means * pool as f64 / f64::from(rate.hz());
        let wave = |hz: f64, part: fn(f64) -> f64| {
            // What a mean takes off at this frequency is put back.
            let half = angle(hz, 0.5);
            let gain = half.sin() / (pool as f64 * (half / pool as f64).sin());
            (0..hop).map(|index| (part(angle(hz, time(index))) / gain) as f32).collect::<Vec<_>>()
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
        Self { pool, hop, window, waves, tones, pure }
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
        let [cosines, sines] = widest_of(Spectrum { even, odd, waves: &self.waves });
        let bin = |tone: usize| Bin { cosine: cosines[tone], sine: sines[tone] };
        let row = strongest([0, 1, 2, 3].map(|tone| bin(tone).power()))?;
        let column = strongest([4, 5, 6, 7].map(|tone| bin(tone).power()))?;
        let candidate = Candidate {
            digit: Digit { row, column },
            low: bin(usize::from(row)),
            high: bin(4 + usize::from(column)),
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

/// Fills `means` with those of runs of `pool` samples.
fn average(samples: &[f32], pool: usize, means: &mut [f32]) {
    match pool {
        1 => widest_of(Average::<1> { samples, means }),
        2 => widest_of(Average::<2> { samples, means }),
        3 => widest_of(Average::<3> { samples, means }),
        4 => widest_of(Average::<4> { samples, means }),
        6 => widest_of(Average::<6> { samples, means }),
        _ => unreachable!("no rate has another divisor of its 10 ms up to its 8,000ths"),
    }
}

struct Average<'a, const POOL: usize> {
    samples: &'a [f32],
    means: &'a mut [f32],
}

impl<const POOL: usize> Kernel for Average<'_, POOL> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (mean, run) in self.means.iter_mut().zip(self.samples.as_chunks::<POOL>().0) {
            let mut sum = 0.0;
            for sample in run {
                sum += tame(*sample);
            }
            *mean = sum / POOL as f32;
        }
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
/// The eight frequencies of a folded window: their cosines, then their sines.
struct Spectrum<'a> {
    even: &'a [f32],
    odd: &'a [f32],
    waves: &'a [[f32; 16]],
}

impl Kernel for Spectrum<'_> {
    type Output = [[f32; 8]; 2];

    #[inline(always)]
    fn run(self) -> [[f32; 8]; 2] {
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
        [core::array::from_fn(total), core::array::from_fn(|wave| total(8 + wave))]
    }
}

/// The tone of a group that stands well over the three others, by their powers.
fn strongest(powers: [f32; 4]) -> Option<u8> {
    let best = powers.iter().copied().fold(0.0, f32::max);
    let weak = powers.map(|power| power * NEIGHBOUR <= best);
    let alone = weak.iter().filter(|weak| **weak).count() == 3;
    (0..4).find(|tone| alone && !weak[usize::from(*tone)])
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
