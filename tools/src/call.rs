//! `voxline call`: one caller, as Plivo would bring it, and what it heard.

use std::path::{Path, PathBuf};
use std::time::Duration;

use voxline_audio::{AudioFormat, level};
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_session::SessionError;
use voxline_transport::{ClientTls, Connector, Endpoint, WebSocketConnector};

use crate::cli::CallArgs;
use crate::error::{ToolError, chain};
use crate::output;
use crate::simulate::caller::{Caller, Recording, words_of};
use crate::simulate::voice::Encoder;
use crate::wavfile::{CallWriter, Wav, WavError};

/// Calls, speaks, listens; true if anything was heard.
pub(crate) async fn run(args: &CallArgs) -> Result<bool, ToolError> {
    let speech =
        args.audio.as_ref().map(Wav::read).transpose().map_err(|error| ToolError::Usage(chain(&error)))?;
    let endpoint =
        Endpoint::parse(&args.url).map_err(|error| ToolError::Usage(format!("URL: {}", chain(&error))))?;
    let connector = WebSocketConnector::new(endpoint).with_tls(trust(args.ca.as_deref())?);
    // Before the call, so that a mistyped name costs nothing.
    let create =
        |path: &PathBuf| CallWriter::create(path, LINE.rate).map_err(|error| unwritable(path, &error));
    let out = args.out.as_ref().map(create).transpose()?;
    let id = format!("call-{}", std::process::id());
    let config = PlivoCallerConfig::new(id, format!("stream-{}", std::process::id())).with_format(LINE);
    let caller = Caller::dial(connector, config).await;
    let mut caller =
        caller.map_err(|error| ToolError::failed(format!("cannot call {}", args.url), &error))?;
    output::note(format_args!("calling {}", args.url));

    let rate = caller.format().rate;
    let said = match (&speech, &args.say) {
        (Some(wav), _) => wav.to_rate(rate),
        (None, Some(text)) => Encoder::new(rate).encode(text),
        (None, None) => Vec::new(),
    };
    let wait = Duration::from_secs(args.wait);
    let held = hold(&mut caller, &said, wait).await;
    let spoken_to = caller.said_to();
    let recording = caller.hang_up().await;
    // A call that broke off is the one whose recording is wanted most.
    if let (Some(out), Some(path)) = (out, &args.out) {
        write(out, &recording).map_err(|error| unwritable(path, &error))?;
    }
    held.map_err(|error| ToolError::failed("the call broke off", &error))?;
    Ok(report(&recording, said.len() as u64, spoken_to))
}

/// Speaks, then listens until the answer is over, or until none came in time.
async fn hold<C: Connector>(
    caller: &mut Caller<C>,
    said: &[i16],
    wait: Duration,
) -> Result<(), SessionError> {
    let rate = caller.format().rate;
    caller.listen_for(BEFORE_THE_FIRST_WORD).await?;
    if !said.is_empty() {
        caller.say(said).await?;
    }
    let asked = caller.said_to().max(caller.position());
    let give_up = asked + rate.samples_in(wait);
    loop {
        if caller.listen().await?.is_none() {
            return Ok(());
        }
        let position = caller.position();
        let answered = caller.last_sound() > asked;
        let over = answered && position > asked && caller.silence() >= END_OF_ANSWER;
        if position >= asked && (over || (!answered && position >= give_up)) {
            return Ok(());
        }
        if position >= asked + rate.samples_in(LONGEST_ANSWER) {
            return Ok(());
        }
    }
}

fn write(mut out: CallWriter, recording: &Recording) -> Result<(), WavError> {
    out.write(&recording.said, &recording.heard)?;
    out.finish()
}

fn unwritable(path: &Path, error: &WavError) -> ToolError {
    ToolError::Usage(format!(
        "{}; give a file that can be written with --out ({})",
        chain(error),
        path.display()
    ))
}

/// Tells what was heard; true if it was anything.
fn report(recording: &Recording, said: u64, said_to: u64) -> bool {
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

/// Whose certificates are believed.
fn trust(ca: Option<&Path>) -> Result<ClientTls, ToolError> {
    let Some(path) = ca else { return Ok(ClientTls::default()) };
    let pem = std::fs::read(path).map_err(|error| {
        ToolError::Usage(format!("cannot read `{}`: {error}; give a PEM file", path.display()))
    })?;
    ClientTls::with_roots_from_pem(&pem)
        .map_err(|error| ToolError::Usage(format!("{}: {}", path.display(), chain(&error))))
}

/// What a simulated call carries.
const LINE: AudioFormat = AudioFormat::PHONE;
/// A person takes a breath after the line is up; the agent's detector learns the line's noise meanwhile.
const BEFORE_THE_FIRST_WORD: Duration = Duration::from_millis(500);
/// Silence after which an answer is over.
const END_OF_ANSWER: Duration = Duration::from_millis(1_500);
/// An answer that goes on for longer than this is not waited for.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);
/// −60 dBFS.
const SOUND: f32 = 0.001;
