//! Where output goes: results to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints one line of a result. A reader that has gone away wants no more of it.
pub(crate) fn result(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints one line about what is going on.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// `1 link`, `2 links`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
