//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand};
use evs::{Group, Guarantee};

/// Talks to the group-communication daemon of this host.
#[derive(Debug, Parser)]
#[command(name = "evs", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Prints JSON, one object per line.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures throughput or latency against the running daemon.
    Bench(BenchArgs),

    /// Lists the clients of this node: who they are, what waits for them, what they sent.
    Clients(Daemon),

    /// Prints the completions of this command for a shell.
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        #[arg(hide_possible_values = true)]
        shell: clap_complete::Shell,
    },

    /// Checks, shows, compares and imports configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Prints what happened: the recorded changes of configuration, one line each.
    Events(EventsArgs),

    /// Lists the groups that clients of this node have joined.
    Groups(Daemon),

    /// Changes the cluster's key without a break. For root and the daemon's own user.
    ///
    /// Three steps, each on every node before the next: `add` the new key, `use` it, `drop` the old
    /// one. A node that is down meanwhile comes back with any key that is still known; after the
    /// last step it needs the new key file.
    #[command(subcommand)]
    Key(KeyCommand),

    /// Writes a new cluster key to a file that only its owner can read.
    ///
    /// The same file goes to every node of the cluster (local.key_file in evsd.toml says where).
    /// Where root makes it, it belongs to the owner of its directory: in /etc/evs to the daemon's
    /// user.
    Keygen {
        /// The file; it must not exist.
        file: PathBuf,
    },

    /// Has this node leave the cluster in order and stop: what its clients sent is sent, and the
    /// others need no timeout. For root and the daemon's own user.
    Leave(Daemon),

    /// Lists the ways to the other nodes: whether each is heard, since when, how far away it is.
    Links(Daemon),

    /// Joins groups and prints what is delivered: messages and configurations, in order.
    Listen(ListenArgs),

    /// Prints the configuration in force: its ring id and its members.
    Members(MembersArgs),

    /// Writes all that a bug report needs into one file of JSON: state, changes, configuration,
    /// log, system. It holds no key.
    Record(RecordArgs),

    /// Takes a node into the cluster or out of it, on all nodes, without a restart. For root and
    /// the daemon's own user.
    #[command(subcommand)]
    Node(NodeCommand),

    /// Has the daemon read its configuration file again. What it changes is in force when this
    /// returns; if anything in it cannot be, nothing has changed, and this says why. For root and
    /// the daemon's own user.
    Reload(Daemon),

    /// Sends one message to groups.
    Send(SendArgs),

    /// Prints the daemon's own report: ring, peers, clients, warnings; with --json also counters.
    Status(Daemon),

    /// Shows this node live: members, rates, links, clients, the last changes. `q` quits.
    Top(TopArgs),

    /// Tells why a configuration came about: what triggered it, what each node saw of it, and how
    /// long each step took.
    Why(WhyArgs),
}

/// What to do with the cluster's keys, at this node.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Opens what the key in this file seals, besides what the present one does.
    Add {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// The file, which the daemon reads: it must belong to its user or root, mode 0600.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },

    /// Seals with this key from now on. Every node must know it: it is refused while a member of
    /// the ring does not.
    Use {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// Its name, as `list` shows it.
        #[arg(value_name = "NAME")]
        key: String,

        /// Even though a member of the ring has not said that it has this key.
        #[arg(long)]
        force: bool,
    },

    /// Opens nothing any more that this key seals. No node must seal with it: it is refused while
    /// a member of the ring does.
    Drop {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// Its name, as `list` shows it.
        #[arg(value_name = "NAME")]
        key: String,

        /// Even though a member of the ring still seals with this key.
        #[arg(long)]
        force: bool,
    },

    /// Lists the names of the keys that are known. A name tells nothing about its key.
    List(Daemon),
}

/// What to do with the list of nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Takes a node into the cluster: all others know it from then on, and have it in their files.
    /// Then start it, with a file like theirs and its own local.node.
    Add {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// Its id: one that no other host has ever had.
        #[arg(value_name = "ID", value_parser = clap::value_parser!(u32).range(1..))]
        node: u32,

        /// Its address and UDP port on each link, like 10.0.0.4:5405.
        #[arg(value_name = "ADDRESS", required = true, value_parser = evs_config::node_address)]
        addresses: Vec<SocketAddr>,
    },

    /// Takes a node out of the cluster. If it runs, it leaves in order, and its daemon stops.
    Remove {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// Its id.
        #[arg(value_name = "ID", value_parser = clap::value_parser!(u32).range(1..))]
        node: u32,
    },
}

/// What to do with a configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Names every mistake in a file, with its line; the key file is looked at, too.
    Check {
        /// The file.
        #[arg(value_name = "FILE", default_value = evs_config::DEFAULT_FILE)]
        file: PathBuf,
    },

    /// Prints what a file says as a complete file, defaults included.
    Show {
        /// The file.
        #[arg(value_name = "FILE", default_value = evs_config::DEFAULT_FILE)]
        file: PathBuf,
    },

    /// Compares a file with what the daemon of this host runs with, or with another file. Exit code
    /// 6 if they differ.
    Diff {
        /// Which daemon.
        #[command(flatten)]
        daemon: Daemon,

        /// The file.
        #[arg(value_name = "FILE", default_value = evs_config::DEFAULT_FILE)]
        file: PathBuf,

        /// The other file, instead of the daemon.
        #[arg(value_name = "OTHER")]
        other: Option<PathBuf>,
    },

    /// Makes a configuration out of one of Corosync, 1.x to 3.x, and says what becomes of each
    /// setting that is not simply taken over.
    Import {
        /// Corosync's file, such as /etc/corosync/corosync.conf.
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Where the configuration goes; the file must not exist. Without it, standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,

        /// The id of the node that it is for; without it, the one with an address of this host.
        #[arg(long, value_name = "ID")]
        node: Option<u32>,

        /// Looks up the addresses of nodes that are listed by name.
        #[arg(long)]
        resolve: bool,
    },
}

/// Which daemon a command talks to.
#[derive(Arguments, Clone, Debug)]
pub struct Daemon {
    /// The daemon's socket; without it what EVS_SOCKET says, or else /run/evs/evsd.sock.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// Arguments of `evs send`.
#[derive(Arguments, Debug)]
pub struct SendArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// The groups: names of at most 32 bytes, or 0x and 64 hexadecimal digits.
    #[arg(required = true, value_name = "GROUP", value_parser = group)]
    pub groups: Vec<Group>,

    /// unordered, fifo, agreed or safe.
    #[arg(long, value_name = "GUARANTEE", default_value = "agreed", value_parser = guarantee)]
    pub guarantee: Guarantee,

    /// The message; without it, all of standard input is one message.
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Arguments of `evs listen`.
#[derive(Arguments, Debug)]
pub struct ListenArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// The groups: names of at most 32 bytes, or 0x and 64 hexadecimal digits.
    #[arg(required = true, value_name = "GROUP", value_parser = group)]
    pub groups: Vec<Group>,

    /// Ends after so many messages; without it, when the daemon ends.
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub count: Option<u64>,
}

/// Arguments of `evs members`.
#[derive(Arguments, Debug)]
pub struct MembersArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// Goes on and prints each change.
    #[arg(long, short)]
    pub watch: bool,
}

/// Arguments of `evs events`.
#[derive(Arguments, Debug)]
pub struct EventsArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// Goes on and prints each change when it is in force. What other members saw of it comes a
    /// moment later: `evs why` has it.
    #[arg(long, short)]
    pub follow: bool,

    /// How many recorded changes to print first.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub last: u32,
}

/// Arguments of `evs record`.
#[derive(Arguments, Debug)]
pub struct RecordArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// The file; it must not exist. Without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The daemon's configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/evs/evsd.toml")]
    pub config: PathBuf,

    /// The daemon's log, if it does not go to the journal.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// Arguments of `evs top`.
#[derive(Arguments, Debug)]
pub struct TopArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub interval: f64,

    /// Ends after so many looks.
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub count: Option<u64>,

    /// Prints each screen as text, without taking the terminal over.
    #[arg(long)]
    pub plain: bool,
}

/// Arguments of `evs why`.
#[derive(Arguments, Debug)]
pub struct WhyArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// The change, by its number or by the ring id that it led to; without it, the last one.
    #[arg(value_name = "CHANGE")]
    pub change: Option<String>,

    /// Lists the last changes instead, one line each.
    #[arg(long, short, conflicts_with = "change")]
    pub list: bool,

    /// How many to list.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, requires = "list")]
    pub last: u32,
}

/// Arguments of `evs bench`.
#[derive(Arguments, Clone, Debug)]
pub struct BenchArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: Daemon,

    /// Bytes in a message.
    #[arg(long, value_name = "BYTES", default_value_t = 1400)]
    pub size: usize,

    /// How long to send, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,

    /// unordered, fifo, agreed or safe.
    #[arg(long, value_name = "GUARANTEE", default_value = "agreed", value_parser = guarantee)]
    pub guarantee: Guarantee,

    /// How many clients send at each sending daemon, 1 to 64.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub senders: u16,

    /// Measures latency instead: one message in flight, from sending it to its delivery.
    #[arg(long, conflicts_with_all = ["senders", "all_send", "rate"])]
    pub latency: bool,

    /// Messages that each client sends in a second, 1 to 1000000, instead of as many as it may.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,

    /// Another daemon of the cluster on this host at which a client receives too; may be repeated.
    /// The result is that of the slowest receiver.
    #[arg(long, value_name = "PATH")]
    pub also: Vec<PathBuf>,

    /// The daemons of --also send as well.
    #[arg(long)]
    pub all_send: bool,
}

/// A group by its name, or by its key as the name of last resort is printed.
fn group(text: &str) -> Result<Group, String> {
    if text.is_empty() {
        return Err("a group's name is not empty".to_owned());
    }
    if let Some(key) = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * Group::LEN) {
        return key_of(key).ok_or_else(|| "a key is 0x and 64 hexadecimal digits".to_owned());
    }
    Group::named(text)
        .ok_or_else(|| format!("{} bytes, a group's name has at most {}", text.len(), Group::LEN))
}

fn key_of(digits: &str) -> Option<Group> {
    let mut key = [0; Group::LEN];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(Group(key))
}

fn guarantee(text: &str) -> Result<Guarantee, String> {
    let all = [Guarantee::Unordered, Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];
    let found = all.into_iter().find(|guarantee| guarantee.to_string() == text);
    found.ok_or_else(|| "it is one of unordered, fifo, agreed, safe".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("the range is 0.1 to 3600".to_owned())
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says why
  2  the command line is wrong
  3  no daemon listens, or it takes no clients now: trying again can help
  4  the daemon does not admit this user, or does not do this for it
  5  the daemon ended the session
  6  evs config diff: there is a difference";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_group_is_a_name_or_a_key() {
        assert_eq!(group("orders"), Ok(Group::named("orders").expect("short")));
        let mut key = Group([0xff; Group::LEN]);
        key.0[0] = 0x01;
        assert_eq!(group(&key.to_string()), Ok(key));
        assert_eq!(group(&"x".repeat(33)).expect_err("too long"), TOO_LONG);
        assert!(group("").is_err());
        assert!(group(&format!("0x{}", "g".repeat(64))).is_err());
    }

    const TOO_LONG: &str = "33 bytes, a group's name has at most 32";

    #[test]
    fn a_guarantee_is_called_as_it_is_printed() {
        assert_eq!(guarantee("safe"), Ok(Guarantee::Safe));
        assert!(guarantee("strong").is_err());
    }

    /// What a command's help shows is of use to it.
    #[test]
    fn a_command_has_a_socket_exactly_if_it_talks_to_a_daemon() {
        let args = Args::command();
        let nested = |name: &&clap::Command| ["key", "node"].contains(&name.get_name());
        let below = args.get_subcommands().filter(nested).flat_map(clap::Command::get_subcommands);
        for subcommand in args.get_subcommands().filter(|c| !nested(c)).chain(below) {
            let has = subcommand.get_arguments().any(|arg| arg.get_id() == "socket");
            let alone = ["completions", "config", "keygen"].contains(&subcommand.get_name());
            assert_eq!(has, !alone, "{}", subcommand.get_name());
        }
        assert!(Args::try_parse_from(["evs", "keygen", "--socket", "/x", "/y"]).is_err());
    }

    #[test]
    fn a_latency_has_one_sender() {
        assert!(Args::try_parse_from(["evs", "bench", "--latency"]).is_ok());
        assert!(Args::try_parse_from(["evs", "bench", "--latency", "--senders", "2"]).is_err());
    }
}
