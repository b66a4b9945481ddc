//! Real files, real notices; every wait is for a load that must come.

use super::*;
use std::os::unix::fs::symlink;
use std::path::Path;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

const PACE: Pace =
    Pace { quiet: Duration::from_millis(10), at_most: Duration::from_millis(50), poll: Duration::from_millis(20) };

/// Reads one file and reports its text; can be held up in the middle.
struct Reader {
    file: PathBuf,
    also: Vec<PathBuf>,
    loads: UnboundedSender<(Trigger, String)>,
    gate: Option<mpsc::Receiver<()>>,
}

impl Load for Reader {
    type Report = String;

    async fn load(&mut self, trigger: Trigger) -> Loaded<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_else(|error| error.kind().to_string());
        let _ = self.loads.send((trigger, text.clone()));
        if let Some(gate) = &mut self.gate {
            gate.recv().await;
        }
        let files = std::iter::once(self.file.clone()).chain(self.also.clone()).collect();
        Loaded { report: text, files }
    }

    fn degraded(&mut self, why: &str) {
        let _ = self.loads.send((Trigger::Recheck, format!("degraded: {why}")));
    }
}

struct Rig {
    loads: UnboundedReceiver<(Trigger, String)>,
    requests: Requests<String>,
    task: JoinHandle<()>,
}

impl Rig {
    fn new(file: &Path, watching: Watching) -> Self {
        Self::with(PACE, watching, |loads| Reader { file: file.into(), also: Vec::new(), loads, gate: None })
    }

    fn with(pace: Pace, watching: Watching, reader: impl FnOnce(UnboundedSender<(Trigger, String)>) -> Reader) -> Self {
        let (sender, loads) = unbounded_channel();
        let mut reader = reader(sender);
        let (reloader, requests) = Reloader::start(pace, watching).unwrap();
        let files = vec![reader.file.clone()];
        let task = tokio::spawn(async move { reloader.run(files, &mut reader).await });
        Self { loads, requests, task }
    }

    async fn next(&mut self) -> (Trigger, String) {
        tokio::time::timeout(Duration::from_secs(120), self.loads.recv()).await.expect("a load was missed").unwrap()
    }

    /// Waits for a load that saw this text; loads that saw an older one may come first.
    async fn until(&mut self, text: &str) {
        while self.next().await.1 != text {}
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// As careful editors do; nobody sees a half-written file.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

#[tokio::test]
async fn every_way_of_changing_a_file_is_noticed() {
    for watching in [Watching::Notices, Watching::Polling] {
        let (folder, file) = file("1");
        let mut rig = Rig::new(&file, watching);
        assert_eq!(rig.next().await, (Trigger::Recheck, "1".into()), "the start's own gap is closed");
        std::fs::write(&file, "written").unwrap();
        rig.until("written").await;
        let new = folder.path().join(".relay.toml.new");
        std::fs::write(&new, "renamed").unwrap();
        std::fs::rename(&new, &file).unwrap();
        rig.until("renamed").await;
        std::fs::remove_file(&file).unwrap();
        rig.until("entity not found").await;
        std::fs::write(&file, "back").unwrap();
        rig.until("back").await;
    }
}

#[tokio::test]
async fn a_turned_link_and_an_exchanged_folder_are_noticed() {
    for watching in [Watching::Notices, Watching::Polling] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["one", "two", "three"] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("relay.toml"), name).unwrap();
        }
        symlink("one", at("data")).unwrap();
        symlink("data/relay.toml", at("relay.toml")).unwrap();
        let mut rig = Rig::new(&at("relay.toml"), watching);
        rig.until("one").await;
        symlink("two", at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        rig.until("two").await;
        std::fs::rename(at("two"), at("old")).unwrap();
        std::fs::rename(at("three"), at("two")).unwrap();
        rig.until("three").await;
        std::fs::write(at("two/relay.toml"), "four").unwrap();
        rig.until("four").await;
    }
}

#[tokio::test]
async fn a_change_during_a_load_leads_to_another() {
    let (_folder, file) = file("1");
    let (go, gate) = mpsc::channel(10);
    let reader = |loads| Reader { file: file.clone(), also: Vec::new(), loads, gate: Some(gate) };
    let mut rig = Rig::with(PACE, Watching::Notices, reader);
    rig.next().await;
    // The first load has read the file and is still busy.
    replace(&file, "2");
    go.send(()).await.unwrap();
    assert_eq!(rig.next().await, (Trigger::File, "2".into()));
}

#[tokio::test]
async fn files_that_a_load_names_are_watched_from_then_on() {
    let (folder, file) = file("1");
    let secret = folder.path().join("secrets/github");
    let reader = |loads| Reader { file: file.clone(), also: vec![secret.clone()], loads, gate: None };
    let mut rig = Rig::with(PACE, Watching::Notices, reader);
    assert_eq!(rig.next().await.0, Trigger::Recheck, "for the file of the start");
    assert_eq!(rig.next().await.0, Trigger::Recheck, "for the file that the load named");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    assert_eq!(rig.next().await.0, Trigger::File);
    assert_eq!(rig.next().await.0, Trigger::Recheck, "the folder is new");
    std::fs::write(&secret, "s").unwrap();
    assert_eq!(rig.next().await.0, Trigger::File);
}

#[tokio::test]
async fn a_neighbour_is_none_of_our_business() {
    let (folder, file) = file("1");
    let mut rig = Rig::new(&file, Watching::Notices);
    rig.next().await;
    std::fs::write(folder.path().join("relay.db"), "x").unwrap();
    // Notices come in order, so by the time of this answer the neighbour's has been dropped or has led to a load.
    replace(&file, "2");
    assert_eq!(rig.next().await, (Trigger::File, "2".into()));
}

#[tokio::test]
async fn a_burst_is_one_load_and_an_endless_one_is_cut() {
    let (_folder, file) = file("0");
    let pace = Pace { quiet: Duration::from_secs(3600), at_most: Duration::from_secs(1), ..PACE };
    let reader = |loads| Reader { file: file.clone(), also: Vec::new(), loads, gate: None };
    let mut rig = Rig::with(pace, Watching::Notices, reader);
    rig.next().await;
    for n in 1..=20 {
        replace(&file, &n.to_string());
    }
    assert_eq!(rig.next().await, (Trigger::File, "20".into()), "one load, and only when the time is up");
}

#[tokio::test]
async fn whoever_asks_gets_the_report_of_a_later_load() {
    let (_folder, file) = file("1");
    let (go, gate) = mpsc::channel(10);
    let reader = |loads| Reader { file: file.clone(), also: Vec::new(), loads, gate: Some(gate) };
    let mut rig = Rig::with(
        Pace { quiet: Duration::from_secs(3600), at_most: Duration::from_secs(3600), ..PACE },
        Watching::Notices,
        reader,
    );
    rig.next().await;
    replace(&file, "2");
    // Asked while a load that read the old text is under way.
    let (first, second) = (rig.requests.clone(), rig.requests.clone());
    let asked = tokio::spawn(async move { tokio::join!(first.reload(), second.reload()) });
    while rig.requests.0.capacity() > WAITING - 2 {
        tokio::task::yield_now().await;
    }
    go.send(()).await.unwrap();
    go.send(()).await.unwrap();
    assert_eq!(asked.await.unwrap(), (Some("2".into()), Some("2".into())));
    assert_eq!(rig.next().await, (Trigger::Admin, "2".into()), "both by one load");
}

#[tokio::test]
#[ignore = "runs as a child of the test below: a signal reaches every reloader of a process"]
async fn child_is_hung_up() {
    let (_folder, file) = file("1");
    let mut rig = Rig::new(&file, Watching::Polling);
    rig.next().await;
    // The shell's own: a minimal system has no kill(1).
    let script = format!("kill -HUP {}", std::process::id());
    let sent = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(sent.success());
    assert_eq!(rig.next().await, (Trigger::Signal, "1".into()));
}

#[test]
fn a_hangup_reloads() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control::reload::tests::child_is_hung_up", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn asking_a_stopped_reloader_is_no_hang() {
    let (reloader, requests) = Reloader::<String>::start(PACE, Watching::Polling).unwrap();
    drop(reloader);
    assert_eq!(requests.reload().await, None);
}

/// What a file alone may not bring, whoever asked gets: also where both come at once.
#[tokio::test]
async fn who_asks_while_files_come_under_watch_is_who_asked() {
    let (_folder, file) = file("1");
    let (sender, mut loads) = unbounded_channel();
    let mut reader = Reader { file: file.clone(), also: Vec::new(), loads: sender, gate: None };
    let (reloader, requests) = Reloader::start(PACE, Watching::Polling).unwrap();
    let asking = tokio::spawn(async move { requests.reload().await });
    while reloader.asked.is_empty() {
        tokio::task::yield_now().await;
    }
    let task = tokio::spawn(async move { reloader.run(vec![file], &mut reader).await });
    assert_eq!(asking.await.unwrap(), Some("1".into()));
    assert_eq!(loads.recv().await.unwrap().0, Trigger::Admin);
    task.abort();
}
