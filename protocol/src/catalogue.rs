//! Every error's stable code, with its meaning and its remedy: what the documents, the doctor and the logs share.

use std::fmt;

/// A stable name for one kind of failure, such as `slng/auth`. Never reused for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// A code from its name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The page of this code.
    #[must_use]
    pub fn entry(self) -> Option<&'static CodeEntry> {
        CATALOGUE.iter().flat_map(|part| part.iter()).find(|entry| entry.code == self)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One page of the catalogue.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeEntry {
    /// The stable name.
    pub code: Code,
    /// What it means, in one sentence a person on call understands.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whether the same attempt can succeed later without a change.
    pub retryable: bool,
    /// What to tell the person at the other end, who knows no protocol: one or two plain sentences.
    pub plain: &'static str,
}

impl CodeEntry {
    /// A page from its parts; `meaning` and `remedy` are whole sentences.
    #[must_use]
    pub const fn new(
        code: &'static str,
        retryable: bool,
        meaning: &'static str,
        remedy: &'static str,
    ) -> Self {
        let plain = if retryable { PLAIN_RETRY } else { PLAIN_STOP };
        Self { code: Code::new(code), meaning, remedy, retryable, plain }
    }

    /// The same page with its own words for the end user.
    #[must_use]
    pub(crate) const fn with_plain(self, plain: &'static str) -> Self {
        Self { plain, ..self }
    }
}

/// For the end user where a page has no words of its own.
const PLAIN_RETRY: &str = "There was a short interruption. We are trying again.";
const PLAIN_STOP: &str = "Something is set up wrongly on our side. Please contact support.";

/// Every code there is, one part a vendor.
pub const CATALOGUE: &[&[CodeEntry]] =
    &[OURS, crate::plivo::PLIVO, crate::agenthuman::CODES, crate::daily::CODES, crate::slng::codes::ENTRIES];

const OURS: &[CodeEntry] = &[
    CodeEntry::new(
        "address/cleartext",
        false,
        "A service's address is not encrypted and not on this machine, so its key would travel in clear.",
        "Give an https:// or wss:// address; http:// and ws:// are for 127.0.0.1, [::1], localhost and names under .localhost.",
    ),
    CodeEntry::new(
        "address/invalid",
        false,
        "A service's address is none: paths cannot be put behind it.",
        "Give a scheme and a host, such as https://api.example.com, without a user name, a query or a fragment.",
    ),
    CodeEntry::new(
        "command/closed",
        false,
        "A command reached a session that is closing or closed.",
        "Open a new session; a handle whose session ended cannot be used again.",
    )
    .with_plain("This conversation has ended. Please start a new one."),
    CodeEntry::new(
        "command/invalid",
        false,
        "A field of a command has a value the vendor would refuse.",
        "Change the named field as the message says; nothing was sent.",
    ),
    CodeEntry::new(
        "command/not-started",
        true,
        "A command came before the peer's start message.",
        "Wait for the `Started` event before sending.",
    ),
    CodeEntry::new(
        "command/partial-sample",
        false,
        "16-bit audio was handed over with an odd number of bytes.",
        "Cut audio at whole samples, or run it through a `Framer`.",
    ),
    CodeEntry::new(
        "command/queue-full",
        true,
        "More was handed over than the machine holds.",
        "Slow the producer down, or clear what is no longer wanted.",
    )
    .with_plain("We are a little behind. Please wait a moment."),
    CodeEntry::new(
        "protocol/limit",
        false,
        "The peer sent more of something than any honest peer does.",
        "Check that the peer speaks this protocol; raise the limit only if it does.",
    ),
    CodeEntry::new(
        "protocol/malformed",
        false,
        "A message the session cannot do without did not parse.",
        "Compare the excerpt in the message with the protocol reference; the peer or something between changed it.",
    ),
    CodeEntry::new(
        "protocol/timeout",
        true,
        "The peer did not answer in time.",
        "Check the peer's health and the network to it; the limit is in the configuration.",
    )
    .with_plain("The service is slow to answer. We are trying again."),
    CodeEntry::new(
        "protocol/unexpected",
        false,
        "A well-formed message came where the protocol does not allow it.",
        "Check that the peer speaks this protocol and this version of it.",
    ),
    CodeEntry::new(
        "protocol/unsupported-audio",
        false,
        "The peer announced audio this library cannot carry.",
        "Ask the peer for µ-law at 8 kHz or 16-bit linear at a supported rate.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_their_pages_complete() {
        let mut seen = HashSet::new();
        for entry in CATALOGUE.iter().flat_map(|part| part.iter()) {
            assert!(seen.insert(entry.code), "{} stands twice", entry.code);
            assert!(entry.meaning.ends_with('.') && entry.remedy.ends_with('.'), "{}", entry.code);
            assert!(!entry.plain.is_empty() && !entry.plain.contains('`'), "{}", entry.code);
            assert_eq!(entry.code.entry(), Some(entry));
        }
    }
}
