//! The `voxline` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    // What somebody who runs the tool would want to know without asking; VOXLINE_LOG=debug or trace tells more.
    let level =
        std::env::var("VOXLINE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(std::io::stderr).init();
    voxline::main()
}
