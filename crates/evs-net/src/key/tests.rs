use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A directory that is gone when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("evs-net-key-{:016x}", random_u64()));
        fs::create_dir(&path).expect("a fresh name");
        Self(path)
    }

    fn file(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(format!("{:016x}", random_u64()));
        fs::write(&path, text).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(digits: &str) -> String {
    format!("evs-key-1 {digits}")
}

#[test]
fn a_key_survives_its_file() {
    let dir = Dir::new();
    let path = dir.0.join("key");
    let key = ClusterKey::generate();
    key.create(&path).expect("a new file");
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
    assert_eq!(ClusterKey::load(&path).expect("valid").secret(), key.secret());
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let dir = Dir::new();
    let path = dir.file("mine", 0o600);
    let error = ClusterKey::generate().create(&path).expect_err("exists");
    assert!(matches!(error, KeyError::Exists { .. }), "{error}");
    assert_eq!(fs::read(&path).expect("there"), b"mine");
}

#[test]
fn a_missing_file_is_named_with_the_command_that_makes_one() {
    let path = Dir::new().file("gone", 0o600);
    fs::remove_file(&path).ok();
    let error = ClusterKey::load(&path).expect_err("missing");
    assert!(error.to_string().contains("evs keygen"), "{error}");
}

#[test]
fn a_file_that_group_or_others_can_read_is_refused_with_the_remedy() {
    let dir = Dir::new();
    for mode in [0o640, 0o604, 0o660, 0o644] {
        let path = dir.file(&ClusterKey::generate().to_text(), mode);
        let error = ClusterKey::load(&path).expect_err("exposed");
        assert!(matches!(error, KeyError::Exposed { mode: m, .. } if m == mode), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    assert!(ClusterKey::load(&dir.file(&ClusterKey::generate().to_text(), 0o400)).is_ok());
}

#[test]
fn root_takes_a_file_of_the_daemons_user_and_nobody_else_one_of_another_user() {
    for (owner, me, taken) in
        [(0, 0, true), (999, 0, true), (999, 999, true), (0, 999, true), (1000, 999, false)]
    {
        assert_eq!(may_own(owner, me), taken, "of uid {owner}, read by uid {me}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let dir = Dir::new();
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o700)).expect("ours");
    let error = ClusterKey::load(&dir.0).expect_err("a directory");
    assert!(matches!(error, KeyError::NotAFile { .. }), "{error}");
    let error = ClusterKey::load(Path::new("/dev/null")).expect_err("a device");
    assert!(matches!(error, KeyError::NotAFile { .. }), "{error}");
}

#[test]
fn the_mode_that_counts_is_that_of_the_file_behind_a_link() {
    let dir = Dir::new();
    let path = dir.file(&ClusterKey::generate().to_text(), 0o644);
    let link = dir.0.join("link");
    symlink(&path, &link).expect("a fresh name");
    assert!(matches!(ClusterKey::load(&link), Err(KeyError::Exposed { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let error = ClusterKey::load(Path::new("/no/such/key")).expect_err("missing");
    assert!(error.to_string().contains("/no/such/key"), "{error}");
}

#[test]
fn comments_blank_lines_and_capitals_are_fine() {
    let text = format!("# one\n\n  {}  \n# two\n", line(&"Ab".repeat(32)));
    assert_eq!(ClusterKey::parse(&text).expect("valid").secret(), &[0xab; 32]);
}

#[test]
fn each_kind_of_mistake_in_the_text_is_named() {
    let good = line(&"00".repeat(32));
    for (text, hint) in [
        (String::new(), "no key"),
        ("# only a comment".to_owned(), "no key"),
        (format!("{good}\n{}", line(&"01".repeat(32))), "more than one"),
        (format!("{good}\n{good}"), "the same key twice"),
        ("evs-key-1".to_owned(), "one word"),
        (format!("evs-key-2 {}", "00".repeat(32)), "begin with"),
        (line(&"0".repeat(63)), "64 digits"),
        (line(&"0".repeat(65)), "64 digits"),
        (line(&format!("{}g", "0".repeat(63))), "hexadecimal"),
    ] {
        let error = ClusterKey::parse(&text).expect_err(hint).to_string();
        assert!(error.contains(hint), "{text:?}: {error}");
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let dir = Dir::new();
    let mut text = ClusterKey::generate().to_text().to_string();
    text.push_str(&"\n".repeat(FILE_BYTES_MAX - text.len()));
    assert!(ClusterKey::load(&dir.file(&text, 0o600)).is_ok());
    text.push('\n');
    let error = ClusterKey::load(&dir.file(&text, 0o600)).expect_err("too long");
    assert!(error.to_string().contains("4096"), "{error}");
}

#[test]
fn a_key_does_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", ClusterKey::from_bytes(&[7; 32])), "ClusterKey(..)");
}

#[test]
fn random_numbers_differ() {
    assert_ne!(random_u64(), random_u64());
}

#[test]
fn a_file_holds_the_key_that_seals_and_while_keys_change_another() {
    let dir = Dir::new();
    let keys: Vec<_> = (1..=3).map(|byte| ClusterKey::from_bytes(&[byte; 32])).collect();
    let path = dir.file("anything", 0o600);
    let link = dir.0.join("link");
    symlink(&path, &link).expect("a fresh name");
    // An operator's next key, by the name that is nearest at hand.
    let beside = PathBuf::from(format!("{}.new", path.display()));
    fs::write(&beside, "mine").expect("writable");
    for keys in [&keys[..1], &keys[..2], &keys[1..]] {
        ClusterKey::replace_all(&link, keys).expect("writable");
        assert_eq!(ClusterKey::load_all(&path).expect("valid"), keys);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        assert_eq!(ClusterKey::load(&link).is_ok(), keys.len() == 1);
    }
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(fs::read_to_string(&beside).expect("left alone"), "mine");
    assert_eq!(fs::read_dir(&dir.0).expect("there").count(), 3, "nothing else is left there");
    let three = dir.file(&text(&keys), 0o600);
    let error = ClusterKey::load_all(&three).expect_err("one too many").to_string();
    assert!(error.contains("more than two keys"), "{error}");
    ClusterKey::replace_all(&dir.0.join("none"), &keys[..1]).expect_err("there is no such file");
}
