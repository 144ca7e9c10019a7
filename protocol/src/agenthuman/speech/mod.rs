//! The speech a client holds: what is not sent, what is on its way, what was lost with a link.

mod report;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::report::{ChunkReceipt, SpeechEnd, SpeechReport};
use super::playback::Playback;
use super::{ChunkSizes, Chunker, InputRate};
use crate::UtteranceId;

/// One message's worth of speech.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) utterance: UtteranceId,
    pub(super) samples: Range<u64>,
    /// What goes on the wire: the samples, and silence up to the floor.
    pub(super) audio: Bytes,
    sent_at: Option<Instant>,
    sends: u32,
}

impl Chunk {
    /// Which part of its utterance it carries, as time.
    pub(super) fn voice(&self, rate: InputRate) -> Range<Duration> {
        rate.duration(self.samples.start)..rate.duration(self.samples.end)
    }

    fn piece(&self, rate: InputRate) -> Piece {
        Piece {
            utterance: self.utterance,
            samples: self.samples.clone(),
            length: rate.duration(self.wire_samples()),
        }
    }

    fn wire_samples(&self) -> u64 {
        (self.audio.len() / 2) as u64
    }
}

/// Which speech a message carried.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) utterance: UtteranceId,
    pub(super) samples: Range<u64>,
    /// How long it sounds, silence at the end included.
    pub(super) length: Duration,
}

#[derive(Debug)]
struct Utterance {
    id: UtteranceId,
    finished: bool,
    chunker: Chunker,
    unsent: VecDeque<Bytes>,
    unsent_samples: u64,
    given: u64,
    /// Samples that were made into chunks.
    cut: u64,
    /// Chunks without an answer.
    open_chunks: u32,
    confirmed_until: u64,
    fault: Option<SpeechEnd>,
    chunks: u32,
    first_sent: Option<Instant>,
    last_answer: Option<Instant>,
    slowest: Duration,
    plays_until: Option<Instant>,
}

/// Every utterance that has not had its account, in order.
#[derive(Debug)]
pub(super) struct Speech {
    rate: InputRate,
    sizes: ChunkSizes,
    max_message_bytes: usize,
    utterances: VecDeque<Utterance>,
    resend: VecDeque<Chunk>,
    in_flight: VecDeque<Chunk>,
    last_id: Option<UtteranceId>,
    /// Expected counts of chunks given up on this link: a late confirmation may still come.
    lapsed: VecDeque<u64>,
}

impl Speech {
    pub(super) const fn new(rate: InputRate, sizes: ChunkSizes, max_message_bytes: usize) -> Self {
        Self {
            rate,
            sizes,
            max_message_bytes,
            utterances: VecDeque::new(),
            resend: VecDeque::new(),
            in_flight: VecDeque::new(),
            last_id: None,
            lapsed: VecDeque::new(),
        }
    }

    /// Whether `id` is new, the one being given, or over.
    pub(super) fn standing(&self, id: UtteranceId) -> Standing {
        match self.utterances.back() {
            Some(last) if last.id == id && !last.finished => Standing::Open,
            Some(_) | None if self.last_id.is_none_or(|last| id > last) => Standing::New,
            Some(_) | None => Standing::Over,
        }
    }

    /// How many utterances are open.
    pub(super) fn utterances(&self) -> usize {
        self.utterances.len()
    }

    /// Samples held that were never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.utterances.iter().map(|utterance| utterance.unsent_samples).sum()
    }

    /// Takes more of an utterance; a new one finishes the one before.
    pub(super) fn push(&mut self, id: UtteranceId, audio: Bytes, live: bool) {
        if self.standing(id) == Standing::New {
            if let Some(last) = self.utterances.back_mut() {
                last.finished = true;
            }
            let make = if live { Chunker::live } else { Chunker::ready_made };
            let chunker = make(self.sizes, self.rate, self.max_message_bytes);
            self.utterances.push_back(Utterance::new(id, chunker));
            self.last_id = Some(id);
        }
        let Some(utterance) = self.utterances.back_mut() else { return };
        let samples = (audio.len() / 2) as u64;
        utterance.unsent.push_back(audio);
        utterance.unsent_samples += samples;
        utterance.given += samples;
    }

    pub(super) fn finish(&mut self, id: UtteranceId) {
        if let Some(utterance) = self.utterances.iter_mut().find(|utterance| utterance.id == id) {
            utterance.finished = true;
        }
    }

    /// The length of the next message, if there is enough for one.
    pub(super) fn next_length(&self, starving: bool) -> Option<Duration> {
        let samples = match self.resend.front() {
            Some(chunk) => chunk.wire_samples(),
            None => self.waiting()?.next_size(starving)?,
        };
        Some(self.rate.duration(samples))
    }

    /// Whether there is speech that would go if the avatar were starving.
    pub(super) fn could_starve(&self) -> bool {
        self.next_length(false).is_none() && self.next_length(true).is_some()
    }

    /// Cuts the message that [`next_length`](Self::next_length) announced and puts it on its way.
    pub(super) fn send(&mut self, now: Instant, starving: bool) -> Option<Chunk> {
        let mut chunk = match self.resend.pop_front() {
            Some(chunk) => chunk,
            None => self
                .utterances
                .iter_mut()
                .find(|utterance| utterance.unsent_samples > 0)
                .and_then(|utterance| utterance.cut(starving))?,
        };
        chunk.sent_at = Some(now);
        chunk.sends += 1;
        if let Some(utterance) = self.utterance_mut(chunk.utterance) {
            utterance.first_sent.get_or_insert(now);
        }
        self.in_flight.push_back(chunk.clone());
        Some(chunk)
    }

    /// The length of what is on its way.
    pub(super) fn in_flight(&self) -> Duration {
        self.rate.duration(self.in_flight.iter().map(Chunk::wire_samples).sum())
    }

    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight.iter().map(|chunk| chunk.audio.len()).sum()
    }

    pub(super) fn is_anything_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Matches a confirmation to the oldest unanswered message.
    pub(super) fn confirm(
        &mut self,
        now: Instant,
        confirmed: Option<u64>,
        playback: &mut Playback,
    ) -> Option<ChunkReceipt> {
        let head = self.in_flight.front()?;
        let expected = self.rate.confirmed_samples(head.wire_samples());
        if let Some(count) = confirmed
            && !self.rate.is_plausible(head.wire_samples(), count)
            && let Some(late) = self.lapsed.iter().position(|lapsed| *lapsed == count)
        {
            // An answer that fits a message given up earlier and not the one at the head is late.
            self.lapsed.drain(..=late);
            return None;
        }
        let head = self.in_flight.pop_front()?;
        let length = self.rate.duration(head.wire_samples());
        let (plays_from, plays_until) = playback.add(now, head.utterance, head.voice(self.rate), length);
        let queueing = head.sent_at.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
        if let Some(utterance) = self.utterance_mut(head.utterance) {
            if utterance.confirmed_until == head.samples.start {
                utterance.confirmed_until = head.samples.end;
            }
            utterance.answered(now);
            utterance.slowest = utterance.slowest.max(queueing);
            utterance.plays_until = Some(plays_until);
        }
        let (utterance, samples) = (head.utterance, head.samples);
        Some(ChunkReceipt { utterance, samples, queueing, expected, confirmed, plays_from, plays_until })
    }

    /// Gives the oldest unanswered message up, because it was refused or never answered.
    pub(super) fn give_up_head(&mut self, now: Instant, end: SpeechEnd) -> Option<Piece> {
        let head = self.in_flight.pop_front()?;
        self.lapse(&head);
        if let Some(utterance) = self.utterance_mut(head.utterance) {
            utterance.answered(now);
            utterance.fault.get_or_insert(end);
        }
        Some(head.piece(self.rate))
    }

    /// The link is gone: what was on its way waits for the next one, in order.
    ///
    /// A piece that was the oldest unanswered one of a dying link, and was sent [`MAX_SENDS`] times,
    /// is given up and returned: it may be what kills the links.
    pub(super) fn link_lost(&mut self, now: Instant) -> Option<Piece> {
        let is_spent = self.in_flight.front().is_some_and(|head| head.sends >= MAX_SENDS);
        let given_up = if is_spent { self.give_up_head(now, SpeechEnd::Unconfirmed) } else { None };
        self.lapsed.clear();
        while let Some(chunk) = self.in_flight.pop_back() {
            self.resend.push_front(chunk);
        }
        given_up
    }

    /// Drops all speech, on its way or not; each utterance gets its account.
    pub(super) fn drop_all(&mut self, end: &SpeechEnd) -> Vec<SpeechReport> {
        while let Some(chunk) = self.in_flight.pop_front() {
            self.lapse(&chunk);
        }
        self.resend.clear();
        self.utterances.drain(..).map(|utterance| utterance.report(end.clone())).collect()
    }

    /// The account of the oldest utterance, once nothing more will happen to it.
    pub(super) fn completed(&mut self) -> Option<SpeechReport> {
        let front = self.utterances.front()?;
        let is_over = front.finished && front.unsent_samples == 0 && front.open_chunks == 0;
        if !is_over {
            return None;
        }
        self.utterances.pop_front().map(|utterance| utterance.report(SpeechEnd::Confirmed))
    }

    fn waiting(&self) -> Option<&Utterance> {
        self.utterances.iter().find(|utterance| utterance.unsent_samples > 0)
    }

    fn utterance_mut(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        self.utterances.iter_mut().find(|utterance| utterance.id == id)
    }

    fn lapse(&mut self, chunk: &Chunk) {
        if self.lapsed.len() == MAX_LAPSED {
            self.lapsed.pop_front();
        }
        self.lapsed.push_back(self.rate.confirmed_samples(chunk.wire_samples()));
    }
}

impl Utterance {
    const fn new(id: UtteranceId, chunker: Chunker) -> Self {
        Self {
            id,
            finished: false,
            chunker,
            unsent: VecDeque::new(),
            unsent_samples: 0,
            given: 0,
            cut: 0,
            open_chunks: 0,
            confirmed_until: 0,
            fault: None,
            chunks: 0,
            first_sent: None,
            last_answer: None,
            slowest: Duration::ZERO,
            plays_until: None,
        }
    }

    fn next_size(&self, starving: bool) -> Option<u64> {
        self.chunker.size(self.unsent_samples, self.finished, starving)
    }

    fn cut(&mut self, starving: bool) -> Option<Chunk> {
        let wire_samples = self.next_size(starving)?;
        self.chunker.took();
        let taken = wire_samples.min(self.unsent_samples);
        let audio = self.take(taken as usize * 2, wire_samples as usize * 2);
        let samples = self.cut..self.cut + taken;
        self.unsent_samples -= taken;
        self.cut += taken;
        self.open_chunks += 1;
        self.chunks += 1;
        Some(Chunk { utterance: self.id, samples, audio, sent_at: None, sends: 0 })
    }

    /// Takes `bytes` from the front, filled with silence up to `padded`. One piece is shared, several are joined.
    fn take(&mut self, bytes: usize, padded: usize) -> Bytes {
        if let Some(front) = self.unsent.front_mut()
            && bytes == padded
            && front.len() >= bytes
        {
            let taken = front.split_to(bytes);
            if front.is_empty() {
                self.unsent.pop_front();
            }
            return taken;
        }
        let mut joined = Vec::with_capacity(padded);
        while joined.len() < bytes {
            let Some(front) = self.unsent.front_mut() else { break };
            let part = front.split_to(front.len().min(bytes - joined.len()));
            joined.extend_from_slice(&part);
            if front.is_empty() {
                self.unsent.pop_front();
            }
        }
        joined.resize(padded, 0);
        Bytes::from(joined)
    }

    fn answered(&mut self, now: Instant) {
        self.open_chunks = self.open_chunks.saturating_sub(1);
        self.last_answer = Some(now);
    }

    fn report(self, end: SpeechEnd) -> SpeechReport {
        let queueing = match (self.first_sent, self.last_answer) {
            (Some(sent), Some(answered)) => answered.saturating_duration_since(sent),
            (Some(_), None) | (None, Some(_)) | (None, None) => Duration::ZERO,
        };
        SpeechReport {
            utterance: self.id,
            end: if end == SpeechEnd::Confirmed { self.fault.unwrap_or(end) } else { end },
            given: self.given,
            confirmed_until: self.confirmed_until,
            chunks: self.chunks,
            queueing,
            slowest: self.slowest,
            plays_until: self.plays_until,
        }
    }
}

/// What a command may do with an utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    Open,
    Over,
}

/// Links one piece of speech may be sent on.
const MAX_SENDS: u32 = 5;
/// Late answers worth remembering; older ones are forgotten.
const MAX_LAPSED: usize = 64;
