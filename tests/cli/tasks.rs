//! The pages of `docs/tasks`: every block is run, or read by the program that it is for.

mod host;
mod pages;

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use clap::Parser;
use clap::error::ErrorKind;
use dmz_relay::cli::grammar::Cli;

use super::harness::read_request;

use self::host::Host;
use self::pages::{Block, all, blocks, commands, pages};

const METRICS: &str = include_str!("../../docs/metrics.md");
const OPERATING: &str = include_str!("../../docs/operating.md");
const README: &str = include_str!("../../README.md");

/// Languages of blocks that are run or read here, and of those that are not: what they are for is not to be had.
const RUN: [&str; 11] =
    ["sh", "toml", "haproxy", "nginx", "keepalived", "rsyslog", "ini", "vector", "yaml", "tcl", "aws"];
const NOT_RUN: [&str; 1] = ["tmsh"];

#[test]
fn every_block_says_what_it_is_for_and_every_page_is_listed() {
    for block in all() {
        let known = RUN.iter().chain(&NOT_RUN).any(|known| *known == block.language);
        assert!(known, "{}: \"{}\"", block.place(), block.language);
    }
    let pages = pages();
    let (_, index) = pages.iter().find(|(name, _)| name == "README.md").unwrap();
    for (name, text) in &pages {
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name} is not listed");
        assert!(text.starts_with("# "), "{name} has no title");
    }
    for linked in index.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(linked.starts_with("../") || pages.iter().any(|(name, _)| name == linked), "{linked} is not there");
    }
    assert!(README.contains("](docs/tasks/README.md)"));
}

/// Code between two backticks, apart from blocks.
fn inline(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut within = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            within = !within;
        } else if !within {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_relay_takes_every_command_line() {
    let mut texts: Vec<(String, String)> = Vec::new();
    for block in all().into_iter().filter(|block| block.language == "sh") {
        texts.push((block.place(), block.text));
    }
    for (name, text) in pages().into_iter().chain([("README.md of the repository".to_owned(), README.to_owned())]) {
        texts.extend(inline(&text).into_iter().map(|code| (name.clone(), code)));
    }
    let mut taken = 0;
    for (place, text) in texts {
        for words in commands(&text) {
            let [program, rest @ ..] = words.as_slice() else { continue };
            if !(program == "dmz-relay" || program.ends_with("/dmz-relay")) || rest.is_empty() {
                continue;
            }
            let words: Vec<_> = words.iter().map(|word| word.trim_start_matches("#")).collect();
            match Cli::try_parse_from(&words) {
                Ok(_) => taken += 1,
                Err(error) if error.kind() == ErrorKind::DisplayVersion => taken += 1,
                Err(error) => panic!("{place}: {}\n{error}", words.join(" ")),
            }
        }
    }
    assert!(taken > 25, "{taken}");
}

#[test]
fn check_takes_every_configuration() {
    for (name, _) in pages() {
        for block in blocks(&name).iter().filter(|block| block.language == "toml") {
            let said = Host::new().check(&[block]);
            assert_eq!(said.code, 0, "{}\n{}{}", block.place(), said.out, said.err);
        }
    }
}

/// A figure of memory, and a limit for the unit between it and what the host has.
#[test]
fn the_limits_for_a_host_fit_it() {
    let blocks = blocks("host-sizes.md");
    let (_, page) = pages().into_iter().find(|(name, _)| name == "host-sizes.md").unwrap();
    for (number, host) in [(1, 1), (2, 2), (3, 8)] {
        let said = Host::new().check(&[&blocks[0], &blocks[number]]).exits(0);
        let most =
            |text: &str| -> u64 { text.split("t most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap() };
        let section = page.split(&format!("\n## {host} GiB\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let (checked, written) = (most(&said.out), most(section));
        assert!(checked.abs_diff(written) * 50 <= written, "{host} GiB: check says {checked}, the page {written}");
        let unit: u64 = section.split("MemoryMax=").nth(1).unwrap().split('M').next().unwrap().parse().unwrap();
        assert!(checked < unit && unit < host * 1024 * 4 / 5, "{host} GiB: {checked}, {unit}");
    }
}

#[test]
fn every_metric_and_field_is_documented() {
    for (name, text) in pages() {
        for metric in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            if metric.starts_with("dmz_relay_") {
                assert!(METRICS.contains(&format!("| `{metric}` |")), "{name}: {metric}");
            }
        }
    }
    let (_, siem) = pages().into_iter().find(|(name, _)| name == "siem.md").unwrap();
    let rows = siem.split("| field | ECS |").nth(1).unwrap().lines().skip(2).take_while(|line| line.starts_with('|'));
    let fields = rows.flat_map(|row| inline(row.trim_matches('|').split(" | ").next().unwrap())).collect::<Vec<_>>();
    assert!(fields.len() > 20, "{fields:?}");
    let vector = all().into_iter().find(|block| block.language == "vector").unwrap();
    let table: toml::Table = toml::from_str(&vector.text).unwrap();
    let program = table["transforms"]["relay"]["source"].as_str().unwrap();
    let of_vector = program
        .split("line.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap().to_owned());
    for field in fields.into_iter().chain(of_vector) {
        assert!(OPERATING.contains(&format!("`{field}`")), "{field}");
    }
    let jq = blocks("siem.md").into_iter().find(|block| block.text.contains("@timestamp")).unwrap();
    let count = |text: &str, what: &str| text.matches(what).count();
    // Both mappings read the same fields.
    for field in ["outcome", "reason", "total_ms", "status", "source", "server", "denied_by"] {
        assert!(count(&jq.text, &format!(".{field}")) > 0 && count(program, &format!("line.{field}")) > 0, "{field}");
    }
}

/// systemd's own lines stand between those of the relay.
#[test]
fn no_filter_of_the_log_fails_on_a_line_of_systemd() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let mut documents = pages();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "md") {
            documents.push((entry.display().to_string(), std::fs::read_to_string(entry).unwrap()));
        }
    }
    documents.push(("README.md".to_owned(), README.to_owned()));
    let filters = documents.iter().flat_map(|(name, text)| text.lines().map(move |line| (name, line)));
    let filters: Vec<_> = filters.filter(|(_, line)| line.contains("journalctl") && line.contains("jq ")).collect();
    assert!(filters.len() > 6);
    for (name, line) in filters {
        assert!(line.contains("R 'fromjson? |"), "{name}: {line}");
    }
}

/// Walks a page on a host of its own, and gives what was printed and the host.
fn walked(page: &str, then: &[(usize, &str)]) -> (String, Host) {
    let host = Host::new();
    let said = host.walk(&blocks(page), then);
    assert_eq!(said.code, 0, "{page}\n{}\n{}", said.out, said.err);
    (said.out, host)
}

#[test]
fn pages_with_nothing_to_assert_can_be_walked() {
    for page in ["address-lists.md", "firewall.md", "host-sizes.md", "port-443.md", "siem.md", "standby.md"] {
        let (out, _) = walked(page, &[]);
        if page == "siem.md" {
            let lines = out.lines().filter(|line| line.contains("\"@timestamp\""));
            let events: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            let accepted = events.iter().find(|event| event["event"]["action"] == "request").unwrap();
            assert_eq!(accepted["event"]["outcome"], "success", "{accepted}");
            assert_eq!(accepted["labels"]["route"], "github", "{accepted}");
            assert!(accepted["event"]["duration"].as_u64().unwrap() > 0, "{accepted}");
        }
    }
}

#[test]
fn metrics_can_be_scraped_as_the_page_says() {
    let (out, _) = walked("scraping.md", &[]);
    assert!(out.contains("\ndmz_relay_store_up 1\n"), "{out}");
    let page = blocks("scraping.md");
    let address =
        |block: &Block, key: &str| block.text.split(key).nth(1).unwrap().split('"').nth(1).unwrap().to_owned();
    let prometheus = page.iter().find(|block| block.language == "yaml").unwrap();
    assert_eq!(address(&page[0], "scrape_address ="), address(prometheus, "targets:"));
}

#[test]
fn a_restored_backup_holds_what_waited_when_it_was_made() {
    let second = "dmz-relay send github >/dev/null\n[[ $(waiting) == 2 ]]\n";
    walked("backup.md", &[(0, second), (1, "[[ $(waiting) == 1 ]]\n")]);
}

#[test]
fn an_upgrade_and_the_way_back_keep_what_the_backup_holds() {
    let upgraded =
        "grep --quiet built \"$HOST/usr/bin/dmz-relay\"\ndmz-relay send github >/dev/null\n[[ $(waiting) == 2 ]]\n";
    let back = "grep --quiet installed \"$HOST/usr/bin/dmz-relay\"\n[[ $(waiting) == 1 ]]\n\
                [[ -s $HOST/var/lib/dmz-relay/after-upgrade.db ]]\n";
    walked("upgrade.md", &[(0, upgraded), (1, back)]);
}

#[test]
fn another_host_delivers_what_waited_on_the_old_one() {
    let moved = "rm -r \"$HOST/etc/dmz-relay\" \"$HOST/var/lib/dmz-relay\"\n";
    walked("moving.md", &[(0, moved), (1, "[[ $(waiting) == 1 && ! -e $HOST/var/backups/dmz-relay ]]\n")]);
}

#[test]
fn a_rotated_secret_is_used_and_the_log_says_so() {
    let page = blocks("rotation.md");
    let reloaded = page.iter().position(|block| block.text.contains("systemctl reload")).unwrap();
    let (out, _) = walked("rotation.md", &[(reloaded, "dmz-relay send github >/dev/null\n")]);
    assert!(out.contains(" file:secrets/github.new\n"), "{out}");
}

#[test]
fn nothing_is_left_after_uninstalling() {
    let (_, host) = walked("uninstall.md", &[]);
    assert_eq!(host.leftovers(), "");
}

/// Whether a program that reads a block is here, with the module that the blocks need; in CI it must be.
fn installed(program: &str) -> bool {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let here = std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        && (program != "nginx" || Path::new(STREAM).is_file());
    assert!(here || std::env::var_os("CI").is_none(), "CI needs {program}");
    if !here {
        println!("skipped, needs {program} (for nginx: with its stream module)");
    }
    here
}

const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

#[test]
fn the_programs_in_front_and_beside_read_their_blocks() {
    let readers: [(&str, &str, &[&str]); 4] = [
        ("haproxy", "haproxy", &["-c", "-f"]),
        ("nginx", "nginx", &["-t", "-c"]),
        ("rsyslog", "rsyslogd", &["-N1", "-f"]),
        ("yaml", "promtool", &["check", "config"]),
    ];
    for (language, program, arguments) in readers.into_iter().filter(|(_, program, _)| installed(program)) {
        for block in all().into_iter().filter(|block| block.language == language) {
            let host = Host::new();
            let text = host.on_this_machine(&block.text);
            let text = if block.text.contains("stream {") { format!("load_module {STREAM};\n{text}") } else { text };
            let file = host.file("block", &text);
            let output = Command::new(program)
                .args(arguments)
                .arg(&file)
                .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
                .output()
                .unwrap();
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}\n{said}", block.place());
        }
    }
}

/// It writes what it finds into a file, and ends by a signal in any case.
#[test]
fn keepalived_finds_nothing_wrong_with_its_block() {
    if !installed("keepalived") {
        return;
    }
    let block = blocks("standby.md").into_iter().find(|block| block.language == "keepalived").unwrap();
    let found = |text: &str| {
        let host = Host::new();
        let (file, log) = (host.file("block", text), host.file("found", ""));
        let mut command = Command::new("keepalived");
        command.arg(format!("--config-test={log}")).args(["-f", &file]);
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output().unwrap();
        // Where the machine has no interface of that name, it says so.
        let lines = std::fs::read_to_string(log).unwrap();
        lines.lines().filter(|line| !line.contains("eth0")).collect::<String>()
    };
    assert_eq!(found(&block.text), "");
    assert!(found(&block.text.replace("virtual_router_id 44", "virtual_router_id 444")).contains("444"));
}

/// The unit's own comments name what a drop-in of a page sets.
#[test]
fn a_drop_in_sets_what_the_unit_knows() {
    let unit = include_str!("../../systemd/dmz-relay.service");
    for block in all().into_iter().filter(|block| block.language == "ini") {
        for line in block.text.lines().filter(|line| line.contains('=')) {
            let key = line.split('=').next().unwrap();
            assert!(unit.contains(&format!("{key}=")), "{}: {key}", block.place());
        }
    }
}

/// A request through each balancer of the page, and how the relay knew its sender.
#[test]
fn a_balancer_tells_the_relay_who_sends() {
    if !(installed("haproxy") && installed("nginx") && installed("tclsh")) {
        return;
    }
    let haproxy = |known: &str| format!("through {known} haproxy -db -f \"$HOST/balancer.conf\"\n");
    let nginx = |known: &str, first: &str| {
        format!(
            "through {known} nginx -p \"$HOST\" -e stderr -g 'daemon off; pid nginx.pid; {first}' -c \"$HOST/balancer.conf\"\n"
        )
    };
    let page = blocks("load-balancers.md");
    let nth = |language: &str, n: usize| {
        page.iter().enumerate().filter(|(_, block)| block.language == language).map(|(at, _)| at).nth(n).unwrap()
    };
    let stream = format!("load_module {STREAM};");
    let big_ip = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/tasks/big_ip.tcl");
    let big_ip = format!("through proxy-header tclsh {big_ip} \"$HOST/balancer.conf\" \"$BALANCER\" \"$PUBLIC\"\n");
    // Before the blocks of the other balancers take its place: each is tried right after its own.
    let then = [
        (nth("haproxy", 0), haproxy("proxy-header")),
        (nth("nginx", 0), nginx("proxy-header", &stream)),
        (nth("tcl", 0), big_ip),
        (nth("nginx", 1), nginx("x-forwarded-for", "")),
        (nth("haproxy", 1), haproxy("x-forwarded-for")),
    ];
    let then: Vec<_> = then.iter().map(|(at, then)| (*at, then.as_str())).collect();
    walked("load-balancers.md", &then);
}

/// AWS's own client reads the commands, by its own model of the service, and sends them to a server of this test.
#[test]
fn the_client_of_aws_takes_its_commands() {
    if !installed("aws") {
        return;
    }
    let block = all().into_iter().find(|block| block.language == "aws").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", server.local_addr().unwrap());
    let asked =
        std::thread::spawn(move || server.incoming().take(2).map(|peer| form(peer.unwrap())).collect::<Vec<_>>());
    for words in commands(&block.text) {
        let mut command = Command::new("aws");
        command.args(&words[1..]).args(["--endpoint-url", &endpoint, "--no-sign-request", "--region", "eu-west-3"]);
        let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {words:?}\n{said}", block.place());
    }
    let asked = asked.join().unwrap();
    for sent in ["Action=CreateTargetGroup", "Protocol=TCP", "HealthCheckPath=%2Freadyz", "HealthCheckPort=9600"] {
        assert!(asked[0].contains(sent), "{sent}: {}", asked[0]);
    }
    for sent in ["Action=ModifyTargetGroupAttributes", "proxy_protocol_v2.enabled", "preserve_client_ip.enabled"] {
        assert!(asked[1].contains(sent), "{sent}: {}", asked[1]);
    }
}

/// The body of one request, answered with what the service says when it has nothing to tell.
fn form(mut peer: TcpStream) -> String {
    let asked = read_request(&mut BufReader::new(peer.try_clone().unwrap())).unwrap();
    let body = String::from_utf8(asked.body).unwrap();
    let action = body.split("Action=").nth(1).unwrap().split('&').next().unwrap();
    let answer = format!("<{action}Response><{action}Result/></{action}Response>");
    write!(peer, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    body
}
