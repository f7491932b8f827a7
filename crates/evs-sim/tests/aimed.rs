//! The scenarios that notice certain deliberate defects hold where nothing is wrong.

use evs_sim::scenarios::SCENARIOS;

#[test]
fn every_aimed_scenario_holds() {
    for scenario in SCENARIOS {
        println!("{}", scenario.name);
        (scenario.play)();
    }
}
