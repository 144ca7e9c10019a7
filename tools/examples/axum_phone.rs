//! A phone line inside an axum server: Plivo's answer URL and its stream are two of its routes, and every caller hears
//! an echo.
//!
//! ```text
//! cargo run -p voxline --example axum_phone
//! cargo run -p voxline -- call http://127.0.0.1:8080/answer --say "Hello there."
//! ```
//!
//! A server on the internet checks Plivo's signature first, with `PlivoVerifier` in `voxline_protocol::plivo`.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::{any, get};
use futures::StreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream, StreamXml, Track};
use voxline_session::{Admission, PhoneCalls, Session, SessionConfig, SessionError, SessionEvent};
use voxline_transport::{WebSocket, WebSocketConfig, answer_upgrade, text_response};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    serve(TcpListener::bind("127.0.0.1:8080").await?).await
}

/// Serves until the process ends. Dropped, it ends every call.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let (upgrades, streams) = mpsc::channel(PENDING);
    let routes =
        Router::new().route("/answer", any(answer)).route("/stream", get(stream)).with_state(upgrades);
    tokio::select! {
        served = axum::serve(listener, routes) => Ok(served?),
        () = hold_calls(streams) => Ok(()),
    }
}

/// Tells Plivo where the stream of a new call goes. It is dialled on this machine; a public server says
/// `StreamXml::two_way("wss://…")`.
async fn answer(request: Request) -> Response<Body> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match StreamXml::on_loopback(&format!("ws://{host}/stream")) {
        Ok(xml) => {
            let mut response = Response::new(Body::from(xml.to_string()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            response
        }
        Err(error) => text_response(StatusCode::BAD_REQUEST, format!("{error}\n")).map(Body::from),
    }
}

/// Agrees to the upgrade that axum has read. The stream is there once the answer was written, so it is waited for
/// elsewhere.
async fn stream(State(upgrades): State<mpsc::Sender<OnUpgrade>>, request: Request) -> Response<Body> {
    let response = answer_upgrade(&request);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && upgrades.try_send(hyper::upgrade::on(request)).is_err()
    {
        return text_response(StatusCode::SERVICE_UNAVAILABLE, "too many calls at once\n").map(Body::from);
    }
    response.map(Body::from)
}

/// Holds every call whose stream was let in.
async fn hold_calls(mut streams: mpsc::Receiver<OnUpgrade>) {
    let calls = PhoneCalls::new(PlivoConfig::default(), SessionConfig::default());
    let mut held = JoinSet::new();
    loop {
        tokio::select! {
            Some(upgrade) = streams.recv() => {
                held.spawn(take(calls.clone(), upgrade));
            }
            Some(call) = held.join_next() => if let Ok(Err(error)) = call {
                tracing::warn!(%error, "a call ended badly");
            },
            else => return,
        }
    }
}

async fn take(calls: PhoneCalls<WebSocket>, upgrade: OnUpgrade) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Without pings Plivo gives a quiet link up.
    let config = WebSocketConfig::new().with_ping_interval(Some(Duration::from_secs(10)));
    let link = WebSocket::from_upgraded(TokioIo::new(upgrade.await?), &config).await;
    match calls.admit(link, None).await? {
        Admission::Call { session, .. } => Ok(echo(session).await?),
        // The call goes on where the link before broke off.
        Admission::Redial { .. } | _ => Ok(()),
    }
}

async fn echo(session: Session<PlivoStream>) -> Result<(), SessionError> {
    let (mut sender, mut receiver) = session.split();
    while let Some(event) = receiver.next().await {
        if let SessionEvent::Protocol(PlivoEvent::Media(media)) = event?
            && media.track == Track::Inbound
        {
            futures::SinkExt::send(&mut sender, PlivoCommand::Play(media.payload)).await?;
        }
    }
    Ok(())
}

/// Streams that may wait for their upgrade.
const PENDING: usize = 64;
