//! Every frame survives the wire, and no bytes whatever make a decoder panic.

use bytes::Bytes;
use evs_ipc::shm::Sizes;
use evs_ipc::{
    ClientFrame, DecodeError, EncodeFrame, Frame, FrameReader, Hello, Outcome, PROTOCOL_VERSION,
    Refusal, SendHead, ServerFrame, Welcome, client_frame_bytes_max, decode_event,
    event_frame_bytes_max,
};
use evs_model::{
    ClientId, ConfigurationChange, DisconnectReason, Event, Group, Groups, Guarantee, MEMBERS_MAX,
    Members, Message, MessageId, NodeId, Processor, RingId, Versions,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn encoded(frame: &impl EncodeFrame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    assert_eq!(out.len(), frame.encoded_len(), "the length is known before");
    out
}

/// The only frame in these bytes.
fn framed(bytes: &[u8]) -> Frame {
    let mut reader = FrameReader::new(bytes.len());
    reader.feed(bytes);
    let frame = reader.next_frame().expect("well-formed").expect("complete");
    assert!(!reader.is_inside_frame());
    frame
}

fn processors() -> impl Strategy<Value = Processor> {
    (1..=u32::MAX, any::<u64>())
        .prop_map(|(node, boot)| Processor::new(NodeId::new(node).expect("not zero"), boot))
}

fn rings() -> impl Strategy<Value = RingId> {
    (any::<u64>(), processors()).prop_map(|(seq, rep)| RingId { seq, rep })
}

fn members() -> impl Strategy<Value = Members> {
    vec(processors(), 0..=MEMBERS_MAX).prop_map(|list| {
        let mut members = Members::default();
        for processor in list {
            members.insert(processor).expect("not more than the limit");
        }
        members
    })
}

fn groups() -> impl Strategy<Value = Groups> {
    vec(any::<[u8; 32]>().prop_map(Group), 0..20).prop_map(|list| Groups::new(&list).expect("few"))
}

fn guarantees() -> impl Strategy<Value = Guarantee> {
    (0..4_u8).prop_map(|number| Guarantee::try_from(number).expect("one of four"))
}

fn bodies() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20_000).prop_map(Bytes::from)
}

fn client_frames() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        "\\PC{0,16}".prop_map(|name| ClientFrame::Hello(Hello::new(&name))),
        (any::<u32>(), groups())
            .prop_map(|(request, groups)| ClientFrame::Join { request, groups }),
        (any::<u32>(), groups())
            .prop_map(|(request, groups)| ClientFrame::Leave { request, groups }),
        (guarantees(), groups(), bodies())
            .prop_map(|(guarantee, groups, body)| ClientFrame::Send { guarantee, groups, body }),
        any::<u32>().prop_map(|request| ClientFrame::Status { request }),
        (any::<u32>(), ".{0,64}")
            .prop_map(|(request, question)| ClientFrame::Ask { request, question }),
    ]
}

fn welcomes() -> impl Strategy<Value = Welcome> {
    (processors(), any::<u64>(), 0..=16_u32 << 20, any::<u32>(), any::<u64>()).prop_map(
        |(processor, client, message_bytes_max, joined_groups_max, credit)| Welcome {
            rings: Sizes::for_bytes(credit / 2, credit / 3),
            version: PROTOCOL_VERSION,
            processor,
            client: ClientId(client),
            message_bytes_max,
            joined_groups_max,
            credit,
        },
    )
}

fn versions(lowest: u16, highest: u16) -> Versions {
    Versions::new(lowest, highest).expect("in order")
}

fn server_frames() -> impl Strategy<Value = ServerFrame> {
    let outcomes = prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::NotJoined),
        Just(Outcome::TooManyGroups),
        Just(Outcome::Leaving),
    ];
    let refusals = prop_oneof![
        Just(Refusal::Access),
        Just(Refusal::Version),
        Just(Refusal::TooManyClients),
        Just(Refusal::NotReady),
        Just(Refusal::Leaving),
        (6..=u8::MAX).prop_map(Refusal::Other),
    ];
    prop_oneof![
        welcomes().prop_map(ServerFrame::Welcome),
        (refusals, 1..=u16::MAX)
            .prop_map(|(reason, version)| (reason, versions(version, u16::MAX)))
            .prop_map(|(reason, versions)| ServerFrame::Refused { reason, versions }),
        (any::<u32>(), outcomes)
            .prop_map(|(request, outcome)| ServerFrame::Done { request, outcome }),
        any::<u64>().prop_map(|bytes| ServerFrame::Credit { bytes }),
        (any::<u32>(), "\\PC{0,100}")
            .prop_map(|(request, json)| ServerFrame::StatusReply { request, json }),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let regular =
        (rings(), members(), members(), members()).prop_map(|(ring, members, left, joined)| {
            Event::Configuration(ConfigurationChange::Regular { ring, members, left, joined })
        });
    let transitional =
        (rings(), rings(), members(), members()).prop_map(|(from, to, members, left)| {
            Event::Configuration(ConfigurationChange::Transitional { from, to, members, left })
        });
    let ids = (processors(), any::<u64>(), any::<u64>()).prop_map(|(sender, client, number)| {
        MessageId { sender, client: ClientId(client), number }
    });
    let message = (ids, groups(), guarantees(), rings(), any::<u64>(), bodies()).prop_map(
        |(id, groups, guarantee, ring, seq, body)| {
            Event::Message(Message { id, groups, guarantee, ring, seq, body })
        },
    );
    let disconnected = prop_oneof![
        Just(DisconnectReason::TooSlow),
        Just(DisconnectReason::Shutdown),
        Just(DisconnectReason::ProtocolError),
    ];
    prop_oneof![regular, transitional, message, disconnected.prop_map(Event::Disconnected)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn client_frames_survive_the_wire(frame in client_frames()) {
        prop_assert_eq!(ClientFrame::decode(framed(&encoded(&frame))), Ok(frame));
    }

    #[test]
    fn server_frames_survive_the_wire(frame in server_frames()) {
        prop_assert_eq!(ServerFrame::decode(framed(&encoded(&frame))), Ok(frame));
    }

    #[test]
    fn events_survive_the_wire(event in events()) {
        let bytes = encoded(&event);
        prop_assert!(bytes.len() <= event_frame_bytes_max(20_000));
        prop_assert_eq!(decode_event(framed(&bytes)), Ok(event));
    }

    #[test]
    fn a_cut_or_changed_frame_is_an_error_or_another_frame(
        event in events(),
        frame in client_frames(),
        reply in server_frames(),
        cut in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        for bytes in [encoded(&event), encoded(&frame), encoded(&reply)] {
            let at = cut.index(bytes.len());
            let whole = framed(&bytes);
            let mut fields = whole.fields.to_vec();
            fields.truncate(at);
            decode_all(whole.kind, &fields);
            let mut fields = whole.fields.to_vec();
            if let Some(byte) = fields.get_mut(at) {
                *byte ^= 1 << bit;
            }
            decode_all(whole.kind, &fields);
        }
    }

    #[test]
    fn random_bytes_never_panic(kind in 0..8_u8, fields in vec(any::<u8>(), 0..300)) {
        decode_all(kind, &fields);
    }

    #[test]
    fn a_send_from_parts_is_the_frame_itself(
        guarantee in guarantees(),
        groups in groups(),
        body in bodies(),
    ) {
        let list: Vec<_> = groups.iter().collect();
        let mut bytes = Vec::new();
        prop_assert!(SendHead::encode(&mut bytes, guarantee, &list, body.len()));
        bytes.extend_from_slice(&body);
        prop_assert_eq!(bytes, encoded(&ClientFrame::Send { guarantee, groups, body }));
    }
}

/// What decodes also encodes, and comes back as itself.
fn decode_all(kind: u8, fields: &[u8]) {
    let frame = || Frame { kind, fields: Bytes::copy_from_slice(fields) };
    if let Ok(decoded) = ClientFrame::decode(frame()) {
        assert_eq!(ClientFrame::decode(framed(&encoded(&decoded))), Ok(decoded));
    }
    if let Ok(decoded) = ServerFrame::decode(frame()) {
        assert_eq!(ServerFrame::decode(framed(&encoded(&decoded))), Ok(decoded));
    }
    if let Ok(decoded) = decode_event(frame()) {
        assert_eq!(decode_event(framed(&encoded(&decoded))), Ok(decoded));
    }
}

#[test]
fn the_longest_frames_are_as_long_as_their_limits() {
    let groups = Groups::new(&vec![Group([7; 32]); Groups::MAX]).expect("at the limit");
    let body = Bytes::from(vec![1; 5000]);
    let send = ClientFrame::Send {
        guarantee: Guarantee::Safe,
        groups: groups.clone(),
        body: body.clone(),
    };
    assert_eq!(encoded(&send).len(), client_frame_bytes_max(5000));
    let sender = Processor::new(NodeId::new(1).expect("not zero"), 1);
    let message = Event::Message(Message {
        id: MessageId { sender, client: ClientId(1), number: 1 },
        groups,
        guarantee: Guarantee::Safe,
        ring: RingId { seq: 1, rep: sender },
        seq: 1,
        body,
    });
    assert_eq!(encoded(&message).len(), event_frame_bytes_max(5000));
    // A configuration with as many members as there can be fits even where messages are empty.
    let full = (1..=128).map(|n| Processor::new(NodeId::new(n).expect("not zero"), 0)).collect();
    let full = Members::new(full).expect("at the limit");
    let regular = Event::Configuration(ConfigurationChange::Regular {
        ring: RingId { seq: 1, rep: sender },
        members: full.clone(),
        left: full.clone(),
        joined: full,
    });
    assert!(encoded(&regular).len() <= event_frame_bytes_max(0));
}

#[test]
fn more_groups_than_a_message_can_name_are_refused_by_both_ends() {
    let mut out = Vec::new();
    let groups = vec![Group([0; 32]); Groups::MAX + 1];
    assert!(!SendHead::encode(&mut out, Guarantee::Agreed, &groups, 0));
    assert!(out.is_empty());
    let mut fields = vec![2];
    fields.extend_from_slice(&1025_u16.to_le_bytes());
    fields.resize(fields.len() + 1025 * 32, 0);
    let frame = Frame { kind: 4, fields: fields.into() };
    assert!(matches!(ClientFrame::decode(frame), Err(DecodeError::Groups(_))));
}

#[test]
fn a_hello_of_another_version_is_understood_as_that() {
    let mut hello = Hello::new("x");
    hello.versions = versions(300, 301);
    let mut bytes = encoded(&ClientFrame::Hello(hello));
    // What later versions append does not matter; nor does what they put in place of the name.
    *bytes.last_mut().expect("the name") = 0xff;
    let decoded = ClientFrame::decode(framed(&bytes)).expect("the version is readable");
    assert_eq!(
        decoded,
        ClientFrame::Hello(Hello { versions: versions(300, 301), name: String::new() })
    );
}

#[test]
fn a_refusal_of_another_version_is_understood() {
    let refused = |versions| Ok(ServerFrame::Refused { reason: Refusal::Version, versions });
    let fields = Bytes::from_static(&[2, 9, 0, 10, 0, b'm', b'o', b'r', b'e']);
    let decoded = ServerFrame::decode(Frame { kind: 2, fields });
    assert_eq!(decoded, refused(versions(9, 10)));
    let welcome = Frame { kind: 1, fields: Bytes::from_static(&[8, 0, 1, 2, 3]) };
    assert_eq!(ServerFrame::decode(welcome), refused(versions(8, 8)));
}

#[test]
fn a_side_that_names_one_version_speaks_that_one() {
    let fields = Bytes::from_static(&[2, 2, 0]);
    let decoded = ServerFrame::decode(Frame { kind: 2, fields });
    let refused = ServerFrame::Refused { reason: Refusal::Version, versions: versions(2, 2) };
    assert_eq!(decoded, Ok(refused));
    // What follows is its name, and no second version.
    for fields in [&b"EVSc\x02\0"[..], b"EVSc\x02\0name"] {
        let hello = ClientFrame::decode(Frame { kind: 1, fields: Bytes::from_static(fields) });
        let old = Hello { versions: versions(2, 2), name: String::new() };
        assert_eq!(hello, Ok(ClientFrame::Hello(old)));
    }
}

#[test]
fn version_zero_and_an_inverted_range_are_refused() {
    for range in [[0, 0, 9, 0], [9, 0, 8, 0]] {
        let fields = Bytes::from([&[2], &range[..]].concat());
        let decoded = ServerFrame::decode(Frame { kind: 2, fields });
        assert!(matches!(decoded, Err(DecodeError::Value { field: "version", .. })), "{range:?}");
    }
}

#[test]
fn a_stranger_is_told_from_a_client() {
    let frame = Frame { kind: 1, fields: Bytes::from_static(b"GET / HTTP/1.1") };
    assert_eq!(ClientFrame::decode(frame), Err(DecodeError::Magic));
}

#[test]
fn a_long_name_is_cut_at_a_character() {
    let hello = Hello::new(&"ä".repeat(40));
    assert_eq!(hello.name, "ä".repeat(32));
    let hello = Hello::new(&format!("x{}", "ä".repeat(40)));
    assert_eq!(hello.name.len(), 63);
}
