//! The axum example holds a call: `voxline call` follows its answer URL and hears itself.
#![forbid(unsafe_code)]

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

#[path = "../examples/axum_phone.rs"]
#[expect(dead_code, reason = "its `main` belongs to the example")]
mod axum_phone;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_by_an_axum_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/answer", listener.local_addr().unwrap());
    let mut call = Command::new(env!("CARGO_BIN_EXE_voxline"));
    call.args(["call", &url, "--say", "Hello there."]).env_remove("PLIVO_AUTH_TOKEN").stdin(Stdio::null());
    let output = tokio::select! {
        served = axum_phone::serve(listener) => panic!("the server ended: {served:?}"),
        output = timeout(Duration::from_secs(30), call.kill_on_drop(true).output()) => output.unwrap().unwrap(),
    };
    let heard = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{heard}{}", String::from_utf8_lossy(&output.stderr));
    assert!(heard.contains("words     Hello there."), "{heard}");
}
