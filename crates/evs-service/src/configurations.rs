//! Configurations as clients see them: who left and who joined, computed from two consecutive
//! regular configurations and never stored (EVS-2).

use evs_model::{Configuration, ConfigurationChange, Members, Processor, RingId, defect};

/// The last regular configuration of this processor's history.
#[derive(Debug)]
pub(crate) struct Configurations {
    me: Processor,
    last: Option<(RingId, Members)>,
}

impl Configurations {
    pub(crate) const fn new(me: Processor) -> Self {
        Self { me, last: None }
    }

    /// Whether there is one.
    pub(crate) const fn installed(&self) -> bool {
        self.last.is_some()
    }

    /// The first event of a session: a copy of the current regular configuration, in which all
    /// others have just joined (EVS-11). `None` before there is one.
    pub(crate) fn first_event(&self) -> Option<ConfigurationChange> {
        let (ring, members) = self.last.as_ref()?;
        Some(ConfigurationChange::Regular {
            ring: *ring,
            members: members.clone(),
            left: Members::default(),
            joined: members.difference(&Members::singleton(self.me)),
        })
    }

    /// What a configuration changes for those who saw the one before.
    pub(crate) fn change(&mut self, configuration: Configuration) -> ConfigurationChange {
        let nobody = Members::default();
        let before = self.last.as_ref().map_or(&nobody, |(_, members)| members);
        match configuration {
            Configuration::Regular { ring, members } => {
                assert!(members.contains(self.me), "one is a member of what one installs");
                let left =
                    if defect!(LeftNotTold) { nobody.clone() } else { before.difference(&members) };
                let joined = members.difference(if defect!(AllJoined) { &nobody } else { before });
                self.last = Some((ring, members.clone()));
                ConfigurationChange::Regular { ring, members, left, joined }
            }
            Configuration::Transitional { from, to, members } => {
                let left = before.difference(&members);
                ConfigurationChange::Transitional { from, to, members, left }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evs_model::NodeId;

    use super::*;

    fn p(node: u32, incarnation: u64) -> Processor {
        Processor::new(NodeId::new(node).expect("not zero"), incarnation)
    }

    fn members(list: &[Processor]) -> Members {
        Members::new(list.to_vec()).expect("valid")
    }

    fn ring(seq: u64) -> RingId {
        RingId { seq, rep: p(1, 7) }
    }

    fn installed(list: &[Processor]) -> Configurations {
        let mut configurations = Configurations::new(p(1, 7));
        configurations.change(Configuration::Regular { ring: ring(1), members: members(list) });
        configurations
    }

    #[test]
    fn before_the_first_configuration_there_is_no_first_event() {
        assert_eq!(Configurations::new(p(1, 7)).first_event(), None);
    }

    #[test]
    fn in_the_first_event_all_but_the_own_processor_have_joined() {
        let first = installed(&[p(1, 7), p(2, 1), p(3, 1)]).first_event();
        let expected = ConfigurationChange::Regular {
            ring: ring(1),
            members: members(&[p(1, 7), p(2, 1), p(3, 1)]),
            left: Members::default(),
            joined: members(&[p(2, 1), p(3, 1)]),
        };
        assert_eq!(first, Some(expected));
    }

    #[test]
    fn a_restarted_member_has_left_and_joined() {
        let mut configurations = installed(&[p(1, 7), p(2, 1)]);
        let after = members(&[p(1, 7), p(2, 2)]);
        let change =
            configurations.change(Configuration::Regular { ring: ring(2), members: after.clone() });
        let expected = ConfigurationChange::Regular {
            ring: ring(2),
            members: after,
            left: members(&[p(2, 1)]),
            joined: members(&[p(2, 2)]),
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn left_and_joined_are_relative_to_the_last_regular_configuration() {
        let mut configurations = installed(&[p(1, 7), p(2, 1), p(3, 1)]);
        let together = members(&[p(1, 7)]);
        let transitional = configurations.change(Configuration::Transitional {
            from: ring(1),
            to: ring(2),
            members: together.clone(),
        });
        let expected = ConfigurationChange::Transitional {
            from: ring(1),
            to: ring(2),
            members: together,
            left: members(&[p(2, 1), p(3, 1)]),
        };
        assert_eq!(transitional, expected);
        let after = members(&[p(1, 7), p(3, 1)]);
        let regular =
            configurations.change(Configuration::Regular { ring: ring(2), members: after.clone() });
        let expected = ConfigurationChange::Regular {
            ring: ring(2),
            members: after,
            left: members(&[p(2, 1)]),
            joined: Members::default(),
        };
        assert_eq!(regular, expected);
    }
}
