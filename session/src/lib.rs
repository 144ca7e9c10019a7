//! Sessions over voxline machines.
#![forbid(unsafe_code)]

mod conversation;

pub use conversation::{
    BargeInPattern, BargeInPolicy, Conversation, ConversationAction, ConversationConfig, ConversationEvent,
    ConversationInput, Entry, FlushPolicy, History, Responder, ResponderError, Shares, Speaker, TurnId,
};
