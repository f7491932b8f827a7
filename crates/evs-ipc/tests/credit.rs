//! The credit of both ends: never overdrawn, never stuck.

use std::collections::VecDeque;

use evs_ipc::{Credit, CreditLedger};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_client_that_waits_is_always_told(
        total in 1..5_000_u64,
        cost_max in 1..7_000_u64,
        shares in vec(1..=100_u64, 1..300),
        pattern in vec(any::<bool>(), 1..50),
    ) {
        let mut client = Credit::new(total);
        let mut daemon = CreditLedger::new(total, cost_max);
        let mut queued = VecDeque::new();
        let mut turns = pattern.iter().cycle();
        for share in shares {
            let cost = (cost_max * share / 100).max(1);
            while !client.allows(cost) {
                // The order takes the messages; whatever is said arrives. It must come to an end.
                let freed = queued.pop_front().expect("a client may only wait for its messages");
                daemon.free(freed);
                if let Some(bytes) = daemon.due() {
                    prop_assert!(client.give(bytes));
                }
            }
            client.take(cost).expect("allowed");
            daemon.take(cost).expect("both ends count alike, and the daemon knows more");
            queued.push_back(cost);
            if *turns.next().expect("a cycle") {
                daemon.free(queued.pop_front().expect("just queued"));
                if let Some(bytes) = daemon.due() {
                    prop_assert!(client.give(bytes));
                }
            }
        }
    }
}

#[test]
fn credit_is_given_back_in_lumps() {
    let mut daemon = CreditLedger::new(8_000, 1_000);
    for _ in 0..70 {
        daemon.take(100).expect("within the credit");
    }
    let mut said = 0;
    for _ in 0..60 {
        daemon.free(100);
        said += u64::from(daemon.due().is_some());
    }
    assert_eq!(said, 6);
}

#[test]
fn an_idle_client_that_could_not_send_its_largest_message_is_told_at_once() {
    let mut daemon = CreditLedger::new(8_000, 8_000);
    daemon.take(10).expect("within the credit");
    assert_eq!(daemon.due(), None);
    daemon.free(10);
    assert_eq!(daemon.due(), Some(10));
    assert_eq!(daemon.due(), None);
}

#[test]
fn an_overdraft_is_refused_and_changes_nothing() {
    let mut daemon = CreditLedger::new(1_000, 500);
    daemon.take(700).expect("within the credit");
    let error = daemon.take(301).expect_err("overdrawn");
    assert_eq!((error.cost, error.spent, error.total), (301, 700, 1_000));
    daemon.take(300).expect("exactly the rest");
}

#[test]
fn one_message_of_any_size_fits_when_nothing_is_outstanding() {
    let mut client = Credit::new(100);
    client.take(5_000).expect("nothing is outstanding");
    assert!(!client.allows(1));
    assert!(!client.give(5_001));
    assert!(client.give(5_000));
    assert!(client.allows(5_000));
}
