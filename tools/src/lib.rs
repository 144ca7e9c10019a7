//! What the `voxline` command is made of, for programs and tests that want the parts.
#![forbid(unsafe_code)]

pub mod simulate;
pub mod timeline;
pub mod wavfile;
