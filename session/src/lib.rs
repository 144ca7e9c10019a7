//! Sessions over [machines](voxline_protocol::Machine): links that come and go, a driver, handles,
//! reconnects; and the conversation they carry.
#![forbid(unsafe_code)]

mod breaker;
mod budget;
mod conversation;
mod retry;
mod supervisor;

pub use breaker::Breaker;
pub use budget::Budget;
pub use conversation::{
    BargeInPattern, BargeInPolicy, Conversation, ConversationAction, ConversationConfig, ConversationEvent,
    ConversationInput, Entry, FlushPolicy, History, Responder, ResponderError, Shares, Speaker, TurnId,
};
pub use retry::{Delays, RetryPolicy};
pub use supervisor::{LinkEnd, Next, Supervisor, VendorLimits};
