//! Challenges of providers, as they were written down by others: asked over a socket, answered by the binary, and nothing of them
//! goes inward.

use std::io::{Read, Write};
use std::net::TcpStream;

use data_encoding::HEXLOWER;
use dmz_relay::base::Clock;
use dmz_relay::config::recipe::builtin;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::harness::{Application, Installation, Manner, Running};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    challenge: Vec<Challenge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    provider: String,
    source: String,
    #[expect(dead_code, reason = "for readers")]
    note: Option<String>,
    /// For a provider that has no recipe: one that answers its challenge.
    recipe: Option<String>,
    secret: String,
    challenge_secret: Option<String>,
    /// Signed as the provider would sign it now.
    sign: bool,
    request: Asked,
    answer: Answered,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn challenges() -> Vec<Challenge> {
    let file: File = toml::from_str(include_str!("../fixtures/challenges.toml")).unwrap();
    file.challenge
}

impl Challenge {
    /// What is put on the wire, addressed to the route of this number.
    fn raw(&self, route: usize) -> String {
        let (path, query) = self.request.target.split_once('?').unwrap_or((&self.request.target, ""));
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("/{route}{path}{mark}{query}");
        let mut headers = self.request.headers.clone();
        if self.sign {
            let now = Clock::system().now().secs();
            let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
            mac.update(format!("v0:{now}:{}", self.request.body).as_bytes());
            let signature = format!("v0={}", HEXLOWER.encode(&mac.finalize().into_bytes()));
            let [time, name] = match &*self.provider {
                "slack" => ["X-Slack-Request-Timestamp", "X-Slack-Signature"],
                _ => ["x-zm-request-timestamp", "x-zm-signature"],
            };
            headers.extend([(time.to_owned(), now.to_string()), (name.to_owned(), signature)]);
        }
        let mut raw =
            format!("{} {target} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\n", self.request.method);
        for (name, value) in &headers {
            raw += &format!("{name}: {value}\r\n");
        }
        raw + &format!("Content-Length: {}\r\n\r\n{}", self.request.body.len(), self.request.body)
    }
}

/// One route for each.
fn installation(challenges: &[Challenge], application: &Application) -> Installation {
    let installation = Installation::new(&application.url);
    let mut text = format!(
        "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n[log]\nformat = \"json\"\nrefusals_per_second = 1000\n\
         [upstreams.application]\nservers = [\"{}\"]\n",
        application.url
    );
    for (at, challenge) in challenges.iter().enumerate() {
        let Challenge { provider, recipe, secret, challenge_secret, .. } = challenge;
        let provider = match recipe {
            Some(recipe) => {
                text += &format!("[providers.own-{at}]\n{recipe}\n");
                format!("own-{at}")
            }
            None => provider.clone(),
        };
        installation.secret(&format!("secret-{at}"), secret);
        text += &format!(
            "[routes.r{at}]\npath = \"/{at}/*\"\nprovider = \"{provider}\"\nupstream = \"application\"\n\
             secrets = [{{ file = \"secret-{at}\" }}]\n"
        );
        if builtin(&provider).is_some_and(|recipe| recipe.scheme.needs_public_url()) {
            text += "public_url = \"https://hooks.example.com\"\n";
        }
        if let Some(secret) = challenge_secret {
            installation.secret(&format!("challenge-{at}"), secret);
            text += &format!("challenge_secret = {{ file = \"challenge-{at}\" }}\n");
        }
    }
    installation.write("relay.toml", &text);
    installation
}

/// Status line, fields and body of what came back.
fn ask(public: &str, raw: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(public).unwrap();
    stream.write_all(raw.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// JSON with other blanks is the same.
fn same(found: &str, wanted: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
    found == wanted || json(found).is_some_and(|found| Some(found) == json(wanted))
}

#[test]
fn every_challenge_is_answered_as_its_provider_wants_it() {
    let challenges = challenges();
    assert!(challenges.len() >= 23);
    let application = Application::start(Manner::Prompt);
    let installation = installation(&challenges, &application);
    let relay = Running::start(&installation);
    for (at, challenge) in challenges.iter().enumerate() {
        let (provider, wanted) = (&challenge.provider, &challenge.answer);
        let (status, head, body) = ask(&relay.public, &challenge.raw(at));
        let event = relay.event("request");
        assert_eq!(status, wanted.status, "{provider} ({}): {body}\n{event}", challenge.source);
        assert!(!head.contains("text/html"), "{provider}: {head}");
        if status >= 300 {
            assert_eq!(event["outcome"], "refused", "{provider}: {event}");
            for (_, value) in &challenge.request.headers {
                assert!(!head.contains(&value.to_ascii_lowercase()), "{provider} says it again: {head}");
            }
            continue;
        }
        assert_eq!(event["outcome"], "challenge", "{provider}: {event}");
        assert!(same(&body, &wanted.body), "{provider}: {body} where {} is wanted", wanted.body);
        for (name, value) in &wanted.headers {
            let line = format!("\r\n{}: {}", name.to_ascii_lowercase(), value.to_ascii_lowercase());
            assert!(head.contains(&line), "{provider}: {head}");
        }
        if !body.is_empty() {
            assert!(head.contains("\r\nx-content-type-options: nosniff"), "{provider}: {head}");
        }
    }
    assert!(application.arrived().is_empty(), "a challenge went inward");
}

/// Shapes, lengths and places: what a challenge does not have makes it an ordinary request, which is refused.
#[test]
fn what_is_no_challenge_is_refused_and_said_to_nobody() {
    let challenges = challenges();
    let of = |provider: &str| challenges.iter().position(|challenge| challenge.provider == provider).unwrap();
    let application = Application::start(Manner::Prompt);
    let relay = Running::start(&installation(&challenges, &application));
    let get = |at: usize, query: &str, header: &str| {
        format!("GET /{at}/hook{query} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\n{header}\r\n")
    };
    let long = format!("?challenge={}", "a".repeat(1025));
    let (dropbox, x, meta, okta, linkedin) = (of("dropbox"), of("x-twitter"), of("meta"), of("okta"), of("linkedin"));
    for (raw, status) in [
        (get(dropbox, "", ""), 405),
        (get(dropbox, &long, ""), 405),
        (get(dropbox, "?challenge=a&challenge=b", ""), 405),
        (get(dropbox, "?challenge=a%0Ab", ""), 405),
        (get(dropbox, "?challenge=%ff", ""), 405),
        (get(dropbox, "?challenge=", ""), 405),
        (get(x, "?crc_token=%7B%22a%22%3A1%7D", ""), 405),
        (get(linkedin, "?challengeCode=hmacsha256%3D%7B%7D", ""), 405),
        (get(meta, "?hub.mode=unsubscribe&hub.challenge=canary&hub.verify_token=meatyhamhock", ""), 405),
        (get(meta, "?hub.mode=subscribe&hub.challenge=canary", ""), 405),
        (get(okta, "", "x-okta-verification-challenge: a\r\nx-okta-verification-challenge: b\r\n"), 405),
        (get(of("adobe-sign"), "", "X-AdobeSign-ClientId: another\r\n"), 401),
        (get(of("azure-event-grid"), "", "").replace("GET", "OPTIONS"), 405),
    ] {
        let (found, head, body) = ask(&relay.public, &raw);
        assert_eq!(found, status, "{raw}\n{head}\n{body}");
        assert!(!head.contains("canary") && !body.contains("canary"), "{head}\n{body}");
        assert_eq!(relay.event("request")["outcome"], "refused", "{raw}");
    }
    assert!(application.arrived().is_empty());
}

/// A method that only a challenge may have proves nothing by itself: what was let in for it and is none goes no further.
#[test]
fn what_a_challenge_may_have_a_webhook_may_not() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    installation.secret("token", "0123456789abcdef0123");
    installation.write(
        "relay.toml",
        &format!(
            "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n[log]\nformat = \"json\"\nrefusals_per_second = 1000\n\
             [upstreams.application]\nservers = [\"{}\"]\n[providers.own]\ncontent_types = [\"application/json\"]\n\
             verify.token = {{ header = \"X-Token\" }}\n[[providers.own.challenge]]\n\
             when = [{{ method = \"PUT\" }}, {{ json = \"hello\" }}]\nsigned = true\nanswer = {{ status = 200 }}\n\
             [routes.own]\npath = \"/own\"\nprovider = \"own\"\nsecrets = [{{ file = \"token\" }}]\nupstream = \"application\"\n",
            application.url
        ),
    );
    let relay = Running::start(&installation);
    let put = |body: &str, token: &str| {
        format!(
            "PUT /own HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Token: {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (raw, status, outcome) in [
        (put("{\"hello\":1}", "0123456789abcdef0123"), 200, "challenge"),
        (put("{\"hello\":1}", "another"), 401, "refused"),
        (put("{\"other\":1}", "0123456789abcdef0123"), 405, "refused"),
    ] {
        assert_eq!(ask(&relay.public, &raw).0, status, "{raw}");
        assert_eq!(relay.event("request")["outcome"], outcome, "{raw}");
    }
    assert!(application.arrived().is_empty());
}
