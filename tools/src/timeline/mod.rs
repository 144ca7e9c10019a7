//! A picture of a call: both voices, the links under them, and where the time went in each turn.

mod svg;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use voxline_audio::SampleRate;
use voxline_session::Shares;

use svg::Svg;

/// What there is to draw. Positions count from the beginning of the call.
///
/// ```
/// use voxline::timeline::{LinkLane, Timeline, TimelineTurn};
/// use voxline_audio::SampleRate;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let mut call = Timeline::new("A call", SampleRate::Hz8000, &[1_000; 8_000], &[0; 16_000]);
/// let mut turn = TimelineTurn::new(1, Duration::ZERO..2 * second);
/// turn.caller_said = "Hello?".to_owned();
/// call.turns.push(turn);
/// call.links.push(LinkLane::new("STT", vec![Duration::ZERO..second], vec![second]));
/// let picture = call.to_svg();
/// assert!(picture.starts_with("<svg") && picture.contains("Hello?"));
/// ```
#[non_exhaustive]
#[derive(Clone)]
pub struct Timeline {
    /// Heading of the picture.
    pub title: String,
    /// Length of the call.
    pub duration: Duration,
    /// The turns, in order.
    pub turns: Vec<TimelineTurn>,
    /// The links, as lanes from top to bottom.
    pub links: Vec<LinkLane>,
    /// The instants at which the caller spoke over the agent.
    pub barge_ins: Vec<Duration>,
    /// Loudness of both voices in equal slices of the call, 0 to 1.
    caller: Vec<f32>,
    agent: Vec<f32>,
    /// The avatar's voice, if there was one.
    avatar: Option<Vec<f32>>,
}

impl Timeline {
    /// A call with these two voices; the longer one is the length of the call.
    #[must_use]
    pub fn new(title: impl Into<String>, rate: SampleRate, caller: &[i16], agent: &[i16]) -> Self {
        let samples = caller.len().max(agent.len());
        let (mut caller, mut agent) = (envelope(caller, samples), envelope(agent, samples));
        let loudest = caller.iter().chain(&agent).copied().fold(f32::MIN_POSITIVE, f32::max);
        caller.iter_mut().chain(&mut agent).for_each(|level| *level /= loudest);
        Self {
            title: title.into(),
            duration: rate.duration_of(samples as u64),
            turns: Vec::new(),
            links: Vec::new(),
            barge_ins: Vec::new(),
            caller,
            agent,
            avatar: None,
        }
    }

    /// The same call with an avatar's voice under the other two.
    #[must_use]
    pub fn with_avatar(mut self, rate: SampleRate, sound: &[i16]) -> Self {
        // Loud enough to be seen beside them: an avatar has no line that makes it quieter.
        let mut levels = envelope(sound, rate.samples_in(self.duration) as usize);
        let loudest = levels.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        levels.iter_mut().for_each(|level| *level /= loudest);
        self.avatar = Some(levels);
        self
    }

    /// The picture, a complete SVG document 1280 units wide. It needs no font but the viewer's own.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let voices = if self.avatar.is_some() { 3.0 } else { 2.0 };
        let lanes_top = VOICES_TOP + voices * VOICE_HEIGHT + 16.0;
        let axis = lanes_top + self.links.len() as f64 * LANE_HEIGHT + 6.0;
        let turns_top = axis + 100.0;
        let bottom = turns_top + (self.turns.len() + 1) as f64 * TURN_HEIGHT + 8.0;
        let mut svg = Svg::new(WIDTH, bottom, &self.title);
        svg.text(24.0, 38.0, "title", &self.title);
        self.draw_turn_bands(&mut svg, axis);
        self.draw_axis(&mut svg, axis);
        self.draw_voice(&mut svg, VOICES_TOP, "caller", &self.caller);
        self.draw_voice(&mut svg, VOICES_TOP + VOICE_HEIGHT, "agent", &self.agent);
        if let Some(avatar) = &self.avatar {
            self.draw_voice(&mut svg, VOICES_TOP + 2.0 * VOICE_HEIGHT, "avatar", avatar);
        }
        for (index, lane) in self.links.iter().enumerate() {
            self.draw_link(&mut svg, lanes_top + index as f64 * LANE_HEIGHT, lane);
        }
        for &at in &self.barge_ins {
            let x = self.x(at);
            svg.line((x, VOICES_TOP - 4.0), (x, lanes_top - 8.0), "barge");
            svg.text(x + 5.0, lanes_top - 10.0, "small alarm", "barge-in");
        }
        draw_legend(&mut svg, axis + 72.0);
        self.draw_turns(&mut svg, turns_top);
        svg.finish()
    }

    fn draw_turn_bands(&self, svg: &mut Svg, axis: f64) {
        for (index, turn) in self.turns.iter().enumerate() {
            let (from, to) = (self.x(turn.span.start), self.x(turn.span.end));
            let class = if index % 2 == 0 { "band" } else { "band other" };
            svg.rect((from, VOICES_TOP - 26.0), (to - from, axis - VOICES_TOP + 26.0), class, "");
            svg.text(from + 5.0, VOICES_TOP - 11.0, "small", &format!("turn {}", turn.number));
        }
    }

    fn draw_axis(&self, svg: &mut Svg, y: f64) {
        svg.line((LEFT, y), (RIGHT, y), "axis");
        let seconds = self.duration.as_secs_f64();
        let step = TICKS_S.into_iter().find(|step| seconds / step <= 16.0).unwrap_or(600.0);
        let mut at = 0.0;
        while at <= seconds {
            let x = LEFT + (RIGHT - LEFT) * at / seconds.max(f64::MIN_POSITIVE);
            svg.line((x, y), (x, y + 5.0), "axis");
            svg.text(x, y + 19.0, "small middle", &format!("{at} s"));
            at += step;
        }
    }

    fn draw_voice(&self, svg: &mut Svg, top: f64, name: &'static str, levels: &[f32]) {
        let middle = top + VOICE_HEIGHT / 2.0;
        svg.text(24.0, middle + 4.0, &format!("label {name}-text"), name);
        svg.line((LEFT, middle), (RIGHT, middle), "rest");
        let slice = (RIGHT - LEFT) / levels.len().max(1) as f64;
        let mut path = String::new();
        for (index, &level) in levels.iter().enumerate().filter(|(_, level)| **level > FAINTEST) {
            // Loudness is heard by ratio: the root shows soft speech beside loud.
            let half = f64::from(level.sqrt()) * (VOICE_HEIGHT / 2.0 - 5.0);
            let x = LEFT + (index as f64 + 0.5) * slice;
            path.push_str(&format!("M{x:.1} {:.1}v{:.1}", middle - half, 2.0 * half));
        }
        svg.path(&path, &format!("voice {name}"), slice);
    }

    fn draw_link(&self, svg: &mut Svg, top: f64, lane: &LinkLane) {
        let middle = top + LANE_HEIGHT / 2.0;
        svg.text(24.0, middle + 4.0, "label", &lane.name);
        svg.line((LEFT, middle), (RIGHT, middle), "down");
        for up in &lane.up {
            let (from, to) = (self.x(up.start), self.x(up.end));
            svg.rect((from, middle - 4.0), (to - from, 8.0), "up", "");
        }
        for &cut in &lane.cuts {
            let x = self.x(cut);
            svg.line((x - 5.0, middle - 5.0), (x + 5.0, middle + 5.0), "cut");
            svg.line((x - 5.0, middle + 5.0), (x + 5.0, middle - 5.0), "cut");
        }
    }

    fn draw_turns(&self, svg: &mut Svg, top: f64) {
        let longest = self.turns.iter().map(|turn| turn.shares.total()).max().unwrap_or_default();
        let scale = (RIGHT - 64.0 - BARS) / longest.max(TARGET).as_secs_f64();
        let target_x = BARS + TARGET.as_secs_f64() * scale;
        let bottom = top + (self.turns.len() + 1) as f64 * TURN_HEIGHT - 6.0;
        svg.line((target_x, top - 6.0), (target_x, bottom), "target-line");

        svg.text(24.0, top + 22.0, "label", "targets");
        let targets =
            Shares::default().named().map(|(name, _, target)| (name, target.unwrap_or_default(), None));
        draw_bar(svg, top + 8.0, scale, "share target", &targets);
        svg.text(RIGHT, top + 22.0, "small end", &format!("{} ms", TARGET.as_millis()));

        for (index, turn) in self.turns.iter().enumerate() {
            let y = top + (index + 1) as f64 * TURN_HEIGHT;
            svg.line((24.0, y - 5.0), (RIGHT, y - 5.0), "rest");
            svg.text(24.0, y + 22.0, "label", &format!("turn {}", turn.number));
            svg.text(LEFT - 20.0, y + 13.0, "words caller-text", &shortened(&turn.caller_said, LETTERS));
            draw_answer(svg, y + 31.0, turn);
            draw_bar(svg, y + 8.0, scale, "share", &turn.shares.named());
            let total = turn.shares.total();
            let class = if total > TARGET { "small end alarm" } else { "small end" };
            svg.text(RIGHT, y + 22.0, class, &format!("{} ms", total.as_millis()));
        }
    }

    fn x(&self, at: Duration) -> f64 {
        let share = at.as_secs_f64() / self.duration.as_secs_f64().max(f64::MIN_POSITIVE);
        LEFT + (RIGHT - LEFT) * share.min(1.0)
    }
}

impl fmt::Debug for Timeline {
    /// Without the loudness of the voices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("title", &self.title)
            .field("duration", &self.duration)
            .field("turns", &self.turns)
            .field("links", &self.links)
            .field("barge_ins", &self.barge_ins)
            .finish_non_exhaustive()
    }
}

/// One turn: what the caller said, what the agent answered, and how long it took.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct TimelineTurn {
    /// As it is counted elsewhere.
    pub number: u64,
    /// From the caller's first word to the agent's last.
    pub span: Range<Duration>,
    /// The caller's words.
    pub caller_said: String,
    /// The whole answer.
    pub agent_text: String,
    /// As much of the answer as the caller heard; the rest is shown struck out where this is its beginning.
    pub agent_heard: String,
    /// Where the time between the two went.
    pub shares: Shares,
}

impl TimelineTurn {
    /// A turn in which nothing was said yet.
    #[must_use]
    pub fn new(number: u64, span: Range<Duration>) -> Self {
        Self {
            number,
            span,
            caller_said: String::new(),
            agent_text: String::new(),
            agent_heard: String::new(),
            shares: Shares::default(),
        }
    }
}

/// One link over the call.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct LinkLane {
    /// Phone, STT, TTS.
    pub name: String,
    /// When it was open.
    pub up: Vec<Range<Duration>>,
    /// When it was cut.
    pub cuts: Vec<Duration>,
}

impl LinkLane {
    /// A link and its history.
    #[must_use]
    pub fn new(name: impl Into<String>, up: Vec<Range<Duration>>, cuts: Vec<Duration>) -> Self {
        Self { name: name.into(), up, cuts }
    }
}

fn draw_legend(svg: &mut Svg, y: f64) {
    svg.text(BARS, y - 22.0, "small", "from the caller's last word to the agent's first, in milliseconds");
    let mut x = BARS;
    for (name, _, _) in Shares::default().named() {
        svg.rect((x, y - 9.0), (10.0, 10.0), &format!("share {name}"), "");
        let name = spelled(name);
        svg.text(x + 14.0, y, "small", &name);
        x += 26.0 + 6.2 * name.len() as f64;
    }
    svg.rect((LEFT - 20.0, y - 6.0), (16.0, 6.0), "up", "");
    svg.text(LEFT, y, "small", "link up");
    svg.line((LEFT + 60.0, y - 8.0), (LEFT + 70.0, y + 2.0), "cut");
    svg.line((LEFT + 60.0, y + 2.0), (LEFT + 70.0, y - 8.0), "cut");
    svg.text(LEFT + 76.0, y, "small", "link cut");
    svg.text(LEFT + 142.0, y, "small struck", "not heard");
    svg.rect((LEFT + 212.0, y - 9.0), (10.0, 10.0), "late", "");
    svg.text(LEFT + 227.0, y, "small", "over its target");
}

/// The shares side by side; each says its milliseconds where there is room.
fn draw_bar(svg: &mut Svg, y: f64, scale: f64, class: &str, shares: &[(&str, Duration, Option<Duration>)]) {
    let mut x = BARS;
    for (name, share, target) in shares.iter().filter(|(_, share, _)| !share.is_zero()) {
        let width = share.as_secs_f64() * scale;
        let tip = format!("{}: {} ms", spelled(name), share.as_millis());
        svg.rect((x, y), (width, BAR_HEIGHT), &format!("{class} {name}"), &tip);
        if target.is_some_and(|target| *share > target) {
            svg.rect((x + 1.0, y + 1.0), ((width - 2.0).max(0.0), BAR_HEIGHT - 2.0), "late", "");
        }
        let number = share.as_millis().to_string();
        if width > 9.0 + 6.5 * number.len() as f64 {
            svg.text(x + width / 2.0, y + 14.0, "number middle", &number);
        }
        x += width;
    }
}

fn draw_answer(svg: &mut Svg, y: f64, turn: &TimelineTurn) {
    let heard = shortened(&turn.agent_heard, LETTERS);
    let room = LETTERS.saturating_sub(turn.agent_heard.chars().count());
    let unheard = turn.agent_text.strip_prefix(turn.agent_heard.as_str()).unwrap_or_default();
    let unheard = if room > 1 { shortened(unheard, room) } else { String::new() };
    svg.two_texts(LEFT - 20.0, y, "words agent-text", (&heard, &unheard), "struck");
}

/// The name of a share, for people.
fn spelled(name: &str) -> String {
    match name {
        "stt" | "tts" => name.to_uppercase(),
        other => other.replace('_', " "),
    }
}

fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters - 1).collect();
    format!("{}…", kept.trim_end())
}

/// Root mean square of each slice.
fn envelope(sound: &[i16], samples: usize) -> Vec<f32> {
    let edge = |slice: usize| (slice * samples / SLICES).min(sound.len());
    (0..SLICES)
        .map(|slice| {
            let part = &sound[edge(slice)..edge(slice + 1)];
            let energy: f32 = part.iter().map(|&sample| (f32::from(sample) / 32_768.0).powi(2)).sum();
            (energy / part.len().max(1) as f32).sqrt()
        })
        .collect()
}

/// The targets together (Plivo's latency budget: below one second in all).
const TARGET: Duration = Duration::from_millis(1_000);
const WIDTH: f64 = 1_280.0;
/// The call is drawn between these.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 1_256.0;
/// Where the bars begin, right of the words.
const BARS: f64 = 640.0;
const VOICES_TOP: f64 = 92.0;
const VOICE_HEIGHT: f64 = 84.0;
const LANE_HEIGHT: f64 = 24.0;
const TURN_HEIGHT: f64 = 46.0;
const BAR_HEIGHT: f64 = 20.0;
/// Letters that fit left of the bars.
const LETTERS: usize = 84;
/// One slice of a voice is two units wide.
const SLICES: usize = ((RIGHT - LEFT) / 2.0) as usize;
/// Below −50 dB of the loudest nothing is drawn.
const FAINTEST: f32 = 0.003;
const TICKS_S: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0];

#[cfg(test)]
mod tests;
