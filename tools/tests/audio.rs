//! `voxline audio`: what it says of files, what it makes of them, and that no length of file fills the memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which fail with them")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use voxline::audio::{Conversion, Plot, Report, Source};
use voxline_audio::{
    AudioFormat, LoudnessMeter, NoiseReduction, SampleRate, WavEncoding, WavFormat, WavReader,
};

const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/friday.wav");

#[test]
fn a_good_recording_is_told_to_be_one_and_drawn() {
    let folder = Folder::new("inspect");
    let plot = folder.path("speech.svg");
    let output = voxline(&["audio", "inspect", SPEECH, "--json", "--plot", plot.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["rate_hz"].as_u64(), report["channels"].as_u64()), (Some(16_000), Some(1)));
    assert!((-40.0..-10.0).contains(&report["loudness_lufs"].as_f64().unwrap()), "{report}");
    assert!((0.3..1.0).contains(&report["voice_share"].as_f64().unwrap()), "{report}");
    assert_eq!(report["verdicts"][0]["usable"].as_bool(), Some(true), "{report}");
    assert_eq!(report["verdicts"][0]["finding"].as_str(), Some("fine"), "{report}");
    assert!(fs::read_to_string(plot).unwrap().ends_with("</svg>\n"));
    assert_eq!(folder.names(), ["speech.svg"]);
}

#[test]
fn what_is_the_matter_with_a_file_is_said_in_one_line_and_by_the_exit_code() {
    let folder = Folder::new("bad");
    let good = fs::read(SPEECH).unwrap();
    let mut odd_rate = good.clone();
    odd_rate[24..32].copy_from_slice(&[0x11, 0x2B, 0, 0, 0x22, 0x56, 0, 0]); // 11,025 Hz
    let headless = &good[44..];
    let mut promises_little = good.clone();
    promises_little[40..44].copy_from_slice(&32_000_u32.to_le_bytes()); // one second
    for (name, bytes, arguments, code, words) in [
        ("0 bytes", &b""[..], &[][..], 1, "the file is empty"),
        ("0 bytes, raw", b"", &["--raw-format", "mulaw:8000"], 1, "not a single sample"),
        ("half a header", &good[..30], &[], 1, "ends inside its WAV header, after 30 bytes"),
        ("no header", headless, &[], 1, "--raw-format"),
        ("a rate of its own", &odd_rate, &[], 1, "11025 Hz is not supported; use 8000, 16000"),
        ("cut", &good[..good.len() / 2], &[], 1, "bytes before the"),
        (
            "a length that is too small",
            &promises_little,
            &[],
            1,
            "goes on after the 1.00 s its header promises",
        ),
        ("an error saved as sound", b"{\"error\":\"quota\"}", &[], 1, "this is a JSON document, not sound"),
        ("another format", b"OggS\0\x02\0\0", &[], 1, "this is an Ogg file: decode it into a WAV file first"),
        ("linear as µ-law", headless, &["--raw-format", "mulaw:8000"], 1, "sounds like 16-bit linear"),
        ("a JSON body", b"{\"error\":\"quota\"}", &["--raw-format", "linear16:16000"], 1, "JSON"),
        ("no such format", headless, &["--raw-format", "mp3:8000"], 2, "linear16, mulaw or alaw"),
        (
            "no such rate",
            headless,
            &["--raw-format", "mulaw:11025"],
            2,
            "sample rate 11025 Hz is not supported",
        ),
        (
            "as it is",
            headless,
            &["--raw-format", "linear16:16000"],
            0,
            "sounds like 16-bit linear at 16000 Hz",
        ),
    ] {
        let path = folder.path("file");
        fs::write(&path, bytes).unwrap();
        let output = voxline(&[&["audio", "inspect", path.to_str().unwrap()], arguments].concat());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains(words), "{name}: {text}");
        assert_eq!(output.status.code(), Some(code), "{name}: {text}");
    }
}

#[test]
fn a_wrong_rate_is_named_for_people_and_for_programs() {
    let headless = &fs::read(SPEECH).unwrap()[44..];
    let folder = Folder::new("rate");
    let path = folder.path("speech.raw");
    fs::write(&path, headless).unwrap();
    let arguments = ["audio", "inspect", path.to_str().unwrap(), "--raw-format", "linear16:24000"];
    let people = voxline(&arguments);
    let text = String::from_utf8(people.stdout).unwrap();
    assert!(text.contains("factor of about 1.5: it sounds right at 16000 Hz"), "{text}");
    assert_eq!(people.status.code(), Some(1));
    let programs = voxline(&[&arguments[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&programs.stdout).unwrap();
    assert_eq!(report["verdicts"][0]["finding"], "wrong-rate", "{report}");
    assert_eq!(report["verdicts"][0]["likely_hz"], 16_000, "{report}");
}

#[test]
fn a_conversion_keeps_the_length_and_reaches_the_loudness() {
    let folder = Folder::new("convert");
    let phone = folder.path("phone.wav");
    let output = voxline(&[
        "audio",
        "convert",
        SPEECH,
        phone.to_str().unwrap(),
        "--rate",
        "8000",
        "--encoding",
        "mulaw",
        "--normalise",
        "--denoise",
    ]);
    assert!(output.status.success(), "{output:?}");
    let (samples, format) = read(&phone);
    let (original, _) = read(Path::new(SPEECH));
    assert_eq!(format, WavFormat::new(WavEncoding::MuLaw, 1, SampleRate::Hz8000));
    assert_eq!(samples.len(), original.len().div_ceil(2));
    let mut loudness = LoudnessMeter::new(SampleRate::Hz8000);
    loudness.process(&samples);
    let lufs = loudness.integrated().unwrap();
    assert!((-21.0..-19.5).contains(&lufs), "{lufs} LUFS");
    assert_eq!(folder.names(), ["phone.wav"]);

    // Nothing of the delay is left: the original at the same rate lies exactly under it.
    let plain = folder.path("plain.wav");
    assert!(
        voxline(&["audio", "convert", phone.to_str().unwrap(), plain.to_str().unwrap(), "--rate", "16000"])
            .status
            .success()
    );
    let (plain, _) = read(&plain);
    let alike = |late: isize| {
        let pairs =
            (1_000..original.len() - 1_000).map(|n| (original[n], plain[n.wrapping_add_signed(late)]));
        pairs.map(|(a, b)| a * b).sum::<f32>()
    };
    let best = (-40..=40).max_by(|a, b| alike(*a).total_cmp(&alike(*b)));
    assert_eq!(best, Some(0));
}

#[test]
fn a_refused_conversion_leaves_no_file() {
    let folder = Folder::new("refused");
    let out = folder.path("out.wav");
    for (arguments, code, words) in [
        (&["/nowhere.wav", out.to_str().unwrap()][..], 1, "/nowhere.wav: No such file"),
        (&[SPEECH, "out.mp3"], 2, "name it .wav"),
        (&[SPEECH, out.to_str().unwrap(), "--rate", "44000"], 2, "44000 Hz is not supported"),
        (&[SPEECH, "/nowhere/out.wav"], 1, "/nowhere/out.wav: No such file"),
    ] {
        let output = voxline(&[&["audio", "convert"], arguments].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(words) && output.status.code() == Some(code), "{text}");
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_conversion_leaves_no_file() {
    let folder = Folder::new("interrupted");
    let (endless, out) = (folder.path("endless.ulaw"), folder.path("out.wav"));
    assert!(Command::new("mkfifo").arg(&endless).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_voxline"))
        .args(["audio", "convert", endless.to_str().unwrap(), out.to_str().unwrap()])
        .args(["--raw-format", "mulaw:8000", "--rate", "16000"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut sound = fs::OpenOptions::new().write(true).open(&endless).unwrap();
    // More than a pipe holds: some of it has been read and what comes of it begun.
    sound.write_all(&vec![0x55; 1_000_000]).unwrap();
    assert!(folder.names().contains(&"out.wav.part".to_owned()), "{:?}", folder.names());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    while sound.write_all(&[0x55; 1_000]).is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("endless.ulaw: interrupted"), "{said}");
    assert_eq!(folder.names(), ["endless.ulaw"]);
}

#[test]
fn silence_is_not_raised() {
    let mut source = Source::raw(&[0xFF_u8; 16_000][..], AudioFormat::PHONE);
    let conversion = Conversion::new(SampleRate::Hz8000, NoiseReduction::Off);
    assert_eq!(conversion.measure(&mut source).unwrap(), None);
}

/// A long file takes what a short one takes: ten minutes, or two hours with `VOXLINE_HEAVY=1`.
#[test]
fn memory_is_bounded_however_long_the_file() {
    let minutes = if std::env::var_os("VOXLINE_HEAVY").is_some() { 120 } else { 4 };
    let peak_of = |minutes: u64, work: fn(u64)| {
        let before = USED.get();
        PEAK.set(before);
        work(minutes);
        PEAK.get() - before
    };
    for (name, work) in [("inspect and plot", inspect as fn(u64)), ("convert", convert)] {
        // The first minute also makes the tables that live on, and fills the picture.
        let short = peak_of(1, work).max(peak_of(1, work));
        let long = peak_of(minutes, work);
        assert!(long < short + short / 4 + 65_536, "{name}: {short} bytes a minute, {long} in {minutes}");
        assert!(long < 16 << 20, "{name}: {long} bytes");
    }
}

fn inspect(minutes: u64) {
    let mut source = Source::raw(tone(minutes), AudioFormat::PHONE);
    let mut plot = Plot::new(SampleRate::Hz8000);
    let report = Report::of(&mut source, Some(&mut plot)).unwrap();
    assert_eq!(report.seconds, 60.0 * minutes as f64);
}

fn convert(minutes: u64) {
    let conversion = Conversion::new(SampleRate::Hz16000, NoiseReduction::Light);
    let gain = conversion.measure(&mut Source::raw(tone(minutes), AudioFormat::PHONE)).unwrap();
    let mut samples = 0;
    let mut source = Source::raw(tone(minutes), AudioFormat::PHONE);
    conversion
        .run(&mut source, gain, |block| {
            samples += block.len() as u64;
            Ok(())
        })
        .unwrap();
    assert_eq!(samples, minutes * 60 * 16_000);
}

/// µ-law bytes that come and go like syllables, as long as is asked and never in memory.
fn tone(minutes: u64) -> impl Read {
    let mut at = 0_u64;
    let end = minutes * 60 * 8_000;
    reader(move |bytes| {
        let count = bytes.len().min(usize::try_from(end - at).unwrap());
        for byte in &mut bytes[..count] {
            *byte = if (at / 2_000).is_multiple_of(3) { 0xFF } else { (at * 37 % 128) as u8 | 0x20 };
            at += 1;
        }
        count
    })
}

struct Reader<F>(F);

fn reader(fill: impl FnMut(&mut [u8]) -> usize) -> impl Read {
    Reader(fill)
}

impl<F: FnMut(&mut [u8]) -> usize> Read for Reader<F> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        Ok((self.0)(bytes))
    }
}

fn voxline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_voxline")).args(arguments).output().unwrap()
}

fn read(path: &Path) -> (Vec<f32>, WavFormat) {
    let mut reader = WavReader::new(Cursor::new(fs::read(path).unwrap())).unwrap();
    let mut samples = vec![0.0; reader.promised_frames().unwrap() as usize];
    assert_eq!(reader.read(&mut samples).unwrap(), samples.len());
    (samples, reader.format())
}

/// A folder of a test's own, gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("voxline-audio-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The system's allocator, counting the bytes each thread has in use.
struct Counting;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts and passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.set(USED.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(USED.get()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        USED.set(USED.get() - layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
