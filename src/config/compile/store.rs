//! `[store]`: where accepted requests and the history are kept, and what they may take.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::Compiler;
use super::values::{Between, millis, number, shown};
use crate::base::folder_of;
use crate::config::quantity::write_size;
use crate::config::raw::{RawSecretEntry, RawSecrets, RawSqlite, RawStore};
use crate::runtime::snapshot::Limits;
use crate::store::{SealingKey, Settings};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// A page number of SQLite has 32 bits; at 8 KiB a page that is twice this.
const LARGEST: u64 = 16 * 1024 * GIB;
/// What a key must have; the cipher's own keys are as long.
const KEY: usize = 32;
const MOST_KEYS: usize = 16;

const PATH: &str = "write sqlite = { path = \"/var/lib/dmz-relay/relay.db\" }";
const FORMS: &str = "write { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }";

impl Compiler<'_> {
    pub(super) fn store(&mut self, raw: &Spanned<RawStore>, limits: &Limits) -> Option<Settings> {
        let fields = raw.get_ref();
        let before = self.problems.len();
        let keep = fields.keep.as_ref();
        let (age, size) = (keep.and_then(|keep| keep.age.clone()), keep.and_then(|keep| keep.size.clone()));
        let keep_age = self.duration(&age, "store.keep.age", millis(14 * DAY, HOUR, 3650 * DAY));
        let keep_size = self.size(&size, "store.keep.size", number(2 * GIB, 16 * MIB, LARGEST));
        let disk_reserve = self.size(&fields.disk_reserve, "store.disk_reserve", number(256 * MIB, 0, LARGEST));
        let rows: Between<u64> = number(20, 0, 100_000);
        let refusals = self.count(&fields.refusals_per_second, "store.refusals_per_second", rows);
        if limits.max_body > keep_size
            && let Some(at) = &size
        {
            let what = format!("one body may be larger than that (limits.max_body is {})", write_size(limits.max_body));
            self.reject(at, "store.keep.size", what, "raise it or lower max_body");
        }
        let keys = fields.encryption_key.as_ref().map_or_else(Vec::new, |keys| self.sealing_keys(keys));
        let path = self.engine(raw);
        (self.problems.len() == before).then_some(())?;
        Some(Settings {
            path: path?,
            keys,
            keep_age,
            keep_size,
            disk_reserve,
            refusals_per_second: u32::try_from(refusals).unwrap_or(20),
        })
    }

    /// There is one engine in this version; the other is known, and refused rather than ignored.
    fn engine(&mut self, raw: &Spanned<RawStore>) -> Option<PathBuf> {
        let fields = raw.get_ref();
        if let Some(postgres) = &fields.postgres {
            self.reject(postgres, "store.postgres", "PostgreSQL is not available in this version", PATH);
            fields.sqlite.as_ref()?;
        }
        let sqlite: &Spanned<RawSqlite> = self.required(&fields.sqlite, raw, "store.sqlite", PATH)?;
        let at = self.required(&sqlite.get_ref().path, sqlite, "store.sqlite.path", PATH)?;
        self.store_path(at)
    }

    fn store_path(&mut self, at: &Spanned<String>) -> Option<PathBuf> {
        const KEY: &str = "store.sqlite.path";
        let text = at.get_ref();
        // SQLite reads some names as something else than a file, one of them as memory that is gone with the process.
        if text.starts_with(':') || text.starts_with("file:") || text.contains('\0') || text.ends_with('/') {
            self.reject(at, KEY, format!("\"{}\" is not the name of a file", shown(text)), PATH);
            return None;
        }
        let path = match self.sources.place(text) {
            Ok(path) => path,
            Err(error) => {
                self.reject(at, KEY, error.to_string(), PATH);
                return None;
            }
        };
        self.store_folder(at, KEY, &path);
        // What may not be looked at from here is reported when the store is opened, by the user who opens it.
        if let Ok(metadata) = fs::metadata(&path) {
            if !metadata.is_file() {
                let what = format!("{} is not a regular file", path.display());
                self.reject(at, KEY, what, "name a file in that folder: the relay makes it");
            } else if metadata.permissions().mode() & 0o006 != 0 {
                let what = format!("{} is open to everybody, and holds requests", path.display());
                self.warn(at, KEY, what, format!("chmod 0600 {}", path.display()));
            }
        }
        Some(path)
    }

    /// The relay makes the file and never its folder: whose it is and who may enter it is the installation's to say.
    fn store_folder(&mut self, at: &Spanned<String>, key: &str, path: &Path) {
        let folder = folder_of(path);
        match fs::metadata(folder) {
            Ok(metadata) if !metadata.is_dir() => {
                self.reject(at, key, format!("{} is not a folder", folder.display()), PATH);
            }
            // With the sticky bit others may add files, but not move ours away.
            Ok(metadata) if metadata.permissions().mode() & 0o1002 == 0o002 => {
                let what = format!("everybody may remove or replace files in {}", folder.display());
                self.warn(at, key, what, format!("chmod o-w {}", folder.display()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let help = format!(
                    "install -d -m 0700 -o dmz-relay -g dmz-relay {}; the systemd unit's StateDirectory= makes \
                     /var/lib/dmz-relay",
                    folder.display()
                );
                self.reject(at, key, format!("the folder {} does not exist", folder.display()), help);
            }
            Err(_) => {}
        }
    }

    /// The first seals, all of them open.
    fn sealing_keys(&mut self, raw: &Spanned<RawSecrets>) -> Vec<SealingKey> {
        const AT: &str = "store.encryption_key";
        let mut keys: Vec<SealingKey> = Vec::new();
        match raw.get_ref() {
            RawSecrets::Inline => self.reject(raw, AT, "a secret never stands in this file", FORMS),
            RawSecrets::One(reference) => {
                let read = self.secret(raw, reference, AT);
                keys.extend(read.and_then(|(id, secret)| self.sealing_key(raw, AT, &id, secret)));
            }
            RawSecrets::List(list) if list.is_empty() => {
                let help = "name a key, or leave encryption_key out: requests are then stored in clear text";
                self.reject(raw, AT, "the list is empty, so nothing would be sealed", help);
            }
            RawSecrets::List(list) if list.len() > MOST_KEYS => {
                let what = format!("more than {MOST_KEYS} keys");
                self.reject(raw, AT, what, "remove those that nothing is sealed with any more");
            }
            RawSecrets::List(list) => {
                for entry in list {
                    let RawSecretEntry::Reference(reference) = entry.get_ref() else {
                        self.reject(entry, AT, "a secret never stands in this file", FORMS);
                        continue;
                    };
                    let Some((id, secret)) = self.secret(entry, reference, AT) else { continue };
                    let Some(key) = self.sealing_key(entry, AT, &id, secret) else { continue };
                    if keys.contains(&key) {
                        self.warn(entry, AT, format!("\"{id}\" holds the same key as one before it"), "remove it");
                    }
                    keys.push(key);
                }
            }
        }
        keys
    }

    fn sealing_key<T>(
        &mut self,
        at: &Spanned<T>,
        key: &str,
        id: &str,
        secret: crate::base::Secret,
    ) -> Option<SealingKey> {
        if secret.len() < KEY {
            let what = format!("\"{id}\" has {} bytes; a key needs at least {KEY}", secret.len());
            self.reject(at, key, what, "make one: openssl rand -hex 32");
            return None;
        }
        self.doubtful(at, key, id, &secret);
        Some(SealingKey(secret))
    }
}
