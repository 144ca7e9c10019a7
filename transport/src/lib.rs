//! Links that carry whole WebSocket messages: over sockets, in memory, and with faults on demand.
//!
//! | to | over sockets | in memory |
//! | --- | --- | --- |
//! | open links ([`Connector`]) | [`WebSocketConnector`] | [`memory::MemoryConnector`] |
//! | take links and requests ([`Acceptor`], [`Exchange`]) | [`WebSocketListener`] | [`memory::MemoryListener`] |
//! | send plain requests ([`Requester`]) | [`HttpClient`] | [`memory::Network`] |
//! | have a link without opening one | [`answer_upgrade`], [`WebSocket::from_upgraded`] | [`memory::pair`] |
//! | break links ([`FaultPlan`], [`FaultHandle`]) | [`Faulty`], [`FaultyConnector`] | the same |
//!
//! Code that is generic over the traits in the first column runs unchanged on both: in production
//! on sockets, in tests on a paused clock. What every link promises stands at [`Transport`].
//!
//! ```
//! use futures::{SinkExt, StreamExt};
//! use voxline_protocol::Message;
//! use voxline_transport::{Acceptor, Connector, Endpoint, Exchange, Incoming};
//! use voxline_transport::{TransportError, WebSocketConnector, WebSocketListener};
//!
//! /// Answers one message with itself, on any kind of link.
//! async fn echo(acceptor: &mut impl Acceptor) -> Result<(), TransportError> {
//!     let Some(exchange) = acceptor.accept().await else { return Ok(()) };
//!     let mut link = exchange.upgrade().await?;
//!     while let Some(Incoming::Text(text)) = link.next().await.transpose()? {
//!         link.send(Message::Text(text.as_str().to_owned())).await?;
//!     }
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut listener = WebSocketListener::bind("127.0.0.1:0").await?;
//! let endpoint = Endpoint::parse(&format!("ws://{}/", listener.local_address()))?;
//! let client = async {
//!     let mut link = WebSocketConnector::new(endpoint).connect().await?;
//!     link.send(Message::Text("hello".into())).await?;
//!     let answer = link.next().await.transpose()?;
//!     link.close().await?;
//!     while link.next().await.is_some() {} // until the peer's own close
//!     Ok::<_, TransportError>(answer)
//! };
//! let (answer, echoed) = tokio::join!(client, echo(&mut listener));
//! echoed?;
//! assert_eq!(answer?, Some(Incoming::Text("hello".into())));
//! # Ok(())
//! # }
//! ```
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
    WebSocketExchange, WebSocketListener, answer_upgrade,
};
