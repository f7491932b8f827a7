//! Joining, leaving, and what a refusal leaves as it was.

use super::*;

fn group(name: &str) -> Group {
    Group::named(name).expect("short")
}

fn gets(sessions: &Sessions, name: &str) -> bool {
    let mut clients = Vec::new();
    sessions.recipients(&Groups::new(&[group(name)]).expect("one"), &mut clients);
    !clients.is_empty()
}

#[test]
fn client_ids_begin_at_1_and_are_never_used_again() {
    let mut sessions = Sessions::new(1, 0);
    assert_eq!(sessions.open(), Some(ClientId(1)));
    sessions.close(ClientId(1));
    assert_eq!(sessions.open(), Some(ClientId(2)));
}

#[test]
fn the_last_client_id_is_used_and_then_no_session_opens() {
    let mut sessions = Sessions::new(1, u64::MAX - 1);
    assert_eq!(sessions.open(), Some(ClientId(u64::MAX)));
    assert_eq!(sessions.open(), None);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_group_joined_twice_is_left_twice() {
    let mut sessions = Sessions::new(1, 0);
    let client = sessions.open().expect("few");
    sessions.join(client, &[group("a"), group("a")]).expect("one group");
    sessions.leave(client, &[group("a")]).expect("joined");
    assert!(gets(&sessions, "a"));
    sessions.leave(client, &[group("a")]).expect("joined");
    assert!(!gets(&sessions, "a"));
    let error = sessions.leave(client, &[group("a")]).expect_err("not joined any more");
    assert_eq!(error, RequestError::NotJoined(group("a")));
}

#[test]
fn a_leave_that_names_one_group_too_many_leaves_none() {
    let mut sessions = Sessions::new(8, 0);
    let client = sessions.open().expect("few");
    sessions.join(client, &[group("a"), group("b")]).expect("few");
    let error = sessions.leave(client, &[group("b"), group("a"), group("b")]);
    assert_eq!(error, Err(RequestError::NotJoined(group("b"))));
    assert!(gets(&sessions, "a") && gets(&sessions, "b"));
}

#[test]
fn a_join_beyond_the_limit_joins_none() {
    let mut sessions = Sessions::new(2, 0);
    let client = sessions.open().expect("few");
    sessions.join(client, &[group("a"), group("b"), group("a")]).expect("at the limit");
    sessions.leave(client, &[group("b")]).expect("joined");
    let error = sessions.join(client, &[group("c"), group("a"), group("d")]);
    assert_eq!(error, Err(RequestError::TooManyGroups { max: 2 }));
    assert!(!gets(&sessions, "c"));
    sessions.leave(client, &[group("a"), group("a")]).expect("still joined twice, not thrice");
    assert!(!gets(&sessions, "a"));
}

#[test]
fn a_session_that_ends_leaves_its_groups() {
    let mut sessions = Sessions::new(2, 0);
    let client = sessions.open().expect("few");
    sessions.join(client, &[group("a"), group("a")]).expect("one group");
    sessions.close(client);
    assert!(!gets(&sessions, "a"));
    assert_eq!(sessions.join(client, &[]), Err(RequestError::UnknownClient));
    assert_eq!(sessions.leave(client, &[]), Err(RequestError::UnknownClient));
}
