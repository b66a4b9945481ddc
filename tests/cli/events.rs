//! `events`: the history, over a running relay with a store.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::harness::{Application, Installation, LONG, Manner, Running, Said, binary, lines, signal};

const STORED: &str = "
[store]
sqlite = { path = \"relay.db\" }
disk_reserve = \"0B\"

[upstreams.nobody]
servers = [\"http://127.0.0.1:9\"]

[routes.kept]
path = \"/hooks/kept\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"application\"
delivery = \"direct\"
keep_body = true

[routes.down]
path = \"/hooks/down\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"nobody\"
delivery = \"direct\"
keep_body = true

[routes.queue]
path = \"/hooks/queue\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"nobody\"
delivery = \"queue\"
retry = { attempts = 1 }

[routes.line]
path = \"/hooks/line\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"nobody\"
delivery = \"queue\"
ordered = true
retry = { first = \"1h\", max = \"1h\" }
";

/// A relay with a store, an application behind it, and routes of every kind.
pub(super) struct Stage {
    application: Application,
    pub(super) installation: Installation,
    pub(super) relay: Running,
}

impl Stage {
    pub(super) fn new() -> Self {
        let application = Application::start(Manner::Prompt);
        let installation = Installation::new(&application.url);
        let text = installation.read("relay.toml") + STORED;
        installation.write("relay.toml", &text);
        let relay = Running::start(&installation);
        Self { application, installation, relay }
    }

    pub(super) fn send(&self, arguments: &[&str]) -> Said {
        self.installation.relay(&[&["send", "--wait", "0"], arguments, &["--connect", &self.relay.public]].concat())
    }

    pub(super) fn events(&self, arguments: &[&str]) -> Said {
        self.installation.relay(&[&["events"], arguments].concat())
    }

    /// The ids of what the filters leave, the oldest first, once there are so many.
    pub(super) fn listed(&self, filters: &[&str], count: usize) -> Vec<String> {
        let until = Instant::now() + LONG;
        loop {
            let arguments = [&["list", "--order", "asc", "--format", "json"], filters].concat();
            let page = self.events(&arguments).exits(0).json();
            let events = page["events"].as_array().unwrap();
            if events.len() == count {
                return events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
            }
            assert!(events.len() < count && Instant::now() < until, "{filters:?}: {page:#}");
        }
    }
}

#[test]
fn what_was_received_is_listed_and_shown() {
    let stage = Stage::new();
    stage.send(&["kept", "--data", "{ \"exact\" :1}\n"]).exits(0);
    stage.send(&["kept", "--tamper"]).exits(0);
    stage.send(&["octolis"]).exits(0);
    let all = stage.listed(&[], 3);
    assert_eq!(stage.listed(&["--outcome", "refused"], 1), all[1..2]);
    assert_eq!(stage.listed(&["--route", "octolis", "--status", "2xx", "--since", "1h"], 1), all[2..]);

    let list = stage.events(&["list"]).exits(0).out;
    let rows: Vec<_> = list.lines().collect();
    assert!(rows[0].contains("time (UTC)") && rows[1].contains(&all[2]) && rows[3].contains(&all[0]), "{list}");
    assert!(rows[2].contains("401 signature_mismatch") && rows[4] == "3 events; that is all", "{list}");
    let list = stage.events(&["list", "--limit", "2"]).exits(0).out;
    let after = list.split("--after ").nth(1).unwrap().split(',').next().unwrap();
    let rest = stage.events(&["list", "--limit", "2", "--after", after]).exits(0).out;
    assert!(rest.contains(&all[0]) && rest.ends_with("1 event; that is all\n"), "{rest}");
    assert_eq!(stage.events(&["list", "--route", "queue"]).exits(0).out, "no event matches\n");

    let shown = stage.events(&["show", &all[0]]).exits(0).out;
    for part in [&*all[0], "delivered", "POST /hooks/kept", "X-Hub-Signature-256: ***", "dmz-relay events redeliver"] {
        assert!(shown.to_lowercase().contains(&part.to_lowercase()), "{part} in {shown}");
    }
    assert!(!shown.contains("sha256="), "{shown}");
    let shown = stage.events(&["show", &all[2]]).exits(0).out;
    assert!(shown.contains("api-key=***"), "{shown}");

    // The beginning of an id will do, as long as it is one event's.
    let (start, _) = all[0].split_at(20);
    let event = stage.events(&["show", start, "--body", "--format", "json"]).exits(0).json();
    assert_eq!((&event["id"], &event["outcome"]), (&json!(all[0]), &json!("delivered")));
    assert_eq!(BASE64.decode(event["body"].as_str().unwrap().as_bytes()).unwrap(), b"{ \"exact\" :1}\n");
    let (several, _) = all[0].split_at(6);
    assert!(stage.events(&["show", several]).exits(2).err.contains("several events begin with"));
    for none in ["1a20000000000000000000000aa", "hello", "../status"] {
        let said = stage.events(&["show", none]).exits(2);
        assert!(said.err.contains("there is no event"), "{}", said.err);
    }

    let body = stage.events(&["show", &all[0], "--body"]).exits(0);
    assert_eq!(body.out, "{ \"exact\" :1}\n", "piped on, it is the body alone");
    let file = stage.installation.path("body");
    stage.events(&["show", &all[0], "--output", &file]).exits(0);
    assert_eq!(fs::read(&file).unwrap(), b"{ \"exact\" :1}\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing is overwritten, and no link is followed: what it leads to stays as it is.
    let (victim, link) = (stage.installation.path("victim"), stage.installation.path("link"));
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    std::os::unix::fs::symlink(stage.installation.path("nowhere"), format!("{link}-dangling")).unwrap();
    for taken in [&file, &link, &format!("{link}-dangling"), &victim] {
        for said in [
            stage.events(&["show", &all[0], "--output", taken]).exits(2),
            stage.events(&["export", "--output", taken]).exits(2),
        ] {
            assert!(said.err.contains("there is such a file already"), "{taken}: {}", said.err);
        }
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!fs::exists(stage.installation.path("nowhere")).unwrap());
    let said = stage.events(&["show", &all[2], "--body"]).exits(2);
    assert!(said.err.contains("keep_body"), "{}", said.err);
}

#[test]
fn an_export_has_everything() {
    let stage = Stage::new();
    let bodies = ["{\"n\":1}", "{\"text\":\"é\\n\"}", "{}"];
    for body in bodies {
        stage.send(&["kept", "--data", body]).exits(0);
    }
    stage.send(&["kept", "--tamper"]).exits(0);
    stage.send(&["octolis"]).exits(0);
    let all = stage.listed(&[], 5);
    let file = stage.installation.path("export.ndjson");
    // The name that it was once written under: a link there leads nowhere.
    let victim = stage.installation.path("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, format!("{file}.part")).unwrap();
    let said = stage.events(&["export", "--output", &file]).exits(0);
    assert!(said.err.contains("5 events"), "{}", said.err);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, all, "the oldest first");
    for (event, body) in events.iter().zip(bodies) {
        assert_eq!(BASE64.decode(event["body"].as_str().unwrap().as_bytes()).unwrap(), body.as_bytes());
        assert_eq!(event["head"]["method"], "POST");
    }
    assert_eq!(events[4]["body"], Value::Null, "the route keeps none");
    assert!(!text.contains("canary") && !text.contains("sha256="), "{text}");
    assert_eq!(stage.events(&["export"]).exits(0).out, text);
    assert_eq!(stage.events(&["export", "--route", "octolis"]).exits(0).out.lines().count(), 1);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let left = fs::read_dir(Path::new(&file).parent().unwrap()).unwrap().filter_map(Result::ok);
    assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(".dmz-relay-")));
}

/// `events tail`, with its lines as they come.
struct Tail {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Tail {
    fn start(stage: &Stage) -> Self {
        let mut child = binary()
            .args(["events", "tail", "--format", "json", "--last", "1", "--config", &stage.installation.config()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, err }
    }

    fn next(&self) -> Value {
        let line = self.out.recv_timeout(LONG).expect("an event");
        serde_json::from_str(&line).unwrap()
    }

    fn told(&self, part: &str) {
        while !self.err.recv_timeout(LONG).expect(part).contains(part) {}
    }
}

#[test]
fn a_tail_follows_over_a_restart() {
    let mut stage = Stage::new();
    for _ in 0..2 {
        stage.send(&["kept"]).exits(0);
    }
    let before = stage.listed(&[], 2);
    let mut tail = Tail::start(&stage);
    assert_eq!(tail.next()["id"], before[1], "the last one that is there");
    stage.send(&["kept", "--tamper"]).exits(0);
    let refused = tail.next();
    assert_eq!((&refused["outcome"], &refused["route"]), (&json!("refused"), &json!("kept")));

    stage.relay.signal("TERM");
    assert_eq!(stage.relay.ended(), 0);
    tail.told("waiting for it to come back");
    stage.relay = Running::start(&stage.installation);
    tail.told("it is back");
    stage.send(&["octolis"]).exits(0);
    assert_eq!(tail.next()["route"], "octolis", "and nothing twice");
    signal(&tail.child, "INT");
    assert_eq!(tail.child.wait().unwrap().code(), Some(0));
    assert!(tail.out.recv().is_err(), "nothing else came");
}

#[test]
fn redeliveries_one_by_one_and_in_bulk() {
    let stage = Stage::new();
    for number in 0..5 {
        stage.send(&["kept", "--data", &format!("{{\"n\":{number}}}")]).exits(0);
    }
    stage.send(&["kept", "--tamper"]).exits(0);
    let all = stage.listed(&[], 6);
    let one = stage.events(&["redeliver", &all[0]]).exits(0);
    assert!(one.out.starts_with("delivered to http://127.0.0.1:"), "{}", one.out);
    assert_eq!(stage.application.arrived().len(), 6);
    let arrived = stage.application.arrived().pop().unwrap();
    assert!(arrived.head.to_lowercase().contains("relay-redelivery: true"), "{}", arrived.head);
    let refused = stage.events(&["redeliver", &all[5], "--format", "json"]).exits(1).json();
    assert_eq!(refused["not_possible"], json!({ "unverified": 1 }));

    // Nobody can be asked here.
    let asked = stage.events(&["redeliver", "--route", "kept"]).exits(2);
    assert!(asked.out.contains("6 events match") && asked.out.contains("1 will not be sent"), "{}", asked.out);
    assert!(asked.err.contains("Redeliver 5 events?") && asked.err.contains("--yes"), "{}", asked.err);
    let dry = stage.events(&["redeliver", "--route", "kept", "--dry-run", "--format", "json"]).exits(0).json();
    assert_eq!(dry, json!({ "matched": 6, "would_send": all[..5] }));
    assert!(stage.events(&["redeliver", "--route", "kept", "--dry-run"]).exits(0).out.contains("nothing was"));
    assert_eq!(stage.application.arrived().len(), 6, "nothing was sent");

    let arguments = ["redeliver", "--route", "kept", "--limit", "3", "--rate", "1000/s", "--yes", "--format", "json"];
    let summary = stage.events(&arguments).exits(0).json();
    assert_eq!((&summary["matched"], &summary["done"], &summary["stale"]), (&json!(3), &json!(3), &json!(0)));
    let bodies: Vec<_> = stage.application.arrived()[6..].iter().map(|arrived| arrived.body.clone()).collect();
    assert_eq!(bodies, [&b"{\"n\":0}"[..], b"{\"n\":1}", b"{\"n\":2}"], "the oldest first");
    let said = stage.events(&["redeliver", "--route", "kept", "--yes"]).exits(1).out;
    assert!(said.contains("5 of 6 events delivered; 1 not possible (1 unverified)"), "{said}");
    for (arguments, part) in [
        (&["redeliver"][..], "name events"),
        (&["redeliver", &all[0], "--route", "kept"], "not both"),
        (&["redeliver", &all[0], "--rate", "fast"], "no rate"),
        (&["redeliver", "--status", "abc", "--yes"], "status"),
    ] {
        let said = stage.events(arguments).exits(2);
        assert!(said.err.contains(part), "{arguments:?}: {}", said.err);
    }
}

/// A name that is nowhere is a mistake, and not a question without an answer. One that was removed still has its events.
#[test]
fn a_filter_that_cannot_match_is_refused_with_the_name_that_was_meant() {
    let stage = Stage::new();
    stage.send(&["kept"]).exits(0);
    stage.listed(&["--route", "kept"], 1);
    for (arguments, told) in [
        (["--route", "kpet"], "there is no route \"kpet\", and no event has it; did you mean \"kept\"?"),
        (["--route", "nowhere-at-all"], "there is no route \"nowhere-at-all\""),
        (["--provider", "gitub"], "did you mean \"github\"?"),
        (["--reason", "signature_mismach"], "did you mean \"signature_mismatch\"?"),
    ] {
        for command in [&["list"][..], &["export"], &["redeliver", "--yes"], &["discard", "--yes"]] {
            let said = stage.events(&[command, &arguments].concat()).exits(2);
            assert!(said.err.contains(told), "{command:?} {arguments:?}: {}{}", said.out, said.err);
        }
    }
    for arguments in [["--route", "down"], ["--provider", "stripe"], ["--reason", "route_busy"], ["--outcome", "dead"]]
    {
        stage.listed(&arguments, 0);
    }
    let text = stage.installation.read("relay.toml");
    let without = text.replace("[routes.kept]\npath = \"/hooks/kept\"", "[routes.renamed]\npath = \"/hooks/renamed\"");
    stage.installation.write("relay.toml", &without);
    stage.installation.relay(&["reload"]).exits(0);
    stage.listed(&["--route", "kept"], 1);
    stage.listed(&["--route", "kept", "--status", "5xx"], 0);
}

#[test]
fn a_bulk_redelivery_goes_on_past_failures() {
    let stage = Stage::new();
    stage.send(&["down", "--count", "2"]).exits(1);
    stage.send(&["kept"]).exits(0);
    let all = stage.listed(&[], 3);
    let said = stage.events(&[&["redeliver"][..], &[&all[0], &all[1], &all[2]]].concat()).exits(1).out;
    assert!(said.contains("1 of 3 events delivered; 2 failed (2 upstream_connect)"), "{said}");
    assert!(said.contains(&all[0]) && said.contains(&all[1]) && !said.contains(&all[2]), "{said}");
    let one = stage.events(&["redeliver", &all[0]]).exits(1).out;
    assert!(one.contains("failed") && one.contains("upstream_connect"), "{one}");
}

#[test]
fn dead_letters_are_retried_and_given_up() {
    let stage = Stage::new();
    stage.send(&["queue", "--count", "3"]).exits(0);
    let dead = stage.listed(&["--state", "dead"], 3);
    assert!(stage.events(&["list"]).exits(0).out.contains("dead"));
    assert!(stage.events(&["show", &dead[0]]).exits(0).out.contains("dmz-relay events retry"));
    assert!(stage.events(&["retry", "--all-dead"]).exits(2).err.contains("Retry 3 events?"));
    let said = stage.events(&["retry", "--all-dead", "--yes"]).exits(0).out;
    assert!(said.contains("3 of 3 events queued again"), "{said}");
    // Nobody is there still, so they come back.
    let again: BTreeSet<_> = stage.listed(&["--state", "dead"], 3).into_iter().collect();
    assert_eq!(again, dead.iter().cloned().collect());
    assert!(
        stage
            .events(&["discard", &dead[0]])
            .exits(2)
            .err
            .contains("Discard 1 event? No terminal to ask on; pass --yes")
    );
    stage.events(&["discard", &dead[0], &dead[1], "--yes"]).exits(0);
    assert_eq!(stage.listed(&["--state", "dead"], 1), dead[2..]);
    assert_eq!(stage.listed(&["--outcome", "discarded"], 2).len(), 2);
    let said = stage.events(&["retry", &dead[0], "--format", "json"]).exits(1).json();
    assert_eq!(said["not_possible"], json!({ "not_retryable": 1 }));
    stage.events(&["retry", &dead[2]]).exits(0);
    for arguments in [
        &["retry"][..],
        &["retry", &dead[0], "--route", "queue"],
        &["retry", "--waiting", "--all-dead"],
        &["retry", "--waiting", "--since", "2h"],
        &["retry", "--upstream", "nobody"],
        &["retry", "--waiting", "--route", "queue", "--upstream", "nobody"],
        &["discard"],
    ] {
        stage.events(arguments).exits(2);
    }
}

#[test]
fn what_waits_is_tried_now() {
    let stage = Stage::new();
    stage.send(&["line", "--count", "2"]).exits(0);
    let waiting = stage.listed(&["--state", "waiting"], 2);
    let said = stage.events(&["redeliver", &waiting[0]]).exits(1).out;
    assert!(said.contains("events retry --waiting"), "{said}");
    for (whose, said) in [
        (&[][..], "2 waiting requests are tried now"),
        (&["--route", "line"], "2 waiting requests are tried now"),
        (&["--upstream", "nobody"], "2 waiting requests are tried now"),
        (&["--route", "queue"], "0 waiting requests are tried now"),
    ] {
        let told = || stage.events(&[&["retry", "--waiting"][..], whose].concat()).exits(0).out;
        // One of them may be on its way at this moment.
        let began = Instant::now();
        while !told().contains(said) {
            assert!(began.elapsed() < LONG, "{whose:?}: {}", told());
        }
    }
    let json = stage.events(&["retry", "--waiting", "--route", "queue", "--format", "json"]).exits(0).json();
    assert_eq!(json, json!({ "waiting": 0 }));
    let said = stage.events(&["retry", "--waiting", "--route", "unknown"]).exits(2).err;
    assert!(said.contains("no such route"), "{said}");
}

#[test]
fn what_is_missing_is_said() {
    let installation = Installation::new("http://127.0.0.1:9");
    let said = installation.relay(&["events", "list"]).exits(2);
    assert!(said.err.contains("cannot reach the relay at unix:") && said.err.contains("is it running"), "{}", said.err);
    let _relay = Running::start(&installation);
    for arguments in [&["list"][..], &["tail"], &["export"], &["show", "1a2035baf19bf97aeced650444a"]] {
        let said = installation.relay(&[&["events"], arguments].concat()).exits(2);
        assert!(said.err.contains("no store is configured: add [store]"), "{}", said.err);
    }
}
