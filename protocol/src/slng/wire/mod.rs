//! The gateway's messages as they travel: spellings are forgiven here, so that machines see one dialect.

mod answer;
mod field;
mod frame;
mod reply;
mod request;

pub(super) use answer::{
    Ready, Speech, SttMessage, Terminal, TtsMessage, VendorError, error_body, read_stt, read_tts,
};
pub(super) use field::encode;
pub(super) use reply::{Reply, ReplySpeech, ReplyWord, Results, write_error};
pub(super) use request::{
    Request, RequestInit, SttInit, SttInitConfig, ToStt, ToTts, TtsInitConfig, encoding_name, read_request,
};
