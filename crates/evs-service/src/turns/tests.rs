//! Who goes first, who waits, and what a turn costs.

use super::*;

fn turn(served: u64, client: u64) -> Turn {
    Turn { served, client: ClientId(client), packet: Guarantee::Agreed }
}

#[test]
fn who_was_served_the_fewest_bytes_goes_first() {
    let mut turns = Turns::default();
    turns.insert(turn(10, 1), false);
    turns.insert(turn(5, 2), true);
    turns.insert(turn(5, 3), false);
    assert_eq!(turns.pick(None), Some(turn(5, 2)));
    turns.remove(turn(5, 2));
    assert_eq!(turns.pick(None), Some(turn(5, 3)));
}

#[test]
fn only_those_of_the_packets_guarantee_share_it() {
    let mut turns = Turns::default();
    let safe = Turn { packet: Guarantee::Safe, ..turn(1, 1) };
    turns.insert(safe, false);
    turns.insert(turn(2, 2), false);
    assert_eq!(turns.pick(Some(Guarantee::Agreed)), Some(turn(2, 2)));
    assert_eq!(turns.pick(Some(Guarantee::Unordered)), None);
    assert_eq!(turns.pick(None), Some(safe));
}

#[test]
fn a_message_in_progress_holds_back_long_messages_only() {
    let mut turns = Turns::default();
    turns.set_in_progress(turn(9, 1));
    turns.insert(turn(1, 2), true);
    turns.insert(turn(7, 3), false);
    assert_eq!(turns.pick(None), Some(turn(7, 3)));
    turns.remove(turn(7, 3));
    assert_eq!(turns.pick(None), Some(turn(9, 1)));
    assert!(!turns.may_be_in_progress(turn(1, 2)));
    turns.remove(turn(9, 1));
    assert_eq!(turns.pick(None), Some(turn(1, 2)));
}

#[test]
fn the_clock_never_goes_back() {
    let mut turns = Turns::default();
    turns.insert(turn(9, 1), false);
    turns.remove(turn(9, 1));
    turns.insert(turn(3, 2), true);
    turns.remove(turn(3, 2));
    turns.clear();
    assert_eq!(turns.clock(), 9);
}
