//! The background tasks of the process. Each has a name, none should end, and one that does is seen.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks by name. Dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct Children {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Children {
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits until one of them ends or panics, and gives its name. Waits for ever where there is none left.
    pub(super) async fn ended(&mut self) -> &'static str {
        let ended = self.tasks.join_next_with_id().await;
        let Some(ended) = ended else { return std::future::pending().await };
        let id = ended.map_or_else(|error: JoinError| error.id(), |(id, ())| id);
        self.names.remove(&id).unwrap_or("unknown")
    }

    /// Ends all of them and waits until they are gone.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_ends_or_panics_is_named() {
        let mut children = Children::default();
        children.spawn("steady", std::future::pending());
        children.spawn("returns", async {});
        assert_eq!(children.ended().await, "returns");
        children.spawn("panics", async { panic!("expected by this test") });
        assert_eq!(children.ended().await, "panics");
        children.shutdown().await;
    }
}
