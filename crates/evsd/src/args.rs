//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::config;

/// Runs one node of a group-communication cluster, in the foreground, until SIGTERM or SIGINT.
///
/// At SIGHUP it reads its configuration file again; evsd.toml(5) says what can change then.
#[derive(Debug, Parser)]
#[command(name = "evsd", version, after_help = EXIT_CODES)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    pub config: PathBuf,

    /// Checks a configuration file (that of --config where none is named), says what is wrong with
    /// it, and ends.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub check: Option<Option<PathBuf>>,
}

impl Args {
    /// The file to check, if a check is all that is asked for.
    #[must_use]
    pub fn to_check(&self) -> Option<&PathBuf> {
        self.check.as_ref().map(|file| file.as_ref().unwrap_or(&self.config))
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  stopped in order
  1  cannot run, or stopped without order; the last log line says why
  2  the command line or the configuration is wrong
  3  another node of the cluster runs with this node's id";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(args: &[&str]) -> Args {
        Args::try_parse_from(["evsd"].iter().chain(args)).expect("valid")
    }

    #[test]
    fn the_check_takes_its_own_file_or_the_configured_one() {
        assert_eq!(parse(&[]).to_check(), None);
        assert_eq!(
            parse(&["--check", "/x"]).to_check().map(|f| f.as_path()),
            Some(Path::new("/x"))
        );
        let both = parse(&["--config", "/y", "--check"]);
        assert_eq!(both.to_check().map(|f| f.as_path()), Some(Path::new("/y")));
        let neither = parse(&["--check"]);
        assert_eq!(neither.to_check().map(|f| f.as_path()), Some(Path::new(config::DEFAULT_FILE)));
    }
}
