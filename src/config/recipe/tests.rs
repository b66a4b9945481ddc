use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::config::report::Problems;

mod shipped;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Relay {
    #[serde(default)]
    providers: BTreeMap<String, RawRecipe>,
    #[serde(default)]
    routes: BTreeMap<String, Route>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    verify: RawVerify,
}

/// Every problem of a file, as a person reads them; whatever `toml` says when it does not parse.
fn problems(text: &str) -> Vec<String> {
    let relay: Relay = match toml::from_str(text) {
        Ok(relay) => relay,
        Err(error) => return vec![format!("{:?} {}", error.span().unwrap(), error.message())],
    };
    let mut problems = Problems::new("relay.toml", text);
    for (name, route) in &relay.routes {
        compile_verify(&route.verify, &format!("routes.{name}.verify"), &mut problems);
    }
    for (name, recipe) in &relay.providers {
        compile_recipe(name, recipe, &format!("providers.{name}"), &mut problems);
    }
    problems.into_sorted().iter().map(ToString::to_string).collect()
}

fn hmac(rest: &str) -> Vec<String> {
    problems(&format!("[routes.x.verify.hmac]\n{rest}\n"))
}

const BASE: &str = "algorithm = 'sha256'\nsignature = { header = 'X' }\n";

#[test]
fn the_example_of_the_design_compiles() {
    let found = hmac(
        "algorithm = \"sha256\"\nsignature = { header = \"X-Legacy-Signature\", prefix = \"sha256=\", encoding = \"hex\" }\n\
         message = \"{header:X-Legacy-Time}.{body}\"\ntimestamp = { header = \"X-Legacy-Time\", tolerance = \"5m\" }",
    );
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(problems("[routes.x]\nverify.token = { query = 'api-key' }"), Vec::<String>::new());
    assert_eq!(problems("[routes.x]\nverify.dangerously_none = true"), Vec::<String>::new());
}

#[test]
fn every_problem_is_reported_at_once_and_in_its_place() {
    let found = hmac(
        "algorithm = 'sha255'\nsignature = { header = 'a b', encoding = 'base46' }\nmessage = '{bodi}'\n\
         timestamp = { header = 'T', tolerance = 'soon' }\nshapes = { Y = 'uid' }",
    );
    let starts = [
        "relay.toml:2:13: routes.x.verify.hmac.algorithm: expected one of sha1, sha256, sha384, sha512, found `sha255`",
        "relay.toml:3:24: routes.x.verify.hmac.signature.header: expected a header name, found `a b`",
        "relay.toml:3:42: routes.x.verify.hmac.signature.encoding: expected one of hex, ",
        "relay.toml:4:11: routes.x.verify.hmac.message: unknown placeholder {bodi}\n  help: placeholders are {body}",
        "relay.toml:5:41: routes.x.verify.hmac.timestamp.tolerance: expected a duration up to 604800 s, found `soon`",
        "relay.toml:6:16: routes.x.verify.hmac.shapes: expected one of uuid, token, digits, base64, line, found `uid`",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\nshould start\n{start}");
    }
}

/// Key path behind `routes.x.verify.`, and the problem.
fn one(text: &str) -> String {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    let line = found[0].lines().next().unwrap().to_owned();
    line.split_once("routes.x.verify.").map(|(_, rest)| rest.to_owned()).unwrap_or(line)
}

#[test]
fn schemes_that_prove_nothing_are_refused() {
    let mac = |rest: &str| one(&format!("[routes.x.verify.hmac]\n{BASE}{rest}\n"));
    assert_eq!(mac("message = 'x'"), "hmac.message: has nothing of the request in it, so it proves nothing");
    assert_eq!(
        mac("message = '{body}'\ntimestamp = { header = 'T' }"),
        "hmac.timestamp: the time is not part of the signed message, so a sender can choose it"
    );
    assert_eq!(
        mac("message = '{body}'\nbody_digests = [{ header = 'D', algorithm = 'sha256' }]"),
        "hmac.body_digests: header:D is not part of this message, so the digest there proves nothing"
    );
    assert_eq!(mac("message = '{timestamp}{body}'"), {
        "hmac.message: has {timestamp}, and no `timestamp` with a tolerance says where it is"
    });
    let slides = "hmac.message: header:A and header:B stand side by side, so text could move between them";
    assert_eq!(mac("message = '{header:A}{header:B}'"), slides);
    assert_eq!(mac("message = '{header:A}{timestamp}'\ntimestamp = { header = 'B' }"), slides);
    let shaped = hmac(&format!("{BASE}message = '{{header:A}}{{header:B}}'\nshapes = {{ a = 'uuid' }}"));
    assert_eq!(shaped, Vec::<String>::new());
    assert_eq!(mac("message = '{id}{body}'"), "hmac.message: has {id}, and no `id` says what it is");
    let digest = "[routes.x.verify.digest]\nalgorithm = 'sha256'\nsignature = { header = 'X' }\nmessage = '{body}'";
    assert_eq!(one(digest), "digest.message: a plain digest without {secret} can be computed by anyone");
    let circular = "[routes.x.verify.hmac]\nalgorithm = 'sha256'\nsignature = { json = 's' }\nmessage = '{body}'";
    assert_eq!(one(circular), "hmac.signature: stands inside the message that it signs");
    let circular = "[routes.x.verify.hmac]\nalgorithm = 'sha256'\nsignature = { query = 's' }\nmessage = '{url}'";
    assert_eq!(one(circular), "hmac.signature: stands inside the message that it signs");
}

#[test]
fn variants_obey_the_same_rules() {
    let text = format!(
        "[routes.x.verify.hmac]\n{BASE}message = '{{body}}'\n[[routes.x.verify.hmac.variants]]\n\
         content_type = 'text/plain'\nmessage = '{{path}}'\nbody_digests = [{{ query = 'd', algorithm = 'sha256' }}]"
    );
    let found = one(&text);
    assert_eq!(found, "hmac.body_digests: query:d is not part of this message, so the digest there proves nothing");
    assert_eq!(one(&text.replace("text/plain", "text/plain; charset=x").replace("{path}", "{url}")), {
        "hmac.variants.content_type: expected a media type, found `text/plain; charset=x`"
    });
}

#[test]
fn lists_and_places_are_checked() {
    let signature = |text: &str| {
        let rest = "message = '{timestamp}{body}'\ntimestamp = { item = 't' }";
        one(&format!("[routes.x.verify.hmac]\nalgorithm = 'sha256'\nsignature = {text}\n{rest}"))
    };
    assert!(signature("{ header = 'X', list = { separator = ',' } }").contains("neither by name nor by position"));
    assert!(signature("{ header = 'X' }").contains("not wrapped in a list"));
    assert!(signature("{ header = 'X', list = { separator = ',', from = 1 } }").contains("not wrapped in a list"));
    let own = "{ header = 'X', list = { separator = ',', assign = '=', names = ['t'] } }";
    assert!(signature(own).contains("the item is one of the signatures"));
    let long = "{ header = 'X', list = { separator = ', ', assign = '=', names = ['v'] } }";
    assert!(signature(long).contains("expected one punctuation character or a space"));
    assert!(signature("{ encoding = 'hex' }").contains("says nowhere to look"));
    assert!(signature("{ header = 'X', numbered = 3 }").contains("with {n} in it"));
    let two =
        format!("[routes.x.verify.hmac]\n{BASE}message = '{{body}}'\ntimestamp = {{ header = 'a', query = 'b' }}");
    assert!(one(&two).contains("expected exactly one place, found 2"));
}

#[test]
fn tokens_are_checked() {
    let token = |text: &str| one(&format!("[routes.x]\nverify.token = {text}"));
    assert!(token("{ prefix = 'x' }").contains("says nowhere to look"));
    assert!(token("{ bearer = true, basic = true }").contains("different secrets"));
    assert!(token("{ header = 'X', forward = true }").contains("only a query token"));
    assert!(token("{ header = 'X', dedupe = ['signature'] }").contains("the same in every request"));
    assert!(token("{ header = 'X', dedupe = [[{ query = 'a' }, 'signature']] }").contains("the same in every request"));
}

#[test]
fn entries_of_dedupe_are_checked_where_they_stand() {
    let start = "[routes.x.verify.hmac]\n";
    let mac = |rest: &str| {
        let found = problems(&format!("{start}{BASE}message = '{{body}}'\n{rest}"));
        assert_eq!(found.len(), 1, "{rest}\n{found:#?}");
        found[0].lines().next().unwrap().to_owned()
    };
    let place = "relay.toml:5:";
    for (dedupe, at, what) in [
        ("[[]]", 11, "expected 1 to 4 parts, found 0"),
        ("['body', [{ header = 'a b' }]]", 31, "expected a header name, found `a b`"),
        ("[[{ header = 'A' }, { header = 'a' }]]", 11, "has one part twice"),
        ("[{ when = { header = 'A', equals = 'b' } }]", 11, "expected 1 to 4 parts, found 0"),
        ("[['body', { when = { header = 'A', equals = 'b' } }]]", 40, "a condition stands before the parts"),
        ("[[{ query = 'a' }, { query = 'b' }, { query = 'c' }, { query = 'd' }, 'body']]", 11, "found 5"),
        ("[{ json = 'a..b' }]", 20, "expected the path of a JSON member"),
    ] {
        let found = mac(&format!("dedupe = {dedupe}"));
        assert!(found.starts_with(&format!("{place}{at}: ")) && found.contains(what), "{dedupe}: {found}");
    }
    for (dedupe, what) in [
        ("['bodi']", "unknown variant `bodi`"),
        ("[['bodi']]", "unknown variant `bodi`"),
        ("[{ header = 'a', query = 'b' }]", "has two keys"),
        ("[[['body']]]", "wanted string or table"),
        ("[{}]", "says nothing of the request"),
        ("[7]", "invalid type"),
    ] {
        let found = problems(&format!("{start}{BASE}message = '{{body}}'\ndedupe = {dedupe}"));
        assert!(found[0].contains(what), "{dedupe}: {found:?}");
    }
    assert!(mac("bodies = 'repeat'").contains("expected one of may-repeat, never-repeat, change-on-retry"));
    assert!(mac("dedupe = []\nbodies = 'may-repeat'").contains("says nothing where dedupe is empty"));
    assert!(mac("bodies = 'change-on-retry'").contains("needs an id in dedupe"));
    assert!(mac("timestamp = { json = 'a.*', informative = true }").contains("a step `*` is many members"));
}

#[test]
fn what_is_to_come_is_refused_by_name() {
    let found = one("[routes.x.verify.certificate]\nanything = { goes = 'here' }");
    assert_eq!(found, "certificate: this kind of verification is not available yet");
    let md5 = one(&format!("[routes.x.verify.hmac]\n{}message = '{{body}}'", BASE.replace("sha256", "md5")));
    assert_eq!(md5, "hmac.algorithm: `md5` is not available yet");
    assert!(one("[routes.x]\nverify.dangerously_none = false").contains("expected true, found false"));
}

#[test]
fn unknown_keys_and_two_schemes_are_refused_where_they_stand() {
    let found = hmac(&format!("{BASE}message = '{{body}}'\nmesage = 'x'"));
    assert!(found[0].contains("unknown field `mesage`"), "{found:?}");
    assert!(problems("[routes.x]\nverify.hmca = {}")[0].contains("unknown variant `hmca`"));
    let two = "[routes.x]\nverify.token = { bearer = true }\nverify.dangerously_none = true";
    assert!(!problems(two)[0].starts_with("relay.toml"), "{:?}", problems(two));
}

const ACME: &str = r#"
[providers.acme]
name = "Acme"
methods = ["POST", "PUT"]
success = { status = 204 }
timeout = "10s"
dedupe_window = "24h"
addresses = ["192.0.2.0/24", "2001:db8::1"]
[providers.acme.verify.hmac]
algorithm = "sha512"
signature = { header = "Acme-Signature", encoding = "base64" }
message = "{timestamp}.{body}"
timestamp = { header = "Acme-Time", format = "rfc3339" }
[[providers.acme.challenge]]
when = [{ header = "Acme-Event", equals = "hello" }]
signed = false
answer = { status = 200, body = "hi" }
"#;

#[test]
fn a_provider_of_ones_own_is_a_recipe() {
    let relay: Relay = toml::from_str(ACME).unwrap();
    let mut found = Problems::new("relay.toml", ACME);
    let recipe = compile_recipe("acme", &relay.providers["acme"], "providers.acme", &mut found).unwrap();
    assert!(found.is_empty());
    assert_eq!(recipe.methods, [Method::Post, Method::Put]);
    assert_eq!(recipe.deadline, Some(Duration::from_secs(8)), "always below the provider's limit");
    assert_eq!(recipe.addresses.len(), 2);
    assert_eq!(recipe.success.status, 204);
    let asked = &recipe.challenges()[0];
    assert!(!asked.is_signed() && !asked.needs_secret());
    assert_eq!(asked.told_by(), "header:Acme-Event is hello");
    assert_eq!(asked.answered_with(), "200 and a fixed text");
}

#[test]
fn a_recipe_at_odds_with_itself_is_refused() {
    let changed = |from: &str, to: &str| {
        assert!(ACME.contains(from));
        let found = problems(&ACME.replace(from, to));
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].lines().next().unwrap().split_once("providers.acme.").unwrap().1.to_owned()
    };
    assert_eq!(changed("timeout = \"10s\"", "timeout = \"10s\"\ndeadline = \"10s\""), {
        "deadline: is not below the provider's timeout"
    });
    assert_eq!(changed("\"24h\"", "\"9m\""), "dedupe_window: is shorter than the scheme's time window");
    assert_eq!(changed("status = 204", "status = 500"), "success: expected a status from 200 to 299, found 500");
    assert_eq!(changed("192.0.2.0/24", "192.0.2.0/33"), {
        "addresses: expected an address or a network, found `192.0.2.0/33`"
    });
    assert_eq!(changed("\"PUT\"", "\"put\""), "methods: expected an upper-case method, found `put`");
    let window = "dedupe_window = \"24h\"";
    assert_eq!(changed(window, "retries_for = \"25h\""), "retries_for: is longer than dedupe_window");
    assert_eq!(changed(window, "retries_for = \"1h\"\nretries_keep_time = true"), {
        "retries_for: is longer than the 300 s that a time may be old"
    });
    assert_eq!(changed(window, "max_body = \"25 MB\""), "max_body: expected a size up to 1GiB, found `25 MB`");
}

/// What a `challenge` of a scheme over this message is refused for.
fn challenge(message: &str, challenge: &str) -> Vec<String> {
    let found = problems(&format!(
        "[providers.x]\nverify.hmac = {{ algorithm = 'sha256', signature = {{ header = 'X' }}, message = '{message}' }}\n\
         challenge = [{{ {challenge} }}]\n"
    ));
    found
        .iter()
        .map(|problem| problem.lines().next().unwrap().split_once("providers.x.").unwrap().1.to_owned())
        .collect()
}

#[test]
fn a_challenge_says_something_that_can_be_answered() {
    let told = |when: &str| challenge("{body}", &format!("when = {when}, signed = true, answer = {{ status = 200 }}"));
    assert!(told("[{ method = 'HEAD' }]").is_empty());
    assert_eq!(told("[]"), ["challenge.when: expected 1 to 8 conditions, found 0"]);
    assert_eq!(
        told("[{ method = 'head' }]"),
        ["challenge.when: expected an upper-case method and nothing beside it, found `head`"]
    );
    assert_eq!(
        told("[{ header = 'a', query = 'b' }]"),
        ["challenge.when: expected one of method, header, query, form and json"]
    );
    assert_eq!(
        told("[{ query = 'a', equals = 'b', is_secret = true }]"),
        ["challenge.when: equals and is_secret exclude each other"]
    );
    let said = |answer: &str| {
        challenge("{body}", &format!("when = [{{ query = 'q' }}], signed = false, answer = {{ {answer} }}"))
    };
    assert!(said("status = 404").is_empty());
    assert!(said("status = 200, json = { a = { query = 'q' } }, headers = { X-A = 'b' }").is_empty());
    assert_eq!(said("status = 301"), ["challenge.answer: expected a status from 200 to 299, or 404, found 301"]);
    assert_eq!(
        said("status = 200, body = '<b>', content_type = 'text/html'"),
        ["challenge.answer: `text/html` is no content type of an answer: text/plain and application/json are"]
    );
    assert_eq!(
        said("status = 200, body = 'a', text = ['b']"),
        ["challenge.answer: body, text and json exclude each other"]
    );
    assert_eq!(said("status = 200, text = []"), ["challenge.answer: expected 1 to 8 pieces, found 0"]);
    assert_eq!(
        said("status = 200, headers = { Set-Cookie = { query = 'q' } }"),
        ["challenge.answer: `Set-Cookie` is the relay's to write"]
    );
    assert_eq!(
        said("status = 200, text = [{ query = 'q', shape = 'uuid' }]"),
        [
            "challenge.answer: a part of the request is said again as it is: of, shape, prefix, encoding and key are for hmac and digest"
        ]
    );
    assert_eq!(said("status = 200, text = [{ hmac = 'sha256' }]"), ["challenge.answer: does not say of what"]);
    assert_eq!(
        said("status = 200, text = [{ hmac = 'sha256', of = '{body}' }]"),
        ["challenge.answer: has parts of the request and fixed text in it, and {secret} exactly where it is a digest"]
    );
}

/// Whoever asks for a hash of his own choice must not get one that proves a webhook.
#[test]
fn a_challenge_that_could_sign_a_webhook_is_refused() {
    let open = |message: &str, answer: &str, signed: bool| {
        let when = format!(
            "when = [{{ query = 'q' }}], signed = {signed}, answer = {{ status = 200, text = [{{ {answer} }}] }}"
        );
        let found = challenge(message, &when);
        assert!(
            found.len() < 2 && found.iter().all(|what| what.contains("could get the signature of a webhook")),
            "{found:?}"
        );
        found.len() == 1
    };
    assert!(open("{body}", "hmac = 'sha256', of = '{query:q}'", false), "without a shape");
    assert!(open("{body}", "hmac = 'sha256', of = 'x{query:q}', shape = 'token'", false), "of more than one part");
    assert!(open(
        "{timestampless}".replace("{timestampless}", "{body}{header:Y}").as_str(),
        "hmac = 'sha256', of = '{query:q}', shape = 'token'",
        false
    ));
    assert!(
        !open("{body}", "hmac = 'sha256', of = '{query:q}', shape = 'token'", false),
        "bodies of that shape are refused"
    );
    assert!(!open("v0:{body}", "hmac = 'sha256', of = '{query:q}', shape = 'token'", false), "no token has a colon");
    assert!(open("v0{body}", "hmac = 'sha256', of = '{query:q}', shape = 'token'", false), "a token may begin so");
    assert!(!open("{body}", "hmac = 'sha1', of = '{query:q}'", false), "another hash");
    assert!(!open("{body}", "digest = 'sha256', of = '{query:q}{secret}'", false), "another function");
    assert!(
        !open("{body}", "hmac = 'sha256', of = '{query:q}', with_challenge_secret = true", false),
        "another secret"
    );
    assert!(!open("{body}{header:Y}", "hmac = 'sha256', of = '{query:q}'", true), "only the provider can ask");
}

#[test]
fn a_message_signature_has_its_own_rules() {
    let of = |rest: &str| {
        let text = format!("[routes.x.verify.message_signature]\n{rest}\n");
        problems(&text).iter().map(|problem| problem.lines().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found = of("algorithm = 'ed25519'\ncomponents = ['@method', '@target-uri', 'content-digest']\nlabel = 'sig1'");
    assert!(found.is_empty(), "{found:?}");
    for (rest, what) in [
        (
            "algorithm = 'hs256'\ncomponents = ['content-digest']",
            "expected one of hmac-sha256, ed25519, ecdsa-p256-sha256",
        ),
        ("algorithm = 'ed25519'\ncomponents = []", "expected 1 to 16 components, found 0"),
        ("algorithm = 'ed25519'\ncomponents = ['@status']", "`@status` is no component"),
        ("algorithm = 'ed25519'\ncomponents = ['Date']", "`Date` is no component"),
        ("algorithm = 'ed25519'\ncomponents = ['date', 'date']", "`date` is there twice"),
        ("algorithm = 'ed25519'\ncomponents = ['content-digest']\nlabel = 'Sig'", "expected a label, found `Sig`"),
        ("algorithm = 'ed25519'\ncomponents = ['content-digest']\ntolerance = '8d'", "expected a duration up to"),
        ("algorithm = 'hmac-sha256'\ncomponents = ['content-digest']\nkey = { form = 'raw' }", "is for public keys"),
    ] {
        let found = of(rest);
        assert!(found.len() == 1 && found[0].contains(what), "{rest}: {found:?}");
    }
}

#[test]
fn what_may_be_absent_and_what_is_written_anew_have_their_own_rules() {
    for (rest, what) in [
        ("message = '{json:a}{header:B}'", "{json:a} and header:B stand side by side"),
        ("message = '{[x{json:a}]}{header:B?}'", "json:a and header:B stand side by side"),
        ("message = '{lower(header:A)}{header:B}'", "header:A and header:B stand side by side"),
        ("message = '{key_id}{secret}'", "has nothing of the request in it"),
        ("message = '{body}'\nshapes = { 'json:a' = 'lines' }", "expected one of uuid, token, digits, base64, line"),
        ("message = '{body}'\nshapes = { 'json:a' = 'a*b' }", "`a*b` is no pattern"),
        ("message = '{body}'\neach = 'a'", "wants one signature, in a JSON member of each element"),
        ("message = '{body}'\nhashed = 'sha3'", "expected one of sha1, sha256"),
    ] {
        let found = hmac(&format!("{BASE}{rest}"));
        let what = what.replace("{json:a} and", "json:a and");
        assert!(found.len() == 1 && found[0].contains(&what), "{rest}: {found:?}");
    }
    let holds = |place: &str, message: &str| {
        let text = format!("algorithm = 'sha256'\nsignature = {{ {place} }}\nmessage = '{message}'");
        hmac(&text).iter().any(|problem| problem.contains("stands inside the message that it signs"))
    };
    assert!(holds("json = 'a.b'", "{raw:a}") && !holds("json = 'a.b'", "{raw:a.c}"));
    assert!(holds("json = 'a'", "{sorted-json(body)}") && holds("query = 'a'", "{url:target}"));
    assert!(holds("form = 'a'", "{url:form}") && !holds("form = 'a'", "{pairs(form)}"));
}

#[test]
fn a_scheme_with_public_keys_has_its_own_rules() {
    let public = |rest: &str| {
        let text =
            format!("[routes.x.verify.public_key]\nsignature = {{ header = 'X', encoding = 'base64' }}\n{rest}\n");
        problems(&text).iter().map(|problem| problem.lines().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(public("algorithm = 'ed25519'\nmessage = '{body}'\nkey = { encoding = 'hex', form = 'raw' }").is_empty());
    let found = public("algorithm = 'rsa-md5'\nmessage = '{body}'");
    assert!(
        found[0]
            .contains("expected one of ed25519, ecdsa-p256-sha256, ecdsa-p256-sha256-fixed, ecdsa-p384-sha384-fixed"),
        "{found:?}"
    );
    let found = public("algorithm = 'rsa-sha256'\nmessage = '{body}'\nkey = { form = 'raw' }");
    assert!(found[0].contains("an RSA key is two numbers, and never raw"), "{found:?}");
    let found = public("algorithm = 'ed25519'\nmessage = '{body}'\nkey = { form = 'pem' }");
    assert!(found[0].contains("expected one of der, raw, certificate, found `pem`"), "{found:?}");
    let found = public("algorithm = 'ed25519'\nmessage = '{secret}{body}'");
    assert!(found[0].contains("has {secret}, and a scheme with public keys has none"), "{found:?}");
    let found = public("algorithm = 'ed25519'\nmessage = '{body}'\nkey = { suffix = '&' }");
    assert!(found[0].contains("unknown field `suffix`"), "{found:?}");
}

#[test]
fn the_three_systems_are_served_as_the_design_says() {
    let oktave = builtin("oktave").unwrap();
    assert_eq!(oktave.scheme.window(), Some((Duration::from_secs(3600), Duration::from_secs(300))));
    assert!(oktave.dedupe_window.unwrap() > Duration::from_secs(3900));
    assert_eq!(oktave.success.status, 200);
    let dastra = builtin("dastra").unwrap();
    assert_eq!(dastra.addresses.len(), 8);
    assert_eq!((dastra.timeout, dastra.error_budget), (Some(Duration::from_secs(10)), Some(5)));
    let octolis = builtin("octolis").unwrap();
    assert_eq!(octolis.methods, [Method::Post, Method::Put, Method::Patch]);
    assert!(builtin("nobody").is_none());
}

/// From what each provider says of its retries; a recipe that does not say how long they last is of one that has none or tells nobody.
#[test]
fn the_window_of_every_recipe_covers_its_provider_s_retries() {
    let mut known = 0;
    for name in builtin_names() {
        let recipe = builtin(name).unwrap();
        let Some(span) = recipe.retries_for else { continue };
        known += 1;
        assert!(recipe.dedupe_window.unwrap() >= span, "{name}");
        if let Some((back, ahead)) = recipe.scheme.window() {
            assert!(recipe.dedupe_window.unwrap() >= back + ahead, "{name}");
            assert!(!recipe.retries_keep_time || back >= span, "{name}");
        }
    }
    assert!(known > 50, "{known}");
    let back = |name: &str| builtin(name).unwrap().scheme.window().unwrap().0;
    assert!(back("linear") > Duration::from_secs(7 * 3600 + 60) && back("zoom") > Duration::from_secs(125 * 60));
    for tight in ["stripe", "slack", "paddle", "standard-webhooks", "svix"] {
        assert!(back(tight) <= Duration::from_secs(300), "{tight} signs every attempt");
    }
    for (name, most) in [("github", 25 << 20), ("gitlab", 25 << 20), ("sendgrid", 1 << 20), ("dastra", 0)] {
        assert_eq!(builtin(name).unwrap().max_body.unwrap_or_default(), most, "{name}");
    }
}

#[test]
fn a_scheme_can_be_read_by_people() {
    let lines = |name: &str| {
        let described = builtin(name).unwrap().scheme.describe().lines;
        described.iter().map(|line| format!("{}: {}", line.what, line.how)).collect::<Vec<_>>().join("\n")
    };
    let stripe = lines("stripe");
    for wanted in ["proof: HMAC sha256", "message: {timestamp}.{body}", "at most 300 s old", "dedupe: json:id, else"] {
        assert!(stripe.contains(wanted), "{stripe}");
    }
    assert!(lines("octolis").contains("query token: stripped before forwarding"));
    assert!(lines("oktave").contains("body signed: no"));
    assert!(lines("dastra").contains("equal bodies: count as one request within the window"));
    assert!(lines("shopify").contains("dedupe: header:X-Shopify-Webhook-Id with the folded signature, else"));
    assert!(lines("github").contains("where header:X-GitHub-Event is member"));
    assert!(lines("octolis").contains("equal bodies: are not noticed"));
}

fn jwt(rest: &str) -> Vec<String> {
    problems(&format!("[routes.x.verify.jwt]\n{rest}\n"))
}

#[test]
fn a_token_that_could_be_taken_for_another_one_is_no_scheme() {
    const PLACE: &str = "token = { header = 'A' }\n";
    const HASH: &str = "hashes = [{ claim = 'h', of = '{body}', algorithm = 'sha256' }]\n";
    let good = format!("algorithms = ['HS256']\n{PLACE}{HASH}");
    assert_eq!(jwt(&good), Vec::<String>::new());
    assert_eq!(jwt("algorithms = ['RS256', 'ES256']\ntoken = { body = true }"), Vec::<String>::new());
    for (rest, wanted) in [
        (good.replace("'HS256'", "'none'"), "a token without a signature proves nothing"),
        (good.replace("'HS256'", "'RS256', 'HS256'"), "all with shared secrets (HS…) or all with public keys"),
        (good.replace("'HS256'", ""), "expected one or more"),
        (good.replace("'HS256'", "'HS257'"), "expected one of HS256, HS384"),
        (good.replace("header = 'A'", ""), "expected exactly one place, found 0"),
        (good.replace("header = 'A'", "header = 'A', query = 'b'"), "expected exactly one place, found 2"),
        (good.replace("header = 'A'", "body = true"), "stands inside the body that it signs"),
        (good.replace("header = 'A'", "json = 'a'"), "stands inside the body that it signs"),
        (format!("{good}required = ['a']\nclaims = {{ a = ['b'] }}"), "claim a is there twice"),
        (format!("{good}claims = {{ a = [] }}"), "claim a has no value that would be right"),
        (format!("{good}jose = {{ alg = ['HS256'] }}"), "has a key of its own"),
        (format!("{good}jose = {{ jwk = ['x'] }}"), "no key is taken from a token"),
        (format!("{good}unencoded = true"), "is for tokens whose payload is left out"),
        (format!("{good}payload = '{{body}}'"), "a payload that is left out has no claims"),
        (format!("{good}timestamp = {{ header = 'T' }}"), "so a sender can choose it"),
        (format!("{good}key = {{ form = 'raw' }}"), "is for public keys"),
        (format!("{good}leeway = '2h'"), "expected a duration up to 3600 s"),
        (format!("algorithms = ['HS256']\n{PLACE}"), "is good for ever, with any body"),
        (format!("algorithms = ['HS256']\n{PLACE}payload = '{{secret}}{{body}}'"), "{secret} is not available here"),
        (format!("algorithms = ['HS256']\n{PLACE}payload = 'x'"), "has nothing of the request in it"),
        (
            format!("algorithms = ['HS256']\n{PLACE}payload = '{{body}}'\nlisted = ['A']"),
            "expected one {listed:…} in payload",
        ),
        (
            format!("algorithms = ['HS256']\ntoken = {{ query = 'a' }}\n{}", HASH.replace("{body}", "{url}{body}")),
            "stands inside the URL",
        ),
        (good.replace("{body}'", "{url}', absent_if_empty = true"), "only that may be empty"),
    ] {
        let found = jwt(&rest).join("\n");
        assert!(found.contains(wanted), "{rest}: {found}");
    }
    let found = hmac(&format!("{BASE}message = '{{body}}'\ndedupe = [{{ claim = 'jti' }}]")).join("\n");
    assert!(found.contains("only the token of a scheme of the kind jwt has claims"), "{found}");
    let found = hmac(&format!("{BASE}message = '{{listed:x}}{{body}}'")).join("\n");
    assert!(found.contains("only a token lists fields"), "{found}");
}
