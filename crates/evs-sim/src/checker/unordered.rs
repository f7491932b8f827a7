//! EVS-9, unordered: whatever any member of T(R, R') holds, all of them deliver in R; so an
//! unordered message is never left for the transitional configuration.
//!
//! Its other clauses are those of EVS-1, EVS-3 and the set part of EVS-4.

use evs_model::Guarantee;

use super::index::Index;
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    for (track, epoch) in index.epochs() {
        let Some(transition) = &epoch.transition else { continue };
        let late = transition
            .deliveries
            .iter()
            .find(|delivery| delivery.message.guarantee == Guarantee::Unordered);
        if let Some(late) = late {
            let (name, id, from, to) = (track.name(), late.message.id, epoch.ring, transition.to);
            return Err(violates!(Evs9, "{name} delivered unordered {id} in T({from}, {to})"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use evs_model::Guarantee::Unordered;

    use super::super::Property::{Evs4, Evs9};
    use super::super::fixture::*;

    #[test]
    fn an_unordered_message_may_overtake() {
        let (a, b) = (agreed(1, 1, 1, 1), agreed(1, 2, 1, 2).with(Unordered));
        let one = vec![regular(1, &[1]), a.accepted(), b.accepted(), b.delivered(), a.delivered()];
        holds(&history(vec![view(1, one)]));
    }

    #[test]
    fn an_unordered_message_in_a_transitional_configuration_is_noticed() {
        let a = agreed(1, 1, 1, 1).with(Unordered);
        let one = vec![
            regular(1, &[1]),
            a.accepted(),
            transitional(1, 2, &[1]),
            a.delivered(),
            regular(2, &[1]),
        ];
        breaks(&history(vec![view(1, one)]), Evs9, "in T(1@1/0001, 2@1/0001)");
    }

    #[test]
    fn an_unordered_message_that_one_of_two_has_is_noticed() {
        let a = agreed(1, 1, 1, 1).with(Unordered);
        let end = || vec![transitional(1, 2, &[1, 2]), regular(2, &[1, 2])];
        let mut one = vec![regular(1, &[1, 2]), a.accepted(), a.delivered()];
        one.extend(end());
        let mut two = vec![regular(1, &[1, 2])];
        two.extend(end());
        breaks(&history(vec![view(1, one), view(2, two)]), Evs4, "in R");
    }
}
