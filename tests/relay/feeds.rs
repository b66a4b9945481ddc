//! Providers' own files of addresses: what takes over, and what is refused while the addresses before stay.

use dmz_relay::config::Report;
use dmz_relay::control::app::StartError;
use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::{Call, PLAIN, Peer, Protocol, Rig, Setup};

/// A listed proxy at 127.0.0.1 says who sent it.
fn setup(list: &str, content: &str) -> Setup {
    let routes = format!("{PLAIN}allow = [\"theirs\"]\n[address_lists]\ntheirs = {list}\n");
    Setup::stored(&routes).listener("trust_forwarded_from = [\"127.0.0.1\"]").file("lists/theirs", content)
}

const TEXT: &str = "{ feed = \"lists/theirs\", format = \"text\" }";
const THREE: &str = "192.0.2.0/24\n198.51.100.0/24\n2001:db8::/32\n";

fn from(source: &str) -> Call {
    Call::post("/hooks/plain").field("X-Forwarded-For", source)
}

async fn admits(rig: &Rig, source: &str) {
    rig.delivers(Protocol::H1, &from(source)).await;
}

/// And nothing goes inward.
async fn refuses(rig: &Rig, source: &str) {
    let before = rig.app.count();
    rig.refused(Refusal::AddressNotAllowed, rig.send(Protocol::H1, &from(source))).await;
    assert_eq!(rig.app.count(), before, "{source}");
}

async fn feed(rig: &Rig) -> Value {
    rig.status().await["feeds"][0].clone()
}

fn refused_metric(rig: &Rig) -> f64 {
    rig.metric("dmz_relay_feed_refused", &[("list", "theirs")])
}

/// The watcher may have been first with the reload, so that whoever asked hears nothing new.
async fn warned(rig: &Rig, part: &str) -> String {
    let status = rig.status().await;
    let mut lines = status["warnings"].as_array().unwrap().iter().filter_map(Value::as_str);
    lines.find(|line| line.contains(part)).map(str::to_owned).unwrap_or_else(|| panic!("{status}"))
}

async fn does_not_start(setup: Setup) -> Report {
    match Rig::try_start(setup, Peer::start(|_, _| async {}).await).await {
        Err(StartError::Config(report)) => report,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_says_who_may_send() {
    for (list, content) in [
        (
            "format = \"github\", member = \"hooks\"",
            r#"{"hooks":["192.0.2.0/24"],"web":["203.0.113.0/24"],"domains":{}}"#,
        ),
        (
            "format = \"aws\", services = [\"SNS\"], regions = [\"eu-central-1\"]",
            r#"{"createDate":"2020-01-01-00-00-00","prefixes":[{"ip_prefix":"192.0.2.0/24","region":"eu-central-1","service":"SNS"},
               {"ip_prefix":"203.0.113.0/24","region":"us-east-1","service":"SNS"}],"ipv6_prefixes":[]}"#,
        ),
        (
            "format = \"google\"",
            r#"{"creationTime":"2099-12-31T00:00:00.1","prefixes":[{"ipv4Prefix":"192.0.2.0/24"}]}"#,
        ),
        (
            "format = \"atlassian\", products = [\"bitbucket\"], directions = [\"egress\"]",
            r#"{"creationDate":"2099-12-31T00:00:00.1","items":[{"cidr":"192.0.2.0/24","product":["bitbucket"],"direction":["egress"]},
               {"cidr":"203.0.113.0/24","product":["bitbucket"],"direction":["ingress"]}]}"#,
        ),
        ("format = \"text\"", "# ours\n192.0.2.0/24 # all\n"),
    ] {
        let rig = Rig::start(setup(&format!("{{ feed = \"lists/theirs\", {list} }}"), content)).await;
        admits(&rig, "192.0.2.7").await;
        refuses(&rig, "203.0.113.7").await;
        let status = feed(&rig).await;
        assert_eq!(
            (&status["list"], &status["networks"], &status["refused"]),
            (&"theirs".into(), &1.into(), &Value::Null)
        );
        assert_eq!((status["old"] == true, refused_metric(&rig)), (list.contains("aws"), 0.0), "{list}: {status}");
        rig.finish().await;
    }
}

/// Each in turn, over a configuration that goes on to change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_leaves_the_addresses_before_in_force() {
    let mut rig = Rig::start(setup(TEXT, THREE)).await;
    for (content, why) in [
        (Some("192.0.2.0/24\n"), "lacks 100 percent"),
        (Some("192.0.2.0/24\n198.51.100.0/24\n"), "lacks 100 percent"),
        (Some("0.0.0.0/1\n128.0.0.0/1\n2001:db8::/32\n"), "wider than /8"),
        (Some("192.0.2.0/24\n198.51.100.0/24\n2000::/3\n"), "/16 of IPv6"),
        (Some(""), "holds no network"),
        (Some("# moved\n"), "holds no network"),
        (Some("<html>busy</html>\n"), "no network"),
        (Some("192.0.2.0/24\n198.51.100.0/24\n2001:db8::/3"), "no network"),
        (None, "does not exist"),
    ] {
        match content {
            Some(content) => rig.replace("lists/theirs", content),
            None => std::fs::remove_file(rig.path("lists/theirs")).unwrap(),
        }
        rig.reload().await;
        let told = warned(&rig, "stays").await;
        assert!(told.contains(why), "{why} in {told}");
        rig.log.wait("feed_refused", |line| line["list"] == "theirs" && line["why"].to_string().contains(why)).await;
        let status = feed(&rig).await;
        assert!(status["refused"].to_string().contains(why), "{status}");
        assert_eq!((status["networks"].as_u64(), refused_metric(&rig)), (Some(3), 1.0));
        for known in ["192.0.2.7", "198.51.100.7", "2001:db8::7"] {
            admits(&rig, known).await;
        }
        refuses(&rig, "203.0.113.7").await;
    }
    // A start does not take it either: what was in force is known.
    rig.setup = std::mem::take(&mut rig.setup).file("lists/theirs", "203.0.113.0/24\n");
    rig.restart().await;
    refuses(&rig, "203.0.113.7").await;
    admits(&rig, "198.51.100.7").await;
    assert!(feed(&rig).await["refused"].to_string().contains("lacks 100 percent"));
    // A list that is right takes over, and nothing comes from what went away.
    rig.replace("lists/theirs", "192.0.2.0/24\n203.0.113.0/24\n2001:db8::/32\n198.51.100.0/25\n");
    rig.reload().await;
    refuses(&rig, "198.51.100.200").await;
    for known in ["198.51.100.7", "203.0.113.7", "2001:db8::7"] {
        admits(&rig, known).await;
    }
    assert_eq!((&feed(&rig).await["refused"], refused_metric(&rig)), (&Value::Null, 0.0));
    rig.finish().await;
}

/// The digest of one content, and of no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_is_accepted_by_its_digest() {
    let rig = Rig::start(setup(TEXT, THREE)).await;
    rig.replace("lists/theirs", "192.0.2.0/24\n");
    rig.reload().await;
    let help = warned(&rig, "accept = ").await;
    let accept = help.split("accept = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    admits(&rig, "198.51.100.7").await;
    let toml = std::fs::read_to_string(rig.path("relay.toml")).unwrap();
    rig.replace("relay.toml", toml.replace("format = \"text\"", &format!("format = \"text\", accept = \"{accept}\"")));
    rig.reload().await;
    refuses(&rig, "198.51.100.7").await;
    admits(&rig, "192.0.2.7").await;
    rig.replace("lists/theirs", "192.0.2.0/26\n");
    rig.reload().await;
    admits(&rig, "192.0.2.200").await;
    assert_eq!(refused_metric(&rig), 1.0);
    rig.finish().await;
}

/// Where nothing was in force, nothing is: neither everybody nor nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_file_that_is_wrong_is_a_problem() {
    for (content, why) in [("", "holds no network"), ("0.0.0.0/1\n", "wider than /8"), ("[]", "no network")] {
        let report = does_not_start(setup(TEXT, content)).await;
        assert!(report.problems.iter().any(|problem| problem.what.contains(why)), "{report}");
    }
    let missing = TEXT.replace("lists/theirs", "lists/nowhere");
    let report = does_not_start(setup(&missing, "")).await;
    assert!(report.to_string().contains("does not exist"), "{report}");
    for (list, why) in [
        ("{ feed = \"lists/theirs\" }", "theirs.format: is missing"),
        ("{ feed = \"lists/theirs\", format = \"github\" }", "theirs.member: is missing"),
        ("{ feed = \"lists/theirs\", format = \"text\", services = [\"S3\"] }", "do not have that"),
        ("{ feed = \"lists/theirs\", format = \"text\", accept = \"yes\" }", "is no SHA-256"),
        ("{ feed = \"lists/theirs\", file = \"lists/theirs\", format = \"text\" }", "stands beside feed"),
        ("{ file = \"lists/theirs\", max_age = \"7d\" }", "is for a feed"),
        ("{ feed = \"lists/theirs\", format = \"text\", max_shrink_percent = 101 }", "expected 0 to 100"),
    ] {
        let report = does_not_start(setup(list, THREE)).await;
        assert!(report.to_string().contains(why), "{why}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_list_is_reported_and_stays_in_force() {
    let rig = Rig::start(setup("{ feed = \"lists/theirs\", format = \"text\", max_age = \"7d\" }", THREE)).await;
    assert_eq!(feed(&rig).await["old"], false);
    let old_after = rig.metric("dmz_relay_feed_old_after_timestamp_seconds", &[("list", "theirs")]);
    rig.clock.advance(std::time::Duration::from_secs(7 * 86_400 + 1));
    assert_eq!(feed(&rig).await["old"], true);
    #[expect(clippy::cast_precision_loss, reason = "a date")]
    let now = rig.clock.now().secs() as f64;
    assert!(old_after > 0.0 && old_after < now);
    rig.log.wait("feed_old", |line| line["list"] == "theirs").await;
    admits(&rig, "192.0.2.7").await;
    feed(&rig).await;
    assert_eq!(rig.log.events("feed_old").len(), 1, "once a day");
    rig.finish().await;
}
