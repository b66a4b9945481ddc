use super::*;

const RAW: &str = "POST /a?b HTTP/1.1\r\nhost: x.example\r\nX-One: 1\r\nx-two: 2\r\nX-ONE: \u{e9}\r\n\r\n";

fn part(text: &str) -> &'static str {
    let at = RAW.find(text).unwrap();
    RAW.get(at..at + text.len()).unwrap()
}

fn line() -> RequestLine<'static> {
    let (method, version) = (Method::Post, Version::Http11);
    RequestLine { method, version, path: part("/a"), query: Some("elsewhere"), host: part("x.example").as_bytes() }
}

#[test]
fn parts_are_found_where_they_stood_and_others_are_added() {
    let fields = [("host", "x.example"), ("X-One", "1"), ("x-two", "2"), ("X-ONE", "\u{e9}")];
    let fields = fields.map(|(name, value)| (part(name), part(value).as_bytes()));
    let head = Head::received(RAW.as_bytes(), line(), Framing::Empty, false, fields.into_iter());
    assert_eq!((head.path(), head.query(), head.host()), ("/a", Some("elsewhere"), "x.example"));
    let read: Vec<_> = head.headers().iter().collect();
    assert_eq!(read, [("X-One", &b"1"[..]), ("x-two", b"2"), ("X-ONE", "\u{e9}".as_bytes())]);
    assert_eq!(head.headers().sole("X-TWO"), Ok(Some(&b"2"[..])));
    assert_eq!(head.headers().sole("x-one"), Err(Repeated));
    assert_eq!(head.footprint(), RAW.len() + "elsewhere".len() + 3 * size_of::<Field>());
}

/// A value that is no text takes nothing from the names.
#[test]
fn values_may_be_any_bytes() {
    let head = Head::builder(Method::Post, Version::Http11).target("/a").header("X-One", b"\xff").host("h").build();
    assert_eq!((head.path(), head.query(), head.host()), ("/a", None, "h"));
    assert_eq!(head.headers().iter().collect::<Vec<_>>(), [("X-One", &b"\xff"[..])]);
}
