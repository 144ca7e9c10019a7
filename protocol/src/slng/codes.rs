//! The gateway's errors by stable name: what each means, what to do, whether trying again can help.

use crate::{Code, CodeEntry, catalogue};

/// The gateway's name for an error, in ours. Compared trimmed and without case, as the vendor's own clients do.
///
/// ```
/// use voxline_protocol::slng;
///
/// assert_eq!(slng::error_code(" Rate_Limit "), Some(slng::codes::RATE_LIMIT));
/// assert_eq!(slng::error_code("made_up"), None);
/// ```
#[must_use]
pub fn error_code(wire: &str) -> Option<Code> {
    let wire = wire.trim();
    WIRE_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(wire)).map(|(_, code)| *code)
}

/// The stable name of a WebSocket close code on a gateway link; `None` is a link that ended without a close frame.
#[must_use]
pub const fn close_code(code: Option<u16>) -> Code {
    match code {
        Some(1000) => CLOSE_NORMAL,
        Some(1008) => CLOSE_POLICY,
        Some(1009) => CLOSE_TOO_BIG,
        Some(1011) => CLOSE_INTERNAL,
        None | Some(1006) => CLOSE_ABNORMAL,
        Some(_) => CLOSE_OTHER,
    }
}

/// The stable name of an HTTP status, at the upgrade or inside an error frame.
#[must_use]
pub const fn status_code(status: u16) -> Code {
    match status {
        401 | 403 => AUTH,
        408 => IDLE_TIMEOUT,
        413 => PAYLOAD_TOO_LARGE,
        409 | 425 | 500 => UNKNOWN,
        429 => RATE_LIMIT,
        400..=499 => INVALID_REQUEST,
        502 => PROVIDER,
        503 => BACKPRESSURE,
        _ => UNKNOWN,
    }
}

/// Whether the same attempt can succeed later. A name without a page counts as retryable: the gateway adds names.
#[must_use]
pub(super) fn retryable(code: Code) -> bool {
    code.entry().is_none_or(|entry| entry.retryable)
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $code:literal $retryable:literal $meaning:literal $remedy:literal)*) => {
        $(
            $(#[$doc])*
            pub const $name: Code = Code::new($code);
        )*

        /// The gateway's part of the catalogue.
        pub(crate) const ENTRIES: &[CodeEntry] =
            &[$(catalogue::CodeEntry::new($code, $retryable, $meaning, $remedy)),*];
    };
}

codes! {
    /// The audio's own header contradicts what was asked for.
    AUDIO_FORMAT "slng/audio-format" false
        "The audio's own header names a rate or encoding other than the one asked for in `init`."
        "Ask for what the model makes, or pick a model that honours `sample_rate` and `encoding`; the audio plays too fast or too slow."
    /// `auth_error`, 401, 403.
    AUTH "slng/auth" false
        "The gateway refused the key: HTTP 401 or 403 at the upgrade, or `auth_error` after it."
        "Check that the key is active, is a speech key, was copied whole, and travels as `Authorization: Bearer`, or as `?token=` where headers cannot be set."
    /// `backend_error`.
    BACKEND "slng/backend" true
        "A service behind the gateway failed."
        "Try again with backoff; if it stays, fall back to another model."
    /// `backend_connection_failed`.
    BACKEND_CONNECTION "slng/backend-connection" true
        "The gateway could not reach the model's service."
        "Try again with backoff; if it stays, fall back to another model."
    /// `backpressure`.
    BACKPRESSURE "slng/backpressure" true
        "The gateway cannot keep up."
        "Back off before the next attempt; if it stays, choose another region or model."
    /// `X-Slng-Provider-Key` on a model the vendor hosts.
    BYOK_HOSTED "slng/byok-hosted" false
        "A provider key was given for a model that the gateway hosts itself."
        "Leave the provider key out, or use the model's name without the `slng/` prefix."
    /// No close frame at all.
    CLOSE_ABNORMAL "slng/close-abnormal" true
        "The link ended without a close frame: the network, a proxy or a crash."
        "Reconnect; what the gateway had not covered is replayed."
    /// Close code 1011.
    CLOSE_INTERNAL "slng/close-internal" true
        "The other end closed the link with 1011 because something behind it failed."
        "Reconnect with backoff."
    /// Close code 1000.
    CLOSE_NORMAL "slng/close-normal" true
        "The gateway closed the link in good order: after `close`, and on some speech routes after each utterance."
        "Nothing, if an utterance had just ended; otherwise reconnect."
    /// Any other close code.
    CLOSE_OTHER "slng/close-other" true
        "The link was closed with a code the vendor does not document."
        "Reconnect with backoff, and quote code and reason to the vendor if it recurs."
    /// Close code 1008.
    CLOSE_POLICY "slng/close-policy" true
        "The gateway closed the link with 1008: audio came before `init` or before `ready`."
        "Reconnect and hold audio until `ready`; the client here always does, so look for a proxy that delays text."
    /// Close code 1009.
    CLOSE_TOO_BIG "slng/close-too-big" false
        "A message was larger than its receiver takes."
        "Send audio in pieces of 20 to 100 ms and text in pieces of a few sentences."
    /// `config_error`.
    CONFIG "slng/config" false
        "The gateway refused the configuration in `init`."
        "Compare voice, language, encoding and rate with the model's catalogue entry; the message names the field."
    /// A JSON error where audio should be.
    ERROR_BODY "slng/error-body" true
        "An error text arrived in a binary message, where audio should be."
        "Read the message: it is the provider's own; nothing of it was played."
    /// A standalone flush without an answer.
    FLUSH_IGNORED "slng/flush-ignored" true
        "A standalone `flush` was not answered; some regional hosts honour only `flush` inside `text`."
        "Nothing: the text is spoken again with the inline form; choose the `Batch` or `Sentence` flush policy to avoid the wait."
    /// `idle_timeout_exceeded`, 408.
    IDLE_TIMEOUT "slng/idle-timeout" true
        "The gateway ended a link on which nothing had happened for too long."
        "Reconnect when it is needed; shorten the keepalive interval if it happens in a call."
    /// `invalid_request`, other 4xx.
    INVALID_REQUEST "slng/invalid-request" false
        "The gateway could not read or would not take a message."
        "Compare the message with the protocol reference; sending it again changes nothing."
    /// `max_connection_duration_exceeded`.
    MAX_DURATION "slng/max-duration" true
        "The gateway ended a link because of its age."
        "Reconnect at once; rotate links between turns to choose the moment yourself."
    /// `stt_metering_unavailable`.
    METERING "slng/metering-unavailable" true
        "The gateway's own accounting for recognition is down."
        "Try again with backoff."
    /// `clear` without `cleared`.
    NO_CLEARED "slng/no-cleared" true
        "A `clear` was not acknowledged in time, so the link could still carry old speech."
        "Nothing: the link is replaced; use a model that honours `clear` to save the reconnect."
    /// `init` without `ready`.
    NO_READY "slng/no-ready" true
        "The gateway did not answer `init` in time."
        "Try again; if it stays, check the model's name and region."
    /// A flush without an end.
    NO_TERMINAL "slng/no-terminal" true
        "The gateway fell silent before it ended an utterance."
        "Try again; if it stays, fall back to another model."
    /// `not_ready`.
    NOT_READY "slng/not-ready" true
        "A message reached the gateway before it was ready."
        "Wait for `ready`, or reconnect."
    /// `payload_too_large`, 413.
    PAYLOAD_TOO_LARGE "slng/payload-too-large" false
        "A text or an audio message exceeds what the gateway takes; every fallback would refuse it too."
        "Split the text or shorten the audio message."
    /// `pronunciation_conflict`.
    PRONUNCIATION_CONFLICT "slng/pronunciation-conflict" false
        "The pronunciation dictionary is being changed or its name is taken."
        "Name the dictionary by its id, and let the change finish."
    /// `invalid_pronunciation`.
    PRONUNCIATION_INVALID "slng/pronunciation-invalid" false
        "The pronunciation reference is malformed."
        "Give exactly one of a name or an id."
    /// `pronunciation_not_found`.
    PRONUNCIATION_NOT_FOUND "slng/pronunciation-not-found" false
        "The pronunciation dictionary does not exist for this account."
        "Check the dictionary's name and the account of the key."
    /// `pronunciation_unauthenticated`.
    PRONUNCIATION_UNAUTHENTICATED "slng/pronunciation-unauthenticated" false
        "The key may not use pronunciation dictionaries."
        "Use a key of the account that owns the dictionary."
    /// `pronunciation_unavailable`.
    PRONUNCIATION_UNAVAILABLE "slng/pronunciation-unavailable" true
        "The dictionary service is down."
        "Try again with backoff, or speak without the dictionary."
    /// `provider_error`, 502.
    PROVIDER "slng/provider" true
        "The speech provider behind the gateway failed."
        "Try again; if it stays, fall back to another model."
    /// An upstream 401 or 403.
    PROVIDER_AUTH "slng/provider-auth" false
        "The provider behind the gateway refused the provider key; the gateway's own key was accepted."
        "Check the key given as `X-Slng-Provider-Key`, or leave it out."
    /// `rate_limit`, `rate_limit_exceeded`, 429.
    RATE_LIMIT "slng/rate-limit" true
        "Too many requests or open links for this account."
        "Back off; every open link counts, a warm standby too, so lower the pool's size or raise the quota."
    /// Audio nobody asked for.
    STRAY_AUDIO "slng/stray-audio" true
        "Audio arrived when no text was owed any, so nothing tells whose it is."
        "Nothing: it was dropped and the link is replaced before more is spoken."
    /// `translation_error`.
    TRANSLATION "slng/translation" true
        "The gateway could not translate a message between its dialect and the provider's."
        "Try again once or twice; if it stays, report it with the session id."
    /// A name this version does not know.
    UNKNOWN "slng/unknown-error" true
        "The gateway reported an error without a name this version knows."
        "Read the message; quote the session id to the vendor."
}

/// What the gateway calls them.
const WIRE_NAMES: &[(&str, Code)] = &[
    ("auth_error", AUTH),
    ("backend_connection_failed", BACKEND_CONNECTION),
    ("backend_error", BACKEND),
    ("backpressure", BACKPRESSURE),
    ("config_error", CONFIG),
    ("idle_timeout_exceeded", IDLE_TIMEOUT),
    ("invalid_pronunciation", PRONUNCIATION_INVALID),
    ("invalid_request", INVALID_REQUEST),
    ("max_connection_duration_exceeded", MAX_DURATION),
    ("not_ready", NOT_READY),
    ("payload_too_large", PAYLOAD_TOO_LARGE),
    ("pronunciation_conflict", PRONUNCIATION_CONFLICT),
    ("pronunciation_not_found", PRONUNCIATION_NOT_FOUND),
    ("pronunciation_unauthenticated", PRONUNCIATION_UNAUTHENTICATED),
    ("pronunciation_unavailable", PRONUNCIATION_UNAVAILABLE),
    ("provider_error", PROVIDER),
    ("rate_limit", RATE_LIMIT),
    ("rate_limit_exceeded", RATE_LIMIT),
    ("stt_metering_unavailable", METERING),
    ("translation_error", TRANSLATION),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_on_the_wire_has_a_page() {
        for (wire, code) in WIRE_NAMES {
            assert!(code.entry().is_some(), "{wire}");
        }
        for close in [None, Some(1000), Some(1006), Some(1008), Some(1009), Some(1011), Some(4001)] {
            assert!(close_code(close).entry().is_some(), "{close:?}");
        }
        for status in 400..600 {
            assert!(status_code(status).entry().is_some(), "{status}");
        }
    }

    /// The vendor's clients treat a 4xx as final, except 408, 409, 425 and 429.
    #[test]
    fn a_client_error_is_final_except_where_time_helps() {
        for status in 400..500 {
            let expected = matches!(status, 408 | 409 | 425 | 429);
            assert_eq!(retryable(status_code(status)), expected, "{status}");
        }
        assert!((500..600).all(|status| retryable(status_code(status))));
    }
}
