//! Parses one script and plays it against one machine, comparing everything it says.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError};

/// What a protocol adds to the runner: how to make its machine, read its commands and write its events.
pub(crate) trait Protocol {
    type Machine: Machine;

    fn machine(options: &Options, now: Instant) -> Self::Machine;
    /// Reads what follows `!`.
    fn command(line: &str) -> Result<<Self::Machine as Machine>::Command, String>;
    /// Writes what follows `=`.
    fn event(event: &<Self::Machine as Machine>::Event) -> String;
}

/// The `key=value` words of a script's first line.
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// A parsed script: the machine it names and its steps, each with its line number.
pub(crate) struct Script {
    pub(crate) machine: String,
    options: Options,
    steps: Vec<(usize, Step)>,
}

enum Step {
    Open,
    LinkClosed(Option<CloseFrame>),
    Text(String),
    Binary(Bytes),
    Command(String),
    Pass(Duration),
    Sends(String),
    Tells(String),
    Refuses(String),
    Fails(String),
    Finished,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let mut lines = lines.by_ref().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, first) = lines.next().ok_or("1: the script is empty")?;
        let mut words = first.split_whitespace();
        if words.next() != Some("machine") {
            return Err(format!("{number}: a script opens with `machine NAME`"));
        }
        let machine = words.next().ok_or_else(|| format!("{number}: which machine?"))?.to_owned();
        let options = words
            .map(|word| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("{number}: options are key=value"))?;
        let steps = lines
            .map(|(number, line)| {
                Ok((number, Step::parse(line).map_err(|what| format!("{number}: {what}"))?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { machine, options: Options(options), steps })
    }

    /// Plays the script; the error names the line.
    pub(crate) fn play<P: Protocol>(&self) -> Result<(), String> {
        let mut stage = Stage::<P>::new(&self.options);
        for (number, step) in &self.steps {
            stage.play(step).map_err(|what| format!("{number}: {what}"))?;
        }
        stage.nothing_unexpected().map_err(|what| format!("at the end: {what}"))
    }
}

impl Step {
    fn parse(line: &str) -> Result<Self, String> {
        let (head, rest) = line.split_once(' ').map_or((line, ""), |(head, rest)| (head, rest.trim()));
        Ok(match head {
            "open" => Self::Open,
            "close" if rest.is_empty() => Self::LinkClosed(None),
            "close" => Self::LinkClosed(Some(parse_close(rest)?)),
            "<" => match rest.strip_prefix("audio ") {
                Some(audio) => Self::Binary(parse_audio(audio)?),
                None => Self::Text(rest.to_owned()),
            },
            "!" => Self::Command(rest.to_owned()),
            "+" => Self::Pass(parse_duration(rest)?),
            ">" => Self::Sends(rest.to_owned()),
            "=" => Self::Tells(rest.to_owned()),
            "x" => Self::Refuses(rest.to_owned()),
            "fail" => Self::Fails(rest.to_owned()),
            "finished" => Self::Finished,
            other => return Err(format!("no step starts with `{other}`")),
        })
    }
}

/// One machine at play, and what it said that no line has expected yet.
struct Stage<P: Protocol> {
    machine: P::Machine,
    now: Instant,
    sent: VecDeque<Message>,
    told: VecDeque<String>,
    refused: Option<CommandError>,
    failed: Option<ProtocolError>,
}

impl<P: Protocol> Stage<P> {
    fn new(options: &Options) -> Self {
        let now = start();
        let machine = P::machine(options, now);
        Self { machine, now, sent: VecDeque::new(), told: VecDeque::new(), refused: None, failed: None }
    }

    fn play(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Open => self.input(Input::Opened),
            Step::LinkClosed(frame) => self.input(Input::Closed(frame.clone())),
            Step::Text(text) => self.input(Input::Text(text)),
            Step::Binary(bytes) => self.input(Input::Binary(bytes.clone())),
            Step::Command(line) => {
                self.nothing_unexpected()?;
                self.refused = self.machine.handle_command(self.now, P::command(line)?).err();
                self.drain();
                Ok(())
            }
            Step::Pass(span) => self.pass(*span),
            Step::Sends(expected) => match self.sent.pop_front() {
                Some(message) => expect_message(expected, &message),
                None => Err(format!("expected to send `{expected}`, but nothing was sent")),
            },
            Step::Tells(expected) => match self.told.pop_front() {
                Some(event) if matches(expected, &event) => Ok(()),
                Some(event) => Err(format!("expected event `{expected}`\n      but it was `{event}`")),
                None => Err(format!("expected event `{expected}`, but there was none")),
            },
            Step::Refuses(expected) => match self.refused.take() {
                Some(error) if matches(expected, &error.to_string()) => Ok(()),
                Some(error) => Err(format!("expected refusal `{expected}`\n        but it was `{error}`")),
                None => Err("the command was not refused".to_owned()),
            },
            Step::Fails(expected) => match self.failed.take() {
                Some(error) if matches(expected, &error.to_string()) => Ok(()),
                Some(error) => Err(format!("expected failure `{expected}`\n        but it was `{error}`")),
                None => Err("the machine did not fail".to_owned()),
            },
            Step::Finished if self.machine.is_finished() => Ok(()),
            Step::Finished => Err("the machine does not say that it is finished".to_owned()),
        }
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), String> {
        self.nothing_unexpected()?;
        self.failed = self.machine.handle_input(self.now, input).err();
        self.drain();
        Ok(())
    }

    /// Lets `span` pass, stopping wherever the machine asked to be woken.
    fn pass(&mut self, span: Duration) -> Result<(), String> {
        self.nothing_unexpected()?;
        let end = self.now + span;
        let mut wakes = 0;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            wakes += 1;
            if wakes > 1_000_000 {
                return Err("the machine asks to be woken without end".to_owned());
            }
            self.now = self.now.max(at);
            self.failed = self.machine.handle_timeout(self.now).err();
            self.drain();
            if self.failed.is_some() {
                break;
            }
        }
        self.now = end;
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(message) = self.machine.poll_transmit() {
            self.sent.push_back(message);
        }
        while let Some(event) = self.machine.poll_event() {
            self.told.push_back(P::event(&event));
        }
    }

    fn nothing_unexpected(&self) -> Result<(), String> {
        if let Some(message) = self.sent.front() {
            return Err(format!("unexpected message before this line: `{}`", written(message)));
        }
        if let Some(event) = self.told.front() {
            return Err(format!("unexpected event before this line: `{event}`"));
        }
        if let Some(error) = &self.refused {
            return Err(format!("the command before this line was refused: `{error}`"));
        }
        match &self.failed {
            Some(error) => Err(format!("the machine failed before this line: `{error}`")),
            None => Ok(()),
        }
    }
}

fn expect_message(expected: &str, message: &Message) -> Result<(), String> {
    let seen = written(message);
    let equal = match message {
        Message::Text(text) => {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            matches(expected, text) || value(expected).is_some_and(|wanted| value(text) == Some(wanted))
        }
        Message::Binary(_) | Message::Close(_) => matches(expected, &seen),
    };
    if equal {
        Ok(())
    } else {
        Err(format!("expected to send `{expected}`\n               but sent `{seen}`"))
    }
}

fn written(message: &Message) -> String {
    match message {
        Message::Text(text) => text.clone(),
        Message::Binary(bytes) => format!("audio {}", bytes.len()),
        Message::Close(frame) => format!("close {} {}", frame.code, frame.reason).trim().to_owned(),
    }
}

/// Compares with `…` standing for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn parse_audio(text: &str) -> Result<Bytes, String> {
    let (length, byte) = text.split_once(' ').unwrap_or((text, "00"));
    let length = length.parse().map_err(|_| format!("`{length}` is no number of bytes"))?;
    let byte = u8::from_str_radix(byte, 16).map_err(|_| format!("`{byte}` is no byte in hexadecimal"))?;
    Ok(Bytes::from(vec![byte; length]))
}

fn parse_close(text: &str) -> Result<CloseFrame, String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    Ok(CloseFrame::new(code.parse().map_err(|_| format!("`{code}` is no close code"))?, reason))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no duration: write 15ms or 2.5s");
    match text.strip_suffix("ms") {
        Some(number) => number.trim().parse().map(Duration::from_millis).map_err(|_| bad()),
        None => {
            let seconds = text.strip_suffix('s').ok_or_else(bad)?.trim().parse().map_err(|_| bad())?;
            Duration::try_from_secs_f64(seconds).map_err(|_| bad())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
fn start() -> Instant {
    Instant::now()
}
