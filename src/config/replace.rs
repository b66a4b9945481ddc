//! A file of the relay's own that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::base::folder_of;

/// Writes a private file in the place of the one before, if there is one: durable when it returns. It is made under another name
/// first, so one folder takes one at a time.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_file_name(".new");
    // What an earlier run left, or a link that somebody put there: its name goes, what it leads to stays as it is.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = libc::O_NOFOLLOW;
    let mut file = OpenOptions::new().write(true).create_new(true).custom_flags(flags).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder_of(path))?.sync_all()
}
