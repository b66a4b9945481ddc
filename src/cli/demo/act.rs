//! What an act is made of: steps, and requests that the store had to keep.

use serde::Serialize;

use super::inside::Inside;
use super::screen::Screen;
use super::show;
use crate::cli::sender::Request;
use crate::domain::Outcome;

/// A whole act.
#[derive(Debug, Default, Serialize)]
pub(super) struct Played {
    pub(super) as_expected: bool,
    pub(super) steps: Vec<Step>,
    pub(super) requests: Vec<Kept>,
}

/// One thing that was done, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) done: &'static str,
    pub(super) came: String,
    pub(super) as_expected: bool,
}

/// One request that the store had to keep.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    pub(super) path: &'static str,
    pub(super) status: u16,
    pub(super) verdict: String,
    pub(super) request_id: String,
    /// How often the application got it.
    pub(super) arrived: usize,
    pub(super) byte_for_byte: bool,
    #[serde(skip)]
    pub(super) request: Request,
}

/// Steps, each shown when it is over.
pub(super) struct Steps<'s> {
    screen: &'s Screen,
    steps: Vec<Step>,
}

impl<'s> Steps<'s> {
    pub(super) fn on(screen: &'s Screen) -> Self {
        Self { screen, steps: Vec::new() }
    }

    pub(super) async fn over(&mut self, step: Step) {
        self.screen.show(&show::step(&step, self.screen.palette)).await;
        self.steps.push(step);
    }

    pub(super) fn played(self, requests: Vec<Kept>) -> Played {
        Played { as_expected: self.steps.iter().all(|step| step.as_expected), steps: self.steps, requests }
    }
}

impl Kept {
    pub(super) fn is_accepted(&self) -> bool {
        self.status == 200 && self.verdict == Outcome::Accepted.as_str()
    }
}

/// Counts what arrived of each request, and compares it.
pub(super) fn look(requests: &mut [Kept], application: &Inside) {
    let arrived = application.arrived();
    for kept in requests {
        let copies = || arrived.iter().filter(|arrived| arrived.request_id == kept.request_id);
        let whole = copies().all(|copy| copy.body == kept.request.body);
        (kept.arrived, kept.byte_for_byte) = (copies().count(), whole && copies().next().is_some());
    }
}

/// Whether each arrived once and byte for byte.
pub(super) fn once(requests: &[Kept]) -> bool {
    requests.iter().all(|kept| kept.arrived == 1 && kept.byte_for_byte)
}
