//! `evs config`: configuration files, looked at without a daemon, and beside one.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::path::Path;

use evs_config::corosync::{self, Circumstances, Import};
use evs_config::{Config, ConfigError, Difference, Mistake, Settings};
use evs_report::Question;
use serde_json::{Value, json};

use crate::args::{ConfigCommand, Daemon};
use crate::failure::Failure;
use crate::output::Output;
use crate::report;

pub(crate) fn run(command: &ConfigCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { file } => check(file, output),
        ConfigCommand::Show { file } => show(file, output),
        ConfigCommand::Diff { daemon, file, other } => diff(daemon, file, other.as_deref(), output),
        ConfigCommand::Import { file, output: to, node, resolve } => {
            import(file, to.as_deref(), (*node, *resolve), output)
        }
    }
}

fn check(file: &Path, output: &mut Output) -> Result<(), Failure> {
    let result = Config::load(file);
    let printed = tell_check(file, &result, output);
    Failure::of(
        printed,
        result.map_or_else(|error| Err(Failure::new(error.to_string())), |_| Ok(())),
    )
}

/// For people, what is wrong goes to standard error.
fn tell_check(
    file: &Path,
    result: &Result<Config, ConfigError>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mistakes = result.as_ref().err().map_or(&[] as &[Mistake], |error| &error.mistakes);
    if output.is_json() {
        let shown: Vec<_> = mistakes.iter().map(mistake).collect();
        let file = file.to_string_lossy();
        output.object(json!({ "file": file, "mistakes": shown }))?;
    } else if let Ok(config) = result {
        let (cluster, nodes) = (&config.cluster, config.cluster.nodes().len());
        let (name, node) = (&cluster.name, config.local.node);
        let links = cluster.links.len();
        output.line(&format!(
            "{}: right; node {node} of cluster {name:?} with {nodes} nodes, {links} {}",
            file.display(),
            if links == 1 { "link" } else { "links" }
        ))?;
    }
    Ok(output.flush()?)
}

fn mistake(mistake: &Mistake) -> Value {
    json!({ "line": mistake.line, "key": mistake.key, "what": mistake.what })
}

/// What is shown and compared has no key in it: whoever can read the file can do that.
fn load(file: &Path) -> Result<Config, Failure> {
    Config::load_with(file, |_| Ok(Vec::new())).map_err(|error| Failure::new(error.to_string()))
}

fn show(file: &Path, output: &mut Output) -> Result<(), Failure> {
    let config = load(file)?;
    if output.is_json() {
        let settings = config.table();
        let file = file.to_string_lossy();
        output.object(json!({ "file": file, "config": settings }))?;
    } else {
        output.line(config.to_toml().trim_end())?;
    }
    Ok(())
}

fn diff(
    daemon: &Daemon,
    file: &Path,
    other: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    let ours = load(file)?.settings();
    // In the order of what happens: what is in force, then what the file would make of it.
    let (before, after, names) = if let Some(other) = other {
        (ours, load(other)?.settings(), [file, other].map(|file| file.display().to_string()))
    } else {
        let (_, answer) = report::ask(daemon, &Question::Config)?;
        let settings = answer.settings.ok_or_else(|| {
            Failure::new("this daemon does not tell its configuration: it is older than this evs")
        })?;
        (Settings(settings), ours, ["in force".to_owned(), file.display().to_string()])
    };
    let differences = before.differences(&after);
    let printed = tell_differences(&names, &differences, output);
    let judged = match differences.len() {
        0 => Ok(()),
        1 => Err(Failure::different("1 setting differs")),
        count => Err(Failure::different(format!("{count} settings differ"))),
    };
    Failure::of(printed, judged)
}

fn tell_differences(
    [before, after]: &[String; 2],
    differences: &[Difference],
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        let shown: Vec<_> = differences.iter().map(difference).collect();
        output.object(json!({ "before": before, "after": after, "differences": shown }))?;
    } else if differences.is_empty() {
        output.line("no difference")?;
    } else {
        output.line(&format!("--- {before}\n+++ {after}"))?;
        for difference in differences {
            for (sign, value) in [('-', &difference.before), ('+', &difference.after)] {
                if let Some(value) = value {
                    let line = format!("{sign} {} = {value}", difference.name);
                    output.line(&report::printable(&line))?;
                }
            }
        }
    }
    Ok(output.flush()?)
}

fn difference(difference: &Difference) -> Value {
    json!({
        "setting": difference.name,
        "section": if difference.is_of_cluster() { "cluster" } else { "local" },
        "before": difference.before,
        "after": difference.after,
    })
}

fn import(
    file: &Path,
    to: Option<&Path>,
    (node, resolve): (Option<u32>, bool),
    output: &mut Output,
) -> Result<(), Failure> {
    let shown = file.display();
    let text = evs_config::read(file)
        .map_err(|error| Failure::new(format!("{shown}: cannot be read: {error}")))?;
    let look_up = |name: &str| if resolve { resolved(name) } else { None };
    let circumstances = Circumstances { node, resolve: &look_up, is_here: &is_here };
    let import = corosync::import(&text, &circumstances)
        .map_err(|error| Failure::new(format!("{shown}:{error}")))?;
    let text = format!("# Imported from {shown} by `evs config import`.\n\n{}", import.text);
    if let Some(to) = to {
        write_new(to, &text).map_err(|error| Failure::new(format!("{}: {error}", to.display())))?;
    }
    if output.is_json() {
        let notes: Vec<_> = import.notes.iter().map(note).collect();
        let answer = json!({ "file": file.to_string_lossy(), "config": text,
            "notes": notes, "to_fill_in": import.to_fill_in });
        output.object(answer)?;
    } else {
        if to.is_none() {
            output.line(text.trim_end())?;
        }
        tell(file, &import);
    }
    Ok(())
}

fn note(note: &corosync::Note) -> Value {
    json!({ "line": note.line, "setting": note.setting, "what": note.what })
}

/// Says what became of the settings, beside what was printed.
fn tell(file: &Path, import: &Import) {
    for note in &import.notes {
        let line = if note.line == 0 { String::new() } else { format!("{}:", note.line) };
        eprintln!("{}:{line} {}: {}", file.display(), note.setting, note.what);
    }
    match import.to_fill_in {
        0 => eprintln!("complete; see that `evs config check` finds it right"),
        count => eprintln!("{count} values are left to FILL IN; then see `evs config check`"),
    }
}

fn resolved(name: &str) -> Option<IpAddr> {
    (name, 0).to_socket_addrs().ok()?.next().map(|address| address.ip())
}

/// Whether this host has the address: only then can it be bound.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
