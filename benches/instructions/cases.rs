//! What is counted. Each case prepares itself, runs once so that everything lazy has happened, and is then counted.

use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use dmz_relay::base::Clock;
use dmz_relay::guards::access::IpSet;
use dmz_relay::observe::Sink;

use crate::{addresses, pipeline, routing, verify};

/// Bytes of a request through the pipeline: few, because the portable SHA-256 takes 54 instructions for each, and with 1.8 KiB
/// three quarters of the count would be its.
const BODY: usize = 64;

/// Route tables that take turns: hash maps draw their keys, and with one of them a collision would be a tenth of the count.
const TABLES: u32 = 64;

/// One line of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How often it is done while it is counted; the table has the share of one.
    pub(crate) times: u32,
    prepare: Box<dyn Fn() -> Box<dyn FnMut()>>,
}

impl Case {
    /// Once to warm up, then counted.
    pub(crate) fn run(&self) {
        let mut work = (self.prepare)();
        even_out();
        work();
        counted(self.times, &mut *work);
    }
}

/// Makes free places of every small size. With a single one left over by the preparation, each allocation of that size takes
/// the allocator's long way, and whether it is so is chance.
fn even_out() {
    let places: Vec<Vec<u8>> = (1..=512).flat_map(|size| (0..8).map(move |_| Vec::with_capacity(8 * size))).collect();
    drop(black_box(places));
}

/// Callgrind collects from here until this returns: the name is in its `--toggle-collect`.
#[inline(never)]
fn counted(times: u32, work: &mut dyn FnMut()) {
    for _ in 0..times {
        work();
    }
}

fn case<W: FnMut() + 'static>(name: &'static str, times: u32, prepare: impl Fn() -> W + 'static) -> Case {
    Case { name, times, prepare: Box::new(move || Box::new(prepare())) }
}

/// In the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, scheme, secrets) in [
        ("verify github (HMAC-SHA256)", "github", 1),
        ("verify oktave (HMAC-SHA256 of the head, JSON member)", "oktave", 1),
        ("verify dastra (HMAC-SHA256, base64)", "dastra", 1),
        ("verify octolis (static secret)", "octolis", 1),
        ("verify standard-webhooks", "standard-webhooks", 1),
        ("verify stripe (two secrets, JSON member)", "stripe", 2),
        ("verify twilio (HMAC-SHA1, URL and form)", "twilio", 1),
    ] {
        cases.push(case(name, 16, move || {
            let subject = verify::Subject::new(scheme, secrets);
            move || assert!(subject.verify(), "{scheme}")
        }));
    }
    for (name, route) in [
        ("routing exact, of 1 000", "exact"),
        ("routing prefix, of 1 000", "prefix"),
        ("routing host of its own, of 1 000", "host of its own"),
        ("routing unknown, of 1 000", "unknown"),
    ] {
        cases.push(case(name, TABLES, move || {
            let tables: Vec<_> = (0..TABLES).map(|_| routing::table()).collect();
            let (_, host, path, expected) =
                routing::cases().into_iter().find(|case| case.0 == route).expect("a case of this name");
            let mut next = 0;
            move || {
                next = (next + 1) % tables.len();
                let found = tables.get(next).map(|table| routing::find(table, black_box(host), black_box(&path)));
                assert_eq!(found, Some(expected));
            }
        }));
    }
    for (name, make) in [("v4", addresses::v4 as addresses::Make), ("v6", addresses::v6)] {
        let of = move || addresses::draw(100_000, make);
        let set = if name == "v4" { "addresses IPv4 set, of 100 000" } else { "addresses IPv6 set, of 100 000" };
        cases.push(case(set, 4096, move || {
            let (nets, probes) = of();
            look_up(probes, IpSet::new(nets), IpSet::contains)
        }));
        let list = if name == "v4" { "addresses IPv4 list, of 100 000" } else { "addresses IPv6 list, of 100 000" };
        cases.push(case(list, 4096, move || {
            let (nets, probes) = of();
            look_up(probes, addresses::list(&[], &nets), addresses::admits)
        }));
    }
    for (name, path, genuine, status) in [
        ("pipeline genuine", "/hooks/github", true, 200),
        ("pipeline forged", "/hooks/github", false, 401),
        ("pipeline unknown path", "/wp-login.php", false, 404),
    ] {
        cases.push(case(name, 512, move || request(path, genuine, status)));
    }
    cases
}

fn look_up<T: 'static>(probes: Vec<IpAddr>, among: T, find: fn(&T, IpAddr) -> bool) -> impl FnMut() {
    let mut next = 0;
    move || {
        if let Some(probe) = probes.get(next % probes.len()) {
            black_box(find(&among, black_box(*probe)));
        }
        next += 1;
    }
}

/// One request through the pipeline in memory. The clock stands still, and the log's writer never finishes its first line, so
/// that no request has to wake it: whether it sleeps at that moment would be chance.
fn request(path: &'static str, genuine: bool, status: u16) -> impl FnMut() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (began, has_begun) = channel();
    let bench = pipeline::Bench::new(Sink::to(Stuck(began)), Clock::fixed(verify::NOW), BODY);
    let signature = if genuine { bench.signature() } else { format!("sha256={}", "0".repeat(64)) };
    let head = bench.head(path, &signature);
    assert_eq!(runtime.block_on(bench.run(&head)), status);
    has_begun.recv_timeout(Duration::from_secs(60)).expect("a first line in the log");
    move || assert_eq!(runtime.block_on(bench.run(black_box(&head))), status)
}

/// Says that a write began, and never ends it.
struct Stuck(Sender<()>);

impl io::Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(());
        loop {
            std::thread::park();
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
