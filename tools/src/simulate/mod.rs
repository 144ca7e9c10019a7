//! The other side of every wire, built for real so that no test needs a vendor.

pub mod recordings;
pub mod voice;
