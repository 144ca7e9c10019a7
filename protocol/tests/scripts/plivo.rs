//! Plivo in scripts: `plivo-stream` is our side, `plivo-caller` Plivo's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::plivo::{
    CallerCommand, CallerEvent, DegradedLevel, Digit, Heard, PlivoCaller, PlivoCallerConfig, PlivoCommand,
    PlivoConfig, PlivoEvent, PlivoStream,
};

use crate::runner::{Options, Protocol};

/// Options: `lead`, `frame`, `max-queued` in milliseconds.
pub(crate) struct Stream;

impl Protocol for Stream {
    type Machine = PlivoStream;

    fn machine(options: &Options, now: Instant) -> PlivoStream {
        let millis = |key| options.get(key).map(|value| Duration::from_millis(value.parse().unwrap()));
        let mut config = PlivoConfig::default();
        if let Some(lead) = millis("lead") {
            config = config.with_lead(lead);
        }
        if let Some(frame) = millis("frame") {
            config = config.with_frame(frame);
        }
        if let Some(limit) = millis("max-queued") {
            config = config.with_max_queued(limit);
        }
        PlivoStream::new(config, now)
    }

    fn command(line: &str) -> Result<PlivoCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match verb {
            "checkpoint" => PlivoCommand::Checkpoint(rest.into()),
            "clear" => PlivoCommand::Clear,
            "close" => PlivoCommand::Close,
            "degraded" => PlivoCommand::Degraded(
                DegradedLevel::ALL.into_iter().find(|level| rest == level.percent().to_string()),
            ),
            "dtmf" => PlivoCommand::SendDtmf(Digit::parse_all(rest).map_err(|error| error.to_string())?),
            "play" => PlivoCommand::Play(audio(rest)?),
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &PlivoEvent) -> String {
        match event {
            PlivoEvent::Cleared { dropped, unheard, heard, by } => {
                format!(
                    "cleared {by:?} dropped={}ms unheard={} {}",
                    dropped.as_millis(),
                    unheard.len(),
                    ms(heard)
                )
            }
            PlivoEvent::ClearSettled { heard, acknowledged } => {
                format!("settled {} acknowledged={acknowledged}", ms(heard))
            }
            PlivoEvent::Closed => "closed".to_owned(),
            PlivoEvent::Dtmf(digit) => format!("dtmf {digit}"),
            PlivoEvent::Garbled { error } => format!("garbled {error}"),
            PlivoEvent::Gap { track, messages, span } => {
                format!("gap {track} messages={messages:?} {}ms", span.as_millis())
            }
            PlivoEvent::LinkLost { close, cause, unheard, .. } => {
                let code = close.as_ref().map(|frame| frame.code);
                format!("link-lost {cause:?} code={code:?} unheard={}ms", unheard.as_millis())
            }
            PlivoEvent::Media(media) => {
                let sequence = media.sequence.map_or_else(|| "?".to_owned(), |sequence| sequence.to_string());
                format!("media {} seq={sequence} bytes={}", media.track, media.payload.len())
            }
            PlivoEvent::Played(name) => format!("played {name}"),
            PlivoEvent::PlayFailed { code, reason } => format!("play-failed {code:?} {reason}"),
            PlivoEvent::Skipped { name, why } => format!("skipped {name} {why:?}"),
            PlivoEvent::Started(info) => {
                let headers: String =
                    info.headers.iter().map(|(key, value)| format!(" {key}={value}")).collect();
                format!("started {} {} {} {}{headers}", info.call_id, info.stream_id, info.format, info.life)
            }
            PlivoEvent::Unhandled { kind } => format!("unhandled {kind}"),
            PlivoEvent::Unexpected { error } => format!("unexpected {error}"),
            other => format!("{other:?}"),
        }
    }
}

/// Options: `quirk`, `rate` (of linear audio; µ-law without it), `one-way=yes`.
pub(crate) struct Caller;

impl Protocol for Caller {
    type Machine = PlivoCaller;

    fn machine(options: &Options, now: Instant) -> PlivoCaller {
        let mut config = PlivoCallerConfig::new("call-1", "stream-1").with_header("tenant", "acme");
        if let Some(quirk) = options.get("quirk") {
            config = config.with_quirk(quirk.parse().unwrap());
        }
        if let Some(rate) = options.get("rate") {
            let rate = SampleRate::try_from(rate.parse::<u32>().unwrap()).unwrap();
            config = config.with_format(AudioFormat::linear16(rate));
        }
        if options.get("one-way").is_some() {
            config = config.one_way();
        }
        PlivoCaller::new(config, now)
    }

    fn command(line: &str) -> Result<CallerCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match verb {
            "hang-up" => CallerCommand::HangUp,
            "press" => CallerCommand::Press(rest.chars().next().and_then(Digit::new).ok_or("which key?")?),
            "speak" => CallerCommand::Speak(audio(rest)?),
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &CallerEvent) -> String {
        match event {
            CallerEvent::Cleared { dropped, asked } => {
                format!("cleared {}ms asked={asked}", dropped.as_millis())
            }
            CallerEvent::Closed => "closed".to_owned(),
            CallerEvent::Ear(frame) => format!("ear {}ms played={}", frame.at.as_millis(), frame.played),
            CallerEvent::Garbled { error } => format!("garbled {error}"),
            CallerEvent::LinkLost(close) => format!("link-lost {:?}", close.as_ref().map(|frame| frame.code)),
            CallerEvent::Reached(name) => format!("reached {name}"),
            CallerEvent::Redial { attempt, after } => format!("redial {attempt} after {after:?}"),
            CallerEvent::Rejected { code, detail } => format!("rejected {code} {detail}"),
            CallerEvent::Started => "started".to_owned(),
            CallerEvent::Status(status) => format!("status {status:?}"),
            CallerEvent::Tones(digits) => {
                format!("tones {}", digits.iter().map(ToString::to_string).collect::<String>())
            }
            CallerEvent::Unhandled { kind } => format!("unhandled {kind}"),
            other => format!("{other:?}"),
        }
    }
}

/// `160` or `160 7f`: so many bytes, of that value.
fn audio(text: &str) -> Result<Bytes, String> {
    let (length, byte) = text.split_once(' ').unwrap_or((text, "ff"));
    let length = length.parse().map_err(|_| format!("`{length}` is no number of bytes"))?;
    let byte = u8::from_str_radix(byte, 16).map_err(|_| format!("`{byte}` is no byte"))?;
    Ok(Bytes::from(vec![byte; length]))
}

fn ms(heard: &Heard) -> String {
    let millis = |span: Duration| span.as_millis();
    format!("heard={}..{}..{}", millis(heard.at_least), millis(heard.played), millis(heard.at_most))
}
