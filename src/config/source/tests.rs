use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn put(folder: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
    path
}

#[test]
fn one_final_newline_is_not_part_of_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
    for (content, secret) in
        [(&b"abc"[..], &b"abc"[..]), (b"abc\n", b"abc"), (b"abc\r\n", b"abc"), (b"abc\n\n", b"abc\n")]
    {
        put(folder.path(), "s", content, 0o600);
        assert!(sources.secret_file("s").expect("reads").matches(secret));
    }
    for content in [&b""[..], b"\n", b"\r\n"] {
        let path = put(folder.path(), "s", content, 0o600);
        assert_eq!(sources.secret_file("s").err(), Some(SourceError::Empty(path)));
    }
}

#[test]
fn what_others_may_read_or_write_is_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
    for mode in [0o400, 0o440, 0o600, 0o640, 0o660] {
        put(folder.path(), "s", b"abc", mode);
        assert!(sources.secret_file("s").is_ok(), "{mode:o}");
    }
    for mode in [0o644, 0o604, 0o444, 0o666] {
        let path = put(folder.path(), "s", b"abc", mode);
        assert_eq!(sources.secret_file("s").err(), Some(SourceError::WorldReadable { path, mode }));
    }
    let path = put(folder.path(), "s", b"abc", 0o602);
    assert_eq!(sources.secret_file("s").err(), Some(SourceError::WorldWritable { path, mode: 0o602 }));
}

#[test]
fn only_regular_files_of_a_sane_size_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
    assert_eq!(sources.secret_file(".").err(), Some(SourceError::NotAFile(folder.path().join("."))));
    assert_eq!(sources.secret_file("").err(), Some(SourceError::NoPath));
    assert_eq!(sources.secret_file("gone").err(), Some(SourceError::Missing(folder.path().join("gone"))));
    let path = put(folder.path(), "big", &vec![b'x'; 65_537], 0o600);
    assert_eq!(sources.secret_file("big").err(), Some(SourceError::TooLarge { path, limit: MAX_SECRET }));
    put(folder.path(), "fits", &vec![b'x'; 65_536], 0o600);
    assert_eq!(sources.secret_file("fits").expect("reads").len(), 65_536);
    // A device never ends; without the check this test would not either.
    assert_eq!(sources.list("/dev/zero", |_, _| ()).err(), Some(SourceError::NotAFile(PathBuf::from("/dev/zero"))));
}

#[test]
fn credentials_and_variables_come_from_the_given_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "dastra", b"from systemd\n", 0o440);
    let variables = [("SET".to_owned(), b"value\n".to_vec()), ("EMPTY".to_owned(), Vec::new())];
    let environment = Environment::new(variables, Some(folder.path().to_path_buf()));
    let mut sources = Sources::new(Path::new("relay.toml"), &environment);
    assert!(sources.credential("dastra").expect("reads").matches(b"from systemd"));
    for name in ["", ".", "..", "../dastra", "a/b"] {
        assert_eq!(sources.credential(name).err(), Some(SourceError::CredentialName), "{name}");
    }
    assert!(sources.variable("SET").expect("is set").matches(b"value\n"));
    assert_eq!(sources.variable("EMPTY").err(), Some(SourceError::EmptyVariable("EMPTY".to_owned())));
    assert_eq!(sources.variable("UNSET").err(), Some(SourceError::NoVariable("UNSET".to_owned())));
    let nothing = Environment::default();
    assert_eq!(Sources::new(Path::new("relay.toml"), &nothing).credential("x").err(), Some(SourceError::NoCredentials));
    assert!(!format!("{environment:?}").contains("value"));
}

#[test]
fn the_digest_follows_content_and_the_files_are_listed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let digest = |content: &[u8]| {
        put(folder.path(), "s", content, 0o600);
        let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
        sources.secret_file("s").expect("reads");
        sources.secret_file("s").expect("reads");
        sources.finish()
    };
    let (first, files, _) = digest(b"a");
    assert_eq!(files, [folder.path().join("s")]);
    assert_eq!(digest(b"a").0, first);
    assert_ne!(digest(b"b").0, first);
    // A newline changes nothing in the secret, but it is a change of the file.
    assert_ne!(digest(b"a\n").0, first);
}

#[test]
fn what_was_read_holds_until_a_file_says_something_else_or_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let long = "192.0.2.1\n".repeat(20_000);
    let reading = |list: &str| {
        put(folder.path(), "s", b"a", 0o600);
        put(folder.path(), "list", list.as_bytes(), 0o644);
        let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
        sources.secret_file("s").expect("reads");
        let mut lines = 0;
        sources.list("list", |number, _| lines = number).expect("reads");
        assert_eq!(lines, list.lines().count());
        sources.finish().2
    };
    for list in ["", "192.0.2.1", &long] {
        assert!(reading(list).holds());
        let known = reading(list);
        put(folder.path(), "list", format!("{list}#").as_bytes(), 0o644);
        assert!(!known.holds(), "a list has changed");
    }
    let known = reading(&long);
    put(folder.path(), "s", b"b", 0o600);
    assert!(!known.holds(), "a secret has changed");
    let known = reading(&long);
    put(folder.path(), "s", b"a", 0o644);
    assert!(!known.holds(), "a secret became readable for everybody");
    let known = reading(&long);
    fs::remove_file(folder.path().join("list")).expect("removes");
    assert!(!known.holds(), "a list is gone");
}

#[test]
fn a_list_that_is_no_text_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::default();
    let mut sources = Sources::new(&folder.path().join("relay.toml"), &environment);
    let path = put(folder.path(), "list", b"192.0.2.1\r\n\xff\n", 0o644);
    let mut lines = Vec::new();
    let error = sources.list("list", |number, line| lines.push((number, line.to_owned()))).err();
    assert_eq!(error, Some(SourceError::NotText { path, line: 2 }));
    assert_eq!(lines, [(1, "192.0.2.1\r\n".to_owned())]);
}
