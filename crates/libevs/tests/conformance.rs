//! The C side: programs in `tests/c` and `examples`, compiled against an installed tree and run on
//! real daemons. Each program counts what it saw, and says so at its end.

#[path = "../../../xtask/src/libevs.rs"]
mod libevs;
mod programs;

use std::fs;
use std::path::Path;
use std::process::Command;

use evs_testkit::{Cluster, Setup};
use programs::{Installed, run, text};

#[test]
fn the_exported_symbols_are_those_of_the_original_and_ours_under_another_version() {
    let tree = Installed::new();
    let library = tree.lib().join(libevs::SONAME);
    let symbols = text(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let mut exported: Vec<_> =
        symbols.lines().filter(|line| line.contains(" T ")).map(|line| &line[19..]).collect();
    exported.sort_unstable();
    let old = [
        "evs_context_get",
        "evs_context_set",
        "evs_dispatch",
        "evs_fd_get",
        "evs_finalize",
        "evs_initialize",
        "evs_join",
        "evs_leave",
        "evs_mcast_groups",
        "evs_mcast_joined",
        "evs_membership_get",
    ];
    let mut wanted: Vec<_> = old.iter().map(|name| format!("{name}@@COROSYNC_EVS_2.0")).collect();
    let new = [
        "evs_end_get",
        "evs_room_fd_get",
        "evs_self_get",
        "evs_typed_initialize",
        "evs_version_get",
    ];
    wanted.extend(new.map(|name| format!("{name}@@EVS_1.0")));
    wanted.sort_unstable();
    assert_eq!(exported, wanted);
}

#[test]
fn the_library_names_itself_and_needs_nothing_but_the_system() {
    let tree = Installed::new();
    let library = tree.lib().join(libevs::SONAME);
    let dynamic = text(Command::new("readelf").arg("-dW").arg(library));
    assert!(dynamic.contains("Library soname: [libevs.so.4]"), "{dynamic}");
    let needed: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    let system = ["[libc.so.6]", "[libgcc_s.so.1]", "[ld-linux"];
    assert!(needed.iter().all(|line| system.iter().any(|name| line.contains(name))), "{needed:?}");
    assert!(!dynamic.contains("TEXTREL") && dynamic.contains("BIND_NOW"), "{dynamic}");
}

#[test]
fn the_native_libraries_are_those_that_the_compiler_names() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let empty = dir.join("empty.rs");
    fs::write(&empty, "").expect("a file can be written");
    let output = Command::new("rustc")
        .args(["--crate-type", "staticlib", "--print", "native-static-libs", "--out-dir"])
        .args([dir, &empty])
        .output()
        .expect("rustc runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&libevs::NATIVE_LIBS.join(" ")), "{said}");
}

#[test]
fn the_headers_suit_every_standard_of_c_and_cpp() {
    let tree = Installed::new();
    for standard in ["c89", "c99", "c11", "c2x"] {
        tree.check_syntax("gcc", &["-x", "c"], standard, "layout.c");
    }
    for standard in ["c++11", "c++17", "c++20"] {
        tree.check_syntax("g++", &["-x", "c++"], standard, "layout.c");
    }
}

#[test]
fn pkg_config_knows_both_libraries() {
    let tree = Installed::new();
    let shared = tree.pkg_config(&["--cflags", "--libs"]);
    assert!(shared.ends_with("-levs") && shared.contains("/usr/include"), "{shared}");
    let all = tree.pkg_config(&["--libs", "--static"]);
    assert!(libevs::NATIVE_LIBS.iter().all(|library| all.contains(library)), "{all}");
    assert_eq!(tree.pkg_config(&["--modversion"]), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_function_has_a_manual_page_that_renders_without_warnings() {
    let tree = Installed::new();
    let header = |name| fs::read_to_string(tree.include().join(name)).expect("it is installed");
    let headers = header("corosync/evs.h") + &header("evs/evs_ext.h");
    let functions: Vec<_> = headers.lines().filter_map(declared).collect();
    assert_eq!(functions.len(), 16, "{functions:?}");
    let mut pages: Vec<_> = functions.iter().map(|name| format!("man3/{name}.3")).collect();
    pages.push("man8/evs_overview.8".to_owned());
    for page in pages {
        let page = tree.man().join(page);
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"]).env("MANWIDTH", "80");
        let mut mandoc = Command::new("mandoc");
        mandoc.args(["-T", "lint"]);
        for command in [&mut man, &mut mandoc] {
            let output = command.arg(&page).output().expect("it runs");
            let complaints = String::from_utf8_lossy(&output.stderr);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && complaints.is_empty(), "{complaints}{said}");
        }
    }
}

/// The function that a line of a header declares.
fn declared(line: &str) -> Option<&str> {
    line.strip_prefix("cs_error_t ")?.split('(').next()
}

#[test]
fn without_a_daemon_initialize_says_try_again() {
    let tree = Installed::new();
    run(&tree.compile("no_daemon.c"), None);
}

#[test]
fn each_error_has_its_number() {
    on_a_cluster(1, "errors.c");
}

#[test]
fn the_three_ways_of_dispatching() {
    on_a_cluster(1, "dispatch.c");
}

#[test]
fn the_descriptor_tells_when_there_is_something_to_dispatch() {
    on_a_cluster(1, "fd.c");
}

#[test]
fn groups_are_counted_and_compared_whole() {
    on_a_cluster(1, "groups.c");
}

#[test]
fn messages_of_every_shape_and_size_arrive_whole() {
    on_a_cluster(2, "messages.c");
}

#[test]
fn threads_share_a_handle() {
    on_a_cluster(1, "threads.c");
}

#[test]
fn a_thousand_handles_at_once_and_ten_thousand_in_succession() {
    on_a_cluster(1, "handles.c");
}

#[test]
fn a_process_may_fork_after_initialize() {
    on_a_cluster(1, "fork.c");
}

#[test]
fn deaths_returns_and_stops_of_members_are_told_in_two_calls() {
    on_a_cluster(3, "membership.c");
}

#[test]
fn what_is_sent_through_a_death_and_a_return_has_one_order_everywhere() {
    on_a_cluster(3, "order.c");
}

#[test]
fn the_typed_callbacks_are_told_who_why_and_where() {
    on_a_cluster(3, "typed.c");
}

#[test]
fn a_session_that_never_dispatches_is_ended() {
    on_a_cluster(1, "slow.c");
}

#[test]
fn every_call_ends_when_the_daemon_does() {
    on_a_cluster(1, "daemon_death.c");
}

#[test]
fn the_example_sees_the_same_on_three_daemons() {
    let tree = Installed::new();
    let cluster = cluster(3);
    cluster.until_members(&[1, 2, 3]).expect("one ring");
    let example = tree.compile_example("first.c");
    let sockets: Vec<_> = cluster.nodes().iter().map(|node| cluster.socket(*node)).collect();
    let histories = programs::run_together(&example, &sockets, &["3"]);
    assert!(histories[0].lines().filter(|line| line.starts_with("message ")).count() >= 30);
    for history in &histories {
        assert_eq!(programs::messages(history), programs::messages(&histories[0]));
    }
}

#[test]
fn a_program_linked_with_the_static_library_runs() {
    let tree = Installed::new();
    let cluster = cluster(1);
    run(&tree.compile_static("errors.c"), Some(cluster));
}

#[test]
fn valgrind_finds_no_error_and_no_leak() {
    let tree = Installed::new();
    for name in ["errors.c", "dispatch.c", "groups.c"] {
        run(&tree.compile(name).under_valgrind(), Some(cluster(1)));
    }
}

/// Runs a program of `tests/c` on a fresh cluster.
fn on_a_cluster(nodes: u32, name: &str) {
    let tree = Installed::new();
    run(&tree.compile(name), Some(cluster(nodes)));
}

fn cluster(nodes: u32) -> Cluster {
    let mut setup = Setup::new(nodes);
    setup.local_lines = "\n[local.limits]\nclients_max = 4096\n".to_owned();
    let cluster = Cluster::start(setup).expect("the daemons start");
    let all = cluster.nodes();
    cluster.until_members(&all).expect("one ring");
    cluster
}
