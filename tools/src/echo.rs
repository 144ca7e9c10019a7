//! `voxline echo`: answers each caller frame with the same audio, so that a line can be checked without an agent.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream, Track};
use voxline_session::{Session, SessionError, SessionEvent};
use voxline_transport::{Acceptor, Exchange, Transport, text_response};

use crate::cli::{EchoArgs, LineArgs};
use crate::desk::{FrontDesk, STREAM_PATH, Verdict};
use crate::error::{ToolError, chain};
use crate::run::{interrupted, listen, now};
use crate::{line, output};

/// Echoes until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &EchoArgs) -> Result<(), ToolError> {
    let listener = listen(&args.line.listen).await?;
    let address = listener.local_address();
    let (desk, signed) = line::desk(&args.line, address)?;
    output::note(format_args!("echo at ws://{address}{STREAM_PATH}"));
    line::tell_addresses(&args.line, address, signed);
    tokio::select! {
        () = serve(listener, desk, &args.line) => {}
        () = interrupted() => output::note("interrupted"),
    }
    Ok(())
}

async fn serve(mut acceptor: impl Acceptor, desk: FrontDesk, args: &LineArgs) {
    let room = Arc::new(Semaphore::new(args.max_calls.min(Semaphore::MAX_PERMITS)));
    let mut running = JoinSet::new();
    let (mut taken, mut ended) = (0, 0);
    while args.calls.is_none_or(|calls| ended < calls) {
        tokio::select! {
            exchange = acceptor.accept() => {
                let Some(exchange) = exchange else { break };
                let verdict = desk.receive(now(), exchange.request(), exchange.is_upgrade());
                match (verdict, Arc::clone(&room).try_acquire_owned()) {
                    (Verdict::Stream(_), Ok(line)) => {
                        taken += 1;
                        _ = running.spawn(answer(taken, exchange, line));
                    }
                    (Verdict::Stream(_), Err(_)) => {
                        let full = text_response(StatusCode::SERVICE_UNAVAILABLE, "all lines are taken\n");
                        _ = running.spawn(respond(exchange, full));
                    }
                    (Verdict::Answer(_), Err(_)) => _ = running.spawn(respond(exchange, FrontDesk::busy())),
                    (
                        Verdict::Answer(response)
                        | Verdict::HungUp(_, response)
                        | Verdict::Respond(response)
                        | Verdict::Status(_, response),
                        _,
                    ) => _ = running.spawn(respond(exchange, response)),
                }
            }
            Some(call) = running.join_next() => ended += usize::from(call.is_ok_and(|was_call| was_call)),
        }
    }
}

/// Answers without a link; false, for it was no call.
async fn respond<E: Exchange>(exchange: E, response: Response<Bytes>) -> bool {
    // Whoever asked and left needs no answer.
    let _ = exchange.respond(response).await;
    false
}

/// Holds one call on its line; true, for it was one.
async fn answer<E: Exchange>(number: usize, exchange: E, _line: OwnedSemaphorePermit) -> bool {
    // A caller who is gone before the upgrade was no call worth reporting.
    let Ok(link) = exchange.upgrade().await else { return true };
    match echo(link).await {
        Ok(Echoed { frames, refused: 0 }) => {
            output::note(format_args!("call {number} ended, {} echoed", output::count(frames, "frame")));
        }
        Ok(Echoed { frames, refused }) => output::note(format_args!(
            "call {number} ended, {} echoed, {refused} came faster than they could be played",
            output::count(frames, "frame")
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
    let machine = PlivoStream::new(PlivoConfig::default(), now());
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
