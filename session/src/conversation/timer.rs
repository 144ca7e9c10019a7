//! What a conversation waits for.

use voxline_protocol::TimerKind;

#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// The caller has spoken over the agent for long enough: a barge-in, if words allow.
    BargeIn,
    /// The caller has been silent for long enough: ask for the last words.
    EndOfTurn,
    /// The responder takes its time: say something meanwhile.
    Filler,
    /// Nobody has said anything for long: ask whether the caller is there.
    Idle,
    /// The responder is too slow: the answer ends where it is.
    Reply,
    /// No words came of the voice that paused the agent: go on.
    Resume,
    /// The speech service is too slow: the sentence is given up.
    Speech,
    /// The last words are too late: what there is counts.
    Transcript,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[
        Self::BargeIn,
        Self::EndOfTurn,
        Self::Filler,
        Self::Idle,
        Self::Reply,
        Self::Resume,
        Self::Speech,
        Self::Transcript,
    ];

    fn index(self) -> usize {
        self as usize
    }
}
