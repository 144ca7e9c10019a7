//! Everything that can be known to be wrong before a penny is spent.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{AspectRatio, Refusal, Revision, RoomPlatform, VideoSize};
use crate::daily::{RoomFinding, RoomUrl, TokenClaims};
use crate::{Code, Secret};

/// What a session is to be made of, as it stands in a configuration.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use voxline_protocol::agenthuman::{Preflight, Revision};
///
/// let mut plan = Preflight::new(Revision::A, "sk-123", "");
/// plan.video = Some((0, 720));
/// let findings = plan.check(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
/// assert_eq!(codes, ["agenthuman/key-form", "agenthuman/avatar", "agenthuman/video-dimensions"]);
/// ```
#[non_exhaustive]
#[derive(Clone)]
pub struct Preflight<'a> {
    /// Which revision of the service it is for.
    pub revision: Revision,
    /// The API key.
    pub key: &'a str,
    /// The avatar.
    pub avatar: &'a str,
    /// Width and height of the picture (revision A). Default the service's own.
    pub video: Option<(i64, i64)>,
    /// The shape of the picture (revision B). Default the service's own.
    pub aspect_ratio: Option<&'a str>,
    /// The room's platform, address and token: yours in revision B, from the session in A.
    pub room: Option<RoomPlan<'a>>,
    /// How long the conversation may last. Default 10 minutes.
    pub planned: Duration,
}

/// A room as it stands in a configuration.
#[expect(clippy::exhaustive_structs, reason = "the three words a room is given by")]
#[derive(Clone, Copy)]
pub struct RoomPlan<'a> {
    /// Its platform.
    pub platform: &'a str,
    /// Its address.
    pub url: &'a str,
    /// The token for it.
    pub token: &'a str,
}

/// One thing that is wrong, or may be.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightFinding {
    /// The stable name: the vendor's own error where it has one.
    pub code: Code,
    /// What was seen; never a key or token.
    pub seen: String,
    /// What to do.
    pub remedy: &'static str,
    /// True if it may work all the same.
    pub is_warning: bool,
}

impl fmt::Debug for Preflight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("revision", &self.revision)
            .field("avatar", &self.avatar)
            .field("video", &self.video)
            .field("aspect_ratio", &self.aspect_ratio)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomPlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomPlan").field("platform", &self.platform).finish_non_exhaustive()
    }
}

impl<'a> Preflight<'a> {
    /// A session with the service's own picture, and no room yet.
    #[must_use]
    pub const fn new(revision: Revision, key: &'a str, avatar: &'a str) -> Self {
        let planned = Duration::from_secs(600);
        Self { revision, key, avatar, video: None, aspect_ratio: None, room: None, planned }
    }

    /// Everything that is wrong at this time. Empty is well.
    #[must_use]
    pub fn check(&self, wall: SystemTime) -> Vec<PreflightFinding> {
        let mut findings = Vec::new();
        let key = self.key.trim();
        if Secret::new(key).is_err() || !KEY_FORMS.iter().any(|form| key.starts_with(form)) {
            let seen = "the API key does not begin with ah_live_ or ah_test_";
            findings.push(finding("agenthuman/key-form", seen, "copy it again from the dashboard"));
        }
        if self.avatar.trim().is_empty() {
            findings.push(finding("agenthuman/avatar", "no avatar is named", "set AGENTHUMAN_AVATAR"));
        }
        if let Some((width, height)) = self.video {
            findings.extend(VideoSize::new(width, height).err().map(PreflightFinding::from));
        }
        if let Some(name) = self.aspect_ratio {
            findings.extend(AspectRatio::parse(name).err().map(PreflightFinding::from));
        }
        match (&self.room, self.revision) {
            (Some(room), _) => self.check_room(room, wall, &mut findings),
            (None, Revision::A) => {}
            (None, Revision::B) => {
                let seen = "no room is given, and revision B brings none of its own";
                findings.push(finding(
                    "agenthuman/no-room",
                    seen,
                    "give a room's address and a token for it",
                ));
            }
        }
        findings
    }

    fn check_room(&self, room: &RoomPlan<'_>, wall: SystemTime, findings: &mut Vec<PreflightFinding>) {
        let platform = match RoomPlatform::parse(room.platform) {
            Ok(RoomPlatform::LiveKit) if self.revision == Revision::A => {
                RoomPlatform::parse("livekit in revision A")
            }
            parsed => parsed,
        };
        match platform {
            Err(refusal) => findings.push(refusal.into()),
            // Its tokens are its own affair.
            Ok(RoomPlatform::LiveKit) => {}
            Ok(RoomPlatform::Daily) => {
                let url = RoomUrl::parse(room.url).map(|(url, _)| url);
                let token = Secret::new(room.token).map_err(|error| {
                    let code = Code::new("daily/token-malformed");
                    RoomFinding::new(code, error.to_string(), "use the meeting token that came with the room")
                });
                match (url, token.and_then(|token| TokenClaims::decode(&token))) {
                    (Ok(url), Ok(claims)) => {
                        let found = claims.check(&url, wall, self.planned);
                        findings.extend(found.into_iter().map(PreflightFinding::from));
                    }
                    (url, claims) => {
                        let both = [url.err(), claims.err()];
                        findings.extend(both.into_iter().flatten().map(PreflightFinding::from));
                    }
                }
            }
        }
    }
}

impl From<Refusal> for PreflightFinding {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        Self { code, seen: refusal.seen, remedy: refusal.remedy, is_warning: false }
    }
}

impl From<RoomFinding> for PreflightFinding {
    fn from(found: RoomFinding) -> Self {
        Self { code: found.code, seen: found.seen, remedy: found.remedy, is_warning: found.is_warning }
    }
}

fn finding(code: &'static str, seen: &str, remedy: &'static str) -> PreflightFinding {
    PreflightFinding { code: Code::new(code), seen: seen.to_owned(), remedy, is_warning: false }
}

const KEY_FORMS: [&str; 2] = ["ah_live_", "ah_test_"];

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Daily's form, for room `demo-room`, from 1700000000 to 1700003600.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZCI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMCIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAzNjAwLCJ1IjoiQUkgQXZhdGFyIChBSCkifQ.7X129K6-49PQAt0QnTlORyMjeYr44VFkXJxmnF33tYE";

    fn codes(room: (&str, &str, &str), video: (i64, i64), at: u64) -> Vec<&'static str> {
        let mut plan = Preflight::new(Revision::A, "ah_live_1", "avat_1");
        plan.video = Some(video);
        plan.room = Some(RoomPlan { platform: room.0, url: room.1, token: room.2 });
        let findings = plan.check(UNIX_EPOCH + Duration::from_secs(at));
        assert!(!format!("{plan:?} {findings:?}").contains(&TOKEN[40..60]), "the token is not shown");
        findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn each_bad_input_is_refused_before_anything_is_sent() {
        let url = "https://agenthuman.daily.co/demo-room";
        let good = ("daily", url, TOKEN);
        let early = 1_700_000_000;
        let other = "https://agenthuman.daily.co/other";
        for (name, room, video, at, expected) in [
            ("good", good, (1280, 720), early, &[][..]),
            ("0×720", good, (0, 720), early, &["agenthuman/video-dimensions"]),
            ("17:9", good, (1700, 900), early, &["agenthuman/aspect-ratio"]),
            ("zoom", ("zoom", url, TOKEN), (1280, 720), early, &["agenthuman/room-platform"]),
            ("livekit", ("livekit", url, TOKEN), (1280, 720), early, &["agenthuman/room-platform"]),
            ("expired", good, (1280, 720), early + 3600, &["daily/token-expired"]),
            ("another room", ("daily", other, TOKEN), (1280, 720), early, &["daily/token-wrong-room"]),
            ("no token", ("daily", url, "x"), (1280, 720), early, &["daily/token-malformed"]),
            ("no room", ("daily", "demo", TOKEN), (1280, 720), early, &["daily/room-url"]),
        ] {
            assert_eq!(codes(room, video, at), expected, "{name}");
            assert!(expected.iter().all(|code| Code::new(code).entry().is_some()), "{name}");
        }
    }

    #[test]
    fn revision_b_needs_a_room_and_has_its_own_ratios() {
        let mut plan = Preflight::new(Revision::B, "ah_test_1", "avat_1");
        plan.aspect_ratio = Some("16:9");
        let findings = plan.check(UNIX_EPOCH);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["agenthuman/aspect-ratio", "agenthuman/no-room"]);
    }
}
