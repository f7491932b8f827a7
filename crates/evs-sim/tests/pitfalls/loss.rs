//! Loss and delay: P5, and what they may cost.

use std::collections::BTreeSet;

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Aim, Kind, Options, Passed, World};
use totem::{Packet, PacketKind};

use crate::stage::{ALWAYS, D, MCAST, MS, configurations, delivered_at};

/// Everybody sends so many messages of one packet each, as fast as they are taken.
fn flood(script: &mut Script, nodes: u32, each: u32) {
    for id in 1..=nodes {
        (0..each).for_each(|_| {
            script.send_one(id, if id % 2 == 0 { Agreed } else { Safe }, 1_200);
        });
    }
}

/// How many packets got a number, and how many were sent again.
fn sent(world: &World) -> (u64, u64) {
    let stats = (1..=world.len()).filter_map(|id| Some(world.service(id)?.ring().stats()));
    stats.fold((0, 0), |(new, again), s| (new + s.originated, again + s.retransmits))
}

/// Data comes later than the token that announces it, on every path, by any time below the
/// detection target; nothing is lost. Fewer than one in a hundred packets is sent again.
#[test]
fn p05_data_that_is_later_than_the_token_is_waited_for() {
    for lag in [1, 2, 5, 10, 20, 50, 100, 150, 180] {
        let mut options = Options::fair(1, 3);
        options.weather.lag[MCAST.index()] = lag * MS;
        let mut script = Script::warm(options);
        script.run_for(D);
        let before = configurations(&script, &[1, 2, 3]);
        flood(&mut script, 3, 1_500);
        script.until(60_000, |world| (1..=3).all(|id| delivered_at(world, id) == 4_500));
        let (new, again) = sent(script.world());
        assert!(again * 100 < new, "{again} of {new} sent again, data {lag} ms late");
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "{lag} ms");
        script.run_for(D).finish();
    }
}

/// The same on one path alone, or for one packet in two hundred: what is late there is learned.
#[test]
fn p05_data_may_be_late_on_one_path_or_by_chance() {
    for lag in [2, 10, 50, 150] {
        for one_path in [false, true] {
            let mut options = Options::fair(1, 3);
            if !one_path {
                (options.weather.late_ppm, options.weather.late) = (5_000, lag * MS);
            }
            let mut script = Script::warm(options);
            let before = configurations(&script, &[1, 2, 3]);
            if one_path {
                script.aim(Aim::at(MCAST).from(1).to(3).count(ALWAYS).late(lag * MS));
            }
            let mut sent_before = (0, 0);
            for round in 0..200 {
                if round == 20 {
                    sent_before = sent(script.world());
                }
                flood(&mut script, 3, 15);
                script.run_for(D / 10);
            }
            let (new, again) = sent(script.world());
            let (new, again) = (new - sent_before.0, again - sent_before.1);
            assert!(again * 100 < new, "{again} of {new} sent again, {lag} ms, {one_path}");
            assert_eq!(configurations(&script, &[1, 2, 3]), before, "{lag} ms, {one_path}");
            script.run_for(2 * D).finish();
        }
    }
}

/// A message now and then, each late: none is sent again, or hardly any.
#[test]
fn p05_rare_messages_that_are_late_are_not_sent_again_each_time() {
    let mut options = Options::fair(1, 3);
    options.weather.lag[MCAST.index()] = 80 * MS;
    let mut script = Script::warm(options);
    for _ in 0..200 {
        script.send(1, Agreed, 1).run_for(400);
    }
    let (new, again) = sent(script.world());
    assert!(again * 10 < new, "{again} of {new} sent again");
    script.finish();
}

/// What is sent again at a loss of p is at most (1 + 3p) times what somebody lacked.
#[test]
fn p05_what_is_lost_is_sent_again_once() {
    for loss in [1_000, 10_000, 50_000] {
        let mut options = Options::fair(7, 3);
        options.weather.loss_ppm = [loss; Kind::COUNT];
        let mut script = Script::warm(options);
        let before = configurations(&script, &[1, 2, 3]);
        script.world().keep(PacketKind::Mcast);
        for _ in 0..20 {
            flood(&mut script, 3, 300);
            script.run_for(D);
        }
        script.until(5 * D, |world| (1..=3).all(|id| delivered_at(world, id) == 18_000));
        let (new, again) = sent(script.world());
        let copies = script.world().passed().iter().filter_map(sent_again);
        let needed = copies.collect::<BTreeSet<u64>>().len() as f64;
        let p = f64::from(loss) / 1e6;
        assert!(again as f64 <= needed * (1.0 + 3.0 * p), "{again} sent again, {needed} needed");
        // Lost was what one of two receivers did not get: by chance more or less.
        let lost = new as f64 * (1.0 - (1.0 - p) * (1.0 - p));
        assert!(needed <= lost + 4.0 * lost.sqrt(), "{needed} sent again, {lost:.0} lost");
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "{loss} ppm");
        script.finish();
    }
}

fn sent_again(passed: &Passed) -> Option<u64> {
    if let Packet::Mcast(mcast) = &passed.packet { mcast.again.then_some(mcast.seq) } else { None }
}

/// Five in a hundred of everything is lost; or half of everything comes in any order, and data
/// later than all else by any time below the target: no configuration changes for a minute, and
/// all is delivered.
#[test]
fn p05_loss_and_disorder_change_no_configuration() {
    let loss = [(3, 50_000, 0, 0), (7, 50_000, 0, 0)];
    let disorder = [(3, 0, 20, 0), (3, 0, 20, 150), (5, 0, 10, 100), (5, 20_000, 10, 20)];
    for (nodes, loss, late, lag) in loss.into_iter().chain(disorder) {
        let mut options = Options::fair(3, nodes);
        options.weather.loss_ppm = [loss; Kind::COUNT];
        options.weather.lag[MCAST.index()] = lag * MS;
        if late > 0 {
            (options.weather.late_ppm, options.weather.late) = (500_000, late * MS);
        }
        let mut script = Script::warm(options);
        let before = configurations(&script, &[1, 2, 3]);
        for _ in 0..60 {
            for id in 1..=nodes {
                script.send(id, Agreed, 5).send(id, Safe, 5);
            }
            script.run_for(1_000);
        }
        let what = format!("{nodes} nodes, {loss} ppm lost, {late} and {lag} ms late");
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "{what}");
        assert_eq!(script.delivered(1), 600 * nodes as usize, "{what}");
        script.finish();
    }
}
