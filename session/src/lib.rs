//! See the crate's documentation below.
#![forbid(unsafe_code)]
