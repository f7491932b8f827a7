//! Joins, merge probes and commit tokens that are larger than a packet of the path (P48;
//! `docs/protocol.md` §3). Every world stops at a packet of the ring that is larger than it may be;
//! here the paths lose what is too large besides.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe};
use evs_net::SEAL_OVERHEAD;
use evs_sim::script::Script;
use evs_sim::world::{Aim, Kind, Options, Passed, World};
use totem::{Destination, Discard, PacketKind};

/// The largest datagram that IPv6 carries everywhere: hellos are made to fit into it.
const HELLO_BYTES: usize = 1_280 - 40 - 8;

/// Nodes whose packets have this size at most, and paths on which no larger ones pass.
fn narrow(nodes: u32, packet_bytes_max: usize, detection_ms: u64, loss_ppm: u32) -> Script {
    let mut options = Options::fair(7, nodes);
    options.packet_bytes_max = packet_bytes_max;
    options.sealed = true;
    options.detection = Duration::from_millis(detection_ms);
    options.weather.loss_ppm = [loss_ppm; Kind::COUNT];
    let mut script = Script::cold(options);
    let path = (packet_bytes_max + SEAL_OVERHEAD).max(HELLO_BYTES);
    for from in 1..=nodes {
        for to in (1..=nodes).filter(|to| *to != from) {
            script.world().cut_large(from, to, path);
        }
    }
    script.world().start_all();
    script
}

fn sent(world: &World, kind: PacketKind) -> u64 {
    world.traffic().datagrams(Kind::Ring(kind))
}

#[test]
fn forty_nodes_with_small_packets_form_one_ring_at_once() {
    let mut script = narrow(40, 256, 500, 0);
    script.until_one_ring(1_500);
    script.send(1, Agreed, 5).send(40, Safe, 5).run_for(500);
    assert!((1..=40).all(|id| script.configurations(id) == 1 && script.delivered(id) == 10));
    assert!(sent(script.world(), PacketKind::Piece) > 1_000);
    assert_eq!(sent(script.world(), PacketKind::PieceRequest), 0, "nothing was lost");
}

#[test]
fn a_twentieth_of_all_packets_lost_does_not_keep_twenty_nodes_apart() {
    let mut script = narrow(20, 256, 500, 50_000);
    script.until_one_ring(5_000);
    assert!(sent(script.world(), PacketKind::PieceRequest) > 0);
    let before: Vec<usize> = (1..=20).map(|id| script.configurations(id)).collect();
    script.run_for(10_000);
    let after: Vec<usize> = (1..=20).map(|id| script.configurations(id)).collect();
    assert_eq!(after, before);
    script.finish();
}

/// The representative's commit token has to pass a path that is much worse than all others.
#[test]
fn a_commit_token_passes_a_path_that_loses_a_fifth() {
    let mut script = narrow(24, 256, 500, 0);
    for (from, to) in [(1, 2), (2, 1), (12, 13), (13, 12)] {
        script.world().lossy(from, to, 200_000);
    }
    script.until_one_ring(3_000);
    script.finish();
}

/// What is asked for is what was lost: a piece that is lost costs a request and a piece.
#[test]
fn the_loss_of_a_piece_costs_one_piece() {
    let mut script = narrow(20, 256, 500, 0);
    script.until_one_ring(1_500);
    script.run_for(2_000);
    script.world().keep(PacketKind::Piece);
    script.aim(Aim::at(Kind::Ring(PacketKind::Piece)).from(3).to(5).count(1).lost()).run_for(1_000);
    assert_eq!(sent(script.world(), PacketKind::PieceRequest), 1);
    // All others are of probes, which go to all.
    let again = |passed: &&Passed| passed.to != Destination::All;
    assert_eq!(script.world().passed().iter().filter(again).count(), 1);
}

/// Full packets wait on all sides when a ring breaks; wrapped by recovery they still pass.
#[test]
fn full_packets_are_recovered_over_a_path_that_carries_them_exactly() {
    let mut script = narrow(5, 256, 200, 0);
    script.until_one_ring(1_500);
    let mcast = Kind::Ring(PacketKind::Mcast);
    script.aim(Aim::at(mcast).to(3).count(u32::MAX).lost());
    (0..4).for_each(|_| {
        script.send_one(1, Agreed, 10_000).send_one(2, Safe, 10_000);
    });
    script.run_for(2).crash(1).run_for(1_500);
    let recovered: u64 = (2..=5).map(|id| stats(&mut script, id).recovered).sum();
    assert!(recovered > 0, "something was recovered");
    assert!((2..=5).all(|id| stats(&mut script, id).discards(Discard::Pieces) == 0));
    script.finish();
}

fn stats(script: &mut Script, id: u32) -> totem::Stats {
    script.world().service(id).expect("it is up").ring().stats().clone()
}
