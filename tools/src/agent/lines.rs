//! The lines of a phone agent: how many calls it holds, and what each is told from beside its stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use voxline_protocol::plivo::{CallId, DegradedLevel, StreamCallback, StreamNotice};
use voxline_transport::RoundTrip;

#[derive(Debug)]
pub(super) struct Lines {
    room: Arc<Semaphore>,
    is_closed: watch::Sender<bool>,
    taken: AtomicUsize,
    live: watch::Sender<HashMap<CallId, Feed>>,
}

/// What a call follows.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: watch::Receiver<Option<DegradedLevel>>,
    pub(super) round_trip: watch::Receiver<RoundTrip>,
}

#[derive(Debug)]
struct Feed {
    level: watch::Sender<Option<DegradedLevel>>,
    round_trip: watch::Sender<RoundTrip>,
}

impl Lines {
    pub(super) fn new(calls: usize) -> Self {
        let room = Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS)));
        Self {
            room,
            is_closed: watch::Sender::default(),
            taken: AtomicUsize::new(0),
            live: watch::Sender::default(),
        }
    }

    /// A line for one more call, free again when this is dropped.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Takes no more calls.
    pub(super) fn close(&self) {
        self.room.close();
        self.is_closed.send_replace(true);
    }

    /// Waits until no more calls are taken.
    pub(super) async fn closed(&self) {
        // The sender is ours, and so never gone.
        let _ = self.is_closed.subscribe().wait_for(|is_closed| *is_closed).await;
    }

    /// Why there is no room.
    pub(super) fn refusal(&self) -> &'static str {
        if self.room.is_closed() { "the agent is shutting down" } else { "all lines are taken" }
    }

    /// Begins a call on a link with this round trip; gives its number, counted from 1.
    pub(super) fn take(&self, call: &CallId, round_trip: RoundTrip) -> (usize, Line) {
        let (level, levels) = watch::channel(None);
        let (round_trip, round_trips) = watch::channel(round_trip);
        self.live.send_modify(|live| _ = live.insert(call.clone(), Feed { level, round_trip }));
        let number = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        (number, Line { level: levels, round_trip: round_trips })
    }

    /// The call is over.
    pub(super) fn free(&self, call: &CallId) {
        self.live.send_modify(|live| _ = live.remove(call));
    }

    pub(super) fn holds(&self, call: &CallId) -> bool {
        self.live.borrow().contains_key(call)
    }

    /// The call goes on over another link.
    pub(super) fn relink(&self, call: &CallId, round_trip: RoundTrip) {
        if let Some(feed) = self.live.borrow().get(call) {
            feed.round_trip.send_replace(round_trip);
        }
    }

    /// Acts on a status callback: logs what is in order, warns of what is not, and tells the call of a slow link.
    pub(super) fn notice(&self, callback: &StreamCallback) {
        let (call, stream) = (&callback.call_id, &callback.stream_id);
        match &callback.notice {
            StreamNotice::Degraded(level) => {
                tracing::warn!(%call, %stream, ?level, "the provider cannot get rid of its audio");
                if let Some(feed) = self.live.borrow().get(call) {
                    feed.level.send_replace(*level);
                }
            }
            StreamNotice::Dropped(reason) => tracing::warn!(%call, %stream, ?reason, "the stream broke off"),
            StreamNotice::Other(event) => tracing::debug!(%call, %stream, event, "unknown status"),
            notice @ (StreamNotice::Started | StreamNotice::Stopped(_) | _) => {
                tracing::info!(%call, %stream, ?notice, "stream");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_until_its_call_is_over() {
        let lines = Lines::new(1);
        let room = lines.room();
        assert!(room.is_some() && lines.room().is_none());
        drop(room);
        assert!(lines.room().is_some());
        assert_eq!(lines.refusal(), "all lines are taken");
        lines.close();
        assert!(lines.room().is_none());
        assert_eq!(lines.refusal(), "the agent is shutting down");
    }

    #[tokio::test]
    async fn a_call_follows_the_link_it_has_now() {
        let (lines, call) = (Lines::new(1), CallId::from("c-1"));
        let (number, mut line) = lines.take(&call, RoundTrip::default());
        assert!(number == 1 && lines.holds(&call));
        lines.relink(&CallId::from("c-2"), RoundTrip::default());
        assert!(!line.round_trip.has_changed().unwrap(), "another call's link");
        lines.relink(&call, RoundTrip::default());
        assert!(line.round_trip.has_changed().unwrap());
        line.round_trip.mark_unchanged();
        lines.free(&call);
        assert!(line.round_trip.has_changed().is_err(), "a call that is over follows nothing");
    }
}
