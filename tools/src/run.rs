//! What commands that serve have in common: a runtime, a listener, an end.

use std::future::pending;

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

/// Listens on `host:port`.
pub(crate) async fn listen(address: &str) -> Result<WebSocketListener, ToolError> {
    let listener =
        WebSocketListener::bind(address).await.map_err(|error| ToolError::Failed(chain(&error)))?;
    Ok(listener.with_config(listener_config()))
}

/// Waits for Ctrl-C, or for whoever runs this process to end it.
pub(crate) async fn interrupted() {
    // Without a handler either ends the process anyway.
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}
