//! URLs, headers and credentials: what is taken, what is refused, what is never shown.

use proptest::prelude::*;
use voxline_protocol::Secret;

use super::*;

fn key() -> Secret {
    Secret::new("canary+/=1").unwrap()
}

#[test]
fn urls_are_taken_apart() {
    for (url, host, port, secure, header, target) in [
        ("ws://example.com", "example.com", 80, false, "example.com", "/"),
        (" wss://example.com/a?b=c\n", "example.com", 443, true, "example.com", "/a?b=c"),
        ("https://example.com:8443/x", "example.com", 8443, true, "example.com:8443", "/x"),
        ("http://[::1]:9000/", "::1", 9000, false, "[::1]:9000", "/"),
        ("WS://[::1]", "::1", 80, false, "[::1]", "/"),
    ] {
        let endpoint = Endpoint::parse(url).unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{url}");
        assert_eq!(endpoint.is_secure(), secure, "{url}");
        let request = endpoint.request();
        assert_eq!(request.headers()[HOST], header, "{url}");
        assert_eq!(request.uri().to_string(), target, "{url}");
    }
}

#[test]
fn a_url_that_cannot_be_dialled_is_refused_with_the_reason() {
    for (url, expected) in [
        ("", "`` is not a URL"),
        ("example.com", "scheme is ``"),
        ("example.com:80/x", "is not a URL"),
        ("ftp://x", "scheme is `ftp`"),
        ("ws://", "is not a URL"),
        ("ws://h:99999/", "is not a URL"),
        ("ws://h/a b", "is not a URL"),
        ("ws://me:canary@h/", "URL holds a user name"),
        ("ws://h/#x", "URL holds a `#`"),
    ] {
        let error = Endpoint::parse(url).unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("canary"), "{url}: {error}");
    }
}

/// The longest address with the longest key, every character escaped, is still an address.
#[test]
fn an_address_as_long_as_it_gets_is_a_request() {
    let url = |bytes: usize| format!("ws://localhost/{}", "x".repeat(bytes - 15));
    let key = Secret::new(&"%".repeat(Secret::MAX_BYTES)).unwrap();
    let request = Endpoint::parse(&url(URL_BYTES)).unwrap().with_token(key).request();
    assert!(request.uri().query().unwrap().len() > 3 * Secret::MAX_BYTES);
    let error = Endpoint::parse(&url(URL_BYTES + 1)).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
    assert!(Secret::new(&"x".repeat(Secret::MAX_BYTES + 1)).is_err());
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_at_once() {
    let endpoint = Endpoint::parse("ws://h/").unwrap();
    for (name, value) in [("a b", "x"), ("", "x"), ("a", "x\ny"), ("Host", "x"), ("Sec-WebSocket-Key", "x")] {
        assert!(
            matches!(endpoint.clone().with_header(name, value), Err(EndpointError::Header { .. })),
            "{name}"
        );
    }
}

#[test]
fn credentials_travel_and_are_never_shown() {
    let endpoint = Endpoint::parse("ws://h/p?x=1&api_key=canary")
        .unwrap()
        .with_bearer(key())
        .with_token(key())
        .with_secret_header("x-api-key", key())
        .unwrap()
        .with_header("x-other-token", "canary")
        .unwrap();
    let request = endpoint.request();
    assert_eq!(request.headers()[AUTHORIZATION], "Bearer canary+/=1");
    assert_eq!(request.headers()["x-api-key"], "canary+/=1");
    assert_eq!(request.uri().query(), Some("x=1&api_key=canary&token=canary%2B%2F%3D1"));
    for shown in [format!("{endpoint}"), format!("{endpoint:?}"), format!("{:?}", request.headers())] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_replaced_key_is_used_by_the_next_dial() {
    let key = Key::from(key());
    let endpoint = Endpoint::parse("ws://h/").unwrap().with_bearer(key.clone());
    key.replace(Secret::new("fresh").unwrap());
    assert_eq!(endpoint.request().headers()[AUTHORIZATION], "Bearer fresh");
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(url in ".{0,80}") {
        if let Ok(endpoint) = Endpoint::parse(&url) {
            let _ = endpoint.request();
        }
    }

    #[test]
    fn every_key_fits_every_carrier(key in "[!-~]{1,40}") {
        let key = Secret::new(&key).unwrap();
        let endpoint = Endpoint::parse("ws://h/").unwrap().with_bearer(key.clone()).with_token(key);
        let _ = endpoint.request();
    }
}

/// The endpoint with a key, in every way there is to give one.
fn with_a_key(url: &str) -> [Endpoint; 5] {
    let plain = || Endpoint::parse(url).unwrap();
    [
        plain().with_bearer(key()),
        plain().with_token(key()),
        plain().with_secret_header("x-mine", key()).unwrap(),
        plain().with_header("x-api-key", "k").unwrap(),
        plain().with_header("authorization", "Basic bWU6aw==").unwrap(),
    ]
}

#[test]
fn a_key_goes_to_another_machine_encrypted_or_not_at_all() {
    let none = HeaderMap::new();
    for endpoint in ["ws://api.example.com/", "http://10.0.0.1:8080/"].into_iter().flat_map(with_a_key) {
        let error = endpoint.check_cleartext(&none).unwrap_err();
        assert_eq!(error.code().as_str(), "transport/cleartext", "{endpoint:?}");
        assert_eq!(error.retry(), crate::Retry::Never, "{endpoint:?}");
    }
    let encrypted = ["wss://api.example.com/", "https://10.0.0.1/"];
    let here = ["ws://127.0.0.1:1/", "ws://speech.localhost/", "http://[::1]/"];
    for endpoint in encrypted.into_iter().chain(here).flat_map(with_a_key) {
        assert!(endpoint.check_cleartext(&none).is_ok(), "{endpoint:?}");
    }
    let (plain, mut own) = (Endpoint::parse("http://api.example.com/").unwrap(), HeaderMap::new());
    assert!(plain.check_cleartext(&own).is_ok(), "nothing is told");
    insert_secret(&mut own, AUTHORIZATION, "Bearer k");
    assert!(plain.check_cleartext(&own).is_err(), "a request's own login");
    let signed = plain.with_header("x-plivo-signature-v3", "abc").unwrap();
    assert!(signed.check_cleartext(&none).is_ok(), "a signature holds no key");
}
