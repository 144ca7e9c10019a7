//! What commands that serve have in common: a runtime, a listener, an end.

use std::future::pending;
#[cfg(unix)]
use std::io;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use voxline_transport::WebSocketListener;

use crate::error::{ToolError, chain};
use crate::net::listener_config;

/// Real time, on as many threads as there are cores.
pub(crate) fn runtime() -> Result<Runtime, ToolError> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| ToolError::failed("the system gives no threads", &error))
}

/// A paused clock that jumps to the next timer whenever all work is done, on one thread.
pub(crate) fn paused_runtime() -> Result<Runtime, ToolError> {
    let built = Builder::new_current_thread().enable_all().start_paused(true).build();
    built.map_err(|error| ToolError::failed("the system gives no clock", &error))
}

/// Tokio's clock, so that a paused one stops everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Listens on `host:port`.
pub(crate) async fn listen(address: &str) -> Result<WebSocketListener, ToolError> {
    let listener =
        WebSocketListener::bind(address).await.map_err(|error| ToolError::Failed(chain(&error)))?;
    Ok(listener.with_config(listener_config()))
}

/// Waits for Ctrl-C, or for whoever runs this process to end it. From the call on, and not only once it is awaited,
/// neither ends the process by itself.
#[cfg(unix)]
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

#[cfg(unix)]
async fn received(signal: io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(mut signal) => _ = signal.recv().await,
        // Without a handler it ends the process anyway.
        Err(_) => pending().await,
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    // Without a handler it ends the process anyway.
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}
