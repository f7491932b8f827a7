//! What a client's stream begins with, and whose groups it follows: P52, P53.

use evs_model::Guarantee::{Agreed, Safe};
use evs_model::{ConfigurationChange, Event, Groups};
use evs_sim::body::body;
use evs_sim::history::{ClientAct, ClientStep};
use evs_sim::script::Script;
use evs_sim::world::{Session, World};

use crate::stage::{D, MS};

/// Calls this after each thing that happens, from a death that starts a change to a newcomer that
/// joins, until that is over.
fn at_every_step(mut act: impl FnMut(&mut World)) -> Script {
    let mut script = World::script(4);
    script.send(1, Agreed, 5).send(2, Safe, 5).run_for(1).crash(4);
    let end = script.world().now() + 3 * D * MS;
    let mut steps = 0_u32;
    while !script.world().is_one_ring() {
        assert!(script.world().now() < end, "no ring without 4");
        if script.world().step(end) {
            steps += 1;
            // Until the change begins not much happens.
            let calm = (1..=3).all(|id| script.world().configuration(id).is_some());
            if !calm || steps.is_multiple_of(50) {
                act(script.world());
            }
        }
    }
    script.start(4);
    while !script.world().is_one_ring() {
        assert!(script.world().now() < end + 3 * D * MS, "no ring with 4");
        if script.world().step(end + 3 * D * MS) {
            steps += 1;
            if steps.is_multiple_of(20) {
                act(script.world());
            }
        }
    }
    script
}

/// A client that connects at any step of a change sees the present regular configuration first;
/// from there on every change tells who left and who joined.
#[test]
fn p53_a_stream_begins_with_the_present_configuration() {
    let mut sessions = 0;
    let mut script = at_every_step(|world| {
        for id in 1..=4 {
            let Some(session) = world.connect(id) else { continue };
            world.join(session, &World::groups()[..1]);
            sessions += 1;
            let received = |step: &ClientStep| {
                if let ClientAct::Received(event) = &step.what { Some(event.clone()) } else { None }
            };
            let client = world.history().clients.last();
            let first = client.and_then(|client| client.steps.iter().find_map(received));
            let present = world.service(id).and_then(|service| service.ring().ring_id());
            let Some(Event::Configuration(ConfigurationChange::Regular { ring, .. })) = first
            else {
                panic!("a session at {id} begins with {first:?}")
            };
            assert_eq!(Some(ring), present);
        }
    });
    assert!(sessions > 200, "{sessions} sessions");
    script.run_for(D).finish();
}

/// Clients come, join, send, leave and go at every step of two changes: each gets what its groups
/// get, no more and no less, though it may last for a moment only.
#[test]
fn p52_groups_are_each_nodes_own_matter() {
    let groups = World::groups();
    let mut sessions: Vec<Session> = Vec::new();
    let mut tag = 0_u32;
    let mut script = at_every_step(|world| {
        tag += 1;
        let id = tag % 4 + 1;
        let mine = &groups[tag as usize % 5..][..1];
        if let Some(session) = world.connect(id) {
            world.join(session, mine);
            sessions.push(session);
        }
        let to = Groups::new(mine).expect("one group is within the limit");
        if let Some(session) = sessions.get(tag as usize * 7 % sessions.len().max(1)) {
            world.send(*session, Safe, &to, &body(tag.into(), 60));
            world.leave_groups(*session, mine);
        }
        if sessions.len() > 3 {
            world.disconnect(sessions.remove(0));
        }
    });
    assert!(tag > 100, "{tag} steps");
    let judged = script.run_for(D).finish();
    assert!(judged.deliveries > 100, "{judged:?}");
}
