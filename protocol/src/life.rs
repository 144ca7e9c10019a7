//! Numbers that tell one life from the next: whatever can arrive late carries the one it was made under.

use std::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($repr:ty), $word:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($repr);

        impl $name {
            /// The first of its kind.
            pub const FIRST: Self = Self(0);

            /// A counter at `value`.
            #[must_use]
            pub const fn new(value: $repr) -> Self {
                Self(value)
            }

            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }
    };
}

counter!(
    /// Which link of a session: raised by every [`Input::Opened`](crate::Input::Opened).
    LinkLife(u32), "link"
);
counter!(
    /// Which stretch between barge-ins: raised by every interrupt.
    Epoch(u64), "epoch"
);
counter!(
    /// Which run of speech, as numbered by the application.
    UtteranceId(u64), "utterance"
);
