//! Plivo's part of the catalogue: its four error names, what a stream dies of, and why a call ends.

use crate::{Code, CodeEntry};

/// The code of one of Plivo's error names, as they appear in `reason`, `StatusReason`, `Error` or a debug log.
pub(super) fn of_reason(reason: &str) -> Option<Code> {
    let reason = reason.to_ascii_lowercase();
    REASONS.iter().find(|(name, _)| reason.contains(name)).map(|(_, code)| Code::new(code))
}

/// The page of a hangup cause, given as its number.
pub(super) fn of_hangup(cause: &str) -> Option<Code> {
    let page = |entry: &&CodeEntry| entry.code.as_str().strip_prefix("plivo/hangup-") == Some(cause.trim());
    PLIVO.iter().find(page).map(|entry| entry.code)
}

/// Whether an error is about audio we sent, so that the stream can go on without it.
pub(super) fn is_about_audio(code: Code) -> bool {
    ["plivo/buffer-overflow", "plivo/incorrect-payload", "plivo/invalid-content-type"]
        .contains(&code.as_str())
}

pub(super) const STREAM_ERROR: Code = Code::new("plivo/stream-error");

const REASONS: [(&str, &str); 7] = [
    ("authentication_failed", "plivo/authentication-failed"),
    ("buffer_overflow", "plivo/buffer-overflow"),
    ("connection_failed", "plivo/connection-failed"),
    ("incorrectpayload", "plivo/incorrect-payload"),
    ("incorrect_payload", "plivo/incorrect-payload"),
    ("invalid_content_type", "plivo/invalid-content-type"),
    ("connection disconnected", "plivo/dropped"),
];

pub(crate) const PLIVO: &[CodeEntry] = &[
    CodeEntry::new(
        "plivo/api-malformed",
        false,
        "Plivo's REST interface answered with something that is not what it documents.",
        "Check that the address is Plivo's and that no proxy on the way answers in its place.",
    ),
    CodeEntry::new(
        "plivo/api-refused",
        false,
        "Plivo's REST interface refused a request; its words and the HTTP status are in the message.",
        "Read Plivo's words: 400 means a parameter, 404 the call or the account; 5xx pass by themselves.",
    ),
    CodeEntry::new(
        "plivo/api-too-many",
        true,
        "More requests were made to Plivo's REST interface than it takes, 300 in 5 s.",
        "Wait as long as it asks; ask about calls less often, or spread what is done to many at once.",
    ),
    CodeEntry::new(
        "plivo/api-unauthorized",
        false,
        "Plivo's REST interface refused the Auth ID and Auth Token.",
        "Copy both again from the front page of Plivo's console; they belong together.",
    ),
    CodeEntry::new(
        "plivo/authentication-failed",
        false,
        "The server refused Plivo's upgrade because its signature check failed.",
        "Check the Auth Token, and that the signed URL is the one Plivo dialled, in its http:// form.",
    ),
    CodeEntry::new(
        "plivo/buffer-overflow",
        true,
        "Audio was sent faster than the caller can hear it, and Plivo's queue is full.",
        "Send through a `PlivoStream`, which paces; lower its lead if something else fills the queue.",
    ),
    CodeEntry::new(
        "plivo/connection-failed",
        true,
        "Plivo could not reach the stream's address: name, port, firewall, certificate, path or a tunnel that moved.",
        "Check that the wss:// address in the XML is public and current, and that its certificate is valid.",
    ),
    CodeEntry::new(
        "plivo/dropped",
        true,
        "An established stream broke off.",
        "Check the server's log for a crash and the network for loss; Plivo dials up to twice more.",
    ),
    CodeEntry::new(
        "plivo/incorrect-payload",
        false,
        "A playAudio message was not raw samples in base64 with a bare content type and a rate.",
        "Send whole raw samples, no WAV header and no `;rate=` in the content type.",
    ),
    CodeEntry::new(
        "plivo/invalid-content-type",
        false,
        "Audio of another format than the stream's was to be played.",
        "Convert to the format that `start` announced, or change `contentType` in the XML.",
    ),
    CodeEntry::new(
        "plivo/stream-error",
        false,
        "Plivo reported an error of the stream that has no name of its own.",
        "Read Plivo's words in the message, and the stream's debug log in Plivo's console.",
    ),
    CodeEntry::new(
        "plivo/too-slow",
        true,
        "The server read the stream too slowly; Plivo cut it when its 40 s buffer was full.",
        "Never block the reading of the link; watch for DegradedStream callbacks.",
    ),
    CodeEntry::new(
        "plivo/hangup-1000",
        false,
        "The call was cancelled through the API before it was answered.",
        "Nothing, unless nobody asked for it.",
    ),
    CodeEntry::new("plivo/hangup-4000", false, "The call ended normally.", "Nothing."),
    CodeEntry::new(
        "plivo/hangup-4010",
        false,
        "The XML ran out: the normal end of a stream with keepCallAlive, or a socket that was refused.",
        "If it comes within seconds, check keepCallAlive, the stream's address and the signature check.",
    ),
    CodeEntry::new(
        "plivo/hangup-6000",
        false,
        "The call reached its maximum duration.",
        "Raise `time_limit` when placing the call.",
    ),
    CodeEntry::new(
        "plivo/hangup-6020",
        true,
        "No media flowed on the call for 60 s.",
        "Check the carrier and the caller's network.",
    ),
    CodeEntry::new(
        "plivo/hangup-7011",
        true,
        "The answer URL could not be fetched.",
        "Check that it is public, answers 200 in time, and that its certificate is valid.",
    ),
    CodeEntry::new(
        "plivo/hangup-7013",
        true,
        "The transfer URL could not be fetched.",
        "Check that it is public, answers 200 in time, and that its certificate is valid.",
    ),
    CodeEntry::new(
        "plivo/hangup-8011",
        false,
        "The answer URL gave something other than one well-formed <Response>.",
        "Return XML with an XML content type, at most 100 KB.",
    ),
    CodeEntry::new(
        "plivo/hangup-8013",
        false,
        "The transfer URL gave something other than one well-formed <Response>.",
        "Return XML with an XML content type, at most 100 KB.",
    ),
];
