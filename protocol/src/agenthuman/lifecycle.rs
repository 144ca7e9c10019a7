//! The life of one avatar session as its owner sees it, with only the moves that exist.

use thiserror::Error;

/// Where a session is, from the first REST call to the last.
///
/// ```
/// use voxline_protocol::agenthuman::SessionState;
///
/// let state = SessionState::Idle.advance(SessionState::Creating)?;
/// assert!(!state.must_be_ended());
/// let state = state.advance(SessionState::Starting)?;
/// assert!(state.must_be_ended());
/// assert!(state.advance(SessionState::Speaking).is_err(), "it must connect first");
/// # Ok::<(), voxline_protocol::agenthuman::IllegalMove>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Nothing was asked for.
    Idle,
    /// The create call is under way.
    Creating,
    /// The start call is under way (revision A).
    Starting,
    /// The socket is being dialled.
    Connecting,
    /// `session.init` is under way.
    Initialising,
    /// Speech may be sent.
    Ready,
    /// Speech is on its way or being said.
    Speaking,
    /// The socket was lost.
    Reconnecting,
    /// The orderly end: close the socket, leave the room, end the session.
    Closing,
    /// All three are done.
    Closed,
    /// It came to nothing; whatever exists must still be closed.
    Failed,
}

/// A move that no session makes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a session cannot go from {from:?} to {to:?}")]
pub struct IllegalMove {
    /// Where it is.
    pub from: SessionState,
    /// Where it cannot go.
    pub to: SessionState,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Idle,
        Self::Creating,
        Self::Starting,
        Self::Connecting,
        Self::Initialising,
        Self::Ready,
        Self::Speaking,
        Self::Reconnecting,
        Self::Closing,
        Self::Closed,
        Self::Failed,
    ];

    /// Goes to `to`.
    ///
    /// # Errors
    /// No session makes that move.
    pub const fn advance(self, to: Self) -> Result<Self, IllegalMove> {
        let is_legal = match self {
            Self::Idle => matches!(to, Self::Creating | Self::Closed),
            Self::Creating => matches!(to, Self::Starting | Self::Connecting | Self::Closing | Self::Failed),
            Self::Starting => matches!(to, Self::Connecting | Self::Closing | Self::Failed),
            Self::Connecting => {
                matches!(to, Self::Initialising | Self::Reconnecting | Self::Closing | Self::Failed)
            }
            Self::Initialising => {
                matches!(to, Self::Ready | Self::Reconnecting | Self::Closing | Self::Failed)
            }
            Self::Ready => matches!(to, Self::Speaking | Self::Reconnecting | Self::Closing | Self::Failed),
            Self::Speaking => matches!(to, Self::Ready | Self::Reconnecting | Self::Closing | Self::Failed),
            // The same session again, by the start call in revision A, or a new one.
            Self::Reconnecting => matches!(
                to,
                Self::Creating | Self::Starting | Self::Connecting | Self::Closing | Self::Failed
            ),
            Self::Failed => matches!(to, Self::Closing),
            Self::Closing => matches!(to, Self::Closed),
            Self::Closed => false,
        };
        if is_legal { Ok(to) } else { Err(IllegalMove { from: self, to }) }
    }

    /// Whether a session exists that costs money until it is ended.
    #[must_use]
    pub const fn must_be_ended(self) -> bool {
        match self {
            Self::Idle | Self::Creating | Self::Closed => false,
            Self::Starting
            | Self::Connecting
            | Self::Initialising
            | Self::Ready
            | Self::Speaking
            | Self::Reconnecting
            | Self::Closing
            | Self::Failed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_everywhere_the_end_can_be_reached_and_nothing_follows_it() {
        for start in SessionState::ALL {
            let mut reached = vec![start];
            let mut next = 0;
            while let Some(state) = reached.get(next).copied() {
                next += 1;
                for to in SessionState::ALL {
                    if state.advance(to).is_ok() && !reached.contains(&to) {
                        reached.push(to);
                    }
                }
            }
            assert!(reached.contains(&SessionState::Closed), "{start:?}");
            assert!(SessionState::Closed.advance(start).is_err(), "{start:?}");
        }
    }

    #[test]
    fn no_paid_session_is_forgotten() {
        for from in SessionState::ALL.into_iter().filter(|state| state.must_be_ended()) {
            let is_closing = from == SessionState::Closing;
            assert_eq!(from.advance(SessionState::Closed).is_ok(), is_closing, "{from:?}");
        }
    }
}
