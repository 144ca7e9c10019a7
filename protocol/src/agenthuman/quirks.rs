//! What the vendor's side may do that no client should stumble over, as named switches.

use std::fmt;

macro_rules! quirks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One named oddity of the simulated service. All are off by default.
        ///
        /// ```
        /// use voxline_protocol::agenthuman::AvatarQuirk;
        ///
        /// let quirk = AvatarQuirk::parse("silent-interrupt").unwrap();
        /// assert_eq!(quirk, AvatarQuirk::SilentInterrupt);
        /// assert_eq!(quirk.to_string(), "silent-interrupt");
        /// ```
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AvatarQuirk {
            $($(#[$doc])* $variant,)*
        }

        impl AvatarQuirk {
            /// Every quirk.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as on a command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

quirks! {
    /// Every message is answered by a binary one as well.
    BinaryAnswer = "binary-answer",
    /// The link is closed, code 1000, after the third speak message, which is not confirmed.
    CloseMidStream = "close-mid-stream",
    /// Every error closes the link, also those after the handshake.
    CloseOnError = "close-on-error",
    /// Each third speak message is taken and never confirmed.
    DropThirdConfirmation = "drop-third-confirmation",
    /// The session ends when its link does, as revision B says.
    EndOnDisconnect = "end-on-disconnect",
    /// Errors carry an object with `message` and `code`.
    ErrorAsObject = "error-as-object",
    /// Errors carry their text in `message`.
    ErrorInMessage = "error-in-message",
    /// Errors are of the type `session.error`.
    ErrorTypeSuffix = "error-type-suffix",
    /// `connection.established` names another session.
    ForeignSessionId = "foreign-session-id",
    /// An interruption swallows the confirmations that were still due.
    ForgetOnInterrupt = "forget-on-interrupt",
    /// Sample counts are fractions, as resamplers make them.
    FractionalCount = "fractional-count",
    /// The server greets before it hears `session.init`, as the retired revision did.
    GreetFirst = "greet-first",
    /// An interruption is acknowledged as `agent.interrupted`.
    InterruptedName = "interrupted-name",
    /// Errors of the handshake leave the link open.
    KeepOnError = "keep-on-error",
    /// Sample counts are left out.
    NoCount = "no-count",
    /// `session.init` is always answered by `Session not found`.
    NeverFound = "never-found",
    /// The avatar never comes into its room.
    NeverInRoom = "never-in-room",
    /// `connection.established` names no session.
    NoSessionId = "no-session-id",
    /// `session.init` is always answered by `Failed to fetch video path`.
    NoVideoPath = "no-video-path",
    /// The first `session.init` of all is answered by `Failed to fetch video path`.
    NoVideoPathOnce = "no-video-path-once",
    /// The first `session.init` of all is answered by `Session not found`.
    NotFoundOnce = "not-found-once",
    /// `session.init` is never answered.
    SilentInit = "silent-init",
    /// An interruption is obeyed and never acknowledged.
    SilentInterrupt = "silent-interrupt",
    /// Confirmations come three seconds late.
    SlowConfirmation = "slow-confirmation",
    /// Messages above 10 MB close the link with code 1009, in revision A too.
    SmallMessages = "small-messages",
    /// Sample counts are three times too high, as with a wrong rate.
    TripleCount = "triple-count",
    /// An error with a text nobody documented follows each greeting.
    UnknownError = "unknown-error",
    /// A message of an undocumented type follows each greeting.
    UnknownEvent = "unknown-event",
    /// The server offers WebRTC on the socket, as the retired revision did.
    WebrtcOffer = "webrtc-offer",

    /// REST: the start call answers `try_again` without end.
    AlwaysTryAgain = "always-try-again",
    /// REST: ending a session takes `PUT`, and `POST` is not allowed.
    EndByPut = "end-by-put",
    /// REST: new sessions have expired already.
    ExpiredAtBirth = "expired-at-birth",
    /// REST: the room's token is for another room.
    ForeignRoomToken = "foreign-room-token",
    /// REST: errors are web pages.
    HtmlErrors = "html-errors",
    /// REST: the create answer leaves the room out.
    NoRoomInCreate = "no-room-in-create",
    /// REST: sessions have no expiration.
    NullExpiration = "null-expiration",
    /// REST: each call is first refused by the rate limit, with `Retry-After`.
    RateLimited = "rate-limited",
    /// REST: each call is first refused by the rate limit, with no word on how long.
    RateLimitedBare = "rate-limited-bare",
    /// REST: each call first fails with status 500 twice.
    ServerErrors = "server-errors",
    /// REST: Daily's answers about who is in a room are up to 15 seconds old.
    StalePresence = "stale-presence",
    /// REST: starting a session takes `POST`, and `PUT` is not allowed.
    StartByPost = "start-by-post",
    /// REST: the start call always names a server that does not hold the session.
    WrongServer = "wrong-server",
    /// REST: the first address of a session is that of a server that does not hold it.
    WrongServerOnce = "wrong-server-once",
}

impl AvatarQuirk {
    /// The quirk of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|quirk| quirk.as_str() == name)
    }
}

impl fmt::Display for AvatarQuirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_is_found_by_its_name_and_no_name_stands_twice() {
        for quirk in AvatarQuirk::ALL {
            assert_eq!(AvatarQuirk::parse(quirk.as_str()), Some(*quirk));
        }
        assert_eq!(AvatarQuirk::parse("no-such"), None);
    }
}
