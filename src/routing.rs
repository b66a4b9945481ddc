//! Host and path to route: exact beats prefix, longer beats shorter, and a route for a host beats one for every host.
//!
//! Matching is on the raw path. Nothing is decoded or normalised, so no two spellings of a path can reach one route.

use std::sync::Arc;

use crate::snapshot::Route;

/// The compiled table.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found<'t> {
    /// The route, and for a prefix route what follows the prefix (with its slash; empty for an exact route).
    Route(&'t Arc<Route>, usize),
    /// The host is served, the path is not.
    UnknownPath,
    /// No route serves this host.
    UnknownHost,
}

impl RouteTable {
    /// Finds the route for a `Host` (with or without port, any case) and a raw path.
    pub fn find(&self, _host: &str, _path: &str) -> Found<'_> {
        todo!()
    }

    /// Every route, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}
