//! `voxline speak`: a text into a WAV file, by a gateway's voice.

use std::time::{Duration, Instant};

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout_at;
use voxline_audio::AudioFormat;
use voxline_protocol::slng::{Service, Truncation, TtsClient, TtsCommand, TtsConfig, TtsEvent};
use voxline_protocol::{Machine, UtteranceId};
use voxline_session::{Session, SessionError, SessionEvent};
use voxline_transport::Connector;

use crate::cli::SpeakArgs;
use crate::error::{ToolError, chain};
use crate::gateway::{Gateway, GatewayError, LONGEST_SILENCE, retry, shares};
use crate::output;
use crate::run::now;
use crate::wavfile::{SpeechWriter, WavError};

/// One text being spoken, over as many links as it takes.
///
/// Speech that breaks off with its link is begun again, so that what is kept after the last [`Spoken::Again`] is the
/// whole text, without a gap and without a repeat.
///
/// ```
/// use voxline::net::{InMemory, Net};
/// use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
/// use voxline::{Speaking, Spoken};
/// use voxline_audio::{AudioFormat, SampleRate};
/// use voxline_protocol::slng::{Service, TtsConfig};
/// use voxline_transport::Endpoint;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::time::pause();
/// let net = InMemory::new();
/// let (acceptor, url) = net.listen("slng").await?;
/// let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
/// tokio::spawn(async move { gateway.serve(acceptor).await });
///
/// let endpoint = Endpoint::parse(&format!("{url}{}", Service::Tts.path("slng/deepgram/aura:2-en")))?;
/// # let endpoint = endpoint.with_bearer(voxline_protocol::Secret::new("k")?);
/// let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz24000), "aura-2-thalia-en");
/// let mut speaking = Speaking::begin(net.connector(endpoint), config, "Hello.").await?;
/// let mut speech = Vec::new();
/// while let Some(spoken) = speaking.next().await? {
///     match spoken {
///         Spoken::Audio(samples) => speech.extend(samples),
///         Spoken::Again => speech.clear(),
///         _ => {}
///     }
/// }
/// assert!(speech.len() > 5_000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Speaking {
    session: Session<TtsClient>,
    format: AudioFormat,
    text: String,
    utterance: UtteranceId,
    begun: u32,
    /// When it counts as never to be spoken, unless there is audio before.
    give_up: Instant,
    /// When the text went out, for the first time.
    ready: Option<Instant>,
    first_audio: Option<Duration>,
    done: bool,
}

/// What happens while a text is spoken.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// The speech broke off and is begun again: drop what was kept.
    Again,
    /// More speech, at the rate that was asked for.
    Audio(Vec<i16>),
    /// The link was lost; another one is being dialled.
    LinkLost,
    /// Something went wrong and was dealt with.
    Warning(String),
}

impl Speaking {
    /// Checks text and settings, dials, and asks for the speech.
    ///
    /// # Errors
    /// A setting or the text cannot be sent, found before anything is dialled; or the dial failed.
    pub async fn begin<C: Connector>(
        connector: C,
        config: TtsConfig,
        text: &str,
    ) -> Result<Self, GatewayError> {
        config.check()?;
        let format = config.format;
        let text = text.trim().to_owned();
        let now = now();
        let mut machine = TtsClient::new(config, now);
        let utterance = UtteranceId::FIRST;
        machine.handle_command(now, TtsCommand::Speak { utterance, text: text.clone() })?;
        machine.handle_command(now, TtsCommand::Flush)?;
        let session = Session::builder(machine).retry(retry()).connect(connector).await?;
        Ok(Self {
            session,
            format,
            text,
            utterance,
            begun: 1,
            give_up: now + LONGEST_SILENCE,
            ready: None,
            first_audio: None,
            done: false,
        })
    }

    /// What happens next; `None` once the whole text was spoken. Cancel-safe.
    ///
    /// # Errors
    /// The session ended badly, the speech broke off too often, or nothing was spoken for 30 s.
    pub async fn next(&mut self) -> Result<Option<Spoken>, GatewayError> {
        while !self.done {
            let event = timeout_at(self.give_up.into(), self.session.halves().1.next()).await;
            let event = match event {
                Ok(Some(event)) => event?,
                Ok(None) => return Err(SessionError::Ended.into()),
                Err(_) => return Err(GatewayError::Silent { limit: LONGEST_SILENCE }),
            };
            match event {
                SessionEvent::Protocol(event) => {
                    if let Some(spoken) = self.on_event(event)? {
                        return Ok(Some(spoken));
                    }
                }
                SessionEvent::Refused(error) => return Err(error.into()),
                SessionEvent::Connected { .. }
                | SessionEvent::Reconnected { .. }
                | SessionEvent::Reconnecting { .. }
                | SessionEvent::Unlinked { .. }
                | _ => {}
            }
        }
        Ok(None)
    }

    /// From the text's departure to its first audio.
    #[must_use]
    pub const fn first_audio(&self) -> Option<Duration> {
        self.first_audio
    }

    /// How long the last dial took.
    #[must_use]
    pub fn connect(&self) -> Option<Duration> {
        self.session.metrics().last_connect
    }

    /// Ends the session in order, within its close limit.
    pub async fn close(self) {
        let (sender, receiver) = self.session.split();
        // How it ends no longer matters: everything was heard.
        let ((), _) = tokio::join!(sender.close(), receiver.finish());
    }

    fn on_event(&mut self, event: TtsEvent) -> Result<Option<Spoken>, GatewayError> {
        Ok(match event {
            TtsEvent::Ready { .. } => {
                self.ready.get_or_insert_with(now);
                None
            }
            TtsEvent::Audio { utterance, audio } if utterance == self.utterance => {
                self.give_up = now() + LONGEST_SILENCE;
                if let (None, Some(ready)) = (self.first_audio, self.ready) {
                    self.first_audio = Some(now() - ready);
                }
                let mut samples = vec![0; audio.len() / self.format.encoding.bytes_per_sample()];
                self.format.encoding.decode(&audio, &mut samples);
                Some(Spoken::Audio(samples))
            }
            TtsEvent::UtteranceEnd { utterance, .. } => {
                self.done = utterance == self.utterance;
                None
            }
            TtsEvent::Truncated { utterance, reason, .. } if utterance == self.utterance => {
                self.again(reason)?;
                Some(Spoken::Again)
            }
            TtsEvent::LinkLost(_) => Some(Spoken::LinkLost),
            TtsEvent::Warning { message, .. } => Some(Spoken::Warning(message)),
            TtsEvent::Garbled { error } => Some(Spoken::Warning(chain(&error))),
            TtsEvent::Unhandled { kind } => Some(Spoken::Warning(format!("unknown message `{kind}`"))),
            TtsEvent::Audio { .. }
            | TtsEvent::Cleared { .. }
            | TtsEvent::Closed
            | TtsEvent::Truncated { .. }
            | TtsEvent::Words { .. }
            | _ => None,
        })
    }

    fn again(&mut self, reason: Truncation) -> Result<(), GatewayError> {
        match reason {
            Truncation::Unanswered => return Err(GatewayError::Unanswered),
            Truncation::LinkLost | Truncation::WentSilent | _ if self.begun == MOST_TIMES => {
                return Err(GatewayError::BrokenOff { times: self.begun });
            }
            Truncation::LinkLost | Truncation::WentSilent | _ => {}
        }
        self.begun += 1;
        self.utterance = self.utterance.next();
        let speak = TtsCommand::Speak { utterance: self.utterance, text: self.text.clone() };
        for command in [speak, TtsCommand::Flush] {
            // Two commands in an empty queue; an ended session tells so by its events.
            drop(self.session.halves().0.try_send(command));
        }
        Ok(())
    }
}

/// Speaks the text into the file.
pub(crate) async fn run(args: &SpeakArgs) -> Result<bool, ToolError> {
    let format = AudioFormat::new(args.encoding, args.rate);
    let config = TtsConfig::new(format, &args.voice.voice);
    let gateway = Gateway::open(&args.gateway).await?;
    let (connector, round_trips) = gateway.connector(Service::Tts, &args.voice.tts_model)?;
    let mut file = SpeechWriter::create(&args.out, format.rate).map_err(|error| file_error(&error))?;
    let begun = now();
    let mut speaking = Speaking::begin(connector, config, &args.text).await?;
    let progress = progress();
    let mut samples: u64 = 0;
    while let Some(spoken) = speaking.next().await? {
        match spoken {
            Spoken::Audio(speech) => {
                file.write(&speech).map_err(|error| file_error(&error))?;
                samples += speech.len() as u64;
                progress.set_message(format!(
                    "{:.1} s of speech",
                    format.rate.duration_of(samples).as_secs_f64()
                ));
                progress.tick();
            }
            Spoken::Again => {
                file.restart().map_err(|error| file_error(&error))?;
                samples = 0;
                progress.suspend(|| output::note("the speech broke off and is begun again"));
            }
            Spoken::LinkLost => progress.suspend(|| output::note("link lost, dialling again")),
            Spoken::Warning(text) => progress.suspend(|| output::note(text)),
        }
    }
    let took = now() - begun;
    progress.finish_and_clear();
    file.finish().map_err(|error| file_error(&error))?;
    report(&speaking, round_trips.network().await, format.rate.duration_of(samples), took);
    output::result(format_args!("file         {}", args.out.display()));
    speaking.close().await;
    Ok(samples > 0)
}

fn report(speaking: &Speaking, network: Option<Duration>, speech: Duration, took: Duration) {
    if let Some(connect) = speaking.connect() {
        output::result(format_args!("connected    in {} ms", connect.as_millis()));
    }
    if let Some(first) = speaking.first_audio() {
        output::result(format_args!("first audio  after {}", shares(first, network)));
    }
    output::result(format_args!(
        "speech       {:.2} s, in {:.2} s",
        speech.as_secs_f64(),
        took.as_secs_f64()
    ));
}

/// Shown where standard error is a terminal, and only there.
fn progress() -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        progress.set_style(style);
    }
    progress
}

fn file_error(error: &WavError) -> ToolError {
    ToolError::Usage(format!("cannot write {}; choose another file with --out", chain(error)))
}

/// A text that broke off so often will break off again.
const MOST_TIMES: u32 = 3;
