//! The folder of a path. No file is looked at.

use std::path::{Path, PathBuf};

/// The folder that a file is in: the working folder for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a path means that is written in a file: relative paths begin at the file's folder.
pub fn named_in(file: &Path, written: impl AsRef<Path>) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_working_folder() {
        for (path, folder) in
            [("relay.toml", "."), ("./relay.toml", "."), ("/etc/relay.toml", "/etc"), ("a/b", "a"), ("/", ".")]
        {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }

    #[test]
    fn what_a_file_names_begins_at_its_folder() {
        for (file, written, meant) in
            [("relay.toml", "a", "a"), ("/etc/relay.toml", "certs/a", "/etc/certs/a"), ("/etc/relay.toml", "/a", "/a")]
        {
            assert_eq!(named_in(Path::new(file), written), Path::new(meant), "{file} {written}");
        }
    }
}
