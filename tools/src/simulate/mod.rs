//! The other side of every wire, built for real so that no test needs a vendor.

pub mod agenthuman;
pub mod answer;
pub mod caller;
mod certificate;
mod command;
pub(crate) mod provider;
pub mod recordings;
pub mod slng;
pub mod voice;

use tokio::task::JoinSet;
use voxline_transport::Acceptor;

pub(crate) use command::run;

/// Gives each request that arrives an answer on a task of its own, until no more can. Dropping the future ends them all.
async fn serve_each<A, F>(mut acceptor: A, answer: impl Fn(A::Exchange) -> F)
where
    A: Acceptor,
    F: Future<Output = ()> + Send + 'static,
{
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            exchange = acceptor.accept() => match exchange {
                Some(exchange) => _ = answers.spawn(answer(exchange)),
                None => break,
            },
            Some(_) = answers.join_next() => {}
        }
    }
    while answers.join_next().await.is_some() {}
}
