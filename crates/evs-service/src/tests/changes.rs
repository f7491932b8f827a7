//! Configuration changes with messages on their way: whole or not at all, the same everywhere.

use alloc::vec::Vec;
use core::time::Duration;

use evs_model::{
    ClientId, ConfigurationChange, Event, Guarantee, Members, Message, NodeId, Processor,
};

use super::net::{Net, content, members};
use crate::Config;

type Client = (u32, ClientId);

/// A ring that sequences no more than 16 packets in a rotation.
fn slow() -> Config {
    let mut config = Config::default();
    config.totem.window_packets = 16;
    config
}

#[test]
fn a_message_cut_by_a_change_is_delivered_whole_by_all_that_remain() {
    for packets in [1, 20, 40, 60, 77] {
        let mut net = Net::formed_with(&[1, 2, 3], &slow());
        let clients: Vec<Client> = (1..=3).map(|node| (node, net.client(node, &["a"]))).collect();
        let (sender, receiver) = (clients[0], clients[1]);
        net.send(sender, Guarantee::Agreed, &["a"], content(1, 100_000));
        net.send(sender, Guarantee::Agreed, &["a"], content(2, 10));
        let sequenced = |net: &Net| net.nodes[&1].service.ring().sequenced();
        net.until("some packets", |net| sequenced(net) >= packets);
        let cut = net.nodes[&1].service.unsent();
        assert_eq!(cut, packets < 77, "the message fills 77 packets");
        net.crash(3);
        net.settle(&[&[1, 2]]);
        let messages = net.messages(receiver);
        assert_eq!(messages, net.messages(sender), "{packets} packets were sequenced");
        assert_eq!(messages.len(), 2);
        assert_eq!(net.nodes[&1].service.stats().messages_restarted > 0, cut);
        assert_eq!(net.nodes[&2].service.stats().partials_ended > 0, cut);
        assert_eq!(messages[0].body, content(1, 100_000));
        assert_eq!(messages[1].body, content(2, 10));
    }
}

#[test]
fn messages_accepted_without_a_ring_are_sent_in_the_next_configuration() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &["a"]));
    let receiver = (2, net.client(2, &["a"]));
    net.lose_tokens();
    for number in 0..10 {
        let bytes = if number % 3 == 0 { 5_000 } else { 20 };
        net.send(sender, Guarantee::Fifo, &["a"], content(number, bytes));
    }
    assert_eq!(net.messages(sender), []);
    net.fault = None;
    net.settle(&[&[1, 2]]);
    let received = net.messages(receiver);
    assert!(received.iter().map(|message| message.id.number).eq(1..=10), "{received:?}");
    assert_eq!(received, net.messages(sender));
    let ring = net.nodes[&1].service.ring().ring_id();
    assert!(received.iter().all(|message| Some(message.ring) == ring), "{received:?}");
    let restarted = net.nodes[&1].service.stats().messages_restarted;
    assert_eq!(restarted, 0, "nothing is packed for a ring that is not there");
}

#[test]
fn left_and_joined_of_a_split_and_a_merge() {
    let mut net = Net::formed(&[1, 2, 3]);
    let client = (1, net.client(1, &[]));
    net.split(&[&[1, 2], &[3]]);
    net.settle(&[&[1, 2], &[3]]);
    net.heal();
    net.settle(&[&[1, 2, 3]]);
    let shape = |change: &ConfigurationChange| match change {
        ConfigurationChange::Regular { members, left, joined, .. } => {
            (members.clone(), left.clone(), Some(joined.clone()))
        }
        ConfigurationChange::Transitional { members, left, .. } => {
            (members.clone(), left.clone(), None)
        }
    };
    let nobody = Members::default();
    let expected = [
        (members(&[1, 2, 3]), nobody.clone(), Some(members(&[2, 3]))),
        (members(&[1, 2]), members(&[3]), None),
        (members(&[1, 2]), members(&[3]), Some(nobody.clone())),
        (members(&[1, 2]), nobody.clone(), None),
        (members(&[1, 2, 3]), nobody, Some(members(&[3]))),
    ];
    assert_eq!(net.changes(client).iter().map(shape).collect::<Vec<_>>(), expected);
}

#[test]
fn a_restarted_processor_is_another_one() {
    let mut net = Net::formed(&[1, 2]);
    let client = (1, net.client(1, &[]));
    net.crash(2);
    let reborn = Processor::new(NodeId::new(2).expect("not zero"), 77);
    net.start(reborn, &Config::default());
    net.settle(&[&[1, 2]]);
    let (mut left, mut joined) = (Vec::new(), Vec::new());
    for change in net.changes(client).into_iter().skip(1) {
        if let ConfigurationChange::Regular { left: l, joined: j, .. } = change {
            left.extend(l.iter());
            joined.extend(j.iter());
        }
    }
    assert_eq!((left, joined), (members(&[2]).iter().collect(), [reborn].to_vec()));
}

#[test]
fn a_session_in_the_middle_of_a_change_begins_with_the_last_regular_configuration() {
    let mut net = Net::formed(&[1, 2]);
    net.crash(2);
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push((1, net.client(1, &[])));
        net.run(Duration::from_millis(25));
    }
    net.settle(&[&[1]]);
    for client in clients {
        let changes = net.changes(client);
        let ConfigurationChange::Regular { members: mut before, ref left, ref joined, .. } =
            changes[0].clone()
        else {
            panic!("the first event is a regular configuration")
        };
        assert!(left.is_empty());
        assert_eq!(*joined, before.difference(&members(&[1])));
        for change in &changes[1..] {
            if let ConfigurationChange::Regular { members, left, joined, .. } = change {
                assert_eq!(*left, before.difference(members));
                assert_eq!(*joined, members.difference(&before));
                before = members.clone();
            }
        }
        assert_eq!(before, members(&[1]));
    }
}

/// Two clients that saw the same two configurations in a row saw the same between them (EVS-4),
/// and every client saw each message once and whole, each sender's in order (EVS-1, 8, 12).
fn check(net: &Net, clients: &[Client], sizes: impl Fn(&Message) -> usize) {
    let mut segments: Vec<(Event, Event, Vec<Message>)> = Vec::new();
    for client in clients {
        let mut seen = Vec::new();
        let mut since = None;
        let mut messages = Vec::new();
        for event in net.events(*client) {
            match event {
                Event::Message(message) => {
                    assert!(!seen.contains(&message.id), "{} twice", message.id);
                    assert_eq!(message.body, content(message.id.number, sizes(&message)));
                    seen.push(message.id);
                    messages.push(message);
                }
                Event::Configuration(_) => {
                    if let Some(before) = since.replace(plain(&event)) {
                        segments.push((before, plain(&event), core::mem::take(&mut messages)));
                    }
                }
                Event::Disconnected(_) => panic!("nobody was disconnected"),
            }
        }
        for sender in clients {
            let me = net.nodes[&sender.0].me;
            let numbers: Vec<_> =
                seen.iter().filter(|id| (id.sender, id.client) == (me, sender.1)).collect();
            assert!(numbers.is_sorted_by_key(|id| id.number), "{numbers:?}");
        }
    }
    for (from, to, messages) in &segments {
        for (other_from, other_to, others) in &segments {
            if (from, to) == (other_from, other_to) {
                assert_eq!(messages, others, "between {from:?} and {to:?}");
            }
        }
    }
}

/// A configuration without what depends on the session.
fn plain(event: &Event) -> Event {
    let mut event = event.clone();
    if let Event::Configuration(ConfigurationChange::Regular { left, joined, .. }) = &mut event {
        *left = Members::default();
        *joined = Members::default();
    }
    event
}

#[test]
fn through_splits_and_merges_messages_are_whole_once_and_the_same_for_all_that_stay_together() {
    let size = |number: u64| [10, 2_500, 300, 20_000, 0][usize::try_from(number % 5).expect("< 5")];
    let mut restarted = 0;
    for seed in 0..20u64 {
        let mut net = Net::formed_with(&[1, 2, 3], &slow());
        let clients: Vec<Client> = (1..=3).map(|node| (node, net.client(node, &["a"]))).collect();
        let guarantees = [Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];
        for number in 1..=40u64 {
            for (k, client) in clients.iter().enumerate() {
                let guarantee = guarantees[usize::try_from(number + seed).expect("small") % 3];
                if (number + k as u64) % 3 != seed % 3 || number < 10 {
                    let next = 1 + net.nodes[&client.0].service.stats().messages_accepted;
                    let body = content(next, size(next));
                    net.send(*client, guarantee, &["a"], body);
                }
            }
            net.run(Duration::from_micros(40 + seed * 13));
            match (number + seed) % 20 {
                7 => net.split(&[&[1, 2], &[3]]),
                11 => net.split(&[&[1], &[2, 3]]),
                16 => net.heal(),
                _ => {}
            }
        }
        net.heal();
        net.settle(&[&[1, 2, 3]]);
        check(&net, &clients, |message| size(message.id.number));
        for client in &clients {
            let own = net.messages(*client);
            let me = net.nodes[&client.0].me;
            let stats = net.nodes[&client.0].service.stats();
            let delivered = own.iter().filter(|message| message.id.sender == me).count();
            assert_eq!(delivered as u64, stats.messages_accepted, "all deliver their own (EVS-3)");
            restarted += stats.messages_restarted;
        }
    }
    assert!(restarted > 100, "{restarted} messages met a configuration change");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut net = Net::formed(&[1, 2, 3]);
        let client = (1, net.client(1, &["a"]));
        for number in 0..50 {
            net.send(client, Guarantee::Safe, &["a"], content(number, 3_000));
        }
        net.crash(2);
        net.settle(&[&[1, 3]]);
        let outputs: Vec<_> = net.nodes.into_values().map(|node| node.outputs).collect();
        (net.now, outputs)
    };
    assert_eq!(run(), run());
}
