use super::*;

/// Every problem of a text, one after the other.
fn problem(text: &str) -> String {
    let problems = match parse(Path::new("relay.toml"), text) {
        Ok(parsed) => parsed.problems.into_sorted(),
        Err(problems) => problems,
    };
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_unknown_key_is_told_with_its_table_and_the_nearest_known_one() {
    let told = problem("[log]\nformt = \"json\"\n");
    assert_eq!(
        told,
        "relay.toml:2:1: log.formt: unknown key \"formt\"\n  help: did you mean \"format\"? known: format, \
         refusals_per_second"
    );
    assert!(
        problem("[logg]\n").starts_with("relay.toml:1:2: logg: unknown key \"logg\"\n  help: did you mean \"log\"?")
    );
    assert!(problem("[routes.x.oops]\n").starts_with("relay.toml:1:11: routes.x.oops: unknown key \"oops\""));
}

#[test]
fn inside_an_inline_table_the_whole_path_is_told() {
    let told = problem("[upstreams.crm]\nhealth = { intervall = \"5s\" }\n");
    assert!(told.starts_with("relay.toml:2:12: upstreams.crm.health.intervall: unknown key"), "{told}");
}

#[test]
fn a_type_error_points_at_the_value_and_never_repeats_it() {
    assert!(problem("[log]\nformat = 5\n").starts_with("relay.toml:2:10: log.format: expected a text, found a number"));
    for text in [
        "[routes.x]\nsecrets = \"canary\"\n",
        "[routes.x]\nsecrets = [[\"canary\"]]\n",
        "[routes.x]\nverify = \"canary\"\n",
        "[routes.x]\nverify.token = \"canary\"\n",
        "[routes.x]\nclient_auth = \"canary, expected canary\"\n",
        "[routes.x]\nupstream_headers = \"canary\"\n",
        "[limits]\nmax_headers = \"canary\"\n",
        "[routes.x]\nrate = \"canary\"\n",
    ] {
        let told = problem(text);
        assert!(!told.contains("canary"), "{told}");
        assert!(!told.contains("Raw"), "{told}");
        assert!(told.contains(": expected ") || told.contains("not known here"), "{told}");
    }
}

#[test]
fn a_syntax_error_has_a_place() {
    let told = problem("[log]\nformat = \n");
    assert!(told.starts_with("relay.toml:2:"), "{told}");
}

#[test]
fn every_unknown_key_and_every_wrong_type_is_told_at_once() {
    let told = problem(
        "colour = 1\n[log]\nformt = \"json\"\nrefusals_per_second = \"5\"\n[routes.x]\nsecrest = 1\npath = 5\n\
         retry = { firts = \"1s\", attempts = \"3\" }\n",
    );
    let keys: Vec<&str> =
        told.lines().filter_map(|line| line.split(": ").nth(1).filter(|_| !line.starts_with(' '))).collect();
    let expected = [
        "colour",
        "log.formt",
        "log.refusals_per_second",
        "routes.x.secrest",
        "routes.x.path",
        "routes.x.retry.firts",
        "routes.x.retry.attempts",
    ];
    assert_eq!(keys, expected, "{told}");
}

#[test]
fn a_key_below_a_table_that_it_does_not_belong_to_is_told_where_it_belongs() {
    let told = problem("[routes.x]\npath = \"/x\"\n[routes.x.verify.hmac]\nalgorithm = \"sha256\"\ndeny = []\n");
    assert!(told.contains("unknown key \"deny\"\n  help: \"deny\" belongs to [routes.x]: write it above"), "{told}");
    let told = problem("[routes.x]\nupstreams = 1\n");
    assert!(told.contains("\"upstreams\" belongs to the file itself"), "{told}");
}

#[test]
fn a_required_key_that_is_missing_is_told_beside_the_others() {
    let told = problem("[routes.x.verify.hmac]\nalgorithm = \"sha256\"\nmesage = \"{body}\"\n");
    for part in ["unknown key \"mesage\"", "hmac.message: is missing", "hmac.signature: is missing"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}
