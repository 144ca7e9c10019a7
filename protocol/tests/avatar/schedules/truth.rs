//! What really happened in one schedule, as the wire and the avatar's mouth show it, held against
//! what the client says.

use std::collections::{HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::agenthuman::{
    AvatarEvent, AvatarQuirk, AvatarServerEvent, ChunkReceipt, Heard, InputRate, InterruptOutcome, LinkEnd,
    SpeechEnd, SpeechReport,
};
use voxline_protocol::{Message, UtteranceId};

use super::Totals;

/// One schedule's speech, sample by sample: handed over, sent, arrived, said, confirmed.
pub(super) struct Truth {
    rate: InputRate,
    /// Samples one message may carry.
    lengths: RangeInclusive<u64>,
    quirks: Vec<AvatarQuirk>,
    /// Speech handed over: where it stands in the run of all speech.
    given: HashMap<UtteranceId, Range<u64>>,
    reported: HashSet<UtteranceId>,
    /// Samples handed over in all, each with its own value so that the server can tell them apart.
    total: u64,
    /// Samples below this were interrupted.
    dead_below: u64,
    /// By the run of all speech.
    sent: Vec<bool>,
    arrived: Vec<bool>,
    confirmed: Vec<bool>,
    mouth: Vec<Segment>,
    /// The session that is to speak, and the one established on this link.
    session: String,
    speaking: String,
    is_link_fresh: bool,
    /// When the service accepted the session on this link.
    established: Option<Instant>,
    /// Errors that nothing caused were sent: what the client concludes from them may be wrong.
    pub(super) spurious_errors: bool,
    pub(super) totals: Totals,
}

/// One message in the server's mouth, by the run of all speech.
struct Segment {
    samples: Range<u64>,
    plays_from: Instant,
    stopped: Option<Instant>,
}

impl Truth {
    pub(super) fn new(rate: InputRate, lengths: RangeInclusive<u64>, quirks: Vec<AvatarQuirk>) -> Self {
        Self {
            rate,
            lengths,
            quirks,
            given: HashMap::new(),
            reported: HashSet::new(),
            total: 0,
            dead_below: 0,
            sent: Vec::new(),
            arrived: Vec::new(),
            confirmed: Vec::new(),
            mouth: Vec::new(),
            session: "sess_0".to_owned(),
            speaking: String::new(),
            is_link_fresh: false,
            established: None,
            spurious_errors: false,
            totals: Totals::default(),
        }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The next samples of the run.
    pub(super) fn samples(&mut self, count: u64) -> Bytes {
        let from = self.total as usize;
        self.total += count;
        let until = self.total as usize;
        for seen in [&mut self.sent, &mut self.arrived, &mut self.confirmed] {
            seen.resize(until, false);
        }
        RUN.slice(from * 2..until * 2)
    }

    /// The last samples were taken as more of this utterance.
    pub(super) fn give(&mut self, utterance: UtteranceId, count: u64) {
        let fresh = self.total - count..self.total;
        self.given.entry(utterance).or_insert(fresh).end = self.total;
    }

    pub(super) const fn interrupt(&mut self) {
        self.dead_below = self.total;
    }

    pub(super) const fn open_link(&mut self) {
        self.is_link_fresh = true;
        self.established = None;
    }

    /// Looks ahead for what the messages of the same stretch depend on.
    pub(super) fn watch_link(&mut self, events: &[(Instant, AvatarEvent)]) {
        for (at, event) in events {
            if let AvatarEvent::Established { .. } = event {
                self.established = Some(*at);
            }
        }
    }

    pub(super) fn use_session(&mut self, id: String, now: Instant) {
        self.session = id;
        self.silence(now);
    }

    pub(super) fn is_all_reported(&self) -> bool {
        self.reported.len() == self.given.len()
    }

    pub(super) fn check_sent(&mut self, at: Instant, message: &Message) {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return,
            Message::Binary(_) => panic!("a binary message"),
        };
        self.totals.messages += 1;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let kind = value["type"].as_str().unwrap();
        assert!(!self.is_link_fresh || kind == "session.init", "{kind} before session.init");
        self.is_link_fresh = false;
        assert!(["session.init", "agent.speak", "agent.interrupt"].contains(&kind), "{kind}");
        if kind != "agent.speak" {
            return;
        }
        assert!(self.established.is_some_and(|established| established <= at), "speech too early");
        assert_eq!(value["sample_rate"], self.rate.sample_rate().hz());
        let audio = base64_simd::STANDARD.decode_to_vec(value["audio"].as_str().unwrap()).unwrap();
        let samples = audio.len() as u64 / 2;
        assert!(self.lengths.contains(&samples), "{samples} samples");
        let voice = voice(&audio);
        assert!(voice.start >= self.dead_below, "{voice:?} was interrupted, up to {}", self.dead_below);
        assert!(!span(&self.confirmed, &voice).contains(&true), "{voice:?} was confirmed and is sent again");
        if span(&self.sent, &voice)[0] {
            self.totals.resent += 1;
        }
        mark(&mut self.sent, &voice);
    }

    pub(super) fn check_event(&mut self, at: Instant, event: &AvatarEvent) {
        match event {
            AvatarEvent::Chunk(receipt) => self.check_receipt(receipt),
            AvatarEvent::Speech(report) => self.check_report(report),
            AvatarEvent::Interrupted { outcome, heard, .. } => {
                let is_certain = *outcome == InterruptOutcome::Acknowledged
                    && !self.spurious_errors
                    && !self.has(AvatarQuirk::SilentInterrupt)
                    && !self.has(AvatarQuirk::SlowConfirmation);
                for heard in heard.iter().filter(|_| is_certain) {
                    self.check_heard(heard);
                }
                self.mouth.retain(|segment| segment.stopped.is_none_or(|stopped| stopped > at));
            }
            // The service's avatar falls silent at the same instant.
            AvatarEvent::LinkDown { end: LinkEnd::Expired, .. } => self.silence(at),
            _ => {}
        }
    }

    /// What the server took and said, as the truth to compare with.
    pub(super) fn watch_server(&mut self, at: Instant, event: &AvatarServerEvent) {
        match event {
            AvatarServerEvent::Speech { audio, plays_from, .. } => {
                let samples = voice(audio);
                mark(&mut self.arrived, &samples);
                if self.speaking == self.session {
                    self.mouth.push(Segment { samples, plays_from: *plays_from, stopped: None });
                }
            }
            AvatarServerEvent::Established { session_id, .. } => self.speaking.clone_from(session_id),
            AvatarServerEvent::Interrupted { .. }
            | AvatarServerEvent::SessionExpired { .. }
            | AvatarServerEvent::Disconnected { ends_session: true, .. } => self.silence(at),
            _ => {}
        }
    }

    fn silence(&mut self, at: Instant) {
        for segment in &mut self.mouth {
            segment.stopped.get_or_insert(at);
        }
    }

    fn check_receipt(&mut self, receipt: &ChunkReceipt) {
        let base = self.given[&receipt.utterance].start;
        let samples = base + receipt.samples.start..base + receipt.samples.end;
        assert!(!span(&self.confirmed, &samples).contains(&true), "{samples:?} confirmed twice");
        assert!(!span(&self.sent, &samples).contains(&false), "{samples:?} confirmed unsent");
        mark(&mut self.confirmed, &samples);
    }

    fn check_report(&mut self, report: &SpeechReport) {
        let own = &self.given[&report.utterance];
        assert!(self.reported.insert(report.utterance), "a second account: {report:?}");
        assert_eq!(report.given, own.end - own.start);
        let confirmed = span(&self.confirmed, own).iter().take_while(|sample| **sample).count() as u64;
        assert_eq!(report.confirmed_until, confirmed, "{report:?}");
        match &report.end {
            SpeechEnd::Confirmed => {
                assert_eq!(confirmed, report.given);
                self.totals.confirmed += 1;
                // Speech that counts as confirmed did arrive, unless the server lied about it.
                let lies = self.spurious_errors || self.has(AvatarQuirk::SlowConfirmation);
                let is_whole = !span(&self.arrived, own).contains(&false);
                assert!(lies || is_whole, "confirmed, but it never arrived");
            }
            SpeechEnd::Interrupted => self.totals.interrupted += 1,
            _ => self.totals.other_ends += 1,
        }
    }

    fn check_heard(&mut self, heard: &Heard) {
        let own = &self.given[&heard.utterance];
        let time = |samples| self.rate.sample_rate().duration_of(samples);
        let said = self.mouth.iter().filter(|segment| own.contains(&segment.samples.start));
        let truth = said
            .filter_map(|Segment { samples, plays_from, stopped }| {
                let played = (*stopped)?.checked_duration_since(*plays_from)?;
                Some(time(samples.start - own.start) + played.min(time(samples.end - samples.start)))
            })
            .max()
            .unwrap_or_default();
        let slack = Duration::from_micros(100);
        assert!(
            heard.at_least <= truth + slack && truth <= heard.at_most + slack,
            "{heard:?}, in truth {truth:?}"
        );
        self.totals.heard_checked += 1;
    }

    fn has(&self, quirk: AvatarQuirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// Which samples of the run a message carries, with nothing but silence behind them.
fn voice(audio: &[u8]) -> Range<u64> {
    let (samples, _) = audio.as_chunks::<2>();
    let from = u64::from(u16::from_le_bytes(samples[0])).checked_sub(1).expect("a message of silence");
    let until = from + samples.partition_point(|sample| *sample != [0, 0]) as u64;
    let (voiced, silence) = audio.split_at((until - from) as usize * 2);
    assert!(voiced == &RUN[from as usize * 2..until as usize * 2], "speech out of order");
    assert!(silence.iter().all(|byte| *byte == 0), "a hole in the speech");
    from..until
}

fn span<'a>(samples: &'a [bool], range: &Range<u64>) -> &'a [bool] {
    &samples[range.start as usize..range.end as usize]
}

fn mark(samples: &mut [bool], range: &Range<u64>) {
    samples[range.start as usize..range.end as usize].fill(true);
}

/// Samples one schedule may hand over: each has a value of its own in sixteen bits.
pub(super) const MOST_SAMPLES: u64 = 32_000;
/// The run of all speech. No sample is silence, and no two are alike.
static RUN: LazyLock<Bytes> =
    LazyLock::new(|| (1..=MOST_SAMPLES as u16).flat_map(u16::to_le_bytes).collect());
