//! The brain of an agent, as a trait: text in, a stream of text out.

use std::fmt;

use futures::stream::BoxStream;
use thiserror::Error;

use super::History;

/// Answers a turn. The stream is dropped when the caller interrupts, so whatever it does stops with it.
///
/// ```
/// use futures::{StreamExt, stream};
/// use voxline_session::{History, Responder, ResponderError};
///
/// /// Says back what it heard.
/// #[derive(Debug)]
/// struct Parrot;
///
/// impl Responder for Parrot {
///     fn respond(&mut self, history: &History) -> stream::BoxStream<'static, Result<String, ResponderError>> {
///         let text = history.last_caller_text().unwrap_or_default().to_owned();
///         stream::iter([Ok(format!("You said: {text}"))]).boxed()
///     }
/// }
/// ```
pub trait Responder: fmt::Debug + Send {
    /// Starts the answer to what the caller said last. Pieces may be of any size; white space between
    /// words is the responder's to give.
    fn respond(&mut self, history: &History) -> BoxStream<'static, Result<String, ResponderError>>;
}

/// The answer could not be made, or not to its end.
#[non_exhaustive]
#[derive(Debug, Error)]
#[error("responder failed: {message}")]
pub struct ResponderError {
    /// What went wrong, in the responder's own words.
    pub message: String,
}

impl ResponderError {
    /// An error with these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
