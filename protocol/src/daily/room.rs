//! The address of a room.

use std::fmt;

use super::RoomFinding;
use crate::{Code, Secret};

/// A Daily room, by its checked address. A token in the address is taken out of it.
///
/// ```
/// use voxline_protocol::daily::RoomUrl;
///
/// let (room, token) = RoomUrl::parse("https://agenthuman.daily.co/demo-room/?t=abc")?;
/// assert_eq!((room.domain(), room.name()), ("agenthuman", "demo-room"));
/// assert_eq!(room.to_string(), "https://agenthuman.daily.co/demo-room");
/// assert_eq!(token.unwrap().expose(), "abc");
/// # Ok::<(), voxline_protocol::daily::RoomFinding>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoomUrl {
    domain: String,
    name: String,
}

impl RoomUrl {
    /// Checks an address, and takes out the token that links for Daily's own page carry as `t`.
    ///
    /// # Errors
    /// Not `https`, not `<domain>.daily.co`, a port, a user, a fragment, or not exactly one room with a name
    /// of at most 2,048 characters.
    pub fn parse(text: &str) -> Result<(Self, Option<Secret>), RoomFinding> {
        let bad = |what: &str| {
            // What follows a question mark may be a token.
            let shown = text.split('?').next().unwrap_or_default();
            RoomFinding::new(
                Code::new("daily/room-url"),
                format!("room address `{shown}` {what}"),
                "use https://<domain>.daily.co/<room>",
            )
        };
        let rest = text.trim().strip_prefix("https://").ok_or_else(|| bad("is not https"))?;
        if rest.contains('#') {
            return Err(bad("has a fragment"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (host, path) = rest.split_once('/').ok_or_else(|| bad("names no room"))?;
        let domain = host.strip_suffix(".daily.co").ok_or_else(|| bad("is not below daily.co"))?;
        let is_label = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !is_label(domain) {
            return Err(bad("is not of one domain, without user and port"));
        }
        let name = path.strip_suffix('/').unwrap_or(path);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(bad("does not name one room"));
        }
        if name.len() > MAX_NAME {
            return Err(bad("names a room no service has"));
        }
        let token = query.split('&').find_map(|pair| pair.strip_prefix("t="));
        let token = token.and_then(|token| Secret::new(token).ok());
        Ok((Self { domain: domain.to_owned(), name: name.to_owned() }, token))
    }

    /// The domain, without `.daily.co`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The room's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RoomUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}.daily.co/{}", self.domain, self.name)
    }
}

/// Daily's own names have at most 128 characters; beyond this the address of a call about it would not parse.
const MAX_NAME: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_room_is_refused_without_showing_a_token() {
        for bad in [
            "http://a.daily.co/r",
            "https://daily.co/r",
            "https://a.b.daily.co/r",
            "https://a.daily.co.evil.com/r",
            "https://u:p@a.daily.co/r",
            "https://a.daily.co:8443/r",
            "https://a.daily.co/",
            "https://a.daily.co",
            "https://a.daily.co/r/s",
            "https://a.daily.co/r#x",
            "https://zoom.us/j/1?t=geheim",
            &format!("https://a.daily.co/{}", "r".repeat(70_000)),
            "",
        ] {
            let finding = RoomUrl::parse(bad).unwrap_err();
            assert_eq!(finding.code.as_str(), "daily/room-url", "{bad}");
            assert!(!finding.seen.contains("geheim"));
        }
    }
}
