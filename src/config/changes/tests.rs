use super::*;

fn told(old: &str, new: &str) -> Vec<String> {
    changes(old, new).iter().map(ToString::to_string).collect()
}

const ROUTE: &str = "[routes.a]\npath = \"/a\"\nmax_body = \"1MiB\"\nallow = [\"10.0.0.0/8\", \"192.0.2.1\"]\n";

#[test]
fn the_same_text_and_another_layout_are_no_change() {
    assert_eq!(told(ROUTE, ROUTE), [""; 0]);
    let other =
        "# a comment\nroutes = { a = { allow = [\"10.0.0.0/8\", \"192.0.2.1\"], max_body = \"1MiB\", path = '/a' } }";
    assert_eq!(told(ROUTE, other), [""; 0]);
}

#[test]
fn what_is_new_or_gone_is_named_by_what_it_is() {
    let more =
        format!("{ROUTE}[routes.b]\npath = \"/b\"\n[upstreams.crm]\nservers = []\n[limits]\nmax_head = \"8KiB\"\n");
    assert_eq!(told(ROUTE, &more), ["[limits] added", "route b added", "upstream crm added"]);
    assert_eq!(told(&more, ROUTE), ["[limits] removed", "route b removed", "upstream crm removed"]);
    let listener = |name| format!("[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:1\"\n");
    assert_eq!(told(&listener("one"), &listener("two")), ["listener one removed", "listener two added"]);
}

#[test]
fn a_changed_key_shows_both_values() {
    let new = ROUTE.replace("1MiB", "2MiB");
    assert_eq!(told(ROUTE, &new), ["route a: max_body changed from \"1MiB\" to \"2MiB\""]);
    let new = format!("{ROUTE}rate.per_second = 5\n");
    assert_eq!(told(ROUTE, &new), ["route a: rate = { per_second = 5 } added"]);
    assert_eq!(told(&new, &new.replace('5', "6")), ["route a: rate.per_second changed from 5 to 6"]);
    assert_eq!(told("reload = \"auto\"", "reload = \"manual\""), ["reload: changed from \"auto\" to \"manual\""]);
}

#[test]
fn a_list_shows_what_came_and_went() {
    let new = ROUTE.replace("192.0.2.1", "192.0.2.2");
    assert_eq!(told(ROUTE, &new), ["route a: allow [\"192.0.2.2\"] added, [\"192.0.2.1\"] removed"]);
    let new = ROUTE.replace("\"10.0.0.0/8\", \"192.0.2.1\"", "\"192.0.2.1\", \"10.0.0.0/8\"");
    assert_eq!(told(ROUTE, &new), ["route a: allow in another order: [\"192.0.2.1\", \"10.0.0.0/8\"]"]);
    let many: Vec<_> = (0..30).map(|n| format!("\"192.0.2.{n}\"")).collect();
    let [line] = &told("[routes.a]\nallow = []", &format!("[routes.a]\nallow = [{}]", many.join(",")))[..] else {
        panic!()
    };
    assert!(line.chars().count() < 120, "{line}");
}

#[test]
fn what_may_be_a_secret_is_never_shown() {
    for (old, new) in [
        ("upstream_headers = { X-Key = \"canary-1\" }", "upstream_headers = { X-Key = \"canary-2\" }"),
        ("upstream_query = { key = \"canary-1\" }", "upstream_query = { other = \"canary-2\" }"),
        ("headers = { X-Token = [\"canary-1\"] }", "headers = { X-Token = [\"canary-1\", \"canary-2\"] }"),
        ("", "headers = { X-Token = [\"canary-2\"] }"),
        ("public_url = \"https://u:canary-1@h/\"", "public_url = \"https://h/?t=canary-2\""),
    ] {
        let lines = told(&format!("[routes.a]\n{old}"), &format!("[routes.a]\n{new}"));
        assert!(!lines.is_empty(), "{new}");
        assert!(!lines.join("\n").contains("canary"), "{lines:?}");
    }
}

#[test]
fn a_secret_is_shown_by_where_it_lies() {
    let old = "[routes.a]\nsecrets = [{ file = \"secrets/old\" }]";
    let new = "[routes.a]\nsecrets = [{ file = \"secrets/new\" }, { file = \"secrets/old\" }]";
    assert_eq!(told(old, new), ["route a: secrets [{ file = \"secrets/new\" }] added"]);
    let header = "[routes.a]\nupstream_headers = { X-Key = { credential = \"crm\" } }";
    assert_eq!(told("[routes.a]", header), ["route a: upstream_headers = { X-Key = { credential = \"crm\" } } added"]);
}

#[test]
fn debug_leaves_the_text_out() {
    assert_eq!(format!("{:?}", Text::new("canary")), "Text(6 bytes)");
}
