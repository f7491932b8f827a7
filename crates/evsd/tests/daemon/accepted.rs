//! What a client was told is accepted is sent, whatever becomes of the client (EVS-3).

use std::sync::atomic::{AtomicU64, Ordering};

use evs::{Event, Guarantee};
use evs_testkit::{Setup, until};

use super::{formed, group, member, messages, setup};

/// EVS-3: also if events were on their way to the sender that died.
#[test]
fn messages_of_a_member_that_closed_at_once_are_sent() {
    let cluster = formed(setup(1));
    let wills = group("wills");
    let receiver = member(&cluster, 1, wills);
    let sender = member(&cluster, 1, wills);
    for _ in 0..2000 {
        sender.send(Guarantee::Agreed, &[wills], &[1; 50]).expect("accepted");
    }
    drop(sender);
    assert_eq!(messages(&receiver, 2000).len(), 2000);
}

/// A client that does not read is disconnected; what it was told is accepted is sent.
#[test]
fn messages_of_a_client_that_is_too_slow_are_sent() {
    let lines = "[local.limits]\nclient_event_bytes_max = 8388608".to_owned();
    let cluster = formed(Setup { local_lines: lines, ..setup(1) });
    let (flood, wills) = (group("flood"), group("wills"));
    let receiver = member(&cluster, 1, wills);
    let sender = member(&cluster, 1, flood);
    let received = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok(event) = receiver.recv() {
                received.fetch_add(matches!(event, Event::Message(_)).into(), Ordering::Relaxed);
            }
        });
        let mut accepted = 0;
        while sender.send(Guarantee::Agreed, &[flood, wills], &[1; 3000]).is_ok() {
            accepted += 1;
            assert!(accepted < 1_000_000, "the queue is never full");
        }
        let all = until("all that was accepted has come", || {
            (received.load(Ordering::Relaxed) >= accepted).then_some(())
        });
        receiver.close();
        all.unwrap_or_else(|error| panic!("{received:?} of {accepted}: {error}"));
    });
}
