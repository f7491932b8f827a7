//! Who gets what: the clients of this processor by group.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use evs_model::{ClientId, Group, Groups, defect};

/// The clients that have joined each group, ascending. No group is empty.
#[derive(Debug, Default)]
pub(crate) struct GroupIndex(BTreeMap<Group, Vec<ClientId>>);

impl GroupIndex {
    pub(crate) fn insert(&mut self, group: Group, client: ClientId) {
        let clients = self.0.entry(group).or_default();
        if let Err(at) = clients.binary_search(&client) {
            clients.insert(at, client);
        }
    }

    pub(crate) fn remove(&mut self, group: Group, client: ClientId) {
        if let Some(clients) = self.0.get_mut(&group) {
            clients.retain(|other| *other != client);
            if clients.is_empty() {
                self.0.remove(&group);
            }
        }
    }

    /// The groups that anybody has joined, ascending, each with its clients.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (Group, &[ClientId])> + '_ {
        self.0.iter().map(|(group, clients)| (*group, &clients[..]))
    }

    /// The clients that have joined at least one of the groups, each once, ascending (EVS-10).
    pub(crate) fn recipients(&self, groups: &Groups, recipients: &mut Vec<ClientId>) {
        recipients.clear();
        let mut matches = 0;
        for clients in groups.iter().filter_map(|group| self.0.get(&group)) {
            recipients.extend_from_slice(clients);
            matches += 1;
        }
        if matches > 1 {
            recipients.sort_unstable();
            if !defect!(OncePerGroup) {
                recipients.dedup();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Group {
        Group::named(name).expect("short")
    }

    fn recipients(index: &GroupIndex, names: &[&str]) -> Vec<u64> {
        let groups: Vec<_> = names.iter().map(|name| group(name)).collect();
        let mut clients = alloc::vec![ClientId(99)];
        index.recipients(&Groups::new(&groups).expect("few"), &mut clients);
        clients.into_iter().map(|client| client.0).collect()
    }

    #[test]
    fn a_client_in_several_of_the_groups_is_found_once() {
        let mut index = GroupIndex::default();
        for (name, client) in [("a", 2), ("a", 1), ("b", 2), ("b", 3)] {
            index.insert(group(name), ClientId(client));
        }
        assert_eq!(recipients(&index, &["a", "b"]), [1, 2, 3]);
        assert_eq!(recipients(&index, &["b", "b"]), [2, 3]);
        assert_eq!(recipients(&index, &["c"]), []);
        assert_eq!(recipients(&index, &[]), []);
    }

    #[test]
    fn a_group_without_clients_takes_no_room() {
        let mut index = GroupIndex::default();
        index.insert(group("a"), ClientId(1));
        index.remove(group("a"), ClientId(2));
        assert_eq!(recipients(&index, &["a"]), [1]);
        index.remove(group("a"), ClientId(1));
        assert!(index.0.is_empty());
    }

    #[test]
    fn keys_that_differ_after_a_nul_are_different_groups() {
        let mut index = GroupIndex::default();
        let mut key = group("a");
        key.0[31] = 1;
        index.insert(key, ClientId(1));
        assert_eq!(recipients(&index, &["a"]), []);
    }
}
