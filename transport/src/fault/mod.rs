//! A link with faults, for tests, simulators and rehearsals.

mod handle;
mod plan;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep_until};
use voxline_protocol::{Dice, Message};

pub use self::handle::FaultHandle;
use self::handle::{Control, Order};
pub use self::plan::{FaultPlan, Stall};
use crate::{Connector, Incoming, Text, Transport, TransportError};

/// A link that breaks as planned, or when its [`FaultHandle`] says so.
///
/// Damage is done to what arrives; wrap the other end to damage the other direction. A message
/// that is delayed when the link is cut is lost, as it would be in a network.
pub struct Faulty<T> {
    /// `None` once cut: dropping it is what the other end sees.
    inner: Option<T>,
    plan: FaultPlan,
    dice: Dice,
    control: Arc<Control>,
    cut_at: Option<Instant>,
    black_hole_at: Option<Instant>,
    /// The pause under way, or the next one.
    pause: Option<(Instant, Instant)>,
    delayed: VecDeque<(Instant, Item)>,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Pin<Box<Sleep>>,
    ended: bool,
}

type Item = Result<Incoming, TransportError>;

impl<T: Transport> Faulty<T> {
    /// Wraps an open link, whose age starts now.
    ///
    /// Must be called inside a Tokio runtime, for its timers.
    #[must_use]
    pub fn new(inner: T, plan: FaultPlan, handle: &FaultHandle) -> Self {
        let now = Instant::now();
        let mut dice = Dice::new(plan.seed);
        let cut_at = plan.cut.as_ref().map(|range| now + dice.between(*range.start(), *range.end()));
        let black_hole_at =
            plan.black_hole.as_ref().map(|range| now + dice.between(*range.start(), *range.end()));
        let pause = next_pause(&plan, &mut dice, now);
        Self {
            inner: Some(inner),
            plan,
            dice,
            control: handle.register(),
            cut_at,
            black_hole_at,
            pause,
            delayed: VecDeque::new(),
            read_timer: Box::pin(sleep_until(now)),
            write_timer: Box::pin(sleep_until(now)),
            ended: false,
        }
    }

    /// What the link does at this moment. Cutting and silence are for good.
    fn fate(&mut self, now: Instant) -> Order {
        if self.cut_at.is_some_and(|at| now >= at) {
            self.control.give(Order::Cut);
        } else if self.black_hole_at.is_some_and(|at| now >= at) {
            self.control.give(Order::BlackHole);
        }
        while let Some((_, until)) = self.pause.filter(|(_, until)| now >= *until) {
            self.pause = next_pause(&self.plan, &mut self.dice, until);
        }
        match self.control.order() {
            Order::Run if self.pause.is_some_and(|(from, _)| now >= from) => Order::Stall,
            Order::Cut => {
                self.inner = None;
                Order::Cut
            }
            order @ (Order::Run | Order::Stall | Order::BlackHole) => order,
        }
    }

    /// When the fate may change by itself.
    fn next_change(&self, now: Instant) -> Option<Instant> {
        let pause = self.pause.map(|(from, until)| if now < from { from } else { until });
        [self.cut_at, self.black_hole_at, pause].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Takes what has arrived off the inner link, each with the moment it is due.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) {
        while self.delayed.len() < DELAYED_MESSAGES {
            let Some(inner) = &mut self.inner else { return };
            let Poll::Ready(Some(item)) = Pin::new(inner).poll_next(cx) else { return };
            let item = match item {
                Ok(Incoming::Closed(_)) if self.plan.drop_close => {
                    Err(TransportError::reset("close frame lost"))
                }
                Ok(message) if self.plan.garble > 0.0 && self.dice.unit() < self.plan.garble => {
                    Ok(garbled(message, &mut self.dice))
                }
                item => item,
            };
            let delay = self.plan.delay.as_ref().map(|range| self.dice.between(*range.start(), *range.end()));
            let due = delay.map_or(now, |delay| now + delay);
            let last = self.delayed.back().map_or(due, |(last, _)| *last);
            self.delayed.push_back((due.max(last), item));
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.control.reader.register(cx.waker());
        loop {
            let now = Instant::now();
            let mut wake_at = None;
            match self.fate(now) {
                Order::Cut => return Poll::Ready(Some(Err(cut()))),
                Order::BlackHole => self.delayed.clear(),
                Order::Stall => {}
                Order::Run => {
                    self.receive(cx, now);
                    match self.delayed.front() {
                        Some((due, _)) if *due <= now => {
                            return Poll::Ready(self.delayed.pop_front().map(|(_, item)| item));
                        }
                        Some((due, _)) => wake_at = Some(*due),
                        None => {}
                    }
                }
            }
            let Some(at) = [wake_at, self.next_change(now)].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            self.read_timer.as_mut().reset(at);
            ready!(self.read_timer.as_mut().poll(cx));
        }
    }

    /// Waits until the link moves; `Ready(false)` means that what is sent vanishes.
    fn poll_moving(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, TransportError>> {
        self.control.writer.register(cx.waker());
        loop {
            let now = Instant::now();
            match self.fate(now) {
                Order::Cut => return Poll::Ready(Err(cut())),
                Order::BlackHole => return Poll::Ready(Ok(false)),
                Order::Run => return Poll::Ready(Ok(true)),
                Order::Stall => {}
            }
            let Some(at) = self.next_change(now) else { return Poll::Pending };
            self.write_timer.as_mut().reset(at);
            ready!(self.write_timer.as_mut().poll(cx));
        }
    }

    /// Runs one step of the inner sink, unless what is sent vanishes.
    fn poll_sink(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<Result<(), TransportError>>,
    ) -> Poll<Result<(), TransportError>> {
        let moving = ready!(self.poll_moving(cx))?;
        match &mut self.inner {
            Some(inner) if moving => step(Pin::new(inner), cx),
            Some(_) | None => Poll::Ready(Ok(())),
        }
    }
}

impl<T: Transport> Stream for Faulty<T> {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_item(cx));
        self.ended = !matches!(item, Some(Ok(Incoming::Binary(_) | Incoming::Text(_))));
        Poll::Ready(item)
    }
}

impl<T: Transport> Sink<Message> for Faulty<T> {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_sink(cx, |inner, cx| inner.poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), TransportError> {
        match (self.fate(Instant::now()), &mut self.inner) {
            (Order::Cut, _) | (_, None) => Err(cut()),
            (Order::BlackHole, Some(_)) => Ok(()),
            (Order::Run | Order::Stall, Some(inner)) => Pin::new(inner).start_send(message),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_sink(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_sink(cx, |inner, cx| inner.poll_close(cx))
    }
}

impl<T: fmt::Debug> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("plan", &self.plan)
            .field("delayed", &self.delayed.len())
            .finish_non_exhaustive()
    }
}

/// Opens links with faults: each link has its own draw from the plan's seed.
#[derive(Debug)]
pub struct FaultyConnector<C> {
    inner: C,
    plan: FaultPlan,
    handle: FaultHandle,
    dialled: AtomicU64,
}

impl<C: Connector> FaultyConnector<C> {
    /// Wraps a connector.
    #[must_use]
    pub const fn new(inner: C, plan: FaultPlan, handle: FaultHandle) -> Self {
        Self { inner, plan, handle, dialled: AtomicU64::new(0) }
    }
}

impl<C: Connector> Connector for FaultyConnector<C> {
    type Transport = Faulty<C::Transport>;

    fn connect(&self) -> impl Future<Output = Result<Self::Transport, TransportError>> + Send {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        async move {
            if self.handle.is_down() {
                let source = io::ErrorKind::ConnectionRefused.into();
                return Err(TransportError::Unreachable { authority: "the faulty link".to_owned(), source });
            }
            let link = self.inner.connect().await?;
            Ok(Faulty::new(link, self.plan.for_link(number), &self.handle))
        }
    }
}

fn next_pause(plan: &FaultPlan, dice: &mut Dice, after: Instant) -> Option<(Instant, Instant)> {
    let stall = plan.stall.as_ref()?;
    let from = after + dice.between(*stall.every.start(), *stall.every.end());
    // At least a moment, so that the schedule moves on whatever the ranges say.
    let lasting =
        dice.between(*stall.lasting.start(), *stall.lasting.end()).max(std::time::Duration::from_micros(1));
    Some((from, from + lasting))
}

/// Damages a message the way a broken peer does: text loses its end, audio has a byte changed.
fn garbled(message: Incoming, dice: &mut Dice) -> Incoming {
    match message {
        Incoming::Text(text) if !text.as_str().is_empty() => {
            let mut end = dice.within(0..text.as_str().len() as u64) as usize;
            while !text.as_str().is_char_boundary(end) {
                end -= 1;
            }
            Incoming::Text(Text::from(&text.as_str()[..end]))
        }
        Incoming::Binary(bytes) if !bytes.is_empty() => {
            let mut bytes = BytesMut::from(bytes);
            let at = dice.within(0..bytes.len() as u64) as usize;
            bytes[at] ^= 0x55;
            Incoming::Binary(Bytes::from(bytes))
        }
        message @ (Incoming::Binary(_) | Incoming::Closed(_) | Incoming::Text(_)) => message,
    }
}

fn cut() -> TransportError {
    TransportError::reset("link cut by the fault plan")
}

/// Delayed messages held at most; then the inner link is left to push back.
const DELAYED_MESSAGES: usize = 1024;

#[cfg(test)]
mod tests;
