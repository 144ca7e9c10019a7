//! Links that carry whole WebSocket messages: over sockets, in memory, and with faults on demand.
#![forbid(unsafe_code)]

mod client;
mod dial;
mod endpoint;
mod error;
mod exchange;
mod fault;
mod http1;
mod io;
mod keepalive;
mod key;
pub mod memory;
mod proxy;
mod tls;
mod transport;
mod websocket;

pub use client::{HttpClient, Requester};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CODES, ConnectStage, Retry, TransportError};
pub use exchange::{Acceptor, Exchange, text_response};
pub use fault::{FaultHandle, FaultPlan, Faulty, FaultyConnector, Stall};
pub use keepalive::RoundTrip;
pub use key::Key;
pub use proxy::Proxy;
pub use tls::{ClientTls, ServerTls, TlsError};
pub use transport::{Connector, Incoming, Text, Transport};
pub use websocket::{
    ListenError, ListenerConfig, StageTimeouts, WebSocket, WebSocketConfig, WebSocketConnector,
    WebSocketExchange, WebSocketListener,
};
