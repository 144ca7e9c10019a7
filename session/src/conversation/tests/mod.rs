//! Schedules of voices, transcripts, replies and losses, and what the conversation makes of them.

mod bargein;
mod random;
mod reply;

use std::time::Duration;

use super::*;

/// A conversation on a clock of milliseconds, with what it asked for since it was last looked at.
struct Talk {
    machine: Conversation,
    start: Instant,
    now: u64,
}

impl Talk {
    fn new(config: ConversationConfig) -> Self {
        Self { machine: Conversation::new(config), start: Instant::now(), now: 0 }
    }

    fn input(&mut self, input: ConversationInput) -> &mut Self {
        self.machine.handle_input(self.start + Duration::from_millis(self.now), input);
        self
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self.machine.handle_timeout(self.start + Duration::from_millis(self.now));
        self
    }

    fn actions(&mut self) -> Vec<ConversationAction> {
        std::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    fn events(&mut self) -> Vec<ConversationEvent> {
        let told = |action| if let ConversationAction::Tell(event) = action { Some(event) } else { None };
        self.actions().into_iter().filter_map(told).collect()
    }

    /// The caller says `words`, is understood, and falls silent for long enough.
    fn caller_says(&mut self, words: &str) -> &mut Self {
        self.input(ConversationInput::VoiceStarted { ago: Duration::ZERO }).pass(1_000);
        self.input(ConversationInput::VoiceEnded { ago: Duration::ZERO }).pass(500);
        self.input(ConversationInput::Final(words.to_owned())).input(ConversationInput::Finalized)
    }

    fn reply(&mut self, text: &str) -> &mut Self {
        let turn = self.machine.turn();
        self.input(ConversationInput::ReplyText { turn, text: text.to_owned() })
            .input(ConversationInput::ReplyEnded { turn })
    }

    fn spoken(&mut self) -> Vec<(u64, String, Duration)> {
        let speak = |action| {
            let ConversationAction::Speak { utterance, text, skip, .. } = action else { return None };
            Some((utterance.get(), text, skip))
        };
        self.actions().into_iter().filter_map(speak).collect()
    }

    fn make(&mut self, id: u64, millis: u64) -> &mut Self {
        let utterance = UtteranceId::new(id);
        self.input(ConversationInput::SpeechMade { utterance, duration: Duration::from_millis(millis) })
            .input(ConversationInput::SpeechSent { utterance })
    }

    fn end(&mut self, id: u64) -> &mut Self {
        self.input(ConversationInput::SpeechEnded { utterance: UtteranceId::new(id) })
    }

    /// The caller heard this much of an utterance.
    fn heard(&mut self, id: u64, text: &str) -> &mut Self {
        let complete = text.ends_with(['.', '?']);
        self.input(ConversationInput::Heard {
            utterance: UtteranceId::new(id),
            text: text.to_owned(),
            complete,
        })
    }
}

fn ended(turn: u32, heard: &str, interrupted: bool) -> ConversationEvent {
    ConversationEvent::TurnEnded { turn: TurnId::new(turn), heard: heard.to_owned(), interrupted }
}

#[test]
fn a_turn_runs_from_the_callers_voice_to_the_answer_heard() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("What time is it?");
    let turn = TurnId::new(1);
    assert_eq!(
        talk.actions(),
        [
            ConversationAction::Finalize,
            ConversationAction::Tell(ConversationEvent::CallerSaid { turn, text: "What time is it?".into() }),
            ConversationAction::Respond { turn },
        ]
    );
    talk.pass(100).reply("It is noon. Anything else?");
    assert_eq!(talk.spoken(), [(1, "It is noon.".into(), Duration::ZERO)], "one sentence at a time");
    talk.pass(50).make(1, 800).end(1);
    assert_eq!(talk.spoken(), [(2, "Anything else?".into(), Duration::ZERO)]);
    talk.make(2, 700).end(2).heard(1, "It is noon.");
    assert!(!talk.events().contains(&ended(1, "It is noon.", false)), "the second sentence is unheard");
    talk.heard(2, "Anything else?");
    assert_eq!(talk.events(), [ended(1, "It is noon. Anything else?", false)]);
    assert_eq!(talk.machine.poll_timeout(), None, "nothing is left waiting");
}

#[test]
fn a_caller_who_goes_on_after_a_pause_is_one_turn() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO }).pass(500);
    talk.input(ConversationInput::VoiceEnded { ago: Duration::ZERO }).pass(500);
    assert_eq!(talk.actions(), [ConversationAction::Finalize]);
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO })
        .input(ConversationInput::Final("I would like".into()));
    talk.input(ConversationInput::Finalized);
    assert_eq!(talk.actions(), [], "the answer to the first request ends nothing");
    talk.pass(400).caller_says("a table for two");
    assert!(talk.events().contains(&ConversationEvent::CallerSaid {
        turn: TurnId::new(1),
        text: "I would like a table for two".into()
    }));
}

#[test]
fn a_barge_in_voids_what_was_not_heard_and_cuts_the_history_once() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Tell me a story.").reply("Once upon a time. There was a king.");
    talk.make(1, 2_000).end(1).make(2, 2_000).actions();
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO }).pass(0);
    let turn = TurnId::new(1);
    assert_eq!(
        talk.actions(),
        [
            ConversationAction::Tell(ConversationEvent::BargeIn { turn }),
            ConversationAction::Interrupt { turn, pattern: BargeInPattern::Immediate },
        ]
    );
    talk.make(2, 500).end(2);
    assert_eq!(talk.actions(), [], "what belongs to the void answer has no effect");
    talk.heard(1, "Once upon").heard(1, "Once");
    assert_eq!(talk.actions(), [], "the second sentence is not accounted for");
    talk.heard(2, "");
    assert_eq!(talk.events(), [ended(1, "Once upon", true)]);
    talk.pass(100).input(ConversationInput::VoiceEnded { ago: Duration::ZERO }).pass(500);
    talk.input(ConversationInput::Final("Stop.".into())).input(ConversationInput::Finalized);
    let texts: Vec<_> = talk.machine.history().iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["Tell me a story.", "Once upon", "Stop."]);
}

#[test]
fn an_interrupted_turn_may_be_settled_after_the_next_has_begun() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Tell me a story.").reply("Once upon a time.").make(1, 2_000).end(1).actions();
    talk.caller_says("Another one.").reply("In a far land.").make(2, 1_000).end(2).actions();
    talk.heard(2, "In a far land.");
    assert_eq!(talk.events(), [ended(2, "In a far land.", false)]);
    talk.heard(1, "Once");
    assert_eq!(talk.events(), [ended(1, "Once", true)]);
    let texts: Vec<_> = talk.machine.history().iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["Tell me a story.", "Once", "Another one.", "In a far land."]);
}

#[test]
fn a_sentence_the_phone_lost_is_cut_and_the_answer_goes_on() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Hello?").reply("One two three. Four five six.").make(1, 700).actions();
    talk.heard(1, "One");
    let actions = talk.actions();
    assert_eq!(actions[0], ConversationAction::Abandon { utterance: UtteranceId::new(1) });
    assert!(matches!(actions.last(), Some(ConversationAction::Speak { .. })), "{actions:?}");
    talk.make(2, 500).end(2).heard(2, "Four five six.");
    assert!(talk.events().contains(&ended(1, "One Four five six.", false)));
    assert_eq!(talk.machine.history().iter().next_back().unwrap().text, "One Four five six.");
}

#[test]
fn a_cough_shorter_than_the_minimum_interrupts_nothing() {
    let policy = BargeInPolicy::default().with_min_speech(Duration::from_millis(300));
    let mut talk = Talk::new(ConversationConfig::default().with_barge_in(policy));
    talk.caller_says("Go on.").reply("This is the answer.").make(1, 2_000).actions();
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO }).pass(200);
    talk.input(ConversationInput::VoiceEnded { ago: Duration::ZERO }).pass(5_000);
    talk.end(1).heard(1, "This is the answer.");
    assert_eq!(talk.events(), [ended(1, "This is the answer.", false)]);
}

#[test]
fn a_half_made_sentence_is_made_again_and_what_was_sent_is_skipped() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Hello?").reply("One two three. Four five six.").make(1, 700).actions();
    talk.input(ConversationInput::SpeechTruncated { utterance: UtteranceId::new(1) });
    assert_eq!(talk.spoken(), [(1, "One two three.".into(), Duration::from_millis(700))]);
    talk.make(1, 300).input(ConversationInput::SpeechTruncated { utterance: UtteranceId::new(1) });
    assert_eq!(
        talk.spoken(),
        [(1, "One two three.".into(), Duration::from_millis(700))],
        "a shorter second try covers nothing more"
    );
    talk.make(1, 1_000).end(1);
    assert_eq!(talk.spoken(), [(2, "Four five six.".into(), Duration::ZERO)], "order is kept");
}

#[test]
fn speech_is_not_made_far_ahead_of_the_callers_ear() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Tell me everything.").reply("The first part. The second part. The third part.");
    talk.make(1, 6_000).end(1).make(2, 6_000).actions();
    talk.end(2);
    assert_eq!(talk.spoken(), [], "12 s are unheard");
    talk.heard(1, "The first part.");
    assert_eq!(talk.spoken(), [(3, "The third part.".into(), Duration::ZERO)]);
}

#[test]
fn a_sentence_given_up_half_voiced_counts_as_far_as_it_went() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Hello?").reply("One two three four five six seven.").make(1, 600).pass(20_000);
    talk.heard(1, "One two");
    assert!(talk.events().contains(&ended(1, "One two", false)));
    assert_eq!(talk.machine.history().iter().next_back().unwrap().text, "One two");
}

#[test]
fn a_sentence_whose_audio_never_ends_is_given_up_at_its_limit() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Hello?").reply("One two three. Four five six.");
    for _ in 0..100 {
        talk.make(1, 1_000);
    }
    let (id, actions) = (UtteranceId::new(1), talk.actions());
    assert!(actions.contains(&ConversationAction::Abandon { utterance: id }), "{actions:?}");
    let failed = ConversationEvent::SpeechFailed { turn: TurnId::new(1), text: "One two three.".into() };
    assert!(actions.contains(&ConversationAction::Tell(failed)), "{actions:?}");
    assert_eq!(talk.machine.utterances.unheard(), Duration::from_secs(50), "what is beyond is not played");
    talk.heard(1, "One two three.").make(2, 700).end(2).heard(2, "Four five six.");
    assert!(talk.events().contains(&ended(1, "One two three. Four five six.", false)));
}

#[test]
fn a_voice_that_began_and_ended_in_one_burst_still_takes_the_floor() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Go on.").reply("This is the answer.").make(1, 2_000).actions();
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO })
        .input(ConversationInput::VoiceEnded { ago: Duration::ZERO });
    assert!(talk.events().contains(&ConversationEvent::BargeIn { turn: TurnId::new(1) }));
}

#[test]
fn a_noise_that_is_no_words_is_no_turn() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("  ");
    assert_eq!(talk.actions(), [ConversationAction::Finalize]);
    assert_eq!(talk.machine.poll_timeout(), None);
}

#[test]
fn a_recogniser_that_never_stops_is_not_listened_to_without_end() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO });
    let words = "blah ".repeat(200);
    for _ in 0..100 {
        talk.input(ConversationInput::Final(words.clone()));
    }
    let dropped = ConversationEvent::WordsDropped { text: words.clone() };
    assert_eq!(talk.events(), vec![dropped; 68], "32 of a thousand bytes are kept");
    talk.input(ConversationInput::VoiceEnded { ago: Duration::ZERO }).pass(500);
    talk.input(ConversationInput::Finalized);
    let said = ConversationEvent::CallerSaid { turn: TurnId::new(1), text: vec![words; 32].join(" ") };
    assert!(talk.events().contains(&said));
}

#[test]
fn every_wait_ends() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.input(ConversationInput::VoiceStarted { ago: Duration::ZERO })
        .input(ConversationInput::Partial("Hi".into()));
    talk.input(ConversationInput::VoiceEnded { ago: Duration::from_millis(200) }).pass(300);
    talk.actions();
    talk.pass(30_000);
    let events = talk.events();
    assert!(matches!(events[0], ConversationEvent::TranscriptLate { .. }), "{events:?}");
    assert!(matches!(&events[1], ConversationEvent::CallerSaid { text, .. } if text == "Hi"), "{events:?}");

    let turn = talk.machine.turn();
    talk.input(ConversationInput::ReplyText { turn, text: "Well, that is. And".into() });
    talk.pass(20_000);
    assert!(!talk.machine.is_making(UtteranceId::new(1)));
    let actions = talk.actions();
    assert!(actions.contains(&ConversationAction::Abandon { utterance: UtteranceId::new(1) }), "{actions:?}");
    let told = |action| if let ConversationAction::Tell(event) = action { Some(event) } else { None };
    let events: Vec<_> = actions.into_iter().filter_map(told).collect();
    assert!(events.iter().any(|event| matches!(event, ConversationEvent::ReplyLate { .. })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, ConversationEvent::SpeechFailed { .. })), "{events:?}");
    talk.pass(20_000).heard(1, "").heard(2, "");
    assert!(talk.events().contains(&ended(1, "", false)), "nothing was voiced, so nothing was heard");
    assert_eq!(talk.machine.history().iter().len(), 1, "an answer nobody heard was not given");
}

#[test]
fn a_caller_who_says_nothing_is_asked_as_often_as_there_are_prompts() {
    let config = ConversationConfig::default()
        .with_idle_prompts(Duration::from_secs(8), ["Are you still there?", "I will hang up."]);
    let mut talk = Talk::new(config);
    talk.caller_says("Hello?")
        .reply("How can I help?")
        .make(1, 900)
        .end(1)
        .heard(1, "How can I help?")
        .actions();
    for (id, prompt) in [(2, "Are you still there?"), (3, "I will hang up.")] {
        assert_eq!(talk.pass(7_999).spoken(), []);
        assert_eq!(talk.pass(1).spoken(), [(id, prompt.to_owned(), Duration::ZERO)]);
        talk.make(id, 900).end(id).heard(id, prompt).actions();
    }
    assert_eq!(talk.machine.poll_timeout(), None, "no prompt is left");
    talk.caller_says("Yes.").reply("Good.").make(4, 500).end(4).heard(4, "Good.").actions();
    assert_eq!(talk.pass(8_000).spoken()[0].1, "Are you still there?");
}

#[test]
fn a_caller_who_never_says_a_word_is_asked_too_and_one_who_speaks_is_not() {
    let config = ConversationConfig::default().with_idle_prompts(Duration::from_secs(8), ["Hello?"]);
    let mut silent = Talk::new(config.clone());
    assert_eq!(silent.input(ConversationInput::PickedUp).pass(7_999).spoken(), []);
    assert_eq!(silent.pass(1).spoken()[0].1, "Hello?");

    let mut talks = Talk::new(config.clone());
    talks.input(ConversationInput::VoiceStarted { ago: Duration::ZERO });
    assert_eq!(talks.input(ConversationInput::PickedUp).pass(60_000).spoken(), []);

    let mut greeted = Talk::new(config);
    greeted.input(ConversationInput::Say(Say::new("Good morning.")));
    assert_eq!(greeted.input(ConversationInput::PickedUp).pass(0).spoken()[0].1, "Good morning.");
    greeted.make(1, 900).end(1).heard(1, "Good morning.").actions();
    assert_eq!(greeted.pass(8_000).spoken()[0].1, "Hello?", "counted from the greeting's end");
}

#[test]
fn a_slow_responder_is_bridged_once() {
    let config = ConversationConfig::default().with_filler(Duration::from_millis(900), "One moment, please.");
    let mut talk = Talk::new(config.clone());
    talk.caller_says("Hello?").actions();
    assert_eq!(talk.pass(900).spoken()[0].1, "One moment, please.");
    talk.make(1, 800).end(1);
    assert!(!talk.events().iter().any(|event| matches!(event, ConversationEvent::Answering { .. })));
    talk.reply("It is noon.").make(2, 700);
    assert!(talk.events().iter().any(|event| matches!(event, ConversationEvent::Answering { .. })));
    let mut talk = Talk::new(config);
    talk.caller_says("Hello?").reply("It is noon.").pass(5_000);
    assert_eq!(talk.spoken().len(), 1, "an answer in time needs no filler");
}

#[test]
fn the_end_of_the_call_ends_every_turn() {
    let mut talk = Talk::new(ConversationConfig::default());
    talk.caller_says("Tell me a story.").reply("Once upon a time there was a king.").make(1, 3_000).end(1);
    talk.input(ConversationInput::Say(Say::new("Wait."))).actions();
    talk.heard(1, "Once").input(ConversationInput::HungUp);
    assert_eq!(talk.events(), [ended(1, "Once", true), ended(2, "", true)]);
    talk.caller_says("Hello?").pass(60_000);
    assert_eq!(talk.actions(), [], "nobody is there");
    assert_eq!(talk.machine.poll_timeout(), None);
}
