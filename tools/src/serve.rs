//! `voxline serve`: the phone agent, with speech from a gateway or from the simulated one inside.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use voxline_protocol::Secret;
use voxline_protocol::agenthuman::CreateSession;
use voxline_protocol::plivo::PlivoVerifier;
use voxline_session::{AgentEvent, AvatarConfig, ConversationEvent, LegEvent, Responder};
use voxline_transport::{Endpoint, HttpClient};

use crate::agent::{Models, PhoneAgent, Speech};
use crate::avatar::{journal, service};
use crate::cli::ServeArgs;
use crate::debuglog::DebugLog;
use crate::desk::{ANSWER_PATH, FrontDesk, HANGUP_PATH, Origin, STATUS_PATH, STREAM_PATH};
use crate::error::{ToolError, chain};
use crate::gateway::{Gateway, base_url, usage};
use crate::hangup::PlivoAccount;
use crate::lobby::{Lobby, LobbyLimits};
use crate::net::{Loopback, Net};
use crate::output;
use crate::responder::EchoResponder;
use crate::run::{interrupted, listen};

/// Serves until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &ServeArgs) -> Result<(), ToolError> {
    let mut gateway = Gateway::open(args.slng.as_deref(), None).await?;
    let models = Models::new(&args.tts_model, &args.voice, &args.stt_model);
    let speech = Speech::new(&gateway.base, &gateway.key, &models).map_err(usage)?;
    let listener = listen(&args.listen).await?;
    let address = listener.local_address();
    let (desk, signed) = desk(args, address)?;
    let hang_up = account(args)?;
    let log = match &args.debug_log {
        Some(path) => Some(DebugLog::to_file(path)?),
        None => signed.then(DebugLog::default),
    };
    output::note(format_args!("phone agent at ws://{address}{STREAM_PATH}, speech from {}", gateway.base));
    tell_addresses(args, address, signed);
    let mut agent = PhoneAgent::new(Loopback::default(), speech, EchoResponder::default())
        .with_desk(desk)
        .with_max_calls(args.max_calls)
        .with_standby(args.standby);
    if let Some(account) = hang_up {
        agent = agent.with_hang_up(move |call| {
            let account = Arc::clone(&account);
            async move { account.hang_up(&call).await }
        });
    }
    // Dropped at the end, and the service in it with it.
    let mut simulated = JoinSet::new();
    let lobby = lobby(args, &mut simulated).await?.map(Arc::new);
    if let Some(lobby) = &lobby {
        output::note(format_args!("avatar sessions at http://{address}{}", Lobby::PATH));
        agent = agent.with_lobby(Arc::clone(lobby));
    }
    let agent = agent.with_observer(move |call, at, event| match event {
        AgentEvent::StreamEnded(record) => {
            if let Some(log) = &log {
                log.write(at, record);
            }
        }
        AgentEvent::Conversation(_)
        | AgentEvent::Dtmf(_)
        | AgentEvent::Leg { .. }
        | AgentEvent::Partial(_)
        | AgentEvent::ResponderFailed { .. }
        | AgentEvent::Started(_)
        | _ => tell(call, event),
    });
    let outcome = hold(&agent, agent.serve(listener, args.calls), &mut gateway).await;
    if let Some(lobby) = lobby {
        lobby.close().await;
    }
    outcome
}

/// Serves to the end, or until told to end: then every call is ended first.
async fn hold<N: Net, R: Responder + Clone + 'static>(
    agent: &PhoneAgent<N, R>,
    serving: impl Future<Output = ()>,
    gateway: &mut Gateway,
) -> Result<(), ToolError> {
    let mut serving = pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = interrupted() => output::note("interrupted: ending the calls; once more to end at once"),
        error = gateway.ended() => return Err(error),
    }
    agent.shut_down();
    tokio::select! {
        // A call that outlives its ending is cut with the process.
        _ = timeout(GOODBYE, serving) => {}
        () = interrupted() => {}
    }
    Ok(())
}

/// Who hands out avatar sessions, if anybody does.
async fn lobby(args: &ServeArgs, simulated: &mut JoinSet<()>) -> Result<Option<Lobby>, ToolError> {
    let (Some(sessions), Some(token)) = (args.avatar_sessions, &args.avatar_token) else { return Ok(None) };
    let bearer = Secret::new(token).map_err(|error| ToolError::Usage(format!("--avatar-token: {error}")))?;
    if bearer.expose().len() < SHORTEST_TOKEN {
        return Err(ToolError::Usage(format!(
            "--avatar-token has fewer than {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 32`"
        )));
    }
    let api = service((!args.simulate).then_some(("--avatar-api", &args.avatar_api)), simulated).await?;
    let mut config = AvatarConfig::new(CreateSession::revision_a(args.avatar.as_str()));
    if let Some(journal) = journal(None, args.simulate)? {
        config = config.with_journal(journal);
    }
    let limits = LobbyLimits::default().with_sessions(sessions);
    Ok(Some(Lobby::new(HttpClient::new(), api, config, bearer, limits)))
}

/// The account whose calls are hung up; `None` where that is left to Plivo.
fn account(args: &ServeArgs) -> Result<Option<Arc<PlivoAccount<HttpClient>>>, ToolError> {
    let (Some(id), Some(tokens)) = (args.auth_id.as_deref(), args.auth_token.as_deref()) else {
        return Ok(None);
    };
    let base = base_url("--plivo-api", &args.plivo_api)?;
    let account = PlivoAccount::new(id.trim(), &secrets(tokens)?, &base, HttpClient::new());
    let account = account.map_err(|error| ToolError::Usage(format!("--plivo-api: {}", chain(&error))))?;
    Ok(Some(Arc::new(account)))
}

/// Every token of a list with commas.
fn secrets(tokens: &str) -> Result<Vec<Secret>, ToolError> {
    let tokens = tokens.split(',').map(str::trim).filter(|token| !token.is_empty());
    tokens.map(|token| Secret::new(token).map_err(usage)).collect()
}

/// Who is let in, and whether by signature.
fn desk(args: &ServeArgs, address: SocketAddr) -> Result<(FrontDesk, bool), ToolError> {
    let origin = match &args.public_url {
        Some(url) => Origin::Fixed(public_base(url)?),
        None => Origin::FromRequest { forwarded: args.trust_forwarded },
    };
    // Good for this process: tokens that an earlier one gave out are void.
    let [high, low] = [0, 1].map(|half: u8| RandomState::new().hash_one(half));
    let key = Secret::new(&format!("{high:016x}{low:016x}")).map_err(usage)?;
    let local = address.ip().is_loopback();
    let Some(tokens) = args.auth_token.as_deref().filter(|_| !args.insecure_loopback) else {
        if local {
            return Ok((FrontDesk::loopback(key, origin), false));
        }
        let words = if args.insecure_loopback {
            format!("--insecure-loopback goes with a loopback address; {} is none", args.listen)
        } else {
            format!(
                "PLIVO_AUTH_TOKEN is not set, and {} is open to others; set it, or listen on 127.0.0.1",
                args.listen
            )
        };
        return Err(ToolError::Usage(words));
    };
    let mut tokens = secrets(tokens)?.into_iter();
    let Some(first) = tokens.next() else {
        return Err(ToolError::Usage(
            "PLIVO_AUTH_TOKEN is empty; set it to the account's Auth Token".to_owned(),
        ));
    };
    let mut verifier = PlivoVerifier::new(first);
    for token in tokens {
        verifier = verifier.with_token(token);
    }
    Ok((FrontDesk::new(verifier, key, origin), true))
}

/// Scheme and authority of a public address.
fn public_base(url: &str) -> Result<String, ToolError> {
    let bad = |why: &str| {
        ToolError::Usage(format!("--public-url `{url}` {why}; give such as https://voice.example.com"))
    };
    let base = url.trim_end_matches('/');
    let authority = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let authority = authority.ok_or_else(|| bad("does not begin with https:// or http://"))?;
    if authority.is_empty() || authority.contains(['/', '?', '#', '@']) || Endpoint::parse(base).is_err() {
        return Err(bad("is no scheme and host alone"));
    }
    Ok(base.to_owned())
}

/// What to enter in Plivo's console, or why nothing is.
fn tell_addresses(args: &ServeArgs, address: SocketAddr, signed: bool) {
    if !signed {
        let asked =
            if args.auth_token.is_some() { "--insecure-loopback" } else { "PLIVO_AUTH_TOKEN is not set" };
        output::note(format_args!("{asked}: unsigned calls are taken, from this machine only"));
        return;
    }
    let base = args
        .public_url
        .as_deref()
        .map_or_else(|| "https://YOUR-HOST".to_owned(), |url| url.trim_end_matches('/').to_owned());
    if args.public_url.is_none() {
        output::note(format_args!(
            "YOUR-HOST is the public name that leads to {address}; say it with --public-url"
        ));
    }
    output::note("in Plivo's console, for the application of your number:");
    output::note(format_args!("  Answer URL  {base}{ANSWER_PATH}   (POST)"));
    output::note(format_args!("  Hangup URL  {base}{HANGUP_PATH}   (POST)"));
    output::note(format_args!(
        "streams come to {}{STREAM_PATH}, status callbacks to {base}{STATUS_PATH}",
        base.replacen("http", "ws", 1)
    ));
    if args.auth_id.is_none() {
        output::note("PLIVO_AUTH_ID is not set: a call that ends on our side is left to its XML");
    }
}

/// One line for what whoever runs the agent would want to see.
fn tell(call: usize, event: &AgentEvent) {
    let line = match event {
        AgentEvent::Started(info) => format!("started, {} of {}", info.format, info.call_id),
        AgentEvent::Conversation(ConversationEvent::CallerSaid { text, .. }) => format!("caller  {text}"),
        AgentEvent::Conversation(ConversationEvent::AgentSays { text, .. }) => format!("agent   {text}"),
        AgentEvent::Conversation(ConversationEvent::BargeIn { .. }) => {
            "caller  speaks over the agent".to_owned()
        }
        AgentEvent::Conversation(ConversationEvent::Answering { shares, .. }) => {
            format!("agent   answers after {} ms", shares.total().as_millis())
        }
        AgentEvent::Leg { leg, event: LegEvent::Lost } => format!("{leg} link lost"),
        AgentEvent::Leg { leg, event: LegEvent::Redialling { attempt, delay } } => {
            format!("{leg} dials again in {} ms (attempt {attempt})", delay.as_millis())
        }
        AgentEvent::Leg { leg, event: LegEvent::Warning(text) } => format!("{leg}: {text}"),
        AgentEvent::ResponderFailed { message, .. } => format!("responder failed: {message}"),
        AgentEvent::Conversation(_)
        | AgentEvent::Dtmf(_)
        | AgentEvent::Leg { .. }
        | AgentEvent::Partial(_)
        | _ => return,
    };
    output::note(format_args!("call {call}  {line}"));
}

/// What takes a while to guess.
const SHORTEST_TOKEN: usize = 16;
/// For the calls to end: to be hung up, which has 5 s, and to close their links.
const GOODBYE: Duration = Duration::from_secs(10);
