//! P21, P22, Z14: Plivo's signatures, against vectors computed with Plivo's own server SDK and against
//! an implementation that shares no line with ours.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed test is a failed test")]

use http::{HeaderMap, Method};
use proptest::prelude::*;
use voxline_protocol::Secret;
use voxline_protocol::plivo::{
    NonceGuard, Params, PlivoSigner, PlivoVerifier, SignatureError, SignedScheme, UpgradeForm,
};

const TOKEN: &str = "fakeAuthToken0123456789abcdefABCDEF";
const MAIN_TOKEN: &str = "mainAccountToken-9876543210zyxwvut";
const NONCE: &str = "17300000001234567890";
const ANSWER: &str = "https://voice.example.com/plivo/answer";
const SET_A: &str = r#"{"CallUUID":"11111111-2222-3333-4444-555555555555","From":"+14155550100",
    "To":"+14155550199","Direction":"inbound","CallStatus":"ringing","Event":"StartApp"}"#;
const STATUS: &str = r#"{"Event":"DroppedStream","CallUUID":"11111111-2222-3333-4444-555555555555",
    "StreamID":"66666666-7777-8888-9999-000000000000","From":"14155550100","To":"14155550199",
    "ServiceURL":"wss://voice.example.com/stream","ParentAuthID":"MAXXXXXXXXXXXXXXXXXX",
    "Timestamp":"2026-01-15 10:30:05","Error":"connection disconnected with the remote service"}"#;
const P1: &str = "bl+RrrXR8Q05YZ8Rg2N1FcMsAWk0jlkbPOISIwqz+iE=";
const P2: &str = "vXItrv9/Xj3RxyMMciW7c05zRGGWGJkilXeYmbu/fl4=";
const G2: &str = "OczQMbd9f/EilkE91vQ8+Gg5mcA9/J5fsgQgQHn01E8=";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn verifier() -> PlivoVerifier {
    PlivoVerifier::new(secret(TOKEN))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn v3(signature: &str, nonce: &str) -> HeaderMap {
    headers(&[("x-plivo-signature-v3", signature), ("x-plivo-signature-v3-nonce", nonce)])
}

fn json(text: &str) -> Params {
    Params::from_json(text).unwrap()
}

#[test]
fn webhooks_match_plivos_vectors() {
    let none = "{}";
    let with_query = "https://voice.example.com/plivo/answer?b=2&a=1";
    let odd_query = "https://voice.example.com/plivo/answer?From=%2B14155550100&tag=z&tag=a&empty=";
    let fragment = "https://voice.example.com/plivo/answer#ct=2000&rt=5000";
    let g1 = "P/O22W5L+BlfnrMWOJ6sG8djeaO6MnvJGVTGuhp7cQw=";
    let (get, post) = (Method::GET, Method::POST);
    for (name, method, url, params, signature) in [
        ("G1", &get, ANSWER, none, g1),
        ("G1 by POST", &post, ANSWER, none, g1),
        ("G1 with a fragment", &get, fragment, none, g1),
        ("G2", &get, with_query, none, G2),
        ("G2 by POST", &post, with_query, none, G2),
        ("G3", &get, odd_query, none, "uEEn4yIhaLeIg0gB1QOt9r2btQ3Wa1bneiXRgh4Gh6o="),
        ("G4", &get, "https://voice.example.com", none, "IDSG4jLmFa8lkTO67OiJ0ASa1sUWgIoTyHX5gb/wmbk="),
        (
            "G5",
            &get,
            "https://voice.example.com:443/plivo/answer",
            none,
            "gzL1Q1VBn6tX3aQ1YlYX/5xzb+CfKWl8b0dLOcvTZvY=",
        ),
        ("P1", &post, ANSWER, SET_A, P1),
        ("P2", &post, with_query, SET_A, P2),
        (
            "P3",
            &post,
            ANSWER,
            r#"{"a":"1","Z":"2","tag":["z","a"]}"#,
            "Q5xj/bFtVEugCsfyGAuVy2MTc2Gn9IMDca4qfsPhd2k=",
        ),
        (
            "P4",
            &post,
            ANSWER,
            r#"{"b":"2","obj":{"y":"1","x":["q","p"]}}"#,
            "YwZHyftyqfwJTZypU7SSSBtYxoDeOdPsqeZ80WxkYz4=",
        ),
        (
            "P5",
            &post,
            "https://voice.example.com/cb?k=v",
            r#"{"Digits":"12","tag":["z","a"],"meta":{"b":"2","a":["y","x"]}}"#,
            "zN+i2PGP/iRnDzbFrXEUHQfmsu4cD2ZbxUJ+fVOFkBU=",
        ),
        (
            "P6",
            &post,
            "https://voice.example.com/cb",
            r#"{"A":"","B":"1"}"#,
            "9KUVLnI0T4TVtYKzqzerKkDuxd9T6WaeYfwWZXLheo4=",
        ),
        ("P7", &post, ANSWER, r#"{"Name":"Zoë"}"#, "WBZa4nXIDGZKCJKTZtWQfKkH+hE8fQgzuEEFU18ohAM="),
        (
            "P8",
            &post,
            "https://voice.example.com/plivo/stream-status",
            STATUS,
            "lO7DFH5JTFlmzEBA9vurp2erU2gdCTVac85/5KVRFSw=",
        ),
    ] {
        let params = json(params);
        let seen = verifier().verify(method, url, &params, &v3(signature, NONCE));
        assert_eq!(seen, Ok(()), "{name}");
        let made = PlivoSigner::new(secret(TOKEN)).sign(method, url, &params, NONCE);
        assert_eq!(made, v3(signature, NONCE), "{name}");
    }
}

#[test]
fn upgrades_match_plivos_vectors_in_every_form() {
    let plain = "wss://voice.example.com/stream";
    let query = "wss://voice.example.com:8443/ws?room=7&call=42";
    for (name, url, scheme, with_query, signature) in [
        ("W1", plain, SignedScheme::Http, true, "5fUoS4BfZb+DbxPoSPOZjVYGBzaY2Vpd/v6/tnNbmhs="),
        ("W2", plain, SignedScheme::Https, true, "SGWvW+2w3OdBeQdCjGnNnhw5iU2hXtJpGBGkHtkSQP4="),
        ("W3", plain, SignedScheme::Wss, true, "c+DGvAf3xNQoGqRbfr/MULBaULr7KfVMyMLgFBhMNHQ="),
        ("W4", query, SignedScheme::Http, true, "uXiaqgJk5iBOLqhXyMHa0jNXe4cu7j3aIVyna+Eio9c="),
        ("W5", query, SignedScheme::Http, false, "NILSum7HweKz2rfIC064FKQa82uIMB4moGmxFwwAEHQ="),
        ("W6", query, SignedScheme::Https, true, "gQjKbJ2oxY0w+BKTmIYBw2dES0wfmEahk+Epv9znf9E="),
        ("W7", query, SignedScheme::Wss, true, "1lgyChZyT5F4Y3xjRU+KJ0dxF+0ahKZESM8nQYoBzDo="),
    ] {
        let form = verifier().verify_upgrade(url, &v3(signature, NONCE)).unwrap();
        assert_eq!((form.scheme, form.query), (scheme, with_query), "{name}");
        let made = PlivoSigner::new(secret(TOKEN)).sign_upgrade(url, form, NONCE);
        assert_eq!(made, v3(signature, NONCE), "{name}");
    }
}

#[test]
fn the_main_account_may_vouch() {
    let url = "wss://voice.example.com/stream";
    let shown = headers(&[
        ("x-plivo-signature-ma-v3", "jUGBQNLaoqokFQDyBSFeFLve+OOnxwh8WPei3V2R+gM="),
        ("x-plivo-signature-v3-nonce", NONCE),
    ]);
    assert_eq!(verifier().verify_upgrade(url, &shown), Err(SignatureError::Mismatch));
    let verifier = verifier().with_main_token(secret(MAIN_TOKEN));
    assert_eq!(verifier.verify_upgrade(url, &shown), Ok(UpgradeForm::EXPECTED), "W1m");
}

#[test]
fn plivos_published_vectors_hold() {
    let verifier = PlivoVerifier::new(secret("Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4"));
    let url = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml/?a=b&c=d";
    let params = json(
        r#"{"Direction":"outbound","From":"19792014278","ALegUUID":"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36",
        "ALegRequestUUID":"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36","CallUUID":"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36",
        "RequestUUID":"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36","CallStatus":"in-progress","BillRate":"0.002",
        "ParentAuthID":"MANWVLYTK4ZWU1YTY4QA",
        "To":"sip:PlivoSignature382029104058171078704104@phone-qa.voice.plivodev.com",
        "SIP-H-To":"<sip:PlivoSignature382029104058171078704104@52.9.11.55;transport=udp>;tag=1",
        "SessionStart":"2020-04-08 11:34:33.238707","Event":"StartApp"}"#,
    );
    for (method, signature) in [
        (Method::POST, "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="),
        (Method::GET, "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ="),
    ] {
        let shown = v3(signature, "31627761595286130198");
        assert_eq!(verifier.verify(&method, url, &params, &shown), Ok(()), "{method}");
    }
}

#[test]
fn any_of_several_signatures_and_tokens_will_do() {
    for list in [format!("AAAA=,{P1}"), format!("{P1},AAAA="), format!("AAAA=, {P1}")] {
        assert_eq!(
            verifier().verify(&Method::POST, ANSWER, &json(SET_A), &v3(&list, NONCE)),
            Ok(()),
            "{list}"
        );
    }
    let rotated = PlivoVerifier::new(secret("aTokenThatIsNotInUseYet")).with_token(secret(TOKEN));
    assert_eq!(rotated.verify(&Method::POST, ANSWER, &json(SET_A), &v3(P1, NONCE)), Ok(()));
}

#[test]
fn forgeries_are_refused() {
    let wrong = Err(SignatureError::Mismatch);
    let p2_url = "https://voice.example.com/plivo/answer?b=2&a=1";
    let post = |url, params: &Params, shown: &HeaderMap| verifier().verify(&Method::POST, url, params, shown);
    assert_eq!(post(p2_url, &json(SET_A), &v3(P1, NONCE)), wrong, "another URL");
    assert_eq!(post(p2_url, &json(SET_A), &v3(G2, NONCE)), wrong, "without its parameters");
    assert_eq!(post(ANSWER, &json(SET_A), &v3(",,,", NONCE)), wrong, "only commas");
    assert_eq!(post(ANSWER, &json(SET_A), &v3(P1, "17300000001234567891")), wrong, "another nonce");
    assert!(matches!(post(ANSWER, &json(SET_A), &v3("", NONCE)), Err(SignatureError::Missing(_))));
    assert!(matches!(post(ANSWER, &json(SET_A), &v3(P1, "")), Err(SignatureError::Missing(_))));
    assert!(matches!(post(ANSWER, &json(SET_A), &HeaderMap::new()), Err(SignatureError::Missing(_))));
    // A recipe in circulation that leaves out the dots.
    let recipe = "WTrYdZafd9/NzK8QRh0sYXiJfuCe5NPIHpQRnlnqL8E=";
    let url = "https://voice.example.com/stream";
    assert_eq!(verifier().verify(&Method::GET, url, &Params::new(), &v3(recipe, NONCE)), wrong);
    assert_eq!(verifier().verify_upgrade(url, &v3(recipe, NONCE)).err(), wrong.err());
}

#[test]
fn a_replayed_request_is_known_by_its_nonce() {
    let mut guard = NonceGuard::new(2);
    let request = |nonce| v3(P1, nonce);
    assert_eq!(guard.admit(&request("1")), Ok(()));
    assert_eq!(guard.admit(&request("1")), Err(SignatureError::Replayed));
    assert_eq!(guard.admit(&request("2")), Ok(()));
    assert_eq!(guard.admit(&request("3")), Ok(()));
    assert_eq!(guard.admit(&request("1")), Ok(()), "forgotten with its capacity");
}

#[test]
fn v2_is_checked_only_where_v3_is_absent() {
    let verifier = verifier();
    let url = "https://voice.example.com/plivo/answer?b=2&a=1";
    let mut shown = headers(&[
        ("x-plivo-signature-v2", "TKVWVMA/i6mHhBS4rK9oiWBNSDveCQEOjU3cuAsVnC4="),
        ("x-plivo-signature-v2-nonce", "05429567804466091622"),
    ]);
    assert_eq!(verifier.verify_v2(url, &shown), Ok(()));
    shown.insert("x-plivo-signature-v3", P1.parse().unwrap());
    assert_eq!(verifier.verify_v2(url, &shown), Err(SignatureError::Downgrade));
}

#[test]
fn an_explicit_default_port_is_tried_both_ways() {
    let shown = PlivoSigner::new(secret(TOKEN)).sign_upgrade(
        "wss://voice.example.com/stream",
        UpgradeForm::EXPECTED,
        NONCE,
    );
    let dialled = "wss://voice.example.com:443/stream";
    assert_eq!(verifier().verify_upgrade(dialled, &shown), Ok(UpgradeForm::EXPECTED));
}

/// HMAC-SHA256 from FIPS 180-4 and RFC 2104, written down once more, and the string to sign built from
/// lists instead of maps: an implementation to disagree with.
mod independent {
    pub(super) fn signature(token: &str, message: &str) -> String {
        let mut key = token.as_bytes().to_vec();
        if key.len() > 64 {
            key = sha256(&key).to_vec();
        }
        key.resize(64, 0);
        let pad = |with: u8| key.iter().map(move |byte| byte ^ with).collect::<Vec<u8>>();
        let inner = sha256(&[pad(0x36), message.as_bytes().to_vec()].concat());
        base64(&sha256(&[pad(0x5c), inner.to_vec()].concat()))
    }

    pub(super) fn message(
        post: bool,
        base: &str,
        query: &[(String, String)],
        form: &[(String, String)],
        nonce: &str,
    ) -> String {
        let mut asked: Vec<_> = query.to_vec();
        let mut given: Vec<_> = form.to_vec();
        if !post {
            asked.append(&mut given);
        }
        asked.sort();
        given.sort();
        let asked = asked.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let given: String = given.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let mut text = base.to_owned();
        if !asked.is_empty() || !given.is_empty() {
            text.push('?');
        }
        text.push_str(&asked);
        if !asked.is_empty() && !given.is_empty() {
            text.push('.');
        }
        format!("{text}{given}.{nonce}")
    }

    fn base64(bytes: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for index in 0..4 {
                let six = (bits >> (18 - 6 * index)) & 63;
                text.push(if index <= chunk.len() { char::from(alphabet[six as usize]) } else { '=' });
            }
        }
        text
    }

    fn sha256(message: &[u8]) -> [u8; 32] {
        let primes: Vec<u64> = (2..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64).collect();
        let fraction = |root: f64| ((root.fract()) * 4_294_967_296.0) as u32;
        let constants: Vec<u32> = primes.iter().map(|prime| fraction((*prime as f64).cbrt())).collect();
        let mut state: Vec<u32> = primes[..8].iter().map(|prime| fraction((*prime as f64).sqrt())).collect();
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend((message.len() as u64 * 8).to_be_bytes());
        for block in padded.chunks(64) {
            let mut words: Vec<u32> = block
                .chunks(4)
                .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
                .collect();
            for index in 16..64 {
                let (early, late) = (words[index - 15], words[index - 2]);
                let low = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
                let high = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
                words.push(
                    words[index - 16].wrapping_add(low).wrapping_add(words[index - 7]).wrapping_add(high),
                );
            }
            let mut round = state.clone();
            for index in 0..64 {
                let (a, e) = (round[0], round[4]);
                let mixed = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let choice = (e & round[5]) ^ (!e & round[6]);
                let first = [mixed, choice, constants[index], words[index]]
                    .iter()
                    .fold(round[7], |sum, part| sum.wrapping_add(*part));
                let mixed = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let majority = (a & round[1]) ^ (a & round[2]) ^ (round[1] & round[2]);
                round.rotate_right(1);
                round[4] = round[4].wrapping_add(first);
                round[0] = first.wrapping_add(mixed).wrapping_add(majority);
            }
            for (sum, part) in state.iter_mut().zip(round) {
                *sum = sum.wrapping_add(part);
            }
        }
        let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.try_into().unwrap_or([0; 32])
    }
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("[A-Za-z-]{1,8}", "[ -~é]{0,12}"), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("VOXLINE_HEAVY").is_some() { 1_000_000 } else { 10_000 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_independent_implementation_agrees(post: bool, query in pairs(), form in pairs(), nonce in "[0-9]{20}") {
        let mut url = ANSWER.to_owned();
        let asked: Params = query.iter().cloned().collect();
        if !asked.is_empty() {
            url = format!("{url}?{}", asked.to_form());
        }
        let params: Params = form.iter().cloned().collect();
        let message = independent::message(post, ANSWER, &query, &form, &nonce);
        let shown = v3(&independent::signature(TOKEN, &message), &nonce);
        let method = if post { Method::POST } else { Method::GET };
        prop_assert_eq!(verifier().verify(&method, &url, &params, &shown), Ok(()), "{}", message);
        let signed = PlivoSigner::new(secret(TOKEN)).sign(&method, &url, &params, &nonce);
        prop_assert_eq!(&signed["x-plivo-signature-v3"], &shown["x-plivo-signature-v3"], "{}", message);
        let other = v3(&independent::signature(TOKEN, &format!("{message}0")), &nonce);
        prop_assert!(verifier().verify(&method, &url, &params, &other).is_err(), "{}", message);
    }
}
