//! A process that is killed while it records leaves a file that can be read up to its last moments.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter};
use std::process::{Child, Command, Stdio};

use voxline_audio::{Recorder, RecorderConfig, SampleRate, Side, WavReader, WavWriter};

/// Where a child of this test is to record, and the child's whole task.
const RECORD_TO: &str = "VOXLINE_TEST_RECORD_TO";

const FRAME: usize = 160;
const FRAMES: usize = 30_000;

/// Sample frames that may stand in the file before its header says so.
const UNTOLD: usize = WavWriter::<File>::CHECKPOINT_BYTES as usize / 4;

#[test]
fn a_killed_recorder_leaves_a_readable_file() {
    if let Some(path) = env::var_os(RECORD_TO) {
        return record(&File::create(path).unwrap());
    }
    for round in 0..8 {
        let path = env::temp_dir().join(format!("voxline-killed-{}-{round}.wav", std::process::id()));
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_killed_recorder_leaves_a_readable_file", "--nocapture"])
            .env(RECORD_TO, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Somewhere between two checkpoints, another place each time.
        let told = told_until_killed(&mut child, 3 * UNTOLD + round * 1_501);
        assert!(told < FRAMES * FRAME, "the child was done before it was killed");

        let file = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut reader = WavReader::new(&file[..]).unwrap();
        let promised = reader.promised_frames().unwrap() as usize;
        assert!(promised + UNTOLD >= told, "the header knows of {promised} of {told} sample frames");
        let mut samples = vec![0; 2 * promised];
        assert_eq!(
            reader.read_i16(&mut samples).unwrap(),
            samples.len(),
            "what the header promises is there"
        );
        for (at, frame) in samples.as_chunks::<2>().0.iter().enumerate() {
            assert_eq!(*frame, heard(at), "sample frame {at}");
        }
    }
}

/// What stands at a place of the recording: both sides count, one of them backwards.
fn heard(at: usize) -> [i16; 2] {
    [at as i16, -(at as i16 / 2)]
}

/// Ten minutes through a buffer, as fast as its reader takes the positions it tells.
#[expect(clippy::print_stdout, clippy::unwrap_used, reason = "the child talks to its parent")]
fn record(file: &File) {
    let mut recorder = Recorder::new(BufWriter::new(file), RecorderConfig::new(SampleRate::Hz8000)).unwrap();
    for frame in 0..FRAMES {
        let from = frame * FRAME;
        let sides: [[i16; FRAME]; 2] = [0, 1].map(|side| std::array::from_fn(|n| heard(from + n)[side]));
        recorder.write(Side::Caller, from as u64, &sides[0]).unwrap();
        recorder.write(Side::Agent, from as u64, &sides[1]).unwrap();
        recorder.advance((from + FRAME) as u64).unwrap();
        println!("recorded {}", from + FRAME);
    }
}

/// Kills the child once it has told `position`, and returns the last position it told.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn told_until_killed(child: &mut Child, position: usize) -> usize {
    let mut told = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(now) = line.strip_prefix("recorded ").and_then(|now| now.parse().ok()) {
            if told < position && now >= position {
                child.kill().unwrap();
            }
            told = now;
        }
    }
    child.wait().unwrap();
    told
}
