//! Sound of unknown origin: WAV files, and what is said to be raw samples.

use voxline_audio::{AudioFormat, Encoding, FrameSpec, Framer, SampleRate, WavHeader, WavReader, inspect};

/// A file, read as WAV and as raw samples of every kind.
pub fn audio_files(data: &[u8]) {
    if let Ok(Some(header)) = WavHeader::parse(data) {
        assert!(header.data_at <= data.len(), "{header:?}");
        // More of the file never changes what its beginning said.
        assert_eq!(WavHeader::parse(&data[..header.data_at]).ok().flatten().as_ref(), Some(&header));
    }
    let floats = read(data, |reader, out| reader.read(out), [0.0_f32; 480]);
    let integers = read(data, |reader, out| reader.read_i16(out), [0_i16; 480]);
    assert_eq!(floats, integers, "one reader found more sound than the other");

    for format in [AudioFormat::PHONE, AudioFormat::linear16(SampleRate::Hz16000)] {
        let verdicts = inspect(&data[..data.len().min(8_000)], format);
        assert!(!verdicts.is_empty());
        for verdict in verdicts {
            assert!(
                (0.0..=1.0).contains(&verdict.confidence) && !verdict.to_string().is_empty(),
                "{verdict:?}"
            );
        }
    }
    let mut framer = Framer::new(FrameSpec::PHONE, Encoding::Linear16Le);
    let (mut rest, mut frame, mut frames) = (data, [0; 160], 0);
    while !rest.is_empty() {
        let taken = framer.push(rest);
        while framer.pop(&mut frame) {
            frames += 1;
        }
        assert!(taken > 0, "it takes nothing more and gives nothing");
        rest = &rest[taken..];
    }
    assert_eq!(frames, data.len() / 320);
}

/// Samples read, if it is a WAV file at all.
fn read<S: Copy>(
    data: &[u8],
    read: impl Fn(&mut WavReader<&[u8]>, &mut [S]) -> Result<usize, voxline_audio::WavError>,
    mut buffer: [S; 480],
) -> Option<usize> {
    let mut reader = WavReader::new(data).ok()?;
    let channels = usize::from(reader.format().channels);
    if channels > buffer.len() {
        return None;
    }
    let mut samples = 0;
    while let Ok(got @ 1..) = read(&mut reader, &mut buffer) {
        samples += got;
        assert!(samples <= data.len(), "more sound than the file holds");
    }
    assert_eq!(reader.frames_read(), (samples / channels) as u64);
    Some(samples)
}
