//! Links without a socket: for tests, for simulations on a paused clock, and inside one process.

mod network;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{Sink, Stream};
use voxline_protocol::{CloseFrame, Message};

pub use self::network::{MemoryConnector, MemoryExchange, MemoryListener, Network};
use crate::{Incoming, Text, TransportError};

/// Two ends of one link; what goes into one comes out of the other.
///
/// Each direction holds `capacity` messages (at least one) and then pushes back, as a full socket
/// does. It behaves like a WebSocket otherwise too: a close is answered by the end that reads it,
/// and an end dropped without one is a reset for the other, after what was already sent.
///
/// ```
/// use futures::{SinkExt, StreamExt};
/// use voxline_protocol::Message;
/// use voxline_transport::{Incoming, memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), voxline_transport::TransportError> {
/// let (mut ours, mut theirs) = memory::pair(8);
/// ours.send(Message::Text("hello".into())).await?;
/// assert_eq!(theirs.next().await.transpose()?, Some(Incoming::Text("hello".into())));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn pair(capacity: usize) -> (MemoryTransport, MemoryTransport) {
    let (there, back) = (Pipe::new(capacity), Pipe::new(capacity));
    (
        MemoryTransport { outgoing: Arc::clone(&there), incoming: Arc::clone(&back), ended: false },
        MemoryTransport { outgoing: back, incoming: there, ended: false },
    )
}

/// One end of a link in memory; see [`pair`].
pub struct MemoryTransport {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    ended: bool,
}

impl Stream for MemoryTransport {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let arrived = {
            let mut pipe = self.incoming.lock();
            match pipe.queue.pop_front() {
                Some(message) => {
                    pipe.wake_writer();
                    Some(message)
                }
                None if pipe.end == End::Open => {
                    pipe.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                None => None,
            }
        };
        Poll::Ready(Some(match arrived {
            Some(Message::Text(text)) => Ok(Incoming::Text(Text::from(text))),
            Some(Message::Binary(bytes)) => Ok(Incoming::Binary(bytes)),
            Some(Message::Close(frame)) => {
                self.ended = true;
                self.outgoing.lock().close(frame.clone());
                Ok(Incoming::Closed(Some(frame)))
            }
            None => {
                self.ended = true;
                self.outgoing.lock().cut();
                Err(TransportError::reset("the other end of the link was dropped"))
            }
        }))
    }
}

impl Sink<Message> for MemoryTransport {
    type Error = TransportError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let mut pipe = self.outgoing.lock();
        match pipe.end {
            End::Open if pipe.queue.len() < pipe.capacity => Poll::Ready(Ok(())),
            End::Open => {
                pipe.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            End::Closed => Poll::Ready(Err(TransportError::Closed)),
            End::Cut => Poll::Ready(Err(TransportError::reset("the other end of the link was dropped"))),
        }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        let mut pipe = self.outgoing.lock();
        match (pipe.end, message) {
            (End::Open, Message::Close(frame)) => pipe.close(frame),
            (End::Open, message @ (Message::Text(_) | Message::Binary(_))) => {
                pipe.queue.push_back(message);
                pipe.wake_reader();
            }
            (End::Closed, _) => return Err(TransportError::Closed),
            (End::Cut, _) => return Err(TransportError::reset("the other end of the link was dropped")),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.lock().close(CloseFrame::normal());
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.outgoing.lock().cut();
        let mut incoming = self.incoming.lock();
        incoming.queue.clear();
        incoming.cut();
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("queued_out", &self.outgoing.lock().queue.len())
            .field("queued_in", &self.incoming.lock().queue.len())
            .finish()
    }
}

/// One direction.
struct Pipe(Mutex<PipeState>);

struct PipeState {
    queue: VecDeque<Message>,
    capacity: usize,
    end: End,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Whether a direction takes more. What is queued is delivered in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// A close frame is the last in the queue, or was.
    Closed,
    /// An end was dropped.
    Cut,
}

impl Pipe {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(PipeState {
            queue: VecDeque::new(),
            capacity: capacity.max(1),
            end: End::Open,
            reader: None,
            writer: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        // No code that holds the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PipeState {
    /// Queues the last message, whatever the capacity; a second close changes nothing.
    fn close(&mut self, frame: CloseFrame) {
        if self.end == End::Open {
            self.end = End::Closed;
            self.queue.push_back(Message::Close(frame));
            self.wake_both();
        }
    }

    fn cut(&mut self) {
        if self.end == End::Open {
            self.end = End::Cut;
        }
        self.wake_both();
    }

    fn wake_both(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{FutureExt, SinkExt, StreamExt};

    use super::*;

    fn binary(byte: u8) -> Message {
        Message::Binary(Bytes::from(vec![byte]))
    }

    #[tokio::test]
    async fn messages_arrive_in_order_both_ways() {
        let (mut a, mut b) = pair(4);
        for byte in 0..4 {
            a.send(binary(byte)).await.unwrap();
            b.send(Message::Text(byte.to_string())).await.unwrap();
        }
        for byte in 0..4 {
            assert_eq!(b.next().await.unwrap().unwrap(), Incoming::Binary(Bytes::from(vec![byte])));
            assert_eq!(a.next().await.unwrap().unwrap(), Incoming::Text(byte.to_string().into()));
        }
    }

    #[tokio::test]
    async fn a_full_link_pushes_back_until_the_other_end_reads() {
        let (mut a, mut b) = pair(2);
        a.send(binary(0)).await.unwrap();
        a.send(binary(1)).await.unwrap();
        let mut third = Box::pin(a.send(binary(2)));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(b.next().await.is_some());
        third.await.unwrap();
    }

    #[tokio::test]
    async fn a_close_is_answered_and_ends_both_streams() {
        let (mut a, mut b) = pair(1);
        a.send(Message::Close(CloseFrame::new(1000, "done"))).await.unwrap();
        let closed = Incoming::Closed(Some(CloseFrame::new(1000, "done")));
        assert_eq!(b.next().await.unwrap().unwrap(), closed);
        assert!(b.next().await.is_none());
        assert_eq!(a.next().await.unwrap().unwrap(), closed);
        assert!(a.next().await.is_none());
        assert!(matches!(a.send(binary(0)).await, Err(TransportError::Closed)));
        assert!(matches!(b.send(binary(0)).await, Err(TransportError::Closed)));
    }

    #[tokio::test]
    async fn a_dropped_end_is_a_reset_after_what_it_had_sent() {
        let (mut a, mut b) = pair(2);
        a.send(binary(7)).await.unwrap();
        drop(a);
        assert!(matches!(b.next().await, Some(Ok(Incoming::Binary(_)))));
        assert!(matches!(b.next().await, Some(Err(TransportError::Reset(_)))));
        assert!(b.next().await.is_none());
        assert!(matches!(b.send(binary(0)).await, Err(TransportError::Reset(_))));
    }

    #[tokio::test]
    async fn a_blocked_sender_learns_of_the_drop() {
        let (mut a, b) = pair(1);
        a.send(binary(0)).await.unwrap();
        let mut blocked = Box::pin(a.send(binary(1)));
        assert!(blocked.as_mut().now_or_never().is_none());
        drop(b);
        assert!(matches!(blocked.await, Err(TransportError::Reset(_))));
    }
}
