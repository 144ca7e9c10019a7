//! `voxline echo`: answers each caller frame with the same audio, so that a line can be checked without an agent.

use futures::StreamExt;
use http::StatusCode;
use tokio::task::JoinSet;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream};
use voxline_session::{Session, SessionError, SessionEvent};
use voxline_transport::{Acceptor, Exchange, Transport, text_response};

use crate::cli::EchoArgs;
use crate::error::{ToolError, chain};
use crate::output;
use crate::run::{interrupted, listen};

/// Echoes until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &EchoArgs) -> Result<(), ToolError> {
    let listener = listen(&args.listen.to_string()).await?;
    output::note(format_args!("echo at ws://{}/ (any path)", listener.local_address()));
    tokio::select! {
        () = serve(listener, args.calls) => {}
        () = interrupted() => output::note("interrupted"),
    }
    Ok(())
}

async fn serve(mut acceptor: impl Acceptor, calls: Option<usize>) {
    let mut running = JoinSet::new();
    let (mut taken, mut ended) = (0, 0);
    while calls.is_none_or(|calls| ended < calls) {
        tokio::select! {
            exchange = acceptor.accept() => match exchange {
                Some(exchange) if exchange.is_upgrade() => {
                    taken += 1;
                    running.spawn(answer(taken, exchange));
                }
                Some(exchange) => {
                    let words = text_response(StatusCode::UPGRADE_REQUIRED, "this address takes Plivo streams over WebSocket\n");
                    running.spawn(async move {
                        // Whoever asked and left needs no answer.
                        let _ = exchange.respond(words).await;
                        false
                    });
                }
                None => break,
            },
            Some(call) = running.join_next() => ended += usize::from(call.is_ok_and(|was_call| was_call)),
        }
    }
}

/// Holds one call; true, for it was one.
async fn answer<E: Exchange>(number: usize, exchange: E) -> bool {
    // A caller who is gone before the upgrade was no call worth reporting.
    let Ok(link) = exchange.upgrade().await else { return true };
    match echo(link).await {
        Ok(frames) => output::note(format_args!("call {number} ended, {frames} frames echoed")),
        Err(error) => output::note(format_args!("call {number} ended badly: {}", chain(&error))),
    }
    true
}

async fn echo(link: impl Transport) -> Result<u64, SessionError> {
    let now = tokio::time::Instant::now().into_std();
    let machine = PlivoStream::new(PlivoConfig::default(), now);
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    let mut frames = 0;
    while let Some(event) = receiver.next().await {
        if let SessionEvent::Protocol(PlivoEvent::Media(media)) = event? {
            frames += 1;
            sender.send(PlivoCommand::Play(media.payload)).await?;
        }
    }
    Ok(frames)
}
