//! What genuine senders send, and which of two sends are one request: from what is known of each provider, not from recipes.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::harness::{Call, base64_hmac, hex_hmac};

/// One send of one delivery.
#[derive(Clone, Debug)]
pub struct Send {
    /// Which of the route's two secrets signs it: each hook has its own.
    pub key: usize,
    /// The delivery's id, or the event's where the provider gives deliveries none.
    pub id: String,
    /// What the event says. Providers whose bodies never repeat say each number once.
    pub content: u64,
    /// When it happened, or was sent first.
    pub at: i64,
    /// When this attempt is made.
    pub now: i64,
    /// Attempts before this one.
    pub attempt: u32,
}

/// How requests of a provider are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// By an id that it signs: the body of a retry may differ.
    Id,
    /// By the body: whatever else is in the request, the same body is the same request.
    Body,
    /// By an id that it does not sign, and the body.
    Both,
    /// By nothing: each one counts.
    Nothing,
}

pub struct Provider {
    /// Of the route.
    pub name: &'static str,
    pub recipe: &'static str,
    pub known: Known,
    body: fn(&Send) -> String,
    call: fn(&Send, &str, Call) -> Call,
}

impl Provider {
    pub fn path(&self) -> String {
        format!("/hooks/{}", self.name)
    }

    /// Twenty-four bytes; behind a prefix where the scheme decodes it.
    pub fn secret(&self, key: usize) -> String {
        format!("whsec_{}", BASE64.encode(format!("{:-<23}{key}", self.name).as_bytes()))
    }

    pub fn call(&self, send: &Send) -> Call {
        let body = (self.body)(send);
        let call = Call::post(&self.path()).field("Content-Type", "application/json").body(&body);
        (self.call)(send, &self.secret(send.key), call)
    }

    /// The naive reference.
    pub fn same(&self, a: &Send, b: &Send) -> bool {
        let (ids, bodies) = (a.id == b.id, (self.body)(a) == (self.body)(b));
        let same = match self.known {
            Known::Id => ids,
            Known::Body => bodies,
            Known::Both => ids && bodies,
            Known::Nothing => false,
        };
        a.key == b.key && same
    }
}

fn text(call: &Call) -> String {
    String::from_utf8(call.body.clone()).unwrap()
}

fn sha1(secret: &str, message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn plain(send: &Send) -> String {
    format!("{{\"content\":{}}}", send.content)
}

/// The id is a member, and something else is another one in each attempt.
fn with(member: &str, send: &Send) -> String {
    format!("{{\"{member}\":\"{}\",\"pending\":{},\"content\":{}}}", send.id, send.attempt, send.content)
}

/// In the form of Standard Webhooks.
fn standard(prefix: &str, send: &Send, secret: &str, call: Call) -> Call {
    let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let key = String::from_utf8(key).unwrap();
    let signature = base64_hmac(&key, format!("{}.{}.{}", send.id, send.now, text(&call)));
    call.field(&format!("{prefix}-id"), &send.id)
        .field(&format!("{prefix}-timestamp"), &send.now.to_string())
        .field(&format!("{prefix}-signature"), &format!("v1,{signature}"))
}

fn github(event: &str, send: &Send, secret: &str, call: Call) -> Call {
    let signature = hex_hmac(secret, &call.body);
    call.field("X-GitHub-Event", event)
        .field("X-GitHub-Delivery", &send.id)
        .field("X-Hub-Signature-256", &format!("sha256={signature}"))
}

pub const ALL: &[Provider] = &[
    Provider {
        name: "bitbucket",
        recipe: "bitbucket",
        known: Known::Both,
        body: plain,
        call: |send, secret, call| {
            let signature = hex_hmac(secret, &call.body);
            call.field("X-Request-UUID", &send.id).field("X-Hub-Signature", &format!("sha256={signature}"))
        },
    },
    Provider {
        name: "dastra",
        recipe: "dastra",
        known: Known::Body,
        body: plain,
        call: |_, secret, call| {
            let signature = base64_hmac(secret, &call.body);
            call.field("Dastra-Signature", &signature)
        },
    },
    Provider {
        name: "github",
        recipe: "github",
        known: Known::Body,
        body: plain,
        call: |send, secret, call| github("push", send, secret, call),
    },
    // The same inputs twice are two runs.
    Provider {
        name: "github-dispatch",
        recipe: "github",
        known: Known::Both,
        body: |send| format!("{{\"inputs\":{{\"n\":{}}},\"workflow\":\".github/workflows/x.yml\"}}", send.content),
        call: |send, secret, call| github("workflow_dispatch", send, secret, call),
    },
    Provider {
        name: "gitlab",
        recipe: "gitlab",
        known: Known::Both,
        body: plain,
        call: |send, secret, call| {
            let event = format!("event-{}", send.content);
            call.field("X-Gitlab-Token", secret).field("X-Gitlab-Event-UUID", &event).field("Idempotency-Key", &send.id)
        },
    },
    // Before 17.4: the id is the event's.
    Provider {
        name: "gitlab-old",
        recipe: "gitlab",
        known: Known::Both,
        body: plain,
        call: |send, secret, call| call.field("X-Gitlab-Token", secret).field("X-Gitlab-Event-UUID", &send.id),
    },
    Provider {
        name: "intercom",
        recipe: "intercom",
        known: Known::Id,
        body: |send| with("id", send),
        call: |_, secret, call| {
            let signature = HEXLOWER.encode(&sha1(secret, &text(&call)));
            call.field("X-Hub-Signature", &format!("sha1={signature}"))
        },
    },
    // The redelivered event says that it is one.
    Provider {
        name: "line",
        recipe: "line",
        known: Known::Id,
        body: |send| {
            let again = send.attempt > 0;
            let event =
                |id: &str| format!("{{\"webhookEventId\":\"{id}\",\"deliveryContext\":{{\"isRedelivery\":{again}}}}}");
            format!("{{\"events\":[{},{}]}}", event("first"), event(&send.id))
        },
        call: |_, secret, call| {
            let signature = base64_hmac(secret, &call.body);
            call.field("X-Line-Signature", &signature)
        },
    },
    Provider {
        name: "linear",
        recipe: "linear",
        known: Known::Body,
        body: |send| format!("{{\"webhookTimestamp\":{},\"content\":{}}}", send.at * 1000, send.content),
        call: |send, secret, call| {
            let signature = hex_hmac(secret, &call.body);
            call.field("Linear-Delivery", &send.id).field("Linear-Signature", &signature)
        },
    },
    Provider {
        name: "octolis",
        recipe: "octolis",
        known: Known::Nothing,
        body: plain,
        call: |_, secret, call| {
            let target = format!("{}?api-key={}", call.target, secret.replace('=', "%3D").replace('+', "%2B"));
            Call { target, ..call }
        },
    },
    Provider {
        name: "oktave",
        recipe: "oktave",
        known: Known::Id,
        body: |send| with("event_id", send),
        call: |send, secret, call| {
            let signature = hex_hmac(secret, format!("{}{}", send.id, send.at));
            call.field("Oktave-Event-Id", &send.id)
                .field("Oktave-Timestamp", &send.at.to_string())
                .field("Oktave-Signature", &signature)
        },
    },
    // The event has the same id for every notification.
    Provider {
        name: "paddle",
        recipe: "paddle",
        known: Known::Id,
        body: |send| with("event_id\":\"evt_1\",\"notification_id", send),
        call: |send, secret, call| {
            let signature = hex_hmac(secret, format!("{}:{}", send.now, text(&call)));
            call.field("Paddle-Signature", &format!("ts={};h1={signature}", send.now))
        },
    },
    Provider {
        name: "shopify",
        recipe: "shopify",
        known: Known::Both,
        body: plain,
        call: |send, secret, call| {
            let signature = base64_hmac(secret, &call.body);
            call.field("X-Shopify-Webhook-Id", &send.id).field("X-Shopify-Hmac-Sha256", &signature)
        },
    },
    Provider {
        name: "slack",
        recipe: "slack",
        known: Known::Id,
        body: |send| with("event_id", send),
        call: |send, secret, call| {
            let signature = hex_hmac(secret, format!("v0:{}:{}", send.now, text(&call)));
            call.field("X-Slack-Request-Timestamp", &send.now.to_string())
                .field("X-Slack-Signature", &format!("v0={signature}"))
        },
    },
    Provider {
        name: "square",
        recipe: "square",
        known: Known::Id,
        body: |send| with("event_id", send),
        call: |_, secret, call| {
            let signature = base64_hmac(secret, format!("https://relay.example{}{}", call.target, text(&call)));
            call.field("x-square-hmacsha256-signature", &signature)
        },
    },
    Provider {
        name: "standard-webhooks",
        recipe: "standard-webhooks",
        known: Known::Id,
        body: |send| with("x", send),
        call: |send, secret, call| standard("webhook", send, secret, call),
    },
    Provider {
        name: "stripe",
        recipe: "stripe",
        known: Known::Id,
        body: |send| with("id", send),
        call: |send, secret, call| {
            let signature = hex_hmac(secret, format!("{}.{}", send.now, text(&call)));
            call.field("Stripe-Signature", &format!("t={},v1={signature}", send.now))
        },
    },
    Provider {
        name: "svix",
        recipe: "svix",
        known: Known::Id,
        body: |send| with("x", send),
        call: |send, secret, call| standard("svix", send, secret, call),
    },
    // Nobody signs it: another text under one number is another message.
    Provider {
        name: "telegram",
        recipe: "telegram",
        known: Known::Both,
        body: |send| format!("{{\"update_id\":\"{}\",\"content\":{}}}", send.id, send.content),
        call: |_, secret, call| call.field("X-Telegram-Bot-Api-Secret-Token", secret),
    },
    // One call: the caller may press the same key twice.
    Provider {
        name: "twilio",
        recipe: "twilio",
        known: Known::Both,
        body: |send| format!("CallSid=CA1&Digits={}", send.content),
        call: |send, secret, call| {
            let digits = send.content;
            let message = format!("https://relay.example{}CallSidCA1Digits{digits}", call.target);
            let signature = BASE64.encode(&sha1(secret, &message));
            call.set("Content-Type", "application/x-www-form-urlencoded")
                .field("I-Twilio-Idempotency-Token", &send.id)
                .field("X-Twilio-Signature", &signature)
        },
    },
    // The time of an attempt may be its own.
    Provider {
        name: "zoom",
        recipe: "zoom",
        known: Known::Body,
        body: |send| format!("{{\"event_ts\":{},\"content\":{}}}", send.at * 1000, send.content),
        call: |send, secret, call| {
            let at = if send.content % 2 == 0 { send.at } else { send.now };
            let signature = hex_hmac(secret, format!("v0:{at}:{}", text(&call)));
            call.field("x-zm-request-timestamp", &at.to_string()).field("x-zm-signature", &format!("v0={signature}"))
        },
    },
];
