//! Somebody in the avatar's room: hears what it says, when it says it.

use std::time::Instant;

use voxline_audio::{Encoding, SampleRate};
use voxline_protocol::agenthuman::AvatarServerEvent;

use crate::simulate::caller::HeardBlock;
use crate::simulate::voice::Decoder;

/// What an avatar really said: the speech its server took, at the moments it was said, less what was interrupted.
///
/// It is fed by the observer of an [`AvatarSimulator`](super::AvatarSimulator), and hears one avatar.
#[derive(Debug, Clone, Default)]
pub struct AvatarEar {
    said: Vec<Said>,
}

#[derive(Debug, Clone)]
struct Said {
    from: Instant,
    samples: Vec<i16>,
}

impl AvatarEar {
    /// Takes what the avatar did at `now`.
    pub fn handle(&mut self, now: Instant, event: &AvatarServerEvent) {
        match event {
            AvatarServerEvent::Speech { audio, rate_hz, plays_from, .. } if *rate_hz == Self::RATE.hz() => {
                let mut samples = vec![0; audio.len() / 2];
                Encoding::Linear16Le.decode(audio, &mut samples);
                self.said.push(Said { from: *plays_from, samples });
            }
            AvatarServerEvent::Interrupted { .. }
            | AvatarServerEvent::SessionExpired { .. }
            | AvatarServerEvent::Disconnected { ends_session: true, .. } => self.stop(now),
            AvatarServerEvent::Disconnected { .. }
            | AvatarServerEvent::Error(_)
            | AvatarServerEvent::Established { .. }
            | AvatarServerEvent::Speech { .. }
            | _ => {}
        }
    }

    /// The rate it hears at; speech of another one is not heard.
    pub const RATE: SampleRate = SampleRate::Hz16000;

    /// When it will have said what it was given so far; `None` if it was given nothing.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        let last = self.said.last()?;
        Some(last.from + Self::RATE.duration_of(last.samples.len() as u64))
    }

    /// Everything it said, as samples since `began`.
    #[must_use]
    pub fn track(&self, began: Instant) -> Vec<i16> {
        let mut track = Vec::new();
        for Said { from, samples } in &self.said {
            let start = Self::RATE.samples_in(from.saturating_duration_since(began)) as usize;
            track.resize(start.max(track.len()), 0);
            track.extend_from_slice(samples);
        }
        track
    }

    /// The tonetext in what it said, in samples since `began`.
    #[must_use]
    pub fn blocks(&self, began: Instant) -> Vec<HeardBlock> {
        let mut decoder = Decoder::new(Self::RATE);
        decoder.push(&self.track(began));
        decoder.finish();
        std::iter::from_fn(|| decoder.poll()).filter_map(HeardBlock::of).collect()
    }

    /// What was not said by `now` never is.
    fn stop(&mut self, now: Instant) {
        for Said { from, samples } in &mut self.said {
            samples.truncate(Self::RATE.samples_in(now.saturating_duration_since(*from)) as usize);
        }
        self.said.retain(|said| !said.samples.is_empty());
    }
}
