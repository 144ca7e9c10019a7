//! A person on the phone: says things, listens, and remembers every sample of both.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use voxline_audio::AudioFormat;
use voxline_protocol::plivo::{CallerCommand, CallerEvent, PlivoCaller, PlivoCallerConfig, StreamStatus};
use voxline_session::{Adopter, Receiver, Sender, Session, SessionError, SessionEvent};
use voxline_transport::{Connector, TransportError};

use super::voice::{Decoder, VoiceEvent};
use crate::run::now;

/// The calling side of a Plivo stream with a person at its end.
///
/// Time goes by in frames of 20 ms: [`listen`](Self::listen) waits for the next one, decodes what was heard in it, and
/// keeps both channels of the call. When the link breaks, it dials again as Plivo does.
pub struct Caller<C: Connector> {
    connector: C,
    sender: Sender<PlivoCaller>,
    receiver: Receiver<PlivoCaller>,
    adopter: Adopter<C::Transport>,
    format: AudioFormat,
    began: Instant,
    decoder: Decoder,
    heard: Vec<HeardBlock>,
    said_track: Vec<i16>,
    heard_track: Vec<i16>,
    last_sound: u64,
    statuses: Option<mpsc::Sender<StreamStatus>>,
}

/// A block of tonetext as it came out of the caller's earpiece.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardBlock {
    /// Its text.
    pub text: String,
    /// Whether an utterance begins with it.
    pub first: bool,
    /// Whether an utterance ends with it.
    pub last: bool,
    /// Where in the call it began, in samples.
    pub start: u64,
    /// Where it ended.
    pub end: u64,
}

impl HeardBlock {
    /// The block that a decoder heard, unless it was damaged.
    pub(crate) fn of(event: VoiceEvent) -> Option<Self> {
        match event {
            VoiceEvent::Block { block, start, end } => {
                Some(Self { text: block.text, first: block.first, last: block.last, start, end })
            }
            VoiceEvent::Damaged { .. } => None,
        }
    }
}

impl<C: Connector> Caller<C> {
    /// Dials, three times at most as Plivo does, and is on the phone.
    ///
    /// # Errors
    /// The stream's address cannot be reached, or refuses: why the last dial failed.
    pub async fn dial(connector: C, config: PlivoCallerConfig) -> Result<Self, TransportError> {
        let mut dials = 1;
        let link = loop {
            match connector.connect().await {
                Ok(link) => break link,
                Err(error) if dials == DIALS => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "dial {dials} of {DIALS} failed");
                    dials += 1;
                    sleep(config.redial_delay).await;
                }
            }
        };
        let format = config.format;
        let grace = config.redial_delay + DIAL_PATIENCE;
        let machine = PlivoCaller::new(config, now());
        let (session, adopter) = Session::builder(machine).accept_adoptable(link, grace);
        let (sender, receiver) = session.split();
        Ok(Self {
            connector,
            sender,
            receiver,
            adopter,
            format,
            began: now(),
            decoder: Decoder::new(format.rate),
            heard: Vec::new(),
            said_track: Vec::new(),
            heard_track: Vec::new(),
            last_sound: 0,
            statuses: None,
        })
    }

    /// Tells `statuses` what Plivo would post to the status callback. One that finds no room is lost.
    pub fn tell_statuses(&mut self, statuses: mpsc::Sender<StreamStatus>) {
        self.statuses = Some(statuses);
    }

    /// Speaks from the next frame on, or after what is still being said. Gives back how long that takes.
    ///
    /// # Errors
    /// The call is over.
    pub async fn say(&mut self, samples: &[i16]) -> Result<Duration, SessionError> {
        let frame = self.format.rate.samples_in(FRAME);
        let next_frame = self.format.rate.samples_in(now() - self.began) / frame * frame;
        let start = (next_frame as usize).max(self.said_track.len());
        self.said_track.resize(start, 0);
        self.said_track.extend_from_slice(samples);
        let mut audio = vec![0; samples.len() * self.format.encoding.bytes_per_sample()];
        self.format.encoding.encode(samples, &mut audio);
        self.sender.send(CallerCommand::Speak(Bytes::from(audio))).await?;
        Ok(self.format.rate.duration_of((self.said_track.len() as u64).saturating_sub(next_frame)))
    }

    /// Waits for the next 20 ms of the call; `None` once it is over.
    ///
    /// Cancel-safe, but for a redial under way, which begins again.
    ///
    /// # Errors
    /// The session failed.
    pub async fn listen(&mut self) -> Result<Option<()>, SessionError> {
        while let Some(event) = self.receiver.next().await {
            let SessionEvent::Protocol(event) = event? else { continue };
            match event {
                CallerEvent::Ear(frame) => {
                    self.hear(&frame.audio);
                    return Ok(Some(()));
                }
                CallerEvent::Redial { attempt, after } => self.redial(attempt, after).await,
                CallerEvent::Rejected { code, detail } => {
                    tracing::warn!(%code, detail, "the agent sent what Plivo refuses");
                }
                CallerEvent::Status(status) => {
                    if let Some(statuses) = &self.statuses
                        && statuses.try_send(status).is_err()
                    {
                        tracing::warn!(?status, "nobody posts the status callbacks");
                    }
                }
                CallerEvent::Closed => return Ok(None),
                CallerEvent::Cleared { .. }
                | CallerEvent::Garbled { .. }
                | CallerEvent::LinkLost(_)
                | CallerEvent::Reached(_)
                | CallerEvent::Started
                | CallerEvent::Tones(_)
                | CallerEvent::Unhandled { .. }
                | _ => {}
            }
        }
        Ok(None)
    }

    /// Listens for this long; false if the call ended meanwhile.
    ///
    /// # Errors
    /// The session failed.
    pub async fn listen_for(&mut self, span: Duration) -> Result<bool, SessionError> {
        let until = self.position() + self.format.rate.samples_in(span);
        while self.position() < until {
            if self.listen().await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the call.
    pub async fn hang_up(mut self) -> Recording {
        // A call that is over already needs no hanging up.
        let _ = self.sender.send(CallerCommand::HangUp).await;
        while let Ok(Some(())) = self.listen().await {}
        let length = self.said_track.len().max(self.heard_track.len());
        self.said_track.resize(length, 0);
        self.heard_track.resize(length, 0);
        Recording { format: self.format, said: self.said_track, heard: self.heard_track, blocks: self.heard }
    }

    /// Every block of tonetext heard so far.
    #[must_use]
    pub fn heard(&self) -> &[HeardBlock] {
        &self.heard
    }

    /// How much of the call has gone by, in samples.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.heard_track.len() as u64
    }

    /// How long it has been silent at the caller's ear.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        self.format.rate.duration_of(self.position() - self.last_sound)
    }

    /// Where in the call the caller's last word ends, in samples; it may be still to come.
    #[must_use]
    pub const fn said_to(&self) -> u64 {
        self.said_track.len() as u64
    }

    /// Where in the call the last sound was heard, in samples; 0 before the first.
    #[must_use]
    pub const fn last_sound(&self) -> u64 {
        self.last_sound
    }

    /// When the call began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// What the line carries.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    fn hear(&mut self, audio: &[u8]) {
        let start = self.heard_track.len();
        self.heard_track.resize(start + audio.len() / self.format.encoding.bytes_per_sample(), 0);
        let frame = &mut self.heard_track[start..];
        self.format.encoding.decode(audio, frame);
        if frame.iter().any(|sample| sample.unsigned_abs() > SOUND) {
            self.last_sound = (start + frame.len()) as u64;
        }
        self.decoder.push(frame);
        while let Some(event) = self.decoder.poll() {
            self.heard.extend(HeardBlock::of(event));
        }
    }

    /// Dials again, as often as is left. When no dial succeeds, the machine's own limit ends the stream.
    async fn redial(&self, attempt: u32, after: Duration) {
        for dial in attempt..DIALS {
            sleep(after).await;
            match self.connector.connect().await {
                Ok(link) => {
                    // A call that is over needs no link.
                    let _ = self.adopter.adopt(link).await;
                    return;
                }
                Err(error) => tracing::warn!(%error, "dialling again failed, {dial} of {}", DIALS - 1),
            }
        }
    }
}

impl<C: Connector> fmt::Debug for Caller<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("format", &self.format)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// The words of these blocks; a space between utterances.
#[must_use]
pub fn words_of<'a>(blocks: impl IntoIterator<Item = &'a HeardBlock>) -> String {
    let mut words = String::new();
    for block in blocks {
        if block.first && !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&block.text);
    }
    words
}

/// A call as it was at the caller's end.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Recording {
    /// What the line carried.
    pub format: AudioFormat,
    /// What the caller said.
    pub said: Vec<i16>,
    /// What the caller heard, as long as what was said.
    pub heard: Vec<i16>,
    /// The tonetext in what was heard.
    pub blocks: Vec<HeardBlock>,
}

/// Plivo's own.
const FRAME: Duration = Duration::from_millis(20);
/// What Plivo grants a stream's address, and once connected a stream: the first dial and two more.
const DIALS: u32 = 3;
/// How long a redialled link may take to open.
const DIAL_PATIENCE: Duration = Duration::from_secs(10);
/// −60 dBFS: under it, a telephone is silent.
const SOUND: u16 = 33;

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use voxline_transport::memory::Network;
    use voxline_transport::{Acceptor, Endpoint, Exchange, text_response};

    use super::*;

    /// Dials an address that refuses so often; tells whether it got through and when.
    async fn dial(refusals: usize) -> (Result<(), u16>, Duration) {
        let network = Network::new(8);
        let mut listener = network.listen("agent").unwrap();
        let answering = async {
            for _ in 0..refusals {
                let exchange = listener.accept().await.unwrap();
                exchange.respond(text_response(StatusCode::SERVICE_UNAVAILABLE, "")).await.unwrap();
            }
            let link = listener.accept().await.unwrap().upgrade().await;
            std::future::pending::<()>().await;
            drop(link);
        };
        let connector = network.connector(Endpoint::parse("ws://agent/stream").unwrap());
        let began = tokio::time::Instant::now();
        let dialled = tokio::select! {
            () = answering => unreachable!("it answers for ever"),
            dialled = Caller::dial(connector, PlivoCallerConfig::new("call", "stream")) => dialled,
        };
        let refused = |error| {
            let TransportError::Refused { status, .. } = error else { panic!("{error}") };
            status
        };
        (dialled.map(drop).map_err(refused), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_dialled_three_times_a_second_apart() {
        for (refusals, outcome, seconds) in [(0, Ok(()), 0), (2, Ok(()), 2), (3, Err(503), 2)] {
            assert_eq!(dial(refusals).await, (outcome, Duration::from_secs(seconds)), "{refusals} refusals");
        }
    }
}
