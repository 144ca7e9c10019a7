//! `voxline codes`: what an error code means, and what to do.

use serde_json::json;
use voxline_protocol::{CATALOGUE, Code, CodeEntry};

use crate::cli::CodesArgs;
use crate::error::ToolError;
use crate::output;

/// Explains one code, or lists those that were asked for.
pub(crate) fn run(args: &CodesArgs) -> Result<bool, ToolError> {
    let asked = args.code.as_deref().unwrap_or_default().trim();
    let is_asked = |page: &&CodeEntry| {
        let rest = page.code.as_str().strip_prefix(asked.trim_end_matches('/'));
        asked.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut found: Vec<_> = pages().filter(is_asked).collect();
    found.sort_unstable_by_key(|page| page.code);
    match found.as_slice() {
        [] => {
            return Err(ToolError::Usage(format!("no code is called `{asked}`; `voxline codes` lists them")));
        }
        found if args.json => found.iter().for_each(|page| output::result(record(page))),
        [page] => explain(page),
        found => list(found),
    }
    Ok(true)
}

/// The page of a code, whichever crate it is of.
pub(crate) fn page(code: Code) -> Option<&'static CodeEntry> {
    pages().find(|page| page.code == code)
}

/// Every page there is: those of the protocols, of links, and of sessions.
fn pages() -> impl Iterator<Item = &'static CodeEntry> {
    let below = [voxline_transport::CODES, voxline_session::CODES];
    CATALOGUE.iter().copied().chain(below).flatten()
}

fn explain(page: &CodeEntry) {
    output::result(page.code);
    output::result("");
    output::result(format_args!("what        {}", page.meaning));
    output::result(format_args!("what to do  {}", page.remedy));
    let again = if page.retryable { "can help" } else { "does not help until something was changed" };
    output::result(format_args!("again       Trying again {again}."));
    output::result(format_args!("in plain    {}", page.plain));
}

fn list(pages: &[&CodeEntry]) {
    let width = pages.iter().map(|page| page.code.as_str().len()).max().unwrap_or(0);
    for page in pages {
        output::result(format_args!("{:<width$}  {}", page.code.as_str(), page.meaning));
    }
}

fn record(page: &CodeEntry) -> serde_json::Value {
    json!({
        "code": page.code.as_str(),
        "meaning": page.meaning,
        "remedy": page.remedy,
        "retryable": page.retryable,
        "plain": page.plain,
    })
}
