//! How an avatar's life can end badly.

use std::io;

use thiserror::Error;
use voxline_protocol::Code;
use voxline_protocol::agenthuman::{ApiError, PreflightFinding, Refusal};
use voxline_transport::EndpointError;

use crate::SessionError;
use crate::error::counted;

/// An avatar could not be had, or was lost.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum AvatarError {
    /// The service named an address that is none, or the configuration did.
    #[error("avatar's address cannot be used")]
    Address(#[from] EndpointError),
    /// A REST call failed for good.
    #[error("AgentHuman refused")]
    Api(#[from] ApiError),
    /// The avatar was not in its room, in as many sessions as the configuration allows.
    #[error("avatar stayed out of its room in {}", counted(*.sessions, "session"))]
    Away {
        /// Sessions paid for, the first included.
        sessions: u32,
    },
    /// Something was asked of an avatar that is over; [`Avatar::close`](super::Avatar::close) tells how it ended.
    #[error("avatar's session has ended")]
    Ended,
    /// The journal of open sessions cannot be kept, so no session was kept open either.
    #[error("journal of open sessions cannot be written")]
    Journal(#[source] io::Error),
    /// Link or session could not be brought back within the retry policy.
    #[error("gave up after {} to bring the avatar back", counted(*.attempts, "attempt"))]
    Lost {
        /// Attempts since speech was last confirmed.
        attempts: u32,
        /// What the last one met.
        #[source]
        last: Option<Box<Self>>,
    },
    /// A session could not be ended: it costs money until it expires, or until the next start ends it from the journal.
    #[error("session {session_id} could not be ended, and may go on costing money")]
    NotEnded {
        /// Which one.
        session_id: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The configuration cannot work; nothing was sent.
    #[error("{}", .0.iter().map(|found| format!("{}: {}; {}", found.code, found.seen, found.remedy)).collect::<Vec<_>>().join(". "))]
    Preflight(Vec<PreflightFinding>),
    /// The service would refuse this audio; it was not sent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The avatar's socket failed.
    #[error("avatar's socket failed")]
    Session(#[from] SessionError),
}

impl AvatarError {
    /// The stable name of this error: its cause's own where it has one.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Address(error) => error.code(),
            Self::Api(error) => error.code(),
            Self::Away { .. } => Code::new("daily/avatar-late"),
            Self::Ended => Code::new("session/ended"),
            Self::Journal(_) => Code::new("session/journal"),
            Self::Lost { .. } => Code::new("session/retries-exhausted"),
            Self::NotEnded { .. } => Code::new("session/not-ended"),
            Self::Preflight(findings) => findings.first().map_or(Code::new("agenthuman/avatar"), |f| f.code),
            Self::Refused(refusal) => refusal.code(),
            Self::Session(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CODES;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            AvatarError::Away { sessions: 1 }.to_string(),
            "avatar stayed out of its room in 1 session"
        );
        let lost = AvatarError::Lost { attempts: 2, last: None };
        assert_eq!(lost.to_string(), "gave up after 2 attempts to bring the avatar back");
    }

    #[test]
    fn every_code_of_ours_has_a_page() {
        let errors = [
            AvatarError::Ended,
            AvatarError::Journal(io::ErrorKind::Other.into()),
            AvatarError::Lost { attempts: 1, last: None },
            AvatarError::NotEnded { session_id: String::new(), source: ApiError::Transport },
        ];
        for error in errors {
            assert!(CODES.iter().any(|page| page.code == error.code()), "{error}");
        }
    }
}
