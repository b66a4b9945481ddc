//! Requests that have no route: which ones come near, and in what they differ.

use super::*;

#[test]
fn a_path_that_nobody_has_is_told_its_neighbours() {
    let snapshot = snapshot();
    let near = |target: &str, host: &str| {
        let given = Given { target: target.to_owned(), host: host.to_owned(), ..Given::github(&snapshot) };
        let explanation = given.explained(&snapshot);
        assert_eq!((explanation.steps.len(), explanation.route.as_ref()), (1, None), "{target}");
        let step = &explanation.steps[0];
        (step.reason.to_string(), step.hints.join("\n"))
    };
    for (target, host, hint) in [
        ("/hooks/githib?k=1", "h", "the nearest routes: `github` (/hooks/github)"),
        ("/hooks/github/", "h", "route `github` differs by the slash at the end: /hooks/github"),
        ("/Hooks/GitHub", "h", "route `github` differs by upper and lower case"),
        ("/open", "a.example", "route `open` takes what is below /open/, not /open itself"),
        ("/open/x", "b.example", "route `open` has this path, for host a.example only"),
    ] {
        let (reason, hints) = near(target, host);
        assert!(reason == "route_unknown" && hints.contains(hint), "{target}: {reason}, {hints}");
    }
    let given = Given { target: "/open/x/y".to_owned(), host: "a.example:443".to_owned(), ..Given::github(&snapshot) };
    let explanation = given.explained(&snapshot);
    says(
        &explanation,
        "host and path",
        Verdict::Passed,
        "`open`: the prefix /open/*, with /x/y behind it, of host a.example",
    );
    says(&explanation, "signature", Verdict::Skipped, "verifies nothing");
    assert_eq!(
        Given { method: Method::Other, ..Given::github(&snapshot) }.explained(&snapshot).refusal().unwrap().reason,
        "method_not_allowed"
    );
}

/// The route with the very path is named first, with the host that it is for.
#[test]
fn a_wrong_host_is_told_which_route_has_the_path() {
    let text = CONFIG
        .replace("path = \"/hooks/github\"", "host = \"hooks.example\"\npath = \"/hooks/github\"")
        .replace("path = \"/hooks/oktave\"", "host = \"hooks.example\"\npath = \"/hooks/oktave\"")
        .replace("path = \"/hooks/octolis\"", "host = \"hooks.example\"\npath = \"/hooks/octolis\"");
    let snapshot = load(&environment(), &text);
    let hints = |target: &str, host: &str| {
        let given = Given { target: target.to_owned(), host: host.to_owned(), ..Given::github(&snapshot) };
        given.explained(&snapshot).steps[0].hints.clone()
    };
    for (host, named) in [("10.0.0.1:8443", "the request names 10.0.0.1:8443"), ("", "the request names none")] {
        let found = hints("/hooks/github", host);
        assert!(
            found[0].contains("route `github` has this path, for host hooks.example only: the host differs"),
            "{found:?}"
        );
        assert!(found[0].contains(named), "{found:?}");
    }
    let found = hints("/hooks/github/", "wrong.example");
    assert!(found[0].contains("differs by the slash at the end: /hooks/github, for host hooks.example"), "{found:?}");
    let found = hints("/hooks/githib", "wrong.example");
    assert!(found[0].contains("`github` (/hooks/github, for host hooks.example)"), "{found:?}");
}
