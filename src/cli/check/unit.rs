//! What the installed unit says of the service that reads a configuration: its user, and what it may use of the host.
//!
//! Read from the unit's files and drop-ins, where systemd looks for them and in its order, so that it is known without a system bus and
//! before the first start. A configuration that the unit does not name is none of its business.

mod file;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use self::file::Settings;
use crate::config::source::Unit as Gives;

const NAME: &str = "dmz-relay.service";
/// What the unit reads where its command line names nothing.
const INSTALLED: &str = "/etc/dmz-relay/relay.toml";
/// Where systemd looks for units of the system, highest priority first.
const FOLDERS: [&str; 9] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Drop-ins of this unit, and of kinds of units that it belongs to.
const DROP_INS: [&str; 3] = ["dmz-relay.service.d", "dmz-.service.d", "service.d"];

/// The unit of one configuration.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// `User=`; `None`: root, or one that systemd makes up at the start (`DynamicUser=`).
    pub(super) user: Option<String>,
    /// `Group=`, where it is not the user's own.
    pub(super) group: Option<String>,
    /// `SupplementaryGroups=`.
    pub(super) groups: Vec<String>,
    /// The smaller of `MemoryMax=` and `MemoryHigh=`.
    pub(super) memory: Option<Bound>,
    /// The soft limit of `LimitNOFILE=`.
    pub(super) open_files: Option<u64>,
    /// Folders that exist for others and not for the service (`ProtectHome=`, `PrivateTmp=`).
    pub(super) hidden: Vec<(&'static str, PathBuf)>,
    /// What it gives to the process.
    pub(super) gives: Gives,
    /// Folders below `/run` that systemd makes when it starts the service (`RuntimeDirectory=`).
    pub(super) made: Vec<PathBuf>,
    /// Where the service may write; `None`: wherever its user may (`ProtectSystem=` is not strict).
    pub(super) writable: Option<Vec<PathBuf>>,
}

/// A limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) key: &'static str,
    pub(super) bytes: u64,
}

impl Unit {
    /// The installed unit, if it reads this configuration. `ram` is what a percentage of `MemoryMax=` is of.
    pub(super) fn of(config: &Path, ram: Option<u64>) -> Option<Self> {
        let settings = installed(&folders(std::env::var_os("SYSTEMD_UNIT_PATH")))?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        (real(&named(&settings)) == real(config)).then(|| Self::read(&settings, ram))
    }

    fn read(settings: &Settings, ram: Option<u64>) -> Self {
        let is_on = |key: &str| settings.last(key).is_some_and(is_yes);
        let named = |key: &str| settings.last(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let bound = |key: &'static str| Some(Bound { key, bytes: bytes(settings.last(key)?, ram)? });
        let user = named("User").filter(|_| !is_on("DynamicUser"));
        let mut hidden = Vec::new();
        if settings.last("ProtectHome").is_some_and(|value| is_yes(value) || value == "tmpfs") {
            hidden.extend(["/home", "/root", "/run/user"].map(|folder| ("ProtectHome", PathBuf::from(folder))));
        }
        if is_on("PrivateTmp") {
            hidden.extend(["/tmp", "/var/tmp"].map(|folder| ("PrivateTmp", PathBuf::from(folder))));
        }
        // A path that is mounted there all the same.
        if settings.words("BindPaths").chain(settings.words("BindReadOnlyPaths")).next().is_some() {
            hidden.clear();
        }
        Self {
            user,
            group: named("Group"),
            groups: settings.words("SupplementaryGroups").map(str::to_owned).collect(),
            memory: [bound("MemoryMax"), bound("MemoryHigh")].into_iter().flatten().min_by_key(|bound| bound.bytes),
            open_files: settings.last("LimitNOFILE").and_then(soft),
            hidden,
            gives: gives(settings),
            made: named_below(settings, "RuntimeDirectory", "/run").collect(),
            writable: (settings.last("ProtectSystem") == Some("strict")).then(|| writable(settings)).flatten(),
        }
    }
}

/// Where units are looked for: the variable that `systemctl` and `systemd-analyze` go by, or what systemd has.
fn folders(variable: Option<OsString>) -> Vec<PathBuf> {
    let usual = FOLDERS.map(PathBuf::from);
    let Some(named) = variable.filter(|text| !text.is_empty()) else { return usual.to_vec() };
    let mut folders: Vec<PathBuf> = std::env::split_paths(&named).collect();
    // A colon at the end: the usual ones come after.
    if folders.last().is_some_and(|last| last.as_os_str().is_empty()) {
        folders.pop();
        folders.extend(usual);
    }
    folders
}

/// The unit with its drop-ins; `None` where there is none, or it is masked.
fn installed(folders: &[PathBuf]) -> Option<Settings> {
    let text = folders.iter().find_map(|folder| std::fs::read_to_string(folder.join(NAME)).ok())?;
    if text.is_empty() {
        return None;
    }
    let mut settings = Settings::default();
    settings.read(&text);
    // Of two with one name, the one in the folder of higher priority.
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for below in DROP_INS {
        for folder in folders {
            let entries = std::fs::read_dir(folder.join(below)).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "conf")) {
                drop_ins.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    for path in drop_ins.values() {
        settings.read(&std::fs::read_to_string(path).unwrap_or_default());
    }
    Some(settings)
}

/// The configuration that its command line names.
fn named(settings: &Settings) -> PathBuf {
    let words: Vec<&str> = settings.last("ExecStart").unwrap_or_default().split_whitespace().collect();
    let apart = words.windows(2).find_map(|pair| match pair {
        ["--config" | "-c", path] => Some(*path),
        _ => None,
    });
    let joined = || words.iter().find_map(|word| word.strip_prefix("--config="));
    PathBuf::from(apart.or_else(joined).unwrap_or(INSTALLED).trim_matches(['"', '\'']))
}

/// The folders that a key names by their place below another.
fn named_below(settings: &Settings, key: &str, above: &'static str) -> impl Iterator<Item = PathBuf> {
    let names = settings.words(key).map(|name| name.split(':').next().unwrap_or(name));
    names.map(|name| Path::new(above).join(name)).collect::<Vec<_>>().into_iter()
}

/// `None` where a specifier stands in one of the paths: then it is not known.
fn writable(settings: &Settings) -> Option<Vec<PathBuf>> {
    let made = [
        ("StateDirectory", "/var/lib"),
        ("RuntimeDirectory", "/run"),
        ("CacheDirectory", "/var/cache"),
        ("LogsDirectory", "/var/log"),
    ];
    let mut paths = Vec::new();
    for (key, above) in made {
        paths.extend(named_below(settings, key, above));
    }
    let plain = |path: &str| PathBuf::from(path.trim_start_matches(['-', '+']));
    paths.extend(settings.words("ReadWritePaths").map(plain));
    paths.extend(settings.words("BindPaths").map(|pair| plain(pair.split(':').nth(1).unwrap_or(pair))));
    paths.extend(["/dev", "/proc", "/sys"].map(PathBuf::from));
    if settings.last("PrivateTmp").is_some_and(is_yes) {
        paths.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
    }
    let is_known = |path: &PathBuf| !path.to_string_lossy().contains('%');
    paths.iter().all(is_known).then_some(paths)
}

/// Credentials and variables, by their names.
fn gives(settings: &Settings) -> Gives {
    let keys = ["LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted"];
    let first = |value: &str| value.split(':').next().unwrap_or_default().to_owned();
    let credentials = keys.iter().flat_map(|key| settings.all(key)).map(first).collect();
    // These may stand for any.
    let is_open = settings.all("ImportCredential").next().is_some();
    let name = |word: &str| word.trim_matches(['"', '\'']).split('=').next().unwrap_or_default().to_owned();
    let variables = ["Environment", "PassEnvironment"].iter().flat_map(|key| settings.words(key)).map(name).collect();
    let more_variables = settings.all("EnvironmentFile").next().is_some();
    Gives { credentials: (!is_open).then_some(credentials), variables, more_variables }
}

fn is_yes(value: &str) -> bool {
    ["yes", "true", "on", "1"].contains(&value)
}

/// `700M`, `80%`; `None`: no limit, or none that can be read.
fn bytes(value: &str, ram: Option<u64>) -> Option<u64> {
    if let Some(percent) = value.strip_suffix('%') {
        return Some(ram? / 100 * percent.trim().parse::<u64>().ok()?);
    }
    let digits = value.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `65536`, `1024:524288`: what a process has that does not ask for more.
fn soft(value: &str) -> Option<u64> {
    value.split(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../systemd/dmz-relay.service");
    const MIB: u64 = 1 << 20;

    /// What these files, by their paths below the folder, make of the unit.
    fn unit(files: &[(&str, &str)]) -> Option<(PathBuf, Unit)> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let folders = ["etc", "run", "lib"].map(|below| folder.path().join(below));
        let settings = installed(&folders)?;
        Some((named(&settings), Unit::read(&settings, Some(1000 * MIB))))
    }

    #[test]
    fn the_shipped_unit_says_who_the_service_is_and_where_it_may_write() {
        let (config, unit) = unit(&[("lib/dmz-relay.service", SHIPPED)]).unwrap();
        assert_eq!(config, Path::new(INSTALLED));
        assert_eq!((unit.user.as_deref(), unit.group.as_deref()), (Some("dmz-relay"), Some("dmz-relay")));
        assert_eq!((unit.memory, unit.open_files), (None, Some(65_536)));
        assert!(
            unit.hidden.iter().any(|(key, folder)| (*key, folder.as_path()) == ("ProtectHome", Path::new("/home")))
        );
        let writable = unit.writable.unwrap();
        for path in ["/var/lib/dmz-relay", "/run/dmz-relay"] {
            assert!(writable.iter().any(|folder| folder == Path::new(path)), "{path}: {writable:?}");
        }
    }

    #[test]
    fn drop_ins_come_after_the_unit_in_the_order_of_their_names() {
        let files = [
            ("lib/dmz-relay.service", SHIPPED),
            ("etc/dmz-relay.service.d/20-later.conf", "[Service]\nMemoryMax=700M\nSupplementaryGroups=tls\n"),
            (
                "lib/dmz-relay.service.d/10-first.conf",
                "[Service]\nMemoryMax=1G\nMemoryHigh = 90%\nLimitNOFILE=1024:4096\n",
            ),
            ("etc/dmz-relay.service.d/30-same.conf", "[Service]\nUser=relay\n"),
            ("lib/dmz-relay.service.d/30-same.conf", "[Service]\nUser=other\n"),
            ("lib/service.d/05-all.conf", "[Service]\nMemoryMax=1M\n"),
            ("etc/dmz-relay.service.d/no-drop-in.txt", "[Service]\nUser=nobody\n"),
        ];
        let (_, unit) = unit(&files).unwrap();
        assert_eq!(unit.memory, Some(Bound { key: "MemoryMax", bytes: 700 * MIB }));
        assert_eq!((unit.user.as_deref(), unit.open_files), (Some("relay"), Some(1024)));
        assert_eq!(unit.groups, ["tls"]);
    }

    #[test]
    fn a_command_line_names_the_configuration() {
        for (line, path) in [
            ("/usr/bin/dmz-relay run", INSTALLED),
            ("/usr/bin/dmz-relay run -c /srv/a.toml", "/srv/a.toml"),
            ("/usr/bin/dmz-relay run --config=/srv/b.toml --poll", "/srv/b.toml"),
            ("/usr/bin/dmz-relay run --config \"/srv/c.toml\"", "/srv/c.toml"),
        ] {
            let text = format!("[Service]\nExecStart={line}\n");
            assert_eq!(unit(&[("run/dmz-relay.service", &text)]).unwrap().0, Path::new(path), "{line}");
        }
    }

    #[test]
    fn a_unit_that_is_masked_or_absent_is_none() {
        assert!(unit(&[]).is_none());
        assert!(unit(&[("etc/dmz-relay.service", ""), ("lib/dmz-relay.service", SHIPPED)]).is_none());
    }

    #[test]
    fn a_user_that_systemd_makes_up_is_not_known() {
        let text = "[Service]\nUser=dmz-relay\nDynamicUser=yes\nProtectSystem=strict\nReadWritePaths=%S/x\n";
        let (_, unit) = unit(&[("etc/dmz-relay.service", text)]).unwrap();
        assert_eq!((unit.user, unit.writable), (None, None));
    }

    #[test]
    fn names_of_credentials_and_variables_are_known() {
        let text = "[Service]\nLoadCredential=github:/etc/a\nLoadCredentialEncrypted=stripe:/etc/b\n\
             Environment=\"ONE=1 2\" TWO=2\nPassEnvironment=THREE\n";
        let gives = unit(&[("etc/dmz-relay.service", text)]).unwrap().1.gives;
        let credentials = gives.credentials.unwrap();
        assert!(credentials.iter().eq(["github", "stripe"]), "{credentials:?}");
        assert!(["ONE", "TWO", "THREE"].iter().all(|name| gives.variables.contains(*name)) && !gives.more_variables);
        let text = format!("{text}ImportCredential=relay.*\nEnvironmentFile=-/etc/default/relay\n");
        let gives = unit(&[("etc/dmz-relay.service", &text)]).unwrap().1.gives;
        assert!(gives.credentials.is_none() && gives.more_variables);
    }

    #[test]
    fn sizes_are_read_as_systemd_reads_them() {
        for (value, expected) in [
            ("700M", Some(700 * MIB)),
            ("1G", Some(1024 * MIB)),
            ("4096", Some(4096)),
            ("50%", Some(500 * MIB)),
            ("infinity", None),
            ("", None),
        ] {
            assert_eq!(bytes(value, Some(1000 * MIB)), expected, "{value}");
        }
        assert_eq!((soft("infinity"), soft("1024:4096"), soft("9")), (None, Some(1024), Some(9)));
    }

    #[test]
    fn the_variable_of_systemctl_names_the_folders() {
        assert_eq!(folders(Some("/a:/b".into())), [PathBuf::from("/a"), "/b".into()]);
        assert_eq!(folders(Some("/a:".into())).len(), 1 + FOLDERS.len());
        assert_eq!(folders(None).len(), FOLDERS.len());
    }
}
