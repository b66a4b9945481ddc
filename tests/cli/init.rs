//! `init`: what it writes is a configuration that `check` takes, with the modes that a service user needs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::harness::{CANARY, binary, relay, relay_reading};

const GIVEN: [&str; 6] = ["--upstream", "http://127.0.0.1:9", "--host", "hooks.example.com", "--provider", "github"];

fn init(dir: &Path) -> Vec<String> {
    let mut arguments = vec!["init".to_owned(), "--dir".to_owned(), dir.to_str().unwrap().to_owned()];
    arguments.extend(GIVEN.map(str::to_owned));
    arguments
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// Whatever is written is taken, but for the two places that only an installed relay has.
fn is_fine(dir: &Path) {
    let config = dir.join("relay.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text =
        text.replace("/var/lib/dmz-relay/", "").replace("unix:/run/dmz-relay/", &format!("unix:{}/", dir.display()));
    fs::write(&config, text.replace("0.0.0.0:443", "127.0.0.1:0")).unwrap();
    relay(&["check", "--config", config.to_str().unwrap()]).exits(0);
}

#[test]
fn what_it_writes_is_fine_and_has_the_right_modes_under_any_umask() {
    for umask in ["022", "027", "077", "000"] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("etc");
        let mut arguments = init(&dir);
        arguments.extend(["--private-certificate".to_owned(), "--secret-stdin".to_owned()]);
        let script = format!("umask {umask}; printf '%s\\n' \"$SECRET\" | exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(binary().get_program()).args(&arguments).env("SECRET", CANARY);
        let output = shell.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !said.contains(CANARY), "{said}");
        for folder in ["", "certs", "secrets", "lists"] {
            assert_eq!(mode(&dir.join(folder)), 0o750, "{folder} under {umask}");
        }
        for file in ["relay.toml", "certs/ca.crt", "certs/relay.crt", "certs/relay.key", "secrets/github"] {
            assert_eq!(mode(&dir.join(file)), 0o640, "{file} under {umask}");
        }
        assert_eq!(fs::read_to_string(dir.join("secrets/github")).unwrap(), CANARY, "without the line feed");
        is_fine(&dir);
    }
}

#[test]
fn it_serves_every_provider() {
    let list = relay(&["providers", "--format", "json"]).exits(0).json();
    for provider in list.as_array().unwrap() {
        let id = provider["id"].as_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = init(folder.path());
        *arguments.last_mut().unwrap() = id.to_owned();
        arguments.extend(["--private-certificate".to_owned(), "--secret-stdin".to_owned()]);
        // Hexadecimal, and base64 as well.
        let basic = provider["scheme"].to_string().contains("user:password");
        let secret = if basic { "user:password\n" } else { "30313233343536373839616263646566\n" };
        let pair = dmz_relay::config::recipe::builtin(id).unwrap().scheme.fresh_pair();
        let secret = pair.map_or_else(|| secret.to_owned(), |(_, public)| public);
        relay_reading(&borrowed(&arguments), secret.as_bytes()).exits(0);
        is_fine(folder.path());
    }
}

/// The last of the commands that it prints sends from this host, which no provider publishes.
#[test]
fn published_addresses_are_observed_at_first() {
    for (provider, publishes) in [("stripe", true), ("github", false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = init(folder.path());
        *arguments.last_mut().unwrap() = provider.to_owned();
        relay(&borrowed(&arguments)).exits(0);
        let text = fs::read_to_string(folder.path().join("relay.toml")).unwrap();
        let config: toml::Table = toml::from_str(&text).unwrap();
        let route = &config["routes"][provider];
        assert_eq!(route.get("allow").is_some(), publishes, "{text}");
        let observed = route.get("address_check").and_then(toml::Value::as_str);
        assert_eq!(observed, publishes.then_some("observe"), "{text}");
    }
}

#[test]
fn it_says_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let said = relay(&borrowed(&init(folder.path()))).exits(0);
    let dir = folder.path().display();
    for next in [
        format!("install -m 640 -g dmz-relay privkey.pem {dir}/certs/relay.key"),
        format!("install -m 640 -g dmz-relay /dev/stdin {dir}/secrets/github"),
        format!("dmz-relay check --config {dir}/relay.toml"),
        "systemctl enable --now dmz-relay".to_owned(),
        format!("dmz-relay send github --config {dir}/relay.toml"),
    ] {
        assert!(said.out.contains(&next), "{next} in {}", said.out);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = init(folder.path());
    arguments.extend(["--format".to_owned(), "json".to_owned()]);
    let made = relay(&borrowed(&arguments)).exits(0).json();
    assert_eq!((made["route"].as_str(), made["secret"].as_bool()), (Some("github"), Some(false)));
}

/// The commands are followed as they stand, by a shell.
#[test]
fn what_comes_next_can_be_copied_into_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("it's a folder");
    let mut arguments = init(&dir);
    arguments.extend(["--format", "json", "--private-certificate", "--secret-stdin"].map(str::to_owned));
    let made = relay_reading(&borrowed(&arguments), b"0123456789abcdef0123456789abcdef").exits(0).json();
    let next: Vec<&str> = made["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    let config = dir.join("relay.toml");
    for command in next.iter().filter(|command| command.contains("--config")) {
        let script = format!("set -- {command}; for word; do echo \"$word\"; done");
        let words = Command::new("sh").args(["-c", &script]).output().unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        assert_eq!(words.lines().last(), config.to_str(), "{command}");
    }
    // The unit reads /etc/dmz-relay alone.
    assert!(
        next.iter().any(|command| command.starts_with("sudo cp -a ") && command.ends_with(" /etc/dmz-relay/")),
        "{next:?}"
    );
}

#[test]
fn nothing_that_is_there_is_replaced_and_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    fs::write(&config, "precious").unwrap();
    let said = relay(&borrowed(&init(folder.path()))).exits(2);
    assert!(said.err.contains("is there already"), "{}", said.err);
    assert_eq!(fs::read_to_string(&config).unwrap(), "precious");
    assert!(!folder.path().join("secrets").exists());

    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::set_permissions(folder.path().join("secrets"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(elsewhere.path().join("planted"), folder.path().join("secrets/github")).unwrap();
    let mut arguments = init(folder.path());
    arguments.push("--secret-stdin".to_owned());
    relay_reading(&borrowed(&arguments), CANARY.as_bytes()).exits(2);
    assert!(!elsewhere.path().join("planted").exists());
}

#[test]
fn wrong_words_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = init(folder.path());
    *arguments.last_mut().unwrap() = "gitub".to_owned();
    assert!(relay(&borrowed(&arguments)).exits(2).err.contains("did you mean \"github\""));
    let mut arguments = init(folder.path());
    arguments[6] = "https://hooks.example.com".to_owned();
    assert!(relay(&borrowed(&arguments)).exits(2).err.contains("--host"));
    for (host, cause) in [
        ("hooks.example.com:443", "write it without: \"hooks.example.com\""),
        ("b\u{fc}cher.de", "xn--"),
        ("*.example.com", "a pattern"),
    ] {
        let mut arguments = init(folder.path());
        arguments[6] = host.to_owned();
        let said = relay(&borrowed(&arguments)).exits(2);
        assert!(said.err.contains(cause), "{}", said.err);
    }
    // What `check` would refuse is refused before anything is written.
    for (upstream, cause) in [
        ("10.0.0.1:80", "http://host:port"),
        ("http://[::1", "cannot be read"),
        ("http://app:1/hook", "a path"),
        ("https://my_app:1", "can never be verified"),
    ] {
        let mut arguments = init(folder.path());
        arguments[4] = upstream.to_owned();
        let said = relay(&borrowed(&arguments)).exits(2);
        assert!(said.err.contains("--upstream") && said.err.contains(cause), "{}", said.err);
    }
    let mut arguments = init(folder.path());
    arguments.push("--secret-stdin".to_owned());
    assert!(relay_reading(&borrowed(&arguments), b"\n").exits(2).err.contains("no secret"));
    assert!(!folder.path().join("relay.toml").exists());
}
