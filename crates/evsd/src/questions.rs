//! What clients ask of the daemon beyond its status, and the answers: JSON both ways
//! (`docs/reports.md`).

use std::net::SocketAddr;
use std::path::PathBuf;

use evs_model::Instant;
use evs_node::Node;
use evs_report::{Answer, GROUP_CLIENTS_MAX, GROUPS_MAX, JoinedGroup, Question, SCHEMA};

use crate::config::Config;
use crate::control::Control;
use crate::membership::Membership;

/// What is to be done besides answering.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    /// Nothing.
    None,
    /// Leave in order and stop.
    Leave,
    /// What an operator wants done; the answer comes later.
    Operate(Order),
}

/// What an operator wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// As [`Question::KeyAdd`].
    KeyAdd(PathBuf),
    /// As [`Question::KeyDrop`].
    KeyDrop(String, bool),
    /// As [`Question::KeyUse`].
    KeyUse(String, bool),
    /// As [`Question::NodeAdd`].
    NodeAdd(u32, Vec<SocketAddr>),
    /// As [`Question::NodeRemove`].
    NodeRemove(u32),
    /// As [`Question::Reload`].
    Reload,
}

/// Answers a question of a user. One that makes no sense is answered with what would be right.
pub(crate) fn answer(
    now: Instant,
    membership: &Membership,
    (config, node): (&Config, &Node),
    uid: u32,
    text: &str,
) -> (String, Act) {
    let (answer, act) = match serde_json::from_str::<Question>(text) {
        Ok(Question::Config) => {
            (Answer { settings: Some(config.settings().0), ..empty() }, Act::None)
        }
        Ok(Question::Groups) => (groups(node), Act::None),
        Ok(Question::Leave) if is_operator(uid) => {
            (Answer { accepted: true, ..empty() }, Act::Leave)
        }
        Ok(Question::Leave) => (forbidden("leave"), Act::None),
        Ok(question @ (Question::Changes { .. } | Question::Change { .. })) => {
            (membership.flight().answer(now, &question), Act::None)
        }
        Ok(Question::Keys) if is_operator(uid) => (keys(node), Act::None),
        Ok(Question::Keys) => (forbidden("key"), Act::None),
        Ok(Question::KeyAdd { file }) => order(uid, "key", Order::KeyAdd(file)),
        Ok(Question::KeyDrop { key, force }) => order(uid, "key", Order::KeyDrop(key, force)),
        Ok(Question::KeyUse { key, force }) => order(uid, "key", Order::KeyUse(key, force)),
        Ok(Question::NodeAdd { node, addresses }) => {
            order(uid, "node", Order::NodeAdd(node, addresses))
        }
        Ok(Question::NodeRemove { node }) => order(uid, "node", Order::NodeRemove(node)),
        Ok(Question::Reload) => order(uid, "reload", Order::Reload),
        Err(error) => {
            let error = format!("this daemon does not know the question: {error}");
            (Answer { error: Some(error), ..empty() }, Act::None)
        }
    };
    (json(&answer), act)
}

pub(crate) fn json(answer: &Answer) -> String {
    // Nothing in it can fail to be written: keys are texts and numbers are whole.
    let json = serde_json::to_string(answer);
    json.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// The answer comes when it is done.
fn order(uid: u32, what: &str, order: Order) -> (Answer, Act) {
    if is_operator(uid) { (empty(), Act::Operate(order)) } else { (forbidden(what), Act::None) }
}

/// Who may have the daemon do something: root, and the user that it runs as.
fn is_operator(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn forbidden(what: &str) -> Answer {
    let error = format!("{what} is for root and the user that evsd runs as");
    Answer { error: Some(error), forbidden: true, ..empty() }
}

fn groups(node: &Node) -> Answer {
    let joined = node.service().joined().filter(|(group, _)| !Control::is_group(*group));
    let mut count = 0;
    let mut groups = Vec::new();
    for (group, clients) in joined {
        count += 1;
        if groups.len() < GROUPS_MAX {
            groups.push(JoinedGroup {
                group: group.to_string(),
                clients: clients.len(),
                first: clients.iter().take(GROUP_CLIENTS_MAX).map(|client| client.0).collect(),
            });
        }
    }
    Answer { groups: Some(groups), groups_joined: Some(count), ..empty() }
}

/// The names of the keys, the one that seals first.
pub(crate) fn keys(node: &Node) -> Answer {
    let keys = node.net().endpoint().keys();
    Answer { keys: Some(keys.into_iter().map(key_name).collect()), ..empty() }
}

/// A key's name as it is shown everywhere.
pub(crate) fn key_name(key: u16) -> String {
    format!("{key:04x}")
}

pub(crate) fn empty() -> Answer {
    Answer { schema: SCHEMA, ..Answer::default() }
}
