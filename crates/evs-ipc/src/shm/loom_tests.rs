//! All orders in which two ends can meet (`RUSTFLAGS="--cfg loom" cargo test -p evs-ipc --lib`).

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::model::Space;
use super::ring::{ALIGN, Bell, Consumer, LENGTH_BYTES, Producer, Sleep};

/// A doorbell that counts.
#[derive(Default)]
struct Doorbell {
    rung: Mutex<usize>,
    changed: Condvar,
}

impl Doorbell {
    fn ring(&self) {
        *self.rung.lock().expect("nobody panics") += 1;
        self.changed.notify_one();
    }

    /// Loom reports it if this waits for ever.
    fn wait(&self) {
        let mut rung = self.rung.lock().expect("nobody panics");
        while *rung == 0 {
            rung = self.changed.wait(rung).expect("nobody panics");
        }
        *rung -= 1;
    }
}

fn ends(units: usize) -> (Producer, Consumer) {
    let space = Arc::new(Space::new(units));
    (Producer::new(Arc::clone(&space)), Consumer::new(space))
}

fn frame(number: u8) -> [u8; LENGTH_BYTES + 2] {
    [2, 0, 0, 0, number, !number]
}

/// Takes a frame, and says which it was.
fn take(consumer: &mut Consumer) -> Option<u8> {
    let span = consumer.take(ALIGN as usize).expect("an honest producer")?;
    let unit = consumer.space().unit(span.at);
    assert_eq!(unit[LENGTH_BYTES], !unit[LENGTH_BYTES + 1], "whole");
    consumer.release(span.end);
    Some(unit[LENGTH_BYTES])
}

/// The consumer sleeps whenever it has found nothing, looks at nothing while it sleeps, and is rung
/// for exactly when there is something: no wake-up is lost, and none is for nothing.
fn all_come_in_order(units: usize, frames: u8) {
    let (mut producer, mut consumer) = ends(units);
    let doorbell = Arc::new(Doorbell::default());
    let theirs = Arc::clone(&doorbell);
    let writer = thread::spawn(move || {
        for number in 1..=frames {
            while !producer.push([&frame(number)[..]]).expect("an honest consumer") {
                thread::yield_now();
            }
            if producer.bell() == Bell::Ring {
                theirs.ring();
            }
        }
    });
    let mut expected = 1;
    while expected <= frames {
        match take(&mut consumer) {
            Some(number) => {
                assert_eq!(number, expected);
                expected += 1;
            }
            None => {
                if consumer.sleep() == Sleep::Asleep {
                    doorbell.wait();
                    assert!(consumer.has_next(), "rung for nothing");
                }
            }
        }
    }
    writer.join().expect("it does not panic");
    assert_eq!(*doorbell.rung.lock().expect("nobody panics"), 0, "rung once for each sleep");
}

#[test]
fn no_wakeup_is_lost_and_none_is_for_nothing() {
    loom::model(|| all_come_in_order(4, 2));
}

/// One frame fits: each goes to the beginning of the memory again.
#[test]
fn an_empty_ring_begins_anew_under_nobodys_eyes() {
    loom::model(|| all_come_in_order(1, 2));
}

#[test]
fn a_ring_that_is_never_empty_goes_round() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| all_come_in_order(2, 4));
}

/// Several frames, then one look whether to ring.
#[test]
fn one_ring_is_enough_for_several_frames() {
    loom::model(|| {
        let (mut producer, mut consumer) = ends(4);
        let doorbell = Arc::new(Doorbell::default());
        let theirs = Arc::clone(&doorbell);
        let writer = thread::spawn(move || {
            for number in 1..=2 {
                assert!(producer.push([&frame(number)[..]]).expect("honest"));
            }
            if producer.bell() == Bell::Ring {
                theirs.ring();
            }
        });
        let mut count = 0;
        while count < 2 {
            if take(&mut consumer).is_some() {
                count += 1;
            } else if consumer.sleep() == Sleep::Asleep {
                doorbell.wait();
                assert!(consumer.has_next(), "rung for nothing");
            }
        }
        writer.join().expect("it does not panic");
        assert_eq!(*doorbell.rung.lock().expect("nobody panics"), 0);
    });
}

/// What a producer was not told is lost is taken.
#[test]
fn what_was_accepted_before_a_ring_was_closed_is_taken() {
    loom::model(|| {
        let (mut producer, mut consumer) = ends(2);
        let accepted = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&accepted);
        let writer = thread::spawn(move || {
            for number in 1..=2 {
                assert!(producer.push([&frame(number)[..]]).expect("honest"));
                if producer.bell() == Bell::Closed {
                    return;
                }
                theirs.fetch_add(1, Ordering::Relaxed);
            }
        });
        consumer.close();
        let mut taken = 0;
        while take(&mut consumer).is_some() {
            taken += 1;
        }
        writer.join().expect("it does not panic");
        assert!(accepted.load(Ordering::Relaxed) <= taken, "a message is lost");
    });
}

/// Frames that were lent out of order are not overwritten before both are back.
#[test]
fn a_frame_that_is_still_read_is_not_overwritten() {
    loom::model(|| {
        let (mut producer, mut consumer) = ends(2);
        for number in 1..=2 {
            assert!(producer.push([&frame(number)[..]]).expect("honest"));
        }
        let writer = thread::spawn(move || {
            while !producer.push([&frame(3)[..]]).expect("honest") {
                thread::yield_now();
            }
        });
        let first = consumer.take(16).expect("honest").expect("two are there");
        let second = consumer.take(16).expect("honest").expect("two are there");
        consumer.release(second.end);
        assert_eq!(consumer.space().unit(first.at)[LENGTH_BYTES], 1);
        assert_eq!(consumer.space().unit(second.at)[LENGTH_BYTES], 2);
        consumer.release(first.end);
        writer.join().expect("it does not panic");
        assert_eq!(take(&mut consumer), Some(3));
    });
}
