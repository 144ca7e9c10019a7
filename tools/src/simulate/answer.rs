//! What an answer URL says: Plivo's XML, as far as a simulated call obeys it.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use voxline_audio::AudioFormat;
use voxline_protocol::plivo::FORMATS;

/// One element of a `<Response>`, to be obeyed in order.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The call ends, perhaps with `busy` or `rejected` for the caller.
    Hangup(Option<String>),
    /// Something a simulated call passes over.
    Other(String),
    /// The rest of the call is told at this address.
    Redirect(String),
    /// A stream begins.
    Stream(StreamOrder),
    /// Nothing happens for so long.
    Wait(Duration),
}

/// A `<Stream>` element.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOrder {
    /// What Plivo dials.
    pub url: String,
    /// Whether the server may speak.
    pub bidirectional: bool,
    /// Whether the call waits for the stream to end.
    pub keep_call_alive: bool,
    /// What both directions carry.
    pub format: AudioFormat,
    /// Where status callbacks go.
    pub status_url: Option<String>,
    /// `extraHeaders`.
    pub headers: Vec<(String, String)>,
}

/// An answer Plivo would end the call for, with hangup cause 8011.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// No well-formed document with one `<Response>`.
    #[error("answer is no Plivo XML: {what}")]
    Document {
        /// What was seen.
        what: String,
    },
    /// A stream Plivo would not start.
    #[error("`<Stream>` cannot start: {what}")]
    Stream {
        /// What is wrong with it.
        what: String,
    },
}

/// Reads an answer.
///
/// ```
/// use voxline::simulate::answer::{Step, read};
///
/// let steps = read(r#"<Response><Wait length="2"/><Stream keepCallAlive="true" bidirectional="true">
///     ws://127.0.0.1:8080/stream?a=1&amp;b=2 </Stream></Response>"#)?;
/// let Step::Stream(stream) = &steps[1] else { panic!() };
/// assert_eq!(stream.url, "ws://127.0.0.1:8080/stream?a=1&b=2");
/// assert!(read("{}").is_err());
/// # Ok::<(), voxline::simulate::answer::AnswerError>(())
/// ```
///
/// # Errors
/// Plivo would not obey it.
pub fn read(xml: &str) -> Result<Vec<Step>, AnswerError> {
    let root = Reader { rest: xml }.document()?;
    if root.name != "Response" {
        return Err(document(format_args!("the root is `<{}>`, not `<Response>`", root.name)));
    }
    root.children.into_iter().map(step).collect()
}

fn step(element: Element) -> Result<Step, AnswerError> {
    Ok(match element.name.as_str() {
        "Hangup" => Step::Hangup(element.attribute("reason").map(str::to_owned)),
        "Redirect" => Step::Redirect(element.text.trim().to_owned()),
        "Stream" => Step::Stream(stream(&element)?),
        "Wait" => {
            let seconds = element.attribute("length").and_then(|length| length.parse().ok()).unwrap_or(1);
            Step::Wait(Duration::from_secs(seconds))
        }
        _ => Step::Other(element.name),
    })
}

fn stream(element: &Element) -> Result<StreamOrder, AnswerError> {
    let bad = |what: String| AnswerError::Stream { what };
    let flag = |name: &str| match element.attribute(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(bad(format!("{name}=\"{other}\" is neither true nor false"))),
    };
    let url = element.text.trim();
    if !["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) || url.len() > MAX_URL {
        return Err(bad(format!("`{url}` is no ws:// or wss:// address of up to {MAX_URL} characters")));
    }
    let bidirectional = flag("bidirectional")?;
    let track = element.attribute("audioTrack").unwrap_or("inbound");
    if !["inbound", "outbound", "both"].contains(&track) || (bidirectional && track != "inbound") {
        return Err(bad(format!(
            "audioTrack=\"{track}\" does not go with bidirectional=\"{bidirectional}\""
        )));
    }
    let content_type = element.attribute("contentType").unwrap_or("audio/x-l16;rate=8000");
    let format = FORMATS.into_iter().find(|format| content_type_of(*format) == content_type);
    let format =
        format.ok_or_else(|| bad(format!("contentType=\"{content_type}\" is no format of a stream")))?;
    let headers = element.attribute("extraHeaders").unwrap_or_default().split([',', ';']);
    let headers = headers.filter_map(|pair| pair.split_once('='));
    Ok(StreamOrder {
        url: url.to_owned(),
        bidirectional,
        keep_call_alive: flag("keepCallAlive")?,
        format,
        status_url: element.attribute("statusCallbackUrl").map(str::to_owned),
        headers: headers.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect(),
    })
}

fn content_type_of(format: AudioFormat) -> String {
    let mime = if format == AudioFormat::PHONE { "audio/x-mulaw" } else { "audio/x-l16" };
    format!("{mime};rate={}", format.rate.hz())
}

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads as much of XML as Plivo's answers use: elements, attributes, text, comments, CDATA, the five entities.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Element, AnswerError> {
        self.skip_prolog()?;
        let root = self.element(0)?;
        self.skip_prolog()?;
        if self.rest.is_empty() { Ok(root) } else { Err(self.unexpected("text after the root")) }
    }

    fn skip_prolog(&mut self) -> Result<(), AnswerError> {
        loop {
            self.rest = self.rest.trim_start_matches('\u{feff}').trim_start();
            if self.rest.starts_with("<?") {
                self.until("?>")?;
            } else if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else {
                return Ok(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element, AnswerError> {
        if depth > MAX_DEPTH {
            return Err(document("elements stand too deep within each other"));
        }
        if !self.take("<") {
            return Err(self.unexpected("no element"));
        }
        let name = self.name()?;
        let mut element = Element { name, attributes: Vec::new(), children: Vec::new(), text: String::new() };
        loop {
            self.rest = self.rest.trim_start();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            let key = self.name()?;
            self.rest = self.rest.trim_start();
            if !self.take("=") {
                return Err(self.unexpected("an attribute without a value"));
            }
            self.rest = self.rest.trim_start();
            let quote = if self.take("\"") { "\"" } else { "'" };
            if quote == "'" && !self.take("'") {
                return Err(self.unexpected("an attribute without quotes"));
            }
            let value = self.until(quote)?;
            element.attributes.push((key, unescaped(value)));
        }
        loop {
            let text = self.rest.split('<').next().unwrap_or_default();
            element.text.push_str(&unescaped(text));
            self.rest = &self.rest[text.len()..];
            if self.take("</") {
                let name = self.until(">")?.trim();
                if name != element.name {
                    return Err(document(format_args!("`<{}>` is closed by `</{name}>`", element.name)));
                }
                return Ok(element);
            } else if self.take("<!--") {
                self.until("-->")?;
            } else if self.take("<![CDATA[") {
                element.text.push_str(self.until("]]>")?);
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }

    fn name(&mut self) -> Result<String, AnswerError> {
        let end =
            self.rest.find(|c: char| !c.is_alphanumeric() && !"_-:.".contains(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected("no name"));
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn until(&mut self, end: &str) -> Result<&'a str, AnswerError> {
        let missing = || document(format_args!("`{end}` is missing"));
        let (before, after) = self.rest.split_once(end).ok_or_else(missing)?;
        self.rest = after;
        Ok(before)
    }

    fn unexpected(&self, what: &str) -> AnswerError {
        let seen: String = self.rest.chars().take(24).collect();
        document(format_args!("{what} at `{seen}`"))
    }
}

fn document(what: impl fmt::Display) -> AnswerError {
    AnswerError::Document { what: what.to_string() }
}

fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

const MAX_URL: usize = 2_048;
/// Far more than any answer needs, and far less than a stack holds.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use voxline_protocol::plivo::StreamXml;

    use super::*;

    #[test]
    fn what_our_own_builder_writes_is_read_as_it_was_meant() {
        let xml = StreamXml::two_way("wss://a.example/stream?call=1&token=2")
            .and_then(|xml| xml.with_status_callback("https://a.example/status?x=1&y=2"))
            .and_then(|xml| xml.with_header("tenant", "acme"))
            .unwrap();
        let expected = StreamOrder {
            url: "wss://a.example/stream?call=1&token=2".to_owned(),
            bidirectional: true,
            keep_call_alive: true,
            format: AudioFormat::PHONE,
            status_url: Some("https://a.example/status?x=1&y=2".to_owned()),
            headers: vec![("tenant".to_owned(), "acme".to_owned())],
        };
        assert_eq!(read(&xml.to_string()), Ok(vec![Step::Stream(expected)]));
    }

    #[test]
    fn steps_are_obeyed_in_order_and_unknown_ones_passed_over() {
        let xml = "<?xml version='1.0'?><!-- hi --><Response><Speak>Hi <break/>there</Speak>\
                   <Wait length='3'/><Redirect>https://a.example/next</Redirect><Hangup/><Hangup reason='busy'/></Response>\n";
        let steps = [
            Step::Other("Speak".to_owned()),
            Step::Wait(Duration::from_secs(3)),
            Step::Redirect("https://a.example/next".to_owned()),
            Step::Hangup(None),
            Step::Hangup(Some("busy".to_owned())),
        ];
        assert_eq!(read(xml).unwrap(), steps);
    }

    #[test]
    fn what_plivo_would_refuse_is_refused() {
        let stream = |attributes: &str| {
            format!("<Response><Stream {attributes}>wss://a.example/s</Stream></Response>")
        };
        for (xml, expected) in [
            (String::new(), "no element"),
            ("<html></html>".to_owned(), "the root is `<html>`"),
            ("<Response><Stream></Response>".to_owned(), "closed by"),
            ("<Response>".to_owned(), "no element"),
            ("<Response/><Response/>".to_owned(), "text after the root"),
            ("<Response><Stream>https://a.example/s</Stream></Response>".to_owned(), "no ws:// or wss://"),
            (stream("bidirectional='yes'"), "neither true nor false"),
            (stream("bidirectional='true' audioTrack='both'"), "does not go with"),
            (stream("contentType='audio/x-mulaw'"), "no format"),
            (stream("keepCallAlive=true"), "without quotes"),
            ("<a>".repeat(100), "too deep"),
        ] {
            let error = read(&xml).unwrap_err().to_string();
            assert!(error.contains(expected), "{xml}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(xml in "[<>/!a-cR=\"'& \\-\\[\\]?]{0,60}") {
            let _ = read(&xml);
        }
    }
}
