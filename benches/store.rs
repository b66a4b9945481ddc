//! The store: what a history row costs a request and the writer, and what durability costs when many share it.
#![expect(clippy::expect_used, reason = "a bench fails loudly")]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dmz_relay::base::{Clock, UnixMillis};
use dmz_relay::domain::{Framing, Head, HeadBuilder, HistoryOutcome, Marks, Method, Version};
use dmz_relay::gate::pipeline::record::request_id;
use dmz_relay::store::{Accept, Attempt, AttemptKind, Early, Entry, Query, Settings, Settlement, Store, Took};

const SENDERS: u64 = 64;

/// A head of about 500 bytes.
fn head() -> Head {
    let head = Head::builder(Method::Post, Version::Http11)
        .host("hooks.example.com")
        .target("/hooks/dastra?a=b")
        .framing(Framing::Length(1843))
        .header("Content-Type", "application/json")
        .header("User-Agent", "Dastra-Webhooks/1.0")
        .header("Dastra-Signature", "m".repeat(44));
    let more = |head: HeadBuilder, number| head.header(&format!("X-Context-{number}"), "0123456789abcdef0123456789");
    (0..8).fold(head, more).build()
}

fn entry(head: &Head, outcome: HistoryOutcome) -> Entry {
    let at = Clock::system().now();
    Entry {
        request_id: request_id(at).into(),
        received_at: at,
        listener: Arc::from("public"),
        route: Some(Arc::from("dastra")),
        provider: Some(Arc::from("dastra")),
        method: Method::Post,
        version: Version::Http11,
        head: Some(head.clone()),
        marks: Marks::default(),
        held: None,
        suffix: 0,
        https: true,
        source: IpAddr::from([192, 0, 2, 7]),
        via: "socket",
        allowed_by: None,
        outcome,
        reason: "",
        status: 200,
        key: Some(Arc::from("0123456789ab")),
        verified_by: None,
        dedupe: Some("0b7c7f3e-4e0f-4f0c-9a51-0d6a7f4f0001".into()),
        timestamp: Some(at),
        body_bytes: 1843,
        body: None,
        upstream: Some(Arc::from("crm")),
        server: Some(Arc::from("http://127.0.0.1:9000")),
        upstream_status: Some(204),
        attempts: 1,
        detail: None,
        took: Took { total: Duration::from_micros(900), ..Took::default() },
    }
}

fn accepted(head: &Head) -> Accept {
    let body = Some(Bytes::from(vec![b'x'; 1843]));
    let entry = Entry { body, ..entry(head, HistoryOutcome::Accepted) };
    Accept { entry, dedupe: None, tried: None, due: None, refused: None, keep_body: false, repeat: false }
}

fn delivered() -> Settlement {
    Settlement::Delivered(Attempt {
        number: 1,
        at: UnixMillis(0),
        kind: AttemptKind::Spooled,
        server: Some("http://127.0.0.1:9000".into()),
        status: Some(204),
        fault: None,
        detail: None,
        took: Duration::from_millis(1),
    })
}

struct Rig {
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
}

fn settings(folder: &tempfile::TempDir) -> Settings {
    Settings {
        path: folder.path().join("relay.db"),
        keys: Vec::new(),
        keep_age: Duration::from_secs(14 * 24 * 60 * 60),
        keep_size: 8 << 30,
        disk_reserve: 0,
        refusals_per_second: 20,
    }
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(&settings(&folder), Clock::system(), |_| {}).expect("a store");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    Rig { _folder: folder, runtime, store }
}

/// CPU of the writer's thread since it began.
fn writer_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let of = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let spent = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let nanos = spent.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
        (name.trim() == "store").then_some(Duration::from_nanos(nanos))
    };
    tasks.filter_map(of).sum()
}

/// `record`: what the request's thread pays, and apart from it what the writer pays a row.
fn record(bench: &mut Criterion) {
    let head = head();
    let mut group = bench.benchmark_group("history row of a 500-byte head");
    let rig = rig();
    let fill = |rows: u64, waits: &mut Duration| {
        let entries: Vec<_> = (0..rows).map(|_| entry(&head, HistoryOutcome::Delivered)).collect();
        let start = Instant::now();
        for entry in entries {
            rig.store.record(black_box(entry));
        }
        *waits += start.elapsed();
        rig.runtime.block_on(rig.store.flush()).expect("written");
    };
    group.throughput(Throughput::Elements(1));
    group.bench_function("the request's thread", |bench| {
        bench.iter_custom(|rows| {
            let mut spent = Duration::ZERO;
            (0..rows.div_ceil(2000)).for_each(|_| fill(2000, &mut spent));
            spent.mul_f64(rows as f64 / (rows.div_ceil(2000) * 2000) as f64)
        });
    });
    group.bench_function("the writer's CPU", |bench| {
        bench.iter_custom(|rows| {
            let before = writer_cpu();
            (0..rows.div_ceil(2000)).for_each(|_| fill(2000, &mut Duration::default()));
            (writer_cpu() - before).mul_f64(rows as f64 / (rows.div_ceil(2000) * 2000) as f64)
        });
    });
    group.finish();
    assert_eq!(rig.store.status().history_dropped, 0);
}

/// 64 senders that wait for durability, each request settled afterwards.
fn accept(bench: &mut Criterion) {
    let head = head();
    let mut group = bench.benchmark_group("accept and settle, 1.8 KiB, 64 senders");
    let rig = rig();
    group.throughput(Throughput::Elements(1));
    let run = |requests: u64| {
        let each = requests.div_ceil(SENDERS);
        rig.runtime.block_on(async {
            let mut senders = tokio::task::JoinSet::new();
            for _ in 0..SENDERS {
                let (store, head) = (Arc::clone(&rig.store), head.clone());
                senders.spawn(async move {
                    let mut waits = Vec::new();
                    for _ in 0..each {
                        let start = Instant::now();
                        let ticket = store.accept(accepted(&head)).await.expect("stored");
                        waits.push(start.elapsed());
                        store.settle(ticket, delivered()).await.expect("settled");
                    }
                    waits
                });
            }
            senders.join_all().await.concat()
        })
    };
    group.bench_function("time", |bench| {
        bench.iter_custom(|requests| {
            let start = Instant::now();
            run(requests);
            start.elapsed().mul_f64(requests as f64 / (requests.div_ceil(SENDERS) * SENDERS) as f64)
        });
    });
    group.bench_function("the writer's CPU", |bench| {
        bench.iter_custom(|requests| {
            let before = writer_cpu();
            run(requests);
            (writer_cpu() - before).mul_f64(requests as f64 / (requests.div_ceil(SENDERS) * SENDERS) as f64)
        });
    });
    group.finish();
    let commits = rig.store.status().commits;
    let mut waits = run(40_000);
    let commits = rig.store.status().commits - commits;
    waits.sort_unstable();
    let at = |share: usize| waits.get(waits.len() * share / 1000).copied().unwrap_or_default();
    println!("acknowledged after p50 {:?} p99 {:?} p99.9 {:?}; {commits} commits", at(500), at(990), at(999));
}

/// Claims of 64 out of a backlog, and pages of a long history.
fn backlog(bench: &mut Criterion) {
    let head = head();
    let rig = rig();
    let route: Arc<str> = Arc::from("dastra");
    let now = Clock::system().now();
    let spool = |requests: u64| {
        rig.runtime.block_on(async {
            let mut senders = tokio::task::JoinSet::new();
            for _ in 0..requests {
                let (store, head) = (Arc::clone(&rig.store), head.clone());
                let accept = Accept { due: Some(now), ..accepted(&head) };
                senders.spawn(async move { store.accept(accept).await.expect("stored") });
            }
            senders.join_all().await;
        });
    };
    spool(10_000);
    let mut group = bench.benchmark_group("backlog of 10 000");
    group.sample_size(20);
    group.bench_function("claim 64 and release them", |bench| {
        bench.iter(|| {
            rig.runtime.block_on(async {
                let claimed = rig.store.claim(&route, 64, false, Early::Nothing).await.expect("claimed");
                assert_eq!(claimed.len(), 64);
                let mut settles = tokio::task::JoinSet::new();
                for claimed in claimed {
                    let store = Arc::clone(&rig.store);
                    settles.spawn(async move { store.settle(claimed.ticket, Settlement::Released(now)).await });
                }
                settles.join_all().await;
            });
        });
    });
    group.bench_function("page of 50", |bench| {
        bench.iter(|| rig.runtime.block_on(rig.store.page(Query::default(), Arc::default())).expect("a page"));
    });
    let seldom = || Query { text: Some("nowhere to be found".into()), ..Query::default() };
    group.bench_function("text that no row has", |bench| {
        bench.iter(|| rig.runtime.block_on(rig.store.page(seldom(), Arc::default())).expect("a page"));
    });
    group.finish();
}

/// Start and memory with 1 000 000 waiting requests. It takes minutes and 3 GiB, so only where it is asked for:
/// `DMZ_RELAY_BENCH_MILLION=1 cargo bench --bench store million`.
fn million(_: &mut Criterion) {
    if std::env::var_os("DMZ_RELAY_BENCH_MILLION").is_none() {
        return;
    }
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().replace('\t', " ")
    };
    let (head, now) = (head(), Clock::system().now());
    let Rig { _folder: folder, runtime, store } = rig();
    println!("empty: {}", resident());
    runtime.block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let (store, head) = (Arc::clone(&store), head.clone());
            senders.spawn(async move {
                for _ in 0..2000 {
                    let accept = Accept { due: Some(now), ..accepted(&head) };
                    store.accept(accept).await.expect("stored");
                }
            });
        }
        senders.join_all().await;
    });
    println!("{} waiting: {}", store.status().waiting, resident());
    drop(store);
    let start = Instant::now();
    let (store, _) = Store::open(&settings(&folder), Clock::system(), |_| {}).expect("a store");
    println!("start with {} waiting: {:?}, {}", store.status().waiting, start.elapsed(), resident());
}

criterion_group!(benches, record, accept, backlog, million);
criterion_main!(benches);
