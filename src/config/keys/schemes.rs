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
    key("public_key", Table(PUBLIC_KEY)),
    key("token", Table(TOKEN)),
    key("dangerously_none", Flag),
    key("jwt", Table(JWT)),
    key("message_signature", Table(MESSAGE_SIGNATURE)),
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
    key("dedupe_window", Text),
    key("max_body", Text),
    key("addresses", TEXTS),
    key("forward_headers", TEXTS),
    required("verify", VERIFY),
    key(
        "challenge",
        List(&Table(&[
            required("when", List(&Table(CONDITION))),
            required("signed", Flag),
            required("answer", Table(CHALLENGE_ANSWER)),
        ])),
    ),
];

const CONDITION: &[Key] = &[
    key("method", Text),
    key("header", Text),
    key("query", Text),
    key("form", Text),
    key("json", Text),
    key("equals", Text),
    key("is_secret", Flag),
];
const CHALLENGE_ANSWER: &[Key] = &[
    required("status", MIDDLING),
    key("body", Text),
    key("content_type", Text),
    key("text", List(&PIECE)),
    key("json", Named(&PIECE)),
    key("headers", Named(&PIECE)),
];
const PIECE: Shape = Either(
    "a text, a part of the request such as { query = \"…\" }, or { hmac = \"sha256\", of = \"…\" }",
    &[
        Text,
        Table(&[
            key("header", Text),
            key("query", Text),
            key("form", Text),
            key("json", Text),
            key("hmac", Text),
            key("digest", Text),
            key("of", Text),
            key("shape", Text),
            key("prefix", Text),
            key("encoding", Text),
            key("key", Table(&[key("prefix", Text), key("encoding", Text), key("suffix", Text), key("hash", Text)])),
            key("with_challenge_secret", Flag),
        ]),
    ],
);

const ANSWER: &[Key] = &[required("status", MIDDLING), key("body", Text), key("content_type", Text)];

const PART: &[Key] = &[key("header", Text), key("query", Text), key("form", Text), key("json", Text)];

const KEY_ID: &[Key] =
    &[key("header", Text), key("query", Text), key("form", Text), key("json", Text), key("item", Text)];

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
const DEDUPE_PART: &[Key] = &[
    key("header", Text),
    key("query", Text),
    key("form", Text),
    key("json", Text),
    key("claim", Text),
    key("when", Table(WHEN)),
];
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

const SIGNATURE: Shape = Table(&[
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
        Table(&[
            required("separator", Text),
            key("assign", Text),
            key("names", TEXTS),
            key("from", SMALL),
            key("quoted", Flag),
            key("fixed", Named(&Text)),
        ]),
    ),
]);
const TIMESTAMP: Shape = Table(&[
    key("header", Text),
    key("query", Text),
    key("form", Text),
    key("json", Text),
    key("claim", Text),
    key("item", Text),
    key("position", SMALL),
    key("format", Text),
    key("tolerance", Text),
    key("tolerance_ahead", Text),
    key("informative", Flag),
]);
const VARIANTS: Shape =
    List(&Table(&[required("content_type", Text), required("message", Text), key("body_digests", BODY_DIGESTS)]));

/// Of every scheme that signs a message, whose keys look so.
const fn signed(keys: &'static [Key]) -> [Key; 16] {
    [
        required("algorithm", Text),
        required("signature", SIGNATURE),
        required("message", Text),
        key("key", Table(keys)),
        key("key_id", OneOf(KEY_ID)),
        key("id", OneOf(PART)),
        key("timestamp", TIMESTAMP),
        key("shapes", SHAPES),
        key("bindings", BINDINGS),
        key("body_digests", BODY_DIGESTS),
        key("dedupe", DEDUPE),
        key("bodies", Text),
        key("variants", VARIANTS),
        key("url_with_and_without_port", Flag),
        key("each", Text),
        key("hashed", Text),
    ]
}

const MAC: &[Key] = &signed(&[key("prefix", Text), key("encoding", Text), key("suffix", Text), key("hash", Text)]);
const PUBLIC_KEY: &[Key] = &signed(&[key("prefix", Text), key("encoding", Text), key("form", Text)]);

const MESSAGE_SIGNATURE: &[Key] = &[
    required("algorithm", Text),
    required("components", TEXTS),
    key("label", Text),
    key("key", Table(&[key("prefix", Text), key("encoding", Text), key("form", Text)])),
    key("named_keys", Flag),
    key("tolerance", Text),
    key("tolerance_ahead", Text),
    key("shapes", SHAPES),
    key("bindings", BINDINGS),
    key("dedupe", DEDUPE),
    key("bodies", Text),
];

const JWT: &[Key] = &[
    required("algorithms", TEXTS),
    required(
        "token",
        Table(&[key("header", Text), key("query", Text), key("form", Text), key("json", Text), key("body", Flag)]),
    ),
    key("payload", Text),
    key("unencoded", Flag),
    key("listed", TEXTS),
    key("kid", Flag),
    key("jose", Named(&TEXTS)),
    key("claims", Named(&TEXTS)),
    key("of_route", TEXTS),
    key("required", TEXTS),
    key(
        "hashes",
        List(&Table(&[
            required("claim", Text),
            required("of", Text),
            required("algorithm", Text),
            key("encoding", Text),
            key("absent_if_empty", Flag),
        ])),
    ),
    key("leeway", Text),
    key(
        "key",
        Table(&[key("prefix", Text), key("encoding", Text), key("suffix", Text), key("hash", Text), key("form", Text)]),
    ),
    key("timestamp", TIMESTAMP),
    key("shapes", SHAPES),
    key("bindings", BINDINGS),
    key("dedupe", DEDUPE),
    key("bodies", Text),
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
