//! The answer that turns a call into a stream.

use std::fmt::{self, Write as _};
use std::num::NonZeroU32;

use http::Method;
use thiserror::Error;
use voxline_audio::{AudioFormat, SampleRate};

use super::types::{FORMATS, mime};
use crate::is_loopback;

/// A `<Stream>` element in a `<Response>`. What Plivo would refuse cannot be built.
///
/// A two-way stream takes the inbound track only, whatever some of Plivo's pages say; a one-way
/// stream may take any. `contentType` is always written, since Plivo's pages disagree on its default.
///
/// ```
/// use voxline_protocol::plivo::StreamXml;
///
/// let xml = StreamXml::two_way("wss://voice.example.com/stream?call=42&lang=en")?
///     .with_header("tenant", "acme")?
///     .to_string();
/// assert_eq!(xml, concat!(
///     r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
///     r#"<Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000" "#,
///     r#"extraHeaders="tenant=acme">wss://voice.example.com/stream?call=42&amp;lang=en</Stream></Response>"#,
/// ));
/// assert!(StreamXml::two_way("https://voice.example.com/stream").is_err());
/// # Ok::<(), voxline_protocol::plivo::XmlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamXml {
    url: String,
    /// `None` for a two-way stream.
    tracks: Option<StreamTracks>,
    keep_call_alive: bool,
    format: AudioFormat,
    timeout: Option<NonZeroU32>,
    status: Option<(String, Method)>,
    headers: String,
    noise_cancellation: Option<u8>,
}

/// What a one-way stream listens to.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamTracks {
    /// Both, as two tracks.
    Both,
    /// What the person on the phone says.
    Inbound,
    /// What that person hears.
    Outbound,
}

impl StreamXml {
    /// A stream that hears the caller and speaks to them, and keeps the call alive meanwhile.
    ///
    /// # Errors
    /// The address is no `wss://` one with a public host, or is too long.
    pub fn two_way(url: &str) -> Result<Self, XmlError> {
        let host = check_url(url, "wss://")?;
        if is_private(&host) {
            return Err(XmlError::Host { host });
        }
        Ok(Self::stream(url))
    }

    /// A two-way stream to a simulated Plivo's neighbour: `ws://` to a loopback host, where the real one cannot reach.
    ///
    /// # Errors
    /// The address is no `ws://` one of a loopback host, or is too long.
    pub fn on_loopback(url: &str) -> Result<Self, XmlError> {
        let host = check_url(url, "ws://")?;
        if !is_loopback(&host) {
            return Err(XmlError::Scheme { url: url.to_owned() });
        }
        Ok(Self::stream(url))
    }

    /// A stream that only listens, while the rest of the call goes on.
    ///
    /// # Errors
    /// As [`two_way`](Self::two_way).
    pub fn listening(url: &str, tracks: StreamTracks) -> Result<Self, XmlError> {
        Ok(Self { tracks: Some(tracks), keep_call_alive: false, ..Self::two_way(url)? })
    }

    /// Whether the call waits for the stream to end. Without it, and with nothing after the element,
    /// the call ends within seconds.
    #[must_use]
    pub fn with_keep_call_alive(self, keep_call_alive: bool) -> Self {
        Self { keep_call_alive, ..self }
    }

    /// Sets what both directions carry; µ-law at 8 kHz unless set, which has the lowest latency.
    ///
    /// # Errors
    /// Plivo does not stream in this format.
    pub fn with_format(self, format: AudioFormat) -> Result<Self, XmlError> {
        if FORMATS.contains(&format) { Ok(Self { format, ..self }) } else { Err(XmlError::Format(format)) }
    }

    /// Ends the stream after so many seconds; a day unless set.
    #[must_use]
    pub fn with_timeout(self, seconds: NonZeroU32) -> Self {
        Self { timeout: Some(seconds), ..self }
    }

    /// Where status callbacks go, by POST.
    ///
    /// # Errors
    /// The address is no `http://` or `https://` one.
    pub fn with_status_callback(self, url: &str) -> Result<Self, XmlError> {
        self.with_status(url, Method::POST)
    }

    /// Where status callbacks go, by GET.
    ///
    /// # Errors
    /// The address is no `http://` or `https://` one.
    pub fn with_status_callback_by_get(self, url: &str) -> Result<Self, XmlError> {
        self.with_status(url, Method::GET)
    }

    /// Adds a pair that comes back in `start`. Plivo logs it: no secrets.
    ///
    /// # Errors
    /// A character other than a letter or digit (a key may hold `_` and `-`), or more than 512 bytes in all.
    pub fn with_header(mut self, key: &str, value: &str) -> Result<Self, XmlError> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain(&key.replace(['_', '-'], "x")) || !plain(value) {
            return Err(XmlError::Header { pair: format!("{key}={value}") });
        }
        if !self.headers.is_empty() {
            self.headers.push(',');
        }
        let _ = write!(self.headers, "{key}={value}");
        if self.headers.len() > MAX_HEADERS {
            return Err(XmlError::Headers { bytes: self.headers.len() });
        }
        Ok(self)
    }

    /// Has Plivo suppress noise in the caller's audio: 60 to 100, where more removes more, and 85 is usual.
    ///
    /// # Errors
    /// A level outside 60 to 100.
    pub fn with_noise_cancellation(self, level: u8) -> Result<Self, XmlError> {
        if (60..=100).contains(&level) {
            Ok(Self { noise_cancellation: Some(level), ..self })
        } else {
            Err(XmlError::NoiseLevel(level))
        }
    }

    fn stream(url: &str) -> Self {
        Self {
            url: url.trim().to_owned(),
            tracks: None,
            keep_call_alive: true,
            format: AudioFormat::PHONE,
            timeout: None,
            status: None,
            headers: String::new(),
            noise_cancellation: None,
        }
    }

    fn with_status(self, url: &str, method: Method) -> Result<Self, XmlError> {
        if ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len()) {
            Ok(Self { status: Some((url.to_owned(), method)), ..self })
        } else {
            Err(XmlError::StatusUrl { url: url.to_owned() })
        }
    }
}

impl fmt::Display for StreamXml {
    /// The whole document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"<?xml version="1.0" encoding="UTF-8"?><Response><Stream"#)?;
        match self.tracks {
            None => f.write_str(r#" bidirectional="true""#)?,
            Some(StreamTracks::Both) => f.write_str(r#" audioTrack="both""#)?,
            Some(StreamTracks::Inbound) => f.write_str(r#" audioTrack="inbound""#)?,
            Some(StreamTracks::Outbound) => f.write_str(r#" audioTrack="outbound""#)?,
        }
        write!(
            f,
            r#" keepCallAlive="{}" contentType="{}""#,
            self.keep_call_alive,
            content_type(self.format)
        )?;
        if let Some(seconds) = self.timeout {
            write!(f, r#" streamTimeout="{seconds}""#)?;
        }
        if let Some((url, method)) = &self.status {
            write!(f, r#" statusCallbackUrl="{}" statusCallbackMethod="{method}""#, Escaped(url))?;
        }
        if !self.headers.is_empty() {
            write!(f, r#" extraHeaders="{}""#, Escaped(&self.headers))?;
        }
        if let Some(level) = self.noise_cancellation {
            write!(f, r#" noiseCancellation="true" noiseCancellationLevel="{level}""#)?;
        }
        write!(f, ">{}</Stream></Response>", Escaped(&self.url))
    }
}

/// Why an element would not work.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum XmlError {
    /// Plivo does not stream in this format.
    #[error("{0} is no format of a Plivo stream; use µ-law at 8 kHz, or 16-bit linear at 8, 16 or 24 kHz")]
    Format(AudioFormat),
    /// A pair with characters that do not survive the way.
    #[error("extra header `{pair}` must be letters and digits, with `_` and `-` in the key only")]
    Header {
        /// The pair.
        pair: String,
    },
    /// More pairs than fit.
    #[error("extra headers take {bytes} bytes; Plivo takes 512")]
    Headers {
        /// Bytes they would take.
        bytes: usize,
    },
    /// The host cannot be reached from Plivo.
    #[error("`{host}` cannot be reached from Plivo; use a public host, or a tunnel to this one")]
    Host {
        /// The host.
        host: String,
    },
    /// A level outside its range.
    #[error("noise cancellation level {0} is outside 60 to 100")]
    NoiseLevel(u8),
    /// No `wss://` address.
    #[error("stream address `{url}` must begin with wss:// and name a host")]
    Scheme {
        /// The address.
        url: String,
    },
    /// No address a status callback could go to.
    #[error("status callback address `{url}` must begin with http:// or https:// and name a host")]
    StatusUrl {
        /// The address.
        url: String,
    },
    /// The address is too long.
    #[error("stream address of {chars} characters is too long; Plivo takes 2048")]
    TooLong {
        /// Its length.
        chars: usize,
    },
}

/// The combined form of a format, as XML and REST write it.
pub(super) fn content_type(format: AudioFormat) -> String {
    let rate: SampleRate = format.rate;
    format!("{};rate={}", mime(format.encoding).unwrap_or_default(), rate.hz())
}

/// The host of an address of this scheme.
fn check_url(url: &str, scheme: &str) -> Result<String, XmlError> {
    let url = url.trim();
    let chars = url.chars().count();
    if chars > MAX_URL {
        return Err(XmlError::TooLong { chars });
    }
    let bad = || XmlError::Scheme { url: url.to_owned() };
    let rest = url.strip_prefix(scheme).ok_or_else(bad)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, _)) => host,
        None => host.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad());
    }
    Ok(host.to_owned())
}

fn is_private(host: &str) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let host = host.to_ascii_lowercase();
    let v4 = |ip: Ipv4Addr| ip.is_private() || ip.is_link_local() || ip.is_unspecified();
    let v6 = |ip: Ipv6Addr| ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local();
    is_loopback(&host) || host.ends_with(".local") || host.parse().is_ok_and(v4) || host.parse().is_ok_and(v6)
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                // XML 1.0 section 2.2 has no place for other control characters, escaped or not.
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Plivo's limits, as its guide and XML reference state them.
const MAX_URL: usize = 2_048;
const MAX_HEADERS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plivo_would_refuse_cannot_be_built() {
        for (url, expected) in [
            ("ws://voice.example.com/s", "must begin with wss://"),
            ("wss://", "must begin with wss://"),
            ("wss://a b", "must begin with wss://"),
            ("wss://localhost:8080/s", "cannot be reached"),
            ("wss://127.0.0.1/s", "cannot be reached"),
            ("wss://10.1.2.3/s", "cannot be reached"),
            ("wss://[::1]:9/s", "cannot be reached"),
        ] {
            let error = StreamXml::two_way(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
        let long = format!("wss://a.example/{}", "x".repeat(2_048));
        assert!(matches!(StreamXml::two_way(&long), Err(XmlError::TooLong { .. })));
        let xml = || StreamXml::two_way("wss://a.example/s").unwrap();
        assert!(xml().with_format(AudioFormat::linear16(SampleRate::Hz48000)).is_err());
        assert!(xml().with_noise_cancellation(59).is_err());
        assert!(xml().with_header("a", "x,y=z").is_err());
        assert!(xml().with_header("a", &"x".repeat(511)).is_err());
        assert!(xml().with_status_callback("ftp://a").is_err());
    }

    #[test]
    fn a_plain_stream_stays_on_this_machine() {
        for url in ["ws://127.0.0.1:8080/s", "ws://localhost/s", "ws://[::1]:9/s"] {
            assert!(StreamXml::on_loopback(url).is_ok(), "{url}");
        }
        for url in ["ws://voice.example.com/s", "wss://127.0.0.1/s", "ws://10.0.0.1/s", "ws://"] {
            assert!(StreamXml::on_loopback(url).is_err(), "{url}");
        }
    }

    /// A call that hangs up after its stream is what nobody asks for by mistake.
    #[test]
    fn a_two_way_stream_holds_the_call_unless_told_otherwise() {
        let xml = StreamXml::two_way("wss://a.example/s").unwrap();
        assert!(xml.to_string().contains(r#"bidirectional="true""#));
        assert!(xml.to_string().contains(r#"keepCallAlive="true""#));
        assert!(xml.with_keep_call_alive(false).to_string().contains(r#"keepCallAlive="false""#));
    }

    #[test]
    fn every_attribute_is_written_and_escaped() {
        let xml = StreamXml::listening("wss://a.example/s?a=1&b=<2>", StreamTracks::Both)
            .and_then(|xml| xml.with_status_callback_by_get("https://a.example/\"st'atus\"?x=1&y=2"))
            .and_then(|xml| xml.with_format(AudioFormat::linear16(SampleRate::Hz16000)))
            .and_then(|xml| xml.with_noise_cancellation(85))
            .unwrap()
            .with_timeout(NonZeroU32::MIN)
            .to_string();
        for part in [
            r#" audioTrack="both" keepCallAlive="false" contentType="audio/x-l16;rate=16000" streamTimeout="1""#,
            r#" statusCallbackUrl="https://a.example/&quot;st&apos;atus&quot;?x=1&amp;y=2" statusCallbackMethod="GET""#,
            r#" noiseCancellation="true" noiseCancellationLevel="85">wss://a.example/s?a=1&amp;b=&lt;2&gt;</Stream>"#,
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
    }
}
