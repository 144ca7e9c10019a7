//! Messages that are read, refused, and survived.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { head_bytes: 1024, body_bytes: 16 };

async fn read(bytes: &[u8]) -> Result<Request<Bytes>, Http1Error> {
    Http1::new(tokio::io::join(bytes, tokio::io::sink())).read_request(LIMITS).await
}

#[tokio::test]
async fn bodies_end_where_their_headers_say() {
    for (name, head, expected) in [
        ("none", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nrest", ""),
        ("length", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello!", "hello"),
        (
            "chunks",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            "hello",
        ),
    ] {
        let request = read(head.as_bytes()).await.unwrap();
        assert_eq!(request.body(), expected.as_bytes(), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_ambiguous_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(2000));
    for (name, head, expected) in [
        ("head", long.as_str(), 431),
        ("body", "POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n01234567890123456", 413),
        (
            "chunked body",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n01234567890123456\r\n",
            413,
        ),
        ("two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("signed length", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        ("repeated length", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        ("not HTTP", "\x16\x03\x01\x02\x00\r\n\r\n", 400),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 400),
    ] {
        let error = read(head.as_bytes()).await.unwrap_err();
        assert_eq!(error.status().map(|s| s.as_u16()), Some(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn credentials_in_headers_are_marked() {
    let request =
        read(b"GET / HTTP/1.1\r\nAuthorization: Bearer canary\r\nX-API-Key: canary\r\n\r\n").await.unwrap();
    assert!(!format!("{request:?}").contains("canary"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse_request(&bytes);
        let _ = parse_response(&bytes);
    }
}
