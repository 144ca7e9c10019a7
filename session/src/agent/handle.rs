//! The application's hand on a call that is being held.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::Say;

/// Tells the agent of one call what to say, and when to end, while it holds the call. Clones speak to the same agent.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    says: mpsc::Sender<Say>,
    ending: Arc<Notify>,
}

impl AgentHandle {
    /// A hand, and the agent's end of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Say>) {
        let (says, said) = mpsc::channel(CAPACITY);
        (Self { says, ending: Arc::default() }, said)
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

    /// Ends the call from our side: what was heard is settled, the stream's record told, and its link closed in order.
    /// Before the call's stream has started, it waits for that. A call that is over stays so.
    pub fn end(&self) {
        self.ending.notify_one();
    }

    pub(super) async fn ended(&self) {
        self.ending.notified().await;
    }
}

const CAPACITY: usize = 16;
