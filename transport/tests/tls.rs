//! TLS on loopback with certificates made for the test: who is believed, and what a failure says.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::error::Error as _;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use voxline_protocol::Message;
use voxline_transport::{
    Acceptor, ClientTls, ConnectStage, Connector, Endpoint, Exchange, Incoming, Retry, ServerTls, TlsError,
    TransportError, WebSocketConfig, WebSocketConnector, WebSocketListener,
};

/// An issuer nobody believes yet, and a server certificate of its making.
struct Certificates {
    root: String,
    chain: String,
    key: String,
}

fn certificates(host: &str) -> Certificates {
    let mut issuer = CertificateParams::new(Vec::new()).unwrap();
    issuer.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Certificates { root: issuer.pem(), chain: server.pem(), key: key.serialize_pem() }
}

async fn listening(certificates: &Certificates) -> (WebSocketListener, Endpoint) {
    let tls = ServerTls::from_pem(certificates.chain.as_bytes(), certificates.key.as_bytes()).unwrap();
    let listener = WebSocketListener::bind("127.0.0.1:0").await.unwrap().with_tls(tls);
    let port = listener.local_address().port();
    (listener, Endpoint::parse(&format!("wss://localhost:{port}/")).unwrap())
}

#[tokio::test]
async fn a_believed_issuer_makes_a_link_that_carries_large_messages() {
    let certificates = certificates("localhost");
    let (mut listener, endpoint) = listening(&certificates).await;
    let tls = ClientTls::with_roots_from_pem(certificates.root.as_bytes()).unwrap();
    let connector = WebSocketConnector::new(endpoint).with_tls(tls);
    let server = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (client, mut server) = tokio::join!(connector.connect(), server);
    let mut client = client.unwrap();
    let large = Message::Binary(vec![9; 300_000].into());
    let (sent, received) = tokio::join!(client.send(large), server.next());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap(), Incoming::Binary(vec![9; 300_000].into()));
}

#[tokio::test]
async fn an_unknown_issuer_and_a_wrong_name_are_final_and_say_why() {
    let certificates = certificates("elsewhere.test");
    let believing = ClientTls::with_roots_from_pem(certificates.root.as_bytes()).unwrap();
    for (name, tls, expected, remedy) in [
        ("unknown issuer", ClientTls::new(), "UnknownIssuer", "extra root"),
        ("wrong name", believing, "not valid for name", "a host name that the certificate is for"),
    ] {
        let (mut listener, endpoint) = listening(&certificates).await;
        let connector = WebSocketConnector::new(endpoint).with_tls(tls);
        let error = tokio::select! {
            result = connector.connect() => result.unwrap_err(),
            _ = listener.accept() => unreachable!("no request can follow"),
        };
        assert_eq!(error.retry(), Retry::Never, "{name}");
        let cause = error.source().unwrap().to_string();
        assert!(matches!(error, TransportError::Tls { .. }), "{name}: {error:?}");
        assert!(cause.contains(expected), "{name}: {cause}");
        assert!(error.to_string().contains(remedy), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure_that_may_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let plain = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.read_u8().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        tcp
    });
    let error = WebSocketConnector::new(Endpoint::parse(&url).unwrap()).connect().await.unwrap_err();
    assert!(matches!(error, TransportError::Tls { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterBackoff);
    assert!(error.to_string().contains("the port speaks TLS"), "{error}");
    plain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_runs_into_the_deadline_and_names_the_stage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let limit = Duration::from_secs(2);
    let connector = WebSocketConnector::new(Endpoint::parse(&url).unwrap())
        .with_config(WebSocketConfig::new().with_connect_timeout(limit));
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { stage: ConnectStage::Tls, limit: l } if l == limit));
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_told_apart() {
    let (ours, theirs) = (certificates("localhost"), certificates("localhost"));
    for (name, chain, key, of_certificate) in [
        ("no certificate", "nothing", ours.key.as_str(), true),
        ("no key", &ours.chain, "nothing", false),
        ("another's key", &ours.chain, &theirs.key, true),
    ] {
        let error = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(matches!(error, TlsError::Certificate(_)), of_certificate, "{name}: {error:?}");
    }
    assert!(ClientTls::with_roots_from_pem(b"").is_err());
}
