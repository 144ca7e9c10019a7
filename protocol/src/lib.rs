//! Sans-IO state machines for real-time voice over WebSockets, both sides of every protocol.
//!
//! A phone call, a speech service and a talking avatar are each one value here. A [`Machine`] is told what
//! came from its link ([`Input`]), what the application asks, and what time it is; it is asked what to send
//! ([`Message`]), what to tell the application, and when to wake it. It opens no socket, reads no clock and
//! spawns no task, so it runs under any runtime or none, and a test of an hour takes a moment.
//!
//! # A call, both sides of it
//!
//! Plivo dials a server and sends the caller's voice; [`plivo::PlivoStream`] is the server's side,
//! [`plivo::PlivoCaller`] is Plivo with the caller at the other end. All a link does is `carry`:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use voxline_protocol::plivo::{
//!     CallerEvent, PlivoCaller, PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream,
//! };
//! use voxline_protocol::{Input, Machine, Message, ProtocolError};
//!
//! /// Takes all that one side has to say to the other.
//! fn carry(now: Instant, from: &mut impl Machine, to: &mut impl Machine) -> Result<(), ProtocolError> {
//!     while let Some(message) = from.poll_transmit() {
//!         match message {
//!             Message::Text(text) => to.handle_input(now, Input::Text(&text))?,
//!             Message::Binary(bytes) => to.handle_input(now, Input::Binary(bytes))?,
//!             Message::Close(frame) => to.handle_input(now, Input::Closed(Some(frame)))?,
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let mut now = Instant::now();
//! let mut caller = PlivoCaller::new(PlivoCallerConfig::new("call-1", "stream-1"), now);
//! let mut stream = PlivoStream::new(PlivoConfig::default(), now);
//! caller.handle_input(now, Input::Opened)?;
//! stream.handle_input(now, Input::Opened)?;
//! carry(now, &mut caller, &mut stream)?;
//! assert!(matches!(stream.poll_event(), Some(PlivoEvent::Started(_))));
//!
//! // 20 ms of speech, and a mark that tells when it was heard.
//! stream.handle_command(now, PlivoCommand::Play(vec![0x55; 160].into()))?;
//! stream.handle_command(now, PlivoCommand::Checkpoint("hello".into()))?;
//! carry(now, &mut stream, &mut caller)?;
//!
//! now += Duration::from_millis(40);
//! caller.handle_timeout(now)?;
//! carry(now, &mut caller, &mut stream)?;
//! let heard = std::iter::from_fn(|| caller.poll_event());
//! assert!(heard.into_iter().any(|event| matches!(event, CallerEvent::Ear(frame) if frame.played == 160)));
//! let told = std::iter::from_fn(|| stream.poll_event());
//! assert!(told.into_iter().any(|event| event == PlivoEvent::Played("hello".into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Speech
//!
//! [`slng::TtsClient`] turns text into audio, [`slng::SttClient`] audio into text, over as many links as it
//! takes. With the same `carry`:
//!
//! ```
//! # use std::time::Instant;
//! # use voxline_protocol::{Message, ProtocolError};
//! # fn carry(now: Instant, from: &mut impl Machine, to: &mut impl Machine) -> Result<(), ProtocolError> {
//! #     while let Some(message) = from.poll_transmit() {
//! #         match message {
//! #             Message::Text(text) => to.handle_input(now, Input::Text(&text))?,
//! #             Message::Binary(bytes) => to.handle_input(now, Input::Binary(bytes))?,
//! #             Message::Close(frame) => to.handle_input(now, Input::Closed(Some(frame)))?,
//! #         }
//! #     }
//! #     Ok(())
//! # }
//! use voxline_audio::{AudioFormat, SampleRate};
//! use voxline_protocol::slng::{
//!     Heard, SttClient, SttCommand, SttConfig, SttEvent, SttServer, SttServerCommand, SttServerConfig,
//! };
//! use voxline_protocol::{Input, Machine};
//!
//! let now = Instant::now();
//! let config = SttConfig::new(AudioFormat::linear16(SampleRate::Hz16000))?;
//! let mut client = SttClient::new(config, now);
//! let mut gateway = SttServer::new(SttServerConfig::default(), now);
//! client.handle_input(now, Input::Opened)?;
//! gateway.handle_input(now, Input::Opened)?;
//! client.handle_command(now, SttCommand::Audio(vec![0; 32_000].into()))?; // one second, before `ready`
//! carry(now, &mut client, &mut gateway)?;
//! carry(now, &mut gateway, &mut client)?;
//! carry(now, &mut client, &mut gateway)?;
//!
//! gateway.handle_command(now, SttServerCommand::Final(Heard::new("hello there", 1_600..4_800)))?;
//! carry(now, &mut gateway, &mut client)?;
//! assert!(matches!(client.poll_event(), Some(SttEvent::Ready { .. })));
//! assert!(matches!(client.poll_event(), Some(SttEvent::Final(said)) if said.text == "hello there"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # An avatar
//!
//! [`agenthuman::AvatarClient`] has an avatar say what it is given; the picture appears in a room that
//! [`daily`] watches.
//!
//! ```
//! # use std::time::Instant;
//! # use voxline_protocol::{Message, ProtocolError};
//! # fn carry(now: Instant, from: &mut impl Machine, to: &mut impl Machine) -> Result<(), ProtocolError> {
//! #     while let Some(message) = from.poll_transmit() {
//! #         match message {
//! #             Message::Text(text) => to.handle_input(now, Input::Text(&text))?,
//! #             Message::Binary(bytes) => to.handle_input(now, Input::Binary(bytes))?,
//! #             Message::Close(frame) => to.handle_input(now, Input::Closed(Some(frame)))?,
//! #         }
//! #     }
//! #     Ok(())
//! # }
//! use voxline_protocol::agenthuman::{
//!     AvatarClient, AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarServer, AvatarServerConfig,
//!     AvatarSession, HostedSession, Revision, SpeechEnd,
//! };
//! use voxline_protocol::{Input, Machine, Secret, UtteranceId};
//!
//! let now = Instant::now();
//! let session = AvatarSession::revision_b("sess_1", Secret::new("token")?);
//! let mut client = AvatarClient::new(AvatarClientConfig::new(session));
//! let hosted = HostedSession::new("sess_1", "token", Revision::B);
//! let mut service = AvatarServer::new(AvatarServerConfig::new(vec![hosted]));
//! client.handle_input(now, Input::Opened)?;
//! service.handle_input(now, Input::Opened)?;
//! let say = AvatarCommand::Say { utterance: UtteranceId::new(1), audio: vec![0; 64_000].into() };
//! client.handle_command(now, say)?; // two seconds, held until the service is ready for them
//! for _ in 0..2 {
//!     carry(now, &mut client, &mut service)?;
//!     carry(now, &mut service, &mut client)?;
//! }
//!
//! let told = std::iter::from_fn(|| client.poll_event());
//! let confirmed = |event| matches!(event, AvatarEvent::Speech(report) if report.end == SpeechEnd::Confirmed);
//! assert!(told.into_iter().any(confirmed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is where
//!
//! | in | our side | the other side | and what belongs to it |
//! |---|---|---|---|
//! | [`plivo`] | [`PlivoStream`](plivo::PlivoStream) | [`PlivoCaller`](plivo::PlivoCaller) | what the caller heard, answer XML, webhooks, signatures, REST |
//! | [`slng`] | [`TtsClient`](slng::TtsClient), [`SttClient`](slng::SttClient) | [`TtsServer`](slng::TtsServer), [`SttServer`](slng::SttServer) | addresses and keys, error names |
//! | [`agenthuman`] | [`AvatarClient`](agenthuman::AvatarClient) | [`AvatarServer`](agenthuman::AvatarServer), [`AvatarDesk`](agenthuman::AvatarDesk) | REST calls, checks before a session is paid for |
//! | [`daily`] | [`RoomMonitor`](daily::RoomMonitor) | | room events, presence, webhooks, tokens |
//! | the crate itself | [`Machine`], [`Timers`] | | [`Secret`], [`Dice`], numbers of links and utterances |
//!
//! Each other side takes named quirks: the faults and dialects the vendor has been seen with.
//! `voxline-session` drives machines over real links, with reconnects; whoever brings a runtime of their own
//! needs nothing but the loop that [`Machine`] describes.
//!
//! # What goes wrong
//!
//! | what | is |
//! |---|---|
//! | a command the state does not allow | a [`CommandError`]; the machine goes on |
//! | a message that is unknown or does not parse | an event, `Unhandled` or `Garbled`; the machine goes on |
//! | a lost link | an event; what the peer had not covered goes out on the next one |
//! | a peer the session cannot go on with | a [`ProtocolError`], once and final |
//!
//! Every failure has a stable name with a page in the [`CATALOGUE`]: what it means, what to do, whether trying
//! again can help, and what to tell somebody who knows no protocol.
//!
//! ```
//! use voxline_protocol::{Code, slng};
//!
//! let Some(code) = slng::error_code("rate_limit") else { panic!() };
//! assert_eq!(code, Code::new("slng/rate-limit"));
//! let Some(page) = code.entry() else { panic!() };
//! assert!(page.retryable);
//! println!("{}: {} {}", page.code, page.meaning, page.remedy);
//! ```
#![forbid(unsafe_code)]

mod address;
pub mod agenthuman;
mod catalogue;
pub mod daily;
mod dice;
mod error;
mod json;
mod life;
mod machine;
pub mod plivo;
mod secret;
pub mod slng;
mod timer;

pub use address::{AddressError, BaseUrl, is_loopback};
pub use catalogue::{CATALOGUE, Code, CodeEntry};
pub use dice::Dice;
pub use error::{Awaited, CommandError, DecodeError, ProtocolError};
pub use life::{Epoch, LinkLife, UtteranceId};
pub use machine::{CloseFrame, Input, LinkProof, Machine, Message};
pub use secret::{Secret, SecretError};
pub use timer::{TimerKind, Timers};
