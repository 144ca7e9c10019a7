//! SLNG in scripts: `slng-tts` and `slng-stt` are our sides, `slng-tts-server` and `slng-stt-server` the gateway's.

use std::fmt::Display;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, Encoding, SampleRate};
use voxline_protocol::slng::{
    FlushPolicy, Heard, Quirks, SttClient, SttCommand, SttConfig, SttEvent, SttServer, SttServerCommand,
    SttServerConfig, SttServerEvent, Transcript, TtsClient, TtsCommand, TtsConfig, TtsEvent, TtsServer,
    TtsServerCommand, TtsServerConfig, TtsServerEvent,
};
use voxline_protocol::{CloseFrame, UtteranceId};

use crate::runner::{Options, Protocol};

/// Options: `voice`, `rate`, `encoding=mulaw`, `language`, `speed`, `policy=batch|sentence`, `max-text`.
pub(crate) struct Tts;

impl Protocol for Tts {
    type Machine = TtsClient;

    fn machine(options: &Options, now: Instant) -> TtsClient {
        let encoding = match options.get("encoding") {
            Some("mulaw") => Encoding::MuLaw,
            _ => Encoding::Linear16Le,
        };
        let format = AudioFormat::new(encoding, rate(options));
        let mut config = TtsConfig::new(format, options.get("voice").unwrap_or("ada"));
        config = match options.get("policy") {
            Some("batch") => config.with_flush_policy(FlushPolicy::Batch),
            Some("sentence") => config.with_flush_policy(FlushPolicy::Sentence),
            _ => config,
        };
        if let Some(language) = options.get("language") {
            config = config.with_language(language);
        }
        if let Some(speed) = options.get("speed") {
            config = config.with_speed(speed.parse().unwrap());
        }
        if let Some(limit) = options.get("max-text") {
            config = config.with_max_text(limit.parse().unwrap());
        }
        TtsClient::new(config, now)
    }

    fn command(line: &str) -> Result<TtsCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match verb {
            "clear" => TtsCommand::Clear,
            "close" => TtsCommand::Close,
            "flush" => TtsCommand::Flush,
            "speak" => {
                let (utterance, text) = rest.split_once(' ').ok_or("speak UTTERANCE \"TEXT\"")?;
                let utterance = UtteranceId::new(number(utterance)?);
                TtsCommand::Speak { utterance, text: unquoted(text)? }
            }
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &TtsEvent) -> String {
        match event {
            TtsEvent::Audio { utterance, audio } => format!("audio {} {}", utterance.get(), audio.len()),
            TtsEvent::Cleared { dropped_bytes } => format!("cleared dropped={dropped_bytes}"),
            TtsEvent::Closed => "closed".to_owned(),
            TtsEvent::Garbled { error } => format!("garbled {error}"),
            TtsEvent::LinkLost(frame) => link_lost(frame.as_ref()),
            TtsEvent::Ready { session_id, .. } => format!("ready {}", session_id.as_deref().unwrap_or("?")),
            TtsEvent::Truncated { utterance, spoken, text, voiced, reason } => {
                format!("truncated {} {reason:?} {} voiced={voiced} {text:?}", utterance.get(), ms(*spoken))
            }
            TtsEvent::Unhandled { kind } => format!("unhandled {kind}"),
            TtsEvent::UtteranceEnd { utterance, duration } => {
                format!("end {} {}", utterance.get(), ms(*duration))
            }
            TtsEvent::Warning { code, message } => format!("warning {code} {message}"),
            TtsEvent::Words { utterance, words } => {
                let words =
                    words.iter().map(|word| format!(" {}@{}..{}", word.text, ms(word.start), ms(word.end)));
                format!("words {}{}", utterance.get(), words.collect::<String>())
            }
            other => format!("{other:?}"),
        }
    }
}

/// Options: `rate`, `language`, `partials=no`, `speed` of the replay, `max-held` in milliseconds.
pub(crate) struct Stt;

impl Protocol for Stt {
    type Machine = SttClient;

    fn machine(options: &Options, now: Instant) -> SttClient {
        let mut config = SttConfig::new(AudioFormat::linear16(rate(options))).unwrap();
        config = config.with_partials(options.get("partials") != Some("no"));
        if let Some(language) = options.get("language") {
            config = config.with_language(language);
        }
        if let Some(speed) = options.get("speed") {
            config = config.with_replay_speed(speed.parse().unwrap());
        }
        if let Some(limit) = options.get("max-held") {
            config = config.with_max_held(Duration::from_millis(limit.parse().unwrap()));
        }
        SttClient::new(config, now)
    }

    fn command(line: &str) -> Result<SttCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match verb {
            "audio" => SttCommand::Audio(Bytes::from(vec![0; number(rest)? as usize])),
            "close" => SttCommand::Close,
            "finalize" => SttCommand::Finalize,
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &SttEvent) -> String {
        match event {
            SttEvent::CaughtUp => "caught-up".to_owned(),
            SttEvent::Closed => "closed".to_owned(),
            SttEvent::Dropped { from, to } => format!("dropped {from}..{to}"),
            SttEvent::Final(said) => format!("final {}", placed(said)),
            SttEvent::Finalized { position } => format!("finalized {position}"),
            SttEvent::FinalizeTimedOut { position } => format!("finalize-timed-out {position}"),
            SttEvent::Garbled { error } => format!("garbled {error}"),
            SttEvent::LinkLost(frame) => link_lost(frame.as_ref()),
            SttEvent::Partial(said) => format!("partial {}", placed(said)),
            SttEvent::Ready { session_id, backlog, .. } => {
                format!("ready {} backlog={}", session_id.as_deref().unwrap_or("?"), ms(*backlog))
            }
            SttEvent::Unhandled { kind } => format!("unhandled {kind}"),
            SttEvent::Warning { code, message } => format!("warning {code} {message}"),
            other => format!("{other:?}"),
        }
    }
}

/// Options: `quirks`, names with commas between.
pub(crate) struct TtsGateway;

impl Protocol for TtsGateway {
    type Machine = TtsServer;

    fn machine(options: &Options, now: Instant) -> TtsServer {
        TtsServer::new(TtsServerConfig::default().with_quirks(quirks(options)), now)
    }

    fn command(line: &str) -> Result<TtsServerCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        Ok(match verb {
            "audio" => {
                let audio = Bytes::from(vec![0; number(second)? as usize]);
                TtsServerCommand::Audio { turn: number(first)?, audio }
            }
            "close" => TtsServerCommand::Close(CloseFrame::normal()),
            "end" => TtsServerCommand::End { turn: number(first)? },
            "error" => TtsServerCommand::Error { code: first.to_owned(), message: second.to_owned() },
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &TtsServerEvent) -> String {
        match event {
            TtsServerEvent::Cleared { before } => format!("cleared before={before}"),
            TtsServerEvent::Closed => "closed".to_owned(),
            TtsServerEvent::Garbled { error } => format!("garbled {error}"),
            TtsServerEvent::Started(init) => {
                let voice = init.voice.as_deref().unwrap_or("?");
                format!("started {voice} {} speed={:?}", init.format, init.speed)
            }
            TtsServerEvent::Synthesise { turn, text, flush } => {
                format!("synthesise {turn} {text:?} flush={flush}")
            }
            TtsServerEvent::Unhandled { kind } => format!("unhandled {kind}"),
            other => format!("{other:?}"),
        }
    }
}

/// Options: `quirks`, names with commas between.
pub(crate) struct SttGateway;

impl Protocol for SttGateway {
    type Machine = SttServer;

    fn machine(options: &Options, now: Instant) -> SttServer {
        SttServer::new(SttServerConfig::default().with_quirks(quirks(options)), now)
    }

    fn command(line: &str) -> Result<SttServerCommand, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match verb {
            "close" => SttServerCommand::Close(CloseFrame::normal()),
            "error" => {
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                SttServerCommand::Error { code: code.to_owned(), message: message.to_owned() }
            }
            "final" => SttServerCommand::Final(heard(rest)?),
            "finish" => SttServerCommand::Finish,
            "partial" => SttServerCommand::Partial(heard(rest)?),
            other => return Err(format!("no command is called `{other}`")),
        })
    }

    fn event(event: &SttServerEvent) -> String {
        match event {
            SttServerEvent::Audio(audio) => format!("audio {}", audio.len()),
            SttServerEvent::Close => "close".to_owned(),
            SttServerEvent::Closed => "closed".to_owned(),
            SttServerEvent::Finalize => "finalize".to_owned(),
            SttServerEvent::Garbled { error } => format!("garbled {error}"),
            SttServerEvent::Started(init) => format!("started {} partials={}", init.rate, init.partials),
            SttServerEvent::Unhandled { kind } => format!("unhandled {kind}"),
            other => format!("{other:?}"),
        }
    }
}

fn rate(options: &Options) -> SampleRate {
    let hz = options.get("rate").map_or(16_000, |hz| hz.parse().unwrap());
    SampleRate::try_from(hz).unwrap()
}

fn quirks(options: &Options) -> Quirks {
    options.get("quirks").unwrap_or_default().parse().unwrap()
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// A JSON string, so that a script can write any character.
fn unquoted(text: &str) -> Result<String, String> {
    serde_json::from_str(text).map_err(|_| format!("`{text}` is not in quotes"))
}

/// `0..800 "text"`.
fn heard(text: &str) -> Result<Heard, String> {
    let (span, text) = text.split_once(' ').ok_or("FROM..TO \"TEXT\"")?;
    let (from, to) = span.split_once("..").ok_or("FROM..TO")?;
    let span: Range<u64> = number(from)?..number(to)?;
    Ok(Heard::new(unquoted(text)?, span))
}

fn placed(said: &Transcript) -> String {
    format!("{}..{} {:?}", said.start, said.end, said.text)
}

fn ms(span: Duration) -> impl Display {
    format!("{}ms", span.as_millis())
}

fn link_lost(frame: Option<&CloseFrame>) -> String {
    frame.map_or_else(|| "link-lost".to_owned(), |frame| format!("link-lost {frame}"))
}
