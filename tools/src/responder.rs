//! Brains for agents that need no model: one that knows its lines, one that says back what it heard.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::time::sleep;
use voxline_session::{History, Responder, ResponderError};

/// Answers what it has lines for, word by word, as a model streams its tokens.
#[derive(Debug, Clone)]
pub struct ScriptedResponder {
    lines: Vec<(String, String)>,
    pace: Pace,
}

/// Says back what it heard.
#[derive(Debug, Clone, Default)]
pub struct EchoResponder {
    pace: Pace,
}

/// How fast words come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    each: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        // A small model with streaming.
        Self { first: Duration::from_millis(180), each: Duration::from_millis(12) }
    }
}

impl ScriptedResponder {
    /// Answers each first text with the second.
    #[must_use]
    pub fn new(lines: Vec<(String, String)>) -> Self {
        Self { lines, pace: Pace::default() }
    }
}

impl Responder for ScriptedResponder {
    fn respond(&mut self, history: &History) -> BoxStream<'static, Result<String, ResponderError>> {
        let heard = history.last_caller_text().unwrap_or_default();
        let line = self.lines.iter().find(|(said, _)| said == heard).map(|(_, reply)| reply.clone());
        words(line.unwrap_or_else(|| format!("I have no line for: {heard}")), self.pace).boxed()
    }
}

impl Responder for EchoResponder {
    fn respond(&mut self, history: &History) -> BoxStream<'static, Result<String, ResponderError>> {
        let heard = history.last_caller_text().unwrap_or_default();
        words(format!("You said: {heard}"), self.pace).boxed()
    }
}

/// `text` word by word, each with the white space behind it.
fn words(text: String, pace: Pace) -> impl Stream<Item = Result<String, ResponderError>> {
    stream::unfold((text, pace.first), move |(mut text, wait)| async move {
        if text.is_empty() {
            return None;
        }
        sleep(wait).await;
        let end = text.find(' ').map_or(text.len(), |space| space + 1);
        let rest = text.split_off(end);
        Some((Ok(text), (rest, pace.each)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn words_come_one_by_one_and_lose_nothing() {
        let pace = Pace::default();
        let said: Vec<_> = words("One two  three.".to_owned(), pace).map(Result::unwrap).collect().await;
        assert_eq!(said, ["One ", "two ", " ", "three."]);
    }
}
