//! `evs completions`: what a shell completes.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Args;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    output.line(text(shell).trim_end())?;
    Ok(())
}

/// The script with which a shell completes this command.
#[must_use]
pub fn text(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "evs", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = text(*shell);
            for subcommand in Args::command().get_subcommands() {
                assert!(script.contains(subcommand.get_name()), "{shell}: {subcommand}");
            }
        }
    }
}
