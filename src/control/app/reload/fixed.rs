//! What a process takes over at its start and keeps to its end: sockets and the store.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::runtime::snapshot::{AdminAddress, ListenAddress, Snapshot};
use crate::store;

/// What the process was started with and keeps to its end.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    listeners: Vec<(Arc<str>, ListenAddress)>,
    admin: Option<AdminAddress>,
    scrape: Option<SocketAddr>,
    pub(super) store: Option<Arc<store::Settings>>,
}

impl Fixed {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            listeners: snapshot
                .listeners
                .iter()
                .map(|known| (Arc::clone(&known.name), known.address.clone()))
                .collect(),
            admin: snapshot.admin.clone(),
            scrape: snapshot.scrape,
            store: snapshot.store.clone(),
        }
    }
}

impl Fixed {
    /// What the running process cannot take over: sockets and the store are opened once. Judged by what it was started with,
    /// so that a change which waits for a restart is named by every reload until then.
    pub(super) fn needs_restart(&self, new: &Snapshot) -> Vec<String> {
        let mut changes = Vec::new();
        for listener in &new.listeners {
            match self.listeners.iter().find(|(name, _)| *name == listener.name) {
                None => changes.push(format!("listener {} is new", listener.name)),
                Some((_, address)) if *address != listener.address => {
                    changes.push(format!("listener {} has another address", listener.name));
                }
                Some(_) => {}
            }
        }
        for (gone, _) in self.listeners.iter().filter(|(name, _)| !new.listeners.iter().any(|new| new.name == *name)) {
            changes.push(format!("listener {gone} is gone"));
        }
        if (&self.admin, self.scrape) != (&new.admin, new.scrape) {
            changes.push("[admin] has another address".to_owned());
        }
        match (&self.store, &new.store) {
            (None, Some(_)) => changes.push("[store] is new".to_owned()),
            (Some(_), None) => changes.push("[store] is gone".to_owned()),
            (Some(known), Some(new)) if known != new => changes.push("[store] has other settings".to_owned()),
            _ => {}
        }
        changes
    }
}
