//! The orderly leave: nothing is accepted, everything accepted is sent, two seconds at most.

use alloc::boxed::Box;

use bytes::Bytes;
use evs_model::{ConfigurationChange, Guarantee};
use totem::{Packet, StateKind};

use super::net::{Net, content, members};
use crate::{Config, ConnectError, DRAIN_MAX, Output, SendError, Service};

fn left(net: &Net, node: u32) -> Option<u64> {
    net.nodes[&node].outputs.iter().find_map(|output| match output {
        Output::Left { dropped } => Some(*dropped),
        Output::Distrust(_)
        | Output::Persist(_)
        | Output::Room { .. }
        | Output::ToClient { .. }
        | Output::Transition { .. }
        | Output::Transmit { .. } => None,
    })
}

#[test]
fn what_was_accepted_is_delivered_before_the_leaver_is_gone() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    for number in 0..100 {
        net.send(sender, Guarantee::Safe, &["a"], content(number, 10_000));
    }
    net.input(1, Service::leave);
    net.until("the leave", |net| left(net, 1).is_some());
    assert_eq!(left(&net, 1), Some(0));
    net.settle(&[&[2, 3]]);
    assert_eq!(net.messages(receiver).len(), 100);
    let changes = net.changes(receiver);
    let last = changes.last().expect("at least one");
    assert!(
        matches!(last, ConfigurationChange::Regular { left, .. } if *left == members(&[1])),
        "{last:?}"
    );
}

#[test]
fn a_leaver_stays_until_the_others_have_what_it_sent() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    let mut lost = 0;
    net.fault = Some(Box::new(move |from, packet| {
        let data = from == 1 && matches!(packet, Packet::Mcast(_));
        lost += u32::from(data);
        (!data || lost > 3).then_some(packet)
    }));
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 10));
    net.input(1, Service::leave);
    net.settle(&[&[2, 3]]);
    assert_eq!(net.messages(receiver).len(), 1);
}

#[test]
fn a_leaver_refuses_messages_and_clients() {
    let mut net = Net::formed(&[1, 2]);
    let client = (1, net.client(1, &[]));
    net.send(client, Guarantee::Agreed, &["a"], content(1, 100_000));
    net.input(1, Service::leave);
    assert_eq!(left(&net, 1), None, "it has something to send");
    let refused = net.try_send(client, Guarantee::Agreed, &["a"], Bytes::new());
    assert_eq!(refused, Err(SendError::Leaving));
    assert_eq!(net.input(1, Service::connect), Err(ConnectError::Leaving));
    net.until("the leave", |net| left(net, 1).is_some());
    let refused = net.try_send(client, Guarantee::Agreed, &["a"], Bytes::new());
    assert_eq!(refused, Err(SendError::Leaving));
    assert_eq!(net.input(1, Service::connect), Err(ConnectError::Leaving));
}

#[test]
fn after_two_seconds_the_leaver_tells_how_many_it_dropped() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &[]));
    net.lose_tokens();
    for number in 0..7 {
        net.send(sender, Guarantee::Agreed, &["a"], content(number, 2_000));
    }
    let begun = net.now;
    net.input(1, Service::leave);
    net.until("the leave", |net| left(net, 1).is_some());
    assert_eq!(net.now - begun, DRAIN_MAX);
    assert_eq!(left(&net, 1), Some(7));
    assert_eq!(net.nodes[&1].service.stats().messages_dropped, 7);
    assert!(net.rooms(sender).is_empty());
}

/// LIVE-2: what has a place in an order that nobody could finish is dropped too.
#[test]
fn a_message_that_was_sent_but_not_delivered_counts_as_dropped() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &[]));
    net.send(sender, Guarantee::Safe, &["a"], content(0, 10));
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 10));
    net.lose_tokens();
    net.input(1, Service::leave);
    net.until("the leave", |net| left(net, 1).is_some());
    assert_eq!(left(&net, 1), Some(2));
}

#[test]
fn a_processor_that_was_never_in_a_configuration_leaves_at_once() {
    let mut net = Net::new(&[1], &Config::default());
    net.input(1, Service::leave);
    assert_eq!(left(&net, 1), Some(0));
    assert_eq!(net.nodes[&1].service.ring().state(), StateKind::Left);
}

#[test]
fn a_second_leave_has_no_effect() {
    let mut net = Net::formed(&[1]);
    net.input(1, Service::leave);
    net.input(1, Service::leave);
    let is_left = |output: &&Output| matches!(output, Output::Left { .. });
    assert_eq!(net.nodes[&1].outputs.iter().filter(is_left).count(), 1);
}
