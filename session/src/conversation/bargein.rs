//! When the caller's voice takes the floor, and how the agent falls silent.

use std::time::Duration;

/// How the agent stops when the caller takes the floor (SLNG, interruption handling).
///
/// To be told to say something else at once, see [`ConversationInput::Say`](crate::ConversationInput::Say).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BargeInPattern {
    /// Everything queued is dropped, here and at the provider. The default.
    #[default]
    Immediate,
    /// The same, then the next 30 ms that would have played are sent after all, faded to silence: no click.
    FadeOut,
    /// The agent stops at once, and what was not heard is kept. If words follow, it is a barge-in whose end is where
    /// the agent paused; if none do, the very sound goes on from there, faded in.
    Pause {
        /// How long after the caller fell silent words may still come. 1.5 s does for most recognisers; less takes
        /// slow transcripts for noise, more is a longer silence after one.
        patience: Duration,
    },
}

/// When a caller who speaks over the agent is meant to be heard.
///
/// ```
/// use std::time::Duration;
/// use voxline_session::{BackChannels, BargeInPattern, BargeInPolicy};
///
/// let policy = BargeInPolicy::immediate()
///     .with_pattern(BargeInPattern::Pause { patience: Duration::from_millis(1_500) })
///     .with_back_channels(BackChannels::english())
///     .with_protected(["this call is recorded"]);
/// assert!(policy.protects("Please note: this call is recorded."));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BargeInPolicy {
    /// How the agent stops.
    pub pattern: BargeInPattern,
    /// How long the caller must keep speaking after the detector said so. 0 by default: the detector's own
    /// minimum speech has passed by then. Longer ignores coughs and costs that much talking over the caller.
    pub min_speech: Duration,
    /// How many words must be understood besides. 0 by default: the voice alone is enough. A recogniser takes some
    /// hundred milliseconds to say the first one, in which the agent goes on, unless it pauses.
    pub min_words: usize,
    /// Words by which a caller only shows to be listening. None by default; with some, at least one other word must
    /// be understood before the agent stops.
    pub back_channels: BackChannels,
    /// Sentences with one of these phrases are heard to their end. What the caller says meanwhile is answered then.
    pub protected: Vec<String>,
}

impl BargeInPolicy {
    /// Stops at once, without a fade, at any voice.
    #[must_use]
    pub fn immediate() -> Self {
        Self::default()
    }

    /// Uses another pattern.
    #[must_use]
    pub fn with_pattern(self, pattern: BargeInPattern) -> Self {
        Self { pattern, ..self }
    }

    /// Asks for longer speech before the agent stops.
    #[must_use]
    pub fn with_min_speech(self, min_speech: Duration) -> Self {
        Self { min_speech, ..self }
    }

    /// Asks for words before the agent stops.
    #[must_use]
    pub fn with_min_words(self, min_words: usize) -> Self {
        Self { min_words, ..self }
    }

    /// Lets these words pass without stopping.
    #[must_use]
    pub fn with_back_channels(self, back_channels: BackChannels) -> Self {
        Self { back_channels, ..self }
    }

    /// Protects sentences with one of these phrases, whatever their case and punctuation.
    #[must_use]
    pub fn with_protected(self, phrases: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { protected: phrases.into_iter().map(Into::into).collect(), ..self }
    }

    /// Whether a sentence is one that is heard to its end.
    #[must_use]
    pub fn protects(&self, sentence: &str) -> bool {
        let sentence = words(sentence);
        let protects = |phrase: &String| {
            let phrase = words(phrase);
            !phrase.is_empty() && sentence.windows(phrase.len()).any(|run| run == phrase)
        };
        self.protected.iter().any(protects)
    }

    /// Whether the words said so far are enough to take the floor.
    pub(super) fn takes_the_floor(&self, said: &str) -> bool {
        let decided_by_words =
            !self.back_channels.is_empty() || matches!(self.pattern, BargeInPattern::Pause { .. });
        let needed = if decided_by_words { self.min_words.max(1) } else { self.min_words };
        needed == 0 || (words(said).len() >= needed && !self.back_channels.covers(said))
    }
}

/// Words and short phrases by which a caller shows to be listening, without wanting the floor.
///
/// ```
/// use voxline_session::BackChannels;
///
/// let english = BackChannels::english();
/// assert!(english.covers("Mm-hmm. Yeah, I see!"));
/// assert!(!english.covers("Yeah, but when?"));
/// let german = BackChannels::new(["ja", "genau", "ach so"]);
/// assert!(german.covers("Ja, ach so."));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackChannels {
    phrases: Vec<Vec<String>>,
}

impl BackChannels {
    /// These words and phrases; case and punctuation do not matter.
    #[must_use]
    pub fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let phrases = phrases.into_iter().map(words).filter(|phrase| !phrase.is_empty());
        Self { phrases: phrases.collect() }
    }

    /// Those of English.
    #[must_use]
    pub fn english() -> Self {
        Self::new(ENGLISH)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// Whether `text` is made of these alone. Silence is.
    #[must_use]
    pub fn covers(&self, text: &str) -> bool {
        let text = words(text);
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let longest = self.phrases.iter().filter(|phrase| rest.starts_with(phrase)).map(Vec::len).max();
            let Some(length) = longest else { return false };
            rest = &rest[length..];
        }
        true
    }
}

/// The words of a text, without case and punctuation. What stands in square brackets is a recogniser's note about a
/// sound that is no word: `[noise]`.
fn words(text: &str) -> Vec<String> {
    let spoken = text.split('[').enumerate().map(|(index, part)| match part.split_once(']') {
        Some((_, behind)) if index > 0 => behind,
        _ => part,
    });
    let bare =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    spoken.flat_map(str::split_whitespace).map(bare).filter(|word: &String| !word.is_empty()).collect()
}

const ENGLISH: [&str; 26] = [
    "ah",
    "aha",
    "all right",
    "alright",
    "cool",
    "fine",
    "go on",
    "good",
    "got it",
    "great",
    "hm",
    "hmm",
    "I see",
    "mhm",
    "mm",
    "mm-hmm",
    "mmm",
    "oh",
    "okay",
    "OK",
    "right",
    "sure",
    "uh-huh",
    "uh huh",
    "yeah",
    "yep",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_punctuation_and_notes() {
        for (text, expected) in [
            ("Mm-hmm. I see!", &["mmhmm", "i", "see"][..]),
            ("[noise] Wait [cough], please", &["wait", "please"]),
            ("[unknown speech]", &[]),
            ("a ] b [ c", &["a", "b", "c"]),
            ("¿Qué? - Ja.", &["qué", "ja"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn what_takes_the_floor_follows_from_the_policy() {
        let pause = BargeInPattern::Pause { patience: Duration::from_secs(1) };
        let nods = BargeInPolicy::immediate().with_back_channels(BackChannels::english());
        for (name, policy, said, expected) in [
            ("any voice", BargeInPolicy::immediate(), "", true),
            ("a pause takes a word", BargeInPolicy::immediate().with_pattern(pause), "", false),
            ("a noise is none", BargeInPolicy::immediate().with_pattern(pause), "[cough]", false),
            ("one word", BargeInPolicy::immediate().with_pattern(pause), "Yeah", true),
            ("nods take a word", nods.clone(), "", false),
            ("a nod", nods.clone(), "Yeah, okay.", false),
            ("a nod and a word", nods.clone(), "Yeah, no.", true),
            ("too few words", nods.with_min_words(3), "Yeah, no.", false),
        ] {
            assert_eq!(policy.takes_the_floor(said), expected, "{name}");
        }
    }

    #[test]
    fn a_phrase_protects_whole_words_only() {
        let policy = BargeInPolicy::immediate().with_protected(["is recorded", ""]);
        assert!(policy.protects("This call IS recorded."));
        assert!(!policy.protects("This recordedness"));
        assert!(!policy.protects("His recorded voice"));
    }
}
