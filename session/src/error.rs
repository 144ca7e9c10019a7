//! How a session can end badly, and the page of every such end.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use voxline_protocol::{CloseFrame, Code, CodeEntry, ProtocolError};
use voxline_transport::TransportError;

/// A session ended badly, or could not be had.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum SessionError {
    /// The task that drove the session was stopped from outside: its runtime shut down, its future
    /// was dropped, or it panicked.
    #[error("session was stopped before its end")]
    Aborted,
    /// A command was given, or an event awaited, after the session's end.
    #[error("session has ended")]
    Ended,
    /// The vendor is down, or asked to be left alone, and nobody may dial yet. Nothing was tried.
    #[error("dials to this vendor are held back for {wait:?}")]
    HeldBack {
        /// Until it is worth asking again.
        wait: Duration,
    },
    /// The peer closed the only link, and nothing can bring another.
    #[error("peer closed the link{}", Because(.frame))]
    LinkClosed {
        /// The peer's close frame, if it sent one.
        frame: Option<CloseFrame>,
    },
    /// The pool is closed, or was closed while waiting for it.
    #[error("pool is closed")]
    PoolClosed,
    /// No session became free in time.
    #[error("no session became free within {limit:?} ({in_use} of {max} in use)")]
    PoolTimeout {
        /// How long we waited.
        limit: Duration,
        /// Sessions lent or being opened at that moment.
        in_use: usize,
        /// The most there may be.
        max: usize,
    },
    /// The peer broke the protocol.
    #[error("peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The supervisor gave up.
    #[error("gave up after {} over {elapsed:?}", counted(*.attempts, "redial"))]
    RetriesExhausted {
        /// Redials since a link last proved good.
        attempts: u32,
        /// Time since a link last proved good.
        elapsed: Duration,
        /// What the last one died of.
        #[source]
        last: Box<Self>,
    },
    /// One of our own waits ran out.
    #[error("{wait} took longer than {limit:?}")]
    Timeout {
        /// What we waited for.
        wait: Wait,
        /// The limit from the session's configuration.
        limit: Duration,
    },
    /// The link could not be opened, or broke.
    #[error("link failed")]
    Transport(#[from] TransportError),
}

impl SessionError {
    /// The stable name of this error: its cause's own where it has one. Its page is in [`CODES`],
    /// or in the same list of the cause's crate.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Aborted => Code::new("session/aborted"),
            Self::Ended => Code::new("session/ended"),
            Self::HeldBack { .. } => Code::new("session/held-back"),
            Self::LinkClosed { .. } => Code::new("session/link-closed"),
            Self::PoolClosed => Code::new("session/pool-closed"),
            Self::PoolTimeout { .. } => Code::new("session/pool-timeout"),
            Self::Protocol(error) => error.code(),
            Self::RetriesExhausted { .. } => Code::new("session/retries-exhausted"),
            Self::Timeout { wait: Wait::Adoption, .. } => Code::new("session/not-adopted"),
            Self::Timeout { wait: Wait::Close, .. } => Code::new("session/close-timeout"),
            Self::Timeout { wait: Wait::Send, .. } => Code::new("session/send-stalled"),
            Self::Transport(error) => error.code(),
        }
    }
}

/// The waits of a session that have a limit of their own.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For another link, after the accepted one was lost.
    Adoption,
    /// For the orderly end, once it was asked for.
    Close,
    /// For the link to take a message.
    Send,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adoption => "waiting for another link",
            Self::Close => "closing",
            Self::Send => "sending a message",
        })
    }
}

/// A command that was not queued, given back.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrySendError<C> {
    /// The session has ended.
    #[error("session has ended")]
    Ended(C),
    /// The command queue is full.
    #[error("command queue is full; use `send` to wait for room")]
    Full(C),
}

impl<C> TrySendError<C> {
    /// The command.
    pub fn into_command(self) -> C {
        match self {
            Self::Ended(command) | Self::Full(command) => command,
        }
    }
}

/// `: close 1000 (words)` where the peer said so.
struct Because<'a>(&'a Option<CloseFrame>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(frame) => write!(f, ": {frame}"),
            None => Ok(()),
        }
    }
}

/// A page for every code of this crate.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::new(
        "session/aborted",
        true,
        "The task that drove the session stopped before the session ended.",
        "Look for a panic in the log, or for a runtime that shut down with calls on it.",
    ),
    CodeEntry::new(
        "session/close-timeout",
        true,
        "The peer did not let the session end in order, so it was cut.",
        "Check the peer's health; raise the close limit only if its last words are worth waiting for.",
    ),
    CodeEntry::new(
        "session/ended",
        false,
        "A session that is over was used.",
        "Open a new session, or take one from the pool.",
    ),
    CodeEntry::new(
        "session/held-back",
        true,
        "So many dials to this vendor failed in a row, or it asked to be left alone, that new ones are held back for a moment.",
        "Answer the call without this vendor or refuse it; the sessions that wait will notice when the vendor is back.",
    ),
    CodeEntry::new(
        "session/journal",
        false,
        "The journal of open avatar sessions cannot be written, so the session was ended at once.",
        "Make its folder writable, or name another one.",
    ),
    CodeEntry::new(
        "session/link-closed",
        true,
        "The peer closed the only link of a session that cannot dial.",
        "Read the close frame; nothing is wrong if the call was meant to end.",
    ),
    CodeEntry::new(
        "session/not-adopted",
        true,
        "An accepted link was lost, and the peer did not dial again within the grace time.",
        "Check that the peer is set to dial again, and that its new link reaches this process.",
    ),
    CodeEntry::new(
        "session/not-ended",
        true,
        "A paid session could not be ended by REST, and may go on costing money until it expires.",
        "Start again with the same journal, which ends it; else end it on the vendor's dashboard.",
    ),
    CodeEntry::new(
        "session/pool-closed",
        false,
        "A session was asked of a pool that is closing.",
        "Stop asking before closing the pool.",
    ),
    CodeEntry::new(
        "session/pool-timeout",
        true,
        "Every session of the pool stayed in use, or none could be opened, until the limit.",
        "Raise the pool's size if the vendor allows it, return leases sooner, or refuse calls earlier.",
    ),
    CodeEntry::new(
        "session/retries-exhausted",
        true,
        "The link was lost and could not be brought back within the retry policy.",
        "Read the cause for what the last attempt met; check the vendor's status and the network.",
    ),
    CodeEntry::new(
        "session/send-stalled",
        true,
        "The link took no message for the whole limit: its peer has stopped reading.",
        "Check the peer and the path to it; the link is replaced where the session can dial.",
    ),
];

/// So many of these, in words that fit one of them too.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<SessionError>() <= 80, "{}", size_of::<SessionError>());
    }

    #[test]
    fn every_code_of_ours_has_a_page() {
        let limit = Duration::from_secs(1);
        let timeouts = [Wait::Adoption, Wait::Close, Wait::Send];
        let errors = [
            SessionError::Aborted,
            SessionError::Ended,
            SessionError::HeldBack { wait: limit },
            SessionError::LinkClosed { frame: None },
            SessionError::PoolClosed,
            SessionError::PoolTimeout { limit, in_use: 1, max: 1 },
            SessionError::RetriesExhausted {
                attempts: 1,
                elapsed: limit,
                last: Box::new(SessionError::Aborted),
            },
        ];
        let timeouts = timeouts.map(|wait| SessionError::Timeout { wait, limit });
        let codes: Vec<Code> = errors.iter().chain(&timeouts).map(SessionError::code).collect();
        for code in codes {
            assert!(CODES.iter().any(|page| page.code == code), "{code}");
        }
    }

    #[test]
    fn a_closed_link_says_what_the_peer_said() {
        let error = SessionError::LinkClosed { frame: Some(CloseFrame::new(1008, "no credit")) };
        assert_eq!(error.to_string(), "peer closed the link: close 1008 (no credit)");
        assert_eq!(SessionError::LinkClosed { frame: None }.to_string(), "peer closed the link");
    }
}
