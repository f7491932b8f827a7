//! Other detection targets while nodes crash, pause and come back: whatever befalls them in the
//! middle of a change, the contract holds, and in the end they are one ring.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::world::World;

#[test]
fn targets_change_while_nodes_crash_and_pause_and_come_back() {
    for victim in 1..=4_u32 {
        let mut script = World::script(4);
        for (round, target) in [500, 2_000, 200, 60, 2_000, 200].into_iter().enumerate() {
            for id in 1..=4 {
                script.world().set_detection(id, Duration::from_millis(target));
                if id == victim && round % 2 == 0 {
                    script.crash(id % 4 + 1);
                } else if id == victim {
                    script.pause(id);
                }
                for node in 1..=4 {
                    script.try_send(node, if node % 2 == 0 { Safe } else { Agreed }, 200);
                }
                script.run_for(2);
            }
            script.run_for(700);
            script.world().resume_all();
            script.world().start_all();
            script.run_for(3_000);
        }
        for id in 1..=4 {
            script.world().set_detection(id, Duration::from_millis(2_000));
        }
        script.run_for(10_000).until_one_ring(60_000);
        let before = [1, 2, 3, 4].map(|id| script.configurations(id));
        for id in 1..=4 {
            script.world().set_detection(id, Duration::from_millis(60));
            script.run_for(400);
        }
        script.send(victim, Safe, 5).run_for(3_000);
        assert_eq!([1, 2, 3, 4].map(|id| script.configurations(id)), before, "all is calm again");
        script.world().common_detection();
        script.finish();
    }
}
