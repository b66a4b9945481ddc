//! What of the store this process may not use, and the command that helps: a backup that root put back, or a folder that root made,
//! belongs to root.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::hold::beside;
use crate::base::folder_of;

/// In words, with the command; `None`: the rights are not what is in the way.
pub(super) fn denied(path: &Path) -> Option<String> {
    let folder = folder_of(path);
    if let Some(above) = folder
        .ancestors()
        .skip(1)
        .filter(|above| !above.as_os_str().is_empty())
        .find(|above| refuses(above, Access::EXEC_OK))
    {
        return Some(format!(
            "the relay's user may not enter {}; see the rights on the way: namei -l {}",
            above.display(),
            folder.display()
        ));
    }
    let files = [path.to_path_buf(), beside(path, "-wal"), beside(path, "-shm")];
    let mut refused: Vec<PathBuf> = Vec::new();
    if refuses(folder, Access::WRITE_OK | Access::EXEC_OK) {
        refused.push(folder.to_path_buf());
    }
    refused.extend(files.into_iter().filter(|file| refuses(file, Access::READ_OK | Access::WRITE_OK)));
    let found = std::fs::metadata(refused.first()?).ok()?;
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let change = if found.uid() == uid { "chmod u+rwX".to_owned() } else { format!("chown {uid}:{gid}") };
    let all = refused.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    let (first, owner, mode) = (refused.first()?.display(), found.uid(), found.mode() & 0o7777);
    Some(format!(
        "{first} belongs to user {owner} (mode {mode:04o}), and the relay runs as user {uid}; run as root: {change} {all}"
    ))
}

fn refuses(path: &Path, wanted: Access) -> bool {
    access(path, wanted) == Err(Errno::ACCESS)
}
