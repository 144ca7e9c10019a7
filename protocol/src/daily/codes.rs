//! The Daily part of the error catalogue.

use crate::CodeEntry;

const ROOM: &str = "The video room could not be opened. Please try again, or contact support.";
const VIDEO: &str = "The picture of the avatar is interrupted. Please wait a moment.";
const NETWORK: &str = "Your connection is weak, so the picture may stall.";

pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::new(
        "daily/api",
        false,
        "The Daily REST service refused a call.",
        "Look at the error's type; an API key works for its own domain only, never for a room of the avatar's vendor.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/avatar-late",
        true,
        "The avatar did not join the room in time.",
        "Check that the token given to the avatar is for this room and has not expired; nobody reports that on the socket.",
    )
    .with_plain("The avatar takes longer than usual to appear. Please wait a moment."),
    CodeEntry::new(
        "daily/avatar-lost",
        true,
        "The avatar left the room although the session was not ended.",
        "Ask the avatar's REST service for the session's state; start a new session if it ended.",
    )
    .with_plain("The avatar left. We are calling it back."),
    CodeEntry::new(
        "daily/no-media",
        true,
        "The avatar is in the room, but its picture or sound did not come.",
        "Check the subscriptions of the viewer first, then the network between viewer and room.",
    )
    .with_plain(VIDEO),
    CodeEntry::new(
        "daily/quality",
        true,
        "Picture or network are degraded.",
        "Packet loss and bandwidth are in the room's network statistics; a lower picture layer may help.",
    )
    .with_plain(NETWORK),
    CodeEntry::new(
        "daily/room-failed",
        false,
        "The room itself failed: token, room or permission.",
        "The error's kind says which; a new token, a new room or a new session mends it.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/room-url",
        false,
        "The room's address has not the form https://<domain>.daily.co/<room>.",
        "Copy the address from the session or the dashboard; a token belongs in its own field.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-ejects",
        false,
        "The token throws its participant out before the planned end.",
        "Ask for a token that lasts as long as the conversation.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-expired",
        false,
        "The room's token has expired or is about to.",
        "Create a new session (revision A) or a new token (revision B).",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-malformed",
        false,
        "The room's token is not a Daily meeting token.",
        "A meeting token has three parts with dots between; an API key is not one.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-not-yet",
        true,
        "The room's token is not valid yet.",
        "Wait until its start, or check this machine's clock.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-unbounded",
        false,
        "The room's token names no room or never expires: it opens more than this conversation.",
        "Ask for a token with `room_name` and `exp`.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/token-wrong-room",
        false,
        "The room's token is for another room.",
        "Use the token that came with this room's address; room names are compared exactly.",
    )
    .with_plain(ROOM),
    CodeEntry::new(
        "daily/webhook",
        false,
        "A webhook was not signed with our key, or too long ago.",
        "Check the `hmac` of the webhook and this machine's clock; answer 401 and do not act on it.",
    )
    .with_plain(ROOM),
];
