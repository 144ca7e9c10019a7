//! A responder that never ends is held back, and something else can be said at any time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use voxline_session::Say;

use crate::speech::{sentence, words_of};
use crate::world::{Call, Script, Setting};

#[tokio::test(start_paused = true)]
async fn a_responder_that_never_ends_is_asked_no_faster_than_the_caller_listens() {
    let endless: Vec<String> =
        (0..10_000).map(|number| sentence(number % 40 * 10 + 1, number % 40 * 10 + 10)).collect();
    let said = endless[..200].join(" ");
    let script = Script::new(&[&endless]);
    let taken = Arc::clone(&script.taken);
    let mut call = Call::begin(Setting::new(script)).await;
    call.says("w400 w401").await;
    sleep(Duration::from_secs(60)).await;
    let (spoken, pieces) = (call.heard().len() / 10, *taken.lock().unwrap());
    // Ten seconds of speech are made ahead, eight sentences wait, and one is being made.
    assert!(spoken > 50 && pieces <= spoken + 20, "{pieces} taken, {spoken} spoken: {}", call.log());
    call.handle.say(Say::new(sentence(450, 455))).await.unwrap();
    let heard = call.turn(1).await;
    assert!(said.starts_with(&heard) && heard.len() > 1_000, "{heard}");
    assert_eq!(call.turn(2).await, sentence(450, 455));
    assert!(call.heard().ends_with(&words_of(450, 455)), "{:?}", call.heard());
    call.hang_up().await.unwrap();
}
