//! Is the avatar there, and can it be seen and heard? A verdict from whatever reports there are.

mod api;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

pub use self::api::{AvatarIdentity, RoomMonitorConfig, RoomState, RoomVerdict};
use super::{
    NetworkState, Participant, Present, RoomEvent, Subscription, TrackKind, TrackState, WebhookEvent,
};
use crate::{TimerKind, Timers};

/// Watches one room for one avatar: fed with events, presence answers and webhooks, whichever there
/// are, and with the time.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_protocol::daily::{AvatarIdentity, RoomMonitor, RoomMonitorConfig, RoomVerdict};
///
/// let now = Instant::now();
/// let config = RoomMonitorConfig::new("demo", AvatarIdentity::named("AI Avatar (AH)"));
/// let mut monitor = RoomMonitor::new(config, now);
/// assert_eq!(monitor.poll_timeout(), Some(now + Duration::from_secs(20)));
/// monitor.handle_timeout(now + Duration::from_secs(20));
/// assert_eq!(monitor.poll_verdict(), Some(RoomVerdict::AvatarLate { limit: Duration::from_secs(20) }));
/// ```
#[derive(Debug)]
pub struct RoomMonitor {
    config: RoomMonitorConfig,
    now: Instant,
    state: RoomState,
    /// Since when it has been away, or here.
    since: Instant,
    /// The avatar's session, once it is known.
    avatar: Option<String>,
    others: BTreeMap<String, Participant>,
    video: TrackState,
    audio: TrackState,
    network: NetworkState,
    is_signaling_cut: bool,
    is_degraded: bool,
    is_ending: bool,
    is_watching: bool,
    missed: u32,
    timers: Timers<Timer>,
    verdicts: VecDeque<RoomVerdict>,
}

/// The waits of this monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The avatar is late, at first or after it left.
    Join,
    /// Picture or sound are late.
    Media,
    /// Trouble has lasted.
    Degraded,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Join, Self::Media, Self::Degraded];

    fn index(self) -> usize {
        self as usize
    }
}

impl RoomMonitor {
    /// Watches from `now`: best before `session.init` is sent, so that no joining is missed.
    #[must_use]
    pub fn new(config: RoomMonitorConfig, now: Instant) -> Self {
        let mut timers = Timers::new();
        timers.after(Timer::Join, now, config.join_limit);
        Self {
            config,
            now,
            state: RoomState::Absent,
            since: now,
            avatar: None,
            others: BTreeMap::new(),
            video: OFF,
            audio: OFF,
            network: NetworkState::Unknown,
            is_signaling_cut: false,
            is_degraded: false,
            is_ending: false,
            is_watching: false,
            missed: 0,
            timers,
            verdicts: VecDeque::new(),
        }
    }

    /// Where the avatar is.
    #[must_use]
    pub const fn state(&self) -> RoomState {
        self.state
    }

    /// The avatar's session in the room, while it is there.
    #[must_use]
    pub fn avatar(&self) -> Option<&str> {
        self.avatar.as_deref()
    }

    /// Takes an event from inside the room.
    pub fn handle_event(&mut self, now: Instant, event: &RoomEvent) {
        self.tick(now);
        match event {
            RoomEvent::Joined { participants } => {
                self.start_watching();
                for participant in participants {
                    self.see(participant);
                }
            }
            RoomEvent::ParticipantJoined(participant) | RoomEvent::ParticipantUpdated(participant) => {
                self.start_watching();
                self.see(participant);
            }
            RoomEvent::ParticipantLeft(participant) => self.leave(&participant.session_id),
            RoomEvent::TrackStarted { session_id, kind } => {
                self.track(session_id.as_deref(), kind, TrackState::Playable);
            }
            RoomEvent::TrackStopped { session_id, kind } => self.track(session_id.as_deref(), kind, OFF),
            RoomEvent::NetworkQuality { state, .. } => {
                self.network = *state;
                self.judge_quality();
            }
            RoomEvent::NetworkConnection { kind, is_connected } => {
                if kind == "signaling" {
                    self.is_signaling_cut = !is_connected;
                    self.judge_quality();
                }
            }
            RoomEvent::Error(error) => {
                self.stop_watching();
                self.verdicts.push_back(RoomVerdict::RoomFailed(error.clone()));
            }
            RoomEvent::Left => {
                if self.is_watching && !self.is_ending {
                    self.verdicts.push_back(RoomVerdict::Blind);
                }
                self.stop_watching();
            }
            RoomEvent::Unhandled { .. } => {}
        }
    }

    /// Takes an answer to [`DailyApi::presence`](super::DailyApi::presence). Whoever reports from
    /// inside the room knows better; else two answers in a row without the avatar mean that it is gone.
    pub fn handle_presence(&mut self, now: Instant, present: &[Present]) {
        self.tick(now);
        let is_avatar = |one: &&Present| {
            let (id, name) = (one.user_id.as_deref(), one.user_name.as_deref());
            self.config.avatar.matches(id, name) && !self.is_former(&one.session_id)
        };
        match present.iter().find(is_avatar).map(|one| one.session_id.clone()) {
            Some(session_id) => {
                self.missed = 0;
                self.arrive(session_id);
            }
            None if self.is_watching || self.avatar.is_none() => {}
            None => {
                self.missed += 1;
                if self.missed >= 2 {
                    self.depart();
                }
            }
        }
    }

    /// No more presence answers will come: unless somebody reports from inside the room, nobody does.
    pub fn presence_ended(&mut self, now: Instant) {
        self.tick(now);
        if !self.is_watching && !self.is_ending {
            self.verdicts.push_back(RoomVerdict::Blind);
            self.stop_watching();
        }
    }

    /// Takes a webhook that was checked; those of other rooms are ignored.
    pub fn handle_webhook(&mut self, now: Instant, event: &WebhookEvent) {
        self.tick(now);
        let Some(session_id) = event.session_id.as_deref() else { return };
        let is_avatar = self.config.avatar.matches(event.user_id.as_deref(), event.user_name.as_deref());
        if event.room.as_deref() != Some(self.config.room.as_str()) || self.is_former(session_id) {
            return;
        }
        match event.kind.as_str() {
            "participant.joined" if is_avatar => self.arrive(session_id.to_owned()),
            "participant.left" => self.leave(session_id),
            _ => {}
        }
    }

    /// We are ending the session: what leaves from here on was meant to.
    pub fn expect_end(&mut self) {
        self.is_ending = true;
        self.timers.stop_all();
    }

    /// Lets every deadline that is due by `now` pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        while let Some(timer) = self.timers.expired(self.now) {
            self.verdicts.push_back(match timer {
                Timer::Join => RoomVerdict::AvatarLate { limit: self.config.join_limit },
                Timer::Media => {
                    RoomVerdict::NoMedia { video: !is_there(self.video), audio: !is_there(self.audio) }
                }
                Timer::Degraded => {
                    self.is_degraded = true;
                    RoomVerdict::Degraded
                }
            });
        }
    }

    /// The next thing the application should know.
    #[must_use]
    pub fn poll_verdict(&mut self) -> Option<RoomVerdict> {
        self.verdicts.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn is_former(&self, session_id: &str) -> bool {
        self.config.former.as_deref() == Some(session_id)
    }

    fn see(&mut self, participant: &Participant) {
        if participant.local || self.is_former(&participant.session_id) {
            return;
        }
        let is_known = self.avatar.as_deref() == Some(participant.session_id.as_str());
        let is_named =
            self.config.avatar.matches(participant.user_id.as_deref(), participant.user_name.as_deref());
        if !is_known && !is_named {
            if self.others.len() < MAX_OTHERS || self.others.contains_key(&participant.session_id) {
                self.others.insert(participant.session_id.clone(), participant.clone());
            }
            return self.guess();
        }
        self.arrive(participant.session_id.clone());
        self.take_tracks(participant);
    }

    /// Nobody bears the name: the only one who sends a picture must be it.
    fn guess(&mut self) {
        if self.avatar.is_some() {
            return;
        }
        let mut seen = self.others.values().filter(|other| is_sent(other.track(&TrackKind::Video)));
        if let (Some(only), None) = (seen.next().cloned(), seen.next()) {
            self.others.remove(&only.session_id);
            self.arrive(only.session_id.clone());
            self.take_tracks(&only);
        }
    }

    fn take_tracks(&mut self, participant: &Participant) {
        self.video = wanted(participant, &TrackKind::Video);
        self.audio = wanted(participant, &TrackKind::Audio);
        self.judge_media();
    }

    fn arrive(&mut self, session_id: String) {
        if self.avatar.as_deref() == Some(&session_id) {
            return;
        }
        self.avatar = Some(session_id);
        self.video = OFF;
        self.audio = OFF;
        self.missed = 0;
        self.timers.stop(Timer::Join);
        let after = self.now.saturating_duration_since(self.since);
        self.since = self.now;
        self.state = RoomState::Joined;
        self.verdicts.push_back(RoomVerdict::AvatarJoined { after });
        self.await_media();
    }

    /// Only from inside the room can picture and sound be missed.
    fn await_media(&mut self) {
        if self.is_watching && !self.is_ending && self.state == RoomState::Joined {
            self.timers.after(Timer::Media, self.now, self.config.media_limit);
        }
    }

    fn leave(&mut self, session_id: &str) {
        self.others.remove(session_id);
        if self.avatar.as_deref() == Some(session_id) {
            self.depart();
        } else {
            self.guess();
        }
    }

    fn depart(&mut self) {
        self.avatar = None;
        self.missed = 0;
        self.video = OFF;
        self.audio = OFF;
        self.since = self.now;
        self.state = RoomState::Lost;
        self.timers.stop(Timer::Media);
        // Its troubles went with it; ours are told anew if they last.
        self.is_degraded = false;
        self.judge_quality();
        if !self.is_ending {
            self.verdicts.push_back(RoomVerdict::AvatarLost);
            self.timers.after(Timer::Join, self.now, self.config.join_limit);
        }
    }

    fn start_watching(&mut self) {
        if !std::mem::replace(&mut self.is_watching, true) {
            self.await_media();
        }
    }

    fn stop_watching(&mut self) {
        self.is_watching = false;
        self.others.clear();
        self.is_signaling_cut = false;
        self.network = NetworkState::Unknown;
        self.timers.stop_all();
    }

    fn track(&mut self, session_id: Option<&str>, kind: &TrackKind, state: TrackState) {
        if session_id.is_none() || session_id != self.avatar.as_deref() {
            return;
        }
        match kind {
            TrackKind::Video => self.video = state,
            TrackKind::Audio => self.audio = state,
            TrackKind::Other(_) => return,
        }
        self.judge_media();
    }

    fn judge_media(&mut self) {
        if self.state == RoomState::Joined && is_there(self.video) && is_there(self.audio) {
            self.state = RoomState::MediaReady;
            self.timers.stop(Timer::Media);
            self.verdicts.push_back(RoomVerdict::MediaReady);
        }
        self.judge_quality();
    }

    fn judge_quality(&mut self) {
        let is_video_bad =
            matches!(self.video, TrackState::Interrupted | TrackState::Off { by_bandwidth: true });
        let is_bad = is_video_bad || self.is_signaling_cut || self.network == NetworkState::Bad;
        if !is_bad {
            self.timers.stop(Timer::Degraded);
            if std::mem::take(&mut self.is_degraded) {
                self.verdicts.push_back(RoomVerdict::Recovered);
            }
        } else if !self.is_degraded && !self.is_ending && self.timers.get(Timer::Degraded).is_none() {
            self.timers.after(Timer::Degraded, self.now, self.config.degraded_limit);
        }
    }
}

/// A track we subscribed to counts when it flows; one we did not, when it could.
fn wanted(participant: &Participant, kind: &TrackKind) -> TrackState {
    let is_subscribed = participant
        .tracks
        .get(kind.as_str())
        .is_some_and(|track| track.subscription() == Subscription::Subscribed);
    let state = participant.track(kind);
    if is_subscribed && state == TrackState::Sendable { TrackState::Loading } else { state }
}

const fn is_there(state: TrackState) -> bool {
    matches!(state, TrackState::Playable | TrackState::Sendable | TrackState::Interrupted)
}

const fn is_sent(state: TrackState) -> bool {
    is_there(state) || matches!(state, TrackState::Loading)
}

const OFF: TrackState = TrackState::Off { by_bandwidth: false };
/// Participants remembered beside the avatar; Daily's own limit is below.
const MAX_OTHERS: usize = 1024;
