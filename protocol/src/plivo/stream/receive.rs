//! What each of Plivo's messages does to the stream.

use std::time::Instant;

use super::super::types::{Media, StartError, StreamInfo, Track};
use super::super::wire::{self, Envelope, Loose, MediaBody};
use super::super::{codes, playout::Playout, types::Digit};
use super::event::{ClearedBy, PlivoEvent, SkipReason};
use super::inbound::{Continuity, Kind};
use super::{PlivoStream, State, Timer, is_wav};
use crate::error::words;
use crate::{CloseFrame, DecodeError, Message, ProtocolError};

impl PlivoStream {
    pub(super) fn on_text(&mut self, text: &str) -> Result<(), ProtocolError> {
        if text.len() > MAX_MESSAGE {
            let what = format_args!("message of {} bytes exceeds {MAX_MESSAGE}", text.len());
            self.on_garbled(DecodeError::new(what, text));
            return Ok(());
        }
        let envelope = match Envelope::read(text) {
            Ok(envelope) => envelope,
            // A start the session cannot do without must not pass for a message it can.
            Err(error) if self.state == State::AwaitingStart && text.contains("\"start\"") => {
                return Err(self.fail(ProtocolError::malformed("start")(error)));
            }
            Err(error) => {
                self.on_garbled(error);
                return Ok(());
            }
        };
        let kind = Kind::parse(&envelope.event.0);
        if self.info.as_ref().is_some_and(|info| is_foreign(info, &envelope.stream_id)) {
            self.stats.foreign += 1;
        }
        match (self.state, kind) {
            (_, Kind::Start) => return self.on_start(text),
            (_, Kind::Stop) => self.on_stop(),
            (_, Kind::Error) => return self.on_error(&envelope),
            (_, Kind::Unknown) => self.on_unhandled(&envelope.event.0),
            (State::Live, Kind::Media) => self.on_media(&envelope),
            (State::Live, Kind::Dtmf) => self.on_dtmf(&envelope, text),
            (State::Live, Kind::Played) => self.on_played(&envelope.name),
            (State::Live, Kind::Cleared) => self.on_cleared(),
            (State::Live, Kind::PlayFailed) => self.on_play_failed(&envelope),
            (
                State::AwaitingStart | State::Closing | State::Down | State::Finished,
                Kind::Media | Kind::Dtmf | Kind::Played | Kind::Cleared | Kind::PlayFailed,
            ) => {
                let error = ProtocolError::Unexpected { got: kind.as_str(), state: self.state.describe() };
                self.events.push_back(PlivoEvent::Unexpected { error });
            }
        }
        Ok(())
    }

    pub(super) fn on_unhandled(&mut self, kind: &str) {
        self.stats.unhandled += 1;
        self.events.push_back(PlivoEvent::Unhandled { kind: words(kind) });
    }

    fn on_garbled(&mut self, error: DecodeError) {
        self.stats.garbled += 1;
        self.events.push_back(PlivoEvent::Garbled { error });
    }

    fn on_start(&mut self, text: &str) -> Result<(), ProtocolError> {
        let start = wire::read_start(text).map_err(StartError::Malformed);
        let mut info = match start.and_then(|start| StreamInfo::from_wire(start, self.life)) {
            Ok(info) => info,
            Err(StartError::Malformed(source)) if self.state == State::Live => {
                self.on_garbled(source);
                return Ok(());
            }
            Err(StartError::Malformed(source)) => {
                return Err(self.fail(ProtocolError::malformed("start")(source)));
            }
            Err(StartError::UnsupportedAudio { what }) => {
                return Err(self.fail(ProtocolError::UnsupportedAudio { what }));
            }
        };
        if let Some(old) = &self.info {
            if old.call_id != info.call_id {
                let error = ProtocolError::Unexpected { got: "start", state: "serving another call" };
                return Err(self.fail(error));
            }
            if self.state == State::Live {
                info.life = old.life;
                if *old == info {
                    self.on_unhandled("start (repeated)");
                    return Ok(());
                }
            }
        }
        self.begin(info);
        Ok(())
    }

    /// Streams as `info` says: for the first time, again on a new link, or in another format.
    fn begin(&mut self, info: StreamInfo) {
        match &self.playout {
            Some(playout) if playout.format() == info.format => {}
            Some(_) => {
                self.drop_for_restart();
                self.playout = Some(Playout::new(info.format));
            }
            None => self.playout = Some(Playout::new(info.format)),
        }
        self.timers.stop(Timer::Start);
        self.timers.after(Timer::Media, self.now, self.config.media_timeout);
        self.state = State::Live;
        if self.info.as_ref().is_some_and(|old| old.stream_id != info.stream_id) {
            self.losses = 0;
        }
        self.info = Some(info.clone());
        self.events.push_back(PlivoEvent::Started(info));
    }

    fn drop_for_restart(&mut self) {
        self.give_up_clears();
        let Some(playout) = &mut self.playout else { return };
        let clearing = playout.clear(self.now);
        self.events.push_back(PlivoEvent::Cleared {
            dropped: playout.format().duration_of(clearing.unheard.len()),
            unheard: clearing.unheard,
            heard: clearing.heard,
            by: ClearedBy::Restart,
        });
        self.skip(clearing.skipped, SkipReason::Cleared);
        self.give_up_clears();
    }

    fn on_media(&mut self, envelope: &Envelope<'_>) {
        let Some((media, playout)) = envelope.media.as_ref().zip(self.playout.as_ref()) else {
            self.on_garbled(DecodeError::new("no `media` in a media message", ""));
            return;
        };
        let format = playout.format();
        self.timers.after(Timer::Media, self.now, self.config.media_timeout);
        let Some(track) = read_track(media) else {
            self.on_unhandled("media of an unknown track");
            return;
        };
        let mut payload = match wire::read_payload(&media.payload.0) {
            Ok(payload) => payload,
            Err(error) => return self.on_garbled(error),
        };
        if is_wav(&payload) {
            return self
                .on_garbled(DecodeError::new("a WAV header where raw samples belong", &media.payload.0));
        }
        let partial = payload.len() % format.encoding.bytes_per_sample();
        if partial != 0 {
            self.on_garbled(DecodeError::new("half a sample at the end of a payload", &media.payload.0));
            payload.truncate(payload.len() - partial);
        }
        self.stats.media += 1;
        self.stats.media_bytes += payload.len() as u64;
        let timestamp = media.timestamp.millis();
        self.watch(track, media.chunk.number(), timestamp, format.duration_of(payload.len()));
        if !payload.is_empty() {
            let sequence = envelope.sequence.number();
            self.events.push_back(PlivoEvent::Media(Media { track, sequence, timestamp, payload }));
        }
    }

    fn watch(
        &mut self,
        track: Track,
        chunk: Option<u64>,
        timestamp: Option<std::time::Duration>,
        length: std::time::Duration,
    ) {
        let clock = match track {
            Track::Inbound => &mut self.clocks[0],
            Track::Outbound => &mut self.clocks[1],
        };
        match clock.observe(chunk, timestamp, length) {
            Continuity::Backwards => self.stats.out_of_order += 1,
            // The outbound track pauses whenever nothing is played to the caller.
            Continuity::Hole { messages: None | Some(0), .. } if track == Track::Outbound => {}
            Continuity::Hole { messages, span } => {
                self.stats.gaps += 1;
                self.events.push_back(PlivoEvent::Gap { track, messages, span });
            }
            Continuity::Seamless => {}
        }
    }

    fn on_dtmf(&mut self, envelope: &Envelope<'_>, text: &str) {
        let digits = envelope.dtmf.as_ref().and_then(|dtmf| dtmf.digit.to_text());
        // One key is what Plivo documents; a few are taken, a message full of them is not.
        match digits.filter(|digits| digits.len() <= MAX_KEYS).as_deref().map(Digit::parse_all) {
            Some(Ok(digits)) => self.events.extend(digits.into_iter().map(PlivoEvent::Dtmf)),
            Some(Err(_)) | None => self.on_garbled(DecodeError::new("no key in a dtmf message", text)),
        }
    }

    fn on_played(&mut self, name: &Loose<'_>) {
        let Some(playout) = &mut self.playout else { return };
        let reached = name.to_text().map(|name| playout.played(self.now, &name)).unwrap_or_default();
        if reached.is_empty() {
            self.stats.stale += 1;
        }
        self.events.extend(reached.into_iter().map(PlivoEvent::Played));
    }

    fn on_cleared(&mut self) {
        if self.settle_clear(true) {
            self.last_settled = Some(self.now);
        } else if self.forgiven > 0 || self.settled_lately() {
            // The late answer to a clear that was given up, or a second answer to one that was not.
            self.forgiven = self.forgiven.saturating_sub(1);
            self.stats.stale += 1;
        } else if let Some(playout) = &mut self.playout {
            let (settled, unheard) = playout.settle_loss(self.now);
            self.events.push_back(PlivoEvent::Cleared {
                dropped: playout.format().duration_of(unheard.len()),
                unheard,
                heard: settled.heard,
                by: ClearedBy::Peer,
            });
            self.skip(settled.skipped, SkipReason::Cleared);
            self.events.push_back(PlivoEvent::ClearSettled { heard: settled.heard, acknowledged: true });
        }
    }

    fn settled_lately(&self) -> bool {
        let lately = |at: Instant| self.now.saturating_duration_since(at) < self.config.clear_timeout;
        self.last_settled.is_some_and(lately)
    }

    fn on_play_failed(&mut self, envelope: &Envelope<'_>) {
        let reason = envelope.reason.to_text().unwrap_or_else(|| envelope.event.0.clone().into_owned());
        let reason = words(&reason);
        self.drop_marks(SkipReason::PlayFailed);
        let code = codes::of_reason(&reason).or_else(|| codes::of_reason(&envelope.event.0));
        self.events.push_back(PlivoEvent::PlayFailed { code, reason });
    }

    /// An `error` about our audio is a failure to play; any other ends the stream.
    fn on_error(&mut self, envelope: &Envelope<'_>) -> Result<(), ProtocolError> {
        let reason = words(&envelope.reason.to_text().unwrap_or_else(|| "no reason given".to_owned()));
        let code = codes::of_reason(&reason);
        if code.is_some_and(codes::is_about_audio) && self.state == State::Live {
            self.on_play_failed(envelope);
            return Ok(());
        }
        let code = code.unwrap_or(codes::STREAM_ERROR);
        Err(self.fail(ProtocolError::Peer { code, message: reason }))
    }

    fn on_stop(&mut self) {
        let closing = self.state != State::Closing;
        self.finish();
        if closing {
            self.urgent.push_back(Message::Close(CloseFrame::normal()));
        }
    }
}

fn read_track(media: &MediaBody<'_>) -> Option<Track> {
    match &media.track {
        Loose::Absent | Loose::Map(_) => Some(Track::Inbound),
        Loose::Text(text) => Track::parse(text),
        Loose::Number(_) => None,
    }
}

fn is_foreign(info: &StreamInfo, stream_id: &Loose<'_>) -> bool {
    stream_id.text().is_some_and(|id| id != info.stream_id.as_str())
}

/// Keys taken from one message.
const MAX_KEYS: usize = 16;
/// Plivo's own limit on a message.
const MAX_MESSAGE: usize = 64 * 1024;
