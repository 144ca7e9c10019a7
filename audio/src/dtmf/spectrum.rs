//! One tone of each group in 20 ms of sound.

use core::f64::consts::{PI, TAU};
use std::sync::OnceLock;

use super::{COLUMNS_HZ, Digit, ROWS_HZ};
use crate::SampleRate;
use crate::level::energy;
use crate::simd::{Kernel, dot, widest_of};
use crate::tame::tame;

/// What depends on the rate alone.
#[derive(Debug)]
pub(super) struct Spectra {
    /// Samples of one mean.
    pub(super) pool: usize,
    /// 10 ms of means; the window is two of them.
    pub(super) hop: usize,
    /// A Hann window from its middle outwards.
    window: Vec<f32>,
    /// Cosines of the eight frequencies, then their sines, from the middle outwards.
    waves: Vec<[f32; 16]>,
    /// The low group, then the high one.
    tones: [Tone; 8],
    /// Power of a tone's bin over the energy of the window, for a pure tone.
    pure: f32,
}

impl Spectra {
    pub(super) fn shared(rate: SampleRate) -> &'static Self {
        static TABLES: [OnceLock<Spectra>; SampleRate::ALL.len()] =
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
    pub(super) fn candidate(&self, samples: &[f32], folded: &mut [f32]) -> Option<Candidate> {
        let (before, after) = samples.split_at(self.hop);
        let (even, odd) = folded.split_at_mut(self.hop);
        let total = widest_of(Fold { before, after, window: &self.window, even, odd });
        if total < QUIETEST * self.hop as f32 {
            return None;
        }
        let [cosines, sines] = widest_of(Spectrum { even, odd, waves: &self.waves });
        let bin = |tone: usize| Bin { cosine: cosines[tone], sine: sines[tone] };
        let row = strongest([0, 1, 2, 3].map(|tone| bin(tone).power()))?;
        let column = strongest([4, 5, 6, 7].map(|tone| bin(tone).power()))?;
        let (low, high) = (bin(usize::from(row)), bin(4 + usize::from(column)));
        let (low_power, high_power) = (low.power(), high.power());
        let balanced = high_power <= low_power * FORWARD_TWIST && low_power <= high_power * REVERSE_TWIST;
        let purity = (low_power + high_power) / (self.pure * total);
        let candidate =
            Candidate { digit: Digit { row, column }, is_clear: purity >= CLEAR_PURITY, low, high };
        (balanced && purity >= PURITY && !self.has_harmonics(&candidate, even, odd)).then_some(candidate)
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
    pub(super) fn agree(&self, now: &Candidate, before: &Candidate) -> bool {
        let Digit { row, column } = now.digit;
        now.digit == before.digit
            && now.low.advanced_from(before.low, &self.tones[usize::from(row)])
            && now.high.advanced_from(before.high, &self.tones[4 + usize::from(column)])
    }
}

/// A window that holds one tone of each group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) digit: Digit,
    /// Whether hardly anything else is in the window: a key fills it.
    pub(super) is_clear: bool,
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

/// Fills `means` with those of runs of `pool` samples.
pub(super) fn average(samples: &[f32], pool: usize, means: &mut [f32]) {
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
/// multiplications of a spectrum, since cosines see only the one and sines only the other. Tells the windowed energy.
struct Fold<'a> {
    before: &'a [f32],
    after: &'a [f32],
    window: &'a [f32],
    even: &'a mut [f32],
    odd: &'a mut [f32],
}

impl Kernel for Fold<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let Self { before, after, window, even, odd } = self;
        let mut squares = [[0.0_f32; 8]; 2];
        let (first, before) = before.as_rchunks::<8>();
        let (after, last) = after.as_chunks::<8>();
        let (inner, outer) = window.as_chunks::<8>();
        let (even, outer_even) = even.as_chunks_mut::<8>();
        let (odd, outer_odd) = odd.as_chunks_mut::<8>();
        let pairs = before.iter().rev().zip(after).zip(inner);
        for (((before, after), window), (even, odd)) in pairs.zip(even.iter_mut().zip(odd)) {
            let mut before = *before;
            before.reverse();
            let sum: [f32; 8] = core::array::from_fn(|lane| window[lane] * (after[lane] + before[lane]));
            let difference: [f32; 8] =
                core::array::from_fn(|lane| window[lane] * (after[lane] - before[lane]));
            squares[0] = core::array::from_fn(|lane| squares[0][lane] + sum[lane] * sum[lane]);
            squares[1] = core::array::from_fn(|lane| squares[1][lane] + difference[lane] * difference[lane]);
            (*even, *odd) = (sum, difference);
        }
        let pairs = first.iter().rev().zip(last).zip(outer);
        for (((before, after), window), (even, odd)) in pairs.zip(outer_even.iter_mut().zip(outer_odd)) {
            *even = window * (after + before);
            *odd = window * (after - before);
            squares[0][0] += *even * *even + *odd * *odd;
        }
        // The squares of sum and difference hold each sample's twice.
        squares.as_flattened().iter().sum::<f32>() / 2.0
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

/// Mean windowed power under which nothing is a key: about −42 dBFS, where Q.24 asks for −25 dBm a tone (−28 dBFS).
const QUIETEST: f32 = 2.5e-5;

/// High over low: 4 dB (Q.24, annex A), and 2 dB of grace, as power.
const FORWARD_TWIST: f32 = 4.0;

/// Low over high: 8 dB, and 2 dB of grace.
const REVERSE_TWIST: f32 = 10.0;

/// Share of the window's energy that is the two tones: at the edge of the frequency tolerance a bin keeps 0.72 of its
/// power, and a window of which the tone fills three quarters 0.86.
const PURITY: f32 = 0.55;

/// The same for a window that the key fills. A voice whose formants lie where two tones would be reaches 0.6, and
/// this twice in seven hours of synthetic speech.
const CLEAR_PURITY: f32 = 0.7;

/// The most a harmonic may have, relative to its tone: −13 dB.
const HARMONIC: f32 = 0.05;

/// A tone over the others of its group, 4.8 dB: at the edge of the tolerance the next bin is 8 dB down, and 5 in a
/// window of which the tone fills three quarters.
const NEIGHBOUR: f32 = 3.0;

/// Half-way between what must be accepted and what must be rejected (Q.24).
const OFF_FREQUENCY: f64 = 0.025;
