//! The installed examples, compiled as their readers would, and run on real daemons.

use super::programs::{self, Installed, Talk, run_together};
use super::{Stage, loopback};

fn sockets(stage: &Stage) -> Vec<std::path::PathBuf> {
    let cluster = &stage.cluster;
    cluster.nodes().iter().map(|node| cluster.socket(*node)).collect()
}

#[test]
fn the_first_one_sees_the_same_on_three_daemons() {
    let stage = loopback(3);
    let example = Installed::new().compile_example("first.c");
    let histories = run_together(&example, &sockets(&stage), &["3"]);
    assert!(histories[0].lines().filter(|line| line.starts_with("message ")).count() >= 30);
    for history in &histories {
        assert_eq!(programs::messages(history), programs::messages(&histories[0]));
    }
}

#[test]
fn the_smallest_ones_in_c_and_cpp_greet_each_other() {
    let mut stage = loopback(1);
    let tree = Installed::new();
    let socket = stage.cluster.socket(1);
    let mut c = Talk::start(&tree.compile_example("hello.c"), &socket, &[]);
    c.until("node 1: hello from C");
    let mut cpp = Talk::start(&tree.compile_example("hello.cpp"), &socket, &[]);
    cpp.until("node 1: hello from C++");
    c.until("node 1: hello from C++");
    stage.cluster.stop(1).expect("it stops");
    cpp.until("the end, for reason 2");
    c.finish();
    cpp.finish();
}

#[test]
fn the_poll_loop_goes_on_after_its_daemon_came_back() {
    let mut stage = loopback(2);
    let example = Installed::new().compile_example("poll_loop.c");
    let sockets = sockets(&stage);
    let mut one = Talk::start(&example, &sockets[0], &[]);
    one.tell("anybody here?");
    one.until("1: anybody here?");
    let mut two = Talk::start(&example, &sockets[1], &[]);
    two.tell("I am");
    one.until("2: I am");
    two.until("2: I am");
    stage.cluster.kill(2).expect("it dies");
    two.until("the daemon is gone");
    stage.cluster.start_node(2).expect("it starts");
    two.until("it is back");
    stage.cluster.until_members(&[1, 2]).expect("one ring");
    two.tell("again");
    one.until("2: again");
    two.until("2: again");
    one.finish();
    two.finish();
}

#[test]
fn the_threads_receive_all_that_they_send() {
    let stage = loopback(1);
    let tree = Installed::new();
    let sockets = sockets(&stage);
    let said = run_together(&tree.compile_example("threads.c"), &sockets, &["500"]);
    assert_eq!(said[0], "sent 1500, received 1500 (40500 bytes)\n");
    let said = run_together(&tree.compile_example("threads.cpp"), &sockets, &[]);
    assert_eq!(said[0], "received 3000 (81000 bytes)\n");
}

#[test]
fn the_counter_is_the_same_everywhere_and_says_for_whom() {
    let mut stage = loopback(3);
    let example = Installed::new().compile_example("counter.c");
    let sockets = sockets(&stage);
    let mut one = Talk::start(&example, &sockets[0], &["100"]);
    one.until("value 100, for all");
    let mut two = Talk::start(&example, &sockets[1], &[]);
    two.until("value 100, for all");
    let mut three = Talk::start(&example, &sockets[2], &[]);
    three.until("value 100, for all");
    two.tell("7");
    for replica in [&mut one, &mut two, &mut three] {
        replica.until("value 107, for all");
    }
    stage.cluster.kill(3).expect("it dies");
    three.until("the session ended for reason 1");
    three.finish();
    one.until("node 3 is lost: it has all of the above");
    one.until("members: 1 2");
    one.tell("-50");
    two.until("value 57, for all");

    // Who comes back knows nothing, and learns it.
    stage.cluster.start_node(3).expect("it starts");
    stage.cluster.until_members(&[1, 2, 3]).expect("one ring");
    stage.cluster.until_open(3).expect("it lets clients in");
    let mut three = Talk::start(&example, &sockets[2], &[]);
    three.until("value 57, for all");
    three.tell("3");
    for replica in [&mut one, &mut two, &mut three] {
        replica.until("value 60, for all");
    }
    for replica in [one, two, three] {
        replica.finish();
    }
}
