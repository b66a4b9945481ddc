//! The attacks: what each needs of whoever is attacked, and who can be.

/// One attack.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub connections: Many,
    /// From one address, or from all that the attacker has.
    pub one_address: bool,
    /// nginx and HAProxy have nothing of the kind that could be used up.
    pub relay_only: bool,
    /// What is configured beside the usual: a mark in a configuration, and the text in its place.
    pub changes: &'static [(&'static str, &'static str)],
}

/// How many connections.
#[derive(Clone, Copy, Debug)]
pub enum Many {
    /// As many as there can be.
    All,
    /// As many as keep the attacker's core busy.
    Fast,
    Exactly(usize),
}

const fn phase(name: &'static str, connections: Many) -> Phase {
    Phase { name, connections, one_address: false, relay_only: false, changes: &[] }
}

/// A second route, whose recipe says nothing of its bodies: each new id that comes with a captured request is a new request.
macro_rules! other {
    ($upstream:literal, $delivery:literal) => {
        concat!(
            "[routes.other]\npath = \"/hooks/other\"\nsecrets = [{ file = \"secret\" }]\nupstream = \"",
            $upstream,
            "\"\ndelivery = \"",
            $delivery,
            "\"\n[routes.other.verify.hmac]\nalgorithm = \"sha256\"\nmessage = \"{body}\"\n\
             signature = { header = \"X-Hub-Signature-256\", prefix = \"sha256=\", encoding = \"hex\" }\n\
             dedupe = [{ header = \"X-GitHub-Delivery\" }]\n"
        )
    };
}

/// In the order of the table. The first ones are those of connections and protocols, the others spend what is shared.
pub const PHASES: &[Phase] = &[
    phase("silent", Many::All),
    phase("half-open", Many::All),
    phase("slowloris", Many::All),
    Phase { one_address: true, ..phase("slowloris-one", Many::All) },
    phase("slow-body", Many::All),
    phase("slow-read", Many::All),
    phase("handshakes", Many::Fast),
    phase("resets", Many::Fast),
    phase("pings", Many::Fast),
    phase("settings", Many::Fast),
    phase("junk", Many::Fast),
    // 9 000 streams, each with a head of 28 KB in 7 bytes, and no body.
    Phase { one_address: true, ..phase("streams", Many::Exactly(90)) },
    // Twice the rate of the route, unsigned. HAProxy can count what it has verified, nginx verifies nothing.
    Phase {
        one_address: true,
        changes: &[
            ("@route@", "rate = { per_second = 700, burst = 1400 }"),
            ("@http@", "limit_req_zone $server_name zone=route:1m rate=700r/s;"),
            ("@location@", "limit_req zone=route burst=1400 nodelay; limit_req_status 429;"),
            ("@tables@", "backend route\n  stick-table type integer size 1 expire 10s store http_req_rate(1s)"),
            (
                "@verified@",
                "http-request track-sc1 int(1) table route\n  \
                 http-request return status 429 if { sc1_http_req_rate gt 1400 }",
            ),
        ],
        ..phase("forged-rate", Many::Exactly(10))
    },
    // Twice as many as there may be in flight.
    Phase {
        one_address: true,
        changes: &[
            ("@route@", "max_in_flight = 50"),
            ("@http@", "limit_conn_zone $server_name zone=route:1m;"),
            ("@location@", "limit_conn route 50;"),
            ("@server@", "maxconn 50"),
        ],
        ..phase("silent-bodies", Many::Exactly(100))
    },
    // More ids than all of dedupe memory holds, on the route beside.
    Phase {
        relay_only: true,
        changes: &[("@limits@", "dedupe_entries = 40000"), ("@more@", other!("app", "direct"))],
        ..phase("ids", Many::Fast)
    },
    // More than the store holds, for an upstream that is down.
    Phase {
        relay_only: true,
        changes: &[
            ("@route@", "delivery = \"queue\""),
            (
                "@more@",
                concat!(
                    "[store]\nsqlite = { path = \"@folder@/@store@\" }\nkeep = { size = \"64MiB\" }\n\
                     [upstreams.down]\nservers = [\"http://127.0.0.1:9\"]\n",
                    other!("down", "queue")
                ),
            ),
        ],
        ..phase("spool", Many::Fast)
    },
    // Copies of one request with a head of 30 KB, many times what the history may take.
    Phase {
        relay_only: true,
        changes: &[("@more@", "[store]\nsqlite = { path = \"@folder@/@store@\" }\nkeep = { size = \"64MiB\" }\n")],
        ..phase("history", Many::Fast)
    },
    // Each has one captured request to show, and stays.
    phase("replayers", Many::All),
    // On the admin listener. Beside the genuine requests its health is asked for.
    Phase {
        relay_only: true,
        one_address: true,
        changes: &[(
            "@more@",
            "[admin]\naddress = \"unix:@folder@/@store@.sock\"\nscrape_address = \"127.0.0.1:@admin@\"\n",
        )],
        ..phase("admin", Many::Exactly(64))
    },
    // 8 MiB, unsigned, on a route with sixteen secrets.
    Phase {
        changes: &[(
            "@more@",
            "[routes.many]\npath = \"/hooks/many\"\nprovider = \"github\"\nupstream = \"app\"\nsecrets = [@secrets@]\n",
        )],
        ..phase("large", Many::Exactly(8))
    },
];
