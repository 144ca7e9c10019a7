//! The other side of every wire, built for real so that no test needs a vendor.

pub mod agenthuman;
pub mod answer;
pub mod caller;
mod certificate;
mod command;
pub(crate) mod provider;
pub mod recordings;
pub mod slng;
pub mod voice;

pub(crate) use command::run;
