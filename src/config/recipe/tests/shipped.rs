//! What holds for every recipe that comes with the relay.

use super::*;

#[test]
fn a_recipe_that_speaks_of_retries_says_how_long_they_come() {
    for name in builtin_names() {
        let recipe = builtin(name).unwrap();
        let Some(retry) = &recipe.retry else { continue };
        let said = retry.starts_with("none") || retry.contains("not published");
        assert!(recipe.retries_for.is_some() || said, "{name}: {retry}");
    }
    // Its time is that of the first attempt, and its last retry comes after five minutes.
    assert_eq!(builtin("pusher").unwrap().scheme.window().unwrap().0, Duration::from_secs(600));
}

/// What a recipe's requests are known by, entry by entry, as people read it.
fn entries(recipe: &Recipe) -> Vec<String> {
    let lines = recipe.scheme.describe().lines;
    let dedupe = lines.into_iter().find(|line| line.what == "dedupe").unwrap().how;
    dedupe.split(", else ").map(str::to_owned).collect()
}

#[test]
fn an_id_that_nothing_confirms_never_decides_alone() {
    let mut unconfirmed = 0;
    for name in builtin_names() {
        let recipe = builtin(name).unwrap();
        if recipe.evidence != Some(Evidence::Unconfirmed) {
            continue;
        }
        unconfirmed += 1;
        for entry in entries(&recipe) {
            let of_the_body = ["json:", "form:", "claim:"].iter().any(|kind| entry.starts_with(kind));
            assert!(!of_the_body || entry.contains(" with "), "{name}: {entry}");
        }
    }
    assert!(unconfirmed > 80, "{unconfirmed}");
    // The id is a session's, the same when it starts and when it is submitted.
    assert_eq!(entries(&builtin("veriff").unwrap()), ["json:id with the folded signature", "the folded signature"]);
}

/// Where a provider says the same thing twice in the same words, the second must not be dropped.
#[test]
fn the_body_alone_decides_only_where_a_recipe_says_why_no_two_are_equal() {
    let (mut alone, mut nothing) = (0, 0);
    for name in builtin_names() {
        let recipe = builtin(name).unwrap();
        let notes = recipe.notes.as_deref().unwrap_or_default();
        if recipe.scheme.equal_bodies_are_one() {
            alone += 1;
            assert!(recipe.scheme.bodies_never_repeat(), "{name} drops the second of two equal events");
            assert!(
                [" (", ": "].iter().any(|why| notes.contains(&format!("No two events have equal bodies{why}"))),
                "{name} does not name what differs"
            );
        } else if !recipe.scheme.has_dedupe() && recipe.scheme.kind() != "token" {
            nothing += 1;
            assert!(
                [" (", ": "].iter().any(|why| notes.contains(&format!("Two events may have equal bodies{why}"))),
                "{name} does not say why"
            );
        }
    }
    assert!(alone > 50 && nothing > 30, "{alone} {nothing}");
    for name in ["nuvemshop", "microsoft-graph", "storyblok", "jfrog", "asana"] {
        assert!(!builtin(name).unwrap().scheme.has_dedupe(), "{name} only says that something changed");
    }
    let adyen = builtin("adyen").unwrap();
    assert_eq!(entries(&adyen), ["digest of the body with the folded signature"], "not all of the body is signed");
}
