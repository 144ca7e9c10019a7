//! What `voxline serve` is told about its conversations, at the caller's ear.

use std::time::Duration;

use clap::Parser;
use voxline::cli::{Cli, Command};
use voxline::simulate::caller::words_of;
use voxline_session::{AgentConfig, ConversationConfig};

use crate::bargein::{Answering, barged_in, paused, resumed};
use crate::world::{LINES, World};

/// The conversation that `voxline serve` holds with these flags.
pub(crate) fn talk(flags: &[&str]) -> ConversationConfig {
    let typed = ["voxline", "serve", "--simulate"].iter().chain(flags);
    let Command::Serve(args) = Cli::try_parse_from(typed).unwrap().command else { unreachable!() };
    args.talk.conversation()
}

async fn spoken_over(flags: &[&str], said: &str) -> Answering {
    let mut call = Answering::begin(1, talk(flags).barge_in).await;
    call.say(said).await;
    call.hear_out().await;
    call
}

#[tokio::test(start_paused = true)]
async fn any_voice_stops_the_agent_unless_it_is_told_otherwise() {
    for flags in [&[][..], &["--barge-in", "immediate"], &["--barge-in", "fade-out"], &["--back-channels"]] {
        let call = spoken_over(flags, "Hold on.").await;
        assert!(call.happened(barged_in), "{flags:?}");
        call.check_cut();
    }
}

#[tokio::test(start_paused = true)]
async fn too_few_words_and_words_that_only_agree_let_the_agent_go_on() {
    for (flags, said) in [
        (&["--min-words", "3"][..], "Hold on."),
        (&["--back-channels"], "Mm-hmm, yeah."),
        (&["--barge-in", "pause", "--back-channels"], "Mm-hmm, yeah."),
    ] {
        let call = spoken_over(flags, said).await;
        assert!(!call.happened(barged_in), "{flags:?}");
        let decoded = call.decoded();
        assert!(decoded.starts_with(LINES[0].1), "{flags:?}: {decoded}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_by_itself_if_no_words_follow() {
    let mut call = Answering::begin(1, talk(&["--barge-in", "pause"]).barge_in).await;
    call.cough().await;
    call.hear_out().await;
    assert!(call.happened(paused) && call.happened(resumed) && !call.happened(barged_in));
    assert_eq!(call.decoded(), LINES[0].1);
}

#[tokio::test(start_paused = true)]
async fn a_protected_sentence_is_heard_to_its_end() {
    let sentence = "You can come on Friday at ten, or on Monday at noon.";
    assert!(!spoken_over(&[], "Hold on.").await.decoded().starts_with(sentence));
    let call = spoken_over(&["--protect", "never said", "--protect", "friday at TEN"], "Hold on.").await;
    assert!(call.decoded().starts_with(sentence), "{}", call.decoded());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_more_is_asked_whether_anybody_is_there() {
    let prompts = ["--idle-prompt", "Are you there?", "--idle-prompt", "Goodbye then.", "--idle-after", "3"];
    let config = AgentConfig::default().with_conversation(talk(&prompts));
    let mut world = World::new(1, config).await;
    let answer = world.ask(LINES[2].0, &[]).await;
    world.caller.listen_for(Duration::from_secs(15)).await.unwrap();
    let heard = world.caller.heard().iter().filter(|block| block.start >= answer.from);
    assert_eq!(words_of(heard), format!("{} Are you there? Goodbye then.", LINES[2].1));
}

#[test]
fn flags_that_contradict_each_other_or_mean_nothing_are_refused() {
    let refused = |flags: &[&str]| {
        let typed = ["voxline", "serve"].iter().chain(flags);
        Cli::try_parse_from(typed).is_err()
    };
    for flags in [
        &[][..],
        &["--simulate", "--slng", "wss://a.example"],
        &["--simulate", "--avatar-api", "https://a.example"],
        &["--simulate", "--barge-in", "loudly"],
        &["--simulate", "--idle-prompt", "Hello?", "--idle-after", "0"],
    ] {
        assert!(refused(flags), "{flags:?}");
    }
    assert!(!refused(&["--slng", "wss://a.example", "--slng", "wss://b.example", "--ca", "ca.pem"]));
}
