//! Reads the configuration file and everything it refers to: secrets, keys, certificates, lists.
//!
//! Everything read goes into one digest, so that a reload can tell whether anything changed, and every path is
//! remembered for the watcher. The environment and the credentials folder are arguments: nothing in the depth reads the
//! process.
//!
//! Deliberately absent: `${VAR}` inside the file. References are keys, so every place in a report stays true.

mod error;
mod reading;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use self::error::SourceError;
pub use self::reading::Reading;
use self::reading::{Pieces, open};
use crate::base::Secret;

/// Largest configuration file.
pub const MAX_CONFIG: u64 = 4 << 20;
/// Largest secret, private key or certificate file.
pub const MAX_SECRET: u64 = 64 << 10;
/// Largest certificate chain or bundle of authorities.
pub const MAX_CERTIFICATES: u64 = 1 << 20;
/// Largest address list.
pub const MAX_LIST: u64 = 64 << 20;

/// What the process was started with: its environment and the folder of its systemd credentials.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Secret>,
    credentials: Option<PathBuf>,
    terminal: bool,
    gaps: bool,
    outside: Option<Unit>,
}

/// What is known of the unit from outside of it.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Names of its credentials; `None`: nobody knows.
    pub credentials: Option<BTreeSet<String>>,
    /// Names of variables that it sets.
    pub variables: BTreeSet<String>,
    /// It may set others.
    pub more_variables: bool,
}

impl Environment {
    /// Variables by name, and `$CREDENTIALS_DIRECTORY`.
    pub fn new(variables: impl IntoIterator<Item = (String, Vec<u8>)>, credentials: Option<PathBuf>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        Self { variables, credentials, terminal: false, gaps: false, outside: None }
    }

    /// Whether the log goes to a terminal (`log.format = "auto"`).
    #[must_use]
    pub fn with_terminal(self, terminal: bool) -> Self {
        Self { terminal, ..self }
    }

    /// Secrets and private keys that cannot be read are left out instead of told: for explanations, which an operator asks
    /// for who may not read them. What comes of it must never serve.
    #[must_use]
    pub fn with_gaps(self) -> Self {
        Self { gaps: true, ..self }
    }

    /// What only the unit gives to the process is not looked at where it is not there: for `check`. What comes of it must never
    /// serve.
    #[must_use]
    pub fn outside_the_unit(self, unit: Unit) -> Self {
        Self { outside: Some(unit), ..self }
    }

    /// The environment of this process.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec())));
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::new(variables, credentials).with_terminal(std::io::stderr().is_terminal())
    }
}

/// Names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// How private the content of a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privacy {
    /// Nobody but owner and group may read or write it.
    Private,
    /// Anybody may read it.
    Public,
}

/// A file that was read at once.
pub struct WholeFile {
    /// The path by which a report speaks of it.
    pub path: PathBuf,
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// SHA-256 of that.
    pub digest: [u8; 32],
    /// When it was written, in seconds since the epoch.
    pub written: i64,
}

/// Reads files, and remembers what was read.
#[derive(Debug)]
pub struct Sources<'e> {
    folder: PathBuf,
    environment: &'e Environment,
    digest: Sha256,
    files: Vec<PathBuf>,
    reading: Reading,
    writable: Vec<PathBuf>,
    /// Folders above secrets, and whether anybody may put files there.
    folders: BTreeMap<PathBuf, bool>,
}

impl<'e> Sources<'e> {
    /// Relative paths start at the folder of the configuration file.
    pub fn new(config: &Path, environment: &'e Environment) -> Self {
        let folder = config.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
        let (files, reading, writable) = (Vec::new(), Reading::default(), Vec::new());
        Self { folder, environment, digest: Sha256::new(), files, reading, writable, folders: BTreeMap::new() }
    }

    /// Whether the log goes to a terminal.
    pub fn terminal(&self) -> bool {
        self.environment.terminal
    }

    /// Whether secrets that cannot be read are left out.
    pub fn gaps(&self) -> bool {
        self.environment.gaps
    }

    /// What a secret that is not here is called in the unit, if it is there; else why it is not there either.
    pub fn in_unit(&self, error: SourceError, name: &str) -> Result<&'static str, SourceError> {
        match (&error, &self.environment.outside) {
            (SourceError::NoCredentials, Some(unit)) => match &unit.credentials {
                Some(known) if !known.contains(name) => Err(SourceError::NoCredential(name.to_owned())),
                _ => Ok("credential"),
            },
            (SourceError::NoVariable(_), Some(unit)) if unit.more_variables || unit.variables.contains(name) => {
                Ok("variable")
            }
            _ => Err(error),
        }
    }

    /// The configuration file itself.
    pub fn config(&mut self, path: &Path) -> Result<String, SourceError> {
        let mut bytes = self.read(path.to_path_buf(), MAX_CONFIG, Privacy::Public)?;
        String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
            SourceError::NotText { path: path.to_path_buf(), line }
        })
    }

    /// A text that stands in for the file. The file is watched all the same.
    pub fn given(&mut self, path: &Path, text: &str) {
        self.files.push(path.to_path_buf());
        self.was_read(path.to_path_buf(), MAX_CONFIG, Privacy::Public, Sha256::digest(text).into());
    }

    /// Certificates in PEM form; anybody may read them.
    pub fn certificates(&mut self, path: &str) -> Result<Vec<u8>, SourceError> {
        let path = self.resolve(path)?;
        Ok(self.read(path, MAX_CERTIFICATES, Privacy::Public)?.to_vec())
    }

    /// The lines of an address list, with their numbers from 1; gives the path by which a report speaks of it. The file is never in
    /// memory as a whole. Where it turns out to be no text, the lines before that were reported already.
    pub fn list(&mut self, path: &str, mut tell: impl FnMut(usize, &str)) -> Result<PathBuf, SourceError> {
        let path = self.resolve(path)?;
        self.files.push(path.clone());
        let mut pieces = Pieces::open(&path, MAX_LIST, Privacy::Public)?;
        if pieces.writable {
            self.may_write(&path);
        }
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if !pieces.line(&mut line)? {
                break;
            }
            match std::str::from_utf8(&line) {
                Ok(text) => tell(number, text),
                Err(_) => return Err(SourceError::NotText { path, line: number }),
            }
        }
        self.was_read(path.clone(), MAX_LIST, Privacy::Public, pieces.content());
        Ok(path)
    }

    /// A provider's own file of addresses.
    pub fn feed(&mut self, path: &str, limit: u64) -> Result<WholeFile, SourceError> {
        let path = self.resolve(path)?;
        self.whole(path, limit, Privacy::Public)
    }

    /// Something was made new by being written again, although it says the same.
    pub fn dated(&mut self, written: i64) {
        self.digested("written", b"", &written.to_be_bytes());
    }

    /// Where a file of the relay's own lies. It is neither read nor watched.
    pub fn place(&self, path: &str) -> Result<PathBuf, SourceError> {
        self.resolve(path)
    }

    /// A private key or secret from a file that others may not read. One final newline is not part of it.
    pub fn secret_file(&mut self, path: &str) -> Result<Secret, SourceError> {
        let path = self.resolve(path)?;
        self.private(path)
    }

    /// A secret that systemd put into the credentials folder.
    pub fn credential(&mut self, name: &str) -> Result<Secret, SourceError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(SourceError::CredentialName);
        }
        let folder = self.environment.credentials.as_ref().ok_or(SourceError::NoCredentials)?;
        self.private(folder.join(name)).map_err(|error| match error {
            SourceError::Missing(_) => SourceError::NoCredential(name.to_owned()),
            other => other,
        })
    }

    /// A secret from the environment. It is taken as it is.
    pub fn variable(&mut self, name: &str) -> Result<Secret, SourceError> {
        let value = self.environment.variables.get(name).ok_or_else(|| SourceError::NoVariable(name.to_owned()))?;
        if value.is_empty() {
            return Err(SourceError::EmptyVariable(name.to_owned()));
        }
        let value = value.clone();
        self.digested("env", name.as_bytes(), value.expose());
        Ok(value)
    }

    /// What was read and anybody could have written; secrets among it were refused.
    pub fn writable(&self) -> &[PathBuf] {
        &self.writable
    }

    /// Folders above secrets in which anybody may put a file in the place of another.
    pub fn open_folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().filter(|(_, open)| **open).map(|(folder, _)| folder.as_path())
    }

    /// Looks at every folder above a secret, where a link leads to as well.
    fn look_above(&mut self, path: &Path) {
        let real = std::fs::canonicalize(path).ok();
        for folder in real.iter().flat_map(|real| real.ancestors().skip(1)) {
            if self.folders.contains_key(folder) {
                break;
            }
            // In a sticky folder nobody replaces what is another's.
            let open = std::fs::metadata(folder).is_ok_and(|found| found.mode() & 0o1002 == 0o002);
            self.folders.insert(folder.to_path_buf(), open);
        }
    }

    /// The digest of everything read; every file, each once, in the order of the first reading; and what they held.
    pub fn finish(self) -> ([u8; 32], Vec<PathBuf>, Reading) {
        let mut known = HashSet::with_capacity(self.files.len());
        let mut files = self.files.clone();
        files.retain(|file| known.insert(file.clone()));
        files.shrink_to_fit();
        (self.digest.finalize().into(), files, self.reading)
    }

    fn private(&mut self, path: PathBuf) -> Result<Secret, SourceError> {
        let bytes = self.read(path.clone(), MAX_SECRET, Privacy::Private)?;
        self.look_above(&path);
        let bytes = bytes.strip_suffix(b"\n").map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line));
        if bytes.is_empty() {
            return Err(SourceError::Empty(path));
        }
        Ok(Secret::new(bytes.to_vec()))
    }

    fn resolve(&self, path: &str) -> Result<PathBuf, SourceError> {
        if path.is_empty() { Err(SourceError::NoPath) } else { Ok(self.folder.join(path)) }
    }

    fn read(&mut self, path: PathBuf, limit: u64, privacy: Privacy) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        self.whole(path, limit, privacy).map(|file| file.bytes)
    }

    fn whole(&mut self, path: PathBuf, limit: u64, privacy: Privacy) -> Result<WholeFile, SourceError> {
        self.files.push(path.clone());
        let (bytes, metadata) = whole(&path, limit, privacy)?;
        if metadata.mode() & 0o002 != 0 {
            self.may_write(&path);
        }
        let digest = Sha256::digest(&bytes).into();
        self.was_read(path.clone(), limit, privacy, digest);
        Ok(WholeFile { path, bytes, digest, written: metadata.mtime() })
    }

    fn may_write(&mut self, path: &Path) {
        if !self.writable.iter().any(|known| known == path) {
            self.writable.push(path.to_path_buf());
        }
    }

    fn was_read(&mut self, path: PathBuf, limit: u64, privacy: Privacy, content: [u8; 32]) {
        self.digested("file", path.as_os_str().as_encoded_bytes(), &content);
        self.reading.add(path, limit, privacy, content);
    }

    /// Lengths go in before contents, so that no two sets of files share a digest by sliding bytes between them. Of a file it is
    /// the hash that goes in.
    fn digested(&mut self, kind: &str, name: &[u8], content: &[u8]) {
        self.digest.update(kind);
        self.digest.update((name.len() as u64).to_be_bytes());
        self.digest.update(name);
        self.digest.update((content.len() as u64).to_be_bytes());
        self.digest.update(content);
    }
}

fn check(path: &Path, metadata: &Metadata, limit: u64, privacy: Privacy) -> Result<(), SourceError> {
    let path = path.to_path_buf();
    if !metadata.is_file() {
        return Err(SourceError::NotAFile(path));
    }
    let mode = metadata.mode() & 0o7777;
    if privacy == Privacy::Private {
        if mode & 0o004 != 0 {
            return Err(SourceError::WorldReadable { path, mode });
        }
        if mode & 0o002 != 0 {
            return Err(SourceError::WorldWritable { path, mode });
        }
    }
    if metadata.len() > limit {
        return Err(SourceError::TooLarge { path, limit });
    }
    Ok(())
}

/// One allocation of the right size, so that no half-grown copy of a secret stays behind in memory.
/// A file as a whole, in memory that is wiped.
fn whole(path: &Path, limit: u64, privacy: Privacy) -> Result<(Zeroizing<Vec<u8>>, Metadata), SourceError> {
    let (mut file, metadata) = open(path, limit, privacy)?;
    let bytes = read_bounded(&mut file, &metadata, limit).map_err(|error| SourceError::io(path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::TooLarge { path: path.to_path_buf(), limit });
    }
    Ok((bytes, metadata))
}

fn read_bounded(file: &mut File, metadata: &Metadata, limit: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let capacity = usize::try_from(metadata.len().min(limit)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
