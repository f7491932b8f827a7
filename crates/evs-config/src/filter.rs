//! What is logged: levels and parts of the daemon, as `local.log` names them.
//!
//! A filter that names something else is none: it would let nothing through, and say nothing.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What logs: crates, below which are their modules.
const PARTS: [&str; 2] = ["evs_node", "evsd"];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Looks at a filter.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter)
        .map_err(|error| format!("is no level ({}) or filter: {error}", LEVELS.join(", ")))?;
    filter.split(',').filter(|directive| !directive.is_empty()).try_for_each(directive)
}

/// A level for all, or `PART=LEVEL`.
fn directive(text: &str) -> Result<(), String> {
    if text.parse::<LevelFilter>().is_ok() {
        return Ok(());
    }
    let shown: String = text.chars().take(64).collect();
    let Some((part, _)) = text.split_once('=') else {
        if is_part(text) {
            return Err(format!("{shown:?} has no level, like \"{shown}=debug\""));
        }
        let meant = did_you_mean(text.trim(), &LEVELS);
        return Err(format!("{shown:?} is no level ({}){meant}", LEVELS.join(", ")));
    };
    if is_part(part) {
        return Ok(());
    }
    let meant = did_you_mean(part.trim(), &PARTS);
    Err(format!("{shown:?} names no part of the daemon that logs ({}){meant}", PARTS.join(", ")))
}

/// Whether it names a part of the daemon, or a module of one.
fn is_part(text: &str) -> bool {
    PARTS.contains(&text.split("::").next().unwrap_or_default())
}

fn did_you_mean(word: &str, words: &[&str]) -> String {
    let near = words.iter().map(|known| (strsim::damerau_levenshtein(known, word), *known));
    let near = near.filter(|(distance, known)| *distance <= 2 && *distance < known.len()).min();
    near.map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn levels_and_parts_with_levels_are_filters() {
        for filter in ["info", "DEBUG", "off", "info,evsd::membership=debug", "evs_node=trace"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn a_filter_that_would_let_nothing_through_is_none() {
        for (filter, why) in [
            (
                "wran",
                "\"wran\" is no level (error, warn, info, debug, trace); did you mean `warn`?",
            ),
            (
                "info, debug",
                "\" debug\" is no level (error, warn, info, debug, trace); did you mean",
            ),
            ("verbose", "\"verbose\" is no level (error, warn, info, debug, trace)"),
            ("evsd", "\"evsd\" has no level, like \"evsd=debug\""),
            (
                "info,evs=debug",
                "\"evs=debug\" names no part of the daemon that logs (evs_node, evsd)",
            ),
            ("evsdd=debug", "(evs_node, evsd); did you mean `evsd`?"),
            ("evsd=wran", "is no level (error, warn, info, debug, trace) or filter: "),
            ("[span]=debug", "\"[span]=debug\" names no part"),
        ] {
            let said = check(filter).expect_err(filter);
            assert!(said.contains(why), "{filter}: {said}");
        }
    }

    #[test]
    fn every_crate_that_logs_is_a_part() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crates");
        let mut logging = Vec::new();
        for entry in fs::read_dir(crates).expect("a directory") {
            let path = entry.expect("readable").path();
            let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a crate");
            if manifest.lines().any(|line| line.starts_with("tracing.")) {
                let name = path.file_name().expect("a name").to_string_lossy();
                logging.push(name.replace('-', "_"));
            }
        }
        logging.sort();
        assert_eq!(logging, PARTS);
    }
}
