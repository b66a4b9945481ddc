use super::*;

fn parse_text(text: &str) -> Result<Parsed, Refusal> {
    parse(text.as_bytes(), 64)
}

/// A POST with these fields after `Host`.
fn post(fields: &str) -> Result<Parsed, Refusal> {
    parse_text(&format!("POST /hooks/a HTTP/1.1\r\nHost: relay.example\r\n{fields}\r\n"))
}

fn refusal(text: &str) -> Refusal {
    parse_text(text).err().unwrap_or_else(|| panic!("accepted: {text:?}"))
}

#[test]
fn an_ordinary_head() {
    let parsed = post("Content-Length: 12\r\nX-Sig: sha256=ab\r\n").unwrap();
    let head = parsed.head;
    assert_eq!((head.method(), head.version()), (Method::Post, Version::Http11));
    assert_eq!((head.path(), head.query(), head.host()), ("/hooks/a", None, "relay.example"));
    assert_eq!(head.framing(), Framing::Length(12));
    assert_eq!(head.headers().first("x-sig"), Some(&b"sha256=ab"[..]));
    assert!(parsed.keep_alive);
    assert!(!head.expects_continue());
}

#[test]
fn framing_is_stated_once_and_plainly() {
    for coding in ["chunked", "Chunked", "CHUNKED", " chunked "] {
        let head = post(&format!("Transfer-Encoding: {coding}\r\n")).unwrap().head;
        assert_eq!(head.framing(), Framing::Unknown, "{coding:?}");
    }
    assert_eq!(post("").unwrap().head.framing(), Framing::Empty);
    assert_eq!(post("Content-Length: 0\r\n").unwrap().head.framing(), Framing::Empty);
    for fields in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        assert_eq!(post(fields).unwrap_err(), Refusal::FramingAmbiguous, "{fields:?}");
    }
    for text in
        ["POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.0\r\nHost: a\r\n\r\n"]
    {
        assert_eq!(refusal(text), Refusal::FramingAmbiguous, "{text:?}");
    }
}

#[test]
fn malformed_heads() {
    for text in [
        "POST  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST / HTTP/1.1\r\n Host: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "POST / FTP/1.1\r\nHost: a\r\n\r\n",
        "POST /\r\n\r\n",
        "POST /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /é HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST hooks HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a//b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\nX",
    ] {
        assert_eq!(refusal(text), Refusal::HeadMalformed, "{text:?}");
    }
}

#[test]
fn versions() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9"] {
        assert_eq!(refusal(&format!("POST / {version}\r\nHost: a\r\n\r\n")), Refusal::VersionUnsupported, "{version}");
    }
    assert!(!parse_text("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap().keep_alive);
    assert!(!parse_text("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap().keep_alive);
}

#[test]
fn hosts() {
    for text in [
        "POST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost:\r\n\r\n",
        "POST https://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        assert_eq!(refusal(text), Refusal::HostInvalid, "{text:?}");
    }
    let head = parse_text("POST https://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().head;
    assert_eq!((head.path(), head.query()), ("/x", Some("y")));
}

#[test]
fn connection_options_and_expectations() {
    assert!(!post("Connection: close\r\n").unwrap().keep_alive);
    assert!(!post("Connection: TE, Close\r\n").unwrap().keep_alive);
    for empty in ["", ",", " , ", "keep-alive,", ",keep-alive", "keep-alive, , TE"] {
        assert!(post(&format!("Connection: {empty}\r\n")).unwrap().keep_alive, "{empty:?}");
    }
    assert!(!post("Connection: ,close,\r\n").unwrap().keep_alive);
    assert_eq!(post("Connection: close, x-hub-signature-256\r\n").unwrap_err(), Refusal::ConnectionOptionInvalid);
    assert_eq!(post("Connection: upgrade\r\n").unwrap_err(), Refusal::ConnectionOptionInvalid);
    assert_eq!(post("Upgrade: h2c\r\n").unwrap_err(), Refusal::UpgradeUnsupported);
    assert!(post("Content-Length: 1\r\nExpect: 100-Continue\r\n").unwrap().head.expects_continue());
    assert!(!post("Expect: 100-continue\r\n").unwrap().head.expects_continue());
    for fields in
        ["Expect: 100-continuee\r\n", "Expect: nothing\r\n", "Expect: 100-continue\r\nExpect: 100-continue\r\n"]
    {
        assert_eq!(post(fields).unwrap_err(), Refusal::ExpectationUnsupported, "{fields:?}");
    }
}

#[test]
fn methods_nobody_allows_are_left_to_the_route_step() {
    for text in [
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        "post / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(parse_text(text).unwrap().head.method(), Method::Other, "{text:?}");
    }
}

#[test]
fn the_number_of_fields_is_limited() {
    let fields = |count: usize| "X: 1\r\n".repeat(count);
    assert!(post(&fields(63)).is_ok());
    assert_eq!(post(&fields(64)).unwrap_err(), Refusal::HeadTooLarge);
    assert_eq!(post(&fields(1000)).unwrap_err(), Refusal::HeadTooLarge);
}
