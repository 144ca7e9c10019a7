//! The room monitor: event orders, silence and late joins give the right verdict at the right moment.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use voxline_protocol::daily::{
    AvatarIdentity, Present, RoomEvent, RoomMonitor, RoomMonitorConfig, RoomState, RoomVerdict, WebhookEvent,
};

use crate::pair::instant;

const NAME: &str = "AI Avatar (AH)";

struct Room {
    monitor: RoomMonitor,
    begin: Instant,
    now: Instant,
}

impl Room {
    fn new() -> Self {
        let now = instant();
        let config = RoomMonitorConfig::new("demo", AvatarIdentity::named(NAME));
        Self { monitor: RoomMonitor::new(config, now), begin: now, now }
    }

    /// Lets time pass to `at_ms`, each timer at its own moment; verdicts come with that moment.
    fn until(&mut self, at_ms: u64) -> Vec<(u128, RoomVerdict)> {
        let end = self.begin + Duration::from_millis(at_ms);
        let mut verdicts = Vec::new();
        while let Some(at) = self.monitor.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.monitor.handle_timeout(self.now);
            self.drain(&mut verdicts);
        }
        self.now = end;
        verdicts
    }

    fn event(&mut self, json: &str) -> Vec<RoomVerdict> {
        self.monitor.handle_event(self.now, &RoomEvent::from_json(json).unwrap());
        let mut verdicts = Vec::new();
        self.drain(&mut verdicts);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    fn drain(&mut self, verdicts: &mut Vec<(u128, RoomVerdict)>) {
        while let Some(verdict) = self.monitor.poll_verdict() {
            verdicts.push(((self.now - self.begin).as_millis(), verdict));
        }
    }
}

fn person(action: &str, id: &str, name: &str, video: &str, audio: &str) -> String {
    format!(
        r#"{{"action":"{action}","participant":{{"session_id":"{id}","user_name":"{name}","tracks":{{
            "video":{{"state":"{video}","subscribed":true}},"audio":{{"state":"{audio}","subscribed":true}}}}}}}}"#
    )
}

fn joined_after(ms: u64) -> RoomVerdict {
    RoomVerdict::AvatarJoined { after: Duration::from_millis(ms) }
}

#[test]
fn an_avatar_that_comes_and_plays_is_ready() {
    let mut room = Room::new();
    assert_eq!(room.until(1500), []);
    assert_eq!(room.event(&person("participant-joined", "s1", NAME, "off", "off")), [joined_after(1500)]);
    assert_eq!(room.event(&person("participant-updated", "s1", NAME, "loading", "playable")), []);
    let ready = room.event(r#"{"action":"track-started","participant":{"session_id":"s1"},"type":"video"}"#);
    assert_eq!(ready, [RoomVerdict::MediaReady]);
    assert_eq!(room.monitor.state(), RoomState::MediaReady);
    assert_eq!(room.until(120_000), [], "silence after that is well");
}

#[test]
fn an_avatar_that_is_there_already_is_found_in_the_snapshot() {
    let mut room = Room::new();
    let snapshot = format!(
        r#"{{"action":"joined-meeting","participants":{{"local":{{"session_id":"me","local":true,"user_name":"{NAME}"}},
            "s1":{{"session_id":"s1","user_name":"{NAME}"}}}}}}"#
    );
    assert_eq!(room.event(&snapshot), [joined_after(0)], "we are not the avatar, whatever our name is");
    assert_eq!(room.event(&person("participant-joined", "s1", NAME, "off", "off")), [], "told once");
}

#[test]
fn a_late_avatar_is_told_at_the_deadline_and_welcome_after_it() {
    let mut room = Room::new();
    let limit = Duration::from_secs(20);
    assert_eq!(room.until(30_000), [(20_000, RoomVerdict::AvatarLate { limit })]);
    assert_eq!(room.event(&person("participant-joined", "s1", NAME, "off", "off")), [joined_after(30_000)]);
    let missing = RoomVerdict::NoMedia { video: true, audio: true };
    assert_eq!(room.until(60_000), [(40_000, missing)]);
}

#[test]
fn an_avatar_without_sound_is_told_by_what_is_missing() {
    let mut room = Room::new();
    room.event(&person("participant-joined", "s1", NAME, "playable", "off"));
    assert_eq!(room.until(10_000), [(10_000, RoomVerdict::NoMedia { video: false, audio: true })]);
}

#[test]
fn a_stall_is_told_when_it_lasts_and_again_when_it_is_over() {
    let mut room = Room::new();
    room.event(&person("participant-joined", "s1", NAME, "playable", "playable"));
    room.event(&person("participant-updated", "s1", NAME, "interrupted", "playable"));
    assert_eq!(room.until(1_900), [], "a short one is nobody's business");
    room.event(&person("participant-updated", "s1", NAME, "playable", "playable"));
    assert_eq!(room.until(10_000), []);
    for bad in [
        r#"{"action":"network-quality-change","networkState":"bad"}"#,
        r#"{"action":"network-connection","type":"signaling","event":"interrupted"}"#,
    ] {
        let begin = u64::try_from((room.now - room.begin).as_millis()).unwrap();
        assert_eq!(room.event(bad), []);
        let told = u128::from(begin) + 2_000;
        assert_eq!(room.until(begin + 5_000), [(told, RoomVerdict::Degraded)]);
        room.event(r#"{"action":"network-connection","type":"signaling","event":"connected"}"#);
        let good = room.event(r#"{"action":"network-quality-change","networkState":"good"}"#);
        assert_eq!(good.len() + usize::from(bad.contains("signaling")), 1, "recovered once: {good:?}");
    }
}

#[test]
fn an_avatar_that_leaves_is_lost_unless_we_ended_it() {
    let mut room = Room::new();
    room.event(&person("participant-joined", "s1", NAME, "playable", "playable"));
    let left = person("participant-left", "s1", NAME, "off", "off");
    assert_eq!(room.event(&left), [RoomVerdict::AvatarLost]);
    assert_eq!(room.event(&left), [], "told once");
    assert_eq!(room.until(3_000), []);
    let back = room.event(&person("participant-joined", "s2", NAME, "playable", "playable"));
    assert_eq!(back, [joined_after(3_000), RoomVerdict::MediaReady]);
    assert_eq!(room.event(&person("participant-left", "s2", NAME, "off", "off")), [RoomVerdict::AvatarLost]);
    let late = RoomVerdict::AvatarLate { limit: Duration::from_secs(20) };
    assert_eq!(room.until(30_000), [(23_000, late)], "it has as long to come back as it had to come");
    room.event(&person("participant-joined", "s3", NAME, "playable", "playable"));
    room.monitor.expect_end();
    assert_eq!(room.event(&person("participant-left", "s3", NAME, "off", "off")), []);
    assert_eq!(room.until(100_000), []);
}

#[test]
fn without_its_name_the_only_one_with_a_picture_is_the_avatar() {
    let mut room = Room::new();
    assert_eq!(room.event(&person("participant-joined", "s1", "viewer", "off", "playable")), []);
    let seen = room.event(&person("participant-joined", "s2", "somebody", "playable", "playable"));
    assert_eq!(seen, [joined_after(0), RoomVerdict::MediaReady]);
}

#[test]
fn presence_and_webhooks_find_and_miss_the_avatar_without_anybody_in_the_room() {
    let mut room = Room::new();
    let mut present = Present::default();
    present.session_id = "s1".into();
    present.user_name = Some(NAME.into());
    room.monitor.handle_presence(room.now, &[present]);
    assert_eq!(room.monitor.poll_verdict(), Some(joined_after(0)));
    room.monitor.handle_presence(room.now, &[]);
    assert_eq!(room.monitor.poll_verdict(), None, "one answer may be old");
    room.monitor.handle_presence(room.now, &[]);
    assert_eq!(room.monitor.poll_verdict(), Some(RoomVerdict::AvatarLost));

    let mut event = WebhookEvent::default();
    event.kind = "participant.joined".into();
    event.room = Some("another".into());
    event.session_id = Some("s2".into());
    event.user_name = Some(NAME.into());
    room.monitor.handle_webhook(room.now, &event);
    assert_eq!(room.monitor.poll_verdict(), None, "another room of the domain");
    event.room = Some("demo".into());
    room.monitor.handle_webhook(room.now, &event);
    assert_eq!(room.monitor.poll_verdict(), Some(joined_after(0)));
}

#[test]
fn a_failed_room_says_why_and_stops_the_clock() {
    let mut room = Room::new();
    let failed = room.event(r#"{"action":"error","errorMsg":"x","error":{"type":"exp-token","msg":"y"}}"#);
    assert!(matches!(&failed[..], [RoomVerdict::RoomFailed(error)] if !error.kind.is_retryable()));
    assert_eq!(room.event(r#"{"action":"left-meeting"}"#), []);
    assert_eq!(room.until(100_000), []);
}

proptest! {
    /// Whatever comes in whatever order: joined and lost alternate, late comes at most once for
    /// each absence and on time, and the state is what the last of them said.
    #[test]
    fn any_order_of_events_gives_verdicts_that_make_sense(steps in prop::collection::vec((0u8..12, 0u64..15_000), 1..40)) {
        let mut room = Room::new();
        let mut at = 0;
        let mut told = Vec::new();
        for (what, gap) in steps {
            at += gap;
            told.extend(room.until(at));
            let json = match what {
                0 => person("participant-joined", "s1", NAME, "off", "off"),
                1 => person("participant-joined", "s2", NAME, "playable", "playable"),
                2 => person("participant-left", "s1", NAME, "off", "off"),
                3 => person("participant-left", "s2", NAME, "off", "off"),
                4 => person("participant-updated", "s1", NAME, "playable", "playable"),
                5 => person("participant-updated", "s1", NAME, "interrupted", "playable"),
                6 => person("participant-joined", "v", "viewer", "off", "off"),
                7 => r#"{"action":"track-started","participant":{"session_id":"s1"},"type":"audio"}"#.into(),
                8 => r#"{"action":"track-stopped","participant":null,"type":"audio"}"#.into(),
                9 => r#"{"action":"network-quality-change","networkState":"bad"}"#.into(),
                10 => r#"{"action":"network-quality-change","networkState":"good"}"#.into(),
                _ => r#"{"action":"left-meeting"}"#.into(),
            };
            let verdicts = room.event(&json);
            told.extend(verdicts.into_iter().map(|verdict| (u128::from(at), verdict)));
        }
        told.extend(room.until(at + 60_000));
        let mut is_there = false;
        let mut away_since = Some(0);
        let mut is_degraded = false;
        for (at, verdict) in &told {
            match verdict {
                RoomVerdict::AvatarJoined { .. } => (is_there, away_since) = (true, None),
                RoomVerdict::AvatarLate { .. } => prop_assert_eq!(away_since.take(), Some(at - 20_000)),
                RoomVerdict::AvatarLost => {
                    away_since = Some(*at);
                    prop_assert!(is_there, "lost without having been there: {:?}", told);
                    is_there = false;
                    is_degraded = false;
                }
                RoomVerdict::MediaReady | RoomVerdict::NoMedia { .. } => prop_assert!(is_there),
                RoomVerdict::Degraded => prop_assert!(!std::mem::replace(&mut is_degraded, true)),
                RoomVerdict::Recovered => prop_assert!(std::mem::replace(&mut is_degraded, false)),
                _ => {}
            }
        }
        let expected = matches!(room.monitor.state(), RoomState::Joined | RoomState::MediaReady);
        prop_assert_eq!(is_there, expected);
    }
}
