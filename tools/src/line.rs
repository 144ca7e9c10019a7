//! Where calls come in: whom the front desk believes, and what to enter in Plivo's console.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoVerifier;
use voxline_transport::Endpoint;

use crate::cli::LineArgs;
use crate::desk::{ANSWER_PATH, FrontDesk, HANGUP_PATH, Origin, STATUS_PATH, STREAM_PATH};
use crate::error::ToolError;
use crate::gateway::usage;
use crate::output;

/// Every token of a list with commas.
pub(crate) fn secrets(tokens: &str) -> Result<Vec<Secret>, ToolError> {
    let tokens = tokens.split(',').map(str::trim).filter(|token| !token.is_empty());
    tokens.map(|token| Secret::new(token).map_err(usage)).collect()
}

/// Who is let in, and whether by signature.
pub(crate) fn desk(args: &LineArgs, address: SocketAddr) -> Result<(FrontDesk, bool), ToolError> {
    let origin = match &args.public_url {
        Some(url) => Origin::Fixed(public_base(url)?),
        None => Origin::FromRequest { forwarded: args.trust_forwarded },
    };
    // Good for this process: tokens that an earlier one gave out are void.
    let [high, low] = [0, 1].map(|half: u8| RandomState::new().hash_one(half));
    let key = Secret::new(&format!("{high:016x}{low:016x}")).map_err(usage)?;
    let local = address.ip().is_loopback();
    let Some(tokens) = args.auth_token.as_deref().filter(|_| !args.insecure_loopback) else {
        if local {
            return Ok((FrontDesk::loopback(key, origin), false));
        }
        let words = if args.insecure_loopback {
            format!("--insecure-loopback goes with a loopback address; {} is none", args.listen)
        } else {
            format!(
                "PLIVO_AUTH_TOKEN is not set, and {} is open to others; set it, or listen on 127.0.0.1",
                args.listen
            )
        };
        return Err(ToolError::Usage(words));
    };
    let mut tokens = secrets(tokens)?.into_iter();
    let Some(first) = tokens.next() else {
        return Err(ToolError::Usage(
            "PLIVO_AUTH_TOKEN is empty; set it to the account's Auth Token".to_owned(),
        ));
    };
    let mut verifier = PlivoVerifier::new(first);
    for token in tokens {
        verifier = verifier.with_token(token);
    }
    Ok((FrontDesk::new(verifier, key, origin), true))
}

/// Scheme and authority of a public address.
fn public_base(url: &str) -> Result<String, ToolError> {
    let bad = |why: &str| {
        ToolError::Usage(format!("--public-url `{url}` {why}; give such as https://voice.example.com"))
    };
    let base = url.trim_end_matches('/');
    let authority = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let authority = authority.ok_or_else(|| bad("does not begin with https:// or http://"))?;
    if authority.is_empty() || authority.contains(['/', '?', '#', '@']) || Endpoint::parse(base).is_err() {
        return Err(bad("is no scheme and host alone"));
    }
    Ok(base.to_owned())
}

/// What to enter in Plivo's console, or why nothing is.
pub(crate) fn tell_addresses(args: &LineArgs, address: SocketAddr, signed: bool) {
    if !signed {
        let asked =
            if args.auth_token.is_some() { "--insecure-loopback" } else { "PLIVO_AUTH_TOKEN is not set" };
        output::note(format_args!("{asked}: unsigned calls are taken, from this machine only"));
        return;
    }
    let base = args
        .public_url
        .as_deref()
        .map_or_else(|| "https://YOUR-HOST".to_owned(), |url| url.trim_end_matches('/').to_owned());
    if args.public_url.is_none() {
        output::note(format_args!(
            "YOUR-HOST is the public name that leads to {address}; say it with --public-url"
        ));
    }
    output::note("in Plivo's console, for the application of your number:");
    output::note(format_args!("  Answer URL  {base}{ANSWER_PATH}   (POST)"));
    output::note(format_args!("  Hangup URL  {base}{HANGUP_PATH}   (POST)"));
    output::note(format_args!(
        "streams come to {}{STREAM_PATH}, status callbacks to {base}{STATUS_PATH}",
        base.replacen("http", "ws", 1)
    ));
}
