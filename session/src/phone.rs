//! The calls of a phone server: which stream that arrives belongs to which of them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::timeout;
use voxline_protocol::plivo::{CallId, PlivoConfig, PlivoStream, StartError, StreamInfo};
use voxline_protocol::{Awaited, CloseFrame, Message, ProtocolError};
use voxline_transport::{Incoming, Transport, TransportError};

use crate::driver::now;
use crate::{Adopter, Session, SessionConfig, SessionError};

/// Takes the streams Plivo dials, and gives each to its call: a new session for a new call, and for a call that
/// lives the session it has, so that a redial goes on where the lost link broke off (P16).
///
/// Clones are the same calls. A call whose session is over is forgotten.
///
/// ```
/// use futures::SinkExt;
/// use voxline_protocol::Message;
/// use voxline_protocol::plivo::PlivoConfig;
/// use voxline_session::{Admission, PhoneCalls, SessionConfig};
/// use voxline_transport::memory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let calls = PhoneCalls::new(PlivoConfig::default(), SessionConfig::default());
/// let start = r#"{"event":"start","start":{"callId":"c-1","streamId":"s-1",
///     "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;
/// let (link, mut plivo) = memory::pair(8);
/// plivo.send(Message::Text(start.into())).await?;
/// let Admission::Call { info, session } = calls.admit(link, None).await? else { panic!("a new call") };
/// assert_eq!(info.call_id.as_str(), "c-1");
///
/// let (link, mut plivo) = memory::pair(8);
/// plivo.send(Message::Text(start.into())).await?;
/// assert!(matches!(calls.admit(link, None).await?, Admission::Redial { .. }), "the call lives");
/// # Ok(())
/// # }
/// ```
pub struct PhoneCalls<T>(Arc<Calls<T>>);

struct Calls<T> {
    stream: PlivoConfig,
    session: SessionConfig,
    live: Mutex<HashMap<CallId, Arc<Adopter<Begun<T>>>>>,
}

/// Where a stream went.
#[non_exhaustive]
#[derive(Debug)]
pub enum Admission {
    /// The first of its call.
    Call {
        /// What the stream says about itself.
        info: StreamInfo,
        /// The call, live over every redial: it ends when Plivo hangs up, or no longer dials.
        session: Session<PlivoStream>,
    },
    /// Another link of a live call, which has it now.
    Redial {
        /// What the stream says about itself.
        info: StreamInfo,
    },
}

impl<T: Transport> PhoneCalls<T> {
    /// No calls yet; each will behave as `stream` and `session` say.
    #[must_use]
    pub fn new(stream: PlivoConfig, session: SessionConfig) -> Self {
        Self(Arc::new(Calls { stream, session, live: Mutex::default() }))
    }

    /// Reads a link up to its `start` and gives it to its call. A `bound` link must be of that call, as one that
    /// was let in by a token issued for it.
    ///
    /// Waits at most [`PlivoConfig::start_timeout`]. Not cancel-safe: dropped, it closes the link.
    ///
    /// # Errors
    /// The link ended, failed, or did not start in time; its `start` cannot be used, or is another call's. The
    /// link is closed by policy (1008), and Plivo may dial again.
    pub async fn admit(&self, link: T, bound: Option<&CallId>) -> Result<Admission, SessionError> {
        let mut link = Begun { link, early: VecDeque::new() };
        let limit = self.0.stream.start_timeout;
        let late = || Err(ProtocolError::Timeout { awaited: Awaited::Start, limit }.into());
        let begun = timeout(limit, link.begin()).await.unwrap_or_else(|_| late());
        let begun = begun.and_then(|info| match bound {
            Some(call) if *call != info.call_id => {
                Err(ProtocolError::Unexpected { got: "start", state: "serving another call" }.into())
            }
            _ => Ok(info),
        });
        match begun {
            Ok(info) => Ok(self.place(info, link).await),
            Err(error) => {
                link.refuse(&error).await;
                Err(error)
            }
        }
    }

    /// How many calls live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.lock().values().filter(|call| !call.is_closed()).count()
    }

    async fn place(&self, info: StreamInfo, mut link: Begun<T>) -> Admission {
        loop {
            let adopter = {
                let mut live = self.lock();
                live.retain(|_, call| !call.is_closed());
                match live.get(&info.call_id) {
                    Some(adopter) => Arc::clone(adopter),
                    None => {
                        let (session, adopter) = self.begin(link);
                        live.insert(info.call_id.clone(), Arc::new(adopter));
                        return Admission::Call { info, session };
                    }
                }
            };
            match adopter.adopt(link).await {
                Ok(()) => return Admission::Redial { info },
                // It ended meanwhile, and is forgotten in the next round.
                Err(returned) => link = returned,
            }
        }
    }

    fn begin(&self, link: Begun<T>) -> (Session<PlivoStream>, Adopter<Begun<T>>) {
        let stream = PlivoStream::new(self.0.stream.clone(), now());
        // The machine knows when a call is over; the session only makes sure.
        let grace = self.0.stream.redial_timeout.saturating_add(SLACK);
        Session::builder(stream).config(self.0.session.clone()).accept_adoptable(link, grace)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Adopter<Begun<T>>>>> {
        // A map is whole after any panic of its user.
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for PhoneCalls<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for PhoneCalls<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneCalls").field("stream", &self.0.stream).finish_non_exhaustive()
    }
}

/// A link of which the beginning was read, and will be read again.
struct Begun<T> {
    link: T,
    early: VecDeque<Incoming>,
}

impl<T: Transport> Begun<T> {
    /// Reads up to `start`. What comes before it is the machine's to judge, within bounds.
    async fn begin(&mut self) -> Result<StreamInfo, SessionError> {
        while self.early.len() < MAX_EARLY {
            let message = match self.link.next().await {
                Some(Ok(Incoming::Closed(frame))) => return Err(SessionError::LinkClosed { frame }),
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(SessionError::LinkClosed { frame: None }),
            };
            let read = match &message {
                Incoming::Text(text) => {
                    Some((StreamInfo::from_start(text.as_str()), text.as_str().contains("\"start\"")))
                }
                Incoming::Binary(_) | Incoming::Closed(_) => None,
            };
            self.early.push_back(message);
            match read {
                Some((Ok(info), _)) => return Ok(info),
                Some((Err(StartError::UnsupportedAudio { what }), _)) => {
                    return Err(ProtocolError::UnsupportedAudio { what }.into());
                }
                Some((Err(StartError::Malformed(source)), true)) => {
                    return Err(ProtocolError::Malformed { kind: "start", source }.into());
                }
                Some((Err(_), _)) | None => {}
            }
        }
        Err(ProtocolError::Unexpected { got: "message", state: "awaiting `start`" }.into())
    }

    async fn refuse(&mut self, error: &SessionError) {
        // Every other error is a link that is gone.
        let SessionError::Protocol(error) = error else { return };
        let close = Message::Close(CloseFrame::new(CloseFrame::POLICY_VIOLATION, error.to_string()));
        // A peer that takes no close frame gets none.
        let _ = timeout(SLACK, self.link.send(close)).await;
    }
}

impl<T: Transport> Stream for Begun<T> {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.early.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => self.link.poll_next_unpin(cx),
        }
    }
}

impl<T: Transport> Sink<Message> for Begun<T> {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        self.link.start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.poll_close_unpin(cx)
    }
}

/// Messages before `start`; Plivo sends none.
const MAX_EARLY: usize = 64;
const SLACK: Duration = Duration::from_secs(1);
