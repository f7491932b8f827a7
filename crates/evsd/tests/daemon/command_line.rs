//! `evsd --check`, and what a wrong file does to a start.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use evs_testkit::Cluster;

use super::setup;

fn evsd(args: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evsd"));
    command.args(args).arg(file).output().expect("evsd runs")
}

#[test]
fn check_accepts_a_valid_file_and_starts_nothing() {
    let cluster = Cluster::prepare(setup(3)).expect("files");
    let output = evsd(&["--check"], &cluster.config_file(1));
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.ends_with("valid: node 1 of cluster \"test\" with 3 nodes\n"), "{said}");
    assert!(!cluster.socket(1).exists());
}

#[test]
fn check_and_start_name_file_line_and_key_of_a_mistake() {
    let cluster = Cluster::prepare(setup(1)).expect("files");
    let file = cluster.config_file(1);
    let text = cluster.config(1).replace("detection_ms = ", "detection_mss = ");
    std::fs::write(&file, &text).expect("written");
    let line = 1 + text.lines().position(|l| l.starts_with("detection_mss")).expect("there");
    for args in [["--check"], ["--config"]] {
        let output = evsd(&args, &file);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("text");
        let mistake = format!(
            "{}:{line}: cluster.detection_mss: unknown key; did you mean `detection_ms`?\n",
            file.display()
        );
        assert_eq!(said, mistake);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = Cluster::prepare(setup(1)).expect("files");
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(cluster.key_file(), open).expect("changed");
    let output = evsd(&["--config"], &cluster.config_file(1));
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("local.key_file") && said.contains("chmod 600"), "{said}");
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_evsd")).arg("--version").output().expect("runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(said, format!("evsd {}\n", env!("CARGO_PKG_VERSION")));
}

/// A panic anywhere ends the process with a core, and says where it happened.
#[test]
fn a_panic_aborts_with_its_last_words() {
    let binary = std::env::current_exe().expect("known");
    let mut command = super::victim::command(&binary, "panic", Path::new("/nowhere"));
    let output = command.stderr(std::process::Stdio::piped()).output().expect("it runs");
    assert_eq!(output.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("an invariant is broken"), "{said}");
    assert!(said.contains("victim.rs"), "{said}");
}
