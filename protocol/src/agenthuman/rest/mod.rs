//! The REST service that creates, starts, reads and ends sessions: requests and answers as values.

mod call;
mod desk;
mod error;
mod session;
mod time;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};

pub use self::call::{AvatarCall, CallAnswer, CallStep};
pub use self::desk::{AvatarDesk, AvatarDeskConfig};
pub use self::error::ApiError;
pub use self::session::SessionInfo;
use super::{AspectRatio, Preflight, Revision, RoomAccess, RoomPlan};
use crate::{BaseUrl, Secret};

/// Where the REST service is, and the key for it.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarApi, CallStep, CreateSession};
/// # use std::time::Instant;
///
/// let api = AvatarApi::new(Secret::new("ah_test_123")?);
/// let mut call = api.create(&CreateSession::revision_a("avat_1"));
/// let CallStep::Send(request) = call.step(Instant::now()) else { panic!() };
/// assert_eq!(request.uri(), "https://api.agenthuman.com/v1/sessions");
/// # Ok::<(), voxline_protocol::SecretError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AvatarApi {
    base: BaseUrl,
    key: Secret,
    seed: u64,
}

impl AvatarApi {
    /// The vendor's public service.
    #[must_use]
    pub fn new(key: Secret) -> Self {
        Self { base: BaseUrl::known("https://api.agenthuman.com"), key, seed: 0 }
    }

    /// The same at another address, a simulator's for example.
    #[must_use]
    pub fn with_base(self, base: BaseUrl) -> Self {
        Self { base, ..self }
    }

    /// Where the vendor's public socket is in revision B; in A the start call says it for each session.
    #[must_use]
    pub fn socket_url() -> BaseUrl {
        BaseUrl::known("wss://wss.agenthuman.com")
    }

    /// The same with another seed for the jitter between polls. Default 0.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The address in front of every path, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// What can be checked of `session` before it is created; the room of revision A comes later.
    #[must_use]
    pub fn preflight<'a>(&'a self, session: &'a CreateSession) -> Preflight<'a> {
        match session {
            CreateSession::A { avatar_id, .. } => Preflight::new(Revision::A, self.key.expose(), avatar_id),
            CreateSession::B { avatar, aspect_ratio, room, .. } => {
                let mut plan = Preflight::new(Revision::B, self.key.expose(), avatar);
                plan.aspect_ratio = Some(aspect_ratio.as_str());
                plan.room = Some(RoomPlan {
                    platform: room.platform.as_str(),
                    url: &room.url,
                    token: room.token.expose(),
                });
                plan
            }
        }
    }

    /// Creates a session. In revision B this starts it too.
    ///
    /// A create whose answer was lost is not repeated: it may have left a session behind.
    #[must_use]
    pub fn create(&self, session: &CreateSession) -> AvatarCall {
        AvatarCall::create(self.clone(), &session.to_json())
    }

    /// Starts a session of revision A, repeating while the service answers `try_again`.
    #[must_use]
    pub fn start(&self, session_id: &str) -> AvatarCall {
        AvatarCall::start(self.clone(), session_id)
    }

    /// Reads a session.
    #[must_use]
    pub fn get(&self, session_id: &str) -> AvatarCall {
        AvatarCall::get(self.clone(), session_id)
    }

    /// Ends a session; one that is gone already counts as ended.
    #[must_use]
    pub fn end(&self, session_id: &str) -> AvatarCall {
        AvatarCall::end(self.clone(), session_id)
    }

    fn request(&self, method: &Method, path: &str, body: &Bytes) -> Request<Bytes> {
        let mut request = Request::new(body.clone());
        *request.method_mut() = method.clone();
        let (Ok(uri), Ok(mut key)) =
            (format!("{}{path}", self.base).parse(), HeaderValue::from_str(self.key.expose()))
        else {
            unreachable!(
                "the base and the path are escaped and of limited length, and a `Secret` is printable ASCII"
            )
        };
        *request.uri_mut() = uri;
        key.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert("x-api-key", key);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

/// What to create a session with.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum CreateSession {
    /// Revision A.
    A {
        /// A look, not a character.
        avatar_id: String,
        /// Anything, kept with the session; an object.
        metadata: Value,
    },
    /// Revision B.
    B {
        /// The avatar's id, or an image on paid plans.
        avatar: String,
        /// The shape of the picture.
        aspect_ratio: AspectRatio,
        /// Your room.
        room: Box<RoomAccess>,
        /// Anything, kept with the session; an object.
        metadata: Value,
    },
}

impl CreateSession {
    /// A session of revision A.
    pub fn revision_a(avatar_id: impl Into<String>) -> Self {
        Self::A { avatar_id: avatar_id.into(), metadata: json!({}) }
    }

    /// A session of revision B, 4:3.
    pub fn revision_b(avatar: impl Into<String>, room: RoomAccess) -> Self {
        Self::B {
            avatar: avatar.into(),
            aspect_ratio: AspectRatio::default(),
            room: Box::new(room),
            metadata: json!({}),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::A { avatar_id, metadata } => json!({ "avatar_id": avatar_id, "metadata": metadata }),
            Self::B { avatar, aspect_ratio, room, metadata } => json!({
                "avatar": avatar,
                "aspect_ratio": aspect_ratio.as_str(),
                "room": {
                    "platform": room.platform.as_str(),
                    "url": room.url,
                    "token": room.token.expose(),
                    "display_name": room.display_name,
                },
                "metadata": metadata,
            }),
        }
    }
}
