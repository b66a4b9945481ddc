use super::*;
use crate::domain::{Method, Version};
use proptest::prelude::*;

const TOKEN: &str = "canary/of+a token";

fn sensitive() -> Sensitive {
    let places = [
        (Class::Secret, Place::Field("X-Gitlab-Token")),
        (Class::Secret, Place::Member("api-key")),
        (Class::Secret, Place::Member("über")),
        (Class::Signature, Place::Field("X-Hub-Signature-256")),
        (Class::Signature, Place::Member("sig")),
        // A token of one route is a signature of another.
        (Class::Signature, Place::Field("X-Both")),
        (Class::Secret, Place::Field("X-Both")),
        (Class::Plain, Place::Field("X-Token-Time")),
        (Class::Plain, Place::Member("token_id")),
    ];
    Sensitive::new(places, vec![Secret::new(TOKEN.into()), Secret::new(b"short".to_vec())])
}

fn head(target: &str, fields: &[(&str, &str)]) -> Head {
    let head = Head::builder(Method::Post, Version::Http11).target(target).host("relay.example");
    fields.iter().fold(head, |head, (name, value)| head.header(name, value)).build()
}

fn text(head: &Head) -> String {
    let fields = head.headers().iter().map(|(name, value)| format!("\n{name}: {}", String::from_utf8_lossy(value)));
    format!("{} {}?{}{}", head.host(), head.path(), head.query().unwrap_or("-"), fields.collect::<String>())
}

/// What is kept of a target, and what is shown of that.
fn target(target: &str, own: Option<&Own>) -> (String, String) {
    let (sensitive, head) = (sensitive(), head(target, &[]));
    let Kept { head: kept, marks, held } = sensitive.keep(&head, own);
    let kept = kept.unwrap_or_else(|| head.clone());
    assert_eq!(text(&held.head(&kept)), text(&head), "every byte comes back");
    let shown = sensitive.view(&kept, &marks).target();
    let path = kept.path().to_owned();
    (kept.query().map_or(path.clone(), |query| format!("{path}?{query}")), shown)
}

#[test]
fn a_secret_parameter_is_not_kept_under_any_spelling_of_its_name() {
    for name in ["api-key", "API-KEY", "Api%2DKey", "%61pi-key", "api%2dkey", "api-key[]", "api-key[0]"] {
        let (kept, shown) = target(&format!("/h?a=1&{name}=wrong;b=2&c"), Some(&Own::default()));
        assert_eq!(kept, format!("/h?a=1&{name}=;b=2&c"));
        assert_eq!(shown, format!("/h?a=1&{name}=***;b=2&c"));
    }
    // Nobody can tell what a name with an escape in it is to whoever reads it twice.
    for name in ["api%252Dkey", "other%", "other%zz", "+other", "%C3%9Cber", "secret", "X-Token", "passwd", "mykey"] {
        let (kept, shown) = target(&format!("/h?{name}=wrong"), Some(&Own::default()));
        assert_eq!((kept, shown), (format!("/h?{name}="), format!("/h?{name}=***")));
    }
    for query in ["a=b", "token_id=7", "Token%5Fid=7", "idempotency-key=7", "&&a", "", "a=b=c"] {
        let target = target(&format!("/h?{query}"), Some(&Own::default()));
        assert_eq!(target, (format!("/h?{query}"), format!("/h?{query}")));
    }
}

#[test]
fn a_signature_is_kept_and_neither_shown_nor_searched() {
    let (sensitive, own) = (sensitive(), Own { fields: vec!["x-both".into()], members: vec!["api-key".into()] });
    let fields =
        [("X-HUB-signature-256", "sha256=abc"), ("X-Both", "s=1"), ("X-Custom-Hmac", "mac"), ("X-Token-Time", "9")];
    let head = head("/h?sig=needle&api-key=needle", &fields);
    let kept = sensitive.keep(&head, Some(&own));
    assert!(kept.head.is_none() && kept.held.is_empty(), "all of it is needed to explain a refusal");
    let view = sensitive.view(&head, &kept.marks);
    assert_eq!(view.target(), "/h?sig=***&api-key=***");
    let shown: Vec<_> = view.fields().map(|(_, value)| value.is_some()).collect();
    assert_eq!(shown, [false, false, false, true]);
    for (text, found) in
        [("needle", false), ("abc", false), ("mac", true), ("sig=", true), ("9", true), ("relay.ex", true)]
    {
        assert_eq!(view.contains(text.as_bytes()), found, "{text}");
    }
    // A later configuration that knows nothing of them uncovers none, and one that knows more covers what older rows show.
    let nothing = Sensitive::default();
    assert_eq!(nothing.view(&head, &Marks::from_bytes(&kept.marks.to_bytes())).target(), "/h?sig=***&api-key=***");
    assert_eq!(nothing.view(&head, &Marks::default()).target(), "/h?sig=***&api-key=***");
    assert_eq!(sensitive.view(&head, &Marks::default()).target(), "/h?sig=***&api-key=***");
}

#[test]
fn credentials_are_not_kept_whatever_the_route_is() {
    let sensitive = sensitive();
    let own = Own { fields: vec!["Authorization".into()], members: Vec::new() };
    let fields = [
        ("authorization", "Bearer wrong"),
        ("Cookie", "session=1"),
        ("Proxy-Authorization", "x"),
        ("set-cookie", "x"),
        ("X-GITLAB-TOKEN", "wrong"),
        ("X-Api-Key", "unknown"),
        ("X-Plain", "stays"),
    ];
    let head = head("/h", &fields);
    for own in [None, Some(&own)] {
        let Kept { head: kept, held, .. } = sensitive.keep(&head, own);
        let kept = kept.unwrap();
        let values: Vec<_> = kept.headers().iter().map(|(_, value)| value.len()).collect();
        assert_eq!(values, [0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(text(&Held::from_bytes(&held.to_bytes()).unwrap().head(&kept)), text(&head));
    }
    let signed = self::head("/h", &[("Authorization", "HMAC abc=")]);
    assert!(sensitive.keep(&signed, Some(&own)).head.is_none(), "a provider that signs there");
    assert!(sensitive.keep(&signed, None).head.is_some());
}

#[test]
fn a_configured_token_is_not_kept_wherever_it_stands() {
    let own = Own::default();
    for spelled in ["canary/of+a%20token", "canary%2Fof%2Ba+token", "%63anary%2fof%2ba%20token"] {
        for target in [
            format!("/h/{spelled}/x"),
            format!("/h?x={spelled}"),
            format!("/h?{spelled}"),
            format!("/h?a=1;x=y{spelled}z"),
        ] {
            let (kept, shown) = self::target(&target, Some(&own));
            assert!(!kept.contains("of") && !shown.contains("of"), "{target}: {kept} {shown}");
            assert!(!sensitive().path(target.split('?').next().unwrap()).contains("of"));
        }
    }
    let sensitive = sensitive();
    let head = head("/h", &[("X-Plain", "a canary/of+a token b"), ("X-Short", "short")]);
    let kept = sensitive.keep(&head, Some(&own)).head.unwrap();
    assert_eq!(text(&kept), "relay.example /h?-\nX-Plain: \nX-Short: short", "a short one would stand in too much");
    assert_eq!(sensitive.text("said: canary/of+a token!"), "said: ***!");
    assert_eq!(&*sensitive.body(b"{\"t\":\"canary/of+a token\"}"), b"{\"t\":\"*****************\"}");
    assert_eq!(sensitive.host("canary/of+a token"), MASK);
}

#[test]
fn without_a_route_no_value_of_a_query_is_kept() {
    assert_eq!(target("/h?a=1&b&c=", None).0, "/h?a=&&c=");
    assert_eq!(target("/h", None), ("/h".to_owned(), "/h".to_owned()));
}

#[test]
fn parts_of_a_body_come_back_where_they_stood() {
    let body = b"a=1&token=wrong&b";
    let mut held = Held::default();
    let places = [0..1, 10..15];
    held.hold(body, &places);
    let kept = starred(body, &places);
    assert_eq!(kept, b"*=1&token=*****&b");
    let held = Held::from_bytes(&held.to_bytes()).unwrap();
    assert_eq!(held.body(&kept).as_deref(), Some(&body[..]));
    assert!(Held::default().body(body).is_none());
    assert!(!format!("{held:?}").contains("wrong"));
}

proptest! {
    /// Whatever is written around it, and however many tokens there are.
    #[test]
    fn a_token_is_found_in_any_text(
        tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 8..40), 1..30),
        which in any::<prop::sample::Index>(),
        before in prop::collection::vec(any::<u8>(), 0..60),
        after in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let token = which.get(&tokens).clone();
        let known = Tokens::new(tokens.into_iter().map(Secret::new).collect());
        let text = [&before[..], &token, &after].concat();
        prop_assert!(known.found_in(&text));
        let found = known.ranges(&text);
        prop_assert!(found.iter().any(|range| range.start <= before.len() && range.end > before.len()));
    }

    #[test]
    fn hostile_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        let _ = (Held::from_bytes(&bytes), Marks::from_bytes(&bytes));
        let _ = target(&format!("/{}", text.replace('?', "")), Some(&Own::default()));
        let _ = target(&format!("/?{text}"), None);
    }
}
