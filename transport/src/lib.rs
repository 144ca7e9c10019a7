//! Links that carry whole WebSocket messages: over sockets, in memory, and with faults on demand.
#![forbid(unsafe_code)]

mod error;
pub mod memory;
mod transport;

pub use error::{CODES, ConnectStage, Retry, TransportError};
pub use transport::{Connector, Incoming, Text, Transport};
