//! Sessions over [machines](voxline_protocol::Machine): links that come and go, a driver, handles,
//! reconnects; and the conversation they carry.
#![forbid(unsafe_code)]

mod agent;
mod avatar;
mod breaker;
mod budget;
mod conversation;
mod driver;
mod error;
mod failover;
mod handle;
mod limits;
mod metrics;
mod phone;
mod pool;
mod retry;
mod session;
mod shared;
mod source;
mod supervisor;

pub use agent::{
    Agent, AgentConfig, AgentError, AgentEvent, AgentHandle, Leg, LegEvent, NotSaid, Output, StreamEnd,
    StreamRecord,
};
pub use avatar::{Avatar, AvatarConfig, AvatarError, AvatarNotice, AvatarSeat, Journal};
pub use breaker::Breaker;
pub use budget::Budget;
pub use conversation::{
    BackChannels, BargeInPattern, BargeInPolicy, Conversation, ConversationAction, ConversationConfig,
    ConversationEvent, ConversationInput, Entry, Filler, FlushPolicy, History, IdlePrompts, Interruption,
    Responder, ResponderError, Say, Shares, Speaker, TurnId,
};
pub use driver::Driver;
pub use error::{CODES, SessionError, TrySendError, Wait};
pub use failover::Failover;
pub use handle::{Receiver, Sender};
pub use limits::VendorLimits;
pub use metrics::Metrics;
pub use phone::{Admission, PhoneCalls};
pub use pool::{Lease, Pool, PoolConfig, PoolStatus, Probe, Slot};
pub use retry::{Delays, RetryPolicy};
pub use session::{Adopter, Builder, Session, SessionConfig, SessionEvent};
pub use supervisor::{LinkEnd, Next, Supervisor};
