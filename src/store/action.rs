//! Who did what over the admin socket: rows of their own, so that no flood of requests makes them go, and none of them makes a
//! request go.

use crate::base::UnixMillis;
use crate::domain::ActionResult;

/// Actions that were done or could not be done; the newest are kept.
pub(super) const KEPT: i64 = 10_000;
/// Those that were refused are bounded apart: whoever may connect can bring them about at will.
pub(super) const KEPT_REFUSED: i64 = 1_000;
/// Longest text of one member, in bytes.
const LONGEST: usize = 200;
/// Actions of one page, at most.
pub(super) const PAGE: usize = 1000;

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// When it was asked for.
    pub at: UnixMillis,
    /// What was asked for: `retry`, `discard`, …
    pub action: Box<str>,
    /// What came of it.
    pub result: ActionResult,
    /// The answer's status.
    pub status: u16,
    /// The caller's user, as the kernel told it; of a signal it is not known.
    pub uid: Option<u32>,
    /// Its name, where the host knew it.
    pub user: Option<Box<str>>,
    /// The caller's process.
    pub pid: Option<i32>,
    /// From where it came.
    pub from: Box<str>,
    /// The request that it was about.
    pub request_id: Option<Box<str>>,
    /// How many requests it touched; [`crate::store::Store::count_for`] adds to it.
    pub count: Option<u64>,
    /// What else there is to say: the filters of an export, a version's number.
    pub detail: Option<Box<str>>,
    /// By which further requests belong to it.
    pub token: Option<Box<str>>,
}

impl Action {
    /// The same with no text that is longer than it may be.
    pub(super) fn bounded(mut self) -> Self {
        for text in [&mut self.user, &mut self.request_id, &mut self.detail].into_iter().flatten() {
            *text = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().into();
        }
        self
    }
}

/// Which actions are wanted; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionQuery {
    /// At or after.
    pub since: Option<UnixMillis>,
    /// Before.
    pub until: Option<UnixMillis>,
    /// What was asked for.
    pub action: Option<String>,
    /// What came of it.
    pub result: Option<ActionResult>,
    /// By this user: a name, or a number.
    pub user: Option<String>,
    /// About this request.
    pub request_id: Option<String>,
    /// Older than this one.
    pub before: Option<i64>,
    /// Rows of one page; zero means 50. At most 1000.
    pub limit: usize,
}

/// Some actions, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionPage {
    /// In their order.
    pub actions: Vec<Action>,
    /// For [`ActionQuery::before`]; `None`: that was all.
    pub next: Option<i64>,
}
