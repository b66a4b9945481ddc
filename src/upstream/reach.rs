//! Whether a server can be reached at all: its name, TCP, TLS. For an operator who asks; nothing is sent.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Upstream;
use crate::domain::Fault;

/// What a connection is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// Without TLS.
    Http1,
    /// Over TLS.
    Http1OverTls,
    /// Without TLS, by prior knowledge.
    Http2,
    /// Over TLS.
    Http2OverTls,
}

impl Agreed {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http1OverTls => "TLS, HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http2OverTls => "TLS, HTTP/2",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The server's URL.
    pub server: Arc<str>,
    /// What was agreed on, or what stood in the way and the library's own words.
    pub how: Result<Agreed, (Fault, String)>,
}

impl Upstream {
    /// Connects to every server at once, each for at most the connect timeout of each of its addresses. In the order of the file.
    pub async fn reach(self: Arc<Self>) -> Vec<Reached> {
        let mut tries = JoinSet::new();
        for index in 0..self.servers.len() {
            let upstream = Arc::clone(&self);
            tries.spawn(async move {
                let server = upstream.servers.get(index)?;
                let how = server.reach(&upstream.pingora).await.map_err(|failure| (failure.fault, failure.detail));
                Some((index, Reached { server: Arc::clone(&server.url), how }))
            });
        }
        let mut found: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, reached)| reached).collect()
    }
}
