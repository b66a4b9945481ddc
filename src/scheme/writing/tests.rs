use proptest::prelude::*;

use super::*;
use crate::base::Secret;
use crate::domain::{Head, Method, Version};
use crate::scheme::encoding::Encoding;
use crate::scheme::template::Template;
use crate::scheme::wrapping::Wrapping;

const FORM: &str = "application/x-www-form-urlencoded";

/// What a template says of a request to `https://hooks.example.com:8443`.
fn written(text: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<String, Refusal> {
    let template = Template::parse(text).unwrap();
    assert_eq!(template.to_string(), text);
    let mut head = Head::builder(Method::Post, Version::Http11).target(target);
    for (name, value) in headers {
        head = head.header(name, value);
    }
    let head = head.build();
    let facts = Facts::new(&head, body, &[]);
    let url = PublicUrl::parse("https://hooks.example.com:8443").unwrap();
    let secret = Secret::new(b"m".to_vec());
    let signature = SignatureSpec {
        places: vec![Source::Form("sign".into())],
        wrapping: Wrapping::Bare,
        prefix: "".into(),
        encoding: Encoding::Base64,
    };
    let feed = Feed {
        facts: &facts,
        stamp: None,
        id: None,
        secret: &secret,
        key_id: "",
        signature: Some(&signature),
        hashed: None,
        url: Some(&url),
        other_port: false,
    };
    feed.whole(&template).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn of_form(text: &str, body: &str) -> Result<String, Refusal> {
    written(text, "/x", &[("Content-Type", FORM)], body.as_bytes())
}

const INCOMPLETE: Result<String, Refusal> = Err(Refusal::MessageIncomplete);

#[test]
fn pairs_are_sorted_decoded_and_without_their_signature() {
    assert_eq!(of_form("{pairs(form,type)}", "b=2+%2B&sign=x&a=%E4%BD%A0&type=t&c="), Ok("a=你&b=2 +&c=".to_owned()));
    assert_eq!(of_form("{pairs(form)}", ""), Ok(String::new()));
    assert_eq!(of_form("{pairs(form)}", "a=1&%61=2"), INCOMPLETE, "a field that is there twice");
    assert_eq!(of_form("{pairs(form)}", "a=%"), INCOMPLETE);
    assert_eq!(written("{pairs(form)}", "/x", &[], b"a=1"), INCOMPLETE, "no form");
}

#[test]
fn php_counts_bytes() {
    let text = "a:2:{s:2:\"ab\";s:0:\"\";s:1:\"b\";s:3:\"\u{20ac}\";}";
    assert_eq!(of_form("{php(form)}", "b=%E2%82%AC&ab=&sign=x"), Ok(text.to_owned()));
    for odd in ["1=a", "-1=a", "a%5B%5D=1", "=1", "a=1&a=2"] {
        assert_eq!(of_form("{php(form)}", odd), INCOMPLETE, "{odd}");
    }
}

/// As plivo/plivo-python has it (`construct_post_url`).
#[test]
fn a_url_with_its_query_and_form_has_signs_between_where_both_are_there() {
    let url =
        |target: &str, body: &str| written("{url:form}", target, &[("Content-Type", FORM)], body.as_bytes()).unwrap();
    const BASE: &str = "https://hooks.example.com:8443/p";
    assert_eq!(url("/p", ""), BASE);
    assert_eq!(url("/p?b=2&a=%201&b=1", ""), format!("{BASE}?a= 1&b=1&b=2"));
    assert_eq!(url("/p", "To=1&From=2&To=0"), format!("{BASE}?From2To0To1"));
    assert_eq!(url("/p?q=1", "To=1"), format!("{BASE}?q=1.To1"));
}

#[test]
fn parts_of_the_public_url_are_configured() {
    let at = |text: &str, target: &str| written(text, target, &[("Host", "evil.example")], b"").unwrap();
    assert_eq!(at("{url:host} {url:target}", "/a%20b?c=d"), "hooks.example.com /a%20b?c=d");
    // As contentful/node-apps-toolkit has it (`getNormalizedEncodedURI`).
    assert_eq!(at("{url:escaped}", "/hooks/one?b=2&a=1"), "/hooks/one?b%253D2%2526a%253D1");
    assert_eq!(at("{url:escaped}", "/a%20b?"), "/a%2520b");
}

#[test]
fn listed_headers_are_sorted_and_hold_what_they_must() {
    let of = |list: &str| {
        let headers =
            [("X-List", list), ("X-Time", "17"), ("Content-Type", " a; b "), ("X-Twice", "1"), ("X-Twice", "2")];
        written("{headers:x-list,x-time}", "/", &headers, b"")
    };
    assert_eq!(
        of("content-type,x-list,x-time"),
        Ok("content-type:a; b;x-list:content-type,x-list,x-time;x-time:17".to_owned())
    );
    for bad in
        ["", "x-list", "x-time", "x-time,x-list", "x-list,x-list,x-time", "X-List,x-list,x-time", "x-list, x-time"]
    {
        assert_eq!(of(bad), INCOMPLETE, "{bad}");
    }
    assert_eq!(of("x-absent,x-list,x-time"), INCOMPLETE);
    assert_eq!(of("x-list,x-time,x-twice"), Err(Refusal::SignatureRepeated));
    let many: Vec<String> = (0..40).map(|n| format!("a{n:02}")).collect();
    assert_eq!(of(&format!("{},x-list,x-time", many.join(","))), INCOMPLETE);
}

#[test]
fn values_are_sorted_with_the_secret_among_them() {
    let of = |query: &str| written("{sorted(secret,query:timestamp,query:nonce)}", query, &[], b"");
    assert_eq!(of("/?timestamp=17&nonce=z"), Ok("17mz".to_owned()));
    assert_eq!(of("/?timestamp=17"), INCOMPLETE);
}

#[test]
fn a_body_is_written_once_more() {
    let of = |text: &str, body: &[u8]| written(text, "/", &[], body);
    assert_eq!(
        of("{{\"B\":{json-string(body)}}}", "{\"a\":\"é\\n\"}\n".as_bytes()),
        Ok("{\"B\":\"{\\\"a\\\":\\\"é\\\\n\\\"}\\n\"}".to_owned())
    );
    assert_eq!(of("{sorted-json(body)}", b"{\"b\": 1, \"a\": [ ]}"), Ok("{\"a\":[],\"b\":1}".to_owned()));
    assert_eq!(of("{raw:Content}", b"{\"Content\": {\"b\": 1.0} , \"HashCode\":\"\"}"), Ok("{\"b\": 1.0}".to_owned()));
    for body in [&b"{\"b\":1"[..], b"{\"Content\":1,\"Content\":1}", b"\xff", b"{}"] {
        assert_eq!(of("{raw:Content}", body), INCOMPLETE);
    }
    assert_eq!(of("{json-string(body)}", b"\xff"), INCOMPLETE);
}

#[test]
fn what_is_none_of_these_is_no_placeholder() {
    for text in [
        "{pairs()}",
        "{pairs(body)}",
        "{php(form,)}",
        "{sorted(body,secret)}",
        "{sorted(secret)}",
        "{headers:}",
        "{headers:a b}",
        "{raw:a.*}",
        "{raw:}",
        "{url:port}",
        "{sorted-json(form)}",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_signature_is_never_in_what_it_signs() {
    let holds = |text: &str, place: Source| Template::parse(text).unwrap().holds(&place);
    let json = |path: &str| Source::Json(JsonPath::parse(path).unwrap());
    assert!(holds("{raw:a}", json("a.b")) && holds("{raw:a}", json("a")) && !holds("{raw:a.b}", json("a.c")));
    assert!(holds("{sorted-json(body)}", json("a")) && holds("{json-string(body)}", json("a")));
    assert!(holds("{url:form}", Source::Form("a".into())) && holds("{url:target}", Source::Query("a".into())));
    assert!(!holds("{pairs(form)}", Source::Form("a".into())) && !holds("{php(form)}", Source::Form("a".into())));
}

proptest! {
    #[test]
    fn any_request_is_written_or_refused(
        body in proptest::collection::vec(any::<u8>(), 0..60),
        query in "[ -~&&[^#]]{0,20}",
        list in "[a-z,-]{0,20}",
    ) {
        let query: String = query.chars().filter(char::is_ascii_graphic).collect();
        for text in ["{pairs(form)}", "{php(form)}", "{url:form}{url:escaped}", "{sorted-json(body)}", "{raw:a.b}", "{headers:x-list}"] {
            let template = Template::parse(text).unwrap();
            let target = format!("/x?{query}");
            let head = Head::builder(Method::Post, Version::Http11).target(&target).header("x-list", &list);
            let head = head.header("content-type", FORM).build();
            let facts = Facts::new(&head, &body, &[]);
            let url = PublicUrl::parse("https://h").unwrap();
            let secret = Secret::new(b"s".to_vec());
            let feed = Feed {
                facts: &facts, stamp: None, id: None, secret: &secret, key_id: "", signature: None, hashed: None,
                url: Some(&url), other_port: false,
            };
            let _ = feed.whole(&template);
        }
    }
}
