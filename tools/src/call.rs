//! `voxline call`: one caller, as Plivo would bring it, and what it heard.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use voxline_audio::{SampleRate, level};
use voxline_protocol::Secret;
use voxline_protocol::plivo::{
    DropReason, NamingScheme, Params, PlivoCallerConfig, PlivoQuirk, PlivoSigner, StreamStatus,
};
use voxline_session::SessionError;
use voxline_transport::{Connector, Endpoint};

use crate::cli::CallArgs;
use crate::error::{ToolError, chain};
use crate::gateway::trusted;
use crate::output;
use crate::run::interrupted;
use crate::simulate::answer::{self, Step, StreamOrder};
use crate::simulate::caller::{Caller, Recording, words_of};
use crate::simulate::provider::Provider;
use crate::simulate::voice::Encoder;
use crate::wavfile::{CallWriter, Wav, WavError};

/// Calls, speaks, listens; true if every call heard anything.
pub(crate) async fn run(args: &CallArgs) -> Result<bool, ToolError> {
    if args.quirks.iter().any(|name| name == "list") {
        PlivoQuirk::ALL.iter().for_each(output::result);
        return Ok(true);
    }
    let plan = Plan::new(args)?;
    let calls = (0..args.calls.get()).map(|number| plan.call(number));
    let mut all_heard = true;
    for (number, call) in join_all(calls).await.into_iter().enumerate() {
        if args.calls.get() > 1 {
            output::result(format_args!("call {} of {}", number + 1, args.calls));
        }
        match call {
            Ok(Some(held)) => all_heard &= report(&held),
            Ok(None) => all_heard = false,
            Err(error) if args.calls.get() == 1 => return Err(error),
            Err(error) => {
                output::note(format_args!("voxline: {error}"));
                all_heard = false;
            }
        }
    }
    Ok(all_heard)
}

/// What every call has in common.
struct Plan<'a> {
    args: &'a CallArgs,
    url: &'a str,
    speech: Option<Wav>,
    quirks: Vec<PlivoQuirk>,
    provider: Provider,
}

/// A call that was held, as the caller remembers it.
struct Held {
    recording: Recording,
    /// Samples the caller said.
    said: u64,
    /// Where in the recording the caller's last word ends.
    said_to: u64,
    /// Whether the agent ended the stream, and not the caller.
    by_agent: bool,
    /// How the session failed, if it did.
    broke_off: Option<SessionError>,
}

impl<'a> Plan<'a> {
    fn new(args: &'a CallArgs) -> Result<Self, ToolError> {
        let usage = |error: &(dyn std::error::Error + 'static)| ToolError::Usage(chain(error));
        let url =
            args.url.as_deref().ok_or_else(|| ToolError::Usage("whom to call? give a URL".to_owned()))?;
        let speech = args.audio.as_ref().map(Wav::read).transpose().map_err(|error| usage(&error))?;
        Endpoint::parse(url).map_err(|error| ToolError::Usage(format!("URL: {}", chain(&error))))?;
        let quirks = args.quirks.iter().map(|name| name.parse()).collect::<Result<_, _>>();
        if let Some(path) = &args.out {
            // Before the call, so that a mistyped name costs nothing; dropped, it leaves no file.
            CallWriter::create(path, SampleRate::Hz8000).map_err(|error| unwritable(&error))?;
        }
        let token = args.auth_token.as_deref().filter(|token| !token.is_empty());
        // While several are valid, Plivo signs with each; one is enough to be believed.
        let token = token.map(|tokens| Secret::new(tokens.split(',').next().unwrap_or_default().trim()));
        let signer = token.transpose().map_err(|error| usage(&error))?.map(PlivoSigner::new);
        let provider = Provider::new(trusted(&args.trust)?, signer);
        Ok(Self { args, url, speech, quirks: quirks.map_err(|error| usage(&error))?, provider })
    }

    /// One call from its answer, if it has one, to its end. `None` if it never came to a stream.
    async fn call(&self, number: u32) -> Result<Option<Held>, ToolError> {
        let own = if number == 0 { String::new() } else { format!("-{number}") };
        let config = PlivoCallerConfig::new(
            format!("call-{}{own}", std::process::id()),
            format!("stream-{}{own}", std::process::id()),
        );
        let config = config.with_seed(self.args.seed + u64::from(number));
        let config = self.quirks.iter().fold(config, |config, quirk| config.with_quirk(*quirk));
        let held = if self.url.starts_with("http") {
            self.follow(config).await?
        } else {
            Some(self.hold(self.url, config, None).await?)
        };
        if let (Some(path), Some(held)) = (&self.args.out, &held) {
            // A call that broke off is the one whose recording is wanted most.
            write(&numbered(path, number), &held.recording)?;
        }
        if let Some(error) = held.as_ref().and_then(|held| held.broke_off.as_ref()) {
            return Err(ToolError::failed("the call broke off", error));
        }
        Ok(held)
    }

    /// Asks the answer URL what to do, and does it.
    async fn follow(&self, config: PlivoCallerConfig) -> Result<Option<Held>, ToolError> {
        let mut steps = self.ask(self.url, &config).await?;
        let (mut held, mut redirects) = (None, 0);
        let mut end = ("4010", "END_OF_XML");
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Hangup(reason) => {
                    output::note(format_args!(
                        "the answer hangs up: {}",
                        reason.as_deref().unwrap_or("no reason")
                    ));
                    end = ("4000", "NORMAL_CLEARING");
                    break;
                }
                Step::Redirect(url) if redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    steps = self.ask(&url, &config).await?;
                }
                Step::Redirect(_) => {
                    return Err(ToolError::Failed("the answers redirect in a circle".to_owned()));
                }
                Step::Stream(order) => {
                    let stream = self.stream(&order, config.clone(), &steps).await?;
                    let goes_on = stream.by_agent;
                    held = Some(stream);
                    if !goes_on {
                        end = ("4000", "NORMAL_CLEARING");
                        break;
                    }
                }
                Step::Wait(span) => sleep(span).await,
                Step::Other(name) => output::note(format_args!("passing over <{name}>")),
            }
        }
        output::note(format_args!("call ended: {} {}", end.0, end.1));
        if let Some(url) = &self.args.hangup_url {
            let mut params = webhook(&config, "Hangup", "completed");
            params.push("HangupCause", end.1);
            params.push("HangupCauseCode", end.0);
            self.provider.post(url, &params).await?;
        }
        Ok(held)
    }

    async fn ask(&self, url: &str, config: &PlivoCallerConfig) -> Result<VecDeque<Step>, ToolError> {
        let response = self.provider.post(url, &webhook(config, "StartApp", "ringing")).await?;
        if !response.status().is_success() {
            let (status, words) = (response.status(), String::from_utf8_lossy(response.body()));
            let words = words.trim().chars().take(200).collect::<String>();
            return Err(ToolError::Failed(format!(
                "{url} answers {status}: {words}; Plivo ends such a call with 7011"
            )));
        }
        let steps = answer::read(&String::from_utf8_lossy(response.body()));
        let steps = steps.map_err(|error| {
            ToolError::Failed(format!("{}; Plivo ends such a call with 8011", chain(&error)))
        })?;
        Ok(steps.into())
    }

    async fn stream(
        &self,
        order: &StreamOrder,
        config: PlivoCallerConfig,
        rest: &VecDeque<Step>,
    ) -> Result<Held, ToolError> {
        let mut config = config.with_format(order.format);
        if !order.bidirectional {
            config = config.one_way();
        }
        for (key, value) in &order.headers {
            config = config.with_header(key, value);
        }
        let limit: Option<Duration> = (!order.keep_call_alive).then(|| {
            output::note(
                "keepCallAlive is not true: the call goes on beside the stream, and ends with its XML",
            );
            rest.iter().map(|step| if let Step::Wait(span) = step { *span } else { Duration::ZERO }).sum()
        });
        let (statuses, told) = mpsc::channel(STATUSES);
        let scheme =
            if config.quirks.contains(&PlivoQuirk::SchemeB) { NamingScheme::B } else { NamingScheme::A };
        let (call, stream) = (config.call_id.clone(), config.stream_id.clone());
        let provider = self.provider.clone();
        let posting = async {
            if let Some(url) = order.status_url.clone() {
                provider.post_statuses(url, call, stream, scheme, told).await;
            }
        };
        let holding = async {
            let held = self.hold(&order.url, config, Some(statuses));
            match limit {
                Some(limit) => timeout(limit + LONE_STREAM, held).await.unwrap_or_else(|_| {
                    Err(ToolError::Failed("the call ended before it was held: set keepCallAlive".to_owned()))
                }),
                None => held.await,
            }
        };
        tokio::join!(holding, posting).0
    }

    /// Holds one stream: dials, speaks, listens.
    async fn hold(
        &self,
        url: &str,
        config: PlivoCallerConfig,
        statuses: Option<mpsc::Sender<StreamStatus>>,
    ) -> Result<Held, ToolError> {
        let dialler = self.provider.dialler(url);
        let dialler =
            dialler.map_err(|error| ToolError::Failed(format!("stream address: {}", chain(&error))))?;
        let caller = Caller::dial(dialler, config).await;
        let mut caller = match caller {
            Ok(caller) => caller,
            Err(error) => {
                if let Some(statuses) = statuses {
                    // Nobody to post it is nobody to be told.
                    let _ = statuses.send(StreamStatus::Dropped(DropReason::Initiation)).await;
                }
                return Err(ToolError::failed(format!("cannot call {}", bare(url)), &error));
            }
        };
        if let Some(statuses) = statuses {
            caller.tell_statuses(statuses);
        }
        let interrupted = interrupted();
        output::note(format_args!("calling {}", bare(url)));
        let rate = caller.format().rate;
        let said = match (&self.speech, &self.args.say) {
            (Some(wav), _) => wav.to_rate(rate),
            (None, Some(text)) => Encoder::new(rate).encode(text),
            (None, None) => Vec::new(),
        };
        let wait = Duration::from_secs(self.args.wait);
        let held = tokio::select! {
            held = hold(&mut caller, &said, wait) => held,
            () = interrupted => {
                output::note("interrupted: hanging up");
                Ok(false)
            }
        };
        let said_to = caller.said_to();
        let recording = caller.hang_up().await;
        let (by_agent, broke_off) =
            held.map_or_else(|error| (false, Some(error)), |by_agent| (by_agent, None));
        Ok(Held { recording, said: said.len() as u64, said_to, by_agent, broke_off })
    }
}

/// Speaks, then listens until the answer is over, or until none came in time. True if the agent hung up first.
async fn hold<C: Connector>(
    caller: &mut Caller<C>,
    said: &[i16],
    wait: Duration,
) -> Result<bool, SessionError> {
    let rate = caller.format().rate;
    caller.listen_for(BEFORE_THE_FIRST_WORD).await?;
    if !said.is_empty() {
        caller.say(said).await?;
    }
    let asked = caller.said_to().max(caller.position());
    let give_up = asked + rate.samples_in(wait);
    loop {
        if caller.listen().await?.is_none() {
            return Ok(true);
        }
        let position = caller.position();
        let answered = caller.last_sound() > asked;
        let over = answered && position > asked && caller.silence() >= END_OF_ANSWER;
        if position >= asked && (over || (!answered && position >= give_up)) {
            return Ok(false);
        }
        if position >= asked + rate.samples_in(LONGEST_ANSWER) {
            return Ok(false);
        }
    }
}

fn write(path: &Path, recording: &Recording) -> Result<(), ToolError> {
    let written = CallWriter::create(path, recording.format.rate).and_then(|mut call| {
        call.write(&recording.said, &recording.heard)?;
        call.finish()
    });
    written.map_err(|error| unwritable(&error))
}

fn unwritable(error: &WavError) -> ToolError {
    ToolError::Usage(format!("cannot write {}; choose another file with --out", chain(error)))
}

/// Tells what was heard; true if it was anything.
fn report(held: &Held) -> bool {
    let Held { recording, said, said_to, .. } = held;
    let (said, said_to) = (*said, *said_to);
    let rate = recording.format.rate;
    let mut wide = vec![0.0; recording.heard.len()];
    voxline_audio::pcm::i16_to_f32(&recording.heard, &mut wide);
    let peak = level::to_dbfs(level::peak(&wide));
    let sounding: Vec<f32> =
        wide.chunks(160).filter(|frame| level::peak(frame) > SOUND).flatten().copied().collect();
    let text = words_of(&recording.blocks);
    let after = wide.get(said_to as usize..).unwrap_or_default();
    let answer = after.iter().position(|sample| sample.abs() > SOUND);
    output::result(format_args!(
        "call      {:.2} s",
        rate.duration_of(recording.heard.len() as u64).as_secs_f64()
    ));
    output::result(format_args!("said      {:.2} s", rate.duration_of(said).as_secs_f64()));
    output::result(format_args!(
        "heard     {:.2} s of sound",
        rate.duration_of(sounding.len() as u64).as_secs_f64()
    ));
    if sounding.is_empty() {
        return false;
    }
    let rms = level::to_dbfs(level::rms(&sounding));
    output::result(format_args!("level     {rms:.1} dBFS RMS, peak {peak:.1} dBFS"));
    if let Some(answer) = answer.filter(|_| said > 0) {
        output::result(format_args!(
            "answered  {} ms after the last word",
            rate.duration_of(answer as u64).as_millis()
        ));
    }
    if !text.is_empty() {
        output::result(format_args!("words     {text}"));
    }
    true
}

/// The fields of a call webhook.
fn webhook(config: &PlivoCallerConfig, event: &str, status: &str) -> Params {
    let mut params = Params::new();
    for (name, value) in [
        ("CallUUID", config.call_id.as_str()),
        ("From", "14155550100"),
        ("To", "14155550199"),
        ("Direction", "inbound"),
        ("CallStatus", status),
        ("Event", event),
        ("ParentAuthID", &config.account_id),
    ] {
        params.push(name, value);
    }
    params
}

/// The first call's file is the one that was named; later ones have their number before the extension.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}-{}{}", number + 1, extension.unwrap_or_default()))
}

/// An address without its query, which may hold a token.
fn bare(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// A person takes a breath after the line is up; the agent's detector learns the line's noise meanwhile.
const BEFORE_THE_FIRST_WORD: Duration = Duration::from_millis(500);
/// Silence after which an answer is over.
const END_OF_ANSWER: Duration = Duration::from_millis(1_500);
/// An answer that goes on for longer than this is not waited for.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);
/// Status callbacks that may wait for the one being posted.
const STATUSES: usize = 64;
/// How long Plivo lets a call live whose XML has run out.
const LONE_STREAM: Duration = Duration::from_secs(2);
const MAX_REDIRECTS: u32 = 16;
/// −60 dBFS.
const SOUND: f32 = 0.001;
