//! Replays the committed corpora (`fuzz/corpus/`) through what the fuzzer runs, on stable Rust.
//!
//! To add what a fuzzer found: put the file there, under a name that says what it shows.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use evs_fuzz::{CORPUS_BYTES_MAX, CORPUS_FILES_MAX, Seen, TARGETS, Target, target};

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a corpus with their names, in order.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let dir = fuzz_dir().join("corpus").join(target.name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let files = entries.map(|entry| {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

#[track_caller]
fn replay(name: &str) {
    let target = target(name).expect("a target");
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    let mut seen = Seen::nothing();
    let mut failed = Vec::new();
    for (file, input) in &corpus {
        match catch_unwind(|| (target.run)(input)) {
            Ok(reached) => seen = seen.and(reached),
            Err(_) => failed.push(file.as_str()),
        }
    }
    assert!(failed.is_empty(), "inputs of {name} that failed, see above: {failed:?}");
    let landmarks = (target.landmarks)().into_iter().enumerate();
    let missed: Vec<String> =
        landmarks.filter(|(i, _)| !seen.has(*i)).map(|(_, landmark)| landmark).collect();
    assert!(
        missed.is_empty(),
        "the corpus of {name} does not reach: {missed:?}; if a format has changed, run \
         `cargo xtask fuzz --seeds`, then `cargo xtask fuzz --target {name} --keep`"
    );
}

#[test]
fn whatever_bytes_are_decoded_as_packets_survives_encoding() {
    replay("packet");
}

#[test]
fn forged_datagrams_do_an_endpoint_no_harm() {
    replay("datagram");
}

#[test]
fn frames_mean_the_same_however_their_stream_is_cut() {
    replay("ipc");
}

#[test]
fn a_configuration_is_refused_with_its_mistakes_or_works() {
    replay("config");
}

#[test]
fn damaged_files_are_told_from_sound_ones() {
    replay("stored");
}

#[test]
fn packet_bodies_are_messages_or_malformed() {
    replay("body");
}

#[test]
fn a_ring_keeps_its_promises_whatever_peers_say() {
    replay("ring");
}

#[test]
fn a_service_keeps_its_promises_whatever_peers_say() {
    replay("service");
}

#[test]
fn a_client_that_scribbles_does_its_daemon_no_harm() {
    replay("shm");
}

#[test]
fn corpora_are_small() {
    for target in &TARGETS {
        let corpus = corpus(target);
        let bytes: usize = corpus.iter().map(|(_, input)| input.len()).sum();
        assert!(corpus.len() <= CORPUS_FILES_MAX, "{}: {} files", target.name, corpus.len());
        assert!(bytes <= CORPUS_BYTES_MAX, "{}: {bytes} bytes", target.name);
        for (name, input) in corpus {
            assert!(input.len() <= target.bytes_max, "{}/{name} is too long", target.name);
        }
    }
}

/// Every target has a file for libFuzzer and a corpus, and there are no others.
#[test]
fn targets_files_and_corpora_are_the_same() {
    let names = |dir: &str| {
        let dir = fuzz_dir().join(dir);
        let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let stem = |entry: fs::DirEntry| {
            entry.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(|entry| stem(entry.expect("readable"))).collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    for target in targets {
        let file = fuzz_dir().join("fuzz_targets").join(target).with_extension("rs");
        let text = fs::read_to_string(file).expect("just listed");
        assert!(text.contains(&format!("\"{target}\"")), "{target}.rs runs another target");
    }
}
