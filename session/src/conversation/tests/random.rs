//! Whatever happens, in whatever order: who has the floor, what is asked for, how turns end, and what the history says.

use std::collections::{BTreeMap, BTreeSet};

use voxline_protocol::Dice;

use super::*;

/// What a conversation has asked for and told, held against the rules.
#[derive(Default)]
struct Model {
    /// The sentences asked for, with their turn and what was heard of them if that is known.
    spoken: BTreeMap<UtteranceId, (TurnId, String, Option<String>)>,
    making: Option<UtteranceId>,
    turn: TurnId,
    begun: BTreeSet<TurnId>,
    /// Turns that were answered by a responder at work.
    thinking: Option<TurnId>,
    interrupted: BTreeSet<TurnId>,
    ended: BTreeMap<TurnId, String>,
    paused: bool,
    caller: Vec<String>,
    said: BTreeMap<UtteranceId, TurnId>,
}

impl Model {
    fn check(&mut self, action: &ConversationAction, seed: u64) {
        match action {
            ConversationAction::Speak { utterance, text, again, .. } => {
                assert_eq!(self.making, None, "seed {seed}: one sentence at a time");
                let turn = self.said[utterance];
                assert!(!self.ended.contains_key(&turn), "seed {seed}: {turn} is over");
                assert!(!self.interrupted.contains(&turn), "seed {seed}: {turn} was interrupted");
                assert_eq!(turn, self.turn, "seed {seed}: only the newest turn speaks");
                let before = self.spoken.insert(*utterance, (turn, text.clone(), None));
                assert_eq!(before.is_some(), *again, "seed {seed}: {utterance} twice");
                self.making = Some(*utterance);
            }
            ConversationAction::Abandon { utterance } => {
                if self.making == Some(*utterance) {
                    self.making = None;
                }
            }
            ConversationAction::Interrupt { turn, .. } => {
                assert_eq!(*turn, self.turn, "seed {seed}");
                assert!(self.interrupted.insert(*turn), "seed {seed}: {turn} interrupted twice");
                assert_eq!(self.thinking, None, "seed {seed}: the responder is told first");
                (self.making, self.paused) = (None, false);
            }
            ConversationAction::Pause { .. } => {
                assert!(!std::mem::replace(&mut self.paused, true), "seed {seed}: paused twice");
            }
            ConversationAction::Resume { .. } => {
                assert!(std::mem::take(&mut self.paused), "seed {seed}: resumed without a pause");
            }
            ConversationAction::Respond { turn } => {
                assert_eq!(self.thinking.replace(*turn), None, "seed {seed}: one responder at a time");
                self.begin(*turn, seed);
            }
            ConversationAction::CancelResponse { turn } => {
                assert_eq!(self.thinking.take(), Some(*turn), "seed {seed}: nobody to be cancelled");
            }
            ConversationAction::Tell(event) => self.hear(event, seed),
            ConversationAction::Finalize | ConversationAction::Mark { .. } => {}
        }
    }

    fn hear(&mut self, event: &ConversationEvent, seed: u64) {
        match event {
            ConversationEvent::CallerSaid { text, .. } => self.caller.push(text.clone()),
            ConversationEvent::AgentSays { turn, utterance, .. } => {
                self.begin(*turn, seed);
                self.said.insert(*utterance, *turn);
            }
            ConversationEvent::TurnEnded { turn, heard, interrupted } => {
                self.begin(*turn, seed);
                assert_eq!(*interrupted, self.interrupted.contains(turn), "seed {seed}: {turn}");
                let before = self.ended.insert(*turn, heard.clone());
                assert_eq!(before, None, "seed {seed}: {turn} ended twice");
                assert_eq!(*heard, self.heard_in(*turn), "seed {seed}: {turn}");
            }
            ConversationEvent::Answering { .. }
            | ConversationEvent::BargeIn { .. }
            | ConversationEvent::FellSilent { .. }
            | ConversationEvent::Paused { .. }
            | ConversationEvent::ReplyLate { .. }
            | ConversationEvent::Resumed { .. }
            | ConversationEvent::SpeechFailed { .. }
            | ConversationEvent::TranscriptLate { .. }
            | ConversationEvent::WordsDropped { .. } => {}
        }
    }

    fn begin(&mut self, turn: TurnId, seed: u64) {
        if self.begun.insert(turn) {
            assert!(turn > self.turn, "seed {seed}: {turn} after {}", self.turn);
            self.turn = turn;
        }
    }

    fn heard_in(&self, turn: TurnId) -> String {
        let of = self.spoken.values().filter(|(of, ..)| *of == turn);
        let heard = of.filter_map(|(_, _, heard)| heard.as_deref()).filter(|heard| !heard.is_empty());
        heard.collect::<Vec<_>>().join(" ")
    }

    /// What the history must hold: for each turn of the agent, what was heard, or is not known not to be.
    fn agent(&self) -> Vec<String> {
        let mut turns: BTreeMap<TurnId, Vec<&str>> = BTreeMap::new();
        for (turn, text, heard) in self.spoken.values() {
            let words = heard.as_deref().unwrap_or(text);
            if !words.is_empty() {
                turns.entry(*turn).or_default().push(words);
            }
        }
        turns.into_values().map(|sentences| sentences.join(" ")).collect()
    }
}

fn policy_of(dice: &mut Dice) -> ConversationConfig {
    let pattern = match dice.within(0..3) {
        0 => BargeInPattern::Immediate,
        1 => BargeInPattern::FadeOut,
        _ => BargeInPattern::Pause { patience: Duration::from_millis(1_500) },
    };
    let mut policy = BargeInPolicy::immediate()
        .with_pattern(pattern)
        .with_min_speech(Duration::from_millis(dice.within(0..3) * 200))
        .with_min_words(dice.within(0..3) as usize);
    if dice.once_in(2) {
        policy = policy.with_back_channels(BackChannels::english());
    }
    if dice.once_in(2) {
        policy = policy.with_protected(["sentence two"]);
    }
    let mut config = ConversationConfig::default().with_barge_in(policy);
    if dice.once_in(3) {
        config = config.with_idle_prompts(Duration::from_secs(4), ["Are you there?", "Hello?"]);
    }
    if dice.once_in(3) {
        config = config.with_filler(Duration::from_millis(800), "One moment.");
    }
    config
}

fn input(dice: &mut Dice, model: &mut Model) -> ConversationInput {
    let turn = TurnId::new(model.turn.get().saturating_sub(u32::from(dice.once_in(6))));
    let any = UtteranceId::new(dice.within(0..model.said.len() as u64 + 2));
    let making = model.making.filter(|_| !dice.once_in(8)).unwrap_or(any);
    let words = ["yeah", "wait a minute", "mhm okay", "no", "what about Monday then", "[cough]"];
    let words = words[dice.within(0..words.len() as u64) as usize].to_owned();
    let ago = Duration::from_millis(dice.within(0..250));
    match dice.within(0..24) {
        0 if dice.once_in(4) => ConversationInput::PickedUp,
        0..=2 => ConversationInput::VoiceStarted { ago },
        3..=5 => ConversationInput::VoiceEnded { ago },
        6 => ConversationInput::Partial(words),
        7 | 8 => ConversationInput::Final(words),
        9 | 10 => ConversationInput::Finalized,
        11..=13 => {
            let number = ["one", "two", "three"][dice.within(0..3) as usize];
            ConversationInput::ReplyText { turn, text: format!("This is sentence {number}. ") }
        }
        14 => {
            if model.thinking == Some(turn) {
                model.thinking = None;
            }
            ConversationInput::ReplyEnded { turn }
        }
        15 => ConversationInput::Say(Say { text: "Say this. And that.".into(), protected: dice.once_in(2) }),
        16 => ConversationInput::Silent { turn, tail: Duration::ZERO },
        17 => ConversationInput::SpeechMade { utterance: making, duration: Duration::from_millis(600) },
        18 => ConversationInput::SpeechSent { utterance: making },
        19 | 20 => {
            if model.making == Some(making) {
                model.making = None;
            }
            ConversationInput::SpeechEnded { utterance: making }
        }
        21 if dice.once_in(4) => {
            if model.making == Some(making) {
                model.making = None;
            }
            ConversationInput::SpeechTruncated { utterance: making }
        }
        _ => hear_of(dice, model, any),
    }
}

/// The phone tells of a sentence once; now and then it tells of one that nobody asked for.
fn hear_of(dice: &mut Dice, model: &mut Model, any: UtteranceId) -> ConversationInput {
    // One that is being made is told of only if the phone lost it.
    let making = model.making.filter(|_| !dice.once_in(6));
    let open = model.spoken.iter_mut().find(|(id, (.., heard))| heard.is_none() && Some(**id) != making);
    let Some((id, (_, text, heard))) = open else {
        let known = model.said.contains_key(&any);
        let utterance = if known { UtteranceId::new(9_999) } else { any };
        return ConversationInput::Heard { utterance, text: "nothing".into(), complete: false };
    };
    let complete = !dice.once_in(3);
    let words = text.split(' ').count();
    let kept = if complete { words } else { dice.within(0..words as u64) as usize };
    let told: String = text.split(' ').take(kept).collect::<Vec<_>>().join(" ");
    *heard = Some(told.clone());
    ConversationInput::Heard { utterance: *id, text: told, complete }
}

#[test]
fn no_order_of_events_breaks_a_rule() {
    let schedules = if std::env::var_os("VOXLINE_HEAVY").is_some() { 500_000 } else { 20_000 };
    let (mut interrupted, mut paused) = (0, 0);
    for seed in 0..schedules {
        let mut dice = Dice::new(seed);
        let mut talk = Talk::new(policy_of(&mut dice));
        let mut model = Model::default();
        for _ in 0..dice.within(10..80) {
            if dice.once_in(3) {
                talk.pass(dice.within(1..1_200));
            } else {
                let input = input(&mut dice, &mut model);
                talk.input(input);
            }
            for action in talk.actions() {
                model.check(&action, seed);
                paused += u64::from(matches!(action, ConversationAction::Pause { .. }));
            }
        }
        check_history(&talk, &model, seed);
        interrupted += model.interrupted.len();
        // What is not told by the end of the call was not heard.
        talk.input(ConversationInput::HungUp);
        for (_, _, heard) in model.spoken.values_mut() {
            heard.get_or_insert_default();
        }
        for action in talk.actions() {
            model.check(&action, seed);
        }
        check_history(&talk, &model, seed);
        let ended: BTreeSet<_> = model.ended.keys().copied().collect();
        assert_eq!(ended, model.begun, "seed {seed}: every turn ends");
        assert_eq!(talk.machine.poll_timeout(), None, "seed {seed}");
    }
    assert!(interrupted > schedules as usize / 4 && paused > schedules / 50, "{interrupted}, {paused}");
}

fn check_history(talk: &Talk, model: &Model, seed: u64) {
    let said = |speaker| {
        let of = talk.machine.history().iter().filter(move |entry| entry.speaker == speaker);
        of.map(|entry| entry.text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said(Speaker::Agent), model.agent(), "seed {seed}");
    assert_eq!(said(Speaker::Caller).join(" "), model.caller.join(" "), "seed {seed}");
}
