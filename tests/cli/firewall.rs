//! `firewall`: rules that nft takes, tables for people, and every drift of rules and sockets.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Application, Installation, Manner, Running, Said};

/// One route, with senders from two networks, an upstream by address and one by name.
fn config(installation: &Installation, listener: &str, upstream: &str) -> String {
    let admin = installation.path("admin.sock");
    format!(
        "[[listeners]]\nname = \"public\"\naddress = \"{listener}\"\n\
         tls = {{ certificates = [{{ chain = \"relay.crt\", key = \"relay.key\" }}] }}\n\
         [admin]\naddress = \"unix:{admin}\"\n[log]\nformat = \"json\"\n\
         [upstreams.application]\nservers = [\"{upstream}\", \"http://localhost:8081\"]\n\
         [routes.github]\npath = \"/hooks/github\"\nprovider = \"github\"\nsecrets = [{{ file = \"github\" }}]\n\
         allow = [\"198.51.100.0/24\", \"203.0.113.7\", \"2001:db8::/48\", \"127.0.0.1\"]\nupstream = \"application\"\n"
    )
}

struct Host {
    installation: Installation,
}

impl Host {
    fn new(listener: &str, upstream: &str) -> Self {
        let installation = Installation::new(upstream);
        installation.write("relay.toml", &config(&installation, listener, upstream));
        Self { installation }
    }

    fn firewall(&self, arguments: &[&str]) -> Said {
        self.installation.relay(&[&["firewall"], arguments].concat())
    }

    /// Rules for a user that every machine has.
    fn rules(&self) -> String {
        self.firewall(&["--format", "nftables", "--user", "root"]).exits(0).out
    }

    /// The rules once its listener has this port, and its application stands there.
    fn configured(&self, port: &str, upstream: &str) -> String {
        let listener = format!("0.0.0.0:{port}");
        self.installation.write("relay.toml", &config(&self.installation, &listener, upstream));
        self.rules()
    }

    /// What `firewall check` finds when this is loaded.
    fn drifts(&self, ruleset: &str, relay: u32) -> Vec<(String, String)> {
        self.installation.write("ruleset", ruleset);
        let (file, relay) = (self.installation.path("ruleset"), relay.to_string());
        let arguments = [
            "firewall",
            "check",
            "--user",
            "root",
            "--ruleset",
            &file,
            "--pid",
            &relay,
            "--format",
            "json",
            "--config",
        ];
        let said = super::harness::relay(&[&arguments[..], &[&self.installation.config()]].concat());
        let found = said.json();
        let differences = found["differences"].as_array().unwrap();
        assert_eq!(said.code, i32::from(!differences.is_empty()), "{found:#}");
        assert_eq!(found["fine"], differences.is_empty(), "{found:#}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        differences.iter().map(|found| (text(&found["what"]), text(&found["detail"]))).collect()
    }
}

/// An application, a relay before it, and the port that the kernel chose for the relay.
fn running() -> (Application, Host, Running, String) {
    let application = Application::start(Manner::Prompt);
    let host = Host::new("0.0.0.0:0", &application.url);
    let relay = Running::start(&host.installation);
    let port = relay.public.rsplit(':').next().unwrap().to_owned();
    (application, host, relay, port)
}

/// What nft lists when these rules are loaded, in a network namespace of its own.
fn loaded(script: &str) -> Option<String> {
    let inside = "nft -f - && nft -s -u list ruleset";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", inside]);
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nft = command.stderr(Stdio::piped()).spawn().ok()?;
    let _ = nft.stdin.take()?.write_all(script.as_bytes());
    let output = nft.wait_with_output().ok()?;
    let is_there = output.status.success();
    let why = String::from_utf8_lossy(&output.stderr);
    let is_refused = why.contains("not found") || why.contains("unshare:") || why.contains("Operation not permitted");
    if !is_there && is_refused {
        assert!(std::env::var_os("CI").is_none(), "CI needs nft and network namespaces: {why}");
        println!("skipped, needs nft and network namespaces of its own: {why}");
        return None;
    }
    assert!(is_there, "{why}\n{script}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nft_takes_the_rules_and_lists_them_as_they_were_written() {
    for listener in ["0.0.0.0:443", "192.0.2.20:443", "[::]:443", "[2001:db8::20]:443"] {
        let host = Host::new(listener, "http://10.0.1.20:8080");
        let script = host.rules();
        let Some(listed) = loaded(&script) else { return };
        let table = &script[script.find("table inet dmz_relay {").unwrap()..];
        assert_eq!(listed, table, "{listener}");
        // A second time it takes the place of the first.
        assert_eq!(loaded(&format!("{script}\n{script}")).unwrap(), table);
        let accepts = |family: &str| table.contains(&format!("{family} saddr")) && table.contains("dport 443 counter");
        assert!(accepts(if listener.starts_with('[') { "ip6" } else { "ip" }), "{table}");
    }
}

#[test]
fn the_rules_hold_for_the_configuration_alone() {
    let host = Host::new("0.0.0.0:443", "http://10.0.1.20:8080");
    let rules = host.rules();
    for rule in [
        "\t\tip saddr { 127.0.0.1, 198.51.100.0/24, 203.0.113.7 } tcp dport 443 counter accept comment \"listener public\"\n",
        "\t\tmeta nfproto ipv4 tcp dport 443 counter drop comment \"everybody else\"\n",
        "\t\tip daddr 10.0.1.20 tcp dport 8080 counter accept comment \"upstream application: http://10.0.1.20:8080\"\n",
        "\t\tip daddr 127.0.0.1 tcp dport 8081 counter accept comment \"upstream application: http://localhost:8081\"\n",
        "\t\tmeta skuid != \"root\" accept\n",
        "\t\tcounter reject with icmpx admin-prohibited comment \"nothing else\"\n",
    ] {
        assert!(rules.contains(rule), "{rule}{rules}");
    }
    // Anybody may send where a route has no list; then nothing is dropped.
    let open = host.installation.read("relay.toml").replace("allow = ", "deny = ").replace(", \"127.0.0.1\"", "");
    host.installation.write("relay.toml", &open);
    let rules = host.rules();
    assert!(
        rules.contains("\t\tmeta nfproto ipv4 tcp dport 443 counter accept comment \"listener public\"\n"),
        "{rules}"
    );
    assert!(!rules.contains(" drop "), "{rules}");
}

#[test]
fn the_flows_are_tables_for_people_and_programs() {
    let host = Host::new("192.0.2.20:443", "http://10.0.1.20:8080");
    let csv = host.firewall(&["--format", "csv"]).exits(0).out;
    let first = "direction,from,to,protocol,port,for\r\n\
                 in,\"127.0.0.1, 198.51.100.0/24, 203.0.113.7, 2001:db8::/48\",192.0.2.20,tcp,443,listener public\r\n\
                 out,relay,10.0.1.20,tcp,8080,upstream application: http://10.0.1.20:8080\r\n";
    assert!(csv.starts_with(first), "{csv}");
    let markdown = host.firewall(&["--format", "markdown"]).exits(0).out;
    assert!(
        markdown.contains("| out | relay | 10.0.1.20 | tcp | 8080 | upstream application: http://10.0.1.20:8080 |\n")
    );
    let flows = host.firewall(&["--format", "json"]).exits(0).json();
    assert_eq!(flows[0]["direction"], "in");
    assert_eq!(flows[1]["port"], 8080);
    let human = host.firewall(&[]).exits(0).out;
    assert!(human.contains("listener public") && human.contains("10.0.1.20"), "{human}");
    host.firewall(&["--format", "nagios"]).exits(2);
    host.installation.relay(&["check", "--format", "csv"]).exits(2);
}

/// What no rule can be made of is said, and no rule is printed.
#[test]
fn what_the_configuration_does_not_say_is_asked_for() {
    let cases: [(&str, &str, &[&str], &str); 5] = [
        ("127.0.0.1:0", "http://10.0.1.20:8080", &[], "port 0"),
        ("systemd:public", "http://10.0.1.20:8080", &[], "--socket public=ADDRESS:PORT"),
        ("0.0.0.0:443", "http://nobody.invalid:8080", &[], "nobody.invalid has no address here"),
        ("0.0.0.0:443", "http://10.0.1.20:8080", &["--user", "a b"], "name of an account"),
        ("0.0.0.0:443", "http://10.0.1.20:8080", &["--scrape-from", "10.0.0.0/99"], "such as 10.0.9.0/24"),
    ];
    for (listener, upstream, arguments, why) in cases {
        let said = Host::new(listener, upstream).firewall(&[&["--format", "nftables"], arguments].concat()).exits(2);
        assert!(said.out.is_empty() && said.err.contains(why), "{why}: {}{}", said.out, said.err);
    }
    let host = Host::new("systemd:public", "http://10.0.1.20:8080");
    let rules = host.firewall(&["--format", "nftables", "--socket", "public=0.0.0.0:8443"]).exits(0).out;
    assert!(rules.contains("tcp dport 8443 counter accept"), "{rules}");

    let scraped = host
        .installation
        .read("relay.toml")
        .replace("[log]", "scrape_address = \"192.0.2.20:9600\"\ndangerously_exposed = true\n[log]");
    host.installation.write("relay.toml", &scraped.replace("systemd:public", "0.0.0.0:443"));
    let said = host.firewall(&["--format", "nftables"]).exits(2);
    assert!(said.err.contains("--scrape-from NETWORK"), "{}", said.err);
    let rules = host.firewall(&["--format", "nftables", "--scrape-from", "10.0.9.1/24"]).exits(0).out;
    let rule = "ip daddr 192.0.2.20 ip saddr 10.0.9.0/24 tcp dport 9600 counter accept comment \"metrics and health\"";
    assert!(rules.contains(rule), "{rules}");
}

/// Twenty-one ways in which loaded rules drift away, and what is found of each.
#[test]
fn every_drift_of_the_rules_is_found() {
    let (application, host, relay, port) = running();
    let rules = host.configured(&port, &application.url);
    let Some(listed) = loaded(&rules) else { return };
    assert_eq!(host.drifts(&listed, relay.id()), []);
    // Rules of others are none of its business.
    assert_eq!(host.drifts(&format!("table inet filter {{\n\tchain input {{\n\t}}\n}}\n{listed}"), relay.id()), []);

    let upstream = application.url.rsplit(':').next().unwrap();
    let accepted = format!("tcp dport {port} counter accept");
    let out = format!(
        "ip daddr 127.0.0.1 tcp dport {upstream} counter accept comment \"upstream application: {}\"",
        application.url
    );
    let end = "counter reject with icmpx admin-prohibited comment \"nothing else\"";
    let drop = format!("meta nfproto ipv4 tcp dport {port} counter drop comment \"everybody else\"");
    let chains = "\t}\n\n\tchain output {";
    let drifts: [(&str, String, String, &str); 20] = [
        ("a wider network", "198.51.100.0/24".into(), "198.51.0.0/16".into(), "missing_rule"),
        ("a sender less", ", 203.0.113.7".into(), String::new(), "missing_rule"),
        ("a sender more", "203.0.113.7".into(), "203.0.113.7, 203.0.113.9".into(), "missing_rule"),
        ("another port", format!("dport {port} counter accept"), "dport 22 counter accept".into(), "missing_rule"),
        ("a listener closed", accepted.clone(), accepted.replace("accept", "drop"), "missing_rule"),
        ("open to everybody", format!("\t\t{drop}\n"), String::new(), "missing_rule"),
        ("dropped rule accepts", drop.clone(), drop.replace(" drop ", " accept "), "missing_rule"),
        ("another upstream", out.clone(), out.replace("daddr 127.0.0.1", "daddr 10.9.9.9"), "missing_rule"),
        ("another upstream's port", out.clone(), out.replace(upstream, "1"), "missing_rule"),
        ("no way to the upstream", format!("\t\t{out}\n"), String::new(), "missing_rule"),
        ("open to the internet", format!("\t\t{end}\n"), String::new(), "missing_rule"),
        ("the end accepts", end.into(), "counter accept comment \"nothing else\"".into(), "missing_rule"),
        ("a way out more", end.into(), format!("tcp dport 25 accept\n\t\t{end}"), "unexpected_rule"),
        ("a way in more", chains.into(), format!("\t\ttcp dport 22 accept\n{chains}"), "unexpected_rule"),
        ("another user", "skuid != \"root\"".into(), "skuid != \"nobody\"".into(), "missing_rule"),
        (
            "another policy",
            "hook input priority filter; policy accept".into(),
            "hook input priority filter; policy drop".into(),
            "missing_rule",
        ),
        ("another priority", "hook output priority filter".into(), "hook output priority raw".into(), "missing_rule"),
        ("nothing is counted", "admin-prohibited".into(), "port-unreachable".into(), "missing_rule"),
        ("another order", format!("\t\t{out}\n"), String::new(), "other_order"),
        (
            "a chain more",
            "\tchain output {".into(),
            "\tchain extra {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n\n\tchain output {"
                .into(),
            "unexpected_rule",
        ),
    ];
    for (name, from, to, what) in drifts {
        let mut changed = rules.replacen(&from, &to, 1);
        assert_ne!(changed, rules, "{name}");
        if what == "other_order" {
            changed = changed.replace(end, &format!("{end}\n\t\t{out}"));
        }
        let found = host.drifts(&loaded(&changed).unwrap(), relay.id());
        assert!(found.iter().any(|(found, _)| found == what), "{name}: {found:?}");
    }
    let more = loaded(&rules.replace(end, &format!("tcp dport 25 accept\n\t\t{end}"))).unwrap();
    let rule = "output: tcp dport 25 accept".to_owned();
    assert_eq!(host.drifts(&more, relay.id()), [("unexpected_rule".to_owned(), rule)]);
    assert_eq!(host.drifts("table inet filter {\n}\n", relay.id())[0].0, "no_table");
}

#[test]
fn sockets_that_the_configuration_does_not_name_are_found() {
    let (application, host, relay, port) = running();
    let rules = host.configured(&port, &application.url);
    let connect = format!("127.0.0.1:{port}");
    let sent = host.installation.relay(&["send", "github", "--connect", &connect]);
    assert_eq!(sent.code, 0, "{}{}", sent.out, sent.err);
    assert_eq!(host.drifts(&rules, relay.id()), []);

    let rules = host.configured("1", &application.url);
    let found = host.drifts(&rules, relay.id());
    let expected = [("not_listening", "0.0.0.0:1".to_owned()), ("unexpected_listener", format!("0.0.0.0:{port}"))];
    assert_eq!(found, expected.map(|(what, detail)| (what.to_owned(), detail)));

    // The connection to the application is kept, and another one is configured now.
    let rules = host.configured(&port, "http://127.0.0.1:1");
    let inside = application.url.trim_start_matches("http://").to_owned();
    assert_eq!(host.drifts(&rules, relay.id()), [("unexpected_peer".to_owned(), inside)]);

    let said = host.firewall(&["check", "--ruleset", "/nonexistent"]);
    assert!(said.code == 2 && said.err.contains("/nonexistent"), "{}{}", said.out, said.err);
}
