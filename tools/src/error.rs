//! How a command ends badly: one clear line and an exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// A command that could not do what was asked. The text says what was seen, what was expected, and what to do.
#[non_exhaustive]
#[derive(Debug)]
pub enum ToolError {
    /// It was tried and did not work out: exit code 1.
    Failed(String),
    /// What was typed cannot be done: exit code 2.
    Usage(String),
}

impl ToolError {
    /// A failure from an error and all its causes.
    pub(crate) fn failed(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) => f.write_str(text),
        }
    }
}

impl Error for ToolError {}

/// An error and its causes on one line, each once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
