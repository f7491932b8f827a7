//! Who is who, and which ring is which: P19, P20, P21, P24, P32, P33, P41, P42.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe};
use evs_model::{Members, Processor, RingId};
use evs_sim::script::{Detail, Script, is_ring_of};
use evs_sim::world::{Aim, Disk, Nanos, Options, World};
use totem::wire::Entry;
use totem::{Packet, PacketKind, StateKind};

use crate::stage::{ALWAYS, D, MS, as_written, configurations, delivered_at, processor, regulars};

/// A node that restarts before anybody could notice its death is a death and a newcomer to all,
/// whatever it finds on its disk, and never the one that it was.
#[test]
fn p19_a_restart_faster_than_detection_is_a_death_and_a_newcomer() {
    for id in 1..=3 {
        for disk in [Disk::Kept, Disk::Wiped, Disk::RolledBack] {
            let mut script = World::script(3);
            script.world().copy_disk(id);
            script.send(1, Agreed, 20).send(2, Safe, 20).send(3, Agreed, 20).run_for(1);
            let (old, from) = (processor(script.world(), id), script.world().journal().len());
            script.crash(id).run_for(D / 20);
            script.world().start(id, disk);
            script.until_one_ring(5 * D).send(id, Safe, 5).run_for(D);
            let new = processor(script.world(), id);
            for survivor in (1..=3).filter(|survivor| *survivor != id) {
                let seen = regulars(script.world(), survivor, from);
                let left: Vec<_> = seen.iter().flat_map(|regular| regular.left.iter()).collect();
                let joined: Vec<_> =
                    seen.iter().flat_map(|regular| regular.joined.iter()).collect();
                assert_eq!((left, joined), (vec![old], vec![new]), "{survivor} saw {seen:?}");
            }
            let own = regulars(script.world(), id, from);
            assert_eq!(own.len(), 1, "{own:?}");
            script.finish();
        }
    }
}

/// As applications see it: the representative restarts with traffic under way.
#[test]
fn p19_as_applications_see_it() {
    let mut script = World::script(3);
    script.run_for(D).from_here().send(1, Agreed, 3).send(2, Safe, 3).run_for(20);
    script.crash(1).run_for(D / 20).start_wiped(1).until_one_ring(5 * D);
    script.send(1, Safe, 2).run_for(D);
    as_written(&script, "p19", Detail::Applications);
    script.finish();
}

/// Nothing waits for a disk; what a crash kept from being stored does no harm.
#[test]
fn p20_a_disk_that_stalls_holds_up_nothing() {
    let mut script = Script::cold(Options::fair(1, 3));
    (1..=3).for_each(|id| {
        script.disk_stalls(id);
    });
    script.world().start_all();
    script.until_one_ring(5 * D);
    for id in [3, 1, 2] {
        script.send(2, Safe, 10).run_for(2).crash(id).until(3 * D, |world| {
            let others: Vec<u32> = (1..=3).filter(|other| *other != id).collect();
            is_ring_of(world, &others)
        });
        // It finds nothing of what it wanted to store.
        script.start(id).until_one_ring(5 * D);
    }
    script.disk_goes_on(1).finish();
}

/// What was to be stored is lost, or an old state of the disk comes back: ring ids stay unique.
#[test]
fn p20_ring_ids_are_unique_without_what_was_stored() {
    let mut script = World::script(3);
    for round in 0..6 {
        script.disk_stalls(1).crash(2).until_ring_of(&[1, 3], 3 * D).start(2);
        script.until_one_ring(5 * D).send(1, Safe, 3).run_for(1).crash(1).run_for(round * 60);
        if round % 2 == 0 {
            script.start(1);
        } else {
            script.start_older(1, 5);
        }
        script.disk_goes_on(1).until_one_ring(5 * D);
    }
    script.finish();
}

/// A sequence that no ring can have reached, in an authentic join or probe, raises nobody's.
#[test]
fn p21_an_absurd_sequence_raises_nobodys() {
    for seq in [1 << 63, u64::MAX - 2, u64::MAX] {
        let mut script = World::script(4);
        script.world().keep(PacketKind::Join);
        script.world().keep(PacketKind::MergeDetect);
        script.crash(4).until_ring_of(&[1, 2, 3], 3 * D).run_for(D);
        let before = configurations(&script, &[1, 2, 3]);
        let packets: Vec<Packet> =
            script.world().passed().iter().map(|p| p.packet.clone()).collect();
        for packet in packets {
            let mut packet = packet;
            if let Packet::Join(join) = &mut packet {
                (join.seq, join.number) = (seq, join.number + 1_000);
            }
            if let Packet::MergeDetect(merge) = &mut packet {
                merge.seq = seq;
            }
            script.world().forge(2, 1, &packet);
            script.world().forge(2, 3, &packet);
        }
        script.run_for(D);
        assert_eq!(configurations(&script, &[1, 2, 3]), before);
        script.start(4).until_one_ring(5 * D).crash(2).until_ring_of(&[1, 3, 4], 3 * D);
        let (ring, _) = script.world().configuration(1).expect("it is in a ring");
        assert!(ring.seq < 100, "{ring}");
        script.start(2).finish();
    }
}

/// A disk that holds an absurd sequence makes its node a stranger; the others go on.
#[test]
fn p21_a_node_whose_disk_is_absurd_holds_up_nobody() {
    let mut script = World::script(3);
    script.crash(3).until_ring_of(&[1, 2], 3 * D).run_for(D);
    let before = configurations(&script, &[1, 2]);
    script.world().write_disk(3, 1 << 60);
    script.start(3).run_for(10 * D).send(1, Safe, 5).run_for(D);
    assert_eq!(configurations(&script, &[1, 2]), before);
    assert_eq!(script.delivered(2), 5);
    script.crash(3).run_for(2 * D).start_wiped(3).until_one_ring(10 * D);
    script.finish();
}

/// Two representatives use one sequence. A commit token of the other ring reaches a member that
/// has agreed to the first: it compares the whole ring id.
#[test]
fn p24_a_ring_id_is_compared_whole() {
    for complete in [false, true] {
        let mut script = World::script(4);
        script.partition(&[&[1, 2], &[3, 4]]).run_for(3 * D);
        assert!(is_ring_of(script.world(), &[3, 4]));
        script.world().keep(PacketKind::CommitToken);
        script.send(1, Safe, 5).send(3, Agreed, 5).run_for(2);
        // {1, 2} form their ring anew; 2 has agreed and waits for the second rotation.
        script.aim(Aim::at(crate::stage::COMMIT).from(2).to(1).count(ALWAYS).lost());
        script.aim(Aim::at(crate::stage::TOKEN).from(1).to(2).count(30).lost());
        script.until_in(2, StateKind::Commit);
        let last = script.world().passed().last().map(|passed| passed.packet.clone());
        let Some(Packet::CommitToken(commit)) = last else { panic!("a commit token has passed") };
        // The same sequence, by the same node's next incarnation.
        let mut other = *commit;
        let (one, two) = (processor(script.world(), 1), processor(script.world(), 2));
        let rep = Processor::new(one.node, one.incarnation + 1);
        other.ring = RingId { rep, ..other.ring };
        other.members = Members::new(vec![rep, two]).expect("two nodes");
        if complete {
            other.entries[0] = Some(Entry { old: None });
        }
        script.world().forge(1, 2, &Packet::CommitToken(other.clone().into()));
        let before = script.world().journal().len();
        script.run_for(1);
        let moved = script.world().journal()[before..].iter().find(|note| note.processor == two);
        assert!(moved.is_none(), "it has agreed to another ring: {moved:?}");
        script.finish();
    }
}

/// Three sides merge over paths that differ, so that two representatives may choose one sequence.
#[test]
fn p24_sides_that_merge_over_uneven_paths_agree() {
    for skew in 0..40 {
        let mut script = World::script(6);
        script.partition(&[&[1, 2], &[3, 4], &[5, 6]]).run_for(3 * D);
        for (from, to) in [(1, 3), (3, 5), (5, 1), (2, 5), (4, 1), (6, 3)] {
            script.send(from, Agreed, 2);
            script.slow(from, to, skew * 150);
        }
        let slow: Vec<(u32, u32)> = vec![(1, 3), (3, 5), (5, 1), (2, 5), (4, 1), (6, 3)];
        script.heal();
        for (from, to) in slow {
            script.slow(from, to, skew * 150);
        }
        script.until_one_ring(10 * D).finish();
    }
}

/// A packet that is late by two rings, and one of a dead process, change nothing.
#[test]
fn p32_a_late_packet_of_an_older_ring_changes_nothing() {
    for kind in [PacketKind::Mcast, PacketKind::Token, PacketKind::Join, PacketKind::MergeDetect] {
        let mut script = World::script(4);
        let kind = evs_sim::world::Kind::Ring(kind);
        let before = script.configurations(2);
        script.aim(Aim::at(kind).from(1).to(2).count(2).held(2));
        script.send(1, Agreed, 5).run_for(D).crash(4).until_ring_of(&[1, 2, 3], 5 * D);
        script.start(4).until_one_ring(5 * D).run_for(5 * D);
        // One ring without 4, one with it, each after a transitional configuration.
        assert_eq!(script.configurations(2), before + 4, "{kind}");
        script.finish();
    }
}

/// Nodes that are set up with a second and with ten form one ring, with the representative's
/// values, and it holds.
#[test]
fn p33_the_representatives_timeouts_are_in_force() {
    for slow in [1, 3] {
        let mut options = Options::fair(1, 3);
        options.detection = Duration::from_secs(1);
        let mut script = Script::cold(options);
        script.world().detection(slow, Duration::from_secs(10));
        script.world().start_all();
        script.until_one_ring(30_000);
        let before = configurations(&script, &[1, 2, 3]);
        for _ in 0..20 {
            script.send(2, Agreed, 5).send(slow, Safe, 5).run_for(1_000);
        }
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "{slow} is slow");
        assert_eq!(script.delivered(2), 200);
        script.crash(2).until_ring_of(&[1, 3], 30_000).start(2).until_one_ring(30_000);
        // The checker's bounds are those of a second.
        script.run_for(20 * D).finish();
    }
}

/// Clocks that run wrong by a tenth, stand where their numbers end, or change their rate.
#[test]
fn p41_clocks_may_run_wrong_and_stand_anywhere() {
    let origins: [Nanos; 4] =
        [0, (1 << 32) * MS - 1_000 * MS, (1 << 32) * 1_000, Nanos::MAX - 600_000 * MS];
    for clock_origin in origins {
        let mut script = Script::warm(Options { clock_origin, ..Options::fair(1, 3) });
        script.clock_rate(1, 100_000).clock_rate(2, -100_000).run_for(D);
        let before = configurations(&script, &[1, 2, 3]);
        for _ in 0..20 {
            script.send(1, Agreed, 5).send(3, Safe, 5).run_for(D);
        }
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "from {clock_origin}");
        script.clock_rate(1, -100_000).clock_rate(2, 100_000).run_for(10 * D);
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "from {clock_origin}");
        script.crash(3).until_ring_of(&[1, 2], 3 * D).start(3).until_one_ring(5 * D).finish();
    }
}

/// 3 is cut off and forms a ring with 4 while 1 and 2 have not noticed anything; then all merge. 3
/// comes from another ring and is in nobody's transitional configuration but its own.
#[test]
fn p42_a_member_that_was_elsewhere_is_no_companion() {
    let mut script = Script::cold(Options::fair(1, 4));
    // These notice a silence in a quarter of the time.
    for id in [3, 4] {
        script.world().detection(id, Duration::from_millis(D / 4));
    }
    (1..=3).for_each(|id| {
        script.start(id);
    });
    script.until_ring_of(&[1, 2, 3], 20_000);
    script.from_here().send(1, Agreed, 2).run_for(20);
    script.partition(&[&[1, 2], &[3, 4]]).start(4);
    script.until_ring_of(&[3, 4], 20_000);
    assert_eq!(script.world().state(1), Some(StateKind::Operational), "1 has noticed nothing");
    assert_eq!(delivered_at(script.world(), 1), 2);
    // The hellos of 1 and 2 come first, before 3 can tell them that it does not hear them.
    script.send(4, Safe, 2).run_for(28).heal().until_one_ring(30_000);
    script.send(3, Safe, 1).run_for(500);
    as_written(&script, "p42", Detail::Applications);
    script.run_for(20 * D).finish();
}
