//! The `evs` command: what a person or a script asks of a running daemon.
//!
//! Responsible for: the command line, output for people and (`--json`) for programs, error
//! messages that say what to do, exit codes.
//! Not responsible for: anything that an application could not do as well. The command is a client
//! like every other; `keygen`, `completions` and most of `config` need no daemon, and `record` does
//! without one.
//!
//! The parser is public so that the manual pages can be made from it, and so are the completions.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod clients;
mod completions;
mod config;
mod events;
mod failure;
mod groups;
mod history;
mod key;
mod keygen;
mod leave;
mod links;
mod listen;
mod members;
mod node;
mod output;
mod record;
mod reload;
mod report;
mod send;
mod session;
mod status;
mod top;
mod why;

use std::process::ExitCode;

pub use args::{
    Args, BenchArgs, Command, ConfigCommand, Daemon, EventsArgs, KeyCommand, ListenArgs,
    MembersArgs, NodeCommand, RecordArgs, SendArgs, TopArgs, WhyArgs,
};
pub use clap_complete::Shell;
pub use completions::text as completions;
use failure::Failure;
use output::Output;

/// Does what the command line says, and says how it went.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let mut output = Output::new(args.json);
    let done = match &args.command {
        Command::Bench(bench) => bench::run(bench, &mut output),
        Command::Clients(daemon) => clients::run(daemon, &mut output),
        Command::Completions { shell } => completions::run(*shell, &mut output),
        Command::Config(config) => config::run(config, &mut output),
        Command::Events(events) => history::run(events, &mut output),
        Command::Groups(daemon) => groups::run(daemon, &mut output),
        Command::Key(key) => key::run(key, &mut output),
        Command::Keygen { file } => keygen::run(file, &mut output),
        Command::Leave(daemon) => leave::run(daemon, &mut output),
        Command::Links(daemon) => links::run(daemon, &mut output),
        Command::Listen(listen) => listen::run(listen, &mut output),
        Command::Members(members) => members::run(members, &mut output),
        Command::Node(node) => node::run(node, &mut output),
        Command::Record(record) => record::run(record, &mut output),
        Command::Reload(daemon) => reload::run(daemon, &mut output),
        Command::Send(send) => send::run(send, &mut output),
        Command::Status(daemon) => status::run(daemon, &mut output),
        Command::Top(top) => top::run(top, &mut output),
        Command::Why(why) => why::run(why, &mut output),
    };
    match done.and_then(|()| output.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
