//! `extra_headers`: one string, seen in five shapes.

/// Reads all five shapes: empty or `{}`; `k=v;k2=v2`; `k=v,k2=v2`; JSON; and `{X-PH-k: v, X-PH-k2: v2}`.
///
/// Keys are kept as written. Never fails: what is no pair is left out.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    let text = text.trim();
    if !text.starts_with('{') {
        return pairs(text, &[';', ','], '=');
    }
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text) {
        return map
            .into_iter()
            .map(|(key, value)| {
                let value = plain(&value);
                (key, value)
            })
            .collect();
    }
    pairs(text.trim_start_matches('{').trim_end_matches('}'), &[','], ':')
}

fn pairs(text: &str, between: &[char], inside: char) -> Vec<(String, String)> {
    text.split(between)
        .filter_map(|pair| pair.split_once(inside))
        .map(|(key, value)| (key.trim().to_owned(), percent_decode(value.trim())))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), percent_decode)
}

/// Decodes `%XX`; what is no such triple, or would not be UTF-8, stays as it is.
pub(super) fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_shapes_are_read() {
        for (shape, expected) in [
            ("", vec![]),
            ("{}", vec![]),
            ("userId=12345;lang=en", vec![("userId", "12345"), ("lang", "en")]),
            ("userId=12345,lang=en", vec![("userId", "12345"), ("lang", "en")]),
            (r#"{"userId":"12345","n":7}"#, vec![("n", "7"), ("userId", "12345")]),
            (
                "{X-PH-userId: 12345, X-PH-url: a%20b:c}",
                vec![("X-PH-userId", "12345"), ("X-PH-url", "a b:c")],
            ),
            ("rubbish", vec![]),
            ("a=%zz%4", vec![("a", "%zz%4")]),
        ] {
            let mut seen = parse(shape);
            let mut expected: Vec<_> =
                expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            seen.sort();
            expected.sort();
            assert_eq!(seen, expected, "{shape}");
        }
    }
}
