//! A WebSocket as a link: RFC 6455 over any byte stream, with pings and without a hidden buffer.

mod accept;
mod config;
mod connect;
mod upgrade;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError as FrameError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{self, Role};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use voxline_protocol::{CloseFrame, Message};

pub use self::accept::{ListenError, ListenerConfig, WebSocketExchange, WebSocketListener};
pub use self::config::{StageTimeouts, WebSocketConfig};
pub use self::connect::WebSocketConnector;
pub(crate) use self::connect::upgrade_request;
pub use self::upgrade::answer_upgrade;
use crate::io::{BoxIo, LinkIo};
use crate::keepalive::{Due, Keepalive, RoundTrip};
use crate::{Incoming, Text, TransportError};

/// An open WebSocket, of either side.
///
/// Pings are sent, answered and judged while the stream is polled: a link nobody reads from is
/// neither pinged nor given up. A message waits in no buffer of ours: `start_send` writes it, and
/// `poll_ready` is `Ready` again once the operating system has all of it, through TLS.
///
/// To be polled from one task, or split with `futures`' `StreamExt::split`.
pub struct WebSocket {
    inner: WebSocketStream<LinkIo>,
    state: State,
    unflushed: bool,
    max_message_size: usize,
    close_timeout: Duration,
    /// Runs since we began to close.
    parting: Option<Pin<Box<Sleep>>>,
    watch: Option<Watch>,
    round_trip: RoundTrip,
    /// Whoever waits for room, to be woken when the reading side made it.
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our close is sent; the peer's answer is awaited.
    Closing,
    /// The last item was delivered.
    Ended,
}

/// The ping schedule and the timer that serves it.
struct Watch {
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
}

impl WebSocket {
    /// Speaks the server's side over a stream that some HTTP stack has already upgraded, with the
    /// response that [`answer_upgrade`] makes.
    ///
    /// Ready at once; it is `async` because it must run inside a Tokio runtime, for its timer.
    pub async fn from_upgraded<S>(stream: S, config: &WebSocketConfig) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::new(Box::new(stream), BytesMut::new(), Role::Server, config).await
    }

    /// Speaks the client's side over a stream on which something else has made the upgrade: a tunnel of your own, a
    /// local socket, a network in memory.
    ///
    /// Ready at once; it is `async` because it must run inside a Tokio runtime, for its timer.
    pub async fn from_dialled<S>(stream: S, config: &WebSocketConfig) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::new(Box::new(stream), BytesMut::new(), Role::Client, config).await
    }

    /// The measured round trip, to be kept when the link is given away.
    #[must_use]
    pub fn round_trip(&self) -> RoundTrip {
        self.round_trip.clone()
    }

    /// Takes over after the handshake; `early` is what was read past it.
    async fn new(io: BoxIo, early: BytesMut, role: Role, config: &WebSocketConfig) -> Self {
        let limits = protocol::WebSocketConfig::default()
            .read_buffer_size(config.read_buffer_size)
            // Nought writes every message at once, so that none waits behind our back.
            .write_buffer_size(0)
            .max_write_buffer_size(config.max_message_size.saturating_add(CONTROL_BYTES))
            .max_message_size(Some(config.max_message_size))
            .max_frame_size(Some(config.max_message_size));
        let io = LinkIo::new(io);
        Self {
            inner: WebSocketStream::from_partially_read(io, early.into(), role, Some(limits)).await,
            state: State::Open,
            unflushed: false,
            max_message_size: config.max_message_size,
            close_timeout: config.close_timeout,
            parting: None,
            watch: config
                .ping_interval
                .filter(|interval| !interval.is_zero())
                .map(|interval| Watch::new(interval, config.ping_misses)),
            round_trip: RoundTrip::default(),
            writer: None,
        }
    }

    /// Reads one message, or finds that the socket has none.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Incoming, TransportError>>> {
        for _ in 0..CONTROL_FRAMES_PER_POLL {
            let polled = Pin::new(&mut self.inner).poll_next(cx);
            self.note_heard();
            match ready!(polled) {
                Some(Ok(WsMessage::Binary(bytes))) => return Poll::Ready(Some(Ok(Incoming::Binary(bytes)))),
                Some(Ok(WsMessage::Text(text))) => {
                    return Poll::Ready(Some(Ok(Incoming::Text(Text::new(text)))));
                }
                Some(Ok(WsMessage::Close(frame))) => {
                    let frame = frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.as_str()));
                    return Poll::Ready(Some(Ok(self.on_closed(cx, frame))));
                }
                Some(Ok(WsMessage::Pong(payload))) => self.note_pong(&payload),
                // The answer to a ping is written by the next read or write.
                Some(Ok(WsMessage::Ping(_) | WsMessage::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(self.on_read_error(cx, error))),
                None => return Poll::Ready(Some(self.on_read_error(cx, WsError::ConnectionClosed))),
            }
        }
        // A peer that floods us with pings must not starve the other tasks.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, frame: Option<CloseFrame>) -> Incoming {
        self.state = State::Ended;
        // Our answer to the close is a few bytes; where even these find no room, nobody reads them.
        let _ = Pin::new(&mut self.inner).poll_flush(cx);
        Incoming::Closed(frame)
    }

    fn on_read_error(&mut self, cx: &mut Context<'_>, error: WsError) -> Result<Incoming, TransportError> {
        let closing = self.state == State::Closing;
        self.state = State::Ended;
        let ended = matches!(
            error,
            WsError::ConnectionClosed
                | WsError::AlreadyClosed
                | WsError::Io(_)
                | WsError::Protocol(FrameError::ResetWithoutClosingHandshake)
        );
        // We asked for the end; that it came without the answering frame changes nothing.
        if closing && ended {
            return Ok(Incoming::Closed(None));
        }
        if let Some(code) = complaint(&error) {
            let frame = protocol::CloseFrame { code, reason: "".into() };
            let sent = Pin::new(&mut self.inner).start_send(WsMessage::Close(Some(frame)));
            // A courtesy to the peer; the link is over whether it hears of it or not.
            let _ = sent.map(|()| Pin::new(&mut self.inner).poll_flush(cx));
        }
        Err(to_error(error))
    }

    fn note_heard(&mut self) {
        let heard = self.inner.get_mut().take_heard();
        if let Some(watch) = self.watch.as_mut().filter(|_| heard) {
            watch.keepalive.handle_heard(Instant::now().into_std());
        }
    }

    fn note_pong(&mut self, payload: &[u8]) {
        if let Some(watch) = &mut self.watch {
            watch.keepalive.handle_pong(Instant::now().into_std(), payload);
            if let Some(measured) = watch.keepalive.round_trip() {
                self.round_trip.set(measured);
                tracing::trace!(round_trip = ?measured, "pong");
            }
        }
    }

    /// Pings when it is time; called when the socket had nothing more to read.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Result<(), TransportError> {
        let Some(watch) = self.watch.as_mut().filter(|_| self.state == State::Open) else {
            return Ok(());
        };
        while watch.timer.as_mut().poll(cx).is_ready() {
            match watch.keepalive.handle_timeout(Instant::now().into_std()) {
                Due::Gone { silent } => {
                    self.state = State::Ended;
                    return Err(TransportError::Unresponsive { silent });
                }
                Due::Ping(payload) => {
                    let ping = WsMessage::Ping(Bytes::copy_from_slice(&payload));
                    match Pin::new(&mut self.inner).start_send(ping) {
                        // A full buffer means that the peer reads nothing; the miss will be counted.
                        Ok(()) | Err(WsError::WriteBufferFull(_)) => self.unflushed = true,
                        Err(error) => {
                            self.state = State::Ended;
                            return Err(to_error(error));
                        }
                    }
                }
                Due::Nothing => {}
            }
            watch.timer.as_mut().reset(watch.keepalive.poll_timeout().into());
        }
        Ok(())
    }

    /// Pushes a ping of ours out; wakes whoever waits for room, whose waker this replaces below.
    fn poll_push(&mut self, cx: &mut Context<'_>) {
        if self.unflushed && self.watch.is_some() && Pin::new(&mut self.inner).poll_flush(cx).is_ready() {
            self.unflushed = false;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    /// The peer has so long to take its leave, counted from the first call.
    fn start_parting(&mut self) {
        self.parting.get_or_insert_with(|| Box::pin(sleep(self.close_timeout)));
    }

    fn is_parting_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.parting.as_mut().is_some_and(|parting| parting.as_mut().poll(cx).is_ready())
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Pending if self.is_parting_over(cx) => {
                self.state = State::Ended;
                Poll::Ready(Err(TransportError::Unresponsive { silent: self.close_timeout }))
            }
            Poll::Pending => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(result) => {
                self.unflushed = false;
                Poll::Ready(result.map_err(to_error))
            }
        }
    }
}

impl Stream for WebSocket {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(item) = self.poll_message(cx) {
            return Poll::Ready(item);
        }
        if let Err(error) = self.poll_watch(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        self.poll_push(cx);
        // We asked for the end; that the peer has no answer changes nothing.
        if self.state == State::Closing && self.is_parting_over(cx) {
            self.state = State::Ended;
            return Poll::Ready(Some(Ok(Incoming::Closed(None))));
        }
        Poll::Pending
    }
}

impl Sink<Message> for WebSocket {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self.state {
            State::Open => self.poll_written(cx),
            State::Closing | State::Ended => Poll::Ready(Err(TransportError::Closed)),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        if self.state != State::Open {
            return Err(TransportError::Closed);
        }
        let (size, max) = (size(&message), self.max_message_size);
        if size > max {
            return Err(TransportError::TooLarge { size, max });
        }
        let message = match message {
            Message::Text(text) => WsMessage::Text(text.into()),
            Message::Binary(bytes) => WsMessage::Binary(bytes),
            Message::Close(frame) => {
                self.state = State::Closing;
                self.start_parting();
                WsMessage::Close(to_close(&frame))
            }
        };
        self.unflushed = true;
        Pin::new(&mut self.inner).start_send(message).map_err(to_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_written(cx)
    }

    /// Sends a normal close if none was sent, and waits until it is written, no longer than
    /// [`WebSocketConfig::close_timeout`]. The peer's answer comes by the stream, within the same limit.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.state == State::Open {
            self.start_parting();
            ready!(self.poll_written(cx))?;
            self.as_mut().start_send(Message::Close(CloseFrame::normal()))?;
        }
        self.poll_written(cx)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("state", &self.state)
            .field("round_trip", &self.round_trip)
            .finish_non_exhaustive()
    }
}

impl Watch {
    fn new(interval: Duration, misses: u32) -> Self {
        let keepalive = Keepalive::new(Instant::now().into_std(), interval, misses);
        Self { timer: Box::pin(sleep_until(keepalive.poll_timeout().into())), keepalive }
    }
}

const fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

/// RFC 6455 §5.5: a control frame holds 125 bytes, two of which are the code. §7.4: some codes stand for a close
/// without one, or for none at all, and never travel; what says such a code says it by leaving it out.
fn to_close(frame: &CloseFrame) -> Option<protocol::CloseFrame> {
    let code = CloseCode::from(frame.code);
    if !code.is_allowed() {
        return None;
    }
    let mut end = frame.reason.len().min(CLOSE_REASON_BYTES);
    while !frame.reason.is_char_boundary(end) {
        end -= 1;
    }
    Some(protocol::CloseFrame { code, reason: frame.reason[..end].into() })
}

/// What to close with after the peer's mistake: RFC 6455 §7.4.1.
fn complaint(error: &WsError) -> Option<CloseCode> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's enum; only these are the peer's mistakes"
    )]
    match error {
        WsError::Capacity(_) => Some(CloseCode::Size),
        WsError::Protocol(FrameError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        _ => None,
    }
}

fn to_error(error: WsError) -> TransportError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum; the rest is all about frames")]
    match error {
        WsError::Io(error) => TransportError::Reset(error),
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size: max }) => {
            TransportError::TooLarge { size, max }
        }
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(FrameError::ResetWithoutClosingHandshake) => {
            TransportError::reset("the peer closed the connection without a close frame")
        }
        WsError::Protocol(FrameError::SendAfterClosing) => TransportError::Closed,
        other => TransportError::Framing(Box::new(other)),
    }
}

const CLOSE_REASON_BYTES: usize = 123;
/// Room for a full message's header, and for the control frames that may stand behind it.
const CONTROL_BYTES: usize = 4 << 10;
const CONTROL_FRAMES_PER_POLL: usize = 32;
