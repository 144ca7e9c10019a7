//! Real sockets on loopback: what both sides see when all is well, and each way it can go wrong.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use voxline_protocol::{CloseFrame, Message, Secret};
use voxline_transport::{
    Acceptor, ConnectStage, Connector, Endpoint, Exchange, Incoming, ListenerConfig, Proxy, Retry, Transport,
    TransportError, WebSocket, WebSocketConfig, WebSocketConnector, WebSocketListener, text_response,
};

/// Both ends of one link, the client's first.
async fn linked(client: WebSocketConfig, server: WebSocketConfig) -> (WebSocket, WebSocket) {
    let mut listener = WebSocketListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .with_config(ListenerConfig::new().with_websocket(server));
    let connector = WebSocketConnector::new(endpoint(&listener, "/")).with_config(client);
    let accept = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (ours, theirs) = tokio::join!(connector.connect(), accept);
    (ours.unwrap(), theirs)
}

fn endpoint(listener: &WebSocketListener, target: &str) -> Endpoint {
    Endpoint::parse(&format!("ws://{}{target}", listener.local_address())).unwrap()
}

/// A server that reads a request's head and answers with these bytes, then holds the connection.
async fn scripted(answer: &'static [u8]) -> (Endpoint, tokio::task::JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("ws://{}/", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_head(&mut tcp).await;
        tcp.write_all(answer).await.unwrap();
        tcp
    });
    (endpoint, server)
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server's end made by hand, so that a test can send it any bytes.
async fn raw_client(server: WebSocketConfig) -> (TcpStream, WebSocket) {
    let mut listener = WebSocketListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .with_config(ListenerConfig::new().with_websocket(server));
    let mut tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    tcp.write_all(UPGRADE).await.unwrap();
    let link = listener.accept().await.unwrap().upgrade().await.unwrap();
    read_head(&mut tcp).await;
    (tcp, link)
}

async fn next(link: &mut impl Transport) -> Result<Incoming, TransportError> {
    link.next().await.expect("the stream ended early")
}

#[tokio::test]
async fn messages_of_both_kinds_arrive_whole_both_ways() {
    let (mut client, mut server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
    exchange_all_kinds(&mut client, &mut server).await;
    exchange_all_kinds(&mut server, &mut client).await;
}

async fn exchange_all_kinds(from: &mut WebSocket, to: &mut WebSocket) {
    let large = Bytes::from(vec![7; 200_000]);
    let send = async {
        from.send(Message::Text("grüß".into())).await.unwrap();
        from.send(Message::Binary(large.clone())).await.unwrap();
        from.send(Message::Text(String::new())).await.unwrap();
    };
    let receive = async {
        assert_eq!(next(to).await.unwrap(), Incoming::Text("grüß".into()));
        assert_eq!(next(to).await.unwrap(), Incoming::Binary(large.clone()));
        assert_eq!(next(to).await.unwrap(), Incoming::Text("".into()));
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_close_is_answered_and_both_streams_end() {
    let (mut client, mut server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
    client.send(Message::Close(CloseFrame::new(1000, "done"))).await.unwrap();
    assert!(matches!(client.send(Message::Text("late".into())).await, Err(TransportError::Closed)));
    assert_eq!(next(&mut server).await.unwrap(), Incoming::Closed(Some(CloseFrame::new(1000, "done"))));
    assert!(server.next().await.is_none());
    assert!(matches!(server.send(Message::Text("late".into())).await, Err(TransportError::Closed)));
    drop(server);
    assert_eq!(next(&mut client).await.unwrap(), Incoming::Closed(Some(CloseFrame::new(1000, "done"))));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn what_was_sent_before_a_close_arrives_before_it() {
    let (mut client, mut server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
    server.feed(Message::Text("last words".into())).await.unwrap();
    server.feed(Message::Close(CloseFrame::new(4000, "é".repeat(100)))).await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), Incoming::Text("last words".into()));
    let Incoming::Closed(Some(frame)) = next(&mut client).await.unwrap() else { panic!("no close") };
    assert_eq!((frame.code, frame.reason.as_str()), (4000, "é".repeat(61).as_str()), "cut at a character");
}

#[tokio::test]
async fn a_link_that_ends_without_a_close_is_a_reset() {
    let (mut client, server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
    drop(server);
    let error = next(&mut client).await.unwrap_err();
    assert!(matches!(error, TransportError::Reset(_)), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterBackoff);
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn the_request_is_seen_before_it_is_answered() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&listener, "/stream?call=17")
        .with_header("X-Session", "s-1")
        .unwrap()
        .with_bearer(Secret::new("key").unwrap())
        .with_token(Secret::new("a b".trim_end_matches(" b")).unwrap());
    let connector = WebSocketConnector::new(endpoint);
    let server = async {
        let exchange = listener.accept().await.unwrap();
        assert!(exchange.is_upgrade());
        assert!(exchange.peer_address().ip().is_loopback());
        let request = exchange.request();
        assert_eq!(request.uri().path(), "/stream");
        assert_eq!(request.uri().query(), Some("call=17&token=a"));
        assert_eq!(request.headers()["x-session"], "s-1");
        assert_eq!(request.headers()["authorization"], "Bearer key");
        assert!(!request.headers().contains_key("sec-websocket-extensions"));
        exchange.upgrade().await.unwrap()
    };
    let (client, _server) = tokio::join!(connector.connect(), server);
    client.unwrap();
}

#[tokio::test]
async fn a_refused_upgrade_keeps_status_wait_and_words() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let connector = WebSocketConnector::new(endpoint(&listener, "/"));
    let server = async {
        let words = format!("{{\"error\":\"slow down\"}}{}", " ".repeat(5000));
        let mut response = text_response(StatusCode::TOO_MANY_REQUESTS, words);
        response.headers_mut().insert("retry-after", "7".parse().unwrap());
        listener.accept().await.unwrap().respond(response).await.unwrap();
    };
    let (client, ()) = tokio::join!(connector.connect(), server);
    let error = client.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
    let TransportError::Refused { status, body, .. } = error else { panic!("{error:?}") };
    assert_eq!((status, body.as_str()), (429, r#"{"error":"slow down"}"#));
}

#[tokio::test]
async fn a_plain_request_is_answered_on_the_same_port() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    tcp.write_all(b"POST /answer HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nCallUUID=17")
        .await
        .unwrap();
    let exchange = listener.accept().await.unwrap();
    assert!(!exchange.is_upgrade());
    assert_eq!(exchange.request().body(), "CallUUID=17".as_bytes());
    let client = async {
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        tcp.shutdown().await.unwrap();
        answer
    };
    let (responded, answer) =
        tokio::join!(exchange.respond(text_response(StatusCode::OK, "<Response/>")), client);
    responded.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n<Response/>"), "{answer}");
}

#[tokio::test]
async fn a_request_that_breaks_the_rules_is_answered_and_never_surfaces() {
    let config = ListenerConfig::new().with_max_head_bytes(512).with_max_body_bytes(8);
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap().with_config(config);
    let address = listener.local_address();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1000));
    let cases: [(&str, &str); 5] = [
        ("not HTTP at all\r\n\r\n", "400"),
        (&long, "431"),
        ("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789", "413"),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
            "426",
        ),
    ];
    for (request, status) in cases {
        let client = async {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::select! {
            answer = client => assert_eq!(answer.get(9..12), Some(status), "{request}: {answer}"),
            exchange = listener.accept() => panic!("surfaced: {exchange:?}"),
        }
    }
}

#[tokio::test]
async fn a_slow_request_does_not_hold_up_the_next_one() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let mut slow = TcpStream::connect(listener.local_address()).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    let connector = WebSocketConnector::new(endpoint(&listener, "/fast"));
    let server = async {
        let exchange = listener.accept().await.unwrap();
        assert_eq!(exchange.request().uri().path(), "/fast");
        exchange.upgrade().await.unwrap()
    };
    let (client, _server) = tokio::join!(connector.connect(), server);
    client.unwrap();
}

#[tokio::test]
async fn an_upgrade_of_no_upgrade_is_an_error_to_both() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = TcpStream::connect(listener.local_address()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let exchange = listener.accept().await.unwrap();
    let client = async {
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        drop(tcp);
        answer
    };
    let (upgraded, answer) = tokio::join!(exchange.upgrade(), client);
    assert!(matches!(upgraded, Err(TransportError::NotWebSocket { .. })));
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let connector = WebSocketConnector::new(Endpoint::parse(&format!("ws://{address}/")).unwrap());
    let error = connector.connect().await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Unreachable { authority, .. } if *authority == address.to_string())
    );
    assert_eq!(error.retry(), Retry::AfterBackoff);
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_is_named() {
    for (answer, expected) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..], "does not answer in HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "lacks the upgrade headers"),
        (
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "belongs to another request",
        ),
    ] {
        let (endpoint, server) = scripted(answer).await;
        let error = WebSocketConnector::new(endpoint).connect().await.unwrap_err();
        assert!(
            matches!(&error, TransportError::NotHttp { .. } | TransportError::NotWebSocket { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.retry(), Retry::Never);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_runs_into_the_deadline() {
    let (endpoint, server) = scripted(b"").await;
    let limit = Duration::from_secs(3);
    let connector =
        WebSocketConnector::new(endpoint).with_config(WebSocketConfig::new().with_connect_timeout(limit));
    let error = connector.connect().await.unwrap_err();
    assert!(
        matches!(error, TransportError::Timeout { stage: ConnectStage::Upgrade, limit: l } if l == limit)
    );
    assert_eq!(error.to_string(), "WebSocket upgrade took longer than 3s");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stage_can_have_a_tighter_limit_of_its_own() {
    let (endpoint, server) = scripted(b"").await;
    let own = Duration::from_secs(1);
    let config = WebSocketConfig::new().with_stage_timeout(ConnectStage::Upgrade, own);
    let error = WebSocketConnector::new(endpoint).with_config(config).connect().await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { limit, .. } if limit == own), "{error:?}");
    server.abort();
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_in_both_directions() {
    let small = WebSocketConfig::new().with_max_message_size(1000);
    let (mut client, mut server) = linked(WebSocketConfig::new(), small).await;
    let error = server.send(Message::Binary(vec![0; 1001].into())).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { size: 1001, max: 1000 }), "{error:?}");
    server.send(Message::Text("the link still works".into())).await.unwrap();
    assert!(matches!(next(&mut client).await, Ok(Incoming::Text(_))));

    client.send(Message::Binary(vec![0; 1001].into())).await.unwrap();
    let error = next(&mut server).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { size: 1001, max: 1000 }), "{error:?}");
    let Incoming::Closed(Some(frame)) = next(&mut client).await.unwrap() else { panic!("no close") };
    assert_eq!(frame.code, 1009, "the peer is told why");
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_a_framing_error() {
    for (name, bytes) in [
        ("unmasked", &[0x82, 0x01, 0x00][..]),
        ("reserved bits", &[0xf2, 0x80, 0, 0, 0, 0]),
        ("unknown opcode", &[0x83, 0x80, 0, 0, 0, 0]),
        ("text that is no UTF-8", &[0x81, 0x81, 0, 0, 0, 0, 0xff]),
    ] {
        let (mut tcp, mut link) = raw_client(WebSocketConfig::new()).await;
        tcp.write_all(bytes).await.unwrap();
        let error = next(&mut link).await.unwrap_err();
        assert!(matches!(error, TransportError::Framing(_)), "{name}: {error:?}");
        assert!(link.next().await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_stops_reading_stops_our_sending_after_one_message() {
    let (client, mut server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
    let message = Message::Binary(vec![0; 64 << 10].into());
    let mut accepted = 0;
    while let Some(ready) = futures::future::poll_fn(|cx| server.poll_ready_unpin(cx)).now_or_never() {
        ready.unwrap();
        server.start_send_unpin(message.clone()).unwrap();
        accepted += 1;
        assert!(accepted < 10_000, "nothing pushes back");
    }
    drop(client);
    let broken = futures::future::poll_fn(|cx| server.poll_ready_unpin(cx)).await;
    assert!(matches!(broken, Err(TransportError::Reset(_))), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_close_without_an_answer_is_waited_for_no_longer_than_its_limit() {
    let limit = Duration::from_secs(3);
    let config = WebSocketConfig::new().with_close_timeout(limit);
    let (mut tcp, mut link) = raw_client(config.clone()).await;
    let start = tokio::time::Instant::now();
    link.close().await.unwrap();
    // Messages on their way still arrive; only the peer's own close does not.
    tcp.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    assert_eq!(next(&mut link).await.unwrap(), Incoming::Text("hi".into()));
    assert_eq!(next(&mut link).await.unwrap(), Incoming::Closed(None));
    assert_eq!(start.elapsed(), limit);
    assert!(link.next().await.is_none());

    // A peer that does not even read.
    let (stuffed, _far) = tokio::io::duplex(8);
    let mut link = WebSocket::from_upgraded(stuffed, &config).await;
    let start = tokio::time::Instant::now();
    link.feed(Message::Binary(vec![0; 100].into())).await.unwrap();
    let error = link.close().await.unwrap_err();
    assert!(matches!(error, TransportError::Unresponsive { silent } if silent == limit), "{error:?}");
    assert_eq!(start.elapsed(), limit);
}

/// RFC 6455 §7.4.1: 1005 and 1006 say that no code came, and must not come themselves.
#[tokio::test]
async fn a_close_code_that_must_not_travel_is_left_out() {
    for (code, seen) in [(1_000, Some(1_000)), (4_000, Some(4_000)), (1_005, None), (1_006, None), (7, None)]
    {
        let (mut client, mut server) = linked(WebSocketConfig::new(), WebSocketConfig::new()).await;
        client.send(Message::Close(CloseFrame::new(code, ""))).await.unwrap();
        let closed = next(&mut server).await.unwrap();
        let Incoming::Closed(frame) = closed else { panic!("{code}: {closed:?}") };
        assert_eq!(frame.map(|frame| frame.code), seen, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_and_pings_of_nothing_are_none() {
    let endless = WebSocketConfig::new()
        .with_connect_timeout(Duration::MAX)
        .with_stage_timeout(ConnectStage::Upgrade, Duration::MAX)
        .with_close_timeout(Duration::MAX);
    for interval in [Duration::ZERO, Duration::MAX] {
        let config = endless.clone().with_ping_interval(Some(interval));
        let (mut client, mut server) = linked(config.clone(), config).await;
        exchange_all_kinds(&mut client, &mut server).await;
        assert!(tokio::time::timeout(Duration::from_secs(86_400), client.next()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_noticed_within_two_ping_intervals() {
    let interval = Duration::from_secs(10);
    let pinging = WebSocketConfig::new().with_ping_interval(Some(interval));
    // The other end is held but never read, so it answers no ping: a black hole to us.
    let (mut client, _silent) = linked(pinging, WebSocketConfig::new()).await;
    let start = tokio::time::Instant::now();
    let error = next(&mut client).await.unwrap_err();
    assert!(matches!(error, TransportError::Unresponsive { .. }), "{error:?}");
    assert!(start.elapsed() <= interval * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn pings_are_answered_and_measure_the_round_trip() {
    let pinging = WebSocketConfig::new().with_ping_interval(Some(Duration::from_millis(5)));
    let (mut client, mut server) = linked(pinging, WebSocketConfig::new()).await;
    let answering = async {
        let _ = server.next().await;
    };
    let measured = futures::future::poll_fn(|cx| {
        let _ = client.poll_next_unpin(cx);
        client.round_trip().get().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    });
    tokio::select! {
        round_trip = measured => assert!(round_trip < Duration::from_secs(1)),
        () = answering => panic!("the link ended"),
    }
}

#[tokio::test]
async fn an_upgraded_stream_of_any_kind_is_a_link() {
    let (near, mut far) = tokio::io::duplex(1024);
    let mut link = WebSocket::from_upgraded(near, &WebSocketConfig::new()).await;
    far.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    assert_eq!(next(&mut link).await.unwrap(), Incoming::Text("hi".into()));
    link.send(Message::Text("ho".into())).await.unwrap();
    let mut frame = [0; 4];
    far.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, [0x81, 2, b'h', b'o']);
}

#[tokio::test(start_paused = true)]
async fn both_sides_speak_over_a_stream_that_somebody_else_has_opened() {
    let (near, far) = tokio::io::duplex(1024);
    let config = WebSocketConfig::new().with_ping_interval(Some(Duration::from_secs(1)));
    let mut client = WebSocket::from_dialled(near, &config).await;
    let mut server = WebSocket::from_upgraded(far, &WebSocketConfig::new()).await;
    client.send(Message::Text("to you".into())).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), Incoming::Text("to you".into()));
    server.send(Message::Text("and back".into())).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), Incoming::Text("and back".into()));
    // From here on nobody answers a ping.
    let begun = tokio::time::Instant::now();
    let error = next(&mut client).await.unwrap_err();
    assert!(matches!(error, TransportError::Unresponsive { .. }), "{error:?}");
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let mut listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_address();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let connector = WebSocketConnector::new(endpoint(&listener, "/"))
        .with_proxy(Proxy::parse(&url).unwrap().with_basic("me", &Secret::new("pw").unwrap()));
    let proxying = tokio::spawn(async move {
        let (mut near, _) = proxy.accept().await.unwrap();
        let head = read_head(&mut near).await;
        let mut far = TcpStream::connect(target).await.unwrap();
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        head
    });
    let server = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (client, server) = tokio::join!(connector.connect(), server);
    drop((client.unwrap(), server));
    let head = proxying.await.unwrap();
    assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n")), "{head}");
    assert!(head.contains("proxy-authorization: Basic bWU6cHc=\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let (proxy, server) = scripted(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let url = format!("http://{}", proxy.authority());
    let connector = WebSocketConnector::new(Endpoint::parse("ws://example.invalid/").unwrap())
        .with_proxy(Proxy::parse(&url).unwrap());
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, TransportError::ProxyRefused { status: 407, .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Never);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_never_answers_runs_into_the_deadline() {
    let (proxy, server) = scripted(b"").await;
    let proxy = Proxy::parse(&format!("http://{}", proxy.authority())).unwrap();
    let own = Duration::from_secs(1);
    let config = WebSocketConfig::new().with_stage_timeout(ConnectStage::Proxy, own);
    let endpoint = Endpoint::parse("ws://example.invalid/").unwrap();
    let connector = WebSocketConnector::new(endpoint).with_proxy(proxy).with_config(config);
    let error = connector.connect().await.unwrap_err();
    assert!(
        matches!(error, TransportError::Timeout { stage: ConnectStage::Proxy, limit } if limit == own),
        "{error:?}"
    );
    assert_eq!(error.retry(), Retry::AfterBackoff);
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_asks_is_hung_up_on_at_the_limit() {
    let config = WebSocketConfig::new().with_connect_timeout(Duration::from_secs(2));
    let mut listener = WebSocketListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .with_config(ListenerConfig::new().with_websocket(config));
    let mut silent = TcpStream::connect(listener.local_address()).await.unwrap();
    silent.write_all(b"GET / HT").await.unwrap();
    let begun = tokio::time::Instant::now();
    let accepting = tokio::spawn(async move { drop(listener.accept().await) });
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap(), 0, "hung up on, without an answer");
    assert_eq!(begun.elapsed().as_secs(), 2);
    accepting.abort();
}

#[tokio::test]
async fn a_taken_port_is_a_listen_error() {
    let listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
    let error = WebSocketListener::bind(&listener.local_address().to_string()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on `127.0.0.1:"), "{error}");
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
