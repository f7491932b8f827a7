//! Real daemons on loopback: they form a ring, carry messages, and stop in order.

use evs_testkit::{Cluster, Setup};

#[test]
fn three_daemons_form_one_ring() {
    let mut setup = Setup::new(3);
    setup.evsd = Some(env!("CARGO_BIN_EXE_evsd").into());
    let cluster = Cluster::start(setup).expect("three daemons");
    cluster.until_members(&[1, 2, 3]).expect("one ring");
    println!("{}", cluster.status(1).expect("status"));
    println!("{}", cluster.log(1));
}
