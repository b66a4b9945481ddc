//! Why something that the configuration refers to cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::quantity::write_size;

/// Why a source cannot be used. Never holds content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it")]
pub enum SourceError {
    NoPath,
    Missing(PathBuf),
    Denied(PathBuf),
    Io { path: PathBuf, kind: io::ErrorKind },
    NotAFile(PathBuf),
    TooLarge { path: PathBuf, limit: u64 },
    WorldReadable { path: PathBuf, mode: u32 },
    WorldWritable { path: PathBuf, mode: u32 },
    Empty(PathBuf),
    NotText { path: PathBuf, line: usize },
    NoVariable(String),
    EmptyVariable(String),
    NoCredentials,
    NoCredential(String),
    CredentialName,
}

impl SourceError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::PermissionDenied => Self::Denied(path),
            io::ErrorKind::IsADirectory => Self::NotAFile(path),
            kind => Self::Io { path, kind },
        }
    }

    /// The file that may not be read.
    pub fn denied(&self) -> Option<&Path> {
        match self {
            Self::Denied(path) => Some(path),
            _ => None,
        }
    }

    /// The same where the file is named already.
    pub fn without(&self, path: &Path) -> String {
        let text = self.to_string();
        text.strip_prefix(&format!("{} ", path.display())).map_or_else(|| text.clone(), str::to_owned)
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::NoPath => "name a file".to_owned(),
            Self::Missing(_) => "relative paths start at the folder of the configuration file".to_owned(),
            Self::Denied(path) => {
                format!("let the relay's user read {}; `namei -l` shows which folder stops it", path.display())
            }
            Self::Io { .. } => "try to read it as the relay's user".to_owned(),
            Self::NotAFile(_) => "a folder, socket, device or pipe cannot be used here".to_owned(),
            Self::TooLarge { .. } => "check that this is the file that was meant".to_owned(),
            Self::WorldReadable { path, .. } | Self::WorldWritable { path, .. } => {
                format!("chmod 0640 {}, and make a new secret if others may have seen it", path.display())
            }
            Self::Empty(_) => "one final newline is not counted; the secret must stand before it".to_owned(),
            Self::NotText { .. } => "save it as UTF-8".to_owned(),
            Self::NoVariable(name) | Self::EmptyVariable(name) => {
                format!("set {name} for the service, or use {{ credential = \"…\" }} or {{ file = \"…\" }}")
            }
            Self::NoCredentials => {
                "start the relay from its systemd unit with LoadCredential=, or use { file = \"…\" }".to_owned()
            }
            Self::NoCredential(name) => format!("add LoadCredential={name}:PATH to the systemd unit"),
            Self::CredentialName => "write the name that LoadCredential= gives it, without a folder".to_owned(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPath => f.write_str("the path is empty"),
            Self::Missing(path) => write!(f, "{} does not exist", path.display()),
            Self::Denied(path) => write!(f, "{} may not be read by the relay's user", path.display()),
            Self::Io { path, kind } => write!(f, "{} cannot be read: {kind}", path.display()),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", path.display()),
            Self::TooLarge { path, limit } => {
                write!(f, "{} is larger than {}", path.display(), write_size(*limit))
            }
            Self::WorldReadable { path, mode } => {
                write!(f, "{} is readable by everybody (mode {mode:04o})", path.display())
            }
            Self::WorldWritable { path, mode } => {
                write!(f, "{} is writable by everybody (mode {mode:04o})", path.display())
            }
            Self::Empty(path) => write!(f, "{} is empty", path.display()),
            Self::NotText { path, line } => write!(f, "{} is not UTF-8 text (line {line})", path.display()),
            Self::NoVariable(name) => write!(f, "the environment variable {name} is not set"),
            Self::EmptyVariable(name) => write!(f, "the environment variable {name} is empty"),
            Self::NoCredentials => f.write_str("$CREDENTIALS_DIRECTORY is not set, so there are no credentials"),
            Self::NoCredential(name) => write!(f, "there is no credential \"{name}\""),
            Self::CredentialName => f.write_str("this is not the name of a credential"),
        }
    }
}

impl std::error::Error for SourceError {}
