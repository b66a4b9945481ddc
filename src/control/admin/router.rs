//! Which paths the admin listener has. One table: requests are looked up in it, and a test holds `docs/openapi.json` against
//! it.

/// One path with one method.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// What is asked.
    pub method: Verb,
    /// The path; `{id}` stands for one segment.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    pub(super) action: Action,
}

/// Methods that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `HEAD` is answered wherever this is.
    Get,
    /// Changes something, or sends something to the upstream.
    Post,
}

impl Verb {
    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    fn is(self, method: &http::Method) -> bool {
        match self {
            Self::Get => matches!(*method, http::Method::GET | http::Method::HEAD),
            Self::Post => *method == http::Method::POST,
        }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the listener, over TCP too.
    Scraper,
    /// Whoever may connect to the socket.
    Viewer,
    /// Changes something, sends something to the upstream, or shows a configuration in full.
    Operator,
    /// Shows a body.
    Reader,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Health,
    Readiness,
    Metrics,
    Status,
    Reload,
    Config,
    Versions,
    Version,
    Document,
    Events,
    Event,
    EventBody,
    Explanation,
    Redeliver,
    Retry,
    Discard,
    RetryWaiting,
    Export,
    Actions,
}

impl Action {
    /// Its name in the log, where it is recorded: it changes something, or shows a body or a configuration in full.
    pub(super) fn recorded(self) -> Option<&'static str> {
        match self {
            Self::Reload => Some("reload"),
            Self::Config | Self::Version => Some("read_config"),
            Self::EventBody => Some("read_body"),
            Self::Redeliver => Some("redeliver"),
            Self::Retry => Some("retry"),
            Self::Discard => Some("discard"),
            Self::RetryWaiting => Some("retry_waiting"),
            Self::Export => Some("export"),
            Self::Health
            | Self::Readiness
            | Self::Metrics
            | Self::Status
            | Self::Versions
            | Self::Document
            | Self::Events
            | Self::Event
            | Self::Explanation
            | Self::Actions => None,
        }
    }
}

const fn get(path: &'static str, access: Access, action: Action) -> Endpoint {
    Endpoint { method: Verb::Get, path, access, action }
}

const fn post(path: &'static str, action: Action) -> Endpoint {
    Endpoint { method: Verb::Post, path, access: Access::Operator, action }
}

/// Every name under which an action is recorded.
pub const ACTIONS: [&str; 9] =
    ["reload", "rollback", "read_config", "read_body", "export", "redeliver", "retry", "retry_waiting", "discard"];

/// Everything that is here.
pub const ENDPOINTS: &[Endpoint] = &[
    get("/healthz", Access::Scraper, Action::Health),
    get("/readyz", Access::Scraper, Action::Readiness),
    get("/metrics", Access::Scraper, Action::Metrics),
    get("/api/v1/openapi.json", Access::Viewer, Action::Document),
    get("/api/v1/status", Access::Viewer, Action::Status),
    post("/api/v1/reload", Action::Reload),
    get("/api/v1/config", Access::Operator, Action::Config),
    get("/api/v1/config/versions", Access::Viewer, Action::Versions),
    get("/api/v1/config/versions/{id}", Access::Operator, Action::Version),
    get("/api/v1/events", Access::Viewer, Action::Events),
    get("/api/v1/events/{id}", Access::Viewer, Action::Event),
    get("/api/v1/events/{id}/body", Access::Reader, Action::EventBody),
    get("/api/v1/events/{id}/explain", Access::Viewer, Action::Explanation),
    post("/api/v1/events/{id}/redeliver", Action::Redeliver),
    post("/api/v1/events/{id}/retry", Action::Retry),
    post("/api/v1/events/{id}/discard", Action::Discard),
    post("/api/v1/waiting/retry", Action::RetryWaiting),
    Endpoint { access: Access::Reader, ..post("/api/v1/exports", Action::Export) },
    get("/api/v1/actions", Access::Viewer, Action::Actions),
];

/// What a method and a path lead to.
#[derive(Debug)]
pub(super) enum Found<'p> {
    /// An endpoint, and what stands in place of `{id}`; empty where nothing does.
    Endpoint(&'static Endpoint, &'p str),
    /// The path is here, the method is not; what `Allow` says.
    NotAllowed(&'static str),
    Nothing,
}

pub(super) fn find<'p>(method: &http::Method, path: &'p str) -> Found<'p> {
    let mut allow = None;
    for endpoint in ENDPOINTS {
        let Some(id) = id_in(endpoint.path, path) else { continue };
        if endpoint.method.is(method) {
            return Found::Endpoint(endpoint, id);
        }
        // No path has both.
        allow = Some(match endpoint.method {
            Verb::Get => "GET, HEAD",
            Verb::Post => "POST",
        });
    }
    allow.map_or(Found::Nothing, Found::NotAllowed)
}

/// What stands in place of `{id}`, when the path is of the template's form.
fn id_in<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let (mut parts, mut id) = (path.split('/'), "");
    for wanted in template.split('/') {
        let part = parts.next()?;
        if wanted == "{id}" && !part.is_empty() {
            id = part;
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_endpoint() {
        let action = |method: http::Method, path| match find(&method, path) {
            Found::Endpoint(endpoint, id) => Some((endpoint.action, id)),
            Found::NotAllowed(_) | Found::Nothing => None,
        };
        assert_eq!(action(http::Method::GET, "/api/v1/events"), Some((Action::Events, "")));
        assert_eq!(action(http::Method::HEAD, "/api/v1/events/1a"), Some((Action::Event, "1a")));
        assert_eq!(action(http::Method::POST, "/api/v1/events/1a/retry"), Some((Action::Retry, "1a")));
        for path in ["/api/v1/events/", "/api/v1/events/1a/", "/api/v1/events//body", "/api/v1", "", "/healthz/x"] {
            assert_eq!(action(http::Method::GET, path), None, "{path}");
        }
        assert!(matches!(find(&http::Method::GET, "/api/v1/events/1a/retry"), Found::NotAllowed("POST")));
        assert!(matches!(find(&http::Method::POST, "/api/v1/events"), Found::NotAllowed("GET, HEAD")));
    }

    #[test]
    fn every_recorded_action_has_its_name_in_the_list() {
        let recorded = ENDPOINTS.iter().filter_map(|endpoint| endpoint.action.recorded());
        for name in recorded.chain(["rollback"]) {
            assert!(ACTIONS.contains(&name), "{name}");
        }
    }

    #[test]
    fn what_changes_something_is_for_operators_and_a_body_for_readers() {
        for endpoint in ENDPOINTS {
            let expected = match (endpoint.method, endpoint.path) {
                (_, "/api/v1/exports") => Access::Reader,
                (Verb::Post, _) | (_, "/api/v1/config" | "/api/v1/config/versions/{id}") => Access::Operator,
                (_, path) if path.ends_with("/body") => Access::Reader,
                (_, "/healthz" | "/readyz" | "/metrics") => Access::Scraper,
                _ => Access::Viewer,
            };
            assert_eq!(endpoint.access, expected, "{}", endpoint.path);
        }
    }
}
