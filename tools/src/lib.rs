//! What the `voxline` command is made of, for programs and tests that want the parts.
#![forbid(unsafe_code)]

pub mod agent;
pub mod audio;
mod avatar;
mod call;
pub mod cli;
mod codes;
mod debuglog;
mod demo;
pub mod desk;
mod echo;
mod error;
mod gateway;
pub mod hangup;
mod line;
pub mod lobby;
pub mod net;
mod output;
pub mod responder;
mod run;
mod serve;
pub mod simulate;
mod speak;
pub mod timeline;
mod transcribe;
pub mod wavfile;

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
pub use error::ToolError;
pub use gateway::GatewayError;
pub use speak::{Speaking, Spoken};
pub use transcribe::{Heard, Transcribing};

/// Runs the command that was typed. Exit code 0 is yes, 1 is no or a failure, 2 a mistake in what was typed.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Audio(command) => block_on(audio::run(command)),
        Command::Codes(args) => codes::run(&args),
        Command::Avatar(args) => block_on(avatar::run(&args)),
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => block_on(serve::run(&args)).map(|()| true),
        Command::Echo(args) => block_on(echo::run(&args)).map(|()| true),
        Command::Call(args) => block_on(call::run(&args)),
        Command::Speak(args) => block_on(speak::run(&args)),
        Command::Transcribe(args) => block_on(transcribe::run(&args)),
        Command::Simulate(command) => block_on(simulate::run(&command)).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::note(format_args!("voxline: {error}"));
            error.exit_code()
        }
    }
}

fn block_on<T>(command: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
    run::runtime()?.block_on(command)
}
