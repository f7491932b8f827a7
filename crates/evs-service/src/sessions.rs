//! The clients of this processor and the groups that they have joined.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use evs_model::{ClientId, Group, Groups, defect};

use crate::RequestError;
use crate::groups::GroupIndex;

/// The sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    groups_max: usize,
    last: ClientId,
    sessions: BTreeMap<ClientId, Session>,
    index: GroupIndex,
}

/// How often the client has joined each of its groups; never 0.
#[derive(Debug, Default)]
struct Session(BTreeMap<Group, u64>);

impl Sessions {
    /// `groups_max` bounds the groups of each client; clients are numbered from `origin + 1`.
    pub(crate) fn new(groups_max: usize, origin: u64) -> Self {
        Self {
            groups_max,
            last: ClientId(origin),
            sessions: BTreeMap::new(),
            index: GroupIndex::default(),
        }
    }

    /// Bounds the groups of each client anew; those that are joined stay joined.
    pub(crate) const fn set_groups_max(&mut self, groups_max: usize) {
        self.groups_max = groups_max;
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn contains(&self, client: ClientId) -> bool {
        self.sessions.contains_key(&client)
    }

    /// The clients, in the order in which they came.
    pub(crate) fn clients(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.sessions.keys().copied()
    }

    /// Opens a session, under a name that was never used; `None` when all are used.
    pub(crate) fn open(&mut self) -> Option<ClientId> {
        self.last.0 = self.last.0.checked_add(1)?;
        self.sessions.insert(self.last, Session::default());
        Some(self.last)
    }

    /// Ends a session; its client is in no group any more.
    pub(crate) fn close(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.remove(&client) {
            session.0.keys().for_each(|group| self.index.remove(*group, client));
        }
    }

    /// Joins all the groups, or none.
    pub(crate) fn join(&mut self, client: ClientId, groups: &[Group]) -> Result<(), RequestError> {
        let max = self.groups_max;
        let session = self.sessions.get_mut(&client).ok_or(RequestError::UnknownClient)?;
        for (i, group) in groups.iter().enumerate() {
            if session.0.len() >= max && !session.0.contains_key(group) {
                groups[..i].iter().for_each(|g| session.leave(&mut self.index, client, *g));
                return Err(RequestError::TooManyGroups { max });
            }
            session.join(&mut self.index, client, *group);
        }
        Ok(())
    }

    /// Leaves all the groups, or none; what was joined twice must be left twice.
    pub(crate) fn leave(&mut self, client: ClientId, groups: &[Group]) -> Result<(), RequestError> {
        let session = self.sessions.get_mut(&client).ok_or(RequestError::UnknownClient)?;
        for (i, group) in groups.iter().enumerate() {
            if !session.0.contains_key(group) {
                groups[..i].iter().for_each(|g| session.join(&mut self.index, client, *g));
                return Err(RequestError::NotJoined(*group));
            }
            session.leave(&mut self.index, client, *group);
        }
        Ok(())
    }

    /// As [`GroupIndex::joined`].
    pub(crate) fn joined(&self) -> impl Iterator<Item = (Group, &[ClientId])> + '_ {
        self.index.joined()
    }

    /// The clients that get a message for these groups, each once, ascending.
    pub(crate) fn recipients(&self, groups: &Groups, recipients: &mut Vec<ClientId>) {
        self.index.recipients(groups, recipients);
    }
}

impl Session {
    fn join(&mut self, index: &mut GroupIndex, client: ClientId, group: Group) {
        let times = self.0.entry(group).or_insert(0);
        *times += 1;
        if *times == 1 {
            index.insert(group, client);
        }
    }

    fn leave(&mut self, index: &mut GroupIndex, client: ClientId, group: Group) {
        let Some(times) = self.0.get_mut(&group) else { return };
        *times -= 1;
        if *times == 0 || defect!(JoinsNotCounted) {
            self.0.remove(&group);
            if !defect!(LeftGroupStays) {
                index.remove(group, client);
            }
        }
    }
}

#[cfg(test)]
mod tests;
