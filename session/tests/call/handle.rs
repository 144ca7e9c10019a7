//! Whoever has something to say in a call learns whether it is said.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{sleep, timeout};
use voxline_session::Say;

use crate::speech::sentence;
use crate::world::{Call, Script, Setting, is_ready};

fn line(number: u16) -> Say {
    Say::new(sentence(number, number + 2))
}

#[tokio::test(start_paused = true)]
async fn words_the_agent_did_not_come_to_are_given_back_when_the_call_ends() {
    let mut call = Call::begin(Setting::new(Script::default())).await;
    // Nobody lets the agent run between: all of them wait when the caller hangs up.
    let handle = call.handle.clone();
    let mut waiting: Vec<_> = (1..=40).map(|number| Box::pin(handle.say(line(number)))).collect();
    for say in &mut waiting {
        assert_eq!(is_ready(say.as_mut()), None);
    }
    handle.end();
    let outcomes = timeout(Duration::from_secs(10), join_all(waiting)).await.unwrap();
    for (number, outcome) in (1..).zip(outcomes) {
        assert_eq!(outcome.unwrap_err().say, line(number));
    }
    assert_eq!(handle.say(line(50)).await.unwrap_err().say, line(50), "after the call");
    call.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn words_the_agent_has_taken_are_a_turn_that_ends_with_the_call() {
    let mut call = Call::begin(Setting::new(Script::default())).await;
    call.handle.say(line(1)).await.unwrap();
    call.handle.end();
    assert_eq!(call.turn(1).await, "", "nothing was heard of it");
    call.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn words_nobody_waits_for_any_more_are_not_said() {
    let call = Call::begin(Setting::new(Script::default())).await;
    let handle = call.handle.clone();
    {
        let mut given_up = Box::pin(handle.say(line(10)));
        assert_eq!(is_ready(given_up.as_mut()), None);
    }
    handle.say(line(20)).await.unwrap();
    assert_eq!(call.turn(1).await, sentence(20, 22));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(call.heard().first().map(|(word, _)| *word), Some(20), "{:?}", call.heard());
    call.hang_up().await.unwrap();
}
