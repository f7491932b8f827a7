use std::time::Instant;

use super::*;

/// A directory of its own for each test, gone at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("evs-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// Waits until the helper thread has written this reservation.
    fn until_written(&self, reserved: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while read(&self.file()).ok().flatten() != Some(reserved) {
            assert!(Instant::now() < deadline, "{reserved} was not written");
            thread::yield_now();
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `docs/protocol.md` §1: reserved ahead, so that a restart begins above all that was used.
#[test]
fn a_restart_begins_above_every_sequence_used() {
    let dir = Dir::new("restart");
    let mut store = Store::open(&dir.0).expect("a thread");
    assert_eq!(store.stored(), 0);
    store.note(5);
    dir.until_written(5 + BLOCK);
    let again = Store::open(&dir.0).expect("a thread");
    assert_eq!(again.stored(), 5 + BLOCK);
}

#[test]
fn one_reservation_serves_half_a_block_of_rings() {
    let dir = Dir::new("block");
    let mut store = Store::open(&dir.0).expect("a thread");
    store.note(1);
    dir.until_written(1 + BLOCK);
    store.note(1 + BLOCK / 2);
    assert_eq!(store.reserved, 1 + BLOCK);
    store.note(2 + BLOCK / 2);
    dir.until_written(2 + BLOCK / 2 + BLOCK);
}

#[test]
fn a_corrupt_file_is_ignored_and_then_replaced() {
    let dir = Dir::new("corrupt");
    fs::create_dir_all(&dir.0).expect("a directory");
    let good = Store::line(BLOCK);
    let mut flipped = good.clone().into_bytes();
    flipped[20] ^= 1;
    for bad in [b"".to_vec(), b"7\n".to_vec(), good.as_bytes()[..30].to_vec(), flipped] {
        fs::write(dir.file(), &bad).expect("written");
        let mut store = Store::open(&dir.0).expect("a thread");
        assert_eq!(store.stored(), 0, "{bad:?}");
        store.note(1);
        dir.until_written(1 + BLOCK);
    }
}

#[test]
fn a_place_that_cannot_be_written_stops_nothing() {
    let dir = Dir::new("unwritable");
    fs::write(&dir.0, "a file where the directory should be").expect("written");
    let mut store = Store::open(&dir.0).expect("a thread");
    store.note(1);
    store.note(u64::MAX);
    assert_eq!(store.reserved, u64::MAX);
    fs::remove_file(&dir.0).expect("removed");
}
