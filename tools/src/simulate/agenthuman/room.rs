//! The rooms the simulated avatars are in, as Daily tells of them.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use voxline_protocol::agenthuman::RoomAccess;
use voxline_protocol::daily::{DailyApi, DailyDesk, Present, RoomUrl};

#[derive(Debug)]
pub(super) struct Rooms {
    desk: DailyDesk,
    /// By session of the avatar service, the avatar's own in its room.
    avatars: BTreeMap<String, String>,
    joins: u64,
    /// By path, what was told last and when, for as long as it is told again. `None` if every answer is fresh.
    told: Option<BTreeMap<String, (Instant, Response<Bytes>)>>,
}

impl Rooms {
    pub(super) fn new(key: &str, is_stale: bool) -> Self {
        let told = is_stale.then(BTreeMap::new);
        Self { desk: DailyDesk::new(key), avatars: BTreeMap::new(), joins: 0, told }
    }

    /// The avatar of a session comes in, if it is not there already and the room is one of Daily's.
    pub(super) fn join(&mut self, session: &str, room: Option<RoomAccess>) {
        let Some(room) = room.filter(|_| !self.avatars.contains_key(session)) else { return };
        let Ok((url, _)) = RoomUrl::parse(&room.url) else { return };
        self.joins += 1;
        let mut avatar = Present::default();
        avatar.session_id = format!("avatar-{}", self.joins);
        avatar.user_name = Some(room.display_name);
        self.avatars.insert(session.to_owned(), avatar.session_id.clone());
        self.desk.join(url.name(), avatar);
    }

    /// The avatars of all other sessions leave.
    pub(super) fn retain(&mut self, running: &[String]) {
        let desk = &mut self.desk;
        self.avatars.retain(|session, avatar| {
            let stays = running.contains(session);
            if !stays {
                desk.leave(avatar);
            }
            stays
        });
    }

    /// All avatars vanish, and do not come back.
    pub(super) fn clear(&mut self) {
        self.avatars.values().for_each(|avatar| self.desk.leave(avatar));
    }

    pub(super) fn present(&self, room: &str) -> usize {
        self.desk.present(room).len()
    }

    pub(super) const fn ejections(&self) -> u64 {
        self.desk.ejected()
    }

    pub(super) fn handle(&mut self, now: Instant, request: &Request<Bytes>) -> Response<Bytes> {
        let response = self.desk.handle(request);
        let Some(told) = &mut self.told else { return response };
        if request.method() != Method::GET || !response.status().is_success() {
            return response;
        }
        told.retain(|_, (at, _)| now.saturating_duration_since(*at) < DailyApi::PRESENCE_INTERVAL);
        told.entry(request.uri().path().to_owned()).or_insert((now, response)).1.clone()
    }
}
