//! Daily's REST service for a simulator: who is in which room, told and put out.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Present;

/// The rooms of one domain and who is in them, behind Daily's presence and eject calls.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::daily::{DailyApi, DailyDesk, Present, RoomUrl};
///
/// let mut desk = DailyDesk::new("daily-key");
/// let mut avatar = Present::default();
/// avatar.session_id = "s1".to_owned();
/// desk.join("demo", avatar);
///
/// let (room, _) = RoomUrl::parse("https://mine.daily.co/demo")?;
/// let api = DailyApi::new(Secret::new("daily-key")?);
/// let present = DailyApi::read_presence(&desk.handle(&api.presence(&room)))?;
/// assert_eq!(present.len(), 1);
/// desk.handle(&api.eject(&room, "s1"));
/// assert!(desk.present("demo").is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DailyDesk {
    key: String,
    rooms: BTreeMap<String, Vec<Present>>,
    ejected: u64,
}

impl DailyDesk {
    /// A domain with empty rooms, for whoever has this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), rooms: BTreeMap::new(), ejected: 0 }
    }

    /// Somebody comes into a room.
    pub fn join(&mut self, room: &str, who: Present) {
        self.rooms.entry(room.to_owned()).or_default().push(who);
    }

    /// Somebody is gone, from whichever room.
    pub fn leave(&mut self, session_id: &str) {
        for people in self.rooms.values_mut() {
            people.retain(|one| one.session_id != session_id);
        }
        self.rooms.retain(|_, people| !people.is_empty());
    }

    /// Who is in a room.
    #[must_use]
    pub fn present(&self, room: &str) -> &[Present] {
        self.rooms.get(room).map_or(&[], Vec::as_slice)
    }

    /// How many were put out by the eject call.
    #[must_use]
    pub const fn ejected(&self) -> u64 {
        self.ejected
    }

    /// Answers one call.
    pub fn handle(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let key = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(key) = key.and_then(|text| text.strip_prefix("Bearer ")) else {
            return refused(StatusCode::BAD_REQUEST, "authorization-header-error");
        };
        if key != self.key {
            return refused(StatusCode::UNAUTHORIZED, "authentication-error");
        }
        let path = request.uri().path();
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        match (request.method(), &parts[..]) {
            (&Method::GET, ["v1", "rooms", room, "presence"]) => {
                let people = self.present(room);
                ok(&json!({ "total_count": people.len(), "data": people }))
            }
            (&Method::POST, ["v1", "rooms", room, "eject"]) => self.eject(room, request.body()),
            _ => refused(StatusCode::NOT_FOUND, "not-found"),
        }
    }

    fn eject(&mut self, room: &str, body: &[u8]) -> Response<Bytes> {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return refused(StatusCode::BAD_REQUEST, "invalid-request-error");
        };
        let asked: Vec<_> = body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let there = self.present(room).iter().map(|one| one.session_id.clone());
        let ejected: Vec<_> = there.filter(|id| asked.contains(&id.as_str())).collect();
        ejected.iter().for_each(|id| self.leave(id));
        self.ejected += ejected.len() as u64;
        ok(&json!({ "ejectedIds": ejected }))
    }
}

fn ok(body: &Value) -> Response<Bytes> {
    Response::new(Bytes::from(body.to_string()))
}

fn refused(status: StatusCode, error: &str) -> Response<Bytes> {
    let mut response = ok(&json!({ "error": error, "info": status.canonical_reason() }));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::daily::{DailyApi, RoomUrl};

    #[test]
    fn only_the_key_opens_the_domain_and_only_the_named_are_put_out() {
        let mut desk = DailyDesk::new("key");
        for id in ["s1", "s2"] {
            desk.join("demo", Present { session_id: id.to_owned(), ..Present::default() });
        }
        let (room, _) = RoomUrl::parse("https://mine.daily.co/demo").unwrap();
        let api = |key| DailyApi::new(Secret::new(key).unwrap());
        let refused = DailyApi::read_presence(&desk.handle(&api("another").presence(&room))).unwrap_err();
        assert_eq!((refused.status, refused.kind.as_str()), (401, "authentication-error"));
        desk.handle(&api("another").eject(&room, "s1"));
        desk.handle(&api("key").eject(&room, "s3"));
        assert_eq!(desk.present("demo").len(), 2);
        desk.handle(&api("key").eject(&room, "s2"));
        let left = DailyApi::read_presence(&desk.handle(&api("key").presence(&room))).unwrap();
        assert_eq!((left.len(), left[0].session_id.as_str()), (1, "s1"));
        let bare = Request::get("https://api.daily.co/v1/rooms/demo/presence").body(Bytes::new()).unwrap();
        assert_eq!(desk.handle(&bare).status(), 400, "not 401, as Daily has it");
    }
}
