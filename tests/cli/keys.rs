//! Public keys: a route that verifies with them, what `send` and `verify` do there, and what `check` says of bad ones.

use dmz_relay::config::recipe::builtin;
use serde_json::Value;

use super::harness::{Application, Installation, Manner, Running, Said, relay, relay_reading};

/// One provider of each algorithm.
const PROVIDERS: [&str; 5] = ["discord", "standard-webhooks-ed25519", "sendgrid", "wise", "kick"];

/// A fresh pair: the private key in a file, and the public one as PEM.
fn pair(installation: &Installation, provider: &str, name: &str) -> String {
    let (private, public) = builtin(provider).unwrap().scheme.fresh_pair().unwrap();
    installation.secret(&format!("{name}.key"), std::str::from_utf8(private.expose()).unwrap());
    installation.write(&format!("{name}.pub"), &public);
    public
}

fn base(application: &Application) -> String {
    format!(
        "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n[log]\nformat = \"json\"\n\
         [upstreams.application]\nservers = [\"{}\"]\n",
        application.url
    )
}

#[test]
fn what_the_private_key_signs_is_delivered_and_nothing_else_is() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let mut text = base(&application);
    for provider in PROVIDERS {
        pair(&installation, provider, provider);
        pair(&installation, provider, &format!("{provider}-old"));
        text += &format!(
            "[routes.{provider}]\npath = \"/{provider}\"\nprovider = \"{provider}\"\nupstream = \"application\"\n\
             public_keys = [{{ file = \"{provider}.pub\" }}, {{ file = \"{provider}-old.pub\", id = \"old\" }}]\n"
        );
        pair(&installation, provider, &format!("{provider}-other"));
    }
    // A fast machine refuses more in a second than the log shows by itself.
    let text = text.replace("format = \"json\"\n", "format = \"json\"\nrefusals_per_second = 1000\n");
    installation.write("relay.toml", &text);
    installation.relay(&["check"]).exits(0);
    let relay = Running::start(&installation);
    let send = |provider: &str, key: &str, more: &[&str]| -> Said {
        let key = installation.path(&format!("{key}.key"));
        installation.relay(&[&["send", provider, "--private-key", &key, "--connect", &relay.public], more].concat())
    };
    let mut delivered = 0;
    for provider in PROVIDERS {
        for (key, id) in
            [(provider.to_owned(), format!("file:{provider}.pub")), (format!("{provider}-old"), "old".into())]
        {
            send(provider, &key, &[]).exits(0);
            let event = relay.event("request");
            assert_eq!((&event["outcome"], &event["key"]), (&"delivered".into(), &Value::from(id)), "{event}");
            delivered += 1;
        }
        for (key, more, reason) in [
            (format!("{provider}-other"), &[][..], "signature_mismatch"),
            (provider.to_owned(), &["--tamper"], "signature_mismatch"),
        ] {
            let said = send(provider, &key, more);
            assert_eq!(said.code, i32::from(more.is_empty()), "{provider}: {}{}", said.out, said.err);
            let event = relay.event("request");
            assert_eq!((&event["outcome"], &event["reason"]), (&"refused".into(), &reason.into()), "{event}");
        }
    }
    assert_eq!(application.arrived().len(), delivered);
    let said = installation.relay(&["send", "discord", "--connect", &relay.public]).exits(2);
    assert!(said.err.contains("say --private-key FILE"), "{}", said.err);
    installation.secret("public.key", &installation.read("discord.pub"));
    let public = installation.path("public.key");
    let said = installation.relay(&["send", "discord", "--private-key", &public, "--connect", &relay.public]).exits(2);
    assert!(said.err.contains("is a public key, and only a private one signs"), "{}", said.err);
}

/// Bodies that are verified beside the workers, and keys that are.
#[test]
fn large_bodies_and_many_keys_are_verified_too() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let mut text = base(&application);
    for provider in ["discord", "wise"] {
        let keys: Vec<String> = (0..16)
            .map(|at| {
                pair(&installation, provider, &format!("{provider}-{at}"));
                format!("{{ file = \"{provider}-{at}.pub\" }}")
            })
            .collect();
        text += &format!(
            "[routes.{provider}]\npath = \"/{provider}\"\nprovider = \"{provider}\"\nupstream = \"application\"\n\
             max_body = \"4MiB\"\npublic_keys = [{}]\n",
            keys.join(", ")
        );
    }
    installation.write("relay.toml", &text);
    installation.write("large.json", &format!("{{\"a\":\"{}\"}}", "x".repeat(3 << 20)));
    let relay = Running::start(&installation);
    for (provider, data) in [("discord", "large.json"), ("wise", "large.json"), ("wise", "relay.toml")] {
        let (key, data) = (installation.path(&format!("{provider}-15.key")), format!("@{}", installation.path(data)));
        installation
            .relay(&["send", provider, "--private-key", &key, "--connect", &relay.public, "--data", &data])
            .exits(0);
        assert_eq!(relay.event("request")["key"], format!("file:{provider}-15.pub"));
    }
    assert_eq!(application.arrived().len(), 3);
}

#[test]
fn a_bad_key_is_refused_with_its_cause() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let discord = pair(&installation, "discord", "discord");
    pair(&installation, "wise", "wise");
    let private = installation.read("discord.key");
    installation.write("private.pub", &private);
    let check = |provider: &str, keys: &str| -> String {
        installation.write(
            "relay.toml",
            &format!(
                "{}[routes.x]\npath = \"/x\"\nprovider = \"{provider}\"\nupstream = \"application\"\n{keys}\n",
                base(&application)
            ),
        );
        let said = installation.relay(&["check"]);
        assert_eq!(said.code, 1, "{keys}: {}{}", said.out, said.err);
        let text = said.out + &said.err;
        let secret = private.lines().nth(1).unwrap();
        assert!(!text.contains(secret), "the private key is shown: {text}");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let hex = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (provider, keys, wanted) in [
        ("discord", "", "routes.x.public_keys: is missing"),
        ("discord", "secrets = [{ file = \"github\" }]", "this one verifies with public keys"),
        ("github", "public_keys = [\"a\"]\nsecrets = [{ file = \"github\" }]", "this one has shared secrets"),
        ("discord", "public_keys = []", "the list is empty, so no request could ever be genuine"),
        ("discord", "public_keys = [{ id = \"a\" }]", "expected exactly one of key and file"),
        ("discord", "public_keys = [{ file = \"nowhere\" }]", "nowhere"),
        (
            "discord",
            "public_keys = [{ file = \"private.pub\" }]",
            "is a private key, which only the sender should have",
        ),
        ("discord", "public_keys = [{ file = \"wise.pub\" }]", "is a key for RSA, and this scheme has Ed25519"),
        ("wise", "public_keys = [{ file = \"discord.pub\" }]", "is a key for Ed25519, and this scheme has RSA"),
        ("telnyx", &format!("public_keys = [\"{hex}\"]"), "is written in hex, and this scheme has its keys in base64"),
        ("discord", &format!("public_keys = [\"{}\"]", &hex[2..]), "has 31 bytes, and such a key has 32"),
        ("sendgrid", "public_keys = [\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"]", "is a raw key of 32 bytes"),
        ("wise", "public_keys = [{ file = \"relay.crt\" }]", "is a certificate: enter the public key in it"),
    ] {
        let text = check(provider, keys);
        assert!(text.contains(wanted), "{provider}, {keys}: {text}");
    }
    let twice = format!(
        "public_keys = [{{ file = \"discord.pub\" }}, '''{discord}''', \"{hex}\", {{ key = \"{hex}\", id = \"a\" }}]"
    );
    installation.write(
        "relay.toml",
        &format!(
            "{}[routes.x]\npath = \"/x\"\nprovider = \"discord\"\nupstream = \"application\"\n{twice}\n",
            base(&application)
        ),
    );
    let said = installation.relay(&["check"]).exits(0);
    // A key with an id of its own may be there twice: for schemes that compare the id.
    assert_eq!((said.out + &said.err).matches("is the same key as one before it").count(), 1);
}

/// A captured request that a route with a public key refuses, and what `verify` says is behind it.
#[test]
fn verify_says_why_no_key_verifies() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let vectors: toml::Table = include_str!("../../providers/sendgrid/vectors.toml").parse().unwrap();
    let vector = &vectors["vector"].as_array().unwrap()[0];
    let text = |key: &str| vector[key].as_str().unwrap().to_owned();
    let header = |wanted: &str| {
        let headers = vector["headers"].as_array().unwrap();
        let pair = headers.iter().find(|pair| pair[0].as_str().unwrap().ends_with(wanted)).unwrap();
        pair[1].as_str().unwrap().to_owned()
    };
    installation.write("sendgrid.pub", vector["secrets"][0].as_str().unwrap());
    pair(&installation, "sendgrid", "other");
    let ask = |key: &str, signature: &str, body: &str, at: &str| -> Said {
        let raw = format!(
            "POST /hooks/sendgrid HTTP/1.1\r\nHost: a\r\nX-Twilio-Email-Event-Webhook-Signature: {signature}\r\n\
             X-Twilio-Email-Event-Webhook-Timestamp: {}\r\nContent-Length: {}\r\n\r\n{body}",
            header("Timestamp"),
            body.len()
        );
        let key = installation.path(key);
        let arguments = ["verify", "--provider", "sendgrid", "--public-key", &key, "--at", at, "--request", "-"];
        relay_reading(&arguments, raw.as_bytes())
    };
    let (signature, body, at) = (header("Signature"), text("body"), vector["at"].as_integer().unwrap().to_string());
    let said = ask("sendgrid.pub", &signature, &body, &at).exits(0);
    assert!(said.out.contains("genuine"), "{}", said.out);
    let hex = data_encoding::HEXLOWER.encode(&data_encoding::BASE64.decode(signature.as_bytes()).unwrap());
    let cut = body.trim_end();
    let late = (vector["at"].as_integer().unwrap() + 200_000).to_string();
    for (key, signature, body, at, wanted) in [
        ("other.pub", &*signature, &*body, &*at, "enter the key that the provider shows today"),
        ("sendgrid.pub", &hex, &body, &at, "it is written in hex where the scheme has base64"),
        (
            "sendgrid.pub",
            &signature,
            cut,
            &at,
            "verifies this signature for another body: with a carriage return and a line feed",
        ),
        ("sendgrid.pub", &signature, &body, &late, "before this moment"),
        ("sendgrid.pub", "AAAA", &body, &at, "has not the length of any signature"),
    ] {
        let said = ask(key, signature, body, at).exits(1);
        let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let (key, request) = (installation.path("github"), installation.path("request"));
    installation.write("request", "POST / HTTP/1.1\r\nHost: a\r\n\r\n{}");
    let said = relay(&["verify", "--provider", "sendgrid", "--secret-file", &key, "--request", &request]).exits(2);
    assert!(said.err.contains("say --public-key FILE"), "{}", said.err);
}
