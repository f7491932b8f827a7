//! Whether what the clients recorded satisfies the contract, and what there is to see of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evs::{Group, Message, MessageId, RingId};
use evs_model::{ConfigurationChange, Event};
use evs_sim::checker;
use evs_sim::history::{History, Recorded, View};

use super::c_client::Happened;
use super::recorder::{GROUP, Recording, Tag};
use super::screen;

/// Prints the table of digests and the verdict.
///
/// # Errors
/// The histories break the contract; the error is the first difference.
pub(super) fn pronounce(
    recordings: Vec<Recording>,
    c_history: &[Happened],
    sent_for: Duration,
) -> Result<()> {
    let first = recordings.first().context("there is a client at node 1")?;
    let (delivered, megabytes) = (first.delivered, first.bytes as f64 / 1e6);
    print_digests(&recordings, c_history)?;
    compare_c(first, c_history)?;
    nothing_lost(&recordings)?;
    let group = Group::named(GROUP).context("at most 32 bytes")?;
    let views = recordings
        .into_iter()
        .map(|r| View::recorded(r.processor, [group], r.entries, r.running))
        .collect::<Result<Vec<_>, _>>()?;
    let history = History { views, ..History::default() };
    let judged = checker::check(&history).context("the contract is broken")?;
    let seconds = sent_for.as_secs_f64();
    println!(
        "\nat node 1: {delivered} messages, {megabytes:.0} MB in {seconds:.1} s, the changes \
         included: {:.0} messages/s",
        delivered as f64 / seconds
    );
    println!(
        "judged: {} histories, {} configurations, {} deliveries; the C client's history is that \
         of its neighbour",
        judged.views, judged.configurations, judged.deliveries
    );
    println!("equal order, equal configurations, own messages delivered, nothing lost: it holds");
    Ok(())
}

/// The ordered messages that one client was given of one configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Digest {
    count: u64,
    hash: u64,
}

impl Digest {
    const EMPTY: Self = Self { count: 0, hash: 0xcbf2_9ce4_8422_2325 };

    /// FNV-1a over the tags, of which no two are equal.
    fn add(&mut self, tag: Tag) {
        self.count += 1;
        for byte in tag.0.to_le_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// One line of the table.
struct Line {
    name: String,
    sent: String,
    digests: Vec<Option<Digest>>,
    /// The configurations of which it may lack a part: where it came, and where it was cut off.
    partial: Vec<bool>,
}

fn print_digests(recordings: &[Recording], c_history: &[Happened]) -> Result<()> {
    let rings = rings(recordings);
    let mut lines = Vec::new();
    for (i, recording) in recordings.iter().enumerate() {
        let again = recordings[..i].iter().any(|r| r.node == recording.node);
        let name = format!("Rust at {}{}", recording.node, if again { " again" } else { "" });
        lines.push(line(name, recording, &rings, again)?);
    }
    lines.insert(1, c_line(c_history, &rings));
    let heads: Vec<String> = rings.iter().map(|(ring, _)| ring.to_string()).collect();
    let nodes = rings.iter().map(|(_, nodes)| match nodes.len() {
        0..=6 => screen::list(nodes),
        many => format!("{many} nodes"),
    });
    println!("\nordered messages of each configuration, and a digest of them, by client");
    println!("{:16}{:>7}  {}", "ring", "", row(heads));
    println!("{:16}{:>7}  {}", "its nodes", "sent", row(nodes));
    for line in lines {
        let cells = line.digests.iter().zip(&line.partial).map(|(digest, partial)| match digest {
            Some(Digest { count, hash }) => {
                format!("{count:>6} {:08x}{}", hash >> 32, if *partial { "…" } else { " " })
            }
            None => String::new(),
        });
        println!("{:16}{:>7}  {}", line.name, line.sent, row(cells));
    }
    println!("… it joined, or was cut off, in the middle; else equal digests are equal histories");
    Ok(())
}

/// The regular configurations that anybody was told, in the order of their ids, with their nodes.
fn rings(recordings: &[Recording]) -> Vec<(RingId, Vec<u32>)> {
    let mut rings: Vec<(RingId, Vec<u32>)> = Vec::new();
    for event in recordings.iter().flat_map(|r| &r.entries) {
        let Recorded::Event(Event::Configuration(change)) = event else { continue };
        let ConfigurationChange::Regular { ring, members, .. } = change else { continue };
        rings.push((*ring, members.iter().map(|member| member.node.get()).collect()));
    }
    rings.sort();
    rings.dedup();
    rings
}

fn line(
    name: String,
    recording: &Recording,
    rings: &[(RingId, Vec<u32>)],
    came_late: bool,
) -> Result<Line> {
    let mut digests: Vec<Option<Digest>> = vec![None; rings.len()];
    for entry in &recording.entries {
        match entry {
            Recorded::Event(Event::Configuration(ConfigurationChange::Regular {
                ring, ..
            })) => {
                digests[place(rings, *ring)?] = Some(Digest::EMPTY);
            }
            Recorded::Event(Event::Message(message)) => {
                let tag = tag(message);
                if let Some(digest) = &mut digests[place(rings, message.ring)?]
                    && tag.is_ordered()
                {
                    digest.add(tag);
                }
            }
            Recorded::Event(Event::Configuration(_) | Event::Disconnected(_))
            | Recorded::Accepted(_) => {}
        }
    }
    let mut partial = vec![false; rings.len()];
    if let Some(first) = digests.iter().position(Option::is_some) {
        partial[first] = came_late;
    }
    if let Some(last) = digests.iter().rposition(Option::is_some) {
        partial[last] |= !recording.running;
    }
    Ok(Line { name, sent: recording.sent.to_string(), digests, partial })
}

/// The client in C knows the ring of a message from the last configuration it was told; of the two
/// calls of a change the first still names the old ring.
fn c_line(history: &[Happened], rings: &[(RingId, Vec<u32>)]) -> Line {
    let mut digests: Vec<Option<Digest>> = vec![None; rings.len()];
    let mut current: Option<usize> = None;
    let mut sent = 0;
    for happened in history {
        match happened {
            Happened::Sent(_) => sent += 1,
            Happened::Got { tag, .. } if tag.is_ordered() => {
                if let Some(place) = current {
                    digests[place].get_or_insert(Digest::EMPTY).add(*tag);
                }
            }
            Happened::Got { .. } => {}
            Happened::Change { rep, seq, .. } => {
                let same = |ring: &RingId| (ring.rep.node.get(), ring.c_seq()) == (*rep, *seq);
                current = rings.iter().position(|(ring, _)| same(ring));
            }
        }
    }
    let partial = vec![false; rings.len()];
    Line { name: "C at 1".to_owned(), sent: sent.to_string(), digests, partial }
}

/// The neighbours at one daemon see one stream: the same messages and configurations, in one order.
fn compare_c(rust: &Recording, c_history: &[Happened]) -> Result<()> {
    let expected: Vec<Happened> = rust.entries.iter().filter_map(as_c).collect();
    let found: Vec<&Happened> =
        c_history.iter().filter(|h| !matches!(h, Happened::Sent(_))).collect();
    for (i, expected) in expected.iter().enumerate() {
        match found.get(i) {
            Some(found) if *found == expected => {}
            Some(found) => bail!("event {i}: the client in C has {found:?}, Rust {expected:?}"),
            None => bail!("the client in C ends before event {i}, {expected:?}"),
        }
    }
    if let Some(more) = found.get(expected.len()) {
        bail!("the client in C goes on after the last event of its neighbour: {more:?}");
    }
    let got: BTreeSet<u64> = found
        .iter()
        .filter_map(
            |happened| if let Happened::Got { tag, .. } = happened { Some(tag.0) } else { None },
        )
        .collect();
    let sent = c_history
        .iter()
        .filter_map(|h| if let Happened::Sent(tag) = h { Some(tag.0) } else { None });
    match sent.into_iter().find(|tag| !got.contains(tag)) {
        Some(lost) => bail!("EVS-3: the client in C never got its own message {lost:016x}"),
        None => Ok(()),
    }
}

/// An event as the old interface tells it.
fn as_c(entry: &Recorded) -> Option<Happened> {
    let (ring, members) = match entry {
        Recorded::Event(Event::Message(message)) => {
            let node = message.id.sender.node.get();
            return Some(Happened::Got { node, tag: tag(message) });
        }
        Recorded::Event(Event::Configuration(ConfigurationChange::Regular {
            ring,
            members,
            ..
        })) => (ring, members),
        Recorded::Event(Event::Configuration(ConfigurationChange::Transitional {
            from,
            members,
            ..
        })) => (from, members),
        Recorded::Event(Event::Disconnected(_)) | Recorded::Accepted(_) => return None,
    };
    let members = members.iter().map(|member| member.node.get()).collect();
    Some(Happened::Change { rep: ring.rep.node.get(), seq: ring.c_seq(), members })
}

/// What a client that was there to the end handed over has come back to it and to node 1.
fn nothing_lost(recordings: &[Recording]) -> Result<()> {
    let at_first = delivered(&recordings[0]);
    for recording in recordings.iter().filter(|recording| recording.running) {
        let own = delivered(recording);
        for entry in &recording.entries {
            let Recorded::Accepted(submission) = entry else { continue };
            if !own.contains(&submission.id) {
                bail!("lost: {} never came back to node {}", submission.id, recording.node);
            }
            if !at_first.contains(&submission.id) {
                bail!("lost: {} never came to node 1", submission.id);
            }
        }
    }
    Ok(())
}

fn delivered(recording: &Recording) -> BTreeSet<MessageId> {
    let ids = recording.entries.iter().filter_map(|entry| match entry {
        Recorded::Event(Event::Message(message)) => Some(message.id),
        Recorded::Event(_) | Recorded::Accepted(_) => None,
    });
    ids.collect()
}

/// The tag, which the recorder has found in every body that it kept.
fn tag(message: &Message) -> Tag {
    Tag(message.body.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)))
}

fn place(rings: &[(RingId, Vec<u32>)], ring: RingId) -> Result<usize> {
    let place = rings.iter().position(|(known, _)| *known == ring);
    place.with_context(|| format!("EVS-1: a message of {ring}, which nobody was told"))
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| format!("{cell:<17}"));
    cells.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use evs::{Bytes, ClientId, Groups, Guarantee, Members, NodeId, Processor};
    use evs_sim::history::Submission;

    use super::*;

    const RING: RingId = RingId { seq: 7, rep: processor() };

    const fn processor() -> Processor {
        let Some(node) = NodeId::new(1) else { panic!("not zero") };
        Processor::new(node, 0xabc)
    }

    fn id(number: u64) -> MessageId {
        MessageId { sender: processor(), client: ClientId(1), number }
    }

    fn delivered(number: u64) -> Recorded {
        let body = Bytes::copy_from_slice(&number.to_le_bytes());
        let groups = Groups::default();
        let guarantee = Guarantee::Agreed;
        Recorded::Event(Event::Message(Message {
            id: id(number),
            groups,
            guarantee,
            ring: RING,
            seq: number,
            body,
        }))
    }

    fn accepted(number: u64) -> Recorded {
        let (groups, guarantee, body) = (Groups::default(), Guarantee::Agreed, Bytes::new());
        Recorded::Accepted(Submission { id: id(number), guarantee, groups, body })
    }

    fn recording(entries: Vec<Recorded>) -> Recording {
        let members = Members::singleton(processor());
        let change = ConfigurationChange::Regular {
            ring: RING,
            left: Members::default(),
            joined: Members::default(),
            members,
        };
        let first = Recorded::Event(Event::Configuration(change));
        let entries = std::iter::once(first).chain(entries).collect();
        let (node, processor, running) = (1, processor(), true);
        Recording { node, processor, entries, sent: 0, delivered: 0, bytes: 0, running }
    }

    fn c_history(tags: &[u64]) -> Vec<Happened> {
        let change = Happened::Change { rep: 1, seq: RING.c_seq(), members: vec![1] };
        let got = tags.iter().map(|tag| Happened::Got { node: 1, tag: Tag(*tag) });
        std::iter::once(change).chain(got).collect()
    }

    #[test]
    fn a_digest_tells_the_order_of_messages() {
        let digest = |tags: [u64; 2]| {
            let mut digest = Digest::EMPTY;
            tags.into_iter().for_each(|tag| digest.add(Tag(tag)));
            digest
        };
        assert_eq!(digest([1, 2]), digest([1, 2]));
        assert_ne!(digest([1, 2]), digest([2, 1]));
    }

    #[test]
    fn the_first_difference_between_the_neighbours_is_named() {
        let rust = recording(vec![delivered(1), delivered(2)]);
        assert!(compare_c(&rust, &c_history(&[1, 2])).is_ok());
        let swapped = compare_c(&rust, &c_history(&[2, 1])).expect_err("another order");
        assert!(swapped.to_string().starts_with("event 1: "), "{swapped}");
        assert!(compare_c(&rust, &c_history(&[1])).is_err());
        assert!(compare_c(&rust, &c_history(&[1, 2, 3])).is_err());
    }

    #[test]
    fn a_message_in_c_that_never_came_back_is_noticed() {
        let rust = recording(vec![delivered(1)]);
        let mut history = c_history(&[1]);
        history.push(Happened::Sent(Tag(1)));
        assert!(compare_c(&rust, &history).is_ok());
        history.push(Happened::Sent(Tag(9)));
        assert!(compare_c(&rust, &history).is_err());
    }

    #[test]
    fn a_message_that_was_accepted_and_never_delivered_is_lost() {
        let whole = recording(vec![accepted(1), delivered(1)]);
        assert!(nothing_lost(&[whole]).is_ok());
        let lost = recording(vec![accepted(1), delivered(1), accepted(2)]);
        assert!(nothing_lost(&[lost]).is_err());
    }
}
