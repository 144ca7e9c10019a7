//! Sound in files: looked at, and converted, in bounded memory however long it is.

mod command;
mod convert;
mod inspect;
mod plot;
mod source;

pub(crate) use command::run;
pub use convert::Conversion;
pub use inspect::{Report, Statement};
pub use plot::Plot;
pub use source::{AudioError, Source};
