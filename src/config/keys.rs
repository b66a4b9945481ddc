//! Every key of `relay.toml`, once: where it stands, and what shape its value has.
//!
//! Unknown keys and values of a wrong type are found with this table (`shape`), the JSON Schema is made from it (`schema`), and
//! tests hold it against the raw types, the cards of `docs/config.md` and the shipped `relay.toml`.
//!
//! Deliberately absent: what a value may be. A rule says that, in words of its own, when the file is compiled.

mod schemes;

use self::schemes::{RECIPE, VERIFY};

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    /// As it is written.
    pub(super) name: &'static str,
    /// What may stand behind it.
    pub(super) shape: Shape,
    /// Whether the table makes no sense without it. Where a rule says so, in words of its own, this is `false`.
    pub(super) required: bool,
}

/// What a value looks like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// One of these texts. A rule refuses any other.
    Word(&'static [&'static str]),
    /// One of these texts, and no rule comes after.
    Choice(&'static [&'static str]),
    /// A text such as `"5s"`. A number is let pass: the rule asks for its unit.
    Duration,
    /// A text such as `"1MiB"`. A number is let pass: the rule asks for its unit.
    Size,
    /// A whole number within these bounds, which are those of its raw type. Closer ones are a rule's.
    Whole(i64, i64),
    /// A number, whole or not.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of values that look alike.
    List(&'static Self),
    /// A table of known keys.
    Table(&'static [Key]),
    /// A table of names that the operator chooses.
    Named(&'static Self),
    /// A table with exactly one of these keys.
    OneOf(&'static [Key]),
    /// One of several shapes; the text says which, for a value that has none of them.
    Either(&'static str, &'static [Self]),
    /// Read so that a rule can say why it is refused; no form of it is right.
    Refused(&'static Self),
    /// A reserved key, whatever stands behind it; a rule refuses it.
    Reserved,
}

use Shape::{Duration, Either, Flag, List, Named, Number, Refused, Reserved, Size, Table, Text, Whole, Word};

/// Any whole number of TOML.
const ANY: Shape = Whole(i64::MIN, i64::MAX);
const TEXTS: Shape = List(&Text);

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, required: true }
}

/// The whole file.
pub(super) const FILE: &[Key] = &[
    key("reload", Word(&["auto", "manual"])),
    key("listeners", List(&Table(LISTENER))),
    key("admin", Table(ADMIN)),
    key("log", Table(LOG)),
    key("limits", Table(LIMITS)),
    key("store", Table(STORE)),
    key(
        "address_lists",
        Named(&Either("a list of addresses and networks, or { file = \"…\" }", &[TEXTS, Table(LIST_FILE)])),
    ),
    key("upstreams", Named(&Table(UPSTREAM))),
    key("providers", Named(&Table(RECIPE))),
    key("routes", Named(&Table(ROUTE))),
];

const LIST_FILE: &[Key] = &[
    key("file", Text),
    key("feed", Text),
    key("format", Word(&["github", "aws", "google", "atlassian", "text"])),
    key("member", Text),
    key("services", TEXTS),
    key("regions", TEXTS),
    key("products", TEXTS),
    key("directions", TEXTS),
    key("max_age", Duration),
    key("max_shrink_percent", ANY),
    key("accept", Text),
];

const SECRET: Shape = Table(&[key("file", Text), key("credential", Text), key("env", Text), key("id", Text)]);
/// A secret that was written into the file is reported as such, and not as a wrong type.
const SECRETS: Shape =
    List(&Either("a secret: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }", &[SECRET, Refused(&Text)]));
const SECRET_ONE: Shape =
    Either("a secret: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }", &[SECRET, Refused(&Text)]);
const PUBLIC_KEYS: Shape = List(&Either(
    "a public key as text, { key = \"…\" } or { file = \"…\" }",
    &[Text, Table(&[key("file", Text), key("key", Text), key("id", Text)])],
));
const VALUE: Shape =
    Either("a text or a secret: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }", &[Text, SECRET]);
const RATE: Shape = Table(&[key("per_second", Number), key("burst", ANY)]);

const LISTENER: &[Key] = &[
    key("name", Text),
    key("address", Text),
    key("proxy_protocol_from", TEXTS),
    key("trust_forwarded_from", TEXTS),
    key("deny", TEXTS),
    key("dangerously_plaintext", Flag),
    key(
        "tls",
        Table(&[
            key("min_version", Word(&["1.2", "1.3"])),
            key("certificates", List(&Table(&[key("chain", Text), key("key", VALUE)]))),
            key(
                "client_auth",
                Table(&[
                    key("ca", Text),
                    key("required", Flag),
                    key("crls", TEXTS),
                    key("expired_crl", Word(&["refuse", "accept"])),
                ]),
            ),
        ]),
    ),
];

const ADMIN: &[Key] = &[
    key("address", Text),
    key("operators", TEXTS),
    key("readers", TEXTS),
    key("scrape_address", Text),
    key("dangerously_exposed", Flag),
];

const LOG: &[Key] = &[key("format", Word(&["auto", "human", "json"])), key("refusals_per_second", ANY)];

const LIMITS: &[Key] = &[
    key("max_connections", ANY),
    key("max_connections_per_address", ANY),
    key("handshakes_per_address", RATE),
    key("handshake_timeout", Duration),
    key("head_timeout", Duration),
    key("body_timeout", Duration),
    key("body_grace", Duration),
    key("min_body_rate", Size),
    key("idle_timeout", Duration),
    key("write_timeout", Duration),
    key("drain_timeout", Duration),
    key("max_head", Size),
    key("max_headers", ANY),
    key("max_body", Size),
    key("body_memory", Size),
    key("max_h2_streams", ANY),
    key("dedupe_entries", ANY),
];

const STORE: &[Key] = &[
    key("sqlite", Table(&[key("path", Text)])),
    key("postgres", Reserved),
    key(
        "encryption_key",
        Either(
            "a secret or a list of them: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }",
            &[SECRET, SECRETS, Refused(&Text)],
        ),
    ),
    key("keep", Table(&[key("age", Duration), key("size", Size)])),
    key("disk_reserve", Size),
    key("refusals_per_second", ANY),
];

const UPSTREAM: &[Key] = &[
    key("servers", TEXTS),
    key("balance", Word(&["round_robin", "least_connections"])),
    key("http2", Word(&["off", "auto", "only"])),
    key("connect_timeout", Duration),
    key("keepalive", Duration),
    key(
        "health",
        Table(&[
            key("path", Text),
            key("interval", Duration),
            key("timeout", Duration),
            key("unhealthy_after", ANY),
            key("healthy_after", ANY),
        ]),
    ),
    key("ejection", Table(&[key("after_failures", ANY), key("duration", Duration)])),
    key("tls", Table(&[key("ca", Text), key("client_cert", Text), key("client_key", VALUE), key("server_name", Text)])),
];

const HEADERS: Shape = Named(&Either("a list of values, or true for any value", &[TEXTS, Flag]));

const ROUTE: &[Key] = &[
    key("description", Text),
    key("path", Text),
    key("host", Text),
    key("public_url", Text),
    key("provider", Text),
    key("verify", VERIFY),
    key("secrets", SECRETS),
    key("public_keys", PUBLIC_KEYS),
    key("claims", Named(&TEXTS)),
    key("challenge_secret", SECRET_ONE),
    key("methods", TEXTS),
    key("allow", TEXTS),
    key("deny", TEXTS),
    key("address_check", Word(&["enforce", "observe"])),
    key("headers", HEADERS),
    key(
        "observe",
        Table(&[
            key("provider", Text),
            key("verify", VERIFY),
            key("secrets", SECRETS),
            key("public_keys", PUBLIC_KEYS),
            key("headers", HEADERS),
        ]),
    ),
    key("content_types", TEXTS),
    key("client_auth", Flag),
    key("max_body", Size),
    key("rate", RATE),
    key("rate_per_source", RATE),
    key("max_in_flight", ANY),
    key("dedupe", Table(&[key("window", Duration), key("off", Flag)])),
    key("upstream", Text),
    key("upstream_path", Text),
    key("forward_headers", TEXTS),
    key("trust_trace_from", TEXTS),
    key("upstream_headers", Named(&VALUE)),
    key("upstream_query", Named(&VALUE)),
    key("sign_with", SECRETS),
    key("delivery", Word(&["direct", "failover", "queue"])),
    key("deadline", Duration),
    key("ordered", Flag),
    key("concurrency", ANY),
    key(
        "retry",
        Table(&[
            key("first", Duration),
            key("max", Duration),
            key("give_up_after", Duration),
            key("attempts", ANY),
            key("timeout", Duration),
        ]),
    ),
    key("keep_body", Flag),
    key("error_budget", ANY),
    key("inactivity_alert", Either("a duration, \"baseline\" or \"off\"", &[Word(&["baseline", "off"]), Duration])),
    key(
        "answer",
        Either(
            "\"upstream\" or { status = …, body = \"…\", content_type = \"…\" }",
            &[Word(&["upstream"]), Table(&[key("status", ANY), key("body", Text), key("content_type", Text)])],
        ),
    ),
];

#[cfg(test)]
mod tests;
