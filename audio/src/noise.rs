//! Comfort noise: the sound of a line on which nobody speaks.

use crate::SampleRate;
use crate::slow_minimum::SlowMinimum;
use crate::tame::tame;

/// Learns how the line sounds between words and makes more of it.
///
/// A gap of perfect silence sounds like a dropped call. This keeps the level of the quietest 10 ms of the last few
/// seconds and their colour, as reflection coefficients in the manner of RFC 3389, and drives a lattice filter with
/// seeded white noise. The lattice is stable whatever it learnt, because each coefficient is less than one.
///
/// ```
/// use voxline_audio::{ComfortNoise, SampleRate};
///
/// let mut noise = ComfortNoise::new(SampleRate::Hz8000, 7);
/// let mut gap = [0.0; 160];
/// noise.fill(&mut gap);
/// assert_eq!(gap, [0.0; 160], "nothing learnt, nothing made");
/// ```
#[derive(Debug, Clone)]
pub struct ComfortNoise {
    hop: Vec<f32>,
    filled: usize,
    floor: SlowMinimum,
    /// Mean square of the noise to make.
    power: f32,
    reflection: [f32; ORDER],
    lattice: [f32; ORDER],
    seed: u64,
}

impl ComfortNoise {
    /// A generator for sound at `rate`; equal seeds make equal noise.
    #[must_use]
    pub fn new(rate: SampleRate, seed: u64) -> Self {
        Self {
            hop: vec![0.0; rate.hz() as usize / 50],
            filled: 0,
            floor: SlowMinimum::new(FLOOR_MEMORY_HOPS),
            power: 0.0,
            reflection: [0.0; ORDER],
            lattice: [0.0; ORDER],
            // Weyl's constant spreads small seeds; the generator must not start from 0.
            seed: seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// Listens to a run of real sound, of any length.
    pub fn learn(&mut self, frame: &[f32]) {
        for &sample in frame {
            self.hop[self.filled] = tame(sample);
            self.filled += 1;
            if self.filled == self.hop.len() {
                self.filled = 0;
                self.learn_hop();
            }
        }
    }

    /// Overwrites `frame`, of any length, with noise.
    pub fn fill(&mut self, frame: &mut [f32]) {
        // A lattice of these coefficients amplifies white noise by 1 / Π(1 - k²).
        let loss: f32 = self.reflection.iter().map(|k| 1.0 - k * k).product();
        // Uniform noise in ±1 has a power of a third.
        let gain = (3.0 * self.power * loss).sqrt();
        for sample in frame {
            *sample = self.next_coloured(gain);
        }
    }

    /// Forgets the line.
    pub fn reset(&mut self) {
        self.filled = 0;
        self.floor.reset();
        self.power = 0.0;
        self.reflection = [0.0; ORDER];
        self.lattice = [0.0; ORDER];
    }

    /// Level of the noise it would make, as an RMS value; 1 is full scale.
    #[must_use]
    pub fn level(&self) -> f32 {
        self.power.sqrt()
    }

    fn learn_hop(&mut self) {
        let correlation = autocorrelation(&self.hop);
        let power = correlation[0] / self.hop.len() as f32;
        let floor = self.floor.push(power);
        if power <= floor * NEAR_FLOOR {
            // The minimum of many hops lies under their mean, and louder ones are speech: follow the quiet ones.
            self.power += (power - self.power) * if self.power == 0.0 { 1.0 } else { 0.2 };
            for (old, new) in self.reflection.iter_mut().zip(reflection(&correlation)) {
                // Both lie within ±1, and so does every mean of them.
                *old += (new - *old) * 0.2;
            }
        } else {
            self.power = self.power.min(floor * NEAR_FLOOR);
        }
    }

    fn next_coloured(&mut self, gain: f32) -> f32 {
        let mut forward = self.next_white() * gain;
        // All-pole lattice, from the last stage to the first.
        for stage in (0..ORDER).rev() {
            forward -= self.reflection[stage] * self.lattice[stage];
            let backward = self.lattice[stage] + self.reflection[stage] * forward;
            if stage + 1 < ORDER {
                self.lattice[stage + 1] = backward;
            }
        }
        self.lattice[0] = forward;
        forward
    }

    /// Uniform in ±1, by xorshift64* (G. Marsaglia; S. Vigna's multiplier).
    fn next_white(&mut self) -> f32 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

fn autocorrelation(samples: &[f32]) -> [f32; ORDER + 1] {
    core::array::from_fn(|lag| samples.iter().zip(&samples[lag..]).map(|(a, b)| a * b).sum())
}

/// The Levinson-Durbin recursion, of which only the reflection coefficients are kept.
fn reflection(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut reflection = [0.0; ORDER];
    let mut predictor = [0.0_f32; ORDER + 1];
    // A thousandth of white noise keeps the recursion sound for tones and silence.
    let mut error = correlation[0] * 1.001 + 1e-9;
    predictor[0] = 1.0;
    for order in 1..=ORDER {
        let sum: f32 = (0..order).map(|n| predictor[n] * correlation[order - n]).sum();
        let k = (-sum / error).clamp(-MOST_REFLECTION, MOST_REFLECTION);
        let before = predictor;
        for n in 1..=order {
            predictor[n] = before[n] + k * before[order - n];
        }
        error *= 1.0 - k * k;
        reflection[order - 1] = k;
    }
    reflection
}

/// Poles of the colour: enough for the tilt and a hum, too few to sing.
const ORDER: usize = 8;

/// Keeps a line with a pure tone from being imitated by an endless one.
const MOST_REFLECTION: f32 = 0.98;

/// The quietest hop of the last 3 s is the floor.
const FLOOR_MEMORY_HOPS: u32 = 150;

/// Hops up to 6 dB over the floor are the line; over that is speech.
const NEAR_FLOOR: f32 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
    }

    /// Correlation of neighbours: near 1 for a dull sound, below 0 for a hissing one.
    fn dullness(samples: &[f32]) -> f32 {
        samples.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / samples.iter().map(|x| x * x).sum::<f32>()
    }

    #[test]
    fn the_noise_has_the_level_and_the_colour_of_the_line() {
        for pole in [0.8, 0.0, -0.5] {
            let mut white = ComfortNoise::new(SampleRate::Hz8000, 1);
            let mut last = 0.0;
            let line: Vec<f32> = (0..40_000)
                .map(|_| {
                    last = last * pole + white.next_white() * 0.01;
                    last
                })
                .collect();
            let mut noise = ComfortNoise::new(SampleRate::Hz8000, 2);
            noise.learn(&line);
            let mut made = vec![0.0; 40_000];
            noise.fill(&mut made);
            let db = 20.0 * (rms(&made) / rms(&line)).log10();
            assert!(db.abs() < 2.0, "pole {pole}: {db} dB off");
            let (was, is) = (dullness(&line), dullness(&made));
            assert!((was - is).abs() < 0.1, "pole {pole}: {was} became {is}");
        }
    }

    #[test]
    fn speech_over_the_line_is_not_learnt() {
        let mut source = ComfortNoise::new(SampleRate::Hz8000, 3);
        let mut noise = ComfortNoise::new(SampleRate::Hz8000, 4);
        for frame in 0..250 {
            let gain = if frame % 100 < 50 { 0.005 } else { 0.3 };
            let frame: Vec<f32> = (0..160).map(|_| source.next_white() * gain).collect();
            noise.learn(&frame);
        }
        let db = 20.0 * (noise.level() / (0.005 / 3f32.sqrt())).log10();
        assert!(db.abs() < 3.0, "{db} dB off");
    }

    #[test]
    fn it_never_runs_away_whatever_it_heard() {
        for line in [[1.0; 160], [f32::NAN; 160], [f32::INFINITY; 160], [1e-40; 160]] {
            let mut noise = ComfortNoise::new(SampleRate::Hz8000, 5);
            for _ in 0..100 {
                noise.learn(&line);
            }
            let mut made = vec![0.0; 80_000];
            noise.fill(&mut made);
            assert!(made.iter().all(|x| x.abs() < 100.0), "{:?}", line[0]);
        }
    }
}
