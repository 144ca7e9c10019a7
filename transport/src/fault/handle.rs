//! Faults by hand: break this link, now.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::task::AtomicWaker;

/// Breaks links at the moment it is told to. Clones control the same links.
///
/// ```
/// use futures::StreamExt;
/// use voxline_transport::{FaultHandle, FaultPlan, Faulty, TransportError, memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handle = FaultHandle::new();
/// let (ours, _theirs) = memory::pair(8);
/// let mut ours = Faulty::new(ours, FaultPlan::new(0), &handle);
/// handle.cut();
/// assert!(matches!(ours.next().await, Some(Err(TransportError::Reset(_)))));
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FaultHandle(Arc<Mutex<Controlled>>);

impl FaultHandle {
    /// A handle without links yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Breaks every open link: both ends see a reset.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Silences every open link, for good and without telling anybody.
    pub fn black_hole(&self) {
        self.order(Order::BlackHole);
    }

    /// Stops every open link until [`Self::resume`].
    pub fn stall(&self) {
        self.order(Order::Stall);
    }

    /// Lets stalled links move again.
    pub fn resume(&self) {
        self.order(Order::Run);
    }

    /// Cuts every open link and makes every dial fail until [`Self::come_back`].
    pub fn go_down(&self) {
        self.lock().down = true;
        self.cut();
    }

    /// Lets dials succeed again.
    pub fn come_back(&self) {
        self.lock().down = false;
    }

    /// How many links under this handle are open.
    #[must_use]
    pub fn open_links(&self) -> usize {
        self.lock().links.iter().filter_map(Weak::upgrade).filter(|link| link.order() != Order::Cut).count()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.lock().down
    }

    pub(crate) fn register(&self) -> Arc<Control> {
        let link = Arc::new(Control::default());
        let mut controlled = self.lock();
        controlled.links.retain(|link| link.strong_count() > 0);
        controlled.links.push(Arc::downgrade(&link));
        link
    }

    fn order(&self, order: Order) {
        let links: Vec<_> = self.lock().links.iter().filter_map(Weak::upgrade).collect();
        for link in links {
            link.give(order);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Controlled> {
        // A list and a flag are whole after any panic of their user.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Controlled {
    links: Vec<Weak<Control>>,
    down: bool,
}

/// What one link was told to do, and whom to wake when it is told.
#[derive(Debug, Default)]
pub(crate) struct Control {
    order: AtomicU8,
    pub(crate) reader: AtomicWaker,
    pub(crate) writer: AtomicWaker,
}

/// In the order of severity: a link that is cut stays cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Run,
    Stall,
    BlackHole,
    Cut,
}

impl Control {
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Run,
            1 => Order::Stall,
            2 => Order::BlackHole,
            _ => Order::Cut,
        }
    }

    pub(crate) fn give(&self, order: Order) {
        let current = self.order();
        // An order that changes nothing wakes nobody: a link that gives itself its due one at every poll would
        // have itself polled for ever.
        if order == current || (current > Order::Stall && order < current) {
            return;
        }
        self.order.store(order as u8, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }
}
