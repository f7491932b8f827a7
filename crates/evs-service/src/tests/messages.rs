//! Messages of every size and guarantee, back-pressure, packing under load, hostile packets.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{Guarantee, SEND_OVERHEAD};
use totem::Packet;

use super::net::{Net, content, groups};
use crate::{Config, MESSAGE_BYTES_CAP, SendError};

const GUARANTEES: [Guarantee; 4] =
    [Guarantee::Unordered, Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];

#[test]
fn messages_of_every_size_around_a_packet_arrive_whole_and_in_order() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &["a"]));
    let receiver = (2, net.client(2, &["a"]));
    let packet = net.nodes[&1].service.ring().body_bytes_max();
    let mut sizes = vec![0, 1, 2];
    for packets in 1..=3 {
        sizes.extend(packets * packet - 140..=packets * packet + 3);
    }
    for guarantee in GUARANTEES {
        for size in &sizes {
            net.send(sender, guarantee, &["a"], content(*size as u64, *size));
        }
        net.settle(&[&[1, 2]]);
    }
    for of in [sender, receiver] {
        let messages = net.messages(of);
        assert_eq!(messages.len(), 4 * sizes.len());
        for (message, size) in messages.iter().zip(sizes.iter().cycle()) {
            assert_eq!(message.body, content(*size as u64, *size), "{size} bytes");
        }
    }
}

#[test]
fn the_largest_message_arrives_and_one_byte_more_is_refused() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    let max = net.nodes[&1].service.config().message_bytes_max;
    let refused = net.try_send(sender, Guarantee::Agreed, &["a"], content(1, max + 1));
    assert_eq!(refused, Err(SendError::TooBig { bytes: max + 1, max }));
    let id = net.send(sender, Guarantee::Agreed, &["a"], content(1, max));
    assert_eq!(id.number, 1, "a refused message has no number");
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver)[0].body, content(1, max));
}

/// The largest that can be configured: 16 MiB.
#[test]
fn a_message_of_the_cap_arrives() {
    let config = Config { message_bytes_max: MESSAGE_BYTES_CAP, ..Config::default() };
    let mut net = Net::formed_with(&[1, 2], &config);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    net.send(sender, Guarantee::Safe, &["a"], content(1, MESSAGE_BYTES_CAP));
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver)[0].body, content(1, MESSAGE_BYTES_CAP));
}

#[test]
fn a_message_larger_than_the_receivers_own_limit_is_delivered_all_the_same() {
    let large = Config { message_bytes_max: 100_000, ..Config::default() };
    let small = Config { message_bytes_max: 10, ..Config::default() };
    let mut net = Net::new(&[1], &large);
    net.start(super::net::p(2), &small);
    net.settle(&[&[1, 2]]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 100_000));
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver)[0].body, content(1, 100_000));
}

#[test]
fn a_refusal_is_followed_by_room_and_room_by_acceptance() {
    let config = Config { client_send_bytes_max: 10_000, ..Config::default() };
    let mut net = Net::formed_with(&[1, 2], &config);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    let cost = 1_000 + 32 + SEND_OVERHEAD;
    let (mut sent, mut refusals) = (0, 0);
    while sent < 200 {
        match net.try_send(sender, Guarantee::Agreed, &["a"], content(sent, 1_000)) {
            Ok(id) => {
                sent += 1;
                assert_eq!(id.number, sent);
            }
            Err(error) => {
                assert_eq!(error, SendError::QueueFull { max: 10_000 });
                refusals += 1;
                let before = net.rooms(sender).len();
                net.until("room", |net| net.rooms(sender).len() > before);
            }
        }
    }
    net.settle(&[&[1, 2]]);
    assert!(refusals > 0);
    assert_eq!(net.rooms(sender).iter().sum::<usize>(), 200 * cost);
    assert_eq!(net.nodes[&1].service.queued(sender.1), Some(0));
    assert_eq!(net.nodes[&1].service.stats().sends_refused, refusals);
    assert_eq!(net.messages(receiver).len(), 200);
}

#[test]
fn under_load_many_small_messages_share_a_packet() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = (1, net.client(1, &[]));
    for burst in 0..50 {
        for i in 0..20 {
            net.send(sender, Guarantee::Agreed, &["a"], content(burst * 20 + i, 64));
        }
        net.run(Duration::from_micros(100));
    }
    net.settle(&[&[1, 2, 3]]);
    let stats = net.nodes[&1].service.stats();
    assert_eq!((stats.messages_accepted, stats.messages_sent), (1_000, 1_000));
    assert!(stats.packets_submitted <= 200, "{stats:?}");
}

#[test]
fn the_token_finds_a_full_backlog() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    let before = net.now;
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 1 << 20));
    net.until("its delivery", |net| !net.messages(receiver).is_empty());
    // About 800 packets, 256 at a visit, three hops of 50 µs between two visits.
    assert!(net.now - before < Duration::from_millis(2), "{:?}", net.now - before);
}

#[test]
fn a_message_on_an_idle_ring_waits_for_nothing() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = (2, net.client(2, &[]));
    let receiver = (3, net.client(3, &["a"]));
    net.run(Duration::from_secs(1));
    let before = net.now;
    net.send(sender, Guarantee::Agreed, &["a"], Bytes::new());
    net.until("its delivery", |net| !net.messages(receiver).is_empty());
    assert!(net.now - before < Duration::from_millis(1), "{:?}", net.now - before);
}

#[test]
fn messages_of_one_batch_share_a_packet_on_an_idle_ring_too() {
    let mut net = Net::formed(&[1, 2, 3]);
    let sender = net.client(2, &["a"]);
    net.run(Duration::from_secs(1));
    let before = net.nodes[&2].service.stats().packets_submitted;
    net.input(2, |service, now| {
        for _ in 0..10 {
            let sent = service.send(now, sender, Guarantee::Agreed, groups(&["a"]), content(1, 50));
            assert!(sent.is_ok());
        }
    });
    net.until("their delivery", |net| net.messages((2, sender)).len() == 10);
    assert_eq!(net.nodes[&2].service.stats().packets_submitted, before + 1);
}

#[test]
fn ordered_messages_of_all_have_one_order_everywhere() {
    let mut net = Net::formed(&[1, 2, 3]);
    let clients: Vec<_> = (1..=3).map(|node| (node, net.client(node, &["a"]))).collect();
    for i in 0..60 {
        for (k, client) in clients.iter().enumerate() {
            let guarantee = GUARANTEES[(i + k) % 3 + 1];
            let size = [10, 3_000, 200, 40_000][(i + k) % 4];
            net.send(*client, guarantee, &["a"], content(i as u64, size));
        }
        net.run(Duration::from_micros(130));
    }
    net.settle(&[&[1, 2, 3]]);
    let first = net.messages(clients[0]);
    assert_eq!(first.len(), 180);
    assert!(first.is_sorted_by_key(|message| message.seq));
    for client in &clients {
        assert_eq!(net.messages(*client), first);
        let own = first.iter().filter(|message| message.id.sender == net.nodes[&client.0].me);
        assert!(own.map(|message| message.id.number).eq(1..=60));
    }
}

#[test]
fn unordered_messages_survive_lost_packets_whole() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &["a"]));
    let receiver = (2, net.client(2, &["a"]));
    let mut count = 0;
    net.fault = Some(Box::new(move |_, packet| {
        count += u32::from(matches!(packet, Packet::Mcast(_)));
        (!matches!(packet, Packet::Mcast(_)) || count % 3 != 0).then_some(packet)
    }));
    for number in 0..200 {
        net.send(sender, Guarantee::Unordered, &["a"], content(number, 2_000));
    }
    net.settle(&[&[1, 2]]);
    let mut messages = net.messages(receiver);
    messages.sort_by_key(|message| message.id.number);
    assert_eq!(messages.len(), 200);
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message.body, content(number as u64, 2_000));
    }
    assert_eq!(net.nodes[&2].service.stats().fragments_dropped, 0);
}

#[test]
fn a_packet_of_garbage_is_counted_and_harms_nobody() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &["a"]));
    let receiver = (2, net.client(2, &["a"]));
    net.fault = Some(Box::new(|_, mut packet| {
        if let Packet::Mcast(mcast) = &mut packet
            && mcast.body.len() > 100
        {
            mcast.body = Bytes::from_static(&[0xff; 200]);
        }
        Some(packet)
    }));
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 500));
    net.send(sender, Guarantee::Safe, &["a"], content(2, 5));
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver).len(), 1);
    assert_eq!(net.nodes[&2].service.stats().records_malformed, 1);
}
