//! Packets that come at the wrong time, or are none: P46, P54.

use evs_model::Guarantee::{Agreed, Safe, Unordered};
use evs_sim::script::Script;
use evs_sim::world::{Aim, World};
use totem::wire::VERSION;
use totem::{Packet, PacketKind, StateKind};

use crate::stage::{ALWAYS, D, MCAST, TOKEN, configurations, left_and_joined_add_up};

/// Two rings have been, with messages recovered on the way, and a third is about to be: 4 dies.
fn third_ring() -> Script {
    let mut script = World::script(5);
    PacketKind::ALL.into_iter().for_each(|kind| script.world().keep(kind));
    for dies in [5, 4] {
        for guarantee in [Unordered, Agreed, Safe] {
            script.send(1, guarantee, 3).send(3, guarantee, 3);
        }
        // 2 gets nothing of it, until it is recovered.
        script.run_for(20).aim(Aim::at(MCAST).to(2).count(ALWAYS).lost());
        script.send(dies, Agreed, 5).run_for(3).crash(dies);
        if dies == 5 {
            script.until_in(2, StateKind::Gather).heal().until_ring_of(&[1, 2, 3, 4], 3 * D);
        }
    }
    script
}

/// Everything that was ever sent comes again, sealed anew, in each state: packets of both old
/// rings, packets of the old ring within those of the next, tokens, joins.
#[test]
fn p46_a_packet_counts_for_the_ring_that_it_names() {
    for state in [StateKind::Gather, StateKind::Commit, StateKind::Recovery] {
        for backwards in [false, true] {
            let mut script = third_ring();
            script.until_in(2, state);
            let mut past: Vec<(u32, Packet)> = packets(script.world());
            for kind in
                [PacketKind::Mcast, PacketKind::Recovered, PacketKind::Token, PacketKind::Join]
            {
                assert!(past.iter().any(|(_, packet)| packet.kind() == kind), "no {kind:?}");
            }
            if backwards {
                past.reverse();
            }
            for (from, packet) in &past {
                script.world().forge(*from, 2, packet);
            }
            script.run_for(1).until_ring_of(&[1, 2, 3], 3 * D);
            past.iter().for_each(|(from, packet)| script.world().forge(*from, 2, packet));
            let before = configurations(&script, &[1, 2, 3]);
            script.run_for(2 * D);
            assert_eq!(configurations(&script, &[1, 2, 3]), before, "again in {state}");
            left_and_joined_add_up(script.world());
            script.finish();
        }
    }
}

fn packets(world: &World) -> Vec<(u32, Packet)> {
    let living = |from: &u32| world.is_up(*from) && *from != 2;
    let all = world.passed().iter().map(|passed| (passed.from.node.get(), passed.packet.clone()));
    all.filter(|(from, _)| living(from)).collect()
}

/// Other versions, unknown kinds, packets with more behind them or less, and noise are dropped: the
/// ring does not notice.
#[test]
fn p54_what_cannot_be_read_is_dropped() {
    let mut script = World::script(3);
    PacketKind::ALL.into_iter().for_each(|kind| script.world().keep(kind));
    script.send(1, Agreed, 20).send(2, Safe, 20).run_for(D);
    let before = configurations(&script, &[1, 2, 3]);
    let mut rng = fastrand::Rng::with_seed(54);
    let packets = packets(script.world());
    for (place, (from, packet)) in packets.iter().cycle().take(300).enumerate() {
        let mut whole = Vec::new();
        packet.encode(&mut whole);
        let mut unread = vec![
            [&whole[..], &[0]].concat(),
            whole[..rng.usize(0..whole.len())].to_vec(),
            [&[VERSION + 1], &whole[1..]].concat(),
            [&[VERSION, 8 + rng.u8(0..200)], &whole[2..]].concat(),
        ];
        unread.push((0..rng.usize(0..100)).map(|_| rng.u8(..)).collect());
        unread.retain(|bytes| Packet::decode(bytes.clone().into()).is_err());
        // Data may be longer or shorter, and is then another packet.
        assert!(unread.len() >= 3, "{packet:?}");
        for bytes in unread {
            script.world().forge_bytes(*from, 2, &bytes);
        }
        if place % 20 == 0 {
            script.send(1, Agreed, 1).run_for(1);
        }
    }
    script.run_for(D);
    assert_eq!(configurations(&script, &[1, 2, 3]), before);
    assert_eq!(script.delivered(2), script.delivered(1));
    assert!(script.world().traffic().datagrams(TOKEN) > 0);
    script.finish();
}
