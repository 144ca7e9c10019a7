//! Sans-IO state machines for real-time voice over WebSockets, both sides of every protocol.
#![forbid(unsafe_code)]

pub mod agenthuman;
mod catalogue;
pub mod daily;
mod dice;
mod error;
mod json;
mod life;
mod machine;
pub mod plivo;
mod secret;
pub mod slng;
mod timer;

pub use catalogue::{CATALOGUE, Code, CodeEntry};
pub use dice::Dice;
pub use error::{Awaited, CommandError, DecodeError, ProtocolError};
pub use life::{Epoch, LinkLife, UtteranceId};
pub use machine::{CloseFrame, Input, LinkProof, Machine, Message};
pub use secret::{Secret, SecretError};
pub use timer::{TimerKind, Timers};
