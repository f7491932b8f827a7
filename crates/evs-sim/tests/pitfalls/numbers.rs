//! Counters near their edges: P13.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Aim, Options, Origins};
use totem::SEQ_MAX;

use crate::stage::{D, MCAST, delivered_at, left_and_joined_add_up};

fn world(origins: Origins) -> Script {
    Script::warm(Options { origins, ..Options::fair(1, 4) })
}

/// Every counter passes 2^32 while messages flow and nodes come and go.
#[test]
fn p13_every_counter_passes_two_to_the_32() {
    let edge = (1 << 32) - 5;
    let mut script = world(Origins {
        ring: edge,
        seq: edge,
        token: edge,
        row: edge,
        join: edge,
        sequenced: edge,
        client: edge,
        message: edge,
        sealed: edge,
        cut: edge,
        counted: u32::MAX - 5,
    });
    script.send(1, Safe, 50).send(2, Agreed, 50).crash(3).until_ring_of(&[1, 2, 4], 3 * D);
    script.start(3).until_one_ring(5 * D).partition(&[&[1], &[2, 3, 4]]).run_for(5 * D);
    script.send(1, Agreed, 50).heal().until_one_ring(5 * D).run_for(D);
    left_and_joined_add_up(script.world());
    script.finish();
}

/// The ring breaks with holes on both sides of 2^32, at any distance from it: what one survivor
/// holds, all deliver.
#[test]
fn p13_recovery_goes_across_the_edge() {
    for before in 1..=12 {
        let mut script = world(Origins { seq: (1 << 32) - before, ..Origins::default() });
        script.run_for(D);
        // 1 and 2 hold every other packet of 4; 3 holds all.
        for to in [1, 2] {
            (0..6).for_each(|_| {
                script.aim(Aim::at(MCAST).from(4).to(to).after(1).lost());
            });
        }
        (0..12).for_each(|_| {
            script.send_one(4, Agreed, 1_200);
        });
        script.until(D, |world| delivered_at(world, 3) == 12).crash(4);
        script.until_ring_of(&[1, 2, 3], 3 * D).run_for(5);
        assert!((1..=3).all(|id| script.delivered(id) == 12), "{before} before the edge");
        script.finish();
    }
}

/// The numbers of a ring come to their end in the middle of a burst: it forms anew and counts from
/// 1, and nothing is lost.
#[test]
fn p13_a_ring_whose_numbers_end_is_formed_anew() {
    for (seq, token) in [(SEQ_MAX - 40, 0), (0, SEQ_MAX - 200)] {
        let mut script = world(Origins { seq, token, ..Origins::default() });
        let before = script.configurations(1);
        (0..60).for_each(|_| {
            script.send_one(1, Agreed, 1_200).send_one(3, Safe, 1_200).run_for(2);
        });
        script.run_for(10 * D);
        assert!(script.configurations(1) > before);
        assert!((1..=4).all(|id| script.delivered(id) == 120));
        script.world().renew();
        script.finish();
    }
}
