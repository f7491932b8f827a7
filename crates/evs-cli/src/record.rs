//! `evs record`: one file with all that a bug report needs, and no secret.
//!
//! The key file is not read, and the configuration holds no key. What cannot be had is named with
//! the reason, for that is news too.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use evs_report::{Question, SCHEMA};
use serde_json::{Value, json};

use crate::args::RecordArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// Of each file the end, in bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(record: &RecordArgs, output: &mut Output) -> Result<(), Failure> {
    let text = bundle(record).to_string();
    let Some(path) = &record.output else {
        output.line(&text)?;
        return Ok(());
    };
    let cannot = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
    let mut file = File::create_new(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    output.print(
        || format!("{}: look through it before you send it", path.display()),
        || json!({ "file": path.to_string_lossy() }),
    )?;
    Ok(())
}

fn bundle(record: &RecordArgs) -> Value {
    json!({
        "schema": SCHEMA,
        "evs": env!("CARGO_PKG_VERSION"),
        "daemon": daemon(record),
        "configuration": text(&record.config),
        "log": match &record.log {
            Some(log) => text(log),
            None => journal(),
        },
        "system": {
            "kernel": text(Path::new("/proc/sys/kernel/osrelease")),
            "release": text(Path::new("/etc/os-release")),
            "memory": text(Path::new("/proc/meminfo")),
            "load": text(Path::new("/proc/loadavg")),
            "pressure_cpu": text(Path::new("/proc/pressure/cpu")),
            "pressure_io": text(Path::new("/proc/pressure/io")),
            "udp": text(Path::new("/proc/net/snmp")),
            "interfaces": text(Path::new("/proc/net/dev")),
            "receive_buffer_max": text(Path::new("/proc/sys/net/core/rmem_max")),
        },
    })
}

fn daemon(record: &RecordArgs) -> Value {
    let asked = || {
        let client = session::open(&record.daemon)?;
        let status = client.status_json()?;
        let changes = session::ask(&client, &Question::Changes { last: 256 })?;
        let groups = session::ask(&client, &Question::Groups)?;
        Ok::<_, Failure>([status, changes, groups])
    };
    match asked() {
        Ok([status, changes, groups]) => json!({
            "status": parsed(&status), "changes": parsed(&changes), "groups": parsed(&groups),
        }),
        Err(failure) => json!({ "error": failure.to_string() }),
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

fn text(path: &Path) -> Value {
    let read = || {
        let mut file = File::open(path)?;
        let length = fs::metadata(path)?.len();
        std::io::Seek::seek(
            &mut file,
            std::io::SeekFrom::Start(length.saturating_sub(TEXT_BYTES_MAX)),
        )?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => text.into(),
        Err(error) => json!({ "error": format!("{}: {error}", path.display()) }),
    }
}

const JOURNALCTL: &str = "journalctl";

/// The journal's last lines of the daemon.
fn journal() -> Value {
    // Where there is none, the answer says so.
    let mut command = Command::new(JOURNALCTL);
    command.args(["--unit=evsd", "--lines=2000", "--no-pager", "--output=short-iso-precise"]);
    match command.output() {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).into(),
        Ok(done) => json!({ "error": String::from_utf8_lossy(&done.stderr) }),
        Err(error) => json!({ "error": format!("journalctl: {error}") }),
    }
}
