//! Who counts as the source, and what a list says of it.

use dmz_relay::domain::Refusal;

use crate::harness::{Answer, BOTH, Call, PLAIN, Protocol, Rig, Setup};

/// Proxies at 127.0.0.1 and in 10.0.0.0/8 are trusted. One route tells; one is for a list.
fn setup() -> Setup {
    let routes = format!(
        "{PLAIN}[routes.listed]\npath = \"/hooks/listed\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
         allow = [\"partners\", \"2001:db8::/32\"]\n[address_lists]\npartners = [\"192.0.2.0/24\", \"198.51.100.7\"]\n"
    );
    Setup::routes(&routes).listener("trust_forwarded_from = [\"127.0.0.1\", \"10.0.0.0/8\", \"fd00::/8\"]")
}

/// The address that the relay took, in the log and in what it forwards, and how.
async fn source(rig: &Rig, answer: &Answer) -> (String, String) {
    let line = rig.log.of(answer.id()).await;
    let told = line["source"].as_str().unwrap().to_owned();
    assert_eq!(rig.app.last().field("x-forwarded-for"), Some(told.as_str()));
    (told, line["via"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_walk_goes_from_the_right_through_trusted_proxies() {
    let rig = Rig::start(setup()).await;
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["192.0.2.1, 10.0.0.1, 10.0.0.2"], "192.0.2.1"),
        // Whatever stands left of the first address that is no proxy was written by the sender.
        (&["192.0.2.1, 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (&["10.9.9.9, 192.0.2.1, 203.0.113.9"], "203.0.113.9"),
        (&["192.0.2.1", "203.0.113.9"], "203.0.113.9"),
        (&["192.0.2.1", "10.0.0.1"], "192.0.2.1"),
        (&["192.0.2.1:443"], "192.0.2.1"),
        (&["[2001:db8::1]:443, 10.0.0.1"], "2001:db8::1"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1, fd00::1"], "192.0.2.1"),
        // All of them proxies: the leftmost one spoke for itself.
        (&["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        // What is no address ends the walk at the proxy that wrote it.
        (&["192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1"),
        (&["192.0.2.1, , 10.0.0.1"], "10.0.0.1"),
        (&["0x7f.1, 10.0.0.1"], "10.0.0.1"),
    ] {
        for protocol in BOTH {
            let call = lines.iter().fold(Call::post("/hooks/plain"), |call, line| call.field("x-forwarded-for", line));
            let answer = rig.delivers(protocol, &call).await;
            assert_eq!(source(&rig, &answer).await, (expected.to_owned(), "x-forwarded-for".to_owned()), "{lines:?}");
        }
    }
    for nothing in [&[][..], &[""], &["unknown"], &["192.0.2.1, bad"]] {
        let call = nothing.iter().fold(Call::post("/hooks/plain"), |call, line| call.field("x-forwarded-for", line));
        let answer = rig.delivers(Protocol::H1, &call).await;
        assert_eq!(source(&rig, &answer).await, ("127.0.0.1".to_owned(), "socket".to_owned()), "{nothing:?}");
    }
    // A chain longer than any real one is not walked to where its sender wants it.
    let long = format!("192.0.2.1{}", ", 10.0.0.1".repeat(1000));
    let answer = rig.delivers(Protocol::H1, &Call::post("/hooks/plain").field("X-Forwarded-For", &long)).await;
    assert_eq!(source(&rig, &answer).await.0, "10.0.0.1");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_proxy_speaks_for_itself_only() {
    let rig = Rig::start(setup()).await;
    let mut wire = rig.tls().from("127.0.0.2").connect(rig.address).await;
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X_Forwarded_For"] {
        wire.send(Call::post("/hooks/plain").field(name, "192.0.2.1").h1()).await;
        let answer = wire.answer().await;
        assert_eq!(source(&rig, &answer).await, ("127.0.0.2".to_owned(), "socket".to_owned()), "{name}");
        wire.send(Call::post("/hooks/listed").field(name, "192.0.2.1").body("").h1()).await;
        assert_eq!(wire.answer().await.status, 403, "{name}");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_look_at_the_source_and_say_which_entry_admitted_it() {
    let rig = Rig::start(setup()).await;
    for (forwarded, entry) in [
        ("192.0.2.0", "partners"),
        ("192.0.2.255", "partners"),
        ("198.51.100.7", "partners"),
        ("::ffff:192.0.2.1", "partners"),
        ("2001:db8:ffff::1", "2001:db8::/32"),
    ] {
        let answer = rig.delivers(Protocol::H1, &Call::post("/hooks/listed").field("X-Forwarded-For", forwarded)).await;
        assert_eq!(rig.log.of(answer.id()).await["allowed_by"], entry);
    }
    for forwarded in
        ["192.0.1.255", "192.0.3.0", "198.51.100.6", "198.51.100.8", "2001:db9::1", "192.0.2.1, 203.0.113.1", "x"]
    {
        let call = Call::post("/hooks/listed").field("X-Forwarded-For", forwarded);
        for protocol in BOTH {
            let call =
                if protocol == Protocol::H2 { call.clone().set("x-forwarded-for", forwarded) } else { call.clone() };
            rig.refused(Refusal::AddressNotAllowed, rig.send(protocol, &call)).await;
        }
    }
    rig.finish().await;
}

/// An IPv6 listener takes IPv6 only, and `::1` is in no IPv4 network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_are_apart() {
    let mut setup = Setup::routes(&format!("{PLAIN}allow = [\"127.0.0.0/8\"]\n"));
    setup.rest.push_str("[[listeners]]\nname = \"six\"\naddress = \"[::1]:0\"\ndangerously_plaintext = true\n");
    let rig = Rig::start(setup).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.connection_refused("address_not_allowed", async {
        let mut stream = rig.tls().tcp(rig.listener("six")).await;
        let mut said = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await;
        assert_eq!(said, b"", "::1 is another address than 127.0.0.1");
    })
    .await;
    rig.finish().await;
}

/// An absent list is no limit; an empty one admits nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absent_and_empty_differ() {
    let absent = Rig::plain().await;
    absent.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    absent.finish().await;
    let empty = Rig::start(Setup::routes(&format!("{PLAIN}allow = []\n"))).await;
    empty
        .connection_refused("address_not_allowed", async {
            let mut stream = empty.tls().tcp(empty.address).await;
            let mut said = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await;
            assert_eq!(said, b"");
        })
        .await;
    empty.finish().await;
}
