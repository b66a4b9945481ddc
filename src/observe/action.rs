//! Who acted over the admin socket or by a signal, read a body, or was refused it: one line, one count.

use super::line::{Level, Line};
use crate::domain::ActionResult;

/// From where an action came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionOrigin {
    /// A caller on the admin socket.
    Socket,
    /// The service manager, which ran the command of the unit as the relay's user: `systemctl reload`.
    Manager,
    /// `SIGHUP`. Only root and the relay's own user may send it.
    Signal,
}

impl ActionOrigin {
    /// The words in log, row and answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "unix socket",
            Self::Manager => "systemd",
            Self::Signal => "signal",
        }
    }
}

/// One action. It names the request by its id only, never its sender or its contents.
#[derive(Clone, Copy, Debug)]
pub struct AdminAction<'e> {
    /// What was asked for: `retry`, `discard`, …
    pub action: &'e str,
    /// What came of it.
    pub result: ActionResult,
    /// The answer's status.
    pub status: u16,
    /// The caller's user id, as the kernel tells it; of a signal it is not known.
    pub uid: Option<u32>,
    /// The name of that user, where the host knows it.
    pub user: Option<&'e str>,
    /// The caller's process.
    pub pid: Option<i32>,
    /// The request that it was about.
    pub id: Option<&'e str>,
    /// How many requests it touched.
    pub count: Option<u64>,
    /// What else there is to say: filters, a version's number.
    pub detail: Option<&'e str>,
    /// By which later requests belong to it. It is not in the line.
    pub token: Option<&'e str>,
    /// From where it came.
    pub from: ActionOrigin,
}

impl AdminAction<'_> {
    pub(super) const fn level(&self) -> Level {
        match self.result {
            ActionResult::Done => Level::Info,
            ActionResult::Refused | ActionResult::Failed | ActionResult::Unknown => Level::Warn,
        }
    }

    pub(super) fn write(&self, line: &mut Line) {
        let Self { action, result, status, uid, user, pid, id, count, detail, token: _, from } = *self;
        line.text("action", action).text("result", result.as_str()).number("status", status);
        if let Some(uid) = uid {
            line.number("uid", uid);
        }
        line.maybe("user", user);
        if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
            line.number("pid", pid);
        }
        line.maybe("id", id);
        if let Some(count) = count {
            line.number("count", count);
        }
        line.maybe("detail", detail).text("from", from.as_str());
    }
}
