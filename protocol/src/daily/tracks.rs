//! Which of the avatar's tracks to take, and when: a picture nobody looks at costs the most.

use serde_json::{Value, json};

/// What a viewer takes of the avatar, as a value to hand to Daily's library.
///
/// ```
/// use voxline_protocol::daily::VideoPolicy;
///
/// assert_eq!(VideoPolicy::Lazy.tracks(false).to_string(), r#"{"audio":true,"video":"staged"}"#);
/// assert_eq!(VideoPolicy::Lazy.tracks(true).to_string(), r#"{"audio":true,"video":true}"#);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VideoPolicy {
    /// Sound and picture at once.
    Eager,
    /// Sound at once; the picture is negotiated, and flows while it is shown.
    #[default]
    Lazy,
    /// Nothing: for a program that only watches whether the avatar is there.
    Observe,
}

impl VideoPolicy {
    /// The argument of `updateParticipant(id, { setSubscribedTracks: … })`, for a picture that
    /// `is_shown` or not. The room must be joined with `subscribeToTracksAutomatically: false`.
    #[must_use]
    pub fn tracks(self, is_shown: bool) -> Value {
        match self {
            Self::Eager => json!({ "audio": true, "video": true }),
            Self::Lazy if is_shown => json!({ "audio": true, "video": true }),
            Self::Lazy => json!({ "audio": true, "video": "staged" }),
            Self::Observe => json!({ "audio": false, "video": false }),
        }
    }
}
