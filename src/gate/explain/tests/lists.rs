//! What address lists say of a source.

use super::*;

#[test]
fn denials_and_observed_lists_are_told() {
    let proxies = "trust_forwarded_from = [\"10.0.0.0/30\"]\ndeny = [\"203.0.113.0/24\"]\ndangerously_plaintext = true";
    let config = CONFIG
        .replacen("dangerously_plaintext = true", proxies, 1)
        .replace("allow = [\"office\"", "deny = [\"192.0.2.0/28\"]\nallow = [\"10.0.0.1\", \"office\"");
    let observing =
        config.replace("deny = [\"192.0.2.0/28\"]", "deny = [\"192.0.2.0/28\"]\naddress_check = \"observe\"");
    let (enforcing, observing) = (load(&environment(), &config), load(&environment(), &observing));
    let explained = |snapshot: &Snapshot, source: Option<[u8; 4]>| {
        Given { source: source.map(IpAddr::from), ..Given::github(snapshot) }.explained(snapshot)
    };
    for (source, code, words) in [
        ([192, 0, 2, 1], "address_denied", "192.0.2.1 is denied by 192.0.2.0/28"),
        ([10, 0, 0, 1], "address_unknown", "10.0.0.1 is a listed proxy, which did not tell who sent it"),
        ([192, 0, 3, 1], "address_not_allowed", "192.0.3.1 is in none of: 10.0.0.1, office, 198.51.100.7"),
    ] {
        let explanation = explained(&enforcing, Some(source));
        // What the listener denies is asked first, and a proxy that does not tell is refused there already.
        let check = if code == "address_unknown" { "denied" } else { "address" };
        assert_eq!((&*explanation.refusal().unwrap().reason, &*explanation.refusal().unwrap().check), (code, check));
        let refused = step(&explanation, "address");
        assert_eq!((refused.verdict, &*refused.reason), (Verdict::Refused, code));
        assert!(refused.because.contains(words), "{}", refused.because);
        let observed = explained(&observing, Some(source));
        let words = format!("would be refused ({code}), but the lists are only observed: {words}");
        says(&observed, "address", Verdict::Passed, &words);
        assert_eq!(observed.sum(), if code == "address_unknown" { Sum::Refused } else { Sum::Taken });
    }
    let explanation = explained(&enforcing, Some([192, 0, 2, 99]));
    assert_eq!(explanation.sum(), Sum::Taken);
    says(
        &explanation,
        "denied",
        Verdict::Passed,
        "192.0.2.99 is in none of what listener `public` denies: 203.0.113.0/24",
    );
    says(&explanation, "address", Verdict::Passed, "192.0.2.99 is in office");
    let explanation = explained(&enforcing, Some([203, 0, 113, 1]));
    says(&explanation, "denied", Verdict::Refused, "203.0.113.1 is denied by 203.0.113.0/24");
    assert!(
        !step(&explanation, "host and path").reached && step(&explanation, "denied").hints[0].contains("before TLS")
    );
    let explanation = explained(&enforcing, None);
    says(&explanation, "denied", Verdict::Unknown, "listener `public` denies: 203.0.113.0/24");
    says(
        &explanation,
        "address",
        Verdict::Unknown,
        "the route asks: 10.0.0.1, office, 198.51.100.7; denies 192.0.2.0/28",
    );
    let denying =
        load(&environment(), &CONFIG.replace("allow = [\"office\", \"198.51.100.7\"]", "deny = [\"office\"]"));
    says(
        &explained(&denying, Some([192, 0, 3, 1])),
        "address",
        Verdict::Passed,
        "192.0.3.1 is in none of what is denied: office",
    );
}
