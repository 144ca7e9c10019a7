//! A responder that says more than can be spoken: it is held back, and nothing it said is lost.

use super::*;

impl Talk {
    /// The responder says more, if it is asked for.
    fn more(&mut self, text: &str) -> bool {
        let turn = self.machine.turn();
        let is_asked = self.machine.takes_reply();
        if is_asked {
            self.input(ConversationInput::ReplyText { turn, text: text.to_owned() });
        }
        is_asked
    }
}

#[test]
fn a_responder_that_never_ends_is_asked_for_no_more_than_may_wait() {
    let mut talk = Talk::new(ConversationConfig::default().with_reply_ahead(3));
    talk.caller_says("Count.");
    let mut said = 0;
    while talk.more(&format!("This is number {said}. ")) {
        said += 1;
        assert!(said < 100, "asked without end");
    }
    assert_eq!(said, 4, "one is spoken, three wait");
    assert_eq!(talk.spoken().len(), 1);
    assert!(
        !talk.pass(60_000).events().iter().any(|event| matches!(event, ConversationEvent::ReplyLate { .. }))
    );
}

#[test]
fn the_time_of_a_responder_runs_only_while_it_is_asked() {
    let mut talk = Talk::new(ConversationConfig::default().with_reply_ahead(1));
    talk.caller_says("Count.");
    assert!(talk.more("Number one. Number two. Number three. "));
    assert!(!talk.more(""), "one waits");
    talk.make(1, 15_000).pass(15_000).make(1, 15_000).pass(15_000).end(1).actions();
    talk.heard(1, "Number one.").make(2, 15_000).pass(15_000).end(2).heard(2, "Number two.");
    assert!(!talk.events().iter().any(|event| matches!(event, ConversationEvent::ReplyLate { .. })));
    assert!(talk.machine.takes_reply());
    talk.make(3, 15_000).pass(19_999);
    assert!(!talk.events().iter().any(|event| matches!(event, ConversationEvent::ReplyLate { .. })));
    talk.pass(1);
    let limit = Duration::from_secs(20);
    assert!(talk.events().contains(&ConversationEvent::ReplyLate { turn: TurnId::new(1), limit }));
}

#[test]
fn all_that_was_said_at_once_is_spoken_in_order_and_protected_to_its_end() {
    for ahead in [0, 1, 4] {
        let mut talk = Talk::new(ConversationConfig::default().with_reply_ahead(ahead));
        let sentences: Vec<_> = (100..160).map(|number| format!("This is number {number}.")).collect();
        talk.input(ConversationInput::Say(Say::new(sentences.join(" ")).protected()));
        for (number, sentence) in (1..).zip(&sentences) {
            assert_eq!(talk.spoken(), [(number, sentence.clone(), Duration::ZERO)]);
            talk.make(number, 500).input(ConversationInput::VoiceStarted { ago: Duration::ZERO });
            talk.end(number).heard(number, sentence);
        }
        assert!(talk.events().contains(&ended(1, &sentences.join(" "), false)), "{ahead} ahead");
    }
}

#[test]
fn a_sentence_that_is_made_again_keeps_what_waits_behind_it() {
    let mut talk = Talk::new(ConversationConfig::default().with_reply_ahead(1));
    talk.caller_says("Hello?").reply("Number one. Number two. Number three.").make(1, 900);
    talk.input(ConversationInput::SpeechTruncated { utterance: UtteranceId::new(1) });
    // The phone lost all it had.
    talk.heard(1, "Number").actions();
    for (number, sentence) in [(2, "Number two."), (3, "Number three.")] {
        talk.make(number, 500).end(number).heard(number, sentence);
    }
    assert!(talk.events().contains(&ended(1, "Number Number two. Number three.", false)));
}
