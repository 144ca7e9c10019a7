//! Dropped futures lose nothing, and secrets appear nowhere, whatever happens.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use voxline_protocol::{Message, Secret};
use voxline_transport::{
    Acceptor, Connector, Endpoint, Exchange, FaultHandle, FaultPlan, Faulty, HttpClient, Incoming, Proxy,
    Requester, Transport, WebSocket, WebSocketConfig, WebSocketConnector, WebSocketListener, memory,
    text_response,
};

async fn linked() -> (WebSocket, WebSocket) {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_address());
    let connector = WebSocketConnector::new(Endpoint::parse(&url).unwrap());
    let server = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (client, server) = tokio::join!(connector.connect(), server);
    (client.unwrap(), server)
}

fn message(number: u32, size: usize) -> Message {
    let mut bytes = vec![0; size.max(4)];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Message::Binary(bytes.into())
}

/// Sends numbered messages, dropping every `next` and `send` future after each single poll.
async fn numbered_messages_survive(mut from: impl Transport, mut to: impl Transport, size: usize) {
    const COUNT: u32 = 200;
    let send = async {
        for number in 0..COUNT {
            // `ready` and `flush` are dropped after one poll until they are done.
            while futures::future::poll_fn(|cx| from.poll_ready_unpin(cx)).now_or_never().is_none() {
                tokio::task::yield_now().await;
            }
            from.start_send_unpin(message(number, size)).unwrap();
            while from.flush().now_or_never().is_none() {
                tokio::task::yield_now().await;
            }
        }
    };
    let receive = async {
        for expected in 0..COUNT {
            let item = loop {
                match to.next().now_or_never() {
                    Some(item) => break item,
                    None => tokio::task::yield_now().await,
                }
            };
            let Some(Ok(Incoming::Binary(bytes))) = item else { panic!("message {expected} is {item:?}") };
            assert_eq!(bytes.len(), size.max(4));
            assert_eq!(bytes[..4], expected.to_be_bytes());
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_socket_loses_and_doubles_nothing_when_futures_are_dropped() {
    let (client, server) = linked().await;
    numbered_messages_survive(client, server, 50_000).await;
    let (client, server) = linked().await;
    numbered_messages_survive(server, client, 160).await;
}

#[tokio::test]
async fn a_link_in_memory_loses_and_doubles_nothing_when_futures_are_dropped() {
    let (near, far) = memory::pair(1);
    numbered_messages_survive(near, far, 4).await;
    let (near, far) = memory::pair(3);
    numbered_messages_survive(Faulty::new(near, FaultPlan::new(1), &FaultHandle::new()), far, 4).await;
}

#[tokio::test]
async fn a_dropped_accept_keeps_the_request_it_was_reading() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    tcp.write_all(b"GET /one HTTP/1.1\r\n").await.unwrap();
    // Reads half of the request, then is dropped.
    for _ in 0..10 {
        assert!(listener.accept().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    tcp.write_all(b"Host: x\r\n\r\n").await.unwrap();
    assert_eq!(listener.accept().await.unwrap().request().uri().path(), "/one");
}

#[tokio::test]
async fn a_dropped_dial_closes_what_it_had_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connector = WebSocketConnector::new(Endpoint::parse(&url).unwrap());
    let (mut tcp, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        _ = connector.connect() => panic!("nobody answered"),
    };
    let mut rest = Vec::new();
    // Ends only because the dropped dial closed its socket.
    let _ = tcp.read_to_end(&mut rest).await;
}

/// A peer that takes a connection, says `answer`, and waits for the end of it.
async fn ends_when_dropped(answer: &'static [u8], begin: impl AsyncFnOnce(&str)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let peer = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        assert!(tcp.read_u8().await.is_ok(), "the other side speaks first");
        tcp.write_all(answer).await.unwrap();
        tcp
    };
    let mut tcp = tokio::select! {
        biased;
        tcp = peer => tcp,
        () = begin(&authority) => panic!("nobody answered to the end"),
    };
    let mut rest = Vec::new();
    // Ends only because the dropped future closed its socket.
    let _ = tcp.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_dial_or_a_request_dropped_at_any_step_closes_what_it_had_opened() {
    let dial = async |url: String, proxy: Option<&str>| {
        let mut connector = WebSocketConnector::new(Endpoint::parse(&url).unwrap());
        if let Some(proxy) = proxy {
            connector = connector.with_proxy(Proxy::parse(&format!("http://{proxy}")).unwrap());
        }
        let _ = connector.connect().await;
    };
    ends_when_dropped(b"", async |peer| dial("ws://example.invalid/".to_owned(), Some(peer)).await).await;
    ends_when_dropped(b"HTTP/1.1 200 OK\r\n\r\n", async |peer| {
        dial("wss://example.invalid/".to_owned(), Some(peer)).await;
    })
    .await;
    ends_when_dropped(b"", async |peer| dial(format!("wss://{peer}/"), None).await).await;
    ends_when_dropped(b"HTTP/1.1 101 Sw", async |peer| dial(format!("ws://{peer}/"), None).await).await;
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        ends_when_dropped(answer, async |peer| {
            let endpoint = Endpoint::parse(&format!("http://{peer}/")).unwrap();
            let _ = HttpClient::new().send(&endpoint, http::Request::new(Bytes::new())).await;
        })
        .await;
    }
}

/// Not cancel-safe, and says so: the other side learns it as a lost connection, not by waiting.
#[tokio::test]
async fn an_answer_that_is_dropped_ends_the_connection() {
    let large = vec![b'x'; 32 << 20];
    for drop_unpolled in [true, false] {
        let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
        let mut tcp = TcpStream::connect(listener.local_address()).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let exchange = listener.accept().await.unwrap();
        let respond = exchange.respond(text_response(StatusCode::OK, large.clone()));
        if drop_unpolled {
            drop(respond);
        } else {
            assert!(respond.now_or_never().is_none(), "it does not fit the socket's buffers");
        }
        let mut read = Vec::new();
        let _ = tcp.read_to_end(&mut read).await;
        assert!(read.len() < large.len());
    }
}

#[tokio::test]
async fn a_message_is_with_the_system_before_the_next_is_taken() {
    // A stream that takes nothing: `start_send` succeeds once, and no second message fits.
    let (near, mut far) = tokio::io::duplex(8);
    let mut link = WebSocket::from_upgraded(near, &WebSocketConfig::new()).await;
    assert!(link.feed(message(1, 100)).now_or_never().expect("the first is taken").is_ok());
    assert!(futures::future::poll_fn(|cx| link.poll_ready_unpin(cx)).now_or_never().is_none());
    let mut frame = vec![0; 102];
    let (ready, read) =
        tokio::join!(futures::future::poll_fn(|cx| link.poll_ready_unpin(cx)), far.read_exact(&mut frame));
    ready.unwrap();
    read.unwrap();
    assert_eq!(frame[..2], [0x82, 100], "the whole frame had left before the link was ready again");
}

/// Everything logged, with every field, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

#[tokio::test]
async fn a_key_is_found_in_no_log_no_error_and_no_debug_text() {
    const CANARY: &str = "canary-8f3a";
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let shown = |value: &dyn fmt::Debug| writeln!(log.0.lock().unwrap(), "{value:?} {value:#?}").unwrap();
    let key = || Secret::new(CANARY).unwrap();

    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    for url in [format!("ws://{}/p", listener.local_address()), "ws://127.0.0.1:1/p".to_owned()] {
        let endpoint = Endpoint::parse(&url)
            .unwrap()
            .with_bearer(key())
            .with_token(key())
            .with_secret_header("x-slng-provider-key", key())
            .unwrap();
        shown(&endpoint);
        let config = WebSocketConfig::new().with_ping_interval(Some(Duration::from_secs(1)));
        let connector = WebSocketConnector::new(endpoint).with_config(config);
        shown(&connector);
        for refuse in [true, false] {
            let server = async {
                let exchange = listener.accept().await.unwrap();
                assert_eq!(exchange.request().headers()["authorization"], format!("Bearer {CANARY}"));
                shown(&exchange);
                shown(&exchange.request().headers());
                if refuse {
                    exchange.respond(text_response(StatusCode::FORBIDDEN, "no")).await.unwrap();
                } else {
                    let mut link = exchange.upgrade().await.unwrap();
                    link.send(Message::Binary(Bytes::from_static(b"x"))).await.unwrap();
                    link.close().await.unwrap();
                    while link.next().await.is_some() {}
                }
            };
            let client = async {
                match connector.connect().await {
                    Ok(mut link) => {
                        shown(&link);
                        while let Some(item) = link.next().await {
                            shown(&item);
                        }
                    }
                    Err(error) => {
                        shown(&error);
                        writeln!(log.0.lock().unwrap(), "{error}").unwrap();
                    }
                }
            };
            if url.contains(":1/") {
                client.await;
            } else {
                tokio::join!(client, server);
            }
        }
    }
    shown(&listener);
    let network = memory::Network::new(1);
    let connector = network.connector(Endpoint::parse("ws://h/").unwrap().with_token(key()));
    shown(&connector);
    shown(&connector.connect().await.unwrap_err());

    let log = log.0.lock().unwrap();
    assert!(log.contains("link open"), "the log was listening:\n{log}");
    assert!(!log.contains(CANARY), "{log}");
}

#[test]
fn every_public_type_crosses_threads() {
    fn check<T: Send + fmt::Debug>() {}
    fn check_shared<T: Send + Sync + Clone + fmt::Debug>() {}
    check::<WebSocket>();
    check::<WebSocketListener>();
    check::<voxline_transport::WebSocketExchange>();
    check::<memory::MemoryTransport>();
    check::<memory::MemoryListener>();
    check::<memory::MemoryExchange>();
    check::<Faulty<WebSocket>>();
    check::<voxline_transport::TransportError>();
    check_shared::<Endpoint>();
    check_shared::<WebSocketConnector>();
    check_shared::<memory::MemoryConnector>();
    check_shared::<memory::Network>();
    check_shared::<FaultHandle>();
    check_shared::<voxline_transport::ServerTls>();
    check_shared::<voxline_transport::ClientTls>();
}
