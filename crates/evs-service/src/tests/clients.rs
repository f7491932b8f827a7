//! Sessions: when they begin, what they see first, what they get, how many there can be.

use alloc::vec::Vec;

use bytes::Bytes;
use evs_model::{ClientId, ConfigurationChange, Event, Guarantee, Members, MessageId};

use super::net::{Net, content, group, groups, members, p};
use crate::{ClientLimits, Config, ConnectError, Output, RequestError, SendError, Service};

#[test]
fn before_the_first_configuration_nobody_can_connect() {
    let mut net = Net::new(&[1], &Config::default());
    assert_eq!(net.input(1, Service::connect), Err(ConnectError::NotReady));
    net.settle(&[&[1]]);
    assert_eq!(net.input(1, Service::connect), Ok(ClientId(1)));
}

#[test]
fn a_session_begins_with_a_copy_of_the_current_configuration() {
    let mut net = Net::formed(&[1, 2, 3]);
    let client = net.client(2, &[]);
    let ring = net.nodes[&2].service.ring().ring_id().expect("installed");
    let first = ConfigurationChange::Regular {
        ring,
        members: members(&[1, 2, 3]),
        left: Members::default(),
        joined: members(&[1, 3]),
    };
    assert_eq!(net.events((2, client)), [Event::Configuration(first)]);
}

#[test]
fn a_message_is_delivered_under_the_id_that_its_sender_was_given() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &["a"]));
    let receiver = (2, net.client(2, &["a"]));
    let id = net.send(sender, Guarantee::Safe, &["a"], content(1, 100));
    assert_eq!(id, MessageId { sender: p(1), client: sender.1, number: 1 });
    net.settle(&[&[1, 2]]);
    let messages = net.messages(receiver);
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].id, messages[0].guarantee), (id, Guarantee::Safe));
    assert_eq!((&messages[0].groups, &messages[0].body), (&groups(&["a"]), &content(1, 100)));
    assert_eq!(messages, net.messages(sender), "the sender gets its own like everybody");
}

#[test]
fn a_client_gets_one_copy_however_many_groups_match() {
    let mut net = Net::formed(&[1]);
    let both = (1, net.client(1, &["a", "b"]));
    let one = (1, net.client(1, &["b", "b"]));
    let none = (1, net.client(1, &["c"]));
    net.send(none, Guarantee::Agreed, &["a", "b", "b"], Bytes::new());
    net.send(none, Guarantee::Agreed, &["a"], Bytes::new());
    net.send(none, Guarantee::Agreed, &[], Bytes::new());
    net.settle(&[&[1]]);
    let numbers = |net: &Net, of| -> Vec<u64> {
        net.messages(of).iter().map(|message| message.id.number).collect()
    };
    assert_eq!(numbers(&net, both), [1, 2]);
    assert_eq!(numbers(&net, one), [1]);
    assert_eq!(numbers(&net, none), []);
    assert_eq!(net.nodes[&1].service.stats().messages_delivered, 3);
}

#[test]
fn a_group_that_was_left_brings_nothing_more() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    net.send(sender, Guarantee::Agreed, &["a"], Bytes::new());
    net.settle(&[&[1, 2]]);
    let leave = |service: &mut Service, now| service.leave_groups(now, receiver.1, &[group("a")]);
    assert_eq!(net.input(2, leave), Ok(()));
    assert_eq!(net.input(2, leave), Err(RequestError::NotJoined(group("a"))));
    net.send(sender, Guarantee::Agreed, &["a"], Bytes::new());
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver).len(), 1);
}

#[test]
fn a_join_takes_effect_behind_all_that_was_delivered_before() {
    let mut net = Net::formed(&[1]);
    let sender = (1, net.client(1, &[]));
    let late = (1, net.client(1, &[]));
    // The first output that is taken rouses the ring, which delivers; then somebody joins, and only
    // then the others are taken.
    net.input(1, |service, now| {
        let sent = service.send(now, sender.1, Guarantee::Agreed, groups(&["a"]), Bytes::new());
        assert!(sent.is_ok());
        assert!(!matches!(service.poll_output(), Some(Output::ToClient { .. })));
        assert_eq!(service.stats().messages_delivered, 1);
        service.join(now, late.1, &[group("a")])
    })
    .expect("one group");
    net.settle(&[&[1]]);
    assert_eq!(net.messages(late), []);
}

#[test]
fn clients_are_bounded_and_the_refusal_names_the_limit() {
    let config = Config { clients_max: 2, ..Config::default() };
    let mut net = Net::formed_with(&[1], &config);
    let first = net.client(1, &[]);
    net.client(1, &[]);
    let refused = net.input(1, Service::connect).expect_err("two are there");
    assert_eq!(refused, ConnectError::TooManyClients { max: 2 });
    net.input(1, |service, now| service.disconnect(now, first));
    assert_eq!(net.input(1, Service::connect), Ok(ClientId(3)));
}

#[test]
fn a_client_that_is_gone_counts_until_its_messages_are_sent() {
    let config = Config { clients_max: 1, ..Config::default() };
    let mut net = Net::formed_with(&[1, 2], &config);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    net.lose_tokens();
    net.send(sender, Guarantee::Agreed, &["a"], content(1, 5_000));
    net.input(1, |service, now| service.disconnect(now, sender.1));
    assert_eq!(net.nodes[&1].service.clients(), 0);
    let refused = net.input(1, Service::connect).expect_err("one is still there");
    assert_eq!(refused, ConnectError::TooManyClients { max: 1 });
    net.fault = None;
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver).len(), 1);
    assert_eq!(net.input(1, Service::connect), Ok(ClientId(2)));
    assert!(net.rooms(sender).is_empty(), "nobody is told of the room of one who is gone");
}

#[test]
fn what_a_client_sent_is_delivered_though_it_died_at_once() {
    let mut net = Net::formed(&[1, 2]);
    let sender = (1, net.client(1, &[]));
    let receiver = (2, net.client(2, &["a"]));
    net.send(sender, Guarantee::Safe, &["a"], content(1, 20_000));
    net.input(1, |service, now| service.disconnect(now, sender.1));
    net.settle(&[&[1, 2]]);
    assert_eq!(net.messages(receiver)[0].body, content(1, 20_000));
}

#[test]
fn a_client_that_is_gone_can_do_nothing() {
    let mut net = Net::formed(&[1]);
    let client = net.client(1, &[]);
    net.input(1, |service, now| service.disconnect(now, client));
    net.input(1, |service, now| service.disconnect(now, client));
    let sent = net.try_send((1, client), Guarantee::Agreed, &[], Bytes::new());
    assert_eq!(sent, Err(SendError::UnknownClient));
    let joined = net.input(1, |service, now| service.join(now, client, &[group("a")]));
    assert_eq!(joined, Err(RequestError::UnknownClient));
    let left = net.input(1, |service, now| service.leave_groups(now, client, &[group("a")]));
    assert_eq!(left, Err(RequestError::UnknownClient));
}

#[test]
fn groups_of_a_client_are_bounded_and_the_refusal_names_the_limit() {
    let config = Config { groups_per_client_max: 1, ..Config::default() };
    let mut net = Net::formed_with(&[1], &config);
    let client = net.client(1, &["a"]);
    let refused = net.input(1, |service, now| service.join(now, client, &[group("b")]));
    assert_eq!(refused, Err(RequestError::TooManyGroups { max: 1 }));
}

#[test]
fn limits_of_clients_change_for_those_that_come_and_nobody_is_cut_off() {
    let mut net = Net::formed(&[1]);
    let clients: Vec<_> = (0..3).map(|_| net.client(1, &["a", "b"])).collect();
    let service = &mut net.nodes.get_mut(&1).expect("there").service;
    let limits =
        ClientLimits { clients_max: 2, groups_per_client_max: 1, client_send_bytes_max: 4 << 10 };
    let wrong = ClientLimits { clients_max: 0, ..limits };
    assert!(service.set_client_limits(wrong).is_err());
    assert_eq!(service.config().clients_max, 1_024, "nothing has changed");
    assert_eq!(service.set_client_limits(limits), Ok(()));
    assert_eq!(service.config().client_send_bytes_max, 4 << 20, "they were told so much");
    service.check();
    let connect = |net: &mut Net| net.input(1, Service::connect);
    assert_eq!(connect(&mut net), Err(ConnectError::TooManyClients { max: 2 }));
    let join = |net: &mut Net, name| {
        let (client, groups) = (clients[0], [group(name)]);
        net.input(1, |service, now| service.join(now, client, &groups))
    };
    assert_eq!(join(&mut net, "a"), Ok(()), "it is in that group");
    assert_eq!(join(&mut net, "c"), Err(RequestError::TooManyGroups { max: 1 }));
}
