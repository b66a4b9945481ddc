//! Where the admin listener stands, and that it stands there safely.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::runtime::snapshot::AdminAddress;

/// The owner and the group, nobody else.
const SOCKET_MODE: u32 = 0o660;

/// Who may reach a TCP admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// The same machine only: any other address is an error.
    Loopback,
    /// Other machines too, because the configuration says so. They read metrics and health.
    Network,
}

/// Why the admin listener could not stand where it should.
#[derive(Debug)]
pub enum BindError {
    /// A TCP address that other machines reach.
    NotLoopback(SocketAddr),
    /// Another process answers on the Unix socket.
    InUse(PathBuf),
    /// Something that is not a socket has the Unix socket's path.
    NotASocket(PathBuf),
    /// The folder of the Unix socket is missing, or the relay's user may not make a file in it.
    Folder(PathBuf, io::Error),
    /// The operating system said no.
    Io(String, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => {
                write!(
                    f,
                    "admin address {address} can be reached from other machines; use 127.0.0.1, [::1] or a Unix socket"
                )
            }
            Self::InUse(path) => write!(f, "another process answers on {}", path.display()),
            Self::NotASocket(path) => write!(f, "{} exists and is not a socket; it was left alone", path.display()),
            Self::Folder(folder, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "the folder {} does not exist; {}", folder.display(), without_folder(folder))
            }
            Self::Folder(folder, error) => {
                let own = if below_run(folder) { "make it right" } else { "let the relay's user write there" };
                let command = if below_run(folder) { format!(": {TMPFILES}") } else { String::new() };
                write!(f, "cannot make the socket in {}: {error}; {own}{command}", folder.display())
            }
            Self::Io(place, error) => write!(f, "cannot listen on {place}: {error}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Io(_, error) => Some(error),
            Self::NotLoopback(_) | Self::InUse(_) | Self::NotASocket(_) => None,
        }
    }
}

/// Makes the folders of `tmpfiles.d/dmz-relay.conf`, and gives them their owners and modes.
const TMPFILES: &str = "sudo systemd-tmpfiles --create";

fn below_run(folder: &Path) -> bool {
    folder.starts_with("/run") || folder.starts_with("/var/run")
}

/// What helps where the folder of the socket is missing. Below `/run` nothing outlives a boot, so a file of `tmpfiles.d` has to make it.
pub fn without_folder(folder: &Path) -> String {
    if below_run(folder) {
        format!("{TMPFILES} (systemd/tmpfiles.conf has to name it: /run is empty after each boot)")
    } else {
        format!("sudo install -d -m 2750 -o dmz-relay -g dmz-relay-admin {}", folder.display())
    }
}

/// An admin listener that accepts connections into its queue.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    pub(super) exposure: Exposure,
    address: String,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, file: SocketFile },
}

impl Bound {
    /// Binds. Needs a tokio runtime.
    pub fn bind(address: &AdminAddress, exposure: Exposure) -> Result<Self, BindError> {
        match address {
            AdminAddress::Tcp(address) => bind_tcp(*address, exposure),
            AdminAddress::Unix(path) => bind_unix(path, exposure),
        }
    }

    /// Where it really stands: with the port that the kernel chose.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The TCP address, unless it is a Unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }
}

fn bind_tcp(address: SocketAddr, exposure: Exposure) -> Result<Bound, BindError> {
    if exposure == Exposure::Loopback && !address.ip().to_canonical().is_loopback() {
        return Err(BindError::NotLoopback(address));
    }
    let listener = StdTcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(TcpListener::from_std)
        .map_err(|error| BindError::Io(address.to_string(), error))?;
    let address = listener.local_addr().unwrap_or(address).to_string();
    Ok(Bound { socket: Socket::Tcp(listener), exposure, address })
}

/// Binds under a passing name, sets the mode, and only then renames into place: at no moment does the socket stand
/// there with other rights, and a stale one is replaced in one step.
fn bind_unix(path: &Path, exposure: Exposure) -> Result<Bound, BindError> {
    let failed = |error| BindError::Io(path.display().to_string(), error);
    refuse_occupied(path)?;
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let passing = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    // Ours alone by its name; left behind by a process with the same id that died here.
    let _ = std::fs::remove_file(&passing);
    let listener = StdUnixListener::bind(&passing).map_err(|error| unmade(path, error))?;
    let placed = std::fs::set_permissions(&passing, std::fs::Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| std::fs::rename(&passing, path))
        .and_then(|()| std::fs::symlink_metadata(path));
    let meta = match placed {
        Ok(meta) => meta,
        Err(error) => {
            let _ = std::fs::remove_file(&passing);
            return Err(failed(error));
        }
    };
    let file = SocketFile { path: path.to_owned(), device: meta.dev(), inode: meta.ino(), owner: meta.uid() };
    let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener)).map_err(failed)?;
    Ok(Bound { socket: Socket::Unix { listener, file }, exposure, address: format!("unix:{}", path.display()) })
}

/// A socket could not be made, or looked for.
fn unmade(path: &Path, error: io::Error) -> BindError {
    match (error.kind(), path.parent()) {
        (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, Some(folder)) => {
            BindError::Folder(folder.to_owned(), error)
        }
        _ => BindError::Io(path.display().to_string(), error),
    }
}

/// A path may be taken when nothing is there, or a socket on which nobody answers.
fn refuse_occupied(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Io(path.display().to_string(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unmade(path, error)),
        Ok(meta) if !meta.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match StdUnixStream::connect(path) {
            Ok(_) => Err(BindError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(failed(error)),
        },
    }
}

/// Removes the socket's file when dropped, unless a successor has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: u32,
}

impl SocketFile {
    /// The relay's own user, because it made the file.
    pub(super) fn owner(&self) -> u32 {
        self.owner
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.device, self.inode));
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> Result<Bound, BindError> {
        Bound::bind(&AdminAddress::Unix(path.to_owned()), Exposure::Loopback)
    }

    #[tokio::test]
    async fn an_address_that_others_reach_must_be_wanted() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let address = AdminAddress::Tcp(address.parse().unwrap());
            let refused = Bound::bind(&address, Exposure::Loopback).unwrap_err();
            assert!(matches!(refused, BindError::NotLoopback(_)), "{refused}");
        }
        let wanted = Bound::bind(&AdminAddress::Tcp("0.0.0.0:0".parse().unwrap()), Exposure::Network).unwrap();
        assert_ne!(wanted.tcp_address().unwrap().port(), 0);
    }

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let bound = unix(&path).unwrap();
        assert_eq!(bound.address(), format!("unix:{}", path.display()));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, SOCKET_MODE);
        drop(bound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(StdUnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a killed process does");
        let living = unix(&path).unwrap();
        let refused = unix(&path).unwrap_err();
        assert!(matches!(refused, BindError::InUse(_)), "{refused}");
        drop(living);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        std::fs::write(&path, "precious").unwrap();
        let refused = unix(&path).unwrap_err();
        assert!(matches!(refused, BindError::NotASocket(_)), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = unix(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _second = unix(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let said = |path: &str| unix(Path::new(path)).unwrap_err().to_string();
        assert_eq!(
            said("/nonexistent/admin.sock"),
            "the folder /nonexistent does not exist; sudo install -d -m 2750 -o dmz-relay -g dmz-relay-admin /nonexistent"
        );
        let below_run = said("/run/dmz-relay-is-not-here/admin.sock");
        assert!(below_run.contains("does not exist; sudo systemd-tmpfiles --create"), "{below_run}");
    }
}
