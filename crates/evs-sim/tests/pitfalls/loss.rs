//! Loss and delay: P5, and what they may cost.

use std::collections::BTreeMap;

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Aim, Kind, Nanos, Options, World};
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
/// detection target; nothing is lost. How late it is must be learned, which costs a few copies, no
/// more the more is sent. From then on fewer than one packet in a hundred is sent again, whether
/// all is sent at once, or little, or hardly anything.
#[test]
fn p05_data_that_is_later_than_the_token_is_waited_for() {
    for (nodes, lags) in [(3, &[1, 2, 5, 10, 20, 50, 100, 150, 198][..]), (2, &[80]), (7, &[150])] {
        for lag in lags {
            for gap in [0, 5, 40, 400] {
                waited_for(nodes, lag * MS, gap);
            }
        }
    }
}

/// At once if there is no gap, else a message each so many milliseconds.
fn waited_for(nodes: u32, lag: Nanos, gap: Nanos) {
    let what = format!("{nodes} nodes, data {lag} ns late, {gap} ms between messages");
    let mut options = Options::fair(1, nodes);
    options.weather.lag[MCAST.index()] = lag;
    let mut script = Script::warm(options);
    script.run_for(D);
    let ids: Vec<u32> = (1..=nodes).collect();
    let before = configurations(&script, &ids);
    let mut learned = (0, 0);
    for phase in [60, 300] {
        if gap == 0 {
            flood(&mut script, nodes, phase * 5);
        }
        for round in 0..if gap == 0 { 0 } else { phase } {
            script.send_one(1 + round % nodes, Agreed, 1_200).run_for(gap);
        }
        script.run_for(if gap == 0 { 20_000 } else { D });
        if phase == 60 {
            learned = sent(script.world());
            assert!(learned.1 <= 60, "{learned:?}: {what}");
        }
    }
    let (new, again) = sent(script.world());
    let (new, again) = (new - learned.0, again - learned.1);
    assert!(new >= 300 && again * 100 < new, "{again} of {new} sent again: {what}");
    assert_eq!(configurations(&script, &ids), before, "{what}");
    script.finish();
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

/// The bytes that are sent again at a loss of p are at most (1 + 3p) times those that somebody
/// lacked, whatever the number of nodes and the size of messages, and nothing else changes.
#[test]
fn p05_what_is_lost_is_sent_again_once() {
    for loss in [10_000, 20_000, 50_000] {
        for (nodes, bytes, each) in
            [(2, 1_200, 400), (3, 1_200, 300), (3, 100, 3_000), (3, 5_000, 60), (7, 1_200, 150)]
        {
            sent_again_once(loss, nodes, bytes, each);
        }
    }
}

fn sent_again_once(loss: u32, nodes: u32, bytes: usize, each: usize) {
    let mut options = Options::fair(7, nodes);
    options.weather.loss_ppm = [loss; Kind::COUNT];
    let mut script = Script::warm(options);
    let ids: Vec<u32> = (1..=nodes).collect();
    let before = configurations(&script, &ids);
    script.world().keep(PacketKind::Mcast);
    for _ in 0..20 {
        for id in &ids {
            (0..each).for_each(|_| {
                script.send_one(*id, if id % 2 == 0 { Agreed } else { Safe }, bytes);
            });
        }
        script.run_for(D);
    }
    let all = 20 * each * ids.len();
    script.until(5 * D, |world| ids.iter().all(|id| delivered_at(world, *id) == all));
    let what = format!("{nodes} nodes, {bytes} bytes, {loss} ppm");
    let (mut new, mut again, mut lacked) = (0_usize, 0_usize, BTreeMap::new());
    for passed in script.world().passed() {
        let Packet::Mcast(mcast) = &passed.packet else { continue };
        if mcast.again {
            again += mcast.body.len();
            lacked.insert(mcast.seq, mcast.body.len());
        } else {
            new += 1;
        }
    }
    let needed = lacked.values().sum::<usize>() as f64;
    let p = f64::from(loss) / 1e6;
    assert!(again as f64 <= needed * (1.0 + 3.0 * p), "{again} again, {needed} needed: {what}");
    // Somebody lacked what one of the receivers did not get: by chance more or less.
    let lost = new as f64 * (1.0 - (1.0 - p).powi(nodes as i32 - 1));
    let most = lost + 4.0 * lost.sqrt();
    assert!(lacked.len() as f64 <= most, "{} sent again, {lost:.0} lost: {what}", lacked.len());
    assert_eq!(configurations(&script, &ids), before, "{what}");
    script.finish();
}

/// Five in a hundred of everything is lost, and as many again, or half of all, tokens too, come up
/// to nearly the detection target late, out of any order; or data lags behind besides. No
/// configuration changes, and everything is delivered.
#[test]
fn p05_loss_and_disorder_change_no_configuration() {
    let lost = [(3, 50_000, 0, 0, 0), (7, 50_000, 0, 0, 0)];
    let late = [2, 3, 5, 7].map(|nodes| (nodes, 50_000, 50_000, 190, 0));
    let half = [3, 5, 7].map(|nodes| (nodes, 0, 500_000, 190, 0));
    let lags = [(3, 0, 500_000, 20, 150), (5, 20_000, 500_000, 10, 20), (3, 0, 500_000, 50, 0)];
    for (nodes, loss, late_ppm, late, lag) in [&lost[..], &late, &half, &lags].concat() {
        let mut options = Options::fair(3, nodes);
        options.weather.loss_ppm = [loss; Kind::COUNT];
        options.weather.lag[MCAST.index()] = lag * MS;
        (options.weather.late_ppm, options.weather.late) = (late_ppm, late * MS);
        let what = format!("{nodes} nodes, {loss} ppm lost, {late_ppm} {late} ms, {lag} ms");
        nothing_changes(&mut Script::warm(options), &what, |_| ());
    }
}

/// Every data packet is late by a time of its own below the detection target, on each path.
#[test]
fn p05_data_may_come_in_any_order() {
    for nodes in [2, 3, 5] {
        let mut rng = fastrand::Rng::with_seed(nodes.into());
        let mut script = Script::warm(Options::fair(3, nodes));
        nothing_changes(&mut script, &format!("{nodes} nodes"), |script| {
            for (from, to) in (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to))) {
                for _ in 0..if from == to { 0 } else { 10 } {
                    script
                        .aim(Aim::at(MCAST).from(from).to(to).late(rng.u64(0..D * MS * 98 / 100)));
                }
            }
        });
    }
}

/// Everybody sends for a minute; before each second this is done.
fn nothing_changes(script: &mut Script, what: &str, mut each: impl FnMut(&mut Script)) {
    let ids: Vec<u32> = (1..=script.world().len()).collect();
    let before = configurations(script, &ids);
    for _ in 0..60 {
        each(script);
        for id in &ids {
            script.send(*id, Agreed, 5).send(*id, Safe, 5);
        }
        script.run_for(1_000);
    }
    script.run_for(1_000);
    assert_eq!(configurations(script, &ids), before, "{what}");
    assert!(ids.iter().all(|id| script.delivered(*id) == 600 * ids.len()), "{what}");
    script.finish();
}
