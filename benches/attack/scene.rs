//! Phases, one after the other: the stream alone, then beside an attack; what a junk request costs; what an idle connection weighs. One
//! line for each, and at the end a table.

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
use super::phases::{Many, PHASES, Phase};
use super::table::{Row, Table};
use super::target::{Place, Target};
use super::{health, wire};

/// How large everything is.
pub struct Size {
    during: Duration,
    rounds: usize,
    /// Requests a second over kept connections, over new ones, and over new ones from new addresses.
    rates: [u64; 3],
    /// Connections of attacks that hold, and of those that are fast.
    slow: usize,
    fast: usize,
    addresses: usize,
    idle: usize,
    /// Whether everybody has a core of their own.
    apart: bool,
}

impl Size {
    pub fn whole(during: Duration, rounds: usize) -> Self {
        let (slow, fast) = (19_000, 64);
        Self { during, rounds, rates: [500, 50, 20], slow, fast, addresses: 250, idle: 10_000, apart: true }
    }

    /// To see that it works.
    pub fn small() -> Self {
        let during = Duration::from_millis(300);
        Self { during, rounds: 1, rates: [100, 20, 10], slow: 40, fast: 4, addresses: 8, idle: 20, apart: false }
    }

    fn connections(&self, phase: &Phase) -> usize {
        match phase.connections {
            Many::All => self.slow,
            Many::Fast => self.fast,
            Many::Exactly(connections) => connections,
        }
    }
}

struct Scene<'s> {
    name: &'s str,
    size: &'s Size,
    runtime: &'s Runtime,
    place: &'s Place,
    seen: &'s Inside,
    inside: u16,
}

/// Everything against each of these, in turns: figures of one phase are of the same minutes.
pub fn run(names: &[&str], size: &Size, phases: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::new();
    let seen = Arc::new(Inside::default());
    let inside = runtime.block_on(inside::serve(Arc::clone(&seen), place.secret.clone()));
    let wanted = |phase: &str| phases.is_empty() || phases.contains(&phase);
    let scenes: Vec<Scene<'_>> =
        names.iter().map(|name| Scene { name, size, runtime: &runtime, place: &place, seen: &seen, inside }).collect();

    let mut table = Table::default();
    for phase in PHASES.iter().filter(|phase| wanted(phase.name)) {
        for _ in 0..size.rounds {
            for scene in &scenes {
                if scene.name == "relay" || !phase.relay_only {
                    table.add(phase.name, scene.name, scene.beside(phase));
                }
            }
        }
    }
    for scene in &scenes {
        if wanted("cost") {
            scene.cost();
        }
        if wanted("idle") {
            scene.idle();
        }
    }
    println!("\n{}", table.markdown(names));
}

impl Scene<'_> {
    fn target(&self, patient: bool, phase: Option<&Phase>) -> Target {
        Target::start(self.name, self.place, self.inside, self.size.apart.then_some(0), patient, phase)
    }

    fn sender(&self, target: &Target) -> Arc<Sender> {
        let tls = wire::honest(self.place.certificate.clone().into());
        Arc::new(Sender::new(target.port, tls, self.place.secret.clone()))
    }

    fn stream(&self, sender: &Arc<Sender>, during: Duration) -> [Went; 3] {
        self.runtime.block_on(sender.stream(self.size.rates, during))
    }

    /// The stream alone, and then beside one attack. A tenth of the time is for caches, here and there.
    fn beside(&self, phase: &Phase) -> Row {
        let size = self.size;
        let target = self.target(false, Some(phase));
        let sender = self.sender(&target);
        let warm = self.stream(&sender, size.during / 10);
        let began = (target.cpu(), Instant::now());
        let alone = self.stream(&sender, size.during / 2);
        let cpu_alone = (target.cpu() - began.0) / began.1.elapsed().as_secs_f64();
        for went in warm.iter().chain(&alone) {
            assert_eq!(went.failed, 0, "{}, {} alone: {:?}", self.name, phase.name, went.first);
        }
        self.runtime.block_on(sender.is_captured());

        // Counted from here on: what the one before let through may still have been on its way.
        let forged = || self.seen.forged.load(Ordering::Relaxed);
        let before = forged();
        let asks = phase.name == "admin";
        let port = if asks { target.admin } else { target.port };
        let attacker = self.attacker(phase, port);
        let began = (target.cpu(), Instant::now());
        let (went, health) = self.runtime.block_on(async {
            let health = async { if asks { Some(health::asked(target.admin, size.during).await) } else { None } };
            tokio::join!(sender.stream(size.rates, size.during), health)
        });
        let cpu = (target.cpu() - began.0) / began.1.elapsed().as_secs_f64();
        let said = attacker.wait_with_output().unwrap();
        let saw: Saw = serde_json::from_slice(&said.stdout).unwrap();
        assert!(self.name == "nginx" || forged() == before, "what nobody signed went inward");
        let (after, peak) = target.resident();
        let mut row = Row { alone, went, cpu_alone, cpu, peak: peak / 1024.0, notes: Vec::new() };
        if let Some(health) = health {
            row.notes.push(format!(
                "health {:.1} %, p99 {:.1} ms",
                health.success(),
                health.at(990).as_secs_f64() * 1e3
            ));
        }
        if phase.name == "history" {
            let all: usize = [&warm, &row.alone, &row.went].into_iter().flatten().map(|went| went.times.len()).sum();
            row.notes.push(format!("the history has {} of {} genuine ones", target.history().unwrap_or(0), all + 1));
        }
        println!(
            "{:14} {:8} {row}  after {:.0}  opened {} refused {} sent {} answered {}  longest {:.1} s, left {}",
            phase.name,
            self.name,
            after / 1024.0,
            saw.opened,
            saw.refused,
            saw.sent,
            saw.answered,
            saw.longest,
            saw.left,
        );
        for went in &row.went {
            if let Some(first) = &went.first {
                println!("  {} failed, the first: {first}", went.failed);
            }
        }
        if let Some(bound) = target.bound {
            println!("  memory: at most {bound:.0} MiB with these limits");
        }
        if !size.apart {
            assert!(row.went.iter().all(|went| went.failed == 0), "{}", phase.name);
            assert!(saw.opened > 0, "{}: {saw:?}", phase.name);
        }
        row
    }

    fn attacker(&self, phase: &Phase, port: u16) -> std::process::Child {
        let addresses = if phase.one_address { 1 } else { self.size.addresses };
        self.attack(phase.name, port, self.size.during, self.size.connections(phase), addresses)
    }

    fn attack(
        &self,
        name: &str,
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
        let captured = wire::sign(self.place.secret.as_bytes(), &wire::body(wire::CAPTURED));
        command
            .args(["as", name, &port.to_string(), &during.as_secs_f64().to_string()])
            .args([connections.to_string(), addresses.to_string(), captured])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// CPU for a junk request beside that for a genuine one, each as fast as it goes.
    fn cost(&self) {
        let during = self.size.during / 2;
        let target = self.target(false, None);
        let sender = self.sender(&target);
        let before = target.cpu();
        let served = self.runtime.block_on(as_fast_as_it_goes(&sender, self.size.fast, during));
        let genuine = (target.cpu() - before) / served as f64;
        let before = target.cpu();
        let attacker = self.attack("junk", target.port, during, self.size.fast, self.size.addresses);
        let saw: Saw = serde_json::from_slice(&attacker.wait_with_output().unwrap().stdout).unwrap();
        let junk = (target.cpu() - before) / saw.answered as f64;
        println!(
            "cost           {:8} genuine {:.1} µs ({served}), junk {:.1} µs ({}): {:.2}",
            self.name,
            genuine * 1e6,
            junk * 1e6,
            saw.answered,
            junk / genuine
        );
    }

    /// What an idle connection weighs.
    fn idle(&self) {
        let target = self.target(true, None);
        let sender = self.sender(&target);
        self.stream(&sender, self.size.during / 10);
        let before = target.resident().0;
        let attacker =
            self.attack("idle", target.port, Duration::from_secs(15).min(self.size.during * 2), self.size.idle, 250);
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
            "idle           {:8} {:.1} KiB for each of {} connections ({} refused)",
            self.name,
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
