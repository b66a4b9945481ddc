//! Names that no list may let in: what describes one hop, what only the relay may say, and what applications, frameworks and
//! agents take for the word of the proxy before them.

use super::FieldPattern;

/// Trace context as W3C has it. A route may keep it for senders whose addresses it lists.
pub const TRACE_CONTEXT: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The id of a request. Only a scheme that reads the sender's lets it pass.
pub const REQUEST_ID: &str = "x-request-id";

/// A family: what it does, and its names in lower case; one that ends with a hyphen stands for all that begin so.
type Family = (&'static str, &'static [&'static str]);

const FAMILIES: &[Family] = &[
    (
        "describes one connection",
        &[
            "alt-used",
            "connection",
            "content-length",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "max-forwards",
            "proxy",
            "proxy-",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "via",
        ],
    ),
    ("is the relay's own word", &["relay-", REQUEST_ID]),
    (
        "is taken for a proxy's word about the source",
        &[
            "cf-connecting-",
            "client-ip",
            "cluster-client-ip",
            "fastly-client-ip",
            "fly-client-ip",
            "forwarded",
            "forwarded-",
            "real-ip",
            "remote-",
            "source-ip",
            "true-client-ip",
            "wl-proxy-",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-coming-from",
            "x-envoy-",
            "x-forward-",
            "x-forwarded",
            "x-forwarded-",
            "x-from-ip",
            "x-gateway-",
            "x-host",
            "x-ip",
            "x-nginx-proxy",
            "x-originating-ip",
            "x-proxy-",
            "x-proxyuser-ip",
            "x-real-",
            "x-remote-",
            "x-scheme",
            "x-source-ip",
            "x-true-client-ip",
            "x-true-ip",
            "x-url-scheme",
            "x-vercel-forwarded-for",
            "x-vercel-ip-",
            "x-vercel-proxied-for",
            "front-end-https",
            "x-forwardedfor",
        ],
    ),
    (
        "moves a request to another path or method",
        &[
            "destination",
            "x-http-destinationurl",
            "x-http-host-override",
            "x-http-method",
            "x-http-method-",
            "x-http-path-override",
            "x-method-override",
            "x-middleware-",
            "x-nextjs-",
            "x-now-route-matches",
            "x-invoke-path",
            "x-invoke-query",
            "x-invoke-status",
            "x-original-",
            "x-override-url",
            "x-rewrite-",
            "x-matched-path",
            "redirect-",
        ],
    ),
    (
        "is taken for a user or a client certificate that a proxy has verified",
        &[
            "cf-access-",
            "client-cert",
            "client-cert-",
            "ssl-",
            "tailscale-app-",
            "tailscale-headers-",
            "tailscale-user-",
            "x-amzn-mtls-",
            "x-amzn-oidc-",
            "x-anonymous-consumer",
            "x-apigateway-",
            "x-appengine-",
            "x-arr-",
            "x-auth-request-",
            "x-auth-user",
            "x-authenticated-",
            "x-authentik-",
            "x-client-cert",
            "x-client-cert-",
            "x-client-certificate",
            "x-client-dn",
            "x-client-verify",
            "x-consumer-",
            "x-credential-",
            "x-endpoint-api-userinfo",
            "x-goog-authenticated-",
            "x-goog-iap-",
            "x-ms-client-principal",
            "x-ms-client-principal-",
            "x-ms-token-",
            "x-pomerium-",
            "x-ssl",
            "x-ssl-",
            "x-tls-",
            "x-userinfo",
            "x-vouch-",
            "x-webauth-",
            "x-zrok-",
        ],
    ),
    (
        "steers a web server's answer",
        &["x-accel-", "x-lighttpd-", "x-litespeed-", "x-reproxy-", "x-sendfile", "x-sendfile-"],
    ),
    (
        "continues a trace: it starts at the edge (trust_trace_from keeps a listed sender's)",
        &[
            "b3",
            "baggage",
            "elastic-apm-traceparent",
            "grpc-trace-bin",
            "jaeger-",
            "newrelic",
            "ot-",
            "sentry-trace",
            "traceparent",
            "tracestate",
            "uber-trace-id",
            "uberctx-",
            "x-amzn-trace-id",
            "x-b3-",
            "x-cloud-trace-context",
            "x-datadog-",
            "x-instana-",
            "x-newrelic-",
            "x-ot-",
            "x-trace-id",
        ],
    ),
];

/// Why no field of this name may pass, in every spelling that an application folds into it; `None`: a list may have it.
pub fn reserved(name: &str) -> Option<&'static str> {
    overlap(&FieldPattern::Name(name.into()))
}

/// Why an entry may not stand in a list: some name that it lets in is reserved.
pub(super) fn overlap(entry: &FieldPattern) -> Option<&'static str> {
    let fold = |text: &str| text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let (wanted, open) = match entry {
        FieldPattern::Name(name) => (fold(name), false),
        FieldPattern::Prefix(start) => (fold(start), true),
    };
    let meets = |known: &str| {
        let family = known.ends_with('-');
        wanted == known || (family && wanted.starts_with(known)) || (open && known.starts_with(&wanted))
    };
    FAMILIES.iter().find(|(_, names)| names.iter().any(|known| meets(known))).map(|(why, _)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_name_is_found_in_every_spelling() {
        for name in [
            "Proxy",
            "X-Forwarded-User",
            "x_forwarded_for",
            "Relay.Redelivery",
            "X-HTTP-Method.Override",
            "X-HTTP-Method",
            "Remote-User",
            "TraceParent",
            "B3",
            "X-B3-Sampled",
            "SSL-Client-Verify",
            "X-Accel-Redirect",
            "Relay-Anything",
            "X-MS-Client-Principal-ID",
        ] {
            assert!(reserved(name).is_some(), "{name}");
        }
        for name in [
            "X-GitHub-Event",
            "X-Goog-Channel-ID",
            "CF-Webhook-Auth",
            "X-Vercel-Signature",
            "X-Amz-Sns-Topic-Arn",
            "Cookie",
            "Authorization",
            "Idempotency-Key",
            "Content-Type",
            "X-Remote",
            "Remoteness",
            "X-Correlation-Id",
        ] {
            assert_eq!(reserved(name), None, "{name}");
        }
    }

    #[test]
    fn a_beginning_that_would_let_one_in_is_reserved_too() {
        let overlaps = |start: &str| overlap(&FieldPattern::Prefix(start.into())).is_some();
        for start in
            ["X-", "X-Forwarded-", "x-http-", "Relay-", "Content-", "X-B3-", "X-Goog-", "Proxy-", "X-Envoy-Peer-"]
        {
            assert!(overlaps(start), "{start}");
        }
        for start in ["X-GitHub-", "Stripe-", "X-Goog-Channel-", "ce-", "X-Slack-", "webhook-"] {
            assert!(!overlaps(start), "{start}");
        }
    }

    #[test]
    fn the_table_is_in_the_form_that_the_search_has() {
        for (_, names) in FAMILIES {
            for name in *names {
                let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
                assert!(plain && !name.is_empty(), "{name}");
            }
        }
        assert!(TRACE_CONTEXT.iter().all(|name| reserved(name).is_some()));
    }
}
