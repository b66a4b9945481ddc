//! Asynchronous delivery: what was accepted is sent to the upstream when it is due, and as often as needed.
//!
//! The steps are those of `pipeline` after verification; the route is the one that the configuration of the moment has
//! under the stored name.
//!
//! - `dispatcher`: one task for each route that has, or had, something waiting: takes out of the store what is due, as much as
//!   there are slots for.
//! - `attempt`: sends one request once, and has the store remember what came of it.
//! - [`mod@redeliver`] and [`operator`]: what an operator asks for.
//!
//! A request whose route is gone from the configuration waits until it is back; nothing is thrown away because of a reload.
//!
//! Deliberately absent: a queue in memory. What is not on its way is in the store only.

mod attempt;
mod dispatcher;
pub mod operator;
pub mod redeliver;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::gate::pipeline::{Gate, circuit};
use crate::observe::Event;
use crate::runtime::snapshot::{Route, Snapshot};
use crate::store::Store;

pub use operator::{discard, retry, retry_waiting};
pub use redeliver::{NotRedelivered, Redelivered, redeliver};

/// How often it is looked whether something waits that nobody was woken for: a store that was opened again may have found it.
const LOOK: Duration = Duration::from_secs(1);
/// What a delivery that is cut off gets to notice it.
const CUT: Duration = Duration::from_secs(1);

/// Routes by name.
type Routes = HashMap<Arc<str>, Arc<Route>>;

/// What every dispatcher and every attempt shares.
#[derive(Debug)]
struct DeliveryContext {
    gate: Gate,
    store: Arc<Store>,
    routes: watch::Receiver<Arc<Routes>>,
    /// Set when those that are on their way are cut off.
    cut: watch::Receiver<bool>,
    /// When delivery began, by the clock that nobody sets.
    since: u32,
}

impl DeliveryContext {
    /// For how long this process has been delivering.
    fn running(&self) -> Duration {
        Duration::from_secs(self.gate.clock.moment().steady.saturating_sub(self.since).into())
    }

    /// The route as it is configured at this moment.
    fn route(&self, name: &str) -> Option<Arc<Route>> {
        self.routes.borrow().get(name).map(Arc::clone)
    }
}

/// Delivery of one process.
#[derive(Debug)]
pub struct Delivery {
    gate: Gate,
    routes: watch::Sender<Arc<Routes>>,
    cut: watch::Sender<bool>,
}

impl Delivery {
    /// Begins to deliver what waits, for as long as somebody runs the future; `None` where there is no store. The future ends
    /// after [`Delivery::stop`], and by a bug.
    pub fn start(gate: &Gate, snapshot: &Snapshot) -> Option<(Self, impl Future<Output = ()> + Send + use<>)> {
        let store = Arc::clone(gate.state.store()?);
        let (routes, known) = watch::channel(Arc::new(by_name(snapshot)));
        let (cut, cutting) = watch::channel(false);
        let since = gate.clock.moment().steady;
        for (name, backlog) in store.backlogs() {
            // Everything that waits is due at once, and nobody knows yet what the upstream can take.
            if backlog.waiting > 0
                && let Some(route) = snapshot.routes.iter().find(|route| route.name == name)
            {
                circuit::of(gate, route).begin_slowly();
            }
        }
        let context = Arc::new(DeliveryContext { gate: gate.clone(), store, routes: known, cut: cutting, since });
        let weak = Arc::downgrade(&context);
        gate.state.dispatch.set_deliver(Box::new(move |handed| {
            let context = weak.upgrade();
            Box::pin(async move {
                if let Some(context) = context {
                    attempt::take_over(&context, handed).await;
                }
            })
        }));
        Some((Self { gate: gate.clone(), routes, cut }, supervise(context)))
    }

    /// Puts a configuration in force: what is already on its way ends under the old one.
    pub fn apply(&self, snapshot: &Snapshot) {
        let dispatch = &self.gate.state.dispatch;
        let servers: HashSet<_> = snapshot
            .routes
            .iter()
            .map(|route| (&*route.name, &*route.upstream.name, route.upstream.identity()))
            .collect();
        dispatch.keep_circuits(|route, upstream, identity| servers.contains(&(route, upstream, identity)));
        self.routes.send_replace(Arc::new(by_name(snapshot)));
    }

    /// Takes nothing more out of the store and waits for what is on its way; what is not done in time is cut off, and tried
    /// again after the next start. Gives the number of those.
    pub async fn stop(&self, within: Duration) -> usize {
        let dispatch = &self.gate.state.dispatch;
        dispatch.close();
        let _ = timeout(within, dispatch.idle()).await;
        let unfinished = dispatch.going_on();
        self.cut.send_replace(true);
        let _ = timeout(CUT, dispatch.idle()).await;
        unfinished
    }
}

fn by_name(snapshot: &Snapshot) -> Routes {
    snapshot.routes.iter().map(|route| (Arc::clone(&route.name), Arc::clone(route))).collect()
}

/// Gives every lane its dispatcher.
async fn supervise(context: Arc<DeliveryContext>) {
    let dispatch = &context.gate.state.dispatch;
    let (mut routes, mut cut) = (context.routes.clone(), context.cut.clone());
    let mut told = Vec::new();
    let mut dispatchers = JoinSet::new();
    let mut attended = HashMap::new();
    loop {
        let known = Arc::clone(&routes.borrow_and_update());
        for (route, backlog) in context.store.backlogs() {
            if backlog.waiting > backlog.claimed {
                dispatch.wake(&route);
            }
        }
        tell_stranded(&context, &known, &mut told);
        dispatch.keep(|route| known.contains_key(route) || context.store.backlog(route).waiting > 0);
        let lanes = dispatch.lanes();
        attended.retain(|name, task: &mut tokio::task::AbortHandle| {
            let stays = lanes.iter().any(|lane| lane.route() == name);
            if !stays {
                task.abort();
            }
            // One that panicked begins again.
            stays && !task.is_finished()
        });
        for lane in lanes {
            let name = Arc::clone(lane.route());
            attended.entry(name).or_insert_with(|| dispatchers.spawn(dispatcher::run(Arc::clone(&context), lane)));
        }
        let ended = tokio::select! {
            () = dispatch.news() => None,
            () = tokio::time::sleep(LOOK) => None,
            _ = routes.changed() => None,
            _ = cut.wait_for(|cut| *cut) => break,
            ended = dispatchers.join_next_with_id(), if !dispatchers.is_empty() => ended,
        };
        if let Some(Err(error)) = ended
            && error.is_panic()
        {
            let of = attended.iter().find(|(_, task)| task.id() == error.id());
            let of = of.map_or("", |(route, _)| &**route);
            context.gate.observer.record(&Event::TaskRestarted { task: "dispatcher", of });
            // A bug must not fill the log.
            tokio::time::sleep(LOOK).await;
        }
    }
    dispatchers.shutdown().await;
}

/// Warns of requests that wait for a route that nobody has configured; once for each set of them.
fn tell_stranded(context: &DeliveryContext, known: &Routes, told: &mut Vec<Arc<str>>) {
    let mut waiting = 0;
    let mut stranded: Vec<Arc<str>> = Vec::new();
    for (route, backlog) in context.store.backlogs() {
        if backlog.waiting > 0 && !known.contains_key(&route) {
            waiting += backlog.waiting;
            stranded.push(route);
        }
    }
    stranded.sort();
    if !stranded.is_empty() && stranded != *told {
        context.gate.observer.record(&Event::Stranded { routes: &stranded, waiting });
    }
    *told = stranded;
}
