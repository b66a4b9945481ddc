//! 57: how long a verdict takes says nothing of the secret. Counted in instructions, by valgrind, in the real relay: a number
//! that is the same on every machine and every day, where a clock would need a million samples and good weather.
//!
//! What is counted is `Verifier::verify`, for each shipped provider. A signature whose first byte is wrong, one whose last byte
//! is wrong and one that is wrong everywhere must cost the same number of instructions, down to the last. A comparison that
//! stops early is known to be seen, because one that may is counted in the same way.
//!
//! `TIMED_BINARY` names another build of the relay, as CI does for the optimised one: what a compiler makes of the code is what
//! counts. What instructions cost on a processor is out of scope, see docs/threat-model.md.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail loudly"
)]

#[path = "fixtures/families.rs"]
mod families;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use dmz_relay::base::{Clock, Secret, UnixMillis};
use dmz_relay::config::recipe::builtin;
use dmz_relay::domain::Method;
use dmz_relay::scheme::{Key, PublicUrl, SignDraft, Signed, Verifier};
use families::FAMILIES;
use serde_json::Value;

/// What is counted. It is called once for a request that comes this far.
const COUNTED: &str = "dmz_relay::scheme::Verifier::verify";
/// The least of several counts is compared: where a buffer happens to lie makes some copies a few instructions longer. A
/// comparison that stops early has another least count however often it is counted.
const ROUNDS: usize = 32;
const ID: &str = "0191e2a4-7b1c-7c3e-9f00-0123456789ab";
const HEADERS: [(&str, &str); 2] = [("Content-Type", "application/json"), ("User-Agent", "timing")];

/// A secret that every scheme takes, and that needs no escape anywhere. Different ones differ at every place behind the prefix.
fn secret(number: usize) -> String {
    const LETTERS: &[u8] = b"AQgwBRhxCSiyDTjzEUk0FVl1GWm2HXn3IYo4JZp5";
    let letter = |at: usize| char::from(LETTERS[(7 * at + 3 * number) % LETTERS.len()]);
    let last = ['A', 'Q', 'g', 'w'][number % 4];
    format!("whsec_{}{last}=", (0..42).map(letter).collect::<String>())
}

/// A provider's genuine request.
#[derive(Clone)]
struct Request {
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// As the provider would send it at this moment, with this secret.
    fn signed(name: &str, secret: &str, now: UnixMillis) -> Self {
        let key = Key { id: "key".into(), secret: Secret::new(secret.as_bytes().to_vec()) };
        let scheme = Arc::clone(&builtin(name).unwrap().scheme);
        let url = PublicUrl::parse("https://hooks.example.com").unwrap();
        let verifier = Verifier::new(scheme, vec![key], Some(url)).unwrap();
        let headers = HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let path = format!("/hooks/{name}");
        let body = format!("{{\"id\":\"evt_1\",\"event_id\":\"{ID}\"}}").into_bytes();
        let draft = SignDraft { method: Method::Post, path_query: &path, headers: &headers, body: &body, id: ID };
        let signed: Signed = verifier.sign(&draft, now).unwrap();
        Self {
            target: signed.target(&path),
            headers: headers.into_iter().chain(signed.headers.clone()).collect(),
            body: signed.body,
        }
    }

    fn parts(&mut self) -> Vec<&mut String> {
        let values = self.headers.iter_mut().map(|(_, value)| value);
        [&mut self.target].into_iter().chain(values).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\n", self.target);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "Content-Length: {}\r\n\r\n", self.body.len()).unwrap();
        [head.as_bytes(), &self.body].concat()
    }
}

/// The signature's letters in a request: which part it is in, and where. It is what depends on the secret.
struct Place {
    part: usize,
    letters: std::ops::Range<usize>,
}

fn place(name: &str, clock: &Clock) -> Place {
    // In one moment: the time that some of them sign is no part that depends on the secret.
    let now = clock.now();
    let mut all: Vec<Request> = (0..40).map(|number| Request::signed(name, &secret(number), now)).collect();
    let texts: Vec<Vec<String>> =
        all.iter_mut().map(|request| request.parts().into_iter().map(|part| part.clone()).collect()).collect();
    let mut found = None;
    for part in 0..texts[0].len() {
        let first = texts[0][part].as_bytes();
        let differs = |at: usize| texts.iter().any(|text| text[part].as_bytes()[at] != first[at]);
        let places: Vec<usize> = (0..first.len()).filter(|at| differs(*at)).collect();
        if let (Some(from), Some(to)) = (places.first(), places.last()) {
            assert!(found.is_none(), "{name}: two parts depend on the secret");
            found = Some(Place { part, letters: *from..to + 1 });
        }
    }
    found.unwrap_or_else(|| panic!("{name}: nothing depends on the secret"))
}

/// Another letter of the same alphabet. In base64 it differs in a bit that the last letter of a value has as well.
fn other(letter: char, hex: bool) -> char {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if hex {
        return char::from_digit(letter.to_digit(16).unwrap() ^ 1, 16).unwrap();
    }
    let at = BASE64.iter().position(|known| char::from(*known) == letter).unwrap();
    char::from(BASE64[at ^ 0b01_0000])
}

/// The request with the signature spoilt where `spoils` says so.
fn spoilt(request: &Request, place: &Place, spoils: impl Fn(usize) -> bool) -> Request {
    let mut request = request.clone();
    let Place { part, letters } = place;
    let mut parts = request.parts();
    let text = &mut *parts[*part];
    let hex = text[letters.clone()].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let turned = text.char_indices().map(
        |(at, letter)| {
            if letters.contains(&at) && spoils(at) { other(letter, hex) } else { letter }
        },
    );
    *text = turned.collect();
    request
}

/// The relay under valgrind, in clear on one listener.
struct Counter {
    folder: tempfile::TempDir,
    relay: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: String,
    counted: usize,
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
    }
}

fn binary() -> PathBuf {
    let named = std::env::var_os("TIMED_BINARY").map(PathBuf::from);
    named
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dmz-relay")))
        .canonicalize()
        .expect("a relay that is built")
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Counter {
    /// `None` where valgrind is not installed; there, CI fails instead.
    fn start() -> Option<Self> {
        if Command::new("valgrind").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI needs valgrind");
            println!("skipped, needs valgrind");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut config = "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
                          [log]\nformat = \"json\"\nrefusals_per_second = 100000\n\
                          [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n"
            .to_owned();
        for name in FAMILIES {
            let url = if builtin(name).unwrap().scheme.needs_public_url() {
                "public_url = \"https://hooks.example.com\"\n"
            } else {
                ""
            };
            write!(
                config,
                "[routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"{name}\"\n\
                 secrets = [{{ file = \"current\" }}, {{ file = \"former\" }}]\nupstream = \"app\"\n{url}"
            )
            .unwrap();
        }
        private(&path("current"), &secret(0));
        private(&path("former"), &secret(1));
        private(&path("relay.toml"), &config);
        let mut relay = Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
            .arg(format!("--callgrind-out-file={}", path("counted").display()))
            .arg(format!("--toggle-collect={COUNTED}"))
            .arg(format!("--dump-after={COUNTED}"))
            .arg(binary())
            .args(["run", "--threads", "1", "--config"])
            .arg(path("relay.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(relay.stderr.take().unwrap()).lines();
        let listening = line(&mut log, "listening");
        let address = listening["address"].as_str().unwrap().to_owned();
        Some(Self { folder, relay, log, address, counted: 0 })
    }

    /// Why the request was refused, and how many instructions that took; none where nothing was verified.
    fn count(&mut self, request: &Request) -> (String, Option<u64>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(&request.bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let reason = line(&mut self.log, "request")["reason"].as_str().unwrap_or_default().to_owned();
        // One file for each call, in their order; the first has what was before.
        let file = self.folder.path().join(format!("counted.{}", self.counted + 1));
        let Ok(text) = fs::read_to_string(&file) else { return (reason, None) };
        self.counted += 1;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
        (reason, Some(total.trim().parse().unwrap()))
    }

    /// The least count of each request, and after how many rounds: as soon as all are equal, or when they never will be. In
    /// turn, so that what happens once only is no difference between them; and each round begins with another request, because
    /// the allocator hands out its places in turn as well: in a fixed order each request would always be read from the same.
    fn least<const N: usize>(&mut self, requests: &[Request; N], reason: &str) -> ([u64; N], usize) {
        let mut least = [u64::MAX; N];
        for round in 1..=ROUNDS {
            for at in (0..N).map(|turn| (turn + round) % N) {
                let (given, count) = self.count(&requests[at]);
                assert_eq!(given, reason, "{}", requests[at].target);
                least[at] = count.expect("it was verified").min(least[at]);
            }
            if round > 1 && least.iter().all(|count| *count == least[0]) {
                return (least, round);
            }
        }
        (least, ROUNDS)
    }
}

/// The next line of the log with this event.
fn line(log: &mut Lines<BufReader<ChildStderr>>, event: &str) -> Value {
    for text in log {
        let text = text.unwrap();
        if let Ok(line) = serde_json::from_str::<Value>(&text)
            && line["event"] == event
        {
            return line;
        }
        assert!(!text.contains("\"event\":\"config_refused\""), "{text}");
    }
    panic!("the log ended without {event}");
}

#[test]
fn a_verdict_takes_as_long_wherever_a_signature_is_wrong() {
    let Some(mut counter) = Counter::start() else { return };
    let clock = Clock::system();
    let mut wrong = String::new();
    for name in FAMILIES {
        let place = place(name, &clock);
        let genuine = Request::signed(name, &secret(0), clock.now());
        let (from, to) = (place.letters.start, place.letters.end);
        let spoils: [&dyn Fn(usize) -> bool; 4] =
            [&|at| at == from, &|at| at == (from + to) / 2, &|at| at + 1 == to, &|_| true];
        let requests = spoils.map(|spoils| spoilt(&genuine, &place, spoils));
        let (least, rounds) = counter.least(&requests, "signature_mismatch");
        println!("{name}: {least:?} in {rounds} rounds");
        if least.iter().any(|count| *count != least[0]) {
            writeln!(wrong, "{name}: {least:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "it takes longer or shorter:\n{wrong}");
    a_comparison_that_stops_early_is_seen(&mut counter, &clock);
    what_is_refused_before_is_not_verified(&mut counter, &clock);
}

/// Oktave's `event_id` is no secret, and is compared like any bytes: the first one that differs ends it.
fn a_comparison_that_stops_early_is_seen(counter: &mut Counter, clock: &Clock) {
    let genuine = Request::signed("oktave", &secret(0), clock.now());
    let text = String::from_utf8(genuine.body.clone()).unwrap();
    let spoilt = [format!("1{}", &ID[1..]), format!("{}c", &ID[..ID.len() - 1])];
    let requests = spoilt.map(|id| Request { body: text.replace(ID, &id).into_bytes(), ..genuine.clone() });
    let (least, rounds) = counter.least(&requests, "binding_mismatch");
    println!("a comparison that stops early: {least:?} in {rounds} rounds");
    assert_ne!(least[0], least[1], "this test sees nothing");
}

/// docs/request.md: who is refused at one step costs nothing of the next, and tells as much by its status.
fn what_is_refused_before_is_not_verified(counter: &mut Counter, clock: &Clock) {
    let genuine = Request::signed("github", &secret(0), clock.now());
    let unknown = Request { target: "/hooks/unknown".into(), ..genuine };
    assert_eq!(counter.count(&unknown), ("route_unknown".to_owned(), None));
}
