//! Active health checks: one request per server and interval, over a connection of its own.

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::exchange::Wanted;
use super::spec::HealthSpec;
use super::{Fields, Outbound, Upstream};

/// The first check of a server comes within this time, so that many servers are not checked in one beat.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

impl Upstream {
    /// Checks every server for as long as the future lives; dropping it ends all checks. Ends at once for an upstream
    /// without health checks. Changes are received through [`super::Upstreams::subscribe`].
    pub async fn watch(self: Arc<Self>) {
        let Some(rule) = self.health.clone() else { return };
        let mut checks = JoinSet::new();
        for index in 0..self.servers.len() {
            let (upstream, rule) = (Arc::clone(&self), rule.clone());
            checks.spawn(async move { upstream.check_forever(index, &rule).await });
        }
        while let Some(ended) = checks.join_next().await {
            // Whoever watches this future is who must know.
            if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                resume_unwind(panic);
            }
        }
    }

    async fn check_forever(&self, index: usize, rule: &HealthSpec) {
        let Some(server) = self.servers.get(index) else { return };
        sleep(rule.interval.min(FIRST_WITHIN).mul_f64(fastrand::f64())).await;
        loop {
            let outcome = self.check(server, rule).await;
            server.condition.checked(outcome, rule);
            // A zero interval would spin.
            let pause = rule.interval.max(Duration::from_millis(10));
            sleep(pause.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }

    async fn check(&self, server: &super::server::Server, rule: &HealthSpec) -> Result<(), String> {
        let agent: &[u8] = concat!("dmz-relay/", env!("CARGO_PKG_VERSION"), " (health check)").as_bytes();
        let request = Outbound {
            method: "GET",
            target: &rule.path,
            headers: Fields::from([("User-Agent", agent), ("Accept", b"*/*")]),
            body: Cow::Owned(Bytes::new()),
            sends: None,
            pass_through: None,
        };
        let now = Instant::now();
        match server.send(&self.pingora, &request, Wanted::Once, now, now + rule.timeout).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("status {}", answer.status)),
            Err(failure) => Err(failure.detail),
        }
    }
}
