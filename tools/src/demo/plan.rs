//! The demo's script: what the caller says, what the agent knows to answer, and what goes wrong when.

use std::sync::Arc;
use std::time::Duration;

use voxline_audio::SampleRate;
use voxline_protocol::Dice;

use crate::simulate::recordings::Recording;
use crate::simulate::voice::Encoder;

/// The whole conversation.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Decides when things go wrong, and how long it takes to dial again.
    pub(super) seed: u64,
    pub(super) turns: Vec<PlannedTurn>,
}

/// One exchange.
#[derive(Debug, Clone)]
pub(super) struct PlannedTurn {
    pub(super) said: Said,
    pub(super) reply: String,
    pub(super) mishap: Mishap,
}

/// In which voice the caller speaks.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Recorded(Arc<Recording>),
    Tonetext(String),
}

/// What goes wrong in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// The caller begins the next turn once this many blocks of the answer were heard.
    BargeIn {
        after_blocks: usize,
    },
    /// The links to the recogniser and the avatar are cut this long after the caller began, the synthesis link this long after the first
    /// word of the answer was heard.
    Cuts {
        stt: Duration,
        tts: Duration,
    },
}

impl Plan {
    /// The conversation with `recording` as its second turn; `seed` decides the moments of the mishaps.
    pub(super) fn new(recording: &Arc<Recording>, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let tonetext = |text: &str| Said::Tonetext(text.to_owned());
        let turn = |said, reply: &str, mishap| PlannedTurn { said, reply: reply.to_owned(), mishap };
        let thanks = "Thank you. Please send me the address by mail, and goodbye.";
        let spoken = Encoder::new(SampleRate::Hz8000).encode(thanks).len() as u64;
        let spoken = SampleRate::Hz8000.duration_of(spoken);
        let cuts = Mishap::Cuts {
            stt: dice.between(Duration::from_millis(200), spoken),
            tts: dice.between(Duration::ZERO, Duration::from_millis(400)),
        };
        let barge_in = Mishap::BargeIn { after_blocks: dice.within(3..9) as usize };
        Self {
            seed,
            turns: vec![
                turn(
                    tonetext("Hello, this is Ada. I have a question."),
                    "Good morning, Ada. What can I do for you?",
                    Mishap::None,
                ),
                turn(
                    Said::Recorded(Arc::clone(recording)),
                    "We have time at three o'clock. Shall I write that down for you?",
                    Mishap::None,
                ),
                turn(
                    tonetext("Yes please. What should I bring with me?"),
                    "You should bring your insurance card and the letter from your doctor. \
                     If you take any medicine, please make a list of it and bring that list too.",
                    barge_in,
                ),
                turn(
                    tonetext("Sorry to interrupt, but where can I park?"),
                    "There is a car park behind the house. It costs nothing for patients.",
                    Mishap::None,
                ),
                turn(
                    tonetext(thanks),
                    "I will send it to you right away. Goodbye, Ada, and until Thursday.",
                    cuts,
                ),
            ],
        }
    }

    /// The agent's lines: what it answers to what it understands.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        self.turns.iter().map(|turn| (turn.said.text().to_owned(), turn.reply.clone())).collect()
    }
}

impl Said {
    /// The words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Recorded(recording) => recording.transcript(),
            Self::Tonetext(text) => text,
        }
    }

    /// The sound, from a speaker of tonetext who goes on counting blocks.
    pub(super) fn sound(&self, speaker: &mut Encoder, rate: SampleRate) -> Vec<i16> {
        match self {
            Self::Recorded(recording) => recording.sound(rate),
            Self::Tonetext(text) => speaker.encode(text),
        }
    }
}
