//! What Plivo sends by HTTP, and what is sent back: webhooks, signatures, answers, XML.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use voxline_protocol::Secret;
use voxline_protocol::plivo::{
    CallId, CallRequest, CallWebhook, Digit, NamingScheme, NonceGuard, Params, PlivoApi, PlivoQuirk,
    PlivoSigner, PlivoVerifier, StreamCallback, StreamId, StreamRequest, StreamTokens, StreamXml,
    UpgradeForm,
};

use super::play::start;

/// A webhook's body, or the body of an answer to us, or an address and pairs for the XML.
pub fn plivo_http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    webhook(&text);
    for status in [200, 400, 401, 404, 429, 500] {
        let mut response = Response::new(Bytes::copy_from_slice(data));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(&data[..data.len().min(20)]) {
            response.headers_mut().insert("retry-after", value);
        }
        let _ = PlivoApi::read_stream_started(&response);
        let _ = PlivoApi::read_stream(&response);
        let _ = PlivoApi::read_accepted(&response);
        let _ = PlivoApi::read_done(&response).map_err(|error| error.is_retryable());
    }
    requests(&text);
    xml(&text);
    if let Ok(digits) = Digit::parse_all(&text) {
        let written: String = digits.iter().map(ToString::to_string).collect();
        assert_eq!(written, text.to_ascii_uppercase());
    }
    let _ = text.parse::<PlivoQuirk>();
}

/// Address, nonce, signature header and body, a line each: whatever is signed is accepted, and
/// nothing else.
pub fn plivo_signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (url, nonce, signature, body) = (line(), line(), line(), line());
    let params = Params::from_body(body).unwrap_or_default();
    let (own, main) = (key("own-token"), key("main-token"));
    let verifier = PlivoVerifier::new(own.clone()).with_main_token(main.clone()).with_token(key("new"));
    let signer = PlivoSigner::new(own).with_main_token(main);
    let is_nonce = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic());

    for method in [Method::GET, Method::POST] {
        let mut headers = signer.sign(&method, url, &params, nonce);
        let outcome = verifier.verify(&method, url, &params, &headers);
        assert!(outcome.is_ok() || !is_nonce, "{outcome:?}");
        let stranger = PlivoVerifier::new(key("stranger")).with_main_token(key("strange-main"));
        assert!(stranger.verify(&method, url, &params, &headers).is_err());
        let mut guard = NonceGuard::new(1);
        assert!(guard.admit(&headers).is_ok() || !is_nonce);
        assert!(guard.admit(&headers).is_err());
        if let Ok(value) = HeaderValue::from_str(signature) {
            headers.insert("x-plivo-signature-v3", value.clone());
            headers.insert("x-plivo-signature-ma-v3", value);
            assert!(verifier.verify(&method, url, &params, &headers).is_err(), "a forged signature");
        }
    }
    for form in UpgradeForm::ALL {
        let headers = signer.sign_upgrade(url, form, nonce);
        assert!(verifier.verify_upgrade(url, &headers).is_ok() || !is_nonce, "{form:?}");
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-plivo-signature-v2", signature), ("x-plivo-signature-v2-nonce", nonce)] {
        headers.extend(
            HeaderValue::from_str(value).ok().map(|value| (http::HeaderName::from_static(name), value)),
        );
    }
    assert!(verifier.verify_v2(url, &headers).is_err(), "a forged signature");

    let mut tokens = StreamTokens::new(key("process-key"));
    let call = CallId::from(nonce);
    let token = tokens.issue(start(), &call);
    assert!(tokens.redeem(start(), &call, signature).is_err());
    assert!(tokens.redeem(start(), &call, &token).is_ok());
}

fn webhook(text: &str) {
    let form = Params::from_form(text);
    let written: Params = form.iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(written, form);
    if form.iter().all(|(name, _)| !name.is_empty()) {
        assert_eq!(Params::from_form(&form.to_form()), form);
    }
    for params in [Ok(form), Params::from_body(text)].into_iter().flatten() {
        if let Ok(call) = CallWebhook::read(params.clone()) {
            assert!(!call.call_id.as_str().is_empty());
        }
        let Ok(callback) = StreamCallback::read(params) else { continue };
        for scheme in [NamingScheme::A, NamingScheme::B] {
            let StreamCallback { notice, call_id, stream_id, .. } = &callback;
            let Some(params) = StreamCallback::write(scheme, notice, call_id, stream_id, "now") else {
                continue;
            };
            let read = StreamCallback::read(Params::from_form(&params.to_form()));
            assert_eq!(
                read.map(|read| (read.call_id, read.stream_id)).ok(),
                Some((call_id.clone(), stream_id.clone()))
            );
        }
    }
}

/// No id, however it is spelled, reaches another path than its own.
fn requests(text: &str) {
    let api = PlivoApi::new("MAXXX", key("token"));
    let (call, stream) = (CallId::from(text), StreamId::from(text));
    for (request, segments) in [
        (api.hang_up(&call), 7),
        (api.transfer(&call, text), 7),
        (api.start_stream(&call, &StreamRequest::new(text)), 8),
        (api.stop_streams(&call), 8),
        (api.stream(&call, &stream), 9),
        (api.stop_stream(&call, &stream), 9),
        (api.call(&CallRequest::new(text, text, text)), 6),
    ] {
        let path = request.uri().path();
        assert_eq!(path.split('/').count(), segments, "{path}");
        assert!(request.uri().query().is_none(), "{}", request.uri());
        if !request.body().is_empty() {
            assert!(serde_json::from_slice::<serde_json::Value>(request.body()).is_ok());
        }
    }
}

fn xml(text: &str) {
    let mut lines = text.lines();
    let url = lines.next().unwrap_or_default();
    for element in [StreamXml::two_way(url), StreamXml::on_loopback(url)] {
        let Ok(mut element) = element else { continue };
        for line in lines.clone() {
            let added = match line.split_once('=') {
                Some((key, value)) => element.clone().with_header(key, value),
                None => element.clone().with_status_callback(line),
            };
            element = added.unwrap_or(element);
        }
        let text = element.to_string();
        assert_eq!(text.matches('<').count(), 5, "{text}");
        assert!(text.ends_with("</Stream></Response>"), "{text}");
    }
}

fn key(text: &str) -> Secret {
    let Ok(key) = Secret::new(text) else { unreachable!("it is printable ASCII") };
    key
}
