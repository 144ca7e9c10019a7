//! `voxline speak`, `voxline transcribe` and `voxline simulate slng`: the binary over loopback, and links cut on purpose.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use voxline::net::{InMemory, Loopback, Net};
use voxline::simulate::recordings::Recording;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::{Decoder, Encoder, Tracker};
use voxline::wavfile::{SpeechWriter, Wav};
use voxline::{GatewayError, Heard, Speaking, Spoken, Transcribing};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::Secret;
use voxline_protocol::slng::{Quirks, Service, SlngQuirk, TtsClient, TtsCommand, TtsConfig, TtsEvent};
use voxline_session::{Session, SessionError, SessionEvent};
use voxline_transport::memory::MemoryConnector;
use voxline_transport::{ClientTls, Endpoint, WebSocketConnector};

#[test]
fn a_text_becomes_a_file_that_sounds_it_in_every_format() {
    let text = "Your table is booked for Thursday.";
    for (rate, encoding) in [("24000", "linear16"), ("8000", "mulaw"), ("16000", "linear16")] {
        let file = Scratch::new(&format!("speak-{rate}-{encoding}.wav"));
        let args = ["speak", text, "--simulate", "--rate", rate, "--encoding", encoding, "-o", file.name()];
        let output = voxline(&args, None);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{rate} {encoding}: {output:?}");
        assert!(said.contains("first audio") && said.contains("network"), "{said}");
        let wav = Wav::read(&file.0).unwrap();
        assert_eq!(wav.rate().hz().to_string(), rate);
        assert_eq!(decoded(&wav.to_rate(wav.rate()), wav.rate()), text, "{rate} {encoding}");
        assert!(!file.0.with_extension("wav.part").exists());
    }
}

#[test]
fn a_recording_becomes_its_transcript() {
    let output = voxline(&["transcribe", APPOINTMENT, "--simulate", "--speed", "2"], None);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(words(&text), words(Recording::appointment().transcript()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("first partial") && told.contains("network"), "{told}");
}

#[test]
fn records_carry_partials_finals_and_the_times() {
    let output = voxline(&["transcribe", APPOINTMENT, "--simulate", "--speed", "2", "--json"], None);
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert!(of("partial") > 0 && of("final") > 0 && of("summary") == 1, "{text}");
    let summary = records.last().unwrap();
    assert!(summary["final_ms"].is_u64() && summary["round_trip_us"].is_u64(), "{summary}");
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do() {
    let long = "word ".repeat(500);
    let to_nowhere = "wss://127.0.0.1:9";
    let key = Some("slng_cu_1");
    let cases: [Mistake<'_>; 9] = [
        (
            "newline in the key",
            &["speak", "Hi.", "--slng", to_nowhere],
            Some("ab\ncd"),
            &["SLNG_API_KEY", "U+000A"],
        ),
        (
            "invisible character",
            &["speak", "Hi.", "--slng", to_nowhere],
            Some("ab\u{200B}"),
            &["SLNG_API_KEY", "U+200B"],
        ),
        ("no key", &["speak", "Hi.", "--slng", to_nowhere], None, &["SLNG_API_KEY is not set", "--simulate"]),
        ("scheme", &["speak", "Hi.", "--slng", "ftp://host"], key, &["ftp://host", "wss://"]),
        ("empty text", &["speak", "", "--simulate"], None, &["text is empty"]),
        ("white text", &["speak", " \n ", "--simulate"], None, &["text is empty"]),
        ("long text", &["speak", &long, "--simulate"], None, &["text is 2499 characters", "split it"]),
        ("voice", &["speak", "Hi.", "--simulate", "--voice", ""], None, &["voice is empty", "name a voice"]),
        ("model", &["speak", "Hi.", "--slng", to_nowhere, "--tts-model", "aura"], key, &["model", "aura"]),
    ];
    let file = Scratch::new("mistake.wav");
    for (name, args, key, expected) in cases {
        let args = [args, &["-o", file.name()]].concat();
        let output = voxline(&args, key);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
        for part in expected {
            assert!(said.contains(part), "{name}: `{part}` is not in {said}");
        }
        if let Some(key) = key {
            assert!(!said.contains(key), "{name}: {said}");
        }
        assert!(!file.0.exists() && !file.0.with_extension("wav.part").exists(), "{name}");
    }
    for (name, args, expected) in [
        ("speed", ["transcribe", APPOINTMENT, "--simulate", "--speed", "0"].as_slice(), "--speed is 0"),
        ("rate", &["speak", "Hi.", "-o", file.name(), "--simulate", "--rate", "11025"], "8000"),
        ("encoding", &["speak", "Hi.", "-o", file.name(), "--simulate", "--encoding", "mp3"], "linear16"),
        ("no file", &["transcribe", "/nowhere.wav", "--simulate"], "/nowhere.wav"),
        ("quirk", &["simulate", "slng", "--quirk", "waltz"], "`--quirk list`"),
        (
            "certificate",
            &["simulate", "slng", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"],
            "--tls-self-signed",
        ),
    ] {
        let output = voxline(args, None);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_gateway_that_is_not_there_or_refuses_is_a_failure_with_a_remedy_and_leaves_no_file() {
    let (_simulator, [plain, _], _dir) = simulated_gateway("refusing");
    for (name, base, expected) in [
        ("nobody", "ws://127.0.0.1:9", &["could not reach 127.0.0.1:9", "Check the host name, the port"][..]),
        ("wrong key", plain.as_str(), &["401", "invalid API key", "Check that the key is active"]),
    ] {
        let file = Scratch::new("nobody.wav");
        let args = ["speak", "Hi.", "--slng", base, "-o", file.name()];
        let output = voxline(&args, Some("slng_cu_1"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
        assert!(
            expected.iter().all(|part| said.contains(part)) && !said.contains("slng_cu_1"),
            "{name}: {said}"
        );
        assert!(!file.0.exists() && !file.0.with_extension("wav.part").exists(), "{name}");
    }
}

/// T16.
#[test]
fn a_gateway_that_is_down_is_passed_over_for_the_next() {
    let (_simulator, [plain, tls], dir) = simulated_gateway("fallback");
    let file = Scratch::new("fallback.wav");
    let ca = dir.0.join("ca.pem");
    let gateways =
        ["--slng", "ws://127.0.0.1:9", "--slng", &tls, "--slng", &plain, "--ca", ca.to_str().unwrap()];
    for command in
        [&["speak", "Elsewhere then.", "-o", file.name()][..], &["transcribe", file.name(), "--speed", "4"]]
    {
        let output = voxline(&[command, &gateways].concat(), Some("right"));
        assert!(output.status.success(), "{output:?}");
        let told = [output.stdout, output.stderr].concat();
        assert!(
            String::from_utf8_lossy(&told).contains("of which the network"),
            "the link in use is measured"
        );
    }
    let wav = Wav::read(&file.0).unwrap();
    assert_eq!(decoded(&wav.to_rate(wav.rate()), wav.rate()), "Elsewhere then.");
}

#[test]
fn a_file_without_speech_is_a_no_and_one_without_samples_a_mistake() {
    for (name, samples, code, expected) in
        [("silence", 8_000, 1, "no speech was heard"), ("empty", 0, 2, "without a single sample")]
    {
        let file = Scratch::new(&format!("{name}.wav"));
        let mut wav = SpeechWriter::create(&file.0, SampleRate::Hz16000).unwrap();
        wav.write(&vec![0; samples]).unwrap();
        wav.finish().unwrap();
        let output = voxline(&["transcribe", file.name(), "--simulate", "--speed", "4"], None);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn every_quirk_is_listed_with_its_meaning() {
    let output = voxline(&["simulate", "slng", "--quirk", "list"], None);
    let text = String::from_utf8(output.stdout).unwrap();
    for quirk in SlngQuirk::ALL {
        assert!(text.lines().any(|line| line.starts_with(quirk.name()) && line.ends_with('.')), "{quirk}");
    }
}

#[tokio::test]
async fn the_simulated_gateway_serves_plain_and_tls_at_once() {
    let (simulator, urls, dir) = simulated_gateway("certificates");
    let root = fs::read(dir.0.join("ca.pem")).unwrap();
    for (url, key) in [(&urls[0], "right"), (&urls[1], "right"), (&urls[1], "wrong")] {
        let url = format!("{}{}", url, Service::Tts.path("any/model:at-all"));
        let endpoint = Endpoint::parse(&url).unwrap().with_bearer(Secret::new(key).unwrap());
        let tls = ClientTls::with_roots_from_pem(&root).unwrap();
        let connector = WebSocketConnector::new(endpoint).with_tls(tls);
        match Speaking::begin(connector, tts_config(), "Hi.").await {
            Ok(speaking) => {
                assert_eq!((decoded(&kept(speaking).await, RATE).as_str(), key), ("Hi.", "right"));
            }
            Err(error) => assert!(key == "wrong" && format!("{error:?}").contains("401"), "{error:?}"),
        }
    }
    drop(simulator);
}

#[test]
fn a_private_gateways_certificate_is_trusted_when_it_is_named_and_only_then() {
    let (simulator, [_, tls], dir) = simulated_gateway("private");
    let ca = dir.0.join("ca.pem");
    let file = Scratch::new("private.wav");
    let speak = |ca: &[&str]| {
        let args = ["speak", "Trust me.", "--slng", &tls, "-o", file.name()];
        voxline(&[&args, ca].concat(), Some("right"))
    };
    let output = speak(&["--ca", ca.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let wav = Wav::read(&file.0).unwrap();
    assert_eq!(decoded(&wav.to_rate(wav.rate()), wav.rate()), "Trust me.");
    let args = ["transcribe", file.name(), "--slng", &tls, "--speed", "4", "--ca", ca.to_str().unwrap()];
    let output = voxline(&args, Some("right"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "Trust me.", "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("of which the network"), "short as it is, it has its network measured: {told}");

    let refused = speak(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("UnknownIssuer") && said.contains("--ca FILE"), "{said}");
    for (name, path) in [("no file", "/nowhere.pem"), ("no certificate", APPOINTMENT)] {
        let refused = speak(&["--ca", path]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains("--ca") && said.contains(path) && said.contains("PEM"), "{name}: {said}");
    }
    drop(simulator);
}

/// Bytes that are no UTF-8 end a link, and cost nothing that was asked for.
#[tokio::test]
async fn a_peer_whose_text_is_no_utf_8_costs_a_link_and_no_speech() {
    let (acceptor, base) = Loopback::default().listen("slng").await.unwrap();
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
    tokio::spawn(async move { gateway.serve(acceptor).await });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = format!("ws://{}", listener.local_addr().unwrap());
    let there = base.strip_prefix("ws://").unwrap().to_owned();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut here, _) = listener.accept().await.unwrap();
            let mut there = TcpStream::connect(&there).await.unwrap();
            tokio::spawn(async move {
                if number == 0 {
                    // The upgrade passes; then comes a text frame of one byte that is none.
                    let mut head = [0; 1_024];
                    let read = here.read(&mut head).await.unwrap();
                    there.write_all(&head[..read]).await.unwrap();
                    let read = there.read(&mut head).await.unwrap();
                    here.write_all(&head[..read]).await.unwrap();
                    here.write_all(&[0x81, 0x01, 0xff]).await.unwrap();
                }
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    let endpoint = Endpoint::parse(&format!("{between}{}", Service::Tts.path("slng/some/model"))).unwrap();
    let connector = WebSocketConnector::new(endpoint.with_bearer(Secret::new("k").unwrap()));
    let mut speaking = Speaking::begin(connector, tts_config(), "Whole, and once.").await.unwrap();
    let (mut speech, mut lost) = (Vec::new(), 0);
    while let Some(spoken) = speaking.next().await.unwrap() {
        match spoken {
            Spoken::Audio(samples) => speech.extend(samples),
            Spoken::LinkLost => lost += 1,
            spoken @ (Spoken::Again | Spoken::Warning(_) | _) => panic!("{spoken:?}"),
        }
    }
    assert_eq!((lost, decoded(&speech, RATE).as_str()), (1, "Whole, and once."));
}

#[tokio::test(start_paused = true)]
async fn speech_whose_link_is_cut_at_any_point_is_kept_whole_and_once() {
    let text = "Take the second road on the left, and then the first on the right.";
    for cut_after in [0, 1, 10, 40] {
        let (gateway, connector) = world(SlngSimulatorConfig::default(), Service::Tts).await;
        let mut speaking = Speaking::begin(connector, tts_config(), text).await.unwrap();
        let (mut speech, mut pieces, mut lost) = (Vec::new(), 0, 0);
        if cut_after == 0 {
            gateway.links(Service::Tts).cut();
        }
        while let Some(spoken) = speaking.next().await.unwrap() {
            match spoken {
                Spoken::Audio(samples) => {
                    speech.extend(samples);
                    pieces += 1;
                    if pieces == cut_after {
                        gateway.links(Service::Tts).cut();
                    }
                }
                Spoken::Again => speech.clear(),
                Spoken::LinkLost => lost += 1,
                Spoken::Warning(text) => panic!("{text}"),
                _ => {}
            }
        }
        assert_eq!(lost, 1, "cut after {cut_after}");
        assert_eq!(decoded(&speech, RATE), text, "cut after {cut_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_whose_link_is_cut_is_heard_whole_and_once() {
    let text = "One for the money, two for the show, three to get ready, and four to go.";
    for cut_after_ms in [200, 800, 1_400] {
        let (gateway, connector) = world(SlngSimulatorConfig::default(), Service::Stt).await;
        let rate = SampleRate::Hz16000;
        let sound = Encoder::new(rate).encode(text);
        let mut transcribing = Transcribing::begin(connector, rate, sound, 2.0).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(cut_after_ms)).await;
            gateway.links(Service::Stt).cut();
        });
        let (mut heard_text, mut lost) = (String::new(), 0);
        while let Some(heard) = transcribing.next().await.unwrap() {
            match heard {
                Heard::Final(said) => heard_text += &said.text,
                Heard::LinkLost => lost += 1,
                Heard::Warning(text) => panic!("{text}"),
                Heard::Partial(_) | _ => {}
            }
        }
        assert_eq!((words(&heard_text), lost), (words(text), 1), "cut after {cut_after_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_speaks_is_given_up_in_bounded_time() {
    for quirk in [SlngQuirk::NoReady, SlngQuirk::Dead, SlngQuirk::CloseBeforeAudio] {
        let config = SlngSimulatorConfig::default().with_quirks(Quirks::NONE.with(quirk));
        let (_gateway, connector) = world(config, Service::Tts).await;
        let begun = tokio::time::Instant::now();
        let mut speaking = Speaking::begin(connector, tts_config(), "Anybody?").await.unwrap();
        let error = loop {
            match speaking.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{quirk}: nothing was spoken"),
                Err(error) => break error,
            }
        };
        let expected = match &error {
            GatewayError::Session(error) => matches!(error, SessionError::RetriesExhausted { .. }),
            GatewayError::Silent { .. } | GatewayError::Unanswered => true,
            GatewayError::BrokenOff { .. } | GatewayError::Command(_) | GatewayError::Config(_) | _ => false,
        };
        assert!(expected, "{quirk}: {error:?}");
        assert!(begun.elapsed().as_secs() < 120, "{quirk}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn links_are_cut_by_the_seed() {
    let mut ages = Vec::new();
    for seed in [1, 1, 2] {
        let plan = voxline_transport::FaultPlan::new(seed)
            .with_cut(std::time::Duration::ZERO..=std::time::Duration::from_secs(5));
        let config = SlngSimulatorConfig::default().with_faults(plan);
        let (_gateway, connector) = world(config, Service::Tts).await;
        let begun = tokio::time::Instant::now();
        let machine = TtsClient::new(tts_config(), begun.into_std());
        let (mut sender, mut receiver) = Session::builder(machine).connect(connector).await.unwrap().split();
        let _ = sender.try_send(TtsCommand::Flush);
        while !matches!(
            futures::StreamExt::next(&mut receiver).await,
            Some(Ok(SessionEvent::Protocol(TtsEvent::LinkLost(_))))
        ) {}
        ages.push(begun.elapsed());
    }
    assert_eq!(ages[0], ages[1]);
    assert_ne!(ages[0], ages[2]);
}

/// The command that simulates, killed when it is dropped.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway of its own process, its plain and its TLS address, and the folder of its certificates.
fn simulated_gateway(name: &str) -> (Simulator, [String; 2], Scratch) {
    let dir = Scratch::new(name);
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_voxline"))
        .args(["simulate", "slng", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"])
        .args(["--tls-self-signed", dir.name(), "--key", "right"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(simulator.stderr.take().unwrap()).lines();
    let urls = lines
        .map(Result::unwrap)
        .filter_map(|line| Some(line.split_once("gateway at ")?.1.split_once("/v1")?.0.to_owned()));
    let urls: Vec<String> = urls.take(2).collect();
    (Simulator(simulator), urls.try_into().unwrap(), dir)
}

/// A gateway in memory, and the way to one of its services.
async fn world(config: SlngSimulatorConfig, service: Service) -> (SlngSimulator, MemoryConnector) {
    let net = InMemory::new();
    let (acceptor, url) = net.listen("slng").await.unwrap();
    let gateway = SlngSimulator::new(config);
    let serving = gateway.clone();
    tokio::spawn(async move { serving.serve(acceptor).await });
    let endpoint = Endpoint::parse(&format!("{url}{}", service.path("slng/some/model"))).unwrap();
    let endpoint = endpoint.with_bearer(Secret::new("k").unwrap());
    (gateway, net.connector(endpoint))
}

async fn kept(mut speaking: Speaking) -> Vec<i16> {
    let mut speech = Vec::new();
    while let Some(spoken) = speaking.next().await.unwrap() {
        if let Spoken::Audio(samples) = spoken {
            speech.extend(samples);
        }
    }
    speaking.close().await;
    speech
}

/// The text in a sound; nothing of it is missing, doubled or damaged.
fn decoded(speech: &[i16], rate: SampleRate) -> String {
    let mut decoder = Decoder::new(rate);
    let mut tracker = Tracker::new();
    decoder.push(speech);
    decoder.finish();
    while let Some(event) = decoder.poll() {
        tracker.handle_event(&event);
    }
    assert!(tracker.faults().is_empty(), "{:?}", tracker.faults());
    tracker.text()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn tts_config() -> TtsConfig {
    TtsConfig::new(AudioFormat::linear16(RATE), "aura-2-thalia-en")
}

fn voxline(args: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxline"));
    command.args(args).env_remove("SLNG_API_KEY");
    if let Some(key) = key {
        command.env("SLNG_API_KEY", key);
    }
    command.output().unwrap()
}

/// A name, what is typed, the key, and what the line must say.
type Mistake<'a> = (&'a str, &'a [&'a str], Option<&'a str>, &'a [&'a str]);

/// A path of this test's own, removed with whatever is there.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("voxline-{}-{name}", std::process::id())))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0));
    }
}

const RATE: SampleRate = SampleRate::Hz24000;
const APPOINTMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/appointment.wav");
