//! On what, and of what, something was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Tools;

/// The machine and the versions, for the report.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of them the system uses.
    pub processors: usize,
    /// The memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// Our daemon's version.
    pub evsd: String,
    /// The commit that it was built from, with a + if something was changed after it.
    pub commit: String,
    /// Corosync's version.
    pub corosync: String,
    /// The C compiler's version.
    pub cc: String,
    /// The Rust compiler's version.
    pub rustc: String,
    /// How our daemons reach each other.
    pub transport: String,
    /// The load of the machine when the bench began: the mean of a minute.
    pub load: f64,
}

impl Machine {
    /// What is here. What cannot be found out is empty.
    #[must_use]
    pub fn here(tools: &Tools, root: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory, release) =
            (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/etc/os-release"));
        let kilobytes = field(&memory, "MemTotal", ':').split(' ').next().map(str::parse::<u64>);
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            processor: field(&cpus, "model name", ':'),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kilobytes.and_then(Result::ok).unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: field(&release, "PRETTY_NAME", '=').trim_matches('"').to_owned(),
            evsd: first_line(Command::new(&tools.evsd).arg("--version")),
            commit: commit(root),
            corosync: first_line(Command::new(&tools.corosync).arg("-v")),
            cc: first_line(Command::new("cc").arg("--version")),
            rustc: first_line(Command::new("rustc").arg("--version")),
            transport: tools.transport.name().to_owned(),
            load: load.unwrap_or(0.0),
        }
    }
}

/// The value of the first line that begins with a name.
fn field(text: &str, name: &str, separator: char) -> String {
    let value =
        |line: &str| Some(line.strip_prefix(name)?.split_once(separator)?.1.trim().to_owned());
    text.lines().find_map(value).unwrap_or_default()
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

fn commit(root: &Path) -> String {
    let git = |args: &[&str]| first_line(Command::new("git").current_dir(root).args(args));
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_empty() { "" } else { "+" };
    git(&["rev-parse", "--short=12", "HEAD"]) + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: A Fast One @ 3 GHz\n";
        assert_eq!(field(text, "model name", ':'), "A Fast One @ 3 GHz");
        assert_eq!(field(text, "flags", ':'), "");
    }
}
