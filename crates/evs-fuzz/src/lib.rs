//! What the fuzzer does with arbitrary bytes: one ordinary function for each [`Target`].
//!
//! Responsible for: turning bytes into inputs of the code that ships, asserting what must hold
//! whatever they are, and telling what they reached; the seeds from which the corpora began.
//! Not responsible for: finding inputs. That is libFuzzer's work (`fuzz/`, `cargo xtask fuzz`); the
//! tests of this crate replay what it found (`fuzz/corpus/`) through the same functions.
//!
//! | target | what is fed |
//! | --- | --- |
//! | `packet` | bytes to the decoder of ring packets |
//! | `datagram` | datagrams, forged and sealed, to an `evs_net::Endpoint` |
//! | `ipc` | a byte stream, cut anywhere, to the frames of daemon and client |
//! | `config` | text to the reader of the configuration file, and of the key file |
//! | `stored` | bytes to the readers of what a daemon keeps on disk |
//! | `body` | packet bodies to the service's unpacking |
//! | `ring` | packets, time, verdicts and submissions to a living `totem::Ring` |
//! | `service` | the same, and clients, to a living `evs_service::Service` |
//! | `shm` | what a client may write into the memory that it shares, to the daemon's side of it |

#![forbid(unsafe_code)]

mod body;
mod config;
mod datagram;
mod forge;
mod history;
mod input;
mod ipc;
mod op;
mod packet;
mod pieces;
mod puppets;
mod records;
mod ring;
mod seeds;
mod seen;
mod service;
mod shm;
mod stored;
pub mod trace;
mod world;

pub use seen::Seen;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its corpus and of its file in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// Feeds one input, and panics if something does not hold that must. Returns what it reached.
    pub run: fn(&[u8]) -> Seen,
    /// The longest input worth trying, in bytes.
    pub bytes_max: usize,
    /// What a corpus must reach, by the bits of [`Seen`]: what it no longer reaches is not tested.
    pub landmarks: fn() -> Vec<String>,
    /// Inputs to begin with, by name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    body::TARGET,
    config::TARGET,
    datagram::TARGET,
    ipc::TARGET,
    packet::TARGET,
    ring::TARGET,
    service::TARGET,
    shm::TARGET,
    stored::TARGET,
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Feeds one input to the target of this name: what the fuzzer calls.
///
/// # Panics
/// Something did not hold, or there is no such target.
pub fn fuzz(name: &str, input: &[u8]) {
    let target = target(name).expect("a target for each file in fuzz/fuzz_targets");
    (target.run)(input);
}

/// Most files in one corpus, and most bytes in all of them: it is replayed by every test run.
pub const CORPUS_FILES_MAX: usize = 300;
/// See [`CORPUS_FILES_MAX`].
pub const CORPUS_BYTES_MAX: usize = 300 << 10;
