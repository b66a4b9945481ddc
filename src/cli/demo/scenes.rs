//! What is sent, and what must become of it.

use super::provider::{Oktave, dastra, github, octolis, stripe, with_body, with_header, with_name, without_header};
use super::stage::Secrets;
use crate::base::{Secret, UnixMillis};
use crate::cli::sender::{Request, new_id};
use crate::domain::Refusal;

const DELIVERED: &str = "delivered";
const DUPLICATE: &str = "duplicate";
/// The scene that `explain` is shown with.
pub(super) const EXPLAINED: &str = "a proxy on the way reformatted the body";

/// Who gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaches {
    Nobody,
    Application,
    /// The endpoint of Octolis.
    Endpoint,
}

/// What must become of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) status: u16,
    /// The outcome, or the reason of a refusal, as the log has it.
    pub(super) verdict: &'static str,
    pub(super) reaches: Reaches,
}

/// One request.
pub(super) struct Scene {
    pub(super) system: &'static str,
    pub(super) sent: &'static str,
    /// Answers what a reader may ask about it; empty where nothing is to be asked.
    pub(super) note: &'static str,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

impl Scene {
    fn with(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

fn delivered(reaches: Reaches) -> Expected {
    Expected { status: 200, verdict: DELIVERED, reaches }
}

fn duplicate() -> Expected {
    Expected { status: 200, verdict: DUPLICATE, reaches: Reaches::Nobody }
}

fn refused(status: u16, refusal: Refusal) -> Expected {
    Expected { status, verdict: refusal.code(), reaches: Reaches::Nobody }
}

/// Every request, in the order of the show.
pub(super) fn scenes(secrets: &Secrets, now: UnixMillis) -> Vec<Scene> {
    let mut scenes = github_scenes(&secrets.github);
    scenes.extend(stripe_scenes(&secrets.stripe, now.secs()));
    scenes.extend(oktave(&secrets.oktave, now.secs()));
    scenes.extend(dastra_scenes(&secrets.dastra));
    scenes.extend(octolis_scenes(&secrets.octolis));
    scenes.extend(to_octolis(&secrets.oktave, now.secs()));
    scenes
}

fn github_scenes(secret: &Secret) -> Vec<Scene> {
    const PATH: &str = "/hooks/github";
    let (delivery, commit, other) = (new_id(), new_id(), new_id());
    let push = |delivery: &str| github(PATH, delivery, &commit, secret);
    let changed = || github(PATH, &new_id(), &other, secret);
    let scene = |sent, request, expected| Scene { system: "GitHub", sent, note: "", request, expected };
    vec![
        scene("a genuine push event", push(&delivery), delivered(Reaches::Application)),
        scene("the same delivery, sent again by GitHub", push(&delivery), duplicate()).with(
            "200, because GitHub must not send it a third time. The application has\nit already, so it is not forwarded.",
        ),
        scene("captured and sent under a new delivery id", push(&new_id()), duplicate())
            .with("GitHub does not sign the id. The relay knows the request by its body."),
        scene(
            "one character of the body changed",
            with_body(changed(), "heads/main", "heads/mail"),
            refused(401, Refusal::SignatureMismatch),
        ),
        scene(EXPLAINED, with_body(changed(), "\":", "\": "), refused(401, Refusal::SignatureMismatch))
            .with("\"explain\" finds the cause; it is shown below."),
        scene(
            "only the old SHA-1 signature",
            with_name(changed(), "X-Hub-Signature-256", "X-Hub-Signature"),
            refused(401, Refusal::SignatureMissing),
        ),
    ]
}

fn stripe_scenes(secret: &Secret, now: i64) -> Vec<Scene> {
    const PATH: &str = "/hooks/stripe";
    let (event, other) = (new_id(), new_id());
    let payment = |event: &str, at: i64| stripe(PATH, event, 1999, at, secret);
    let forger = Secret::new(b"whsec_somebody_elses_secret".to_vec());
    let scene = |sent, request, expected| Scene { system: "Stripe", sent, note: "", request, expected };
    vec![
        scene("a genuine payment event", payment(&event, now), delivered(Reaches::Application)),
        scene("the same event, sent again by Stripe", payment(&event, now + 1), duplicate()),
        scene(
            "the amount changed from 19.99 to 99.99",
            with_body(payment(&other, now), "1999", "9999"),
            refused(401, Refusal::SignatureMismatch),
        ),
        scene("signed ten minutes ago", payment(&other, now - 600), refused(401, Refusal::TimestampStale))
            .with("Stripe signs each attempt with its own time, so an old one is a replay."),
        scene(
            "forged: signed with another secret",
            stripe(PATH, &other, 1999, now, &forger),
            refused(401, Refusal::SignatureMismatch),
        ),
    ]
}

fn oktave(secret: &Secret, now: i64) -> Vec<Scene> {
    const PATH: &str = "/hooks/oktave";
    let (event, other, third) = (new_id(), new_id(), new_id());
    let attempt = |event: &str, at: i64| Oktave { path: PATH, event, attempt: &new_id(), at }.request(secret);
    let scene = |sent, request, expected| Scene { system: "Oktave", sent, note: "", request, expected };
    // The last digit of the time moved to the end of the id: the signed text is the same, letter for letter.
    let slid = {
        let genuine = attempt(&third, now);
        let (front, back) = third.split_at_checked(third.len() - 1).unwrap_or((&third, ""));
        let id = with_header(genuine, "Oktave-Event-Id", front);
        with_header(id, "Oktave-Timestamp", &format!("{back}{now}"))
    };
    vec![
        scene("a genuine event", attempt(&event, now), delivered(Reaches::Application)),
        scene("the same event again, a retry of Oktave's", attempt(&event, now + 1), duplicate()),
        scene(
            "that event captured, with another body",
            with_body(attempt(&event, now), "Très bien", "Très mal"),
            duplicate(),
        )
        .with("Oktave signs id and time, not the body. The id is known, so nothing is\nforwarded: the new body reaches nobody."),
        scene("signed two hours ago", attempt(&other, now - 7200), refused(401, Refusal::TimestampStale)),
        scene(
            "another time than the signed one",
            with_header(attempt(&other, now), "Oktave-Timestamp", &(now - 1).to_string()),
            refused(401, Refusal::SignatureMismatch),
        ),
        scene(
            "a body that speaks of another event",
            with_body(attempt(&other, now), &other, &third),
            refused(401, Refusal::BindingMismatch),
        ),
        scene("a digit moved from the time to the id", slid, refused(401, Refusal::ShapeInvalid)),
        scene(
            "no signature",
            without_header(attempt(&third, now), "Oktave-Signature"),
            refused(401, Refusal::SignatureMissing),
        ),
    ]
}

fn dastra_scenes(secret: &Secret) -> Vec<Scene> {
    const PATH: &str = "/hooks/dastra";
    let (event, other) = (new_id(), new_id());
    let scene = |sent, request, expected| Scene { system: "Dastra", sent, note: "", request, expected };
    vec![
        scene("a genuine event", dastra(PATH, &event, secret), delivered(Reaches::Application)),
        scene("the same request again, byte for byte", dastra(PATH, &event, secret), duplicate()),
        scene(
            "one digit of the body changed",
            with_body(dastra(PATH, &other, secret), "\"workspace\":7", "\"workspace\":8"),
            refused(401, Refusal::SignatureMismatch),
        ),
        scene(
            "signed with another secret",
            dastra(PATH, &other, &Secret::new(b"somebody else's secret".to_vec())),
            refused(401, Refusal::SignatureMismatch),
        ),
        scene(
            "genuine, but not from Dastra's addresses",
            dastra("/hooks/dastra-only", &other, secret),
            refused(403, Refusal::AddressNotAllowed),
        )
        .with("This route admits the addresses that Dastra publishes, and no other. The\nroute above admits this machine as well."),
    ]
}

fn octolis_scenes(key: &Secret) -> Vec<Scene> {
    const PATH: &str = "/hooks/octolis";
    let wrong = Secret::new(b"another-key-of-the-same-length-as-the-real-one!!".to_vec());
    let scene = |sent, request, expected| Scene { system: "Octolis", sent, note: "", request, expected };
    let (key, tenant) = (Some(key), Some("north"));
    vec![
        scene("POST with key and header", octolis("POST", PATH, key, tenant), delivered(Reaches::Application))
            .with("The key stays in the relay: the application never sees it."),
        scene("PUT with key and header", octolis("PUT", PATH, key, tenant), delivered(Reaches::Application)),
        scene("a wrong key", octolis("POST", PATH, Some(&wrong), tenant), refused(401, Refusal::SignatureMismatch)),
        scene("no key", octolis("POST", PATH, None, tenant), refused(401, Refusal::SignatureMissing)),
        scene(
            "DELETE, which the route does not allow",
            octolis("DELETE", PATH, key, tenant),
            refused(405, Refusal::MethodNotAllowed),
        ),
        scene(
            "the header with another value",
            octolis("POST", PATH, key, Some("east")),
            refused(403, Refusal::HeaderRequired),
        ),
        scene(
            "a path that is not configured",
            octolis("POST", "/hooks/unknown", key, tenant),
            refused(404, Refusal::RouteUnknown),
        ),
    ]
}

fn to_octolis(secret: &Secret, now: i64) -> Vec<Scene> {
    const PATH: &str = "/hooks/oktave-to-octolis";
    let (event, other) = (new_id(), new_id());
    let attempt = |event: &str| Oktave { path: PATH, event, attempt: &new_id(), at: now }.request(secret);
    let scene = |sent, request, expected| Scene { system: "Oktave, into Octolis", sent, note: "", request, expected };
    vec![
        scene("a genuine event; the relay adds the key", attempt(&event), delivered(Reaches::Endpoint))
            .with("The receiver wants a key. Only the relay has it, and adds it after the\nsignature was checked."),
        scene(
            "a forged event",
            with_header(attempt(&other), "Oktave-Event-Id", &event),
            refused(401, Refusal::SignatureMismatch),
        ),
    ]
}
