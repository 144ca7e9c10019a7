//! Daily: the room the avatar appears in.
//!
//! A room of AgentHuman's own domain (revision A) comes as an address and a token, nothing more; a
//! room of yours (revision B) can also be asked by REST and reports by webhook. What goes on inside
//! is seen only by somebody in the room, so [`RoomEvent`]s come from a page or a native SDK as JSON,
//! and [`RoomMonitor`] makes a verdict of them, whichever feeders there are.

mod codes;
mod desk;
mod event;
mod monitor;
mod presence;
mod room;
mod token;
mod tracks;
mod webhook;

pub(crate) use codes::CODES;
pub use desk::DailyDesk;
pub use event::{
    ErrorKind, NetworkState, Participant, RoomError, RoomEvent, Subscription, Track, TrackKind, TrackState,
};
pub use monitor::{AvatarIdentity, RoomMonitor, RoomMonitorConfig, RoomState, RoomVerdict};
pub use presence::{DailyApi, DailyApiError, Present};
pub use room::RoomUrl;
pub use token::{RoomFinding, TokenClaims};
pub use tracks::VideoPolicy;
pub use webhook::{Webhook, WebhookError, WebhookEvent, WebhookKey};
