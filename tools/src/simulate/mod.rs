//! The other side of every wire, built for real so that no test needs a vendor.

pub mod agenthuman;
pub mod caller;
mod certificate;
mod command;
pub mod recordings;
pub mod slng;
pub mod voice;

pub(crate) use command::run;
