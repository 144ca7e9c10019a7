//! Material the tests share: the shipped speech, its telephone version, and noise.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// The shipped speech at 16 kHz; see `tests/data/README.md`.
pub(crate) fn wideband() -> Vec<f32> {
    static SPEECH: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let file = include_bytes!("../data/speech_16k.wav");
        file[44..].chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect()
    });
    SPEECH.clone()
}

/// Where the first sentence ends and the second begins, in samples at 16 kHz.
pub(crate) const SECOND_SENTENCE: usize = 43_007;

/// The shipped speech through the telephone's band, at 8 kHz.
pub(crate) fn telephone() -> Vec<f32> {
    static SPEECH: LazyLock<Vec<f32>> = LazyLock::new(|| over_the_telephone(&wideband()));
    SPEECH.clone()
}

/// Six talkers at 16 kHz: each sentence of the shipped speech as it is, played slower, as a larger head sounds, and
/// faster, as a smaller one does. Pitch, formants and pace move together.
pub(crate) fn talkers() -> Vec<(String, Vec<f32>)> {
    let speech = wideband();
    let (first, second) = speech.split_at(SECOND_SENTENCE);
    let sentences = [("first", first), ("second", second)];
    let spoken = |speed: f32| {
        sentences
            .map(|(name, sentence)| (format!("the {name} sentence at {speed}"), played_at(sentence, speed)))
    };
    [0.8, 1.0, 1.25].into_iter().flat_map(spoken).collect()
}

/// `samples` played at `speed` times their rate, by a windowed sinc of 32 samples.
pub(crate) fn played_at(samples: &[f32], speed: f32) -> Vec<f32> {
    // What comes to lie above the band is left out before it does.
    let cutoff = 0.5 * (1.0 / speed).min(1.0);
    (0..(samples.len() as f32 / speed) as usize)
        .map(|n| {
            let at = n as f32 * speed;
            let (middle, shift) = (at as isize, at.fract());
            let taken = (-15..=16_isize).map(|k| {
                let x = k as f32 - shift;
                let window = 0.5 + 0.5 * (TAU / 2.0 * x / 17.0).cos();
                let sinc = if x == 0.0 { 2.0 * cutoff } else { (TAU * cutoff * x).sin() / (TAU / 2.0 * x) };
                sinc * window * usize::try_from(middle + k).ok().and_then(|k| samples.get(k)).unwrap_or(&0.0)
            });
            taken.sum()
        })
        .collect()
}

/// What a telephone makes of sound at 16 kHz: its band, at 8 kHz.
pub(crate) fn over_the_telephone(samples: &[f32]) -> Vec<f32> {
    decimate(&band_pass(samples, 16_000.0))
}

/// 300 to 3400 Hz, by a windowed sinc of 20 ms.
pub(crate) fn band_pass(samples: &[f32], hz: f32) -> Vec<f32> {
    let half = (hz * 0.01) as isize;
    let low_pass = |cutoff: f32, n: isize| {
        let x = TAU * cutoff / hz * n as f32;
        if n == 0 { 2.0 * cutoff / hz } else { x.sin() / (TAU / 2.0 * n as f32) }
    };
    let taps: Vec<f32> = (-half..=half)
        .map(|n| {
            let window = 0.5 + 0.5 * (TAU / 2.0 * n as f32 / (half + 1) as f32).cos();
            (low_pass(3_400.0, n) - low_pass(300.0, n)) * window
        })
        .collect();
    (0..samples.len() as isize)
        .map(|i| {
            let taken = (-half..=half).zip(&taps);
            taken
                .map(|(n, tap)| {
                    tap * usize::try_from(i - n).ok().and_then(|k| samples.get(k)).unwrap_or(&0.0)
                })
                .sum()
        })
        .collect()
}

/// Every other sample of sound already below a quarter of its rate.
pub(crate) fn decimate(samples: &[f32]) -> Vec<f32> {
    samples.iter().step_by(2).copied().collect()
}

/// Root of the mean square.
pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
}

/// How sharply the waveform bends at each sample but the first and the last, as the second difference: what an edge
/// does, and a wave hardly.
pub(crate) fn bends(samples: &[f32]) -> Vec<f32> {
    samples.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).collect()
}

/// The value that a `share` of all are not above.
pub(crate) fn percentile(mut values: Vec<f32>, share: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    values[((values.len() - 1) as f32 * share) as usize]
}

/// A small seeded generator (xorshift64*), so that every run hears the same noise.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Uniform in ±1.
    pub(crate) fn white(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Any whole number under `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (((self.white() + 1.0) / 2.0 * limit as f32) as usize).min(limit - 1)
    }

    /// Pink noise: white through Paul Kellet's filter, -3 dB an octave within 0.05 dB above 0.0005 of the rate.
    pub(crate) fn pink(&mut self, len: usize) -> Vec<f32> {
        const POLES: [(f32, f32); 6] = [
            (0.99886, 0.055_517_9),
            (0.99332, 0.075_075_9),
            (0.96900, 0.153_852),
            (0.86650, 0.310_485_6),
            (0.55000, 0.532_952_2),
            (-0.7616, -0.016_898),
        ];
        let (mut state, mut delayed) = ([0.0f32; 6], 0.0);
        (0..len)
            .map(|_| {
                let white = self.white();
                let mut sum = delayed + white * 0.536_2;
                for (state, (pole, gain)) in state.iter_mut().zip(POLES) {
                    *state = pole * *state + white * gain;
                    sum += *state;
                }
                delayed = white * 0.115_926;
                sum
            })
            .collect()
    }
}
