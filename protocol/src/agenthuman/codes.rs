//! The AgentHuman part of the error catalogue.

use crate::CodeEntry;

const SET_UP: &str = "The avatar is not set up correctly. Please contact support.";
const BUSY: &str = "The avatar is busy right now. We are trying again.";
const ENDED: &str = "This avatar session has ended. Please start a new one.";
const AUDIO: &str = "The avatar could not speak a sentence. The conversation goes on.";
const NETWORK: &str = "The connection to the avatar was interrupted. We are reconnecting.";

const fn set_up(code: &'static str, meaning: &'static str, remedy: &'static str) -> CodeEntry {
    CodeEntry::new(code, false, meaning, remedy).with_plain(SET_UP)
}

const fn busy(code: &'static str, meaning: &'static str, remedy: &'static str) -> CodeEntry {
    CodeEntry::new(code, true, meaning, remedy).with_plain(BUSY)
}

const fn ended(code: &'static str, meaning: &'static str, remedy: &'static str) -> CodeEntry {
    CodeEntry::new(code, false, meaning, remedy).with_plain(ENDED)
}

const fn audio(code: &'static str, meaning: &'static str, remedy: &'static str) -> CodeEntry {
    CodeEntry::new(code, false, meaning, remedy).with_plain(AUDIO)
}

const fn network(code: &'static str, meaning: &'static str, remedy: &'static str) -> CodeEntry {
    CodeEntry::new(code, true, meaning, remedy).with_plain(NETWORK)
}

pub(crate) const CODES: &[CodeEntry] = &[
    busy(
        "agenthuman/api-concurrency",
        "As many sessions run as the plan allows.",
        "End a session, wait for one to end, or raise the plan; `usage.concurrency` in every create answer has the numbers.",
    ),
    set_up(
        "agenthuman/api-forbidden",
        "The API key may not use this avatar.",
        "Choose an avatar of your own or a public one, and check what the plan includes.",
    ),
    set_up(
        "agenthuman/api-minutes",
        "The account has no avatar minutes left.",
        "Buy minutes or wait for the next billing period.",
    ),
    ended(
        "agenthuman/api-not-found",
        "The REST service does not know this session: the id is wrong, or it ended long ago.",
        "Create a new session; on an end call this means that nothing is left to end.",
    ),
    busy(
        "agenthuman/api-rate-limited",
        "More than 60 requests a minute were made with this key.",
        "Wait as long as `Retry-After` says, else a minute; poll the start call no faster than once a second.",
    ),
    set_up(
        "agenthuman/api-request",
        "The REST service did not accept the request body.",
        "Compare the body with the revision in use: `avatar_id` is revision A, `avatar` and `room` are revision B.",
    ),
    busy(
        "agenthuman/api-server",
        "The REST service failed on its own side.",
        "Retried with backoff; if it lasts, look at the vendor's status page.",
    ),
    network(
        "agenthuman/api-transport",
        "A REST call got no answer.",
        "Check DNS and outbound TLS to api.agenthuman.com. A create call whose answer was lost may have left a session behind.",
    ),
    set_up(
        "agenthuman/api-unauthorized",
        "The API key is missing, wrong or revoked.",
        "Set AGENTHUMAN_API_KEY to a key that begins with ah_live_ or ah_test_.",
    ),
    set_up(
        "agenthuman/api-unreadable",
        "A REST answer is not what the service documents.",
        "Look at the excerpt: a proxy page, or a newer revision of the service.",
    ),
    set_up(
        "agenthuman/aspect-ratio",
        "The service answered `Invalid aspect ratio`: it does not render this shape.",
        "Use exactly 18:9, 16:9, 5:3, 16:10, 3:2, 4:3 or 1:1 or one of them upright; revision B has 4:3, 3:4 and 1:1 only.",
    ),
    audio(
        "agenthuman/audio-processing",
        "The service answered `Failed to process audio`: the bytes are not what was declared.",
        "Send raw 16-bit little-endian mono samples without a file header, and declare their true rate.",
    ),
    set_up(
        "agenthuman/avatar",
        "No avatar, or one that cannot be used, was named.",
        "Set AGENTHUMAN_AVATAR; in revision A it must be a look, not a character.",
    ),
    network(
        "agenthuman/confirm-timeout",
        "The service did not confirm a piece of speech in time.",
        "Compare the queueing latency with the uplink: a slow upload and a slow service look alike. The link is kept.",
    ),
    network(
        "agenthuman/establish-timeout",
        "The service did not answer `session.init` in time.",
        "Retried on a new link; if it lasts, check that the session was started.",
    ),
    set_up(
        "agenthuman/init-required",
        "The service answered `First message must be session.init`: something reached it earlier.",
        "Voxline always sends `session.init` first; look for a proxy that speaks on the socket.",
    ),
    network(
        "agenthuman/interrupt-timeout",
        "The service did not acknowledge an interruption in time.",
        "Nothing to do: speech goes on. What was heard is known less exactly for this utterance.",
    ),
    set_up(
        "agenthuman/invalid-json",
        "The service answered `Invalid JSON format`: a message was damaged on its way.",
        "Voxline sends only JSON it built; look for a proxy that changes or cuts long messages.",
    ),
    set_up(
        "agenthuman/key-form",
        "The API key does not look like one of this service.",
        "Keys begin with ah_live_ or ah_test_; copy it again from the dashboard.",
    ),
    audio(
        "agenthuman/message-too-large",
        "One message would pass the largest size the service takes: 10 MB in revision B, 100 MB in revision A.",
        "Hand speech over in pieces; the machine cuts it into messages of 1 to 30 seconds.",
    ),
    set_up(
        "agenthuman/no-room",
        "The session names no room.",
        "Read the session again: revision A shows `daily_room` there when the create answer leaves it out.",
    ),
    audio(
        "agenthuman/no-audio",
        "The service answered `No audio data provided`: a speak message carried no samples.",
        "Do not hand over empty audio; finish the utterance instead.",
    ),
    set_up(
        "agenthuman/no-secret",
        "The create answer carries neither `access_token` nor `session_token`.",
        "Check the API address: this is not the answer of a create call of revision A or B.",
    ),
    set_up(
        "agenthuman/revision-0",
        "The server speaks the retired first revision of the protocol, with WebRTC on the socket.",
        "Use the address the start call returns (revision A) or wss://wss.agenthuman.com (revision B), not wss://api.agenthuman.com/webrtc.",
    ),
    set_up(
        "agenthuman/room-platform",
        "The service answered `Invalid room platform`: the room is missing or of an unknown kind.",
        "Set the platform to `daily`; `livekit` exists in revision B only.",
    ),
    audio(
        "agenthuman/sample-count",
        "The service confirmed another number of samples than the audio has at 16 kHz.",
        "A factor of three means that 48 kHz audio was declared as 16 kHz or the other way round.",
    ),
    set_up(
        "agenthuman/server-mismatch",
        "The service answered `Invalid session id - server not assigned or session id mismatch`: the link reached a server that does not hold this session.",
        "Run the start call again and dial the address it returns; Voxline does so up to three times.",
    ),
    busy(
        "agenthuman/session-config",
        "The service answered `Failed to fetch video path`: it could not load the session's settings.",
        "Check that the session was started and that the access token is the one its create call returned.",
    ),
    ended(
        "agenthuman/session-configuration",
        "The service answered `Invalid session configuration`: credentials are stale, the session expired, or the avatar is not configured.",
        "Create a new session with current credentials and an avatar this key may use.",
    ),
    ended(
        "agenthuman/session-expired",
        "The session reached its expiration.",
        "Create a new session; unconfirmed speech is sent again there. Longer sessions need a larger plan.",
    ),
    ended(
        "agenthuman/session-not-found",
        "The service answered `Session not found`: it does not know this session any more.",
        "Voxline initialises once more, then asks for a new session.",
    ),
    busy(
        "agenthuman/start-timeout",
        "No server was assigned to the session within the limit: the start call kept answering `try_again`.",
        "Try again in a minute, or raise the start budget; the session must still be ended.",
    ),
    network(
        "agenthuman/unknown-error",
        "The service sent an error text that nobody documented.",
        "Read the text; if it recurs, it deserves a code of its own.",
    ),
    set_up(
        "agenthuman/unknown-message-type",
        "The service answered `Unknown message type`: it knows `session.init`, `agent.speak` and `agent.interrupt` only.",
        "Voxline cannot send another type, a ping included; look for a proxy that adds messages, or an older service.",
    ),
    set_up(
        "agenthuman/video-dimensions",
        "The service answered `Invalid video dimensions`: a side is not a positive whole number.",
        "Use whole pixels above zero, such as 1280×720.",
    ),
    set_up(
        "agenthuman/ws-address",
        "The start call returned something that is not a secure WebSocket address.",
        "Look at the address; plain ws:// is taken for loopback hosts only.",
    ),
];
