//! What a daemon keeps on disk: the ring sequence, and the cluster's key.

use evs_net::ClusterKey;
use evs_node::Store;

use crate::{Seen, Target, seeds, seen};

pub(crate) const TARGET: Target = Target {
    name: "stored",
    run,
    bytes_max: 4096,
    landmarks: || seen::names(&["ring sequence", "no ring sequence", "key", "no key", "no text"]),
    seeds: seeds::stored,
};

fn run(input: &[u8]) -> Seen {
    let mut seen = Seen::nothing();
    let seq = Store::parse(input);
    seen.mark(usize::from(seq.is_none()));
    if let Some(seq) = seq {
        assert_eq!(Store::line(seq).as_bytes(), input, "no damage makes another number");
    }
    let Ok(text) = str::from_utf8(input) else {
        seen.mark(4);
        return seen;
    };
    let key = ClusterKey::parse(text);
    seen.mark(2 + usize::from(key.is_err()));
    if let Ok(key) = key {
        let written = key.to_text();
        let again = ClusterKey::parse(&written).expect("what is written is a key");
        assert_eq!(*again.to_text(), *written, "the same key");
    }
    seen
}
