//! Every package takes the workspace's lints, and says at its head what it is for.

use super::Complaint;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for manifest in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        if !manifest.text.contains("[lints]\nworkspace = true") {
            complaints.push(manifest.complain(0, "does not take the workspace's lints"));
        }
        if manifest.text.contains("description = \"\"") {
            complaints.push(manifest.complain(0, "has no description"));
        }
        let dir = manifest.path.trim_end_matches("Cargo.toml");
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| tree.file(&format!("{dir}{root}")));
        let roots: Vec<&File> = roots.into_iter().flatten().collect();
        for root in &roots {
            if !root.text.starts_with("//! ") {
                complaints.push(root.complain(1, "does not open with what the crate is"));
            }
        }
        if let Some(root) = roots.first() {
            for what in ["esponsible for", "ot responsible for"] {
                if !head(root).contains(what) {
                    let what = format!("its documentation does not say what it is r{what}");
                    complaints.push(root.complain(1, what.replace("rot r", "not r")));
                }
            }
        }
    }
    complaints
}

/// The crate's documentation.
fn head(root: &File) -> String {
    let lines = root.text.lines().take_while(|line| line.starts_with("//!"));
    lines.map(|line| line.trim_start_matches("//!")).collect()
}
