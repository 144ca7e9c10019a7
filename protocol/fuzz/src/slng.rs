//! The speech gateway: four machines, their messages, and the address of a link.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use voxline_audio::{AudioFormat, Encoding, SampleRate};
use voxline_protocol::slng::{
    Credentials, FlushPolicy, Heard, Quirks, Region, Route, Service, SlngQuirk, SttClient, SttCommand,
    SttConfig, SttEvent, SttServer, SttServerCommand, SttServerConfig, SttServerEvent, TtsClient, TtsCommand,
    TtsConfig, TtsEvent, TtsServer, TtsServerCommand, TtsServerConfig, TtsServerEvent, authorise, close_code,
    error_code, status_code,
};
use voxline_protocol::{CloseFrame, Machine, Message, Secret, UtteranceId};

use super::play::{Options, Stage, Subject, play, sound, unquoted};

/// Operations of [`TtsClient`].
pub fn slng_tts(data: &[u8]) {
    play::<Tts>(data);
}

/// Operations of [`SttClient`].
pub fn slng_stt(data: &[u8]) {
    play::<Stt>(data);
}

/// Operations of [`TtsServer`] and [`SttServer`].
pub fn slng_servers(data: &[u8]) {
    play::<TtsGateway>(data);
    play::<SttGateway>(data);
}

/// One message, given to all four machines before and after the handshake.
pub fn slng_wire(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let give = |text: &str| (text.to_owned(), data.to_vec().into());
    let ready = r#"{"type":"ready","session_id":"s"}"#;

    let mut tts = Stage::<Tts>::new(&Options::default());
    tts.open();
    tts.text(&text);
    tts.text(ready);
    tts.command(TtsCommand::Speak { utterance: UtteranceId::FIRST, text: "One two.".to_owned() });
    tts.command(TtsCommand::Flush);
    for _ in 0..2 {
        let (text, bytes) = give(&text);
        tts.text(&text);
        tts.binary(bytes);
        tts.pass(Duration::from_secs(1), true);
    }
    tts.end();

    let mut stt = Stage::<Stt>::new(&Options::default());
    stt.open();
    stt.text(&text);
    stt.text(ready);
    stt.command(SttCommand::Audio(vec![0; 32_000].into()));
    stt.command(SttCommand::Finalize);
    for _ in 0..2 {
        stt.text(&text);
        stt.pass(Duration::from_secs(1), true);
    }
    stt.end();

    let mut gateway = Stage::<TtsGateway>::new(&Options::default());
    gateway.open();
    gateway.text(&text);
    gateway.text(r#"{"type":"init","voice":"ada","config":{"encoding":"linear16","sample_rate":16000}}"#);
    gateway.text(&text);
    gateway.binary(data.to_vec().into());
    gateway.end();

    let mut gateway = Stage::<SttGateway>::new(&Options::default());
    gateway.open();
    gateway.text(&text);
    gateway.text(r#"{"type":"init","config":{"encoding":"linear16","sample_rate":16000}}"#);
    gateway.text(&text);
    gateway.binary(data.to_vec().into());
    gateway.end();
}

/// What a person configures and what an upgrade request offers: base, model, path, header and labels,
/// a line each.
pub fn slng_endpoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (base, model, path, header, label) = (line(), line(), line(), line(), line());
    let Ok(key) = Secret::new("slng+/=key") else { unreachable!("it is printable ASCII") };

    for service in [Service::Tts, Service::Stt] {
        let Ok(route) = Route::new(base, service, model, key.clone()) else { continue };
        let Ok(url) = route.url().parse::<Uri>() else {
            panic!("a route that is accepted has an address: {}", route.url());
        };
        let path = service.path(model.trim().trim_end_matches('/'));
        assert!(url.path().ends_with(&path), "{url}");
        assert!(Service::of_path(&path).is_some_and(|(found, _)| found == service), "{path}");
        let region = Region::Exact(label.split(' ').map(str::to_owned).collect());
        let world = Region::WorldPart(label.to_owned());
        let variants = [
            route.clone().with_provider_key(key.clone()),
            route.clone().with_region(region),
            route.clone().with_region(world),
            route.clone().with_agent(label),
            route.clone().with_session(label),
            Ok(route.with_key_in_url()),
        ];
        for route in variants.into_iter().flatten() {
            assert!(!format!("{route:?}").contains(key.expose()));
            for (name, value) in route.headers() {
                assert!(HeaderValue::from_str(&value).is_ok(), "{name}: {value:?}");
            }
        }
    }

    if let Some((service, model)) = Service::of_path(path) {
        assert!(!service.path(&model).is_empty());
    }
    let query = path.split_once('?').map(|(_, query)| query);
    let credentials = Credentials::read(header.split_once(':'), query);
    if let Err(refused) = authorise(&credentials, model, |key| key.len() > 3) {
        let body: Result<serde_json::Value, _> = serde_json::from_str(&refused.body());
        assert!(body.is_ok() && refused.code().entry().is_some());
    }
    for code in
        [error_code(label).unwrap_or_else(|| status_code(data.len() as u16)), close_code(label.parse().ok())]
    {
        assert!(code.entry().is_some(), "{code}");
    }
    let _ = label.parse::<Quirks>();
}

/// Options as in the scripts: `rate`, `encoding=mulaw`, `policy=batch|sentence`, `max-text`.
#[derive(Debug, Default)]
struct Tts {
    /// Flushed or not, and not yet ended: so many pieces of text an utterance is owed.
    owed: BTreeMap<UtteranceId, u32>,
    /// The utterance that more text may still join.
    unflushed: Option<UtteranceId>,
    asked: Option<TtsCommand>,
    is_closing: bool,
}

impl Subject for Tts {
    type Machine = TtsClient;

    fn machine(options: &Options<'_>, now: Instant) -> TtsClient {
        let encoding = match options.get("encoding") {
            Some("mulaw") => Encoding::MuLaw,
            Some(_) | None => Encoding::Linear16Le,
        };
        let mut config = TtsConfig::new(AudioFormat::new(encoding, rate(options)), "ada");
        match options.get("policy") {
            Some("batch") => config = config.with_flush_policy(FlushPolicy::Batch),
            Some("sentence") => config = config.with_flush_policy(FlushPolicy::Sentence),
            Some(_) | None => {}
        }
        if let Some(limit) = options.number("max-text") {
            config = config.with_max_text(limit);
        }
        TtsClient::new(config, now)
    }

    fn command(line: &str) -> Option<TtsCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "clear" => TtsCommand::Clear,
            "close" => TtsCommand::Close,
            "flush" => TtsCommand::Flush,
            "speak" => {
                let (utterance, text) = rest.split_once(' ')?;
                let utterance = UtteranceId::new(utterance.parse().ok()?);
                TtsCommand::Speak { utterance, text: unquoted(text) }
            }
            _ => return None,
        })
    }

    fn asks(&mut self, command: &TtsCommand) {
        self.asked = Some(command.clone());
    }

    fn accepted(&mut self) {
        match self.asked.take() {
            Some(TtsCommand::Clear) => {
                self.owed.clear();
                self.unflushed = None;
            }
            Some(TtsCommand::Close) => self.is_closing = true,
            Some(TtsCommand::Flush) => self.unflushed = None,
            Some(TtsCommand::Speak { utterance, .. }) => {
                if self.unflushed != Some(utterance) {
                    *self.owed.entry(utterance).or_default() += 1;
                    self.unflushed = Some(utterance);
                }
            }
            Some(_) | None => {}
        }
    }

    fn told(&mut self, event: &TtsEvent) {
        match event {
            TtsEvent::Audio { utterance, .. } => {
                assert!(self.owed.contains_key(utterance), "audio nobody asked for: {utterance}");
            }
            TtsEvent::Words { utterance, .. } => {
                assert!(self.owed.contains_key(utterance), "words nobody asked for: {utterance}");
            }
            TtsEvent::Truncated { utterance, text, voiced, .. } => {
                assert!(text.is_char_boundary(*voiced), "{voiced} of {text:?}");
                self.ended(*utterance);
            }
            TtsEvent::UtteranceEnd { utterance, .. } => self.ended(*utterance),
            TtsEvent::Warning { code, .. } => assert!(code.entry().is_some(), "{code}"),
            _ => {}
        }
    }

    fn sent(&mut self, message: &Message, first: bool) {
        let is_init = matches!(message, Message::Text(text) if text.starts_with(r#"{"type":"init""#));
        assert_eq!(is_init, first && !matches!(message, Message::Close(_)), "{message:?}");
    }

    fn settled(&mut self, machine: &TtsClient, _now: Instant) {
        if !machine.wants_link() && !self.is_closing {
            assert!(self.owed.is_empty(), "vanished without an event: {self:?} {machine:?}");
        }
    }

    fn is_closed(event: &TtsEvent) -> bool {
        *event == TtsEvent::Closed
    }
}

impl Tts {
    fn ended(&mut self, utterance: UtteranceId) {
        let Some(owed) = self.owed.get_mut(&utterance) else { panic!("{utterance} ended twice: {self:?}") };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(&utterance);
            self.unflushed = self.unflushed.filter(|open| *open != utterance);
        }
    }
}

/// Options as in the scripts: `rate`, `partials=no`, `speed` of the replay, `max-held` in milliseconds.
#[derive(Debug, Default)]
struct Stt {
    asked: Option<SttCommand>,
    /// Samples given.
    given: u64,
    /// Where the last final ended.
    final_until: u64,
    /// Where the last dropped stretch ended.
    dropped_until: u64,
    finalizes: u32,
    covered: u64,
}

impl Subject for Stt {
    type Machine = SttClient;

    fn machine(options: &Options<'_>, now: Instant) -> SttClient {
        let format = AudioFormat::linear16(rate(options));
        let Ok(config) = SttConfig::new(format) else {
            unreachable!("linear audio is recognised at any rate")
        };
        let mut config = config.with_partials(options.get("partials") != Some("no"));
        if let Some(speed) = options.number("speed") {
            config = config.with_replay_speed(speed);
        }
        if let Some(limit) = options.millis("max-held") {
            config = config.with_max_held(limit);
        }
        SttClient::new(config, now)
    }

    fn command(line: &str) -> Option<SttCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "audio" => SttCommand::Audio(sound(rest)?),
            "close" => SttCommand::Close,
            "finalize" => SttCommand::Finalize,
            _ => return None,
        })
    }

    fn asks(&mut self, command: &SttCommand) {
        self.asked = Some(command.clone());
    }

    fn accepted(&mut self) {
        match self.asked.take() {
            Some(SttCommand::Audio(audio)) => self.given += audio.len() as u64 / 2,
            Some(SttCommand::Finalize) => self.finalizes += 1,
            Some(_) | None => {}
        }
    }

    fn told(&mut self, event: &SttEvent) {
        match event {
            SttEvent::Final(said) => {
                assert!(said.start <= said.end && said.end <= self.given, "{said:?} of {}", self.given);
                assert!(said.start >= self.final_until, "told twice: {said:?} after {}", self.final_until);
                self.final_until = said.end;
            }
            SttEvent::Partial(said) => {
                assert!(said.start <= said.end && said.end <= self.given, "{said:?} of {}", self.given);
            }
            SttEvent::Dropped { from, to } => {
                assert!(from < to && *to <= self.given, "{from}..{to} of {}", self.given);
                assert!(*from >= self.dropped_until, "dropped twice");
                self.dropped_until = *to;
            }
            SttEvent::Finalized { position } | SttEvent::FinalizeTimedOut { position } => {
                assert!(self.finalizes > 0, "an answer nobody asked for");
                assert!(*position <= self.given);
                self.finalizes -= 1;
            }
            SttEvent::Warning { code, .. } => assert!(code.entry().is_some(), "{code}"),
            _ => {}
        }
    }

    fn sent(&mut self, message: &Message, first: bool) {
        let is_init = matches!(message, Message::Text(text) if text.starts_with(r#"{"type":"init""#));
        assert_eq!(is_init, first && !matches!(message, Message::Close(_)), "{message:?}");
        if let Message::Binary(audio) = message {
            assert!(!audio.is_empty() && audio.len().is_multiple_of(2), "{} bytes", audio.len());
        }
    }

    fn settled(&mut self, machine: &SttClient, _now: Instant) {
        assert_eq!(machine.position(), self.given);
        assert!(
            machine.covered() >= self.covered && machine.covered() <= self.given,
            "{}",
            machine.covered()
        );
        self.covered = machine.covered();
    }

    fn is_closed(event: &SttEvent) -> bool {
        *event == SttEvent::Closed
    }
}

/// Options: `quirks`, names with commas between.
#[derive(Debug, Default)]
struct TtsGateway;

impl Subject for TtsGateway {
    type Machine = TtsServer;

    fn machine(options: &Options<'_>, now: Instant) -> TtsServer {
        TtsServer::new(TtsServerConfig::default().with_quirks(quirks(options)), now)
    }

    fn command(line: &str) -> Option<TtsServerCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(match verb {
            "audio" => TtsServerCommand::Audio { turn: first.parse().ok()?, audio: sound(second)? },
            "close" => TtsServerCommand::Close(CloseFrame::normal()),
            "end" => TtsServerCommand::End { turn: first.parse().ok()? },
            "error" => TtsServerCommand::Error { code: first.to_owned(), message: second.to_owned() },
            _ => return None,
        })
    }

    fn is_closed(event: &TtsServerEvent) -> bool {
        *event == TtsServerEvent::Closed
    }
}

/// Options: `quirks`, names with commas between.
#[derive(Debug, Default)]
struct SttGateway;

impl Subject for SttGateway {
    type Machine = SttServer;

    fn machine(options: &Options<'_>, now: Instant) -> SttServer {
        SttServer::new(SttServerConfig::default().with_quirks(quirks(options)), now)
    }

    fn command(line: &str) -> Option<SttServerCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let heard = || {
            let (span, text) = rest.split_once(' ')?;
            let (from, to) = span.split_once("..")?;
            Some(Heard::new(unquoted(text), from.parse().ok()?..to.parse().ok()?))
        };
        Some(match verb {
            "close" => SttServerCommand::Close(CloseFrame::normal()),
            "error" => SttServerCommand::Error { code: rest.to_owned(), message: rest.to_owned() },
            "final" => SttServerCommand::Final(heard()?),
            "finish" => SttServerCommand::Finish,
            "partial" => SttServerCommand::Partial(heard()?),
            _ => return None,
        })
    }

    fn is_closed(event: &SttServerEvent) -> bool {
        *event == SttServerEvent::Closed
    }
}

fn rate(options: &Options<'_>) -> SampleRate {
    let rate = options.number("rate").and_then(|hz: u32| SampleRate::try_from(hz).ok());
    rate.unwrap_or(SampleRate::Hz16000)
}

fn quirks(options: &Options<'_>) -> Quirks {
    let names = options.get("quirks").unwrap_or_default().split(',');
    names.filter_map(|name| name.parse::<SlngQuirk>().ok()).collect()
}
