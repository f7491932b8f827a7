//! Who may connect.

use evs_ipc::socket::PeerCredentials;

/// The system's group whose members may connect.
pub const GROUP: &str = "evs";

/// The rule by which clients are admitted: root, the daemon's own user, members of the group
/// [`GROUP`] where it exists, and the users and groups that the configuration adds.
///
/// A process counts as a member of the groups that the kernel knows it to have at `connect`. The
/// user database is not asked, for it may be on another machine and never answer.
#[derive(Clone, Debug)]
pub struct Admission {
    own_uid: u32,
    group: Option<u32>,
    allow_uids: Vec<u32>,
    allow_gids: Vec<u32>,
}

impl Admission {
    /// Looks up the group, which may wait for the user database: only before the daemon runs.
    #[must_use]
    pub fn new(allow_uids: &[u32], allow_gids: &[u32]) -> Self {
        let group = nix::unistd::Group::from_name(GROUP).unwrap_or_else(|error| {
            tracing::warn!(group = GROUP, %error, "the group cannot be looked up");
            None
        });
        Self {
            own_uid: rustix::process::geteuid().as_raw(),
            group: group.map(|group| group.gid.as_raw()),
            allow_uids: allow_uids.to_vec(),
            allow_gids: allow_gids.to_vec(),
        }
    }

    /// The same rule with other users and groups of the configuration. Asks no database.
    #[must_use]
    pub fn allowing(self, allow_uids: &[u32], allow_gids: &[u32]) -> Self {
        Self { allow_uids: allow_uids.to_vec(), allow_gids: allow_gids.to_vec(), ..self }
    }

    /// Whether this peer may have a session.
    #[must_use]
    pub fn admits(&self, peer: &PeerCredentials) -> bool {
        peer.uid == 0
            || peer.uid == self.own_uid
            || self.allow_uids.contains(&peer.uid)
            || self.group.is_some_and(|group| peer.has_group(group))
            || self.allow_gids.iter().any(|gid| peer.has_group(*gid))
    }

    /// The group that the socket file belongs to, where it exists.
    #[must_use]
    pub const fn group(&self) -> Option<u32> {
        self.group
    }

    /// The mode of the socket file. The file can name one group only; with more users or groups in
    /// the configuration everybody may knock, and [`Admission::admits`] alone decides.
    #[must_use]
    pub const fn socket_mode(&self) -> u32 {
        if self.allow_uids.is_empty() && self.allow_gids.is_empty() { 0o660 } else { 0o666 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> PeerCredentials {
        PeerCredentials { pid: 1, uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn root_the_own_user_the_group_and_the_configured_are_admitted() {
        let rule = Admission {
            own_uid: 100,
            group: Some(50),
            allow_uids: vec![1000],
            allow_gids: vec![60],
        };
        assert!(rule.admits(&peer(0, 0, &[])));
        assert!(rule.admits(&peer(100, 1, &[])));
        assert!(rule.admits(&peer(7, 50, &[])));
        assert!(rule.admits(&peer(7, 7, &[1, 50])));
        assert!(rule.admits(&peer(1000, 7, &[])));
        assert!(rule.admits(&peer(7, 7, &[60])));
        assert!(!rule.admits(&peer(7, 7, &[1, 2])));
        assert!(!rule.admits(&peer(50, 100, &[1000])));
    }

    #[test]
    fn the_file_is_closed_to_others_unless_the_configuration_names_some() {
        let mut rule =
            Admission { own_uid: 1, group: None, allow_uids: vec![], allow_gids: vec![] };
        assert_eq!(rule.socket_mode(), 0o660);
        rule.allow_uids.push(1000);
        assert_eq!(rule.socket_mode(), 0o666);
    }
}
