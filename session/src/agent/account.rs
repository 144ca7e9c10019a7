//! Which words belong to which stretch of what was sent to the phone.

use std::time::Duration;

use voxline_protocol::UtteranceId;

use crate::TurnId;

/// The sentences of one answer, each with the audio that was sent of it since the last barge-in.
///
/// The phone knows how much of its audio was heard; this knows what was said in it.
#[derive(Debug)]
pub(super) struct Account {
    /// Audio sent before this answer.
    base: Duration,
    turn: TurnId,
    sentences: Vec<Sentence>,
    /// How fast this voice speaks, by the last sentence it finished.
    chars_per_second: f64,
}

#[derive(Debug)]
struct Sentence {
    utterance: UtteranceId,
    text: String,
    audio: Duration,
    whole: bool,
}

impl Account {
    pub(super) const fn new() -> Self {
        Self {
            base: Duration::ZERO,
            turn: TurnId::new(0),
            sentences: Vec::new(),
            chars_per_second: TYPICAL_RATE,
        }
    }

    /// A sentence is about to be made, perhaps again.
    pub(super) fn begin(&mut self, turn: TurnId, utterance: UtteranceId, text: &str) {
        if turn != self.turn {
            self.base += self.sentences.drain(..).map(|sentence| sentence.audio).sum::<Duration>();
            self.turn = turn;
        }
        if self.find(utterance).is_none() {
            let text = text.to_owned();
            self.sentences.push(Sentence { utterance, text, audio: Duration::ZERO, whole: false });
        }
    }

    /// Audio of a sentence was sent.
    pub(super) fn sent(&mut self, utterance: UtteranceId, audio: Duration) {
        if let Some(sentence) = self.find(utterance) {
            sentence.audio += audio;
        }
    }

    /// A sentence is made to its end.
    pub(super) fn ended(&mut self, utterance: UtteranceId) {
        let Some(sentence) = self.find(utterance) else { return };
        sentence.whole = true;
        if sentence.audio > SHORT {
            self.chars_per_second = sentence.text.chars().count() as f64 / sentence.audio.as_secs_f64();
        }
    }

    /// A barge-in: counts from zero again, after `tail` of a fade. Gives the account of what was interrupted back.
    pub(super) fn restart(&mut self) -> Self {
        let fresh = Self { chars_per_second: self.chars_per_second, turn: self.turn, ..Self::new() };
        std::mem::replace(self, fresh)
    }

    /// Audio without words was sent.
    pub(super) fn sent_wordless(&mut self, audio: Duration) {
        self.base += audio;
    }

    /// The words of the answer within the first `heard` of all audio since the last barge-in: whole words, by time
    /// within their sentence.
    pub(super) fn text_until(&self, heard: Duration) -> String {
        let mut left = heard.saturating_sub(self.base);
        let mut words: Vec<&str> = Vec::new();
        for sentence in &self.sentences {
            if left.is_zero() {
                break;
            }
            words.extend(sentence.words_until(left, self.chars_per_second));
            left = left.saturating_sub(sentence.audio);
        }
        words.join(" ")
    }

    fn find(&mut self, utterance: UtteranceId) -> Option<&mut Sentence> {
        self.sentences.iter_mut().rev().find(|sentence| sentence.utterance == utterance)
    }
}

impl Sentence {
    /// The words that are over by `heard`. A sentence that was not made to its end is as long as the voice's rate
    /// says.
    fn words_until(&self, heard: Duration, chars_per_second: f64) -> impl Iterator<Item = &str> {
        let chars = self.text.chars().count();
        let by_rate = Duration::from_secs_f64(chars as f64 / chars_per_second);
        let length = if self.whole { self.audio } else { self.audio.max(by_rate) };
        let share = heard.as_secs_f64() / length.as_secs_f64().max(f64::MIN_POSITIVE);
        // A hundredth of a character of grace, for durations that were rounded on the way.
        let over = (chars as f64 * share + 0.01) as usize;
        let mut at = 0;
        self.text.split_whitespace().take_while(move |word| {
            at += word.chars().count() + 1;
            at - 1 <= over
        })
    }
}

/// English at an unhurried pace.
const TYPICAL_RATE: f64 = 15.0;
/// Sentences shorter than this say little about the rate.
const SHORT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn answer() -> Account {
        let mut account = Account::new();
        account.begin(TurnId::new(1), UtteranceId::new(1), "An earlier answer.");
        account.sent(UtteranceId::new(1), SECOND);
        for (id, text) in [(2, "One two three four."), (3, "Five six.")] {
            account.begin(TurnId::new(2), UtteranceId::new(id), text);
            account.sent(UtteranceId::new(id), 2 * SECOND);
            account.ended(UtteranceId::new(id));
        }
        account
    }

    #[test]
    fn words_are_heard_in_proportion_to_their_sentence() {
        for (heard, words) in [
            (0, ""),
            (1_000, ""),
            (1_900, "One two"),
            (3_000, "One two three four."),
            (4_000, "One two three four. Five"),
            (5_000, "One two three four. Five six."),
            (9_000, "One two three four. Five six."),
        ] {
            assert_eq!(answer().text_until(Duration::from_millis(heard)), words, "{heard} ms");
        }
    }

    #[test]
    fn an_unfinished_sentence_is_not_taken_for_a_whole_one() {
        let mut account = Account::new();
        account.begin(TurnId::new(1), UtteranceId::new(1), "Thirty characters of a sentence");
        account.sent(UtteranceId::new(1), SECOND);
        assert_eq!(account.text_until(SECOND), "Thirty", "a second is fifteen characters");
    }

    #[test]
    fn a_sentence_made_again_counts_on() {
        let mut account = Account::new();
        for _ in 0..2 {
            account.begin(TurnId::new(1), UtteranceId::new(1), "One two.");
            account.sent(UtteranceId::new(1), SECOND);
        }
        account.ended(UtteranceId::new(1));
        assert_eq!(account.text_until(SECOND), "One");
        assert_eq!(account.text_until(2 * SECOND), "One two.");
    }
}
