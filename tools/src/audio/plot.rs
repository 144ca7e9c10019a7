//! Waveform and spectrogram of a file of any length, as a picture.

use std::fmt::Write as _;

use base64_simd::STANDARD;
use voxline_audio::{PowerSpectrum, SampleRate, level};

/// Draws sound as it goes by, in bounded memory: when the picture is full, neighbouring columns become one.
///
/// ```
/// use voxline::audio::Plot;
/// use voxline_audio::SampleRate;
///
/// let mut plot = Plot::new(SampleRate::Hz8000);
/// plot.process(&[0.1; 8_000]);
/// assert!(plot.to_svg("a second of nothing much").starts_with("<svg"));
/// ```
#[derive(Debug)]
pub struct Plot {
    rate: SampleRate,
    spectrum: PowerSpectrum,
    /// The last samples, as many as one transform takes.
    history: Vec<f32>,
    power: Vec<f32>,
    columns: Vec<Column>,
    /// Samples a column stands for.
    column_samples: usize,
    current: Column,
    total: u64,
}

/// One column of the picture.
#[derive(Debug, Clone)]
struct Column {
    samples: usize,
    lowest: f32,
    highest: f32,
    /// The most power of each row, low frequencies first.
    rows: Vec<f32>,
}

impl Plot {
    /// An empty picture of sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let size = (rate.hz() as usize * 32 / 1_000).next_power_of_two();
        let spectrum = PowerSpectrum::new(size);
        Self {
            rate,
            history: vec![0.0; size],
            power: vec![0.0; spectrum.bins()],
            spectrum,
            columns: Vec::new(),
            column_samples: size / 8,
            current: Column::EMPTY,
            total: 0,
        }
    }

    /// Adds a run of samples, of any length.
    pub fn process(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let step = self.column_samples.min(self.history.len() / 2);
            // Columns are whole steps, so that each ends with a transform.
            let room = step - self.current.samples % step;
            let (now, later) = samples.split_at(samples.len().min(room));
            self.add(now);
            if now.len() == room {
                self.end_step();
            }
            samples = later;
        }
    }

    fn add(&mut self, samples: &[f32]) {
        self.history.copy_within(samples.len().., 0);
        let kept = self.history.len() - samples.len();
        for (to, from) in self.history[kept..].iter_mut().zip(samples) {
            *to = if from.is_finite() { *from } else { 0.0 };
            self.current.lowest = self.current.lowest.min(*to);
            self.current.highest = self.current.highest.max(*to);
        }
        self.current.samples += samples.len();
        self.total += samples.len() as u64;
    }

    fn end_step(&mut self) {
        self.spectrum.process(&self.history, &mut self.power);
        let per_row = (self.history.len() / 2).div_ceil(MOST_ROWS);
        let rows = self.power[1..].chunks(per_row).map(|bins| bins.iter().copied().fold(0.0, f32::max));
        self.current.merge_rows(rows);
        if self.current.samples < self.column_samples {
            return;
        }
        self.columns.push(std::mem::replace(&mut self.current, Column::EMPTY));
        if self.columns.len() == MOST_COLUMNS {
            let mut pairs = std::mem::take(&mut self.columns).into_iter();
            while let (Some(mut first), Some(second)) = (pairs.next(), pairs.next()) {
                first.merge(second);
                self.columns.push(first);
            }
            self.column_samples *= 2;
        }
    }

    /// The picture under a title.
    #[must_use]
    pub fn to_svg(&self, title: &str) -> String {
        let title = title.replace('&', "&amp;").replace('<', "&lt;");
        let (right, bottom) = (LEFT + WIDTH, SPECTRUM_TOP + SPECTRUM_HEIGHT);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"#333\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n",
            right + 20.0,
            bottom + 60.0
        );
        let middle = WAVE_TOP + WAVE_HEIGHT / 2.0;
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<path d=\"{}\" fill=\"#2a6f97\"/>\n<path d=\"M{LEFT} {middle}H{right}\" stroke=\"#9ab\" stroke-width=\"0.5\"/>\n\
             <image x=\"{LEFT}\" y=\"{SPECTRUM_TOP}\" width=\"{WIDTH}\" height=\"{SPECTRUM_HEIGHT}\" \
             preserveAspectRatio=\"none\" href=\"data:image/png;base64,{}\"/>",
            self.wave(middle),
            STANDARD.encode_to_string(self.spectrogram())
        );
        for (label, y) in [("0 dBFS", WAVE_TOP), ("−6", middle - WAVE_HEIGHT / 4.0), ("−∞", middle)] {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        self.draw_axes(&mut svg, right, bottom);
        draw_key(&mut svg, bottom + 36.0);
        svg.push_str("</svg>\n");
        svg
    }

    /// The outline of the waveform: along its tops and back along its bottoms.
    fn wave(&self, middle: f64) -> String {
        let columns = &self.columns;
        let step = WIDTH / columns.len().max(1) as f64;
        let point = |(x, value): (usize, f32)| {
            let y = middle - f64::from(value.clamp(-1.0, 1.0)) * WAVE_HEIGHT / 2.0;
            format!("{:.1} {y:.1}", LEFT + (x as f64 + 0.5) * step)
        };
        let tops = columns.iter().map(|column| column.highest.max(0.002)).enumerate();
        let bottoms = columns.iter().map(|column| column.lowest.min(-0.002)).enumerate().rev();
        let points: Vec<String> = tops.chain(bottoms).map(point).collect();
        if points.is_empty() { String::new() } else { format!("M{}Z", points.join("L")) }
    }

    /// The spectrogram as a PNG, low frequencies at the bottom; no bytes where there is nothing to show.
    fn spectrogram(&self) -> Vec<u8> {
        let columns = &self.columns;
        let rows = columns.first().map_or(0, |column| column.rows.len());
        let pixels: Vec<u8> = (0..rows)
            .rev()
            .flat_map(|row| columns.iter().map(move |column| shade(column.rows[row])))
            .collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, columns.len() as u32, rows as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette((0..=255).flat_map(colour).collect::<Vec<u8>>());
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
        // Only a picture without a pixel is refused.
        if written.is_ok() { file } else { Vec::new() }
    }

    fn draw_axes(&self, svg: &mut String, right: f64, bottom: f64) {
        // What the picture shows is whole columns.
        let seconds = (self.columns.len() * self.column_samples) as f64 / f64::from(self.rate.hz());
        let step = round_step(seconds / 8.0);
        for tick in 0.. {
            let time = f64::from(tick) * step;
            if time > seconds || seconds == 0.0 {
                break;
            }
            let x = LEFT + time / seconds * WIDTH;
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#333\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                clock(time, step)
            );
        }
        let nyquist = f64::from(self.rate.hz()) / 2_000.0;
        let step = if nyquist > 12.0 {
            4.0
        } else if nyquist > 4.0 {
            2.0
        } else {
            1.0
        };
        for tick in 0.. {
            let khz = f64::from(tick) * step;
            if khz > nyquist {
                break;
            }
            let y = bottom - khz / nyquist * SPECTRUM_HEIGHT;
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}h-5\" stroke=\"#333\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{khz} kHz</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {bottom}V{SPECTRUM_TOP}M{LEFT} {bottom}H{right}\" stroke=\"#333\" fill=\"none\"/>"
        );
    }
}

impl Column {
    const EMPTY: Self = Self { samples: 0, lowest: 0.0, highest: 0.0, rows: Vec::new() };

    fn merge(&mut self, later: Self) {
        self.samples += later.samples;
        self.lowest = self.lowest.min(later.lowest);
        self.highest = self.highest.max(later.highest);
        self.merge_rows(later.rows.into_iter());
    }

    fn merge_rows(&mut self, rows: impl Iterator<Item = f32>) {
        if self.rows.is_empty() {
            self.rows = rows.collect();
        } else {
            self.rows.iter_mut().zip(rows).for_each(|(row, power)| *row = row.max(power));
        }
    }
}

/// The key of the colours.
fn draw_key(svg: &mut String, y: f64) {
    svg.push_str("<defs><linearGradient id=\"key\">");
    for (at, [red, green, blue]) in STOPS.iter().enumerate() {
        let offset = at as f64 / (STOPS.len() - 1) as f64;
        let _ = write!(svg, "<stop offset=\"{offset:.2}\" stop-color=\"rgb({red},{green},{blue})\"/>");
    }
    let _ = writeln!(
        svg,
        "</linearGradient></defs>\n<rect x=\"{}\" y=\"{y}\" width=\"200\" height=\"10\" fill=\"url(#key)\"/>\n\
         <text x=\"{LEFT}\" y=\"{}\">{QUIETEST_DBFS} dBFS</text><text x=\"{}\" y=\"{}\">{LOUDEST_DBFS} dBFS</text>",
        LEFT + 72.0,
        y + 10.0,
        LEFT + 280.0,
        y + 10.0
    );
}

/// Which of the 256 colours a power has.
fn shade(power: f32) -> u8 {
    let db = level::to_dbfs(power.sqrt());
    ((db - QUIETEST_DBFS) / (LOUDEST_DBFS - QUIETEST_DBFS) * 255.0).clamp(0.0, 255.0) as u8
}

/// From near black over violet and orange to pale yellow.
fn colour(shade: u8) -> [u8; 3] {
    let at = f32::from(shade) / 255.0 * (STOPS.len() - 1) as f32;
    let below = (at as usize).min(STOPS.len() - 2);
    let share = at - below as f32;
    let mix = |a: u8, b: u8| (f32::from(a) * (1.0 - share) + f32::from(b) * share) as u8;
    let (low, high) = (STOPS[below], STOPS[below + 1]);
    [mix(low[0], high[0]), mix(low[1], high[1]), mix(low[2], high[2])]
}

/// A step of 1, 2 or 5 times a power of ten of seconds, or of a good number of minutes, not under `least`.
fn round_step(least: f64) -> f64 {
    const STEPS: [f64; 18] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0,
        3_600.0, 7_200.0,
    ];
    STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| (least / 7_200.0).ceil() * 7_200.0)
}

/// A time as people write it, to the precision of the ticks.
fn clock(seconds: f64, step: f64) -> String {
    let whole = seconds.round() as u64;
    match step {
        step if step < 0.1 => format!("{seconds:.2} s"),
        step if step < 1.0 => format!("{seconds:.1} s"),
        step if step < 30.0 => format!("{whole} s"),
        _ => format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60),
    }
}

/// Columns after which pairs of them become one; even.
const MOST_COLUMNS: usize = 2_400;

/// Rows of the spectrogram at the most.
const MOST_ROWS: usize = 256;

const LEFT: f64 = 70.0;
const WIDTH: f64 = 1_200.0;
const WAVE_TOP: f64 = 40.0;
const WAVE_HEIGHT: f64 = 160.0;
const SPECTRUM_TOP: f64 = 220.0;
const SPECTRUM_HEIGHT: f64 = 320.0;

/// What is darkest, and what is brightest.
const QUIETEST_DBFS: f32 = -110.0;
const LOUDEST_DBFS: f32 = -20.0;

const STOPS: [[u8; 3]; 6] =
    [[0, 0, 8], [60, 15, 110], [140, 40, 125], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_takes_no_more_columns_than_a_minute() {
        let mut plot = Plot::new(SampleRate::Hz8000);
        for second in 0..600 {
            plot.process(&[second as f32 / 600.0; 8_000]);
            assert!(plot.columns.len() < MOST_COLUMNS);
        }
        let shown: usize = plot.columns.iter().map(|column| column.samples).sum();
        assert!(4_800_000 - shown < plot.column_samples, "{shown} samples are shown");
        assert!(plot.columns.iter().all(|column| column.samples == plot.column_samples));
    }

    #[test]
    fn a_tone_is_a_bright_row_at_its_frequency() {
        let mut plot = Plot::new(SampleRate::Hz8000);
        let tone: Vec<f32> =
            (0..16_000).map(|n| 0.5 * (std::f32::consts::TAU * 1_000.0 * n as f32 / 8_000.0).sin()).collect();
        tone.chunks(333).for_each(|run| plot.process(run));
        let rows = &plot.columns[plot.columns.len() / 2].rows;
        let loudest = (0..rows.len()).max_by(|a, b| rows[*a].total_cmp(&rows[*b])).unwrap();
        // The first row stands for the bin after 0 Hz; one of 128 bins is 31.25 Hz.
        assert_eq!(loudest + 1, 32);
        assert!(shade(rows[loudest]) > 250 && shade(rows[100]) < 40);
    }

    #[test]
    fn nothing_at_all_still_makes_a_picture() {
        assert!(Plot::new(SampleRate::Hz48000).to_svg("<&").contains("&lt;&amp;"));
    }
}
