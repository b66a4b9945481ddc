//! 101: an upstream that leads back to a relay, and names that lead where no internal server is.

use dmz_relay::domain::Fault;

use crate::harness::{BOTH, Call, Protocol, Rig, Setup, eventually};

const PLAINTEXT: &str = "[[listeners]]\nname = \"inner\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n";

/// A relay with a listener without TLS, as one behind another has it, and a route to wherever `round` leads.
fn setup(round: &str) -> Setup {
    Setup::routes(&format!(
        "{PLAINTEXT}[routes.round]\npath = \"/hooks/round\"\nverify.dangerously_none = true\nupstream = \"round\"\n\
         [routes.plain]\npath = \"/hooks/plain\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
         [upstreams.round]\nservers = [\"{round}\"]\n"
    ))
}

/// How often a reason stands in the log of requests.
fn lines(rig: &Rig, reason: &str) -> usize {
    rig.log.events("request").iter().filter(|line| line["reason"] == reason).count()
}

/// Four rounds, and the fifth is refused; what comes back is a fault, because no sender did it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_leads_to_itself() {
    let mut rig = Rig::start(setup("http://127.0.0.1:1")).await;
    let itself = format!("http://{}", rig.listener("inner"));
    rig.apply(|now| now.rest = setup(&itself).rest).await;
    for (number, protocol) in BOTH.into_iter().enumerate() {
        let answer = rig.send(protocol, &Call::post("/hooks/round").body("round and round")).await;
        assert_eq!((answer.status, answer.text()), (502, "bad gateway\n"));
        let rounds = number + 1;
        eventually("the last round", async || lines(&rig, "loop_detected") == rounds).await;
        eventually("the others", async || lines(&rig, "upstream_status") == 4 * rounds).await;
    }
    assert_eq!(rig.counted("refused", "loop_detected"), 2.0);
    assert_eq!(rig.app.connections(), 0);
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// The same between two, each of which is the other's upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_lead_to_each_other() {
    let mut one = Rig::start(setup("http://127.0.0.1:1")).await;
    let other = Rig::start(setup(&format!("http://{}", one.listener("inner")))).await;
    let there = format!("http://{}", other.listener("inner"));
    one.apply(|now| now.rest = setup(&there).rest).await;
    let answer = one.send(Protocol::H2, &Call::post("/hooks/round").body("to and fro")).await;
    assert_eq!(answer.status, 502);
    eventually("an end", async || lines(&one, "loop_detected") + lines(&other, "loop_detected") == 1).await;
    eventually("every round", async || lines(&one, "upstream_status") + lines(&other, "upstream_status") == 4).await;
    assert_eq!(one.app.connections() + other.app.connections(), 0);
    one.finish().await;
    other.finish().await;
}

/// One relay behind another is no loop, and what it forwards says how far it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_behind_a_relay() {
    let inner = Rig::start(setup("http://127.0.0.1:1")).await;
    let mut chain = setup(&format!("http://{}", inner.listener("inner")));
    chain.rest = chain.rest.replace("upstream = \"round\"", "upstream = \"round\"\nupstream_path = \"/hooks/plain\"");
    let outer = Rig::start(chain).await;
    for protocol in BOTH {
        let answer = outer.send(protocol, &Call::post("/hooks/round").body("straight through")).await;
        assert_eq!(answer.status, 200);
        let seen = inner.app.last();
        assert_eq!((seen.all("relay-hops"), &seen.body[..]), (vec!["2"], &b"straight through"[..]));
    }
    outer.finish().await;
    inner.finish().await;
}

/// Names that the system resolves to this host, as a hosts file or a hostile zone could: nobody is connected to, although
/// somebody listens there. The address itself, and `localhost`, are the operator's word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_to_this_host() {
    let mut rig = Rig::start(setup("http://127.0.0.1:1")).await;
    let port = rig.app.address.port();
    let call = Call::post("/hooks/round");
    for spelling in ["0x7f000001", "0x7F.0x1"] {
        let server = format!("http://{spelling}:{port}");
        rig.apply(|now| now.rest = setup(&server).rest).await;
        for protocol in BOTH {
            let answer = rig.ends(Fault::UpstreamConnect, rig.send(protocol, &call)).await;
            let line = rig.log.of(answer.id()).await;
            let detail = line["detail"].as_str().unwrap();
            assert!(detail.contains("127.0.0.1, which is this host"), "{spelling}: {detail}");
        }
    }
    assert_eq!(rig.app.connections(), 0);
    for spelling in ["127.0.0.1", "localhost"] {
        let server = format!("http://{spelling}:{port}");
        rig.apply(|now| now.rest = setup(&server).rest).await;
        rig.delivers(Protocol::H1, &call).await;
    }
    rig.finish().await;
}
