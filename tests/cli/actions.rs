//! Who did what over the admin socket: a line of the log and a row of the store for each.

use std::time::Instant;

use serde_json::Value;

use super::events::Stage;
use super::harness::LONG;

/// The actions that these arguments leave, the oldest first, once there are so many.
fn actions(stage: &Stage, arguments: &[&str], count: usize) -> Vec<Value> {
    let until = Instant::now() + LONG;
    loop {
        let page = stage.installation.relay(&[&["actions", "--format", "json"], arguments].concat()).exits(0).json();
        let mut found = page["actions"].as_array().unwrap().clone();
        if found.len() == count {
            found.reverse();
            return found;
        }
        assert!(found.len() < count && Instant::now() < until, "{arguments:?}: {page:#}");
    }
}

#[test]
fn each_action_is_a_line_and_a_row_with_who_what_and_on_what() {
    let stage = Stage::new();
    for number in 0..3 {
        stage.send(&["kept", "--data", &format!("{{\"n\":{number}}}")]).exits(0);
    }
    stage.send(&["queue"]).exits(0);
    let dead = stage.listed(&["--state", "dead"], 1);
    let kept = stage.listed(&["--route", "kept"], 3);
    // Nothing that only looks is an action.
    stage.events(&["show", &kept[0]]).exits(0);
    actions(&stage, &[], 0);

    stage.events(&["show", &kept[0], "--body"]).exits(0);
    stage.events(&["export", "--route", "kept"]).exits(0);
    stage.events(&["redeliver", &kept[1]]).exits(0);
    stage.events(&["discard", &dead[0], "--yes"]).exits(0);
    stage.events(&["retry", &kept[2]]).exits(1);
    stage.events(&["retry", "--waiting", "--route", "queue"]).exits(0);
    stage.installation.relay(&["reload"]).exits(0);
    let expected = [
        ("read_body", "done", Some(&kept[0]), None, None),
        ("export", "done", None, Some(3), Some("route=kept")),
        ("redeliver", "done", Some(&kept[1]), None, None),
        ("discard", "done", Some(&dead[0]), None, None),
        ("retry", "failed", Some(&kept[2]), None, None),
        ("retry_waiting", "done", None, Some(0), Some("route=queue")),
        ("reload", "done", None, None, None),
    ];
    let until = Instant::now() + LONG;
    while actions(&stage, &["--action", "export"], 1)[0]["count"] != 3 {
        assert!(Instant::now() < until);
    }
    let rows = actions(&stage, &[], expected.len());
    for (row, (action, result, id, count, detail)) in rows.iter().zip(expected) {
        assert_eq!((&row["action"], &row["result"]), (&action.into(), &result.into()), "{row}");
        assert_eq!((row["id"].as_str(), row["count"].as_u64()), (id.map(String::as_str), count), "{row}");
        assert_eq!(row["detail"].as_str(), detail, "{row}");
        let line = stage.relay.event("admin_action");
        for member in ["action", "result", "status", "uid", "user", "pid", "from", "id", "detail"] {
            assert_eq!(line.get(member), row.get(member).filter(|value| !value.is_null()), "{member}: {line} {row}");
        }
        assert!(row["uid"].is_u64() && row["pid"].is_u64() && row["from"] == "unix socket", "{row}");
    }
    actions(&stage, &["--result", "failed"], 1);
    actions(&stage, &["--id", &dead[0]], 1);
    actions(&stage, &["--user", &rows[0]["uid"].to_string(), "--since", "1h"], expected.len());
    actions(&stage, &["--until", "1h"], 0);
    let shown = stage.events(&["show", &dead[0]]).exits(0).out;
    assert!(shown.contains("By operators") && shown.contains("discard"), "{shown}");
    let list = stage.installation.relay(&["actions", "--limit", "2"]).exits(0).out;
    assert!(list.contains("2 actions; there are more") && list.contains("retry_waiting"), "{list}");
    stage.installation.relay(&["actions", "--action", "retyr"]).exits(2);
    stage.installation.relay(&["actions", "--since", "yesterday"]).exits(2);
}

/// The record says what was read, not what was announced.
#[test]
fn a_body_that_is_none_of_an_export_is_an_action_of_its_own() {
    let stage = Stage::new();
    stage.send(&["kept"]).exits(0);
    stage.send(&["down"]).exits(1);
    let all = stage.listed(&[], 2);
    let call = |method: &str, path: &str| {
        let curl = std::process::Command::new("curl")
            .args(["-s", "-f", "-X", method, "--unix-socket", &stage.installation.path("admin.sock")])
            .arg(format!("http://localhost{path}"))
            .output()
            .expect("curl runs");
        assert!(curl.status.success(), "{method} {path}");
        String::from_utf8(curl.stdout).unwrap()
    };
    let begun: Value = serde_json::from_str(&call("POST", "/api/v1/exports?route=kept&text=hooks")).unwrap();
    let export = begun["export"].as_str().unwrap();
    for id in &all {
        call("GET", &format!("/api/v1/events/{id}/body?export={export}"));
    }
    call("GET", &format!("/api/v1/events/{}/body?export=0-0", all[0]));
    let rows = actions(&stage, &[], 3);
    let of = |row: &Value| (row["action"].as_str().unwrap().to_owned(), row["id"].as_str().map(str::to_owned));
    assert_eq!(
        rows.iter().map(of).collect::<Vec<_>>(),
        [
            ("export".to_owned(), None),
            ("read_body".to_owned(), Some(all[1].clone())),
            ("read_body".to_owned(), Some(all[0].clone()))
        ]
    );
    assert_eq!(rows[0]["detail"], "route=kept, text=***");
}

/// Nobody asked over the socket, and what was changed by it is in the record all the same.
#[test]
fn a_reload_by_a_signal_is_an_action_without_a_user() {
    let stage = Stage::new();
    let text = stage.installation.read("relay.toml");
    for (number, (result, status)) in [("done", 200), ("failed", 422)].into_iter().enumerate() {
        stage.relay.signal("HUP");
        let line = stage.relay.event("admin_action");
        assert_eq!(
            (&line["action"], &line["result"], &line["from"]),
            (&"reload".into(), &result.into(), &"signal".into())
        );
        assert_eq!((line.get("uid"), line.get("user"), line.get("pid")), (None, None, None), "{line}");
        let rows = actions(&stage, &[], number + 1);
        let row = rows.last().unwrap();
        assert_eq!((&row["result"], &row["status"], &row["from"]), (&result.into(), &status.into(), &"signal".into()));
        assert!(row["uid"].is_null() && row["user"].is_null() && row["pid"].is_null(), "{row}");
        stage.installation.write("relay.toml", &text.replace("drain_timeout = \"30s\"", "drain_timeout = \"soon\""));
    }
    let list = stage.installation.relay(&["actions"]).exits(0).out;
    assert_eq!(list.matches("signal").count(), 2, "{list}");
}

#[test]
fn a_rollback_is_named_as_one() {
    let stage = Stage::new();
    let text = stage.installation.read("relay.toml");
    stage.installation.write("relay.toml", &text.replace("drain_timeout = \"30s\"", "drain_timeout = \"31s\""));
    stage.installation.relay(&["reload"]).exits(0);
    stage.installation.relay(&["config", "rollback", "1", "--yes"]).exits(0);
    let row = &actions(&stage, &["--action", "rollback"], 1)[0];
    assert_eq!((&row["detail"], &row["result"]), (&"version=1".into(), &"done".into()));
    let until = Instant::now() + LONG;
    while stage.relay.event("admin_action")["action"] != "rollback" {
        assert!(Instant::now() < until);
    }
}
