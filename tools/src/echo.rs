//! `voxline echo`: answers each caller frame with the same audio, so that a line can be checked without an agent.

use std::sync::Arc;

use futures::StreamExt;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream, Track};
use voxline_session::{Session, SessionError, SessionEvent};
use voxline_transport::{Acceptor, Exchange, Transport, text_response};

use crate::cli::EchoArgs;
use crate::error::{ToolError, chain};
use crate::output;
use crate::run::{interrupted, listen};

/// Echoes until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &EchoArgs) -> Result<(), ToolError> {
    let listener = listen(&args.listen).await?;
    output::note(format_args!("echo at ws://{}/ (any path)", listener.local_address()));
    tokio::select! {
        () = serve(listener, args.calls, args.max_calls) => {}
        () = interrupted() => output::note("interrupted"),
    }
    Ok(())
}

async fn serve(mut acceptor: impl Acceptor, calls: Option<usize>, at_once: usize) {
    let room = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
    let mut running = JoinSet::new();
    let (mut taken, mut ended) = (0, 0);
    while calls.is_none_or(|calls| ended < calls) {
        tokio::select! {
            exchange = acceptor.accept() => match exchange {
                Some(exchange) if exchange.is_upgrade() => match Arc::clone(&room).try_acquire_owned() {
                    Ok(line) => {
                        taken += 1;
                        _ = running.spawn(answer(taken, exchange, line));
                    }
                    Err(_) => _ = running.spawn(refuse(exchange, StatusCode::SERVICE_UNAVAILABLE, "all lines are taken\n")),
                },
                Some(exchange) => {
                    let words = "this address takes Plivo streams over WebSocket\n";
                    _ = running.spawn(refuse(exchange, StatusCode::UPGRADE_REQUIRED, words));
                }
                None => break,
            },
            Some(call) = running.join_next() => ended += usize::from(call.is_ok_and(|was_call| was_call)),
        }
    }
}

/// Answers without a link; false, for it was no call.
async fn refuse<E: Exchange>(exchange: E, status: StatusCode, words: &'static str) -> bool {
    // Whoever asked and left needs no answer.
    let _ = exchange.respond(text_response(status, words)).await;
    false
}

/// Holds one call on its line; true, for it was one.
async fn answer<E: Exchange>(number: usize, exchange: E, _line: OwnedSemaphorePermit) -> bool {
    // A caller who is gone before the upgrade was no call worth reporting.
    let Ok(link) = exchange.upgrade().await else { return true };
    match echo(link).await {
        Ok(Echoed { frames, refused: 0 }) => {
            output::note(format_args!("call {number} ended, {frames} frames echoed"));
        }
        Ok(Echoed { frames, refused }) => output::note(format_args!(
            "call {number} ended, {frames} frames echoed, {refused} came faster than they could be played"
        )),
        Err(error) => output::note(format_args!("call {number} ended badly: {}", chain(&error))),
    }
    true
}

/// What became of one call's frames.
#[derive(Default)]
struct Echoed {
    frames: u64,
    refused: u64,
}

async fn echo(link: impl Transport) -> Result<Echoed, SessionError> {
    let now = tokio::time::Instant::now().into_std();
    let machine = PlivoStream::new(PlivoConfig::default(), now);
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    let mut echoed = Echoed::default();
    while let Some(event) = receiver.next().await {
        let event = event?;
        if matches!(event, SessionEvent::Refused(_)) {
            echoed.frames -= 1;
            echoed.refused += 1;
        }
        // The outbound track is what we said ourselves.
        if let SessionEvent::Protocol(PlivoEvent::Media(media)) = event
            && media.track == Track::Inbound
        {
            echoed.frames += 1;
            sender.send(PlivoCommand::Play(media.payload)).await?;
        }
    }
    Ok(echoed)
}
