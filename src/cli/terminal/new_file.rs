//! Files that commands write.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::base::folder_of;

/// A file that a command writes: new, readable by its owner alone, and in its place only when it is whole.
///
/// It is written beside its place under a name that nobody can foresee, made with `O_EXCL`, and moved without replacing anything:
/// a link that was planted under either name is neither followed nor overwritten.
#[derive(Debug)]
pub struct NewFile {
    beside: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins to write. What has the name already is refused at once rather than at the end.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file already"));
        }
        let folder = folder_of(path);
        // Mode 0600 is what the library gives a file.
        Ok(Self { beside: beside_in(folder)?, path: path.to_path_buf() })
    }

    /// All at once.
    pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = Self::create(path)?;
        file.write_all(content)?;
        file.place()
    }

    /// Lets a group read it. By what is open and not by its name, under which somebody else may have put a link meanwhile.
    pub fn share(&self, group: Option<u32>, mode: u32) -> io::Result<()> {
        if group.is_some() {
            fchown(self.beside.as_file(), None, group)?;
        }
        self.beside.as_file().set_permissions(Permissions::from_mode(mode))
    }

    /// A page of a manual: anybody may read it, and it takes the place of an older one. A link there is replaced, not followed.
    pub fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
        let mut page = beside_in(folder_of(path))?;
        page.write_all(content)?;
        page.as_file().set_permissions(Permissions::from_mode(0o644))?;
        page.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> io::Result<()> {
        self.beside.as_file().sync_all()
    }

    /// Gives it its name.
    pub fn place(self) -> io::Result<()> {
        self.beside.persist_noclobber(&self.path).map(drop).map_err(|error| error.error)
    }
}

fn beside_in(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".dmz-relay-").tempfile_in(folder)
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.beside.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.beside.flush()
    }
}
