//! The C side: programs in `tests/c` and `examples`, compiled against an installed tree and run on
//! real daemons. Each program counts what it saw, and says so at its end.

#[path = "../../../xtask/src/libevs.rs"]
mod libevs;

mod examples;
mod programs;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use evs_testkit::netns::{IpVersion, Network};
use evs_testkit::{Build, Cluster, NextVersion, Setup, until};
use programs::{How, Installed, PATIENT, Stage, run, text};

#[test]
fn the_exported_symbols_are_those_of_the_original_and_ours_under_another_version() {
    let tree = Installed::new();
    let library = tree.lib().join(libevs::SONAME);
    let symbols = text(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let mut exported: Vec<_> =
        symbols.lines().filter(|line| !line.contains(" A ")).map(|line| &line[17..]).collect();
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
    let mut wanted: Vec<_> = old.iter().map(|name| format!("T {name}@@COROSYNC_EVS_2.0")).collect();
    let new = [
        "evs_end_get",
        "evs_room_fd_get",
        "evs_self_get",
        "evs_typed_initialize",
        "evs_version_get",
        "evs_why_get",
    ];
    wanted.extend(new.map(|name| format!("T {name}@@EVS_1.0")));
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
    let _ = fs::remove_file(dir.join("libempty.a"));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&libevs::NATIVE_LIBS.join(" ")), "{said}");
}

#[test]
fn the_headers_suit_every_standard_of_c_and_cpp() {
    let tree = Installed::new();
    for standard in ["c89", "c99", "c11", "c17", "c2x"] {
        for compiler in ["gcc", "clang"] {
            tree.check_syntax(compiler, &["-x", "c"], standard, "layout.c");
        }
    }
    for standard in ["c++98", "c++03", "c++11", "c++14", "c++17", "c++20", "c++2b"] {
        for compiler in ["g++", "clang++"] {
            tree.check_syntax(compiler, &["-x", "c++"], standard, "layout.c");
        }
    }
}

#[test]
fn pkg_config_knows_both_libraries() {
    let tree = Installed::new();
    let shared = tree.pkg_config(&["--cflags", "--libs"]);
    assert!(shared.ends_with("-levs") && shared.contains("/usr/include"), "{shared}");
    let all = tree.pkg_config(&["--libs", "--static"]);
    assert!(all.ends_with(&format!("-levs {}", libevs::private_libs())), "{all}");
    assert_eq!(tree.pkg_config(&["--modversion"]), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_function_has_a_manual_page_that_renders_without_warnings() {
    let tree = Installed::new();
    let functions = functions(&tree);
    assert_eq!(functions.len(), 17, "{functions:?}");
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

/// Every function that the headers declare.
fn functions(tree: &Installed) -> Vec<String> {
    let header = |name| fs::read_to_string(tree.include().join(name)).expect("it is installed");
    let headers = header("corosync/evs.h") + &header("evs/evs_ext.h");
    headers.lines().filter_map(declared).map(str::to_owned).collect()
}

/// The function that a line of a header declares.
fn declared(line: &str) -> Option<&str> {
    line.strip_prefix("cs_error_t ")?.split('(').next()
}

/// One test for each program and each way to run it.
macro_rules! programs {
    ($($name:ident: $source:literal, $stage:expr;)*) => {
        /// As its authors would run it.
        mod plain {
            use super::*;
            $(#[test] fn $name() { conforms($source, How::Plain, $stage); })*
        }

        /// No error and no leak under valgrind.
        mod valgrind {
            use super::*;
            $(#[test] fn $name() { conforms($source, How::Valgrind, $stage); })*
        }

        /// The program itself does nothing that AddressSanitizer would object to.
        mod sanitized {
            use super::*;
            $(#[test] fn $name() { conforms($source, How::Sanitized, $stage); })*
        }

        const SOURCES: &[&str] = &[$($source),*];
    };
}

programs! {
    // One for each function.
    context_get_gives_back_what_was_set: "evs_context_get.c", loopback(1);
    context_set_works_in_callbacks_and_threads: "evs_context_set.c", loopback(1);
    dispatch_has_three_ways: "evs_dispatch.c", loopback(1);
    end_get_tells_why: "evs_end_get.c", loopback(1);
    fd_get_gives_one_descriptor_for_good: "evs_fd_get.c", loopback(1);
    finalize_makes_handles_unknown: "evs_finalize.c", loopback(1);
    initialize_has_an_error_for_each_cause: "evs_initialize.c", loopback(1);
    join_counts_and_has_limits: "evs_join.c", loopback(1);
    leave_takes_effect_at_one_point: "evs_leave.c", loopback(1);
    mcast_groups_reaches_members_once: "evs_mcast_groups.c", loopback(1);
    mcast_joined_reaches_the_joined_groups: "evs_mcast_joined.c", loopback(1);
    membership_get_fits_what_was_dispatched: "evs_membership_get.c", loopback(3);
    room_fd_get_ends_every_refusal: "evs_room_fd_get.c", loopback(1);
    self_get_names_the_session: "evs_self_get.c", loopback(1);
    typed_callbacks_are_told_who_why_and_where: "evs_typed_initialize.c", loopback(3);
    version_get_needs_no_daemon: "evs_version_get.c", loopback(1);
    why_get_tells_what_all_members_saw: "evs_why_get.c", with_a_patient_one(3);

    // One for each theme.
    a_callback_may_end_any_session: "finalize_in_callback.c", loopback(1);
    a_death_is_told_as_the_detection_target_says: "detection.c", with_a_patient_one(3);
    a_daemon_of_another_version_is_named: "other_version.c", of_the_next_version();
    a_full_queue_stops_nobody: "full_queue.c", loopback(1);
    a_partition_is_told_on_both_sides: "partition.c", in_namespaces(3);
    a_process_may_fork_after_initialize: "fork.c", loopback(1);
    a_safe_message_waits_for_a_member_that_stands_still: "safe.c", with_a_patient_one(3);
    a_session_that_never_dispatches_is_ended: "slow.c", loopback(1);
    a_thousand_handles_at_once_and_ten_thousand_in_succession: "handles.c", loopback(1);
    each_guarantee_is_kept_through_a_death_and_a_return: "guarantees.c", loopback(3);
    every_call_ends_when_the_daemon_does: "daemon_death.c", loopback(1);
    events_wake_a_program_when_they_are_whole: "parts.c", loopback(1);
    every_poller_is_woken: "pollers.c", loopback(1);
    messages_of_every_shape_and_size_arrive_whole: "sizes.c", loopback(2);
    nothing_hangs_while_the_daemon_stands_still: "paused.c", loopback(1);
    one_order_everywhere_through_a_death_and_a_return: "order.c", loopback(3);
    signals_disturb_nothing: "signals.c", loopback(1);
    threads_share_a_handle: "threads.c", loopback(1);
}

#[test]
fn no_program_and_no_function_is_left_out() {
    let mut programs = Installed::all_programs();
    programs.retain(|name| name != "layout.c");
    programs.sort_unstable();
    let mut run = SOURCES.to_vec();
    run.sort_unstable();
    assert_eq!(programs, run);
    for function in functions(&Installed::new()) {
        assert!(run.contains(&format!("{function}.c").as_str()), "{function} has no program");
    }
}

#[test]
fn a_program_linked_with_the_static_library_runs() {
    run(&Installed::new().compile_static("evs_mcast_groups.c"), loopback(1));
}

fn conforms(source: &str, how: How, stage: Stage) {
    run(&Installed::new().compile(source, how), stage);
}

/// Fresh daemons on loopback, in one ring.
fn loopback(nodes: u32) -> Stage {
    Stage { cluster: started(Setup::new(nodes)), patient: None, network: None }
}

/// A daemon that speaks the next version alone.
fn of_the_next_version() -> Stage {
    let mut cluster = Cluster::prepare(Setup::new(1)).expect("files can be written");
    let evsd = NextVersion::build().expect("the next version is built").evsd;
    cluster.install(1, Build { evsd, alone: true });
    cluster.start_node(1).expect("it starts");
    until("it listens", || UnixStream::connect(cluster.socket(1)).ok()).expect("it does");
    Stage { cluster, patient: None, network: None }
}

/// The same twice; the other ones take far longer to notice a death.
fn with_a_patient_one(nodes: u32) -> Stage {
    let patient = Setup { detection: PATIENT, ..Setup::new(nodes) };
    Stage { patient: Some(started(patient)), ..loopback(nodes) }
}

/// Fresh daemons, each on a host of its own, in one ring. Only root can do that.
fn in_namespaces(nodes: u8) -> Stage {
    let network = Network::new(nodes, IpVersion::V4).expect("root makes a network");
    let mut setup = Setup::new(nodes.into());
    setup.places = (1..=nodes).map(|host| network.place(host)).collect();
    Stage { cluster: started(setup), patient: None, network: Some(network) }
}

fn started(mut setup: Setup) -> Cluster {
    setup.local_lines = "\n[local.limits]\nclients_max = 4096\n".to_owned();
    let cluster = Cluster::start(setup).expect("the daemons start");
    let all = cluster.nodes();
    cluster.until_members(&all).expect("one ring");
    cluster
}
