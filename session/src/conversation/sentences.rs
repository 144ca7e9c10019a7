//! Cuts a reply that arrives in pieces into stretches to be spoken one after another.

/// When text is handed to the speech service to be voiced (SLNG integration guide, buffer management).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlushPolicy {
    /// The whole reply at once: better prosody, later first word.
    Reply,
    /// Each sentence as soon as it is whole: the caller waits for one sentence only. The default.
    #[default]
    Sentence,
}

/// Collects pieces of a reply and gives whole sentences back.
#[derive(Debug, Default)]
pub(crate) struct Sentences {
    policy: FlushPolicy,
    text: String,
}

impl Sentences {
    pub(crate) fn new(policy: FlushPolicy) -> Self {
        Self { policy, text: String::new() }
    }

    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// The next whole sentence, if one is there.
    pub(crate) fn next_whole(&mut self) -> Option<String> {
        let mut from = 0;
        let found = loop {
            let text = &self.text[from..];
            let end = match self.policy {
                FlushPolicy::Sentence => sentence_end(text).or_else(|| overlong_end(text)),
                FlushPolicy::Reply => overlong_end(text),
            };
            let Some(end) = end else { break None };
            let sentence = tidy(&text[..end]);
            from += end;
            // White space alone is nothing to say; look further.
            if sentence.is_some() {
                break sentence;
            }
        };
        self.text.drain(..from);
        found
    }

    /// What is left at the end of the reply.
    pub(crate) fn take_rest(&mut self) -> Option<String> {
        tidy(&std::mem::take(&mut self.text))
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }
}

/// One space between words and none around them: what a voice says is the same, and texts compare.
fn tidy(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    if words.is_empty() { None } else { Some(words.join(" ")) }
}

/// The byte after the first sentence that is certainly over: its mark is followed by white space, and
/// it is long enough that the mark is no abbreviation or ordinal.
fn sentence_end(text: &str) -> Option<usize> {
    let mut marks = text.char_indices().filter(|(_, c)| ENDS.contains(c)).peekable();
    while let Some((at, c)) = marks.next() {
        let after = at + c.len_utf8();
        let followed = text[after..].chars().next();
        if marks.peek().is_some_and(|(next, _)| *next == after) {
            continue; // `?!` and `...`: the last mark counts
        }
        let long_enough = text[..at].trim_start().chars().count() >= MIN_SENTENCE_CHARS;
        let ends = WIDE_ENDS.contains(&c) || followed.is_some_and(char::is_whitespace);
        if ends && long_enough {
            return Some(after);
        }
    }
    None
}

/// Where to cut text that goes on for too long without an end, at a space if there is one.
fn overlong_end(text: &str) -> Option<usize> {
    let (limit, _) = text.char_indices().nth(MAX_SENTENCE_CHARS)?;
    Some(text[..limit].rfind(char::is_whitespace).map_or(limit, |space| space + 1))
}

const ENDS: &[char] = &['.', '!', '?', '…', '。', '！', '？', '।'];
/// Marks of scripts that put no space behind them.
const WIDE_ENDS: &[char] = &['。', '！', '？', '।'];
/// Shorter runs are abbreviations more often than sentences ("Dr.", "No. 5").
const MIN_SENTENCE_CHARS: usize = 6;
/// One vendor refuses requests past 500 characters (SLNG, Rime route).
const MAX_SENTENCE_CHARS: usize = 480;

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(policy: FlushPolicy, pieces: &[&str]) -> Vec<String> {
        let mut sentences = Sentences::new(policy);
        let mut found = Vec::new();
        for piece in pieces {
            sentences.push(piece);
            found.extend(std::iter::from_fn(|| sentences.next_whole()));
        }
        found.extend(sentences.take_rest());
        found
    }

    #[test]
    fn sentences_are_cut_where_they_end() {
        for (name, pieces, expected) in [
            ("two", &["Hello there. How are", " you?"][..], &["Hello there.", "How are you?"][..]),
            ("title", &["Dr. Smith is in."], &["Dr. Smith is in."]),
            ("decimal", &["It costs 3.50 euros. Fine?"], &["It costs 3.50 euros.", "Fine?"]),
            ("several marks", &["Really?! Yes, really."], &["Really?!", "Yes, really."]),
            (
                "wide",
                &["今日はとても良い天気です。散歩しましょう。"],
                &["今日はとても良い天気です。", "散歩しましょう。"],
            ),
            ("blank", &["  ", "\n"], &[]),
            ("spaces", &["One   two\nthree."], &["One two three."]),
        ] {
            assert_eq!(cut(FlushPolicy::Sentence, pieces), expected, "{name}");
        }
    }

    #[test]
    fn a_whole_reply_is_one_piece() {
        assert_eq!(cut(FlushPolicy::Reply, &["One two three. ", "Four."]), ["One two three. Four."]);
    }

    #[test]
    fn text_without_an_end_is_cut_at_a_space() {
        let long = "word ".repeat(300);
        let cut = cut(FlushPolicy::Reply, &[&long]);
        assert!(cut.iter().all(|piece| piece.chars().count() <= MAX_SENTENCE_CHARS), "{cut:?}");
        assert_eq!(cut.join(" "), long.trim());
    }
}
