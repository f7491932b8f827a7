//! Clients that are not allowed, break the protocol, do not read, or die.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use evs::Guarantee;
use evs_ipc::{ClientFrame, EncodeFrame as _, Hello, Refusal, ServerFrame};
use evs_model::{DisconnectReason, Event, Groups, Versions};
use evs_testkit::{Cluster, RawClient, Setup, until};
use evsd::clients::SESSION_LINES;

use rustix::process::Signal;

use super::victim::{self, CALLS, CONNECTED, NO_ACCESS};
use super::{
    PATIENT, client, formed, group, member, messages, next_message, setup, status_number,
    until_logged,
};

/// The events of a client up to the one that ends its session.
fn until_disconnected(client: &mut RawClient) -> DisconnectReason {
    loop {
        match client.event().expect("events until the last one") {
            Some(Event::Disconnected(reason)) => return reason,
            Some(_) => {}
            None => panic!("the daemon hung up without a word"),
        }
    }
}

fn frame(frame: &ClientFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn send_frame(body: usize) -> Vec<u8> {
    frame(&ClientFrame::Send {
        guarantee: Guarantee::Agreed,
        groups: Groups::new(&[group("x")]).expect("one"),
        body: vec![0; body].into(),
    })
}

/// D6: each kind of wrong frame ends that session with a reason, and nothing else.
#[test]
fn a_client_that_breaks_the_protocol_is_disconnected_with_a_reason() {
    let cluster = formed(setup(1));
    let bystander = member(&cluster, 1, group("bystander"));
    let mut bad_guarantee = send_frame(3);
    bad_guarantee[5] = 9;
    let mut bad_count = send_frame(3);
    bad_count[6] = 0xff;
    let mut odd_groups = frame(&ClientFrame::Join { request: 1, groups: Groups::default() });
    odd_groups[0] += 5;
    odd_groups.extend([0; 5]);
    let cases: [(&str, Vec<u8>); 9] = [
        ("a frame of length 0", vec![0; 8]),
        ("a frame has", vec![0xff; 8]),
        ("unknown frame kind 77", vec![1, 0, 0, 0, 77]),
        ("9 is no guarantee", bad_guarantee),
        ("the frame ends inside", bad_count),
        ("no list of 32-byte keys", odd_groups),
        ("a Hello in the middle", frame(&ClientFrame::Hello(Hello::new("again")))),
        ("the limit (message_bytes_max) is 1048576", send_frame((1 << 20) + 1)),
        ("ends inside", vec![2, 0, 0, 0, 5, 1]),
    ];
    for (what, bytes) in &cases {
        let (mut client, _) = RawClient::open(&cluster.socket(1), "wrong").expect("welcomed");
        // Messages go through the ring.
        let is_message = bytes.get(4) == Some(&4);
        let written =
            if is_message { client.send_through_ring(bytes) } else { client.send_bytes(bytes) };
        written.expect("written");
        assert_eq!(until_disconnected(&mut client), DisconnectReason::ProtocolError, "{what}");
        assert!(client.reply().expect("no more frames").is_none(), "{what}");
    }
    let errors = status_number(&cluster, 1, "/counters/clients/protocol_errors");
    assert_eq!(errors, cases.len() as u64);
    until_logged(&cluster, 1, &["WARN", "client broke the protocol", cases[0].0]);
    bystander.send(Guarantee::Agreed, &[group("bystander")], b"still here").expect("sent");
    assert_eq!(&next_message(&bystander).body[..], b"still here");
}

/// While a member of the ring stands still, nothing is sent and no credit comes back.
#[test]
fn a_client_that_spends_more_than_its_credit_is_disconnected() {
    let cluster = formed(Setup { detection: PATIENT, ..setup(2) });
    let (mut client, welcome) = RawClient::open(&cluster.socket(1), "greedy").expect("welcomed");
    cluster.signal(2, Signal::STOP).expect("it runs");
    let message = send_frame(100_000);
    let count = welcome.credit / 100_000 + 10;
    for _ in 0..count {
        // The ring may be full for a moment. The daemon hangs up in the middle.
        let full = Some(ErrorKind::WouldBlock);
        while client.send_through_ring(&message).err().map(|error| error.kind()) == full {
            std::thread::yield_now();
        }
    }
    assert_eq!(until_disconnected(&mut client), DisconnectReason::ProtocolError);
    cluster.signal(2, Signal::CONT).expect("it runs");
    until_logged(&cluster, 1, &["client broke the protocol", "outstanding"]);
}

#[test]
fn a_first_frame_that_is_no_hello_ends_the_connection() {
    let cluster = formed(setup(1));
    let other_magic = frame(&ClientFrame::Hello(Hello::new("x"))).into_iter().enumerate();
    let other_magic: Vec<_> = other_magic.map(|(i, b)| if i == 5 { b ^ 1 } else { b }).collect();
    let long = {
        let mut bytes = frame(&ClientFrame::Status { request: 1 });
        bytes[..4].copy_from_slice(&5000_u32.to_le_bytes());
        bytes
    };
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), send_frame(1), other_magic, long] {
        let mut client = RawClient::connect(&cluster.socket(1)).expect("connected");
        client.send_bytes(&bytes).expect("written");
        assert!(client.reply().expect("no frame").is_none());
    }
}

#[test]
fn a_client_of_another_version_is_told_so() {
    let cluster = formed(setup(1));
    let mut client = RawClient::connect(&cluster.socket(1)).expect("connected");
    let hello = Hello { versions: Versions::new(999, 999).expect("in order"), name: String::new() };
    client.send(&ClientFrame::Hello(hello)).expect("written");
    let refused = client.reply().expect("an answer");
    assert_eq!(refused, Some(ServerFrame::refused(Refusal::Version)));
}

#[test]
fn one_client_too_many_is_refused_and_may_try_again() {
    let limits = "[local.limits]\nclients_max = 3".to_owned();
    let cluster = formed(Setup { local_lines: limits, ..setup(1) });
    let open = || RawClient::open(&cluster.socket(1), "one of many");
    let mut clients: Vec<_> = (0..3).map(|_| open().expect("within the limit").0).collect();
    let refused = open().expect_err("beyond the limit").to_string();
    assert!(refused.contains("TooManyClients"), "{refused}");
    clients.pop();
    until("a place is free", || open().ok()).expect("the place of the one that left");
}

/// D4: connections that say nothing are no obstacle to those that do.
#[test]
fn silent_connections_do_not_keep_others_out() {
    let cluster = formed(setup(1));
    let socket = cluster.socket(1);
    let silent: Vec<_> =
        (0..400).map(|_| RawClient::connect(&socket).expect("connected")).collect();
    client(&cluster, 1);
    drop(silent);
    assert!(status_number(&cluster, 1, "/counters/clients/silent") >= 400 - 256);
}

/// D4: a connection that says nothing is closed after a while.
#[test]
fn a_silent_connection_has_a_deadline() {
    let cluster = formed(setup(1));
    let mut silent = RawClient::connect(&cluster.socket(1)).expect("connected");
    assert!(silent.reply().expect("closed within the deadline").is_none());
    assert_eq!(status_number(&cluster, 1, "/counters/clients/silent"), 1);
}

/// D8: a client that does not read is disconnected when its queue is full; others are not
/// disturbed, and it finds the reason behind the events that it had.
#[test]
fn a_client_that_does_not_read_is_disconnected_and_told_why() {
    let lines = "[local.limits]\nclient_event_bytes_max = 2097152".to_owned();
    let cluster = formed(Setup { local_lines: lines, ..setup(1) });
    let flood = group("flood");
    let (mut mute, _) = RawClient::open(&cluster.socket(1), "mute").expect("welcomed");
    let groups = Groups::new(&[flood]).expect("one");
    mute.send(&ClientFrame::Join { request: 1, groups }).expect("written");
    assert!(matches!(mute.reply().expect("an answer"), Some(ServerFrame::Done { .. })));
    let reader = member(&cluster, 1, flood);
    let body = vec![0; 50_000];
    let mut sent = 0;
    while status_number(&cluster, 1, "/counters/clients/too_slow") == 0 {
        reader.send(Guarantee::Agreed, &[flood], &body).expect("sent");
        assert_eq!(next_message(&reader).body.len(), body.len());
        sent += 1;
        assert!(sent < 1000, "the queue is never full");
    }
    assert_eq!(until_disconnected(&mut mute), DisconnectReason::TooSlow);
    reader.send(Guarantee::Agreed, &[flood], b"on we go").expect("sent");
    assert_eq!(&next_message(&reader).body[..], b"on we go");
}

/// The size of a message is its sender's affair: it reaches clients of a node with lower limits.
#[test]
fn a_message_above_the_limits_of_a_node_reaches_its_clients() {
    let lines = "[local.limits]\nclient_event_bytes_max = 65536".to_owned();
    let mut cluster = Cluster::prepare(Setup { local_lines: lines, ..setup(2) }).expect("files");
    let lower = cluster.config(2).replace("[cluster]", "[cluster]\nmessage_bytes_max = 1024");
    std::fs::write(cluster.config_file(2), lower).expect("written");
    for node in [1, 2] {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2]).expect("one ring");
    let large = group("large");
    let (sender, receiver) = (client(&cluster, 1), member(&cluster, 2, large));
    for _ in 0..5 {
        sender.send(Guarantee::Agreed, &[large], &vec![5; 1 << 20]).expect("sent");
        assert_eq!(next_message(&receiver).body.len(), 1 << 20);
    }
}

/// D24: programs that come and go in a loop. All lines are in the log when a later one is.
#[test]
fn clients_that_come_and_go_do_not_fill_the_log() {
    let cluster = formed(setup(1));
    for _ in 0..SESSION_LINES {
        client(&cluster, 1);
    }
    cluster.signal(1, Signal::HUP).expect("it runs");
    until_logged(&cluster, 1, &["configuration read again"]);
    let log = cluster.log(1);
    let is_about_clients =
        |line: &&str| ["client connected", "client left"].iter().any(|what| line.contains(what));
    let lines = log.lines().filter(is_about_clients).count();
    assert_eq!(lines, usize::try_from(SESSION_LINES).expect("small"), "{log}");
}

/// A client that does not take its replies gets no more of its requests read; others do.
#[test]
fn a_client_that_does_not_take_replies_only_harms_itself() {
    let cluster = formed(setup(1));
    let (mut deaf, _) = RawClient::open(&cluster.socket(1), "deaf").expect("welcomed");
    let requests = frame(&ClientFrame::Status { request: 1 }).repeat(2000);
    deaf.send_bytes(&requests).expect("they fit the socket");
    client(&cluster, 1).status_json().expect("answered");
    for _ in 0..2000 {
        let reply = deaf.reply().expect("every request is answered in the end");
        assert!(matches!(reply, Some(ServerFrame::StatusReply { request: 1, .. })));
    }
}

/// D7: a client killed in any call leaves nothing behind, and what it sent is sent.
#[test]
fn clients_killed_in_every_call_leave_nothing_behind() {
    let cluster = formed(setup(2));
    let witness = member(&cluster, 2, group("witness"));
    let descriptors = || {
        let pid = cluster.pid(1).expect("it runs");
        std::fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux").count()
    };
    let before = descriptors();
    for call in CALLS {
        for _ in 0..3 {
            let mut child = victim::start(call, &cluster.socket(1));
            until(&format!("the victim is in its call {call}"), || {
                (victims(&cluster) > 0).then_some(())
            })
            .expect("it connects");
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }
    until("the victims are gone", || (victims(&cluster) == 0).then_some(())).expect("all of them");
    until("their descriptors are closed", || (descriptors() <= before).then_some(()))
        .expect("as many as before");
    let sender = client(&cluster, 1);
    sender.send(Guarantee::Safe, &[group("witness")], b"alive").expect("sent");
    assert_eq!(&next_message(&witness).body[..], b"alive");
    assert_eq!(status_number(&cluster, 1, "/counters/ring/configurations"), 1);
}

fn victims(cluster: &Cluster) -> usize {
    let status = cluster.status(1).expect("it answers");
    let list = status["clients"]["list"].as_array().expect("a list");
    list.iter().filter(|client| client["name"] == "victim").count()
}

/// EVS-3: the sender's death changes nothing.
#[test]
fn messages_of_a_client_that_closed_at_once_are_sent() {
    let cluster = formed(setup(2));
    let receiver = member(&cluster, 2, group("wills"));
    let sender = client(&cluster, 1);
    for _ in 0..100 {
        sender.send(Guarantee::Agreed, &[group("wills")], &[1; 5000]).expect("accepted");
    }
    drop(sender);
    assert_eq!(messages(&receiver, 100).len(), 100);
}

/// Runs a client as a user that is neither root nor the daemon's.
pub(crate) fn try_as(cluster: &Cluster, uid: u32, gid: u32) -> Option<i32> {
    try_call_as(cluster, "try", uid, gid)
}

pub(crate) fn try_call_as(cluster: &Cluster, call: &str, uid: u32, gid: u32) -> Option<i32> {
    assert!(rustix::process::geteuid().is_root(), "run as root: the test changes its user");
    // The other user may not be allowed to read the build directory.
    let binary = cluster.dir().join("client");
    if !binary.exists() {
        std::fs::copy(std::env::current_exe().expect("known"), &binary).expect("copied");
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&binary, everybody).expect("opened");
    }
    let mut command: Command = victim::command(&binary, call, &cluster.socket(1));
    command.uid(uid).gid(gid).current_dir("/");
    command.status().expect("it runs").code()
}

pub(crate) const NOBODY: u32 = 65_534;

#[test]
fn a_user_who_is_not_allowed_is_kept_out_by_the_sockets_mode() {
    let cluster = formed(setup(1));
    let mode = std::fs::metadata(cluster.socket(1)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(try_as(&cluster, NOBODY, NOBODY), Some(NO_ACCESS));
    assert_eq!(try_as(&cluster, 0, 0), Some(CONNECTED));
}

#[test]
fn allowed_users_and_groups_are_let_in_and_others_refused() {
    let lines = "allow_uids = [4242]\nallow_gids = [4343]".to_owned();
    let cluster = formed(Setup { local_lines: lines, ..setup(1) });
    assert_eq!(try_as(&cluster, 4242, NOBODY), Some(CONNECTED));
    assert_eq!(try_as(&cluster, NOBODY, 4343), Some(CONNECTED));
    assert_eq!(try_as(&cluster, NOBODY, NOBODY), Some(NO_ACCESS));
    assert_eq!(status_number(&cluster, 1, "/counters/clients/refused_access"), 1);
    until_logged(&cluster, 1, &["WARN", "client refused", "uid=65534"]);
}

/// The group `evs` owns the socket where it exists, and its members are let in. The daemon sees a
/// group database of the test's own.
#[test]
fn members_of_the_group_evs_are_let_in() {
    const EVS: u32 = 4747;
    let files = Cluster::prepare(setup(1)).expect("a directory");
    let database = files.dir().join("group");
    std::fs::write(&database, format!("root:x:0:\nevs:x:{EVS}:\n")).expect("written");
    let script = files.dir().join("evsd");
    let text = format!(
        "#!/bin/sh\n\
         exec unshare --mount sh -c \\\n\
         'mount --bind {} /etc/group && exec {} \"$@\"' sh \"$@\"\n",
        database.display(),
        env!("CARGO_BIN_EXE_evsd")
    );
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("runnable");

    let cluster = formed(Setup { evsd: Some(script), ..setup(1) });
    let socket = std::fs::metadata(cluster.socket(1)).expect("there");
    assert_eq!((socket.gid(), socket.permissions().mode() & 0o777), (EVS, 0o660));
    assert_eq!(try_as(&cluster, NOBODY, EVS), Some(CONNECTED));
    assert_eq!(try_as(&cluster, NOBODY, NOBODY), Some(NO_ACCESS));
}
