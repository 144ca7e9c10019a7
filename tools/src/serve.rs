//! `voxline serve`: the phone agent, with speech from a gateway or from the simulated one inside.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use voxline_protocol::Secret;
use voxline_protocol::agenthuman::CreateSession;
use voxline_session::{
    AgentConfig, AgentEvent, AvatarConfig, ConversationEvent, LegEvent, Responder, StreamEnd,
};
use voxline_transport::{ClientTls, HttpClient};

use crate::agent::{Models, PhoneAgent, Speech};
use crate::avatar::{avatar_id, journal, service};
use crate::cli::ServeArgs;
use crate::debuglog::DebugLog;
use crate::desk::STREAM_PATH;
use crate::error::{ToolError, chain};
use crate::gateway::{Gateway, base_url, usage};
use crate::hangup::PlivoAccount;
use crate::lobby::{Lobby, LobbyLimits};
use crate::net::{Loopback, Net};
use crate::responder::EchoResponder;
use crate::run::{interrupted, listen};
use crate::{line, output};

/// Serves until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &ServeArgs) -> Result<(), ToolError> {
    let mut gateway = Gateway::open(&args.gateway).await?;
    let speech = speech(args, &gateway)?;
    let hang_up = account(args, &gateway.tls)?;
    // Dropped at the end, and the service in it with it.
    let mut simulated = JoinSet::new();
    let lobby = lobby(args, &gateway.tls, &mut simulated).await?.map(Arc::new);
    let listener = listen(&args.line.listen).await?;
    let address = listener.local_address();
    let (desk, signed) = line::desk(&args.line, address)?;
    let log = match &args.debug_log {
        Some(path) => Some(DebugLog::to_file(path)?),
        None => signed.then(DebugLog::default),
    };
    let whose = if args.gateway.simulate { ", simulated" } else { "" };
    output::note(format_args!(
        "phone agent at ws://{address}{STREAM_PATH}, speech from {}{whose}",
        gateway.base
    ));
    for base in &gateway.others {
        output::note(format_args!("  else from {base}"));
    }
    line::tell_addresses(&args.line, address, signed);
    if signed && args.auth_id.is_none() {
        output::note("PLIVO_AUTH_ID is not set: a call that ends on our side is left to its XML");
    }
    let net = Loopback::default().with_tls(gateway.tls.clone());
    let mut agent = PhoneAgent::new(net, speech, EchoResponder::default())
        .with_config(AgentConfig::default().with_conversation(args.talk.conversation()))
        .with_desk(desk)
        .with_max_calls(args.line.max_calls)
        .with_standby(args.standby);
    if let Some(words) = &args.talk.greeting {
        agent = agent.with_greeting(words.as_str());
    }
    if let Some(account) = hang_up {
        agent = agent.with_hang_up(move |call| {
            let account = Arc::clone(&account);
            async move { account.hang_up(&call).await }
        });
    }
    if let Some(lobby) = &lobby {
        output::note(format_args!("avatar sessions at http://{address}{}", Lobby::PATH));
        agent = agent.with_lobby(Arc::clone(lobby));
    }
    let agent = agent.with_observer(move |call, at, event| {
        tell(call, event);
        if let (AgentEvent::StreamEnded(record), Some(log)) = (event, &log) {
            log.write(at, record);
        }
    });
    let outcome = hold(&agent, agent.serve(listener, args.line.calls), &mut gateway).await;
    if let Some(lobby) = lobby {
        lobby.close().await;
    }
    outcome
}

/// Speech from the gateway that was named, and from those to go to when it fails.
fn speech(args: &ServeArgs, gateway: &Gateway) -> Result<Speech, ToolError> {
    let models = Models::new(&args.voice.tts_model, &args.voice.voice, &args.hearing.stt_model);
    let speech = Speech::new(&gateway.base, &gateway.key, &models);
    let with_all = gateway.others.iter().fold(speech, |speech, base| {
        speech.and_then(|speech| speech.with_fallback(base, &gateway.key, &models))
    });
    with_all.map_err(usage)
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
async fn lobby(
    args: &ServeArgs,
    tls: &ClientTls,
    simulated: &mut JoinSet<()>,
) -> Result<Option<Lobby>, ToolError> {
    let (Some(sessions), Some(token)) = (args.avatar_sessions, &args.avatar_token) else { return Ok(None) };
    let bearer = Secret::new(token).map_err(|error| ToolError::Usage(format!("--avatar-token: {error}")))?;
    if bearer.expose().len() < SHORTEST_TOKEN {
        return Err(ToolError::Usage(format!(
            "--avatar-token has fewer than {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 32`"
        )));
    }
    let simulate = args.gateway.simulate;
    let avatar = avatar_id(&args.service, simulate)?;
    let api = service(&args.service, simulate, simulated).await?;
    let mut config = AvatarConfig::new(CreateSession::revision_a(avatar));
    if let Some(journal) = journal(None, simulate)? {
        config = config.with_journal(journal);
    }
    let limits = LobbyLimits::default().with_sessions(sessions);
    Ok(Some(Lobby::new(HttpClient::new().with_tls(tls.clone()), api, config, bearer, limits)))
}

/// The account whose calls are hung up; `None` where that is left to Plivo.
fn account(args: &ServeArgs, tls: &ClientTls) -> Result<Option<Arc<PlivoAccount<HttpClient>>>, ToolError> {
    let (Some(id), Some(tokens)) = (args.auth_id.as_deref(), args.line.auth_token.as_deref()) else {
        return Ok(None);
    };
    let base = base_url("--plivo-api", &args.plivo_api)?;
    let requester = HttpClient::new().with_tls(tls.clone());
    let account = PlivoAccount::new(id.trim(), &line::secrets(tokens)?, &base, requester);
    let account = account.map_err(|error| ToolError::Usage(format!("--plivo-api: {}", chain(&error))))?;
    Ok(Some(Arc::new(account)))
}

/// One line for what whoever runs the agent would want to see.
fn tell(call: usize, event: &AgentEvent) {
    let line = match event {
        AgentEvent::Started(info) => format!("started: {}, {}", info.call_id, info.format),
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
        AgentEvent::StreamEnded(record) => {
            let how = match record.end {
                StreamEnd::Agent => "closed from here",
                StreamEnd::HungUp => "hung up",
                StreamEnd::Lost | _ => "its link was lost",
            };
            format!("ended after {:.1} s: {how}", record.duration.as_secs_f64())
        }
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
