//! The accelerated ring (`docs/protocol.md` §4): packets of a visit that follow the token. Their
//! numbers are reserved before; what becomes of them, and of the token, comes in any order.

use std::collections::BTreeMap;

use evs_model::Guarantee::{self, Agreed, Fifo, Safe, Unordered};
use evs_model::Processor;
use evs_sim::script::{Script, is_ring_of};
use evs_sim::world::Moment::After;
use evs_sim::world::{Kind, Options, World};
use totem::Packet;
use totem::PacketKind::{Mcast, Token};

/// The detection target of scripts, in milliseconds.
const D: u64 = 200;

/// How many packets of a visit follow the token.
const RATES: [u32; 5] = [0, 1, 4, 32, 1_000];

fn fair(nodes: u32, accelerated_packets: u32) -> Options {
    // More waits than a visit may send.
    Options { accelerated_packets, window_packets: 64, ..Options::fair(1, nodes) }
}

/// Everybody sends more than a visit takes.
fn flood(script: &mut Script, nodes: u32) {
    for id in 1..=nodes {
        for guarantee in [Unordered, Fifo, Agreed, Safe] {
            (0..40).for_each(|_| {
                script.send_one(id, guarantee, 1_200);
            });
        }
    }
}

/// How many packets were sent after a token that had announced them.
fn after_the_token(world: &World) -> u64 {
    let mut announced: BTreeMap<Processor, u64> = BTreeMap::new();
    let mut count = 0;
    for passed in world.passed() {
        if let Some(token) = passed.token() {
            announced.insert(passed.from, token.seq);
        }
        if let Packet::Mcast(mcast) = &passed.packet
            && !mcast.again
        {
            let announced = announced.get(&passed.from).copied().unwrap_or(0);
            count += u64::from(mcast.seq <= announced);
        }
    }
    count
}

#[test]
fn as_many_packets_follow_the_token_as_may_and_everything_is_delivered() {
    for rate in RATES {
        let mut script = Script::warm(fair(3, rate));
        script.world().keep(Mcast);
        script.world().keep(Token);
        flood(&mut script, 3);
        script.run_for(1_000);
        assert!((1..=3).all(|id| script.delivered(id) == 3 * 160), "{rate} follow the token");
        let late = after_the_token(script.world());
        match rate {
            0 => assert_eq!(late, 0),
            rate => assert!(late > u64::from(rate.min(32)), "{late}, though {rate} may"),
        }
        script.finish();
    }
}

/// The token overtakes what follows it, or is overtaken; everything is read in any order, tokens
/// first or data first, and one datagram in twenty is lost.
#[test]
fn it_is_correct_in_every_schedule() {
    for rate in RATES {
        for (data_first, shuffle_ppm, batched_outputs) in
            [(true, 0, false), (false, 0, true), (true, 1_000_000, false), (false, 300_000, true)]
        {
            for loss in [0, 50_000] {
                let mut options = Options {
                    data_first,
                    shuffle_ppm,
                    batched_outputs,
                    timers_first_ppm: shuffle_ppm,
                    ..fair(4, rate)
                };
                options.weather.reorder_ppm = 500_000;
                options.weather.jitter = 5 * options.weather.delay;
                options.weather.loss_ppm = [loss; Kind::COUNT];
                let mut script = Script::warm(options);
                (0..5).for_each(|_| {
                    flood(&mut script, 4);
                    script.run_for(D / 2);
                });
                script.crash(3).run_for(D / 2);
                flood(&mut script, 2);
                script.until_ring_of(&[1, 2, 4], 5 * D).start(3).until_one_ring(5 * D).finish();
            }
        }
    }
}

/// The sender dies, or is cut off, after the token and so many of the packets that follow it: what
/// was reserved and not sent is a gap that nobody holds, or that the sender alone fills.
#[test]
fn a_sender_may_end_between_the_token_and_any_packet_that_follows_it() {
    for guarantee in [Unordered, Agreed, Safe] {
        for sent in 0..10 {
            for dies in [true, false] {
                broken_off(guarantee, sent, dies);
            }
        }
    }
}

fn broken_off(guarantee: Guarantee, sent: usize, dies: bool) {
    let mut script = Script::warm(Options { window_packets: 16, ..fair(4, 8) });
    script.run_for(D);
    let moments = [vec![After(Mcast), After(Token)], vec![After(Mcast); sent]].concat();
    if dies {
        script.crash_at(2, &moments);
    } else {
        script.isolate_at(2, &moments);
    }
    for id in [1, 2, 4] {
        (0..40).for_each(|_| {
            script.send_one(id, guarantee, 1_200);
        });
    }
    script.until(5 * D, |world| !world.is_trapped(2)).until_ring_of(&[1, 3, 4], 5 * D);
    if dies {
        script.start(2);
    } else {
        script.until(5 * D, |world| is_ring_of(world, &[2])).heal();
    }
    script.until_one_ring(5 * D).run_for(D);
    // Whoever lives sends and delivers all of its own.
    assert!(script.delivered(1) >= 80, "{guarantee}, {sent} sent, dies: {dies}");
    script.finish();
}

/// Of whole runs, some are with it and some without.
#[test]
fn seeds_decide_about_it() {
    let drawn = |seed| Options::draw(seed, None).accelerated_packets;
    let with = (0..400).filter(|seed| drawn(*seed) > 0).count();
    assert!((200..=350).contains(&with), "{with} of 400");
}
