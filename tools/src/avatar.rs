//! `voxline avatar`: has an avatar say a file or a text, and tells what the service confirmed.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use voxline_audio::{AudioFormat, SampleRate, WavEncoding, WavError, WavFormat, WavReader};
use voxline_protocol::agenthuman::{
    AvatarApi, AvatarEvent, CreateSession, InputRate, PcmSpec, Revision, RoomAccess, RoomPlatform, SpeechEnd,
    SpeechReport, VideoSize, check_speech,
};
use voxline_protocol::daily::{DailyApi, RoomVerdict};
use voxline_protocol::slng::{Service, TtsConfig};
use voxline_protocol::{BaseUrl, Secret};
use voxline_session::{Avatar, AvatarConfig, AvatarError, AvatarNotice, Journal};
use voxline_transport::{HttpClient, WebSocketConnector};

use crate::cli::{AvatarArgs, AvatarServiceArgs};
use crate::error::{ToolError, chain};
use crate::gateway::{Gateway, base_url, trusted, usage};
use crate::output;
use crate::run::{interrupted, listen};
use crate::simulate::agenthuman::{AvatarSimulator, AvatarSimulatorConfig};
use crate::speak::{Speaking, Spoken};

/// Says it; true if all of it was confirmed.
pub(crate) async fn run(args: &AvatarArgs) -> Result<bool, ToolError> {
    // Dropped at the end, and the service in it with it.
    let mut simulated = JoinSet::new();
    // First what costs nothing: a text's speech does.
    avatar_id(&args.service, args.gateway.simulate)?;
    let api = service(&args.service, args.gateway.simulate, &mut simulated).await?;
    let tls = trusted(&args.gateway.trust)?;
    let (rate, audio) = speech(args).await?;
    let config = config(args, rate)?;
    let requester = HttpClient::new().with_tls(tls.clone());
    let dial = move |endpoint| WebSocketConnector::new(endpoint).with_tls(tls.clone());
    let opening = Avatar::open(requester, dial, api, config);
    let mut avatar = tokio::select! {
        opened = opening => opened.map_err(|error| failed(&error))?,
        () = interrupted() => return Ok(false),
    };
    avatar.say(audio).await.map_err(|error| failed(&error))?;
    let said = tokio::select! {
        report = listen_to(&mut avatar) => report,
        () = interrupted() => {
            output::note("interrupted");
            None
        }
    };
    let is_whole = said.as_ref().is_some_and(|report| report.end == SpeechEnd::Confirmed);
    if let Some(report) = &said {
        tell(report, rate);
        // Ending the session ends the picture, so the avatar is let finish what it was given.
        wait_for(report.plays_until).await;
    }
    avatar.close().await.map_err(|error| failed(&error))?;
    Ok(is_whole)
}

/// What is to be said, refused here if the service would refuse it.
async fn speech(args: &AvatarArgs) -> Result<(InputRate, Bytes), ToolError> {
    let (rate, audio) = match (&args.file, &args.text) {
        (Some(_), _) if !args.gateway.slng.is_empty() => {
            let words = "--slng speaks a --text; leave it out for a file";
            return Err(ToolError::Usage(words.to_owned()));
        }
        (Some(path), _) => read(path)?,
        (None, Some(text)) => (InputRate::Hz16000, synthesise(args, text).await?),
        (None, None) => return Err(ToolError::Usage("give a FILE.wav or --text".to_owned())),
    };
    check_speech(&audio, true).map_err(usage)?;
    if audio.len() > Revision::A.max_message_bytes() {
        return Err(ToolError::Usage(format!(
            "agenthuman/message-too-large: speech of {} bytes; the service takes 100 MB, so split the file",
            audio.len()
        )));
    }
    Ok((rate, audio))
}

fn read(path: &Path) -> Result<(InputRate, Bytes), ToolError> {
    let refused = |error: WavError| {
        let words = format!("`{}`: {}; give a WAV file", path.display(), chain(&error));
        ToolError::Usage(words)
    };
    let file = File::open(path).map_err(WavError::from).map_err(refused)?;
    let mut reader = WavReader::new(file).map_err(refused)?;
    let WavFormat { encoding, channels, hz, .. } = reader.format();
    let source = PcmSpec::new(hz, channels, 8 * encoding.bytes_per_sample() as u16);
    let source = if encoding == WavEncoding::Float32 { source.float() } else { source };
    let rate = InputRate::for_source(source).map_err(usage)?;
    let (mut samples, mut block) = (Vec::new(), [0; 8_192]);
    loop {
        let read = reader.read_i16(&mut block).map_err(refused)?;
        if read == 0 {
            break;
        }
        samples.extend_from_slice(&block[..read]);
    }
    Ok((rate, bytes_of(&samples)))
}

async fn synthesise(args: &AvatarArgs, text: &str) -> Result<Bytes, ToolError> {
    let gateway = Gateway::open(&args.gateway).await?;
    let (connector, _) = gateway.connector(Service::Tts, &args.voice.tts_model)?;
    let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), &args.voice.voice);
    let mut speaking = Speaking::begin(connector, config, text).await?;
    let mut samples = Vec::new();
    while let Some(spoken) = speaking.next().await? {
        match spoken {
            Spoken::Again => samples.clear(),
            Spoken::Audio(more) => samples.extend(more),
            Spoken::LinkLost => {}
            Spoken::Warning(words) => output::note(words),
        }
    }
    Ok(bytes_of(&samples))
}

fn bytes_of(samples: &[i16]) -> Bytes {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn config(args: &AvatarArgs, rate: InputRate) -> Result<AvatarConfig, ToolError> {
    let avatar = avatar_id(&args.service, args.gateway.simulate)?;
    let create = match (&args.room_url, &args.room_token) {
        (Some(url), Some(token)) => {
            let token =
                Secret::new(token).map_err(|error| ToolError::Usage(format!("--room-token: {error}")))?;
            let room = match RoomPlatform::parse(&args.room_platform).map_err(usage)? {
                RoomPlatform::LiveKit => RoomAccess::livekit(url, token),
                RoomPlatform::Daily | _ => RoomAccess::daily(url, token),
            };
            CreateSession::revision_b(avatar, room)
        }
        _ => CreateSession::revision_a(avatar),
    };
    let mut config = AvatarConfig::new(create).with_rate(rate).with_max_unsent(LONGEST_FILE);
    if let Some((width, height)) = args.video {
        config = config.with_video(VideoSize::new(width, height).map_err(usage)?);
    }
    if let Some(url) = &args.socket {
        config = config.with_socket_url(base_url("--socket", url)?);
    }
    if let (Some(_), Some(key)) = (&args.room_url, &args.daily_key) {
        let key = Secret::new(key).map_err(|error| ToolError::Usage(format!("--daily-key: {error}")))?;
        config = config.with_daily(DailyApi::new(key).with_base(base_url("--daily-api", &args.daily_api)?));
    }
    Ok(match journal(args.journal.as_deref(), args.gateway.simulate)? {
        Some(journal) => config.with_journal(journal),
        None => config,
    })
}

/// Where open sessions are noted; a simulated service forgets them by itself.
pub(crate) fn journal(folder: Option<&Path>, simulate: bool) -> Result<Option<Journal>, ToolError> {
    let home = || {
        let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
        Some(state.join("voxline/avatar"))
    };
    let folder = match folder {
        Some(folder) => Some(folder.to_owned()),
        None if simulate => None,
        None => home(),
    };
    let opened = folder.map(|folder| Journal::open(&folder).map_err(|error| (folder, error))).transpose();
    opened.map_err(|(folder, error)| {
        let words =
            format!("cannot make the journal `{}`: {error}; choose another with --journal", folder.display());
        ToolError::Usage(words)
    })
}

/// The avatar that was chosen. There is none that every account has.
pub(crate) fn avatar_id(args: &AvatarServiceArgs, simulate: bool) -> Result<&str, ToolError> {
    let simulated = simulate.then_some("avat_demo");
    args.avatar.as_deref().or(simulated).ok_or_else(|| {
        let words = "no avatar is chosen; give its id by --avatar or AGENTHUMAN_AVATAR";
        ToolError::Usage(words.to_owned())
    })
}

/// The service that was named, or one simulated in `simulated`.
pub(crate) async fn service(
    args: &AvatarServiceArgs,
    simulate: bool,
    simulated: &mut JoinSet<()>,
) -> Result<AvatarApi, ToolError> {
    if simulate {
        let listener = listen("127.0.0.1:0").await?.with_config(AvatarSimulator::listener_config());
        let address = listener.local_address();
        let service = AvatarSimulator::new(&format!("ws://{address}"), AvatarSimulatorConfig::default());
        simulated.spawn(async move { service.serve(listener).await });
        let key = Secret::new(AvatarSimulatorConfig::KEY).map_err(usage)?;
        let base = BaseUrl::parse(&format!("http://{address}")).map_err(usage)?;
        return Ok(AvatarApi::new(key).with_base(base));
    }
    let base = base_url("--avatar-api", &args.avatar_api)?;
    let key = env::var("AGENTHUMAN_API_KEY").map_err(|_| {
        let words = "AGENTHUMAN_API_KEY is not set; set it to the service's key, or use --simulate";
        ToolError::Usage(words.to_owned())
    })?;
    let key = Secret::new(&key).map_err(|error| ToolError::Usage(format!("AGENTHUMAN_API_KEY: {error}")))?;
    Ok(AvatarApi::new(key).with_base(base))
}

/// Tells what happens until the utterance has its account.
async fn listen_to(avatar: &mut Avatar) -> Option<SpeechReport> {
    while let Some(notice) = avatar.next().await {
        match notice {
            AvatarNotice::Created { session_id } => output::note(format_args!("created {session_id}")),
            AvatarNotice::LeftoverEnded { session_id } => {
                output::note(format_args!("ended {session_id}, which an earlier run had left open"));
            }
            AvatarNotice::Recovering { recovery } => {
                output::note(format_args!("link lost, bringing it back: {recovery:?}"));
            }
            AvatarNotice::Refused { reason, .. } => output::note(chain(&reason)),
            AvatarNotice::Protocol(AvatarEvent::Speech(report)) => return Some(report),
            AvatarNotice::Protocol(AvatarEvent::Established { took, .. }) => {
                output::note(format_args!("established after {} ms", took.as_millis()));
            }
            AvatarNotice::Protocol(AvatarEvent::Chunk(receipt)) => output::note(format_args!(
                "confirmed samples {} to {} after {} ms",
                receipt.samples.start,
                receipt.samples.end,
                receipt.queueing.as_millis()
            )),
            AvatarNotice::Protocol(AvatarEvent::ServiceError(error)) => output::note(error),
            AvatarNotice::Room(verdict) => output::note(in_words(&verdict)),
            AvatarNotice::Protocol(_) | AvatarNotice::Ended { .. } | AvatarNotice::State(_) | _ => {}
        }
    }
    None
}

fn in_words(verdict: &RoomVerdict) -> String {
    match verdict {
        RoomVerdict::AvatarJoined { after } => format!("in its room after {} s", after.as_secs()),
        RoomVerdict::AvatarLate { limit } => {
            format!("not in its room within {} s; a new session takes its place", limit.as_secs())
        }
        RoomVerdict::AvatarLost => "has left its room".to_owned(),
        RoomVerdict::Blind => "nobody tells whether it is in its room: check --daily-key".to_owned(),
        // Only somebody in the room could tell.
        RoomVerdict::Degraded
        | RoomVerdict::MediaReady
        | RoomVerdict::NoMedia { .. }
        | RoomVerdict::Recovered
        | RoomVerdict::RoomFailed(_)
        | _ => format!("room: {verdict:?}"),
    }
}

fn tell(report: &SpeechReport, rate: InputRate) {
    let seconds = |samples| rate.sample_rate().duration_of(samples).as_secs_f64();
    output::result(format_args!("speech     {:.2} s", seconds(report.given)));
    output::result(format_args!(
        "confirmed  {:.2} s in {}",
        seconds(report.confirmed_until),
        output::count(report.chunks.into(), "message")
    ));
    output::result(format_args!(
        "queueing   {} ms in all, {} ms at most for one",
        report.queueing.as_millis(),
        report.slowest.as_millis()
    ));
    if report.end != SpeechEnd::Confirmed {
        output::result(format_args!("ended      {:?}", report.end));
    }
}

async fn wait_for(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::select! {
            () = sleep_until(moment.into()) => {}
            () = interrupted() => output::note("interrupted"),
        }
    }
}

/// What was found before anything was sent is a mistake in what was typed; the rest is a failure.
fn failed(error: &AvatarError) -> ToolError {
    let words = format!("{}: {}", error.code(), chain(error));
    if matches!(error, AvatarError::Preflight(_) | AvatarError::Refused(_)) {
        ToolError::Usage(words)
    } else {
        ToolError::Failed(words)
    }
}

/// More than 100 MB at 16 kHz.
const LONGEST_FILE: Duration = Duration::from_secs(3600);
