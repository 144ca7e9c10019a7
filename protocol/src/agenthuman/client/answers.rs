//! What the service says, and what it means for speech and link.

use std::time::Instant;

use super::api::since;
use super::{AvatarClient, AvatarEvent, InterruptOutcome, LinkEnd, State, Timer};
use crate::agenthuman::speech::{Piece, SpeechEnd};
use crate::agenthuman::wire::{self, FromServer};
use crate::agenthuman::{Recovery, VendorError};
use crate::json::decode;
use crate::{Code, ProtocolError};

impl AvatarClient {
    pub(super) fn on_text(&mut self, now: Instant, text: &str) -> Result<(), ProtocolError> {
        if matches!(self.state, State::Down | State::Closing | State::Finished) {
            return Ok(());
        }
        let message: FromServer<'_> = match decode(text) {
            Ok(message) => message,
            Err(error) => {
                self.garbled += 1;
                self.events.push_back(AvatarEvent::Garbled(error));
                if self.garbled > MAX_GARBLED {
                    return self.fail(
                        now,
                        ProtocolError::LimitExceeded {
                            what: "messages that do not parse",
                            limit: MAX_GARBLED,
                        },
                    );
                }
                return Ok(());
            }
        };
        if message.is_error() {
            let error = VendorError::parse(message.error_text());
            return self.on_error(now, error);
        }
        match message.kind.as_deref() {
            Some(wire::ESTABLISHED) => return self.on_established(now, message.session_id()),
            Some(wire::SPEAK_CONFIRMED) => self.on_confirmed(now, message.audio_samples()),
            Some(kind) if message.is_interrupt_confirmation() => {
                let kind = kind.to_owned();
                self.on_interrupt_answer(now, InterruptOutcome::Acknowledged, kind);
            }
            Some(kind) if kind.starts_with("webrtc.") => return self.on_revision_0(now),
            Some(kind) => self.unhandled(kind),
            None => self.unhandled("without a type"),
        }
        Ok(())
    }

    pub(super) fn on_established(
        &mut self,
        now: Instant,
        session_id: Option<&str>,
    ) -> Result<(), ProtocolError> {
        match self.state {
            // It greeted us before it heard from us.
            State::Opened => self.on_revision_0(now),
            State::Initialising if session_id.is_some_and(|id| id != self.config.session.session_id) => {
                self.on_error(now, VendorError::ServerMismatch)
            }
            State::Initialising => {
                self.timers.stop(Timer::Establish);
                self.refusals = 0;
                self.state = State::Ready;
                let link = self.link.unwrap_or_default();
                let took = since(self.opened_at, now);
                self.events.push_back(AvatarEvent::Established { link, took });
                Ok(())
            }
            State::Down | State::Ready | State::Interrupting | State::Closing | State::Finished => {
                self.unhandled(wire::ESTABLISHED);
                Ok(())
            }
        }
    }

    pub(super) fn on_revision_0(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.fail(
            now,
            ProtocolError::Peer {
                code: Code::new("agenthuman/revision-0"),
                message: "the server speaks first, with WebRTC on the socket, as the retired revision did"
                    .to_owned(),
            },
        )
    }

    pub(super) fn on_confirmed(&mut self, now: Instant, confirmed: Option<u64>) {
        // While an interruption is not acknowledged, a confirmation belongs to speech that is gone.
        let receipt = match self.state {
            State::Ready => self.speech.confirm(now, confirmed, &mut self.latest),
            State::Down
            | State::Opened
            | State::Initialising
            | State::Interrupting
            | State::Closing
            | State::Finished => None,
        };
        let Some(receipt) = receipt else { return self.unhandled(wire::SPEAK_CONFIRMED) };
        if let Some(confirmed) = receipt.confirmed.filter(|_| !receipt.is_plausible(self.config.rate)) {
            let (utterance, expected) = (receipt.utterance, receipt.expected);
            self.events.push_back(AvatarEvent::SampleCount { utterance, expected, confirmed });
        }
        self.events.push_back(AvatarEvent::Chunk(receipt));
        self.after_answer(now);
    }

    pub(super) fn on_error(&mut self, now: Instant, error: VendorError) -> Result<(), ProtocolError> {
        let is_established = matches!(self.state, State::Ready | State::Interrupting);
        if !is_established || error.ends_link() {
            return self.on_refused(now, error);
        }
        match error {
            VendorError::NoAudioData | VendorError::AudioProcessingFailed { .. } => {
                self.refuse_head(now, error);
            }
            // The service could not read a message: the interruption if one is open, else speech.
            VendorError::InvalidJson | VendorError::UnknownMessageType { .. } => {
                if self.state == State::Interrupting {
                    self.events.push_back(AvatarEvent::ServiceError(error));
                    self.on_interrupt_answer(now, InterruptOutcome::Unacknowledged, String::new());
                } else {
                    self.refuse_head(now, error);
                }
            }
            VendorError::InitRequired
            | VendorError::InvalidRoomPlatform
            | VendorError::InvalidVideoDimensions
            | VendorError::InvalidAspectRatio
            | VendorError::ServerMismatch
            | VendorError::SessionConfigUnavailable
            | VendorError::SessionNotFound
            | VendorError::InvalidSessionConfiguration
            | VendorError::Other { .. } => self.events.push_back(AvatarEvent::ServiceError(error)),
        }
        Ok(())
    }

    /// The service does not want this session on this link.
    pub(super) fn on_refused(&mut self, now: Instant, error: VendorError) -> Result<(), ProtocolError> {
        self.refusals += 1;
        match error.recovery(self.refusals) {
            Recovery::GiveUp => self.fail(now, error.into_fatal()),
            recovery @ (Recovery::NewSession | Recovery::Redial | Recovery::StartAgain) => {
                self.close_due = true;
                self.link_down(now, LinkEnd::Refused(error), recovery);
                Ok(())
            }
        }
    }

    pub(super) fn refuse_head(&mut self, now: Instant, error: VendorError) {
        let in_doubt = self.state == State::Interrupting;
        let end = SpeechEnd::Refused(error.clone());
        let piece = if in_doubt { None } else { self.speech.give_up_head(now, end) };
        match piece {
            Some(Piece { utterance, samples, length, .. }) => {
                self.earliest.advance(now, length);
                self.events.push_back(AvatarEvent::ChunkRefused { utterance, samples, error });
                self.after_answer(now);
            }
            None => self.events.push_back(AvatarEvent::ServiceError(error)),
        }
    }

    /// Accounts for what an answer completed, and waits for the next one.
    pub(super) fn after_answer(&mut self, now: Instant) {
        self.report_completed();
        self.timers.stop(Timer::Confirm);
        self.arm_confirm(now);
    }
}

/// Messages that do not parse, on one link, before the peer is called something else.
const MAX_GARBLED: usize = 100;
