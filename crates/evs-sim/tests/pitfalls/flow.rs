//! Flow control, limits and slow nodes: P14, P15, P16, P56.

use evs_model::Guarantee::{Agreed, Safe};
use evs_model::{Groups, NodeId};
use evs_sim::body::body;
use evs_sim::script::Script;
use evs_sim::world::Moment::After;
use evs_sim::world::{Aim, Options, Passed, Sent, World};
use totem::wire::{Mcast, Token};
use totem::{Packet, PacketKind};

use crate::stage::{ALWAYS, D, MCAST, MS, US, configurations, delivered_at};

/// 16 send as fast as they can, and one of them receives nothing for a while: what is held stays
/// within the window, and in the end all have everything.
#[test]
fn p14_a_receiver_that_stands_still_bounds_what_is_held() {
    let mut options = Options::fair(1, 16);
    options.window_packets = 32;
    let mut script = Script::warm(options);
    script.aim(Aim::at(MCAST).to(9).count(ALWAYS).lost());
    for id in 1..=16 {
        (0..60).for_each(|_| {
            script.send_one(id, Agreed, 1_200);
        });
    }
    let mut most = 0;
    for _ in 0..D / 8 {
        script.run_for(1);
        most = (1..=16).map(|id| held_packets(script.world(), id)).max().unwrap_or(0).max(most);
    }
    // The aru stands still: twice the window is in flight above it at most.
    assert!((32..=2 * 32).contains(&most), "{most} packets are held");
    script.heal().run_for(2 * D);
    assert!((1..=16).all(|id| script.delivered(id) == 16 * 60));
    script.finish();
}

fn held_packets(world: &World, id: u32) -> usize {
    world.service(id).map_or(0, |service| service.ring().held().slots)
}

/// What no member can say ends the ring, or is dropped; never the process.
#[test]
fn p14_a_peer_that_is_out_of_every_range_costs_the_ring_at_the_most() {
    let absurd: [fn(&mut Token); 6] = [
        |t| t.seq = u64::MAX - 1,
        |t| (t.seq, t.aru) = (1 << 40, 1 << 40),
        |t| (t.seq, t.aru) = (0, 0),
        |t| t.aru_by = NodeId::new(77),
        |t| t.originator = NodeId::new(77).expect("not zero"),
        |t| t.token_seq = u64::MAX,
    ];
    for change in absurd {
        let mut script = World::script(3);
        script.world().keep(PacketKind::Token);
        script.send(1, Agreed, 20).send(2, Safe, 20).run_for(3);
        let token = script.world().passed().iter().rev().find_map(Passed::token);
        let mut token = token.expect("a token has passed").clone();
        token.token_seq += 1_000;
        change(&mut token);
        script.world().forge(3, 2, &Packet::Token(token.clone().into()));
        let mcast = |seq| Mcast {
            ring: token.ring,
            seq,
            sender: NodeId::new(3).expect("not zero"),
            guarantee: Agreed,
            again: false,
            body: bytes::Bytes::from_static(b"junk"),
        };
        for seq in [u64::MAX, 1 << 40, 100_000] {
            script.world().forge(3, 1, &Packet::Mcast(mcast(seq)));
        }
        script.run_for(3 * D);
        assert!(script.world().is_one_ring());
        assert_eq!(script.delivered(1), 40);
        script.finish();
    }
}

/// Eight send without end; one dies in the middle of a rotation with a share of the window taken.
/// No rotation exceeds the window, before and after; everybody has a fair share.
#[test]
fn p15_a_rotation_sends_a_window_and_everybody_has_a_share() {
    const WINDOW: u64 = 32;
    let mut options = Options::fair(1, 8);
    options.window_packets = 32;
    let mut script = Script::warm(options);
    script.world().keep(PacketKind::Token);
    for id in 1..=8 {
        (0..1_500).for_each(|_| {
            script.send_one(id, Agreed, 1_200);
        });
    }
    for survivors in [8, 7] {
        let before: Vec<u64> = (1..=8).map(|id| originated(script.world(), id)).collect();
        let (from, began) = (script.world().passed().len(), script.world().now());
        script.run_for(60);
        let sent: Vec<u64> = (1..=survivors)
            .map(|id| originated(script.world(), id) - before[id as usize - 1])
            .collect();
        let total: u64 = sent.iter().sum();
        let least = sent.iter().min().copied().unwrap_or(0);
        assert!(least * 2 * u64::from(survivors) >= total, "{least} of {total}: {sent:?}");

        let visits = visits_of(script.world(), 1, from);
        assert!(visits.len() > 20, "{} rotations since {began}", visits.len());
        for pair in visits.windows(2) {
            let rotation = pair[1] - pair[0];
            assert!(rotation <= WINDOW + u64::from(survivors), "{rotation} in a rotation");
        }
        let mean = (visits[visits.len() - 1] - visits[0]) / (visits.len() as u64 - 1);
        assert!(mean >= WINDOW / 2, "{mean} in a rotation, of {WINDOW}");
        if survivors == 8 {
            script.crash_at(8, &[After(PacketKind::Token)]);
            script.until_ring_of(&[1, 2, 3, 4, 5, 6, 7], 5 * D);
        }
    }
    script.run_for(5 * D).finish();
}

fn originated(world: &World, id: u32) -> u64 {
    world.service(id).map_or(0, |service| service.ring().stats().originated)
}

/// The highest number on the token at each visit of a node.
fn visits_of(world: &World, id: u32, from: usize) -> Vec<u64> {
    let mut visits: Vec<(u64, u64)> = world.passed()[from..]
        .iter()
        .filter(|passed| passed.from.node.get() == id)
        .filter_map(|passed| passed.token().map(|token| (token.token_seq, token.seq)))
        .collect();
    visits.dedup();
    visits.into_iter().map(|(_, seq)| seq).collect()
}

/// A full queue delays nothing but its own client: the ring forms anew, the queue drains, and the
/// client is told of room.
#[test]
fn p16_every_refusal_is_followed_by_room() {
    let mut options = Options::fair(1, 3);
    options.client_send_bytes_max = 16 << 10;
    let mut script = Script::warm(options);
    let groups = Groups::new(&World::groups()[..1]).expect("one group is within the limit");
    let world = script.world();
    let sessions: Vec<_> = (0..20).filter_map(|i| world.connect(i % 2 + 1)).collect();
    let mut accepted = 0;
    for (tag, session) in sessions.iter().enumerate() {
        world.join(*session, &World::groups()[..1]);
        while let Sent::Accepted(_) = world.send(*session, Agreed, &groups, &body(tag as u64, 900))
        {
            accepted += 1;
        }
        assert!(world.waits_for_room(*session));
    }
    assert!(accepted >= 20 * 10);
    script.crash(3).until_ring_of(&[1, 2], 3 * D).run_for(D);
    assert!(sessions.iter().all(|session| !script.world().waits_for_room(*session)));
    assert_eq!(script.delivered(1), accepted);
    script.finish();
}

/// A node that takes ten times as long over every packet slows its ring down to what it can take,
/// and changes no configuration.
#[test]
fn p56_a_slow_node_costs_no_configuration_and_no_more_than_its_own_pace() {
    let each = 50 * US;
    for inbox in [64, 4_096] {
        let mut options = Options::fair(1, 3);
        options.inbox_max = inbox;
        let mut script = Script::warm(options);
        script.world().effort(3, each);
        let before = configurations(&script, &[1, 2, 3]);
        for id in [1, 2] {
            (0..3_000).for_each(|_| {
                script.send_one(id, Agreed, 1_200);
            });
        }
        let began = script.world().now();
        script.until(20 * D, |world| delivered_at(world, 3) >= 3_000);
        let took = script.world().now() - began;
        // Each message is a packet. What overflows a small buffer comes once more, at least.
        let bound = 3_000 * each * if inbox < 256 { 8 } else { 2 };
        assert!(took <= bound, "{} ms for 3,000 packets, buffer {inbox}", took / MS);
        assert_eq!(configurations(&script, &[1, 2, 3]), before);
        script.run_for(5 * D).finish();
    }
}
