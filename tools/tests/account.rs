//! A phone agent for a Plivo account, called by a simulated Plivo: signed webhooks, signed streams, one record each.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running `voxline serve`, killed with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str], tokens: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voxline"));
        command.args(["serve", "--simulate", "--listen", "localhost:0", "--calls", "1"]).args(arguments);
        command.env_remove("PLIVO_AUTH_ID");
        match tokens {
            Some(tokens) => command.env("PLIVO_AUTH_TOKEN", tokens),
            None => command.env_remove("PLIVO_AUTH_TOKEN"),
        };
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut server = Self { child, address: String::new() };
        let first = lines.next().unwrap().unwrap();
        let (_, rest) = first.split_once("ws://").unwrap_or_else(|| panic!("{first}"));
        rest.split_once('/').unwrap().0.clone_into(&mut server.address);
        // Unread, its output would fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        server
    }

    fn call(&self, scheme: &str, path: &str, arguments: &[&str]) -> Output {
        let url = format!("{scheme}://{}{path}", self.address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_voxline"));
        command.env_remove("PLIVO_AUTH_TOKEN").args(["call", &url]).args(arguments).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_signed_call_is_answered_recorded_and_an_unsigned_one_refused() {
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("account-debug.jsonl");
    let _ = fs::remove_file(&log);
    let mut server = Server::start(&["--debug-log", log.to_str().unwrap()], Some("older-token, newer-token"));
    for (scheme, path, arguments) in [
        ("ws", "/stream", &[][..]),
        ("http", "/answer", &[]),
        ("http", "/answer", &["--auth-token", "forged"]),
    ] {
        let output = server.call(scheme, path, arguments);
        assert_eq!(output.status.code(), Some(1), "{path} {arguments:?}");
        assert!(text(&output.stderr).contains("403"), "{}", text(&output.stderr));
    }

    let hangup = format!("http://{}/hangup", server.address);
    let arguments = ["--auth-token", "newer-token", "--say", "Hello there.", "--hangup-url", &hangup];
    let output = server.call("http", "/answer", &arguments);
    let (heard, notes) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{heard}{notes}");
    assert!(heard.contains("words     You said: Hello there."), "{heard}");
    assert!(notes.contains("call ended: 4000"), "{notes}");
    assert!(!notes.contains("token="), "a token is not for the screen: {notes}");

    assert!(server.child.wait().unwrap().success(), "it ends after its one call");
    let records = fs::read_to_string(&log).unwrap();
    assert_eq!(records.lines().count(), 1, "{records}");
    let record: Value = serde_json::from_str(&records).unwrap();
    assert_eq!((&record["reason"], &record["links"]), (&"Call hangup".into(), &1.into()), "{record}");
    assert!(record["bytes_in"].as_u64().unwrap() > 8_000 && record["bytes_out"].as_u64().unwrap() > 8_000);
    assert!(record["start"].as_str().unwrap() < record["end"].as_str().unwrap());
}

#[cfg(unix)]
#[test]
fn a_server_that_is_ended_has_its_calls_hung_up() {
    let interface = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", interface.local_addr().unwrap());
    let arguments = ["--auth-id", "MA1", "--plivo-api", &base];
    let mut server = Server::start(&arguments, Some("a-token"));
    let url = format!("http://{}/answer", server.address);
    // Nobody speaks: the call lasts for as long as it waits.
    let mut call = Command::new(env!("CARGO_BIN_EXE_voxline"));
    call.args(["call", &url, "--auth-token", "a-token", "--wait", "600"]).stderr(Stdio::piped());
    let mut call = call.spawn().unwrap();
    let mut notes = BufReader::new(call.stderr.take().unwrap()).lines();
    assert!(notes.any(|line| line.unwrap().starts_with("calling ws://")), "the stream is up");

    interrupt(&server.child);
    let (mut request, _) = interface.accept().unwrap();
    let head: Vec<String> =
        BufReader::new(&request).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let id = format!("call-{}", call.id());
    assert_eq!(head[0], format!("DELETE /v1/Account/MA1/Call/{id}/ HTTP/1.1"));
    assert!(
        head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Basic TUExOmEtdG9rZW4=")),
        "{head:?}"
    );
    request.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    // As Plivo would, it ends the call.
    interrupt(&call);
    assert!(server.child.wait().unwrap().success(), "the server ends with its calls");
    assert_eq!(call.wait().unwrap().code(), Some(1), "nothing was heard");
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_a_server_at_once() {
    // An interface that takes the request and never answers.
    let interface = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", interface.local_addr().unwrap());
    let mut server = Server::start(&["--auth-id", "MA1", "--plivo-api", &base], Some("a-token"));
    let url = format!("http://{}/answer", server.address);
    let mut call = Command::new(env!("CARGO_BIN_EXE_voxline"));
    call.args(["call", &url, "--auth-token", "a-token", "--wait", "600"]).stderr(Stdio::piped());
    let mut call = call.spawn().unwrap();
    let mut notes = BufReader::new(call.stderr.take().unwrap()).lines();
    assert!(notes.any(|line| line.unwrap().starts_with("calling ws://")), "the stream is up");
    interrupt(&server.child);
    let (request, _) = interface.accept().unwrap();
    interrupt(&server.child);
    let interrupted = Instant::now();
    assert!(server.child.wait().unwrap().success());
    assert!(interrupted.elapsed() < Duration::from_secs(4), "{:?}", interrupted.elapsed());
    drop(request);
    call.kill().unwrap();
    call.wait().unwrap();
}

#[cfg(unix)]
fn interrupt(process: &Child) {
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
}

#[test]
fn with_all_lines_taken_a_call_is_declined() {
    let server = Server::start(&["--max-calls", "0"], None);
    let answer = server.call("http", "/answer", &[]);
    assert_eq!(answer.status.code(), Some(1));
    assert!(text(&answer.stderr).contains("the answer hangs up: busy"), "{}", text(&answer.stderr));
    let stream = server.call("ws", "/stream", &[]);
    assert_eq!(stream.status.code(), Some(1));
    assert!(text(&stream.stderr).contains("503"), "{}", text(&stream.stderr));
}

#[test]
fn without_a_token_this_machine_may_call_the_stream_itself() {
    let server = Server::start(&[], None);
    let output =
        server.call("ws", "/stream", &["--say", "Hello there.", "--quirk", "redials", "--seed", "7"]);
    let heard = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{heard}{}", text(&output.stderr));
    assert!(heard.contains("answered"), "{heard}");
}
