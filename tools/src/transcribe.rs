//! `voxline transcribe`: a WAV file into text, by a gateway's ears.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::sleep_until;
use voxline_audio::{AudioFormat, Encoding, SampleRate};
use voxline_protocol::slng::{Service, SttClient, SttCommand, SttConfig, SttEvent, Transcript};
use voxline_session::{Session, SessionError, SessionEvent, TrySendError};
use voxline_transport::Connector;

use crate::cli::TranscribeArgs;
use crate::error::{ToolError, chain};
use crate::gateway::{Gateway, GatewayError, LONGEST_SILENCE, RoundTrips, retry, shares, usage};
use crate::output;
use crate::run::now;
use crate::wavfile::Wav;

/// One recording being transcribed, over as many links as it takes.
///
/// Audio leaves at the pace of a person speaking, or faster by a factor; what a lost link left without a final is sent
/// again.
///
/// ```
/// use voxline::net::{InMemory, Net};
/// use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
/// use voxline::simulate::voice::Encoder;
/// use voxline::{Heard, Transcribing};
/// use voxline_audio::SampleRate;
/// use voxline_protocol::slng::Service;
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
/// let endpoint = Endpoint::parse(&format!("{url}{}", Service::Stt.path("slng/deepgram/nova:3-en")))?;
/// # let endpoint = endpoint.with_bearer(voxline_protocol::Secret::new("k")?);
/// let rate = SampleRate::Hz16000;
/// let sound = Encoder::new(rate).encode("Thursday at three, then.");
/// let mut transcribing = Transcribing::begin(net.connector(endpoint), rate, sound, 1.0).await?;
/// let mut text = String::new();
/// while let Some(heard) = transcribing.next().await? {
///     if let Heard::Final(said) = heard {
///         text += &said.text;
///     }
/// }
/// assert_eq!(text, "Thursday at three, then.");
/// # Ok(())
/// # }
/// ```
pub struct Transcribing {
    session: Session<SttClient>,
    rate: SampleRate,
    sound: Vec<i16>,
    /// Samples that were given away.
    given: usize,
    /// Samples a chunk has, and how long one waits for the next.
    chunk: usize,
    interval: Duration,
    due: Instant,
    asked: Asked,
    /// When what was asked counts as never to be answered, unless something comes before.
    give_up: Instant,
    /// What is still to be measured before the link is given up.
    round_trips: Option<RoundTrips>,
    first_given: Option<Instant>,
    last_given: Option<Instant>,
    first_partial: Option<Duration>,
    last_final: Option<Duration>,
}

/// What was asked of the session so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Audio is still to be given.
    Nothing,
    /// The end of the speech.
    Finalize,
    /// That was answered; the network is still to be measured.
    Measurement,
    /// The end of the session.
    Close,
}

/// What happens while a recording is transcribed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Speech that will not be revised.
    Final(Transcript),
    /// The link was lost; another one is being dialled.
    LinkLost,
    /// Speech so far; the next one replaces it.
    Partial(Transcript),
    /// Something went wrong and was dealt with.
    Warning(String),
}

impl Transcribing {
    /// Dials. `speed` is how many times faster than real time the recording is given.
    ///
    /// # Errors
    /// The dial failed.
    pub async fn begin<C: Connector>(
        connector: C,
        rate: SampleRate,
        sound: Vec<i16>,
        speed: f64,
    ) -> Result<Self, GatewayError> {
        let mut config = SttConfig::new(AudioFormat::linear16(rate))?
            // Twice the pace, so that after a lost link it catches up.
            .with_replay_speed((2.0 * speed) as f32);
        // The recording is in memory anyway: none of it is ever given up.
        config.max_held = config.max_held.max(rate.duration_of(sound.len() as u64) * 2);
        let machine = SttClient::new(config, now());
        let session = Session::builder(machine).retry(retry()).connect(connector).await?;
        Ok(Self {
            session,
            rate,
            sound,
            given: 0,
            chunk: rate.samples_in(CHUNK) as usize,
            interval: CHUNK.div_f64(speed),
            due: now(),
            asked: Asked::Nothing,
            give_up: now(),
            round_trips: None,
            first_given: None,
            last_given: None,
            first_partial: None,
            last_final: None,
        })
    }

    /// Keeps the link, once everything was heard, until the network was measured or a moment has passed.
    fn measuring(mut self, round_trips: RoundTrips) -> Self {
        self.round_trips = Some(round_trips);
        self
    }

    /// What happens next; `None` once everything was heard. Cancel-safe.
    ///
    /// # Errors
    /// The session ended badly, or everything was given and nothing was heard for 30 s.
    pub async fn next(&mut self) -> Result<Option<Heard>, GatewayError> {
        loop {
            let event = tokio::select! {
                event = self.session.halves().1.next() => event,
                () = sleep_until(self.due.into()), if self.asked == Asked::Nothing => {
                    self.give();
                    continue;
                }
                () = measured(self.round_trips.as_ref()), if self.asked == Asked::Measurement => {
                    self.close();
                    continue;
                }
                () = sleep_until(self.give_up.into()), if self.asked != Asked::Nothing => {
                    return Err(GatewayError::Silent { limit: LONGEST_SILENCE });
                }
            };
            match event {
                Some(Ok(SessionEvent::Protocol(event))) => {
                    if let Some(heard) = self.on_event(event) {
                        return Ok(Some(heard));
                    }
                }
                Some(Ok(SessionEvent::Refused(error))) => return Err(error.into()),
                Some(Ok(
                    SessionEvent::Connected { .. }
                    | SessionEvent::Reconnected { .. }
                    | SessionEvent::Reconnecting { .. }
                    | SessionEvent::Unlinked { .. }
                    | _,
                )) => {}
                Some(Err(error)) => return Err(error.into()),
                None if self.asked == Asked::Close => return Ok(None),
                None => return Err(SessionError::Ended.into()),
            }
        }
    }

    /// How much of the recording was given.
    #[must_use]
    pub fn given(&self) -> Duration {
        self.rate.duration_of(self.given as u64)
    }

    /// From the first audio given to the first partial transcript.
    #[must_use]
    pub const fn first_partial(&self) -> Option<Duration> {
        self.first_partial
    }

    /// From the last audio given to the final transcript that covers it.
    #[must_use]
    pub const fn last_final(&self) -> Option<Duration> {
        self.last_final
    }

    /// How long the last dial took.
    #[must_use]
    pub fn connect(&self) -> Option<Duration> {
        self.session.metrics().last_connect
    }

    /// Gives the next chunk, or asks for the end of the speech.
    fn give(&mut self) {
        let end = self.sound.len().min(self.given + self.chunk);
        let samples = &self.sound[self.given..end];
        let command = if samples.is_empty() {
            SttCommand::Finalize
        } else {
            let mut bytes = vec![0; samples.len() * 2];
            Encoding::Linear16Le.encode(samples, &mut bytes);
            SttCommand::Audio(Bytes::from(bytes))
        };
        let finalize = command == SttCommand::Finalize;
        if let Err(TrySendError::Full(_)) = self.session.halves().0.try_send(command) {
            self.due = now() + self.interval;
            return;
        }
        if finalize {
            self.asked = Asked::Finalize;
            self.give_up = now() + LONGEST_SILENCE;
            return;
        }
        self.given = end;
        self.first_given.get_or_insert_with(now);
        self.last_given = Some(now());
        // From the plan, not from now: a late chunk is followed by an early one.
        self.due = if end == self.sound.len() { now() } else { self.due + self.interval };
    }

    fn on_event(&mut self, event: SttEvent) -> Option<Heard> {
        match event {
            SttEvent::Partial(said) => {
                self.give_up = now() + LONGEST_SILENCE;
                if let (None, Some(first)) = (self.first_partial, self.first_given) {
                    self.first_partial = Some(now() - first);
                }
                Some(Heard::Partial(said))
            }
            SttEvent::Final(said) => {
                self.give_up = now() + LONGEST_SILENCE;
                Some(Heard::Final(said))
            }
            SttEvent::Finalized { .. } => {
                self.last_final = self.last_given.map(|last| now() - last);
                self.asked = Asked::Measurement;
                None
            }
            SttEvent::FinalizeTimedOut { .. } => {
                self.asked = Asked::Measurement;
                Some(Heard::Warning("the gateway sent no final transcript in time".to_owned()))
            }
            SttEvent::Dropped { from, to } => {
                Some(Heard::Warning(format!("samples {from} to {to} were given up unheard")))
            }
            SttEvent::LinkLost(_) if self.asked != Asked::Close => Some(Heard::LinkLost),
            SttEvent::Warning { message, .. } => Some(Heard::Warning(message)),
            SttEvent::Garbled { error } => Some(Heard::Warning(chain(&error))),
            SttEvent::Unhandled { kind } => Some(Heard::Warning(format!("unknown message `{kind}`"))),
            SttEvent::CaughtUp | SttEvent::Closed | SttEvent::LinkLost(_) | SttEvent::Ready { .. } | _ => {
                None
            }
        }
    }

    fn close(&mut self) {
        self.asked = Asked::Close;
        // One command in an empty queue; an ended session tells so by its events.
        drop(self.session.halves().0.try_send(SttCommand::Close));
    }
}

impl fmt::Debug for Transcribing {
    /// Without the samples, of which there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcribing")
            .field("given", &self.given())
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// Ready once the network was measured, or need not or cannot be.
async fn measured(round_trips: Option<&RoundTrips>) {
    if let Some(round_trips) = round_trips {
        round_trips.network().await;
    }
}

/// Prints what is said in the file; true if it is anything.
pub(crate) async fn run(args: &TranscribeArgs) -> Result<bool, ToolError> {
    let wav = Wav::read(&args.file).map_err(usage)?;
    if !(args.speed.is_finite() && (SLOWEST..=FASTEST).contains(&args.speed)) {
        let words = format!("--speed is {}; give a number from {SLOWEST} to {FASTEST}", args.speed);
        return Err(ToolError::Usage(words));
    }
    let gateway = Gateway::open(&args.gateway).await?;
    let (connector, round_trips) = gateway.connector(Service::Stt, &args.hearing.stt_model)?;
    let sound = wav.to_rate(RATE);
    let transcribing = Transcribing::begin(connector, RATE, sound, args.speed).await?;
    let mut transcribing = transcribing.measuring(round_trips.clone());
    let progress = progress(wav.duration());
    let mut finals = 0_usize;
    while let Some(heard) = transcribing.next().await? {
        progress.set_position(transcribing.given().as_millis() as u64);
        match heard {
            Heard::Partial(said) if args.json => progress.suspend(|| record("partial", &said)),
            Heard::Partial(said) => progress.set_message(said.text),
            Heard::Final(said) => {
                finals += 1;
                progress.set_message("");
                progress.suspend(|| match args.json {
                    true => record("final", &said),
                    false => output::result(&said.text),
                });
            }
            Heard::LinkLost => progress.suspend(|| output::note("link lost, dialling again")),
            Heard::Warning(text) => progress.suspend(|| output::note(text)),
        }
    }
    progress.finish_and_clear();
    report(args, &transcribing, round_trips.get(), wav.duration());
    if finals == 0 {
        output::note("no speech was heard");
    }
    Ok(finals > 0)
}

fn report(args: &TranscribeArgs, done: &Transcribing, network: Option<Duration>, length: Duration) {
    let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    if args.json {
        return output::result(json!({
            "type": "summary",
            "audio_ms": length.as_millis() as u64,
            "connect_ms": ms(done.connect()),
            "first_partial_ms": ms(done.first_partial()),
            "final_ms": ms(done.last_final()),
            "round_trip_us": network.map(|network| network.as_micros() as u64),
        }));
    }
    if let Some(connect) = done.connect() {
        output::note(format_args!("connected      in {} ms", connect.as_millis()));
    }
    if let Some(first) = done.first_partial() {
        output::note(format_args!("first partial  {} ms after the first audio", first.as_millis()));
    }
    if let Some(last) = done.last_final() {
        output::note(format_args!("final          after {}", shares(last, network)));
    }
    output::note(format_args!("audio          {:.2} s", length.as_secs_f64()));
}

fn record(kind: &str, said: &Transcript) {
    let ms = |position| RATE.duration_of(position).as_millis() as u64;
    output::result(json!({
        "type": kind,
        "text": said.text,
        "start_ms": ms(said.start),
        "end_ms": ms(said.end),
        "confidence": said.confidence,
    }));
}

/// Shown where standard error is a terminal, and only there.
fn progress(length: Duration) -> ProgressBar {
    let progress = ProgressBar::new(length.as_millis() as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}%\n{wide_msg}") {
        progress.set_style(style);
    }
    progress
}

/// What recognisers are trained on.
const RATE: SampleRate = SampleRate::Hz16000;
/// The vendor advises 20 to 100 ms.
const CHUNK: Duration = Duration::from_millis(100);
const SLOWEST: f64 = 0.5;
/// Faster, a recogniser's link carries more than it was made for.
const FASTEST: f64 = 32.0;
