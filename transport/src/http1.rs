//! HTTP/1.1 messages on a byte stream, read with bounds: as much as upgrades, webhooks and REST calls need.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::TransportError;

/// A byte stream with what was read from it too early.
#[derive(Debug)]
pub(crate) struct Http1<S> {
    io: S,
    buffer: BytesMut,
}

/// What may be read at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

/// Bytes that are no acceptable HTTP message.
#[derive(Debug, Error)]
pub(crate) enum Http1Error {
    #[error("{0}")]
    Bad(&'static str),
    #[error("body of {size} bytes is larger than {max}")]
    BodyTooLarge { size: usize, max: usize },
    #[error("head is larger than {max} bytes")]
    HeadTooLarge { max: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Http1Error {
    /// What a server answers; `None` where nobody would hear it.
    pub(crate) const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Bad(_) => Some(StatusCode::BAD_REQUEST),
            Self::BodyTooLarge { .. } => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::HeadTooLarge { .. } => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::Io(_) => None,
        }
    }

    /// What a client reports about the server it asked.
    pub(crate) fn into_transport(self, authority: String) -> TransportError {
        match self {
            Self::Bad(what) => TransportError::NotHttp { authority, what },
            Self::BodyTooLarge { size, max } => TransportError::TooLarge { size, max },
            Self::HeadTooLarge { .. } => TransportError::NotHttp { authority, what: "its answer has no end" },
            Self::Io(error) => TransportError::Reset(error),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// The stream, and the bytes after the last message read.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.buffer)
    }

    /// Reads one request with its body.
    pub(crate) async fn read_request(&mut self, limits: Limits) -> Result<Request<Bytes>, Http1Error> {
        let head = self.read_head(limits.head_bytes).await?;
        let mut request = parse_request(&head)?;
        let body = BodyLength::of_request(request.headers())?;
        if body != BodyLength::Exact(0) && is(request.headers(), &EXPECT, "100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        *request.body_mut() = self.read_body(body, limits.body_bytes).await?.whole(limits.body_bytes)?;
        Ok(request)
    }

    /// Reads the head of one final response; its body is read by [`Self::read_response_body`].
    pub(crate) async fn read_response_head(&mut self, max: usize) -> Result<Response<()>, Http1Error> {
        loop {
            let head = self.read_head(max).await?;
            let response = parse_response(&head)?;
            // Interim answers (100, 102, 103) precede the real one; 101 is one.
            if !response.status().is_informational() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
        }
    }

    /// Reads the body that belongs to `head`, as far as `max` bytes.
    pub(crate) async fn read_response_body(
        &mut self,
        head: &Response<()>,
        max: usize,
    ) -> Result<Body, Http1Error> {
        let length = BodyLength::of_response(head)?;
        self.read_body(length, max).await
    }

    pub(crate) async fn write_request(&mut self, request: &Request<Bytes>) -> Result<(), Http1Error> {
        let target = match request.uri().path_and_query() {
            Some(target) => target.as_str(),
            None => request.uri().authority().map_or("/", |authority| authority.as_str()),
        };
        let line = format!("{} {target} HTTP/1.1\r\n", request.method());
        self.write_message(line, request.headers(), request.body()).await
    }

    /// Writes a response; `Content-Length` is ours to say, and the connection ends with it.
    pub(crate) async fn write_response(&mut self, response: &Response<Bytes>) -> Result<(), Http1Error> {
        let status = response.status();
        let line = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or(""));
        let mut headers = response.headers().clone();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(response.body().len()));
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.write_message(line, &headers, response.body()).await
    }

    async fn write_message(
        &mut self,
        line: String,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Http1Error> {
        let mut bytes = line.into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Http1Error> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    /// Ends the connection so that what was written arrives: our half first, then what the peer
    /// still sends is read away. Closing with unread data would make the system reset the
    /// connection, and the peer would lose the response with it: RFC 9112 §9.6.
    pub(crate) async fn finish(&mut self) {
        let linger = async {
            self.io.shutdown().await?;
            let mut left = LINGER_BYTES;
            while left > 0 {
                self.buffer.clear();
                self.read_more().await?;
                left = left.saturating_sub(self.buffer.len());
            }
            Ok::<(), Http1Error>(())
        };
        // However the peer takes its leave, the response was written and nothing is left to do.
        let _ = timeout(LINGER, linger).await;
    }

    async fn read_head(&mut self, max: usize) -> Result<BytesMut, Http1Error> {
        let mut searched = 0;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n", searched) {
                if end > max {
                    return Err(Http1Error::HeadTooLarge { max });
                }
                return Ok(self.buffer.split_to(end));
            }
            if self.buffer.len() > max {
                return Err(Http1Error::HeadTooLarge { max });
            }
            searched = self.buffer.len().saturating_sub(3);
            self.read_more().await?;
        }
    }

    async fn read_body(&mut self, length: BodyLength, max: usize) -> Result<Body, Http1Error> {
        match length {
            BodyLength::Exact(length) => {
                let wanted = length.min(max);
                while self.buffer.len() < wanted {
                    self.read_more().await?;
                }
                Ok(Body { bytes: self.buffer.split_to(wanted).freeze(), size: length })
            }
            BodyLength::Chunked => self.read_chunks(max).await,
            BodyLength::UntilClose => {
                while self.buffer.len() <= max {
                    match self.read_more().await {
                        Ok(()) => {}
                        Err(Http1Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                        Err(error) => return Err(error),
                    }
                }
                let size = self.buffer.len();
                Ok(Body { bytes: self.buffer.split_to(size.min(max)).freeze(), size })
            }
        }
    }

    async fn read_chunks(&mut self, max: usize) -> Result<Body, Http1Error> {
        let mut body = BytesMut::new();
        loop {
            let size = match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((line, size))) => {
                    self.buffer.advance(line);
                    usize::try_from(size).unwrap_or(usize::MAX)
                }
                Ok(httparse::Status::Partial) if self.buffer.len() <= CHUNK_LINE_BYTES => {
                    self.read_more().await?;
                    continue;
                }
                Ok(httparse::Status::Partial) | Err(_) => {
                    return Err(Http1Error::Bad("chunk size does not parse"));
                }
            };
            if size == 0 {
                // Trailers would follow; the connection ends here, so they are left unread.
                return Ok(Body { size: body.len(), bytes: body.freeze() });
            }
            let wanted = size.min(max - body.len());
            while self.buffer.len() < wanted {
                self.read_more().await?;
            }
            body.extend_from_slice(&self.buffer.split_to(wanted));
            if wanted < size {
                return Ok(Body { size: (body.len() - wanted).saturating_add(size), bytes: body.freeze() });
            }
            while self.buffer.len() < 2 {
                self.read_more().await?;
            }
            if self.buffer.split_to(2) != b"\r\n"[..] {
                return Err(Http1Error::Bad("chunk does not end where its size says"));
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Http1Error> {
        self.buffer.reserve(READ_BYTES);
        if self.io.read_buf(&mut self.buffer).await? == 0 {
            let error =
                io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed inside an HTTP message");
            return Err(error.into());
        }
        Ok(())
    }
}

/// A body, or the start of one that is larger than what was asked for.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// As stated by the peer, or as much as was seen of it.
    size: usize,
}

impl Body {
    /// The bytes, if they are all.
    pub(crate) fn whole(self, max: usize) -> Result<Bytes, Http1Error> {
        if self.size > max { Err(Http1Error::BodyTooLarge { size: self.size, max }) } else { Ok(self.bytes) }
    }
}

/// How the end of a body is found: RFC 9112 §6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyLength {
    Chunked,
    Exact(usize),
    UntilClose,
}

impl BodyLength {
    fn of_request(headers: &HeaderMap) -> Result<Self, Http1Error> {
        Ok(Self::stated(headers)?.unwrap_or(Self::Exact(0)))
    }

    fn of_response(head: &Response<()>) -> Result<Self, Http1Error> {
        match head.status() {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Ok(Self::Exact(0)),
            _ => Ok(Self::stated(head.headers())?.unwrap_or(Self::UntilClose)),
        }
    }

    fn stated(headers: &HeaderMap) -> Result<Option<Self>, Http1Error> {
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        match (headers.contains_key(TRANSFER_ENCODING), lengths.next()) {
            // Two lengths for one body are how requests are smuggled past a proxy.
            (true, Some(_)) => Err(Http1Error::Bad("both `content-length` and `transfer-encoding`")),
            (true, None) if is(headers, &TRANSFER_ENCODING, "chunked") => Ok(Some(Self::Chunked)),
            (true, None) => Err(Http1Error::Bad("`transfer-encoding` other than `chunked`")),
            (false, None) => Ok(None),
            (false, Some(length)) => {
                let digits = length.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let parsed = digits.and_then(|text| text.parse().ok());
                match (parsed, lengths.next()) {
                    (Some(length), None) => Ok(Some(Self::Exact(length))),
                    (None, _) | (_, Some(_)) => Err(Http1Error::Bad("`content-length` is not one number")),
                }
            }
        }
    }
}

/// Whether a comma-separated header holds `token`, in any case.
pub(crate) fn is(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// `Retry-After` in seconds; the form with a date needs a wall clock and counts as absent.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn parse_request(head: &[u8]) -> Result<Request<Bytes>, Http1Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let complete =
        parsed.parse(head).map_err(|_| Http1Error::Bad("request head does not parse"))?.is_complete();
    let (true, Some(method), Some(target), Some(1)) = (complete, parsed.method, parsed.path, parsed.version)
    else {
        return Err(Http1Error::Bad("not an HTTP/1.1 request"));
    };
    let mut request = Request::new(Bytes::new());
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|_| Http1Error::Bad("method does not parse"))?;
    *request.uri_mut() =
        Uri::try_from(target).map_err(|_| Http1Error::Bad("request target does not parse"))?;
    *request.headers_mut() = to_map(parsed.headers)?;
    Ok(request)
}

fn parse_response(head: &[u8]) -> Result<Response<()>, Http1Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let complete = parsed.parse(head).map_err(|_| Http1Error::Bad("answer is not HTTP"))?.is_complete();
    let (true, Some(code)) = (complete, parsed.code) else {
        return Err(Http1Error::Bad("answer is not HTTP"));
    };
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(code).map_err(|_| Http1Error::Bad("status is out of range"))?;
    *response.headers_mut() = to_map(parsed.headers)?;
    Ok(response)
}

fn to_map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, Http1Error> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Http1Error::Bad("header name does not parse"))?;
        let mut value = HeaderValue::from_bytes(header.value)
            .map_err(|_| Http1Error::Bad("header value does not parse"))?;
        value.set_sensitive(names_a_secret(name.as_str()));
        map.append(name, value);
    }
    Ok(map)
}

/// Whether a header or a query parameter of this name may hold a credential.
pub(crate) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let at = haystack[from..].windows(needle.len()).position(|window| window == needle)?;
    Some(from + at + needle.len())
}

/// More than any server's answer before its body.
pub(crate) const HEAD_BYTES: usize = 16 << 10;
/// More headers than any honest peer sends.
const MAX_HEADERS: usize = 100;
/// The longest line that may state a chunk's size.
const CHUNK_LINE_BYTES: usize = 256;
const READ_BYTES: usize = 1024;
/// How much of an unwanted body is read before the peer is left alone.
const LINGER_BYTES: usize = 1 << 20;
/// How long a peer may take to close after a response that says the connection ends.
const LINGER: Duration = Duration::from_millis(500);
const SECRET_WORDS: &[&str] =
    &["auth", "cookie", "credential", "key", "passw", "secret", "signature", "token"];

#[cfg(test)]
mod tests;
