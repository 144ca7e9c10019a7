//! The application's hand on a call that is being held.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::Say;

/// Tells the agent of one call what to say, and when to end, while it holds the call. Clones speak to the same agent.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    asks: mpsc::Sender<Ask>,
    ending: Arc<Notify>,
}

/// Words that wait for the agent, and whoever waits with them.
#[derive(Debug)]
struct Ask {
    say: Say,
    taken: oneshot::Sender<()>,
}

impl AgentHandle {
    /// A hand, and the agent's end of it.
    pub(super) fn new() -> (Self, Asks) {
        let (asks, asked) = mpsc::channel(CAPACITY);
        (Self { asks, ending: Arc::default() }, Asks(asked))
    }

    /// Has the agent say this now, in place of what it says or thinks of: the synthesis session stays, and what was
    /// cut counts as far as it was heard (I02). Before the call's stream has started, it waits for that.
    ///
    /// Ready once the agent has taken the words, whose turn then ends with an event; or once it never will, at the
    /// latest with the end of the call. Cancel-safe: dropped before they were taken, nothing is said.
    ///
    /// # Errors
    /// The call is over, or was before the agent came to the words; they are given back.
    pub async fn say(&self, say: Say) -> Result<(), NotSaid> {
        let (taken, is_taken) = oneshot::channel();
        let ask = Ask { say: say.clone(), taken };
        if self.asks.send(ask).await.is_ok() && is_taken.await.is_ok() {
            Ok(())
        } else {
            Err(NotSaid { say })
        }
    }

    /// Ends the call from our side: what was heard is settled, words the agent has not come to are refused, the stream's
    /// record is told, and its link closed in order. Before the call's stream has started, it waits for that. A call that is over stays so.
    pub fn end(&self) {
        self.ending.notify_one();
    }

    pub(super) async fn ended(&self) {
        self.ending.notified().await;
    }
}

/// The call ended before this was said.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the call is over")]
pub struct NotSaid {
    /// What was to be said.
    pub say: Say,
}

/// The agent's end of its handles.
#[derive(Debug)]
pub(super) struct Asks(mpsc::Receiver<Ask>);

impl Asks {
    /// The next words somebody still wants said. Cancel-safe: whoever asked for them learns here that they are taken.
    pub(super) async fn next(&mut self) -> Option<Say> {
        while let Some(Ask { say, taken }) = self.0.recv().await {
            // Whoever has left wants them no more.
            if taken.send(()).is_ok() {
                return Some(say);
            }
        }
        None
    }

    /// Nobody hears anything any more: whoever waits to be heard learns it now.
    pub(super) fn refuse(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

/// Words that wait for the agent, which takes them at its every turn; more wait for room.
const CAPACITY: usize = 16;
