//! What comes of every quirk in every situation: the table the matrix is compared with.

use voxline_protocol::slng::SlngQuirk;

/// What comes of each situation where the gateway is well behaved, and where the quirk is another service's.
const CLEAN: Row = Row {
    speak: "spoken, spoken",
    interrupt: "cleared, spoken",
    transcribe: "heard, heard",
    respeak: "lost, spoken",
    rehear: "lost, heard",
    hush: "closed",
    finish: "heard, closed",
};

/// One quirk's outcomes; words after a bar are the codes that told of it, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// An utterance, half a minute of silence, another utterance.
    pub(crate) speak: &'static str,
    /// A clear in the middle of an utterance, another utterance at once.
    pub(crate) interrupt: &'static str,
    /// Speech and a finalize, half a minute of silence, more speech and a finalize.
    pub(crate) transcribe: &'static str,
    /// An utterance whose link is cut before its audio.
    pub(crate) respeak: &'static str,
    /// Speech whose link is cut in its middle, and a finalize.
    pub(crate) rehear: &'static str,
    /// A close in the middle of an utterance.
    pub(crate) hush: &'static str,
    /// A close right after speech.
    pub(crate) finish: &'static str,
}

/// What differs from [`CLEAN`].
pub(crate) fn expected(quirk: SlngQuirk) -> Row {
    match quirk {
        SlngQuirk::AgeLimit => Row {
            speak: "spoken, spoken | slng/max-duration",
            transcribe: "heard, heard | slng/max-duration",
            ..CLEAN
        },
        SlngQuirk::AuthFrame => Row {
            speak: "failed slng/auth",
            interrupt: "failed slng/auth",
            transcribe: "failed slng/auth",
            respeak: "failed slng/auth",
            rehear: "failed slng/auth",
            hush: "failed slng/auth",
            finish: "failed slng/auth",
        },
        SlngQuirk::CloseBeforeAudio => Row {
            speak: "Unanswered, Unanswered",
            interrupt: "cleared, Unanswered",
            respeak: "lost, Unanswered",
            ..CLEAN
        },
        SlngQuirk::Dead => Row {
            speak: "Unanswered, Unanswered | slng/flush-ignored slng/no-terminal",
            interrupt: "cleared, Unanswered | slng/no-cleared slng/no-terminal",
            transcribe: "unheard, timed out, unheard, timed out",
            respeak: "lost, Unanswered | slng/no-terminal",
            rehear: "lost, unheard, timed out",
            finish: "unheard, lost aloud, closed",
            ..CLEAN
        },
        SlngQuirk::ErrorBody => Row {
            speak: "Unanswered, Unanswered | slng/provider",
            interrupt: "cleared, Unanswered | slng/provider",
            respeak: "lost, Unanswered | slng/provider",
            hush: "closed | slng/provider",
            ..CLEAN
        },
        SlngQuirk::ErrorCodeless | SlngQuirk::ErrorTypeless => Row {
            speak: "Unanswered, Unanswered | slng/unknown-error",
            interrupt: "cleared, Unanswered | slng/unknown-error",
            transcribe: "heard, timed out, heard, timed out | slng/unknown-error",
            respeak: "lost, Unanswered | slng/unknown-error",
            rehear: "lost, heard, timed out | slng/unknown-error",
            hush: "closed | slng/unknown-error",
            ..CLEAN
        },
        SlngQuirk::ErrorCapitalised
        | SlngQuirk::ErrorNested
        | SlngQuirk::ErrorStaysOpen
        | SlngQuirk::ProviderError => Row {
            speak: "Unanswered, Unanswered | slng/provider",
            interrupt: "cleared, Unanswered | slng/provider",
            transcribe: "heard, timed out, heard, timed out | slng/provider",
            respeak: "lost, Unanswered | slng/provider",
            rehear: "lost, heard, timed out | slng/provider",
            hush: "closed | slng/provider",
            ..CLEAN
        },
        SlngQuirk::IdleLimit => Row {
            speak: "spoken, spoken | slng/idle-timeout",
            transcribe: "heard, heard | slng/idle-timeout",
            ..CLEAN
        },
        SlngQuirk::IgnoreStandaloneFlush => Row { speak: "spoken, spoken | slng/flush-ignored", ..CLEAN },
        SlngQuirk::LateAudio => Row { interrupt: "cleared, spoken | slng/stray-audio", ..CLEAN },
        SlngQuirk::NoCleared => Row { interrupt: "cleared, spoken | slng/no-cleared", ..CLEAN },
        SlngQuirk::NoFinal => Row {
            transcribe: "heard, timed out, heard, timed out",
            rehear: "lost, heard, timed out",
            ..CLEAN
        },
        SlngQuirk::NoReady => Row {
            speak: "waits, waits | slng/no-ready",
            interrupt: "cleared, waits | slng/no-ready",
            transcribe: "waits, waits | slng/no-ready",
            respeak: "lost, waits | slng/no-ready",
            rehear: "lost, waits | slng/no-ready",
            finish: "unheard, lost aloud, closed | slng/no-ready",
            ..CLEAN
        },
        SlngQuirk::NoTerminal => Row {
            speak: "WentSilent, WentSilent | slng/flush-ignored slng/no-terminal",
            interrupt: "cleared, WentSilent | slng/no-terminal",
            respeak: "lost, WentSilent | slng/no-terminal",
            ..CLEAN
        },
        SlngQuirk::RateLimit => Row {
            speak: "waits, waits | slng/rate-limit",
            interrupt: "cleared, waits | slng/rate-limit",
            transcribe: "waits, waits | slng/rate-limit",
            respeak: "lost, waits | slng/rate-limit",
            rehear: "lost, waits | slng/rate-limit",
            hush: "closed | slng/rate-limit",
            finish: "unheard, lost aloud, closed | slng/rate-limit",
        },
        SlngQuirk::RiffLies => Row {
            speak: "spoken, spoken | slng/audio-format",
            interrupt: "cleared, spoken | slng/audio-format",
            respeak: "lost, spoken | slng/audio-format",
            ..CLEAN
        },
        SlngQuirk::BothTerminals
        | SlngQuirk::CloseAfterTerminal
        | SlngQuirk::CloseForTerminal
        | SlngQuirk::DuplicateFinals
        | SlngQuirk::EarlyAudioAllowed
        | SlngQuirk::EmptyFinals
        | SlngQuirk::FlushedOnly
        | SlngQuirk::JsonAudio
        | SlngQuirk::LateReady
        | SlngQuirk::NoPartials
        | SlngQuirk::NoWordTimes
        | SlngQuirk::OddAudio
        | SlngQuirk::RejectJsonAudio
        | SlngQuirk::ResultsDialect
        | SlngQuirk::RiffHeader
        | SlngQuirk::TerminalPerFragment
        | SlngQuirk::TextKey => CLEAN,
        _ => panic!("{quirk} has no row"),
    }
}
