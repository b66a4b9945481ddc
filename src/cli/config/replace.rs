//! Puts another text into the configuration's file: whole or not at all, with the owner and the mode that the file had.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::base::folder_of;

/// Replaces what the file says. A link is followed to the file that it means, and stays.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let before = fs::metadata(&path)?;
    write(&path, text, &before)
}

/// Keeps a text beside the file, for its owner, in place of one that was kept so before.
pub(super) fn set_aside(path: &Path, text: &str) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let before = fs::metadata(&path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".replaced");
    let beside = path.with_file_name(name);
    write(&beside, text, &before)?;
    Ok(beside)
}

fn write(path: &Path, text: &str, like: &fs::Metadata) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new().prefix(".dmz-relay-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    let ours = file.as_file().metadata()?;
    if (ours.uid(), ours.gid()) != (like.uid(), like.gid()) {
        // A file that belongs to somebody else afterwards could not be read by the relay.
        fchown(file.as_file(), Some(like.uid()), Some(like.gid()))?;
    }
    file.as_file().set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("relay.toml"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let aside = set_aside(&link, "old").unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(aside.file_name().unwrap(), "real.toml.replaced");
        for file in [&real, &aside] {
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o640, "{}", file.display());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("gone.toml"), "new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
