//! `providers`: list, filters, details, and the documents that say what there is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::harness::{binary, relay, said};

fn listed(arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["providers", "--format", "json"];
    all.extend(arguments);
    relay(&all).exits(0).json().as_array().unwrap().clone()
}

fn ids(found: &[Value]) -> Vec<&str> {
    found.iter().map(|provider| provider["id"].as_str().unwrap()).collect()
}

#[test]
fn the_three_systems_are_there_in_full() {
    let list = relay(&["providers"]).exits(0);
    for name in ["oktave", "dastra", "octolis"] {
        assert!(list.out.contains(name), "{}", list.out);
        let shown = relay(&["providers", name]).exits(0);
        assert!(shown.out.contains(&format!("[routes.{name}]")), "{}", shown.out);
    }
    let dastra = relay(&["providers", "dastra", "--format", "json"]).exits(0).json();
    assert_eq!(dastra["addresses"].as_array().unwrap().len(), 8);
    assert_eq!((&dastra["error_budget"], &dastra["signs_body"]), (&json!(5), &json!(true)));
    let oktave = relay(&["providers", "oktave", "--format", "json"]).exits(0).json();
    assert_eq!((&oktave["signs_body"], &oktave["window_seconds"]["back"]), (&json!(false), &json!(3600)));
}

#[test]
fn an_unknown_name_gets_a_near_one() {
    let said = relay(&["providers", "dastre"]).exits(2);
    assert!(said.err.contains("did you mean \"dastra\"?"), "{}", said.err);
    assert!(said.err.contains("`dmz-relay providers` lists them all") && said.err.len() < 200, "{}", said.err);
}

#[test]
fn filters_leave_those_for_which_all_of_them_hold() {
    let all = listed(&[]);
    assert_eq!(ids(&listed(&["--like", "GitH"])), ["github"]);
    // A name for people counts as well.
    assert_eq!(ids(&listed(&["--like", "transactional"])), ["mandrill"]);
    for word in ["published-vectors", "official", "third-party", "unconfirmed"] {
        let found = listed(&["--evidence", word]);
        let expected: Vec<&Value> = all.iter().filter(|provider| provider["evidence"] == word).collect();
        assert!(!found.is_empty() && found.iter().collect::<Vec<_>>() == expected, "{word}");
    }
    let (tokens, digests) = (listed(&["--scheme", "token"]), listed(&["--scheme", "digest"]));
    assert!(tokens.iter().all(|provider| provider["kind"] == "token" && provider["weak"] == json!(["token"])));
    assert_eq!(ids(&digests), ["cloudinary", "hubspot-v1", "hubspot-v2", "lark", "recharge", "sellsy"]);
    assert_eq!(listed(&["--scheme", "token", "--scheme", "digest"]).len(), tokens.len() + digests.len());
    let weak = listed(&["--weak", "--scheme", "hmac", "--evidence", "official"]);
    assert!(ids(&weak).contains(&"oktave") && ids(&weak).contains(&"trello"), "{:?}", ids(&weak));
    assert!(weak.iter().all(|provider| provider["weak"] != json!([])));
    assert!(!ids(&listed(&["--weak"])).contains(&"github"));
    assert_eq!(listed(&["--like", "zzzz"]), Vec::<Value>::new());
    let none = relay(&["providers", "--like", "zzzz"]).exits(0);
    assert!(none.out.contains("no provider is so"), "{}", none.out);
    let refused = relay(&["providers", "--evidence", "offical"]).exits(2);
    assert!(refused.err.contains("official"), "{}", refused.err);
    relay(&["providers", "github", "--weak"]).exits(2);
}

#[test]
fn everything_fits_a_terminal_of_80_columns_and_nothing_is_cut() {
    let narrow = |arguments: &[&str]| {
        let mut command = binary();
        command.args(["providers"]).args(arguments).env("COLUMNS", "80");
        said(command.output().unwrap()).exits(0).out
    };
    let list = narrow(&[]);
    let all = listed(&[]);
    for id in ids(&all) {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(id)), "{id}:\n{list}");
    }
    assert!(
        list.lines().next().unwrap().ends_with("evidence") && list.contains("  time  "),
        "no column was left out: {list}"
    );
    for text in std::iter::once(list).chain(["twilio", "github", "mailgun", "meta"].map(|name| narrow(&[name]))) {
        for line in text.lines().filter(|line| !line.contains(" = ")) {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        assert!(!text.contains('…'), "{text}");
    }
    let mailgun = narrow(&["mailgun"]);
    assert!(mailgun.contains("the body is not signed: whoever has seen a request"), "{mailgun}");
}

/// What the documentation lists is what there is; `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_documentation_lists_every_recipe() {
    let all = listed(&[]);
    let mut rows = String::new();
    for provider in &all {
        let text = |key: &str| provider[key].as_str().unwrap().replace('|', "\\|");
        let lines = provider["scheme"].as_array().unwrap();
        let known = lines.iter().find(|line| line["what"] == "dedupe").unwrap()["how"].as_str().unwrap();
        let scheme = match provider["algorithm"].as_str() {
            Some(algorithm) => format!("{}-{algorithm}", text("kind")),
            None => text("kind"),
        };
        let weak: Vec<&str> = provider["weak"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let weak = if weak.is_empty() { "-".to_owned() } else { format!("**{}**", weak.join(", ")) };
        let window =
            provider["window_seconds"]["back"].as_u64().map_or_else(|| "-".to_owned(), |back| format!("{back} s"));
        let shown = match provider["docs"].as_str() {
            Some(docs) => format!("[{}]({docs})", text("name")),
            None => text("name"),
        };
        let (id, evidence, known) = (text("id"), text("evidence"), known.replace('|', "\\|"));
        writeln!(rows, "| `{id}` | {shown} | {scheme} | {weak} | {window} | {known} | {evidence} |").unwrap();
    }
    let of = |word: &str| all.iter().filter(|provider| provider["evidence"] == word).count();
    let words = ["published-vectors", "official", "third-party", "unconfirmed"];
    assert_eq!(words.map(of).iter().sum::<usize>(), all.len(), "every recipe says where its facts are from");
    let counts = words.map(|word| format!("{} {word}", of(word))).join(", ");
    let table = format!("{} providers: {counts}.\n\n{COLUMNS}{rows}", all.len());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (before, after) = docs.split_once(BEGIN).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}")).unwrap();
    } else {
        assert!(after == table, "docs/providers.md is not what the recipes say: UPDATE_GOLDEN=1 writes it");
    }
}

const BEGIN: &str = "<!-- Written by tests/cli/providers.rs from the recipes. -->\n\n";
const COLUMNS: &str =
    "| name | provider | scheme | weak | time window | known by | evidence |\n|---|---|---|---|---|---|---|\n";

#[test]
fn the_documents_say_how_many_there_are() {
    let count = listed(&[]).len();
    assert!(count >= 250, "{count}");
    for document in ["README.md", "CHANGELOG.md"] {
        let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let said = format!("[{count} providers](docs/providers.md)");
        assert!(text.contains(&said), "{document} has no `{said}`");
    }
}
