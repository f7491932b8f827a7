//! Whole messages, whenever they were handed over: P17, P18, P38, P51.

use evs_model::Guarantee::{self, Agreed, Fifo, Safe, Unordered};
use evs_sim::script::{Detail, Script};
use evs_sim::world::{Aim, Options, Sent, World};
use totem::{Packet, PacketKind};

use crate::stage::{ALWAYS, D, MCAST, as_written};

const ALL: [Guarantee; 4] = [Unordered, Fifo, Agreed, Safe];

/// A ring in which 2 has so much to send that 1 may send one packet in each rotation; so many may
/// wait for their numbers.
#[track_caller]
fn one_packet_a_rotation(backlog: usize) -> Script {
    let mut options = Options::fair(1, 4);
    options.window_packets = 16;
    options.backlog_packets_max = backlog;
    let mut script = Script::warm(options);
    script.crash(4).until_ring_of(&[1, 2, 3], 3 * D);
    script.world().keep(PacketKind::Mcast);
    (0..800).for_each(|_| {
        script.send_one(2, Agreed, 1_000);
    });
    script.run_for(5);
    script
}

fn packets_from(world: &World, id: u32) -> usize {
    let from = |packet: &Packet| matches!(packet, Packet::Mcast(mcast) if mcast.sender.get() == id);
    world.passed().iter().filter(|p| p.from.node.get() == id && from(&p.packet)).count()
}

/// A message of three packets, with small ones packed behind its tail: the ring breaks after each
/// of its packets, and somebody joins.
#[test]
fn p17_a_message_is_whole_though_its_ring_breaks_between_its_packets() {
    for guarantee in ALL {
        for (packets, backlog) in (1..=5).flat_map(|packets| [(packets, 1), (packets, 256)]) {
            let mut script = one_packet_a_rotation(backlog);
            script.send_one(1, guarantee, 3_600).send(1, guarantee, 3).send_one(1, Safe, 2_000);
            script.until(D, |world| packets_from(world, 1) >= packets).crash(3).start(4);
            script.until_ring_of(&[1, 2, 4], 5 * D).run_for(5 * D);
            script.finish();
        }
    }
}

/// The same, when it is the sender that stands still until it is excluded.
#[test]
fn p17_a_paused_sender_comes_back_with_whole_messages() {
    for (packets, backlog) in (1..=5).flat_map(|packets| [(packets, 1), (packets, 256)]) {
        let mut script = one_packet_a_rotation(backlog);
        script.send_one(1, Agreed, 3_600).send(1, Safe, 3).send_one(1, Fifo, 2_000);
        script.until(D, |world| packets_from(world, 1) >= packets).pause(1).run_for(3 * D);
        script.resume(1).until_ring_of(&[1, 2, 3], 10 * D).run_for(5 * D);
        script.finish();
    }
}

/// Every size around the edges of packets, for every guarantee, and the largest there is.
#[test]
fn p18_messages_of_every_size_arrive_once_and_whole() {
    for guarantee in ALL {
        let mut script = World::script(3);
        let max = script.world().service(1).map_or(0, |s| s.config().message_bytes_max);
        let edges = (0..3).map(|packets| packets * 1_400);
        let sizes = edges.flat_map(|edge: usize| edge.saturating_sub(120)..=edge + 5);
        let sizes: Vec<usize> = sizes.chain([max - 1, max]).collect();
        for size in &sizes {
            script.send_one(1, guarantee, *size);
        }
        script.run_for(4 * D);
        assert!((1..=3).all(|id| script.delivered(id) == sizes.len()), "{guarantee}");

        let world = script.world();
        let session = world.connect(1).expect("it is up");
        let groups = evs_model::Groups::new(&World::groups()[..1]).expect("within the limit");
        let body = evs_sim::body::body(1, max + 1);
        assert_eq!(world.send(session, guarantee, &groups, &body), Sent::Refused);
        script.finish();
    }
}

/// 1 is stopped with ten messages waiting, three of them of several packets; the others go on
/// without it. What waits is sent when 1 is back, in the configuration in which it is sent.
#[test]
fn p38_what_waits_at_a_change_is_sent_once_in_a_later_configuration() {
    let mut script = World::script(3);
    script.run_for(D).from_here();
    // The token is parked at 1; the first message goes out with it.
    for size in [100, 3_000, 100, 100, 3_000, 100, 100, 100, 3_000, 100] {
        script.send_one(1, Agreed, size);
    }
    script.pause(1).run_for(D / 4).send(2, Agreed, 3).run_for(3 * D).send(2, Safe, 2);
    script.run_for(D / 4).resume(1).until_ring_of(&[1, 2, 3], 5 * D).run_for(D);
    as_written(&script, "p38", Detail::Applications);
    script.finish();
}

/// A node without any link forms a configuration alone and delivers what it sends, at its start
/// and later; its own messages never depend on the network.
#[test]
fn p51_a_node_without_links_serves_itself() {
    let mut script = Script::cold(Options::fair(1, 3));
    script.partition(&[&[1, 2]]);
    script.world().start_all();
    script.until_ring_of(&[3], 5 * D).send(3, Safe, 5).run_for(D / 2);
    assert_eq!(script.delivered(3), 5);
    script.heal().until_one_ring(5 * D);

    // Later, with a message that reaches nobody: 3 ends alone and still delivers it.
    let loss = Aim::at(MCAST).from(3).count(ALWAYS).lost();
    script.from_here().aim(loss).send(3, Agreed, 1).send(3, Safe, 1);
    script.run_for(2).partition(&[&[1, 2]]).until_ring_of(&[3], 5 * D);
    assert_eq!(script.delivered(3), 7);
    as_written(&script, "p51", Detail::Applications);
    script.finish();
}
