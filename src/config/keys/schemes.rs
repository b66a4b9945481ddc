//! The keys of `verify` tables and of recipes: `docs/schemes.md`.

use super::Shape::{Either, Flag, List, Named, OneOf, Reserved, Table, Text, Whole};
use super::{Key, Shape, TEXTS, key, required};

/// As `u8`, `u16` and `u32` of the raw types have it.
const SMALL: Shape = Whole(0, u8::MAX as i64);
const MIDDLING: Shape = Whole(0, u16::MAX as i64);
const LARGE: Shape = Whole(0, u32::MAX as i64);

/// `[routes.<name>.verify]`: exactly one kind.
pub(super) const VERIFY: Shape = OneOf(&[
    key("hmac", Table(MAC)),
    key("digest", Table(MAC)),
    key("token", Table(TOKEN)),
    key("dangerously_none", Flag),
    key("public_key", Reserved),
    key("jwt", Reserved),
    key("message_signature", Reserved),
    key("certificate", Reserved),
]);

/// `[providers.<name>]`, and a file of `providers/`.
pub(super) const RECIPE: &[Key] = &[
    key("name", Text),
    key("docs", Text),
    key("evidence", Text),
    key("evidence_date", Text),
    key("notes", Text),
    key("methods", TEXTS),
    key("content_types", TEXTS),
    key("success", Table(ANSWER)),
    key("timeout", Text),
    key("deadline", Text),
    key("error_budget", LARGE),
    key("retry", Text),
    key("retries_for", Text),
    key("retries_keep_time", Flag),
    key("replay_window", Text),
    key("max_body", Text),
    key("addresses", TEXTS),
    key("forward_headers", TEXTS),
    required("verify", VERIFY),
    key(
        "challenge",
        List(&Table(&[required("when", Table(WHEN)), required("signed", Flag), required("answer", Table(ANSWER))])),
    ),
];

const ANSWER: &[Key] = &[required("status", MIDDLING), key("body", Text), key("content_type", Text)];

const PART: &[Key] = &[key("header", Text), key("query", Text), key("form", Text), key("json", Text)];

const SHAPES: Shape = Named(&Text);
const BINDINGS: Shape = List(&Table(&[required("json", Text), required("header", Text)]));
const DEDUPE: Shape = List(&Either(
    "a part of the request such as { header = \"…\" }, \"signature\", \"body\", or a list of these",
    &[Shape::Choice(&["signature", "body"]), OneOf(DEDUPE_PART), List(&DEDUPE_ONE)],
));
const DEDUPE_ONE: Shape = Either(
    "a part of the request such as { header = \"…\" }, or \"signature\" or \"body\"",
    &[Shape::Choice(&["signature", "body"]), OneOf(DEDUPE_PART)],
);
const DEDUPE_PART: &[Key] =
    &[key("header", Text), key("query", Text), key("form", Text), key("json", Text), key("when", Table(WHEN))];
const WHEN: &[Key] = &[required("header", Text), required("equals", Text)];
const BODY_DIGESTS: Shape = List(&Table(&[
    key("header", Text),
    key("query", Text),
    key("json", Text),
    key("form", Text),
    required("algorithm", Text),
    key("encoding", Text),
    key("prefix", Text),
    key("required", Flag),
]));

const MAC: &[Key] = &[
    required("algorithm", Text),
    required(
        "signature",
        Table(&[
            key("header", Text),
            key("headers", TEXTS),
            key("numbered", MIDDLING),
            key("query", Text),
            key("form", Text),
            key("json", Text),
            key("prefix", Text),
            key("encoding", Text),
            key(
                "list",
                Table(&[required("separator", Text), key("assign", Text), key("names", TEXTS), key("from", SMALL)]),
            ),
        ]),
    ),
    required("message", Text),
    key("key", Table(&[key("prefix", Text), key("encoding", Text), key("suffix", Text), key("hash", Text)])),
    key("key_id", OneOf(PART)),
    key("id", OneOf(PART)),
    key(
        "timestamp",
        Table(&[
            key("header", Text),
            key("query", Text),
            key("form", Text),
            key("json", Text),
            key("item", Text),
            key("position", SMALL),
            key("format", Text),
            key("tolerance", Text),
            key("tolerance_ahead", Text),
            key("informative", Flag),
        ]),
    ),
    key("shapes", SHAPES),
    key("bindings", BINDINGS),
    key("body_digests", BODY_DIGESTS),
    key("dedupe", DEDUPE),
    key("bodies", Text),
    key(
        "variants",
        List(&Table(&[required("content_type", Text), required("message", Text), key("body_digests", BODY_DIGESTS)])),
    ),
    key("url_with_and_without_port", Flag),
];

const TOKEN: &[Key] = &[
    key("header", Text),
    key("headers", TEXTS),
    key("query", Text),
    key("form", Text),
    key("json", Text),
    key("bearer", Flag),
    key("basic", Flag),
    key("prefix", Text),
    key("forward", Flag),
    key("shapes", SHAPES),
    key("bindings", BINDINGS),
    key("dedupe", DEDUPE),
    key("bodies", Text),
];
