//! What every link is: a stream of messages in, a sink of messages out.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use voxline_protocol::{CloseFrame, Message};

use crate::TransportError;

/// A duplex link that carries whole WebSocket messages.
///
/// A name for a bundle of bounds: every type that has them is one. What an implementation
/// promises beyond the bounds, and what every one in this crate keeps:
///
/// - **In.** Messages in the order sent. [`Incoming::Closed`] or an `Err` comes once, at the end;
///   after it the stream yields `None`. Dropping a pending `next()` loses nothing.
/// - **Out.** `poll_ready` is `Ready` only once the link has taken the message before, so that at
///   most one message waits where a barge-in cannot reach it. A message given to `start_send`
///   leaves whole, even when the future that sent it is dropped.
/// - **End.** After [`Message::Close`] nothing more may be sent; keep reading until the peer's
///   own close arrives; a socket gives it [`close_timeout`](crate::WebSocketConfig::close_timeout).
///   A peer's close is answered by the link itself.
pub trait Transport:
    Stream<Item = Result<Incoming, TransportError>>
    + Sink<Message, Error = TransportError>
    + Send
    + Unpin
    + 'static
{
}

impl<T> Transport for T where
    T: Stream<Item = Result<Incoming, TransportError>>
        + Sink<Message, Error = TransportError>
        + Send
        + Unpin
        + 'static
{
}

/// Opens links: the seam for tests, pools and reconnects.
pub trait Connector: Send + Sync + 'static {
    /// The link it opens.
    type Transport: Transport;

    /// Opens one link, within a limit of its own: whoever waits for it sets no other.
    ///
    /// Cancel-safe: a dropped attempt closes what it had opened and leaves nothing behind.
    ///
    /// # Errors
    /// The peer could not be reached, refused, or took too long; [`TransportError::retry`] says
    /// whether another attempt can help.
    fn connect(&self) -> impl Future<Output = Result<Self::Transport, TransportError>> + Send;
}

/// What arrives. Pings and pongs stay below this line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new kind must break every driver's build")]
pub enum Incoming {
    /// One whole binary message.
    Binary(Bytes),
    /// The orderly end, with the peer's reason if it gave one. Always last.
    Closed(Option<CloseFrame>),
    /// One whole text message.
    Text(Text),
}

/// Text as it arrived: checked UTF-8 that shares the receive buffer.
///
/// ```
/// use voxline_transport::Text;
///
/// let text = Text::from(String::from(r#"{"type":"ready"}"#));
/// assert_eq!(text.as_str().len(), 16);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Utf8Bytes);

impl Text {
    pub(crate) const fn new(bytes: Utf8Bytes) -> Self {
        Self(bytes)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Text {
    /// Takes the string's buffer; nothing is copied.
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
