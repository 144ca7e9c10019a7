//! Ending a call for certain: closing its stream leaves the rest to its XML, Plivo's REST interface does not.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use voxline_protocol::plivo::{CallId, PlivoApi, PlivoApiError};
use voxline_protocol::{BaseUrl, Secret};
use voxline_transport::{Endpoint, EndpointError, Requester, Retry};

use crate::error::chain;

/// A Plivo account, as far as its calls are hung up.
///
/// ```
/// use voxline::hangup::PlivoAccount;
/// use voxline_protocol::{BaseUrl, Secret};
/// use voxline_transport::HttpClient;
///
/// let token = Secret::new("the-auth-token")?;
/// let base = BaseUrl::parse(PlivoAccount::URL)?;
/// let account = PlivoAccount::new("MAXXXXXXXXXXXXXXXXXX", &[token], &base, HttpClient::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PlivoAccount<Q> {
    /// One for each token that may be the valid one.
    apis: Vec<PlivoApi>,
    endpoint: Endpoint,
    requester: Q,
}

impl PlivoAccount<()> {
    /// Where Plivo's own interface is.
    pub const URL: &'static str = "https://api.plivo.com";
}

impl<Q: Requester> PlivoAccount<Q> {
    /// The account `auth_id`, with the tokens that may be valid, whose interface is at `base`.
    ///
    /// # Errors
    /// `base` cannot be dialled.
    pub fn new(
        auth_id: &str,
        tokens: &[Secret],
        base: &BaseUrl,
        requester: Q,
    ) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::parse(base.as_str())?;
        let api = |token: &Secret| PlivoApi::new(auth_id, token.clone()).with_base(base.clone());
        Ok(Self { apis: tokens.iter().map(api).collect(), endpoint, requester })
    }

    /// Hangs `call` up, within 5 s. A call that is over already is hung up; what fails is tried again where that can
    /// help, and else logged, as nobody waits for it.
    pub async fn hang_up(&self, call: &CallId) {
        match timeout(LIMIT, self.try_hang_up(call)).await {
            Ok(Ok(())) => tracing::info!(%call, "hung up"),
            Ok(Err(error)) => tracing::warn!(%call, error, "the call could not be hung up"),
            Err(_elapsed) => tracing::warn!(%call, "the call could not be hung up within {LIMIT:?}"),
        }
    }

    async fn try_hang_up(&self, call: &CallId) -> Result<(), String> {
        let mut refused = "no Auth Token is given".to_owned();
        'tokens: for api in &self.apis {
            loop {
                let wait = match self.requester.send(&self.endpoint, api.hang_up(call)).await {
                    Ok(response) => match PlivoApi::read_done(&response) {
                        Ok(()) => return Ok(()),
                        // Another token may be the valid one.
                        Err(error @ PlivoApiError::Unauthorized) => {
                            refused = format!("{}: {}", error.code(), chain(&error));
                            continue 'tokens;
                        }
                        Err(PlivoApiError::TooMany { retry_after: Some(wait) }) => wait,
                        Err(error) if error.is_retryable() => PAUSE,
                        Err(error) => return Err(format!("{}: {}", error.code(), chain(&error))),
                    },
                    Err(error) if error.retry() == Retry::Never => {
                        return Err(format!("{}: {}", error.code(), chain(&error)));
                    }
                    Err(error) => {
                        tracing::debug!(%call, error = chain(&error), "hanging up is tried again");
                        PAUSE
                    }
                };
                sleep(wait).await;
            }
        }
        Err(refused)
    }
}

/// For all tries together.
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use voxline_transport::memory::Network;
    use voxline_transport::{Acceptor, Exchange, text_response};

    use super::*;

    /// Hangs up against an interface that answers so; tells what it was asked.
    async fn hang_up(answers: &[u16]) -> Vec<String> {
        let network = Network::new(1);
        let mut interface = network.listen("plivo.localhost").unwrap();
        let tokens = ["old", "new"].map(|token| Secret::new(token).unwrap());
        let base = BaseUrl::parse("http://plivo.localhost").unwrap();
        let account = PlivoAccount::new("MA1", &tokens, &base, network).unwrap();
        let mut asked = Vec::new();
        let answering = async {
            for status in answers {
                let exchange = interface.accept().await.unwrap();
                let request = exchange.request();
                let login = request.headers()["authorization"].to_str().unwrap();
                asked.push(format!("{} {} {login}", request.method(), request.uri()));
                let answer = text_response(StatusCode::from_u16(*status).unwrap(), "");
                exchange.respond(answer).await.unwrap();
            }
            // Whatever is asked beyond the answers would wait here, and show.
            interface.accept().await.is_some()
        };
        tokio::select! {
            asked_more = answering => assert!(!asked_more, "{answers:?}"),
            () = async { account.hang_up(&CallId::from("c-1")).await } => {}
        }
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_hung_up_once_by_whichever_token_is_valid() {
        let (old, new) = (
            "DELETE /v1/Account/MA1/Call/c-1/ Basic TUExOm9sZA==",
            "DELETE /v1/Account/MA1/Call/c-1/ Basic TUExOm5ldw==",
        );
        for (answers, asked) in [
            (&[204][..], &[old][..]),
            (&[404], &[old]),
            (&[400], &[old]),
            (&[503, 429, 204], &[old, old, old]),
            (&[401, 204], &[old, new]),
            (&[401, 401], &[old, new]),
        ] {
            assert_eq!(hang_up(answers).await, asked, "{answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_that_never_succeeds_is_given_up() {
        let began = tokio::time::Instant::now();
        hang_up(&[503; 100]).await;
        assert_eq!(began.elapsed(), LIMIT);
    }
}
