//! Phases, one after the other: the stream alone, then beside each attack; what a junk request costs; what an idle connection
//! weighs. One line for each, and at the end the same as rows of a table.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::attacker::Saw;
use super::genuine::{Sender, Went};
use super::inside::{self, Inside};
use super::target::{Place, Target};
use super::wire;

/// How large everything is.
pub struct Size {
    during: Duration,
    /// Requests a second over kept connections, and over new ones.
    rate: (u64, u64),
    /// Connections of attacks that hold, and of those that are fast.
    slow: usize,
    fast: usize,
    addresses: usize,
    idle: usize,
    /// Whether everybody has a core of their own.
    apart: bool,
}

impl Size {
    pub fn whole(during: Duration) -> Self {
        Self { during, rate: (500, 50), slow: 19_000, fast: 64, addresses: 250, idle: 10_000, apart: true }
    }

    /// To see that it works.
    pub fn small() -> Self {
        let during = Duration::from_millis(300);
        Self { during, rate: (100, 20), slow: 40, fast: 4, addresses: 8, idle: 20, apart: false }
    }
}

const ATTACKS: &[&str] = &[
    "silent",
    "half-open",
    "slowloris",
    "slowloris-one",
    "slow-body",
    "slow-read",
    "handshakes",
    "resets",
    "pings",
    "settings",
    "junk",
];

struct Scene<'s> {
    name: &'s str,
    size: &'s Size,
    runtime: Runtime,
    place: Place,
    seen: Arc<Inside>,
    inside: u16,
}

pub fn run(name: &str, size: &Size, phases: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::new();
    let seen = Arc::new(Inside::default());
    let inside = runtime.block_on(inside::serve(Arc::clone(&seen), place.signature.clone()));
    let scene = Scene { name, size, runtime, place, seen, inside };
    let wanted = |phase: &str| phases.is_empty() || phases.contains(&phase);

    let baseline = scene.baseline();
    for phase in ATTACKS.iter().filter(|phase| wanted(phase)) {
        scene.beside(phase, &baseline);
    }
    if wanted("cost") {
        scene.cost();
    }
    if wanted("idle") {
        scene.idle();
    }
    if name != "nginx" {
        assert_eq!(scene.seen.forged.load(Ordering::Relaxed), 0, "what nobody signed went inward");
    }
}

impl Scene<'_> {
    fn target(&self, patient: bool) -> Target {
        Target::start(self.name, &self.place, self.inside, self.size.apart.then_some(0), patient)
    }

    fn sender(&self, target: &Target) -> Arc<Sender> {
        let tls = wire::honest(self.place.certificate.clone().into());
        Arc::new(Sender::new(target.port, tls, self.place.signature.clone()))
    }

    fn stream(&self, sender: &Arc<Sender>, during: Duration) -> [Went; 2] {
        let (kept, fresh) = self.size.rate;
        self.runtime.block_on(sender.stream(kept, fresh, during))
    }

    /// The stream alone. Its first second is for caches, here and there.
    fn baseline(&self) -> [Went; 2] {
        let target = self.target(false);
        let sender = self.sender(&target);
        self.stream(&sender, self.size.during / 10);
        let before = target.cpu();
        let went = self.stream(&sender, self.size.during);
        let cpu = (target.cpu() - before) / self.size.during.as_secs_f64();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{}, alone: genuine {:.2} % / {:.2} %, kept p50 {:.2} ms p99 {:.2} ms, new p50 {:.2} ms p99 {:.2} ms, CPU {:.0} %, peak {:.0} MiB",
            self.name,
            went[0].success(),
            went[1].success(),
            ms(went[0].at(500)),
            ms(went[0].at(990)),
            ms(went[1].at(500)),
            ms(went[1].at(990)),
            cpu * 100.0,
            target.resident().1 / 1024.0,
        );
        if let Some(bound) = target.bound {
            println!("  memory: at most {bound:.0} MiB with these limits");
        }
        assert_eq!(went[0].failed + went[1].failed, 0, "{:?}", went.map(|went| went.first));
        went
    }

    /// The stream beside one attack.
    fn beside(&self, phase: &str, baseline: &[Went; 2]) {
        let size = self.size;
        let target = self.target(false);
        let sender = self.sender(&target);
        self.stream(&sender, size.during / 10);
        let many = ["silent", "half-open", "slowloris", "slowloris-one", "slow-body", "slow-read"].contains(&phase);
        let connections = if many { size.slow } else { size.fast };
        let addresses = if phase == "slowloris-one" { 1 } else { size.addresses };
        let attacker = self.attacker(phase, target.port, size.during, connections, addresses);
        let (before, began) = (target.cpu(), Instant::now());
        let went = self.stream(&sender, size.during);
        let cpu = (target.cpu() - before) / began.elapsed().as_secs_f64();
        let said = attacker.wait_with_output().unwrap();
        let saw: Saw = serde_json::from_slice(&said.stdout).unwrap();
        let (after, peak) = target.resident();
        let times =
            |kind: usize, share: usize| went[kind].at(share).as_secs_f64() / baseline[kind].at(share).as_secs_f64();
        println!(
            "{:14} genuine {:6.2} % / {:6.2} %  p99 ×{:.1} / ×{:.1} (p50 ×{:.1} / ×{:.1})  CPU {:3.0} %  peak {:.0} MiB, after {:.0}  \
             opened {} refused {} sent {} answered {}  longest {:.1} s, left {}",
            phase,
            went[0].success(),
            went[1].success(),
            times(0, 990),
            times(1, 990),
            times(0, 500),
            times(1, 500),
            cpu * 100.0,
            peak / 1024.0,
            after / 1024.0,
            saw.opened,
            saw.refused,
            saw.sent,
            saw.answered,
            saw.longest,
            saw.left,
        );
        for went in &went {
            if let Some(first) = &went.first {
                println!("  {} failed, the first: {first}", went.failed);
            }
        }
        if !size.apart {
            assert_eq!(went[0].failed + went[1].failed, 0, "{phase}");
            assert!(saw.opened > 0, "{phase}: {saw:?}");
        }
    }

    fn attacker(
        &self,
        phase: &str,
        port: u16,
        during: Duration,
        connections: usize,
        addresses: usize,
    ) -> std::process::Child {
        let mut command = if self.size.apart {
            let mut nice = Command::new("nice");
            nice.args(["-n", "19"]).arg(std::env::current_exe().unwrap());
            nice
        } else {
            Command::new(std::env::current_exe().unwrap())
        };
        command
            .args(["as", phase, &port.to_string(), &during.as_secs_f64().to_string()])
            .args([connections.to_string(), addresses.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// CPU for a junk request beside that for a genuine one, each as fast as it goes.
    fn cost(&self) {
        let during = self.size.during / 2;
        let target = self.target(false);
        let sender = self.sender(&target);
        let before = target.cpu();
        let served = self.runtime.block_on(as_fast_as_it_goes(&sender, self.size.fast, during));
        let genuine = (target.cpu() - before) / served as f64;
        let before = target.cpu();
        let attacker = self.attacker("junk", target.port, during, self.size.fast, self.size.addresses);
        let saw: Saw = serde_json::from_slice(&attacker.wait_with_output().unwrap().stdout).unwrap();
        let junk = (target.cpu() - before) / saw.answered as f64;
        println!(
            "cost           genuine {:.1} µs ({served}), junk {:.1} µs ({}): {:.2}",
            genuine * 1e6,
            junk * 1e6,
            saw.answered,
            junk / genuine
        );
    }

    /// What an idle connection weighs.
    fn idle(&self) {
        let target = self.target(true);
        let sender = self.sender(&target);
        self.stream(&sender, self.size.during / 10);
        let before = target.resident().0;
        let attacker =
            self.attacker("idle", target.port, Duration::from_secs(15).min(self.size.during * 2), self.size.idle, 250);
        let most = self.runtime.block_on(async {
            // Its connections are there when the memory has stopped growing.
            let mut most = 0.0_f64;
            for _ in 0..14 {
                sleep(self.size.during / 10).await;
                most = most.max(target.resident().0);
            }
            most
        });
        let saw: Saw = serde_json::from_slice(&attacker.wait_with_output().unwrap().stdout).unwrap();
        println!(
            "idle           {:.1} KiB for each of {} connections ({} refused)",
            (most - before) / saw.opened.max(1) as f64,
            saw.opened,
            saw.refused
        );
    }
}

/// Genuine requests over so many kept connections, each after the one before; how many.
async fn as_fast_as_it_goes(sender: &Arc<Sender>, connections: usize, during: Duration) -> u64 {
    let until = tokio::time::Instant::now() + during;
    let mut senders = JoinSet::new();
    for number in 0..connections {
        let sender = Arc::clone(sender);
        senders.spawn(async move {
            let from = wire::address(number);
            let mut stream = wire::tls(wire::tcp(from, sender.port, None).await.unwrap(), &sender.tls).await.unwrap();
            let (mut buffer, mut served) = (Vec::with_capacity(1024), 0);
            while tokio::time::Instant::now() < until {
                stream.write_all(&sender.webhook()).await.unwrap();
                stream.flush().await.unwrap();
                let (status, stays) = wire::answer(&mut stream, &mut buffer).await.unwrap();
                assert_eq!(status, 200);
                served += 1;
                if !stays {
                    stream = wire::tls(wire::tcp(from, sender.port, None).await.unwrap(), &sender.tls).await.unwrap();
                }
            }
            served
        });
    }
    senders.join_all().await.into_iter().sum()
}
