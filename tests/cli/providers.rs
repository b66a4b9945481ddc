//! `providers`: list and details.

use serde_json::json;

use super::harness::relay;

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
}
