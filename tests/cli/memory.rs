//! What is in a process's memory stays there: a crash leaves no core file, although the limit would let it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::harness::{Application, Installation, Manner, is_empty, lines, signal};

/// A program that may leave a core file of any size, in this folder.
fn spawn(program: &[&str], folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"])
        .args(program)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn aborted(status: ExitStatus) -> ExitStatus {
    assert_eq!(status.signal(), Some(6));
    status
}

#[test]
fn a_crash_leaves_no_core_file() {
    let folder = tempfile::tempdir().unwrap();
    // A program that protects nothing, to see that a core file would be seen.
    let open = spawn(&["sh", "-c", "kill -ABRT $$"], folder.path()).wait().unwrap();
    if !aborted(open).core_dumped() {
        println!("skipped, needs a machine that writes core files");
        return;
    }

    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let folder = tempfile::tempdir().unwrap();
    let program = [env!("CARGO_BIN_EXE_dmz-relay"), "run", "--config", &installation.config()];
    let mut relay = spawn(&program, folder.path());
    let log = lines(relay.stderr.take().unwrap());
    assert!(log.iter().any(|line| line.contains("\"listening\"")), "it has read its secrets");
    signal(&relay, "ABRT");
    let status = aborted(relay.wait().unwrap());
    assert!(!status.core_dumped() && is_empty(folder.path()));
}
