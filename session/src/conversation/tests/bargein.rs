//! What the caller says over the agent, under each policy.

use super::*;

fn policy(pattern: BargeInPattern) -> BargeInPolicy {
    BargeInPolicy::immediate().with_pattern(pattern).with_back_channels(BackChannels::english())
}

const PAUSE: BargeInPattern = BargeInPattern::Pause { patience: Duration::from_millis(1_500) };

/// An agent in the middle of a long answer, its first sentence made.
fn answering(policy: BargeInPolicy) -> Talk {
    let mut talk = Talk::new(ConversationConfig::default().with_barge_in(policy));
    talk.caller_says("Tell me a story.")
        .reply("Once upon a time there was a king.")
        .make(1, 3_000)
        .end(1)
        .actions();
    talk
}

impl Talk {
    fn voice(&mut self) -> &mut Self {
        self.input(ConversationInput::VoiceStarted { ago: Duration::from_millis(80) })
    }

    fn silence(&mut self) -> &mut Self {
        self.input(ConversationInput::VoiceEnded { ago: Duration::from_millis(200) })
    }

    fn partial(&mut self, text: &str) -> &mut Self {
        self.input(ConversationInput::Partial(text.to_owned()))
    }

    fn is(&mut self, action: fn(&ConversationAction) -> bool) -> bool {
        self.actions().iter().any(action)
    }
}

fn interrupts(action: &ConversationAction) -> bool {
    matches!(action, ConversationAction::Interrupt { .. })
}

fn resumes(action: &ConversationAction) -> bool {
    matches!(action, ConversationAction::Resume { .. })
}

#[test]
fn back_channel_words_do_not_interrupt_and_are_not_answered() {
    let mut talk = answering(policy(BargeInPattern::Immediate));
    talk.voice().pass(300).partial("Yeah,").silence().input(ConversationInput::Final("Yeah, mm-hmm.".into()));
    assert_eq!(talk.actions(), []);
    talk.pass(2_000).heard(1, "Once upon a time there was a king.");
    assert_eq!(talk.events(), [ended(1, "Once upon a time there was a king.", false)]);
    assert_eq!(talk.pass(60_000).actions(), [], "nobody answers a nod");
}

#[test]
fn back_channel_words_at_the_end_of_an_answer_are_an_answer() {
    let mut talk = answering(policy(BargeInPattern::Immediate));
    talk.voice().pass(300).partial("Okay.").silence().pass(100);
    talk.heard(1, "Once upon a time there was a king.").pass(500);
    assert!(talk.is(|action| *action == ConversationAction::Finalize));
    talk.input(ConversationInput::Final("Okay.".into())).input(ConversationInput::Finalized);
    assert!(talk.is(|action| matches!(action, ConversationAction::Respond { .. })));
}

#[test]
fn other_words_among_them_do_interrupt() {
    let mut talk = answering(policy(BargeInPattern::Immediate));
    talk.voice().pass(300).partial("Yeah").partial("Yeah but");
    assert!(talk.is(interrupts));
}

#[test]
fn an_interruption_takes_both_its_length_and_its_words() {
    let policy = BargeInPolicy::immediate().with_min_speech(Duration::from_millis(400)).with_min_words(2);
    for (speech, words, expected) in
        [(300, "wait a minute", false), (500, "wait", false), (500, "wait a", true), (500, "", false)]
    {
        let mut talk = answering(policy.clone());
        talk.voice().partial(words).pass(speech).silence();
        assert_eq!(talk.is(interrupts), expected, "{speech} ms, `{words}`");
    }
    let mut talk = answering(policy);
    talk.voice().pass(500).silence().pass(100).partial("wait a minute");
    assert!(talk.is(interrupts), "words come later than the voice");
}

#[test]
fn too_few_words_to_interrupt_are_answered_after_the_answer() {
    let mut talk = answering(BargeInPolicy::immediate().with_min_words(2));
    talk.voice().pass(300).silence().input(ConversationInput::Final("Why?".into())).pass(3_000);
    assert_eq!(talk.actions(), []);
    talk.heard(1, "Once upon a time there was a king.").pass(500);
    assert!(talk.is(|action| *action == ConversationAction::Finalize));
    talk.input(ConversationInput::Finalized);
    let said = ConversationEvent::CallerSaid { turn: TurnId::new(2), text: "Why?".into() };
    assert!(talk.events().contains(&said));
}

#[test]
fn a_voice_without_words_pauses_the_agent_and_it_goes_on() {
    let mut talk = answering(policy(PAUSE));
    let turn = TurnId::new(1);
    talk.voice();
    let paused = ConversationAction::Tell(ConversationEvent::Paused { turn });
    assert_eq!(talk.actions(), [ConversationAction::Pause { turn }, paused]);
    talk.pass(400).silence().pass(1_200);
    assert_eq!(talk.actions(), [ConversationAction::Finalize], "the recogniser is asked");
    talk.pass(200);
    let resumed = ConversationAction::Tell(ConversationEvent::Resumed { turn });
    assert_eq!(talk.actions(), [ConversationAction::Resume { turn }, resumed.clone()]);
    // The recogniser may know sooner.
    talk.voice().pass(400).silence().pass(400).input(ConversationInput::Finalized);
    talk.actions();
    talk.input(ConversationInput::Finalized);
    assert_eq!(talk.actions(), [ConversationAction::Resume { turn }, resumed]);
    talk.pass(3_000).heard(1, "Once upon a time there was a king.");
    assert_eq!(talk.events(), [ended(1, "Once upon a time there was a king.", false)]);
}

#[test]
fn back_channel_words_pause_the_agent_and_it_goes_on() {
    let mut talk = answering(policy(PAUSE));
    talk.voice().pass(300).partial("uh huh").silence().pass(400);
    talk.input(ConversationInput::Final("Uh huh.".into())).input(ConversationInput::Finalized);
    assert!(talk.is(resumes));
    talk.pass(3_000).heard(1, "Once upon a time there was a king.").pass(5_000);
    assert!(!talk.is(|action| matches!(action, ConversationAction::Respond { .. })));
}

#[test]
fn words_after_a_pause_make_it_a_barge_in_that_is_answered() {
    let mut talk = answering(policy(PAUSE));
    talk.voice().pass(400).silence().pass(400);
    let actions = talk.actions();
    assert!(actions.contains(&ConversationAction::Finalize), "{actions:?}");
    talk.input(ConversationInput::Final("Stop.".into()));
    let actions = talk.actions();
    assert!(actions.iter().any(interrupts) && !actions.iter().any(resumes), "{actions:?}");
    talk.heard(1, "Once upon").input(ConversationInput::Finalized);
    let events = talk.events();
    assert_eq!(events[0], ended(1, "Once upon", true));
    assert!(
        matches!(&events[1], ConversationEvent::CallerSaid { text, .. } if text == "Stop."),
        "{events:?}"
    );
    assert!(talk.machine.is_answering(), "the last words were asked for once");
}

#[test]
fn a_noise_that_never_ends_does_not_pause_the_agent_for_ever() {
    let mut talk = answering(policy(PAUSE));
    talk.voice().pass(9_000).actions();
    assert!(talk.pass(1_000).is(resumes));
}

#[test]
fn a_noise_that_stops_and_starts_does_not_pause_the_agent_for_ever() {
    let mut talk = answering(policy(PAUSE));
    talk.voice();
    let mut paused = 0;
    while !talk.is(resumes) {
        talk.pass(700).silence().pass(300).voice();
        paused += 1_000;
        assert!(paused < 30_000, "paused for ever");
    }
    assert_eq!(paused, 12_000, "10 s of noise, and the patience for words behind it");
}

#[test]
fn what_is_said_over_a_protected_sentence_is_answered_after_it() {
    for protected in [false, true] {
        let phrase = if protected { "a king" } else { "a queen" };
        let mut talk = answering(BargeInPolicy::immediate().with_protected([phrase]));
        talk.voice().pass(600);
        assert_eq!(talk.is(interrupts), !protected);
        if protected {
            talk.silence().input(ConversationInput::Final("What did you say?".into())).pass(2_000);
            assert_eq!(talk.actions(), []);
            talk.heard(1, "Once upon a time there was a king.").pass(500).input(ConversationInput::Finalized);
            let said =
                ConversationEvent::CallerSaid { turn: TurnId::new(2), text: "What did you say?".into() };
            assert!(talk.events().contains(&said));
        }
    }
}

#[test]
fn a_barge_in_waits_for_a_protected_sentence_and_voids_the_rest() {
    let mut talk = Talk::new(
        ConversationConfig::default()
            .with_barge_in(BargeInPolicy::immediate().with_protected(["is recorded"])),
    );
    talk.caller_says("Hello?").reply("This call is recorded. How can I help you?");
    talk.make(1, 2_000).end(1).make(2, 2_000).end(2).actions();
    talk.voice().pass(1_000);
    assert!(!talk.is(interrupts));
    talk.heard(1, "This call is recorded.");
    assert!(talk.is(interrupts));
    talk.heard(2, "");
    assert_eq!(talk.events(), [ended(1, "This call is recorded.", true)]);
}

#[test]
fn something_else_can_be_said_at_once() {
    let mut talk = answering(BargeInPolicy::default());
    talk.input(ConversationInput::Say(Say::new("The building is on fire. Please leave.")));
    let actions = talk.actions();
    let at = |wanted: fn(&ConversationAction) -> bool| actions.iter().position(wanted);
    assert!(at(interrupts) < at(|action| matches!(action, ConversationAction::Speak { .. })), "{actions:?}");
    talk.heard(1, "Once upon a").make(2, 900).end(2).actions();
    talk.heard(2, "The building is on fire.").make(3, 500).end(3).heard(3, "Please leave.");
    assert!(talk.events().contains(&ended(2, "The building is on fire. Please leave.", false)));
    let texts: Vec<_> = talk.machine.history().iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["Tell me a story.", "Once upon a", "The building is on fire. Please leave."]);
}

#[test]
fn what_the_caller_was_saying_is_answered_after_something_else_was_said() {
    let mut talk = Talk::new(ConversationConfig::default().with_barge_in(policy(BargeInPattern::Immediate)));
    talk.voice()
        .pass(500)
        .partial("When do you")
        .input(ConversationInput::Say(Say::new("One moment.").protected()));
    assert_eq!(talk.spoken().len(), 1);
    talk.pass(300).silence().input(ConversationInput::Final("When do you open?".into()));
    talk.make(1, 700).end(1).pass(1_000).heard(1, "One moment.").pass(500);
    talk.input(ConversationInput::Finalized);
    let said = ConversationEvent::CallerSaid { turn: TurnId::new(2), text: "When do you open?".into() };
    assert!(talk.events().contains(&said));
}

#[test]
fn the_time_to_silence_is_told_with_its_shares() {
    let policy = BargeInPolicy::immediate().with_min_speech(Duration::from_millis(200));
    let mut talk = answering(policy);
    let turn = TurnId::new(1);
    talk.voice()
        .pass(200)
        .pass(65)
        .input(ConversationInput::Silent { turn, tail: Duration::from_millis(30) });
    let millis = Duration::from_millis;
    let latency = Interruption { detection: millis(80), decision: millis(200), clearing: millis(95) };
    assert!(talk.events().contains(&ConversationEvent::FellSilent { turn, latency }));
    talk.input(ConversationInput::Silent { turn, tail: Duration::ZERO });
    assert_eq!(talk.events(), [], "told once");
}
