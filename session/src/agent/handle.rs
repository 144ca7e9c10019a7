//! The application's hand on a call that is being held.

use tokio::sync::mpsc;

use crate::Say;

/// Tells the agent of one call what to say, while it holds the call. Clones speak to the same agent.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    says: mpsc::Sender<Say>,
}

impl AgentHandle {
    /// A hand, and the agent's end of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Say>) {
        let (says, said) = mpsc::channel(CAPACITY);
        (Self { says }, said)
    }

    /// Has the agent say this now, in place of what it says or thinks of: the synthesis session stays, and what was
    /// cut counts as far as it was heard (I02). Before the call's stream has started, it waits for that.
    ///
    /// Waits while 16 others wait. Cancel-safe: dropped while waiting, nothing is said.
    ///
    /// # Errors
    /// The call is over; the words are given back.
    pub async fn say(&self, say: Say) -> Result<(), Say> {
        self.says.send(say).await.map_err(|refused| refused.0)
    }
}

const CAPACITY: usize = 16;
