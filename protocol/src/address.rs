//! The address of a REST service, in front of every path.

use http::Uri;

/// Whether paths can be appended to `base`: scheme and host, nothing behind the path, and room for more.
pub(crate) fn is_base(base: &str) -> bool {
    let names_a_host = |uri: Uri| uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty());
    base.len() <= MAX_BASE && !base.contains(['?', '#']) && base.parse().is_ok_and(names_a_host)
}

/// `http` takes addresses of less than 64 KiB; this leaves more than any path needs.
const MAX_BASE: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_what_a_path_can_follow() {
        for base in ["https://api.daily.co", "http://127.0.0.1:8080/prefix", "http://[::1]:80"] {
            assert!(is_base(base), "{base}");
        }
        let long = format!("https://h/{}", "a".repeat(MAX_BASE));
        for base in
            ["", "h", "/v1", "https://", "https://:1", "https://h:1:2", "https://h?a", "https://h#a", &long]
        {
            assert!(!is_base(base), "{base}");
        }
    }
}
