//! The ring of events: frames in, events out, when to sleep, and what is known from those consumed.
//!
//! # When the descriptor is readable
//!
//! The stream is *asleep* or *awake*. Asleep it takes nothing, whatever is in the ring, before the
//! bell has rung; the daemon rings once, when the event is whole, and only for one that is there
//! (`evs_ipc::shm`). Awake it takes what it finds. It falls asleep when there is nothing more, and
//! before that it takes back what made the descriptor readable: the byte of the bell, or the
//! marker. If an event came in between and nobody will ring for it, it stays awake and raises the
//! marker. So at the end of each call the descriptor is readable exactly while there is something
//! to take; and nothing ever waits for the daemon.
//!
//! Who has not asked for the descriptor does not pay for it: without one the stream falls asleep
//! only when it is asked for an event and has none.

use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use evs_ipc::shm::{Consumer, Lent, Sleep};
use evs_ipc::{
    DecodeError, Frame, MESSAGE_BYTES_CEILING, MessageView, ReadOutcome, decode_explained,
    event_frame_bytes_max, socket,
};
use evs_model::Configuration;

use crate::readiness::Readiness;
use crate::wait::Versioned;
use crate::{DisconnectReason, Event};

/// What a look at the events brought.
#[derive(Debug)]
pub(crate) enum Taken {
    Event(Event),
    /// A message that still lies in the ring; only from [`EventStream::lend_before`].
    Lent(LentMessage),
    Blocked,
    Closed,
}

/// A message where the daemon has written it. It has to be given back.
#[derive(Debug)]
pub(crate) struct LentMessage {
    pub(crate) bytes: Lent,
    pub(crate) view: MessageView,
}

/// How far the stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Open,
    /// The stream broke off; the application is still to be told.
    BrokenOff(DisconnectReason),
    /// The last event has been consumed.
    Over,
}

/// The stream of events of one session.
#[derive(Debug)]
pub(crate) struct EventStream {
    consumer: Consumer,
    /// Copies of events are made here.
    memory: BytesMut,
    /// The first event, which was read to complete the connection.
    first: Option<Event>,
    /// The last configuration that was consumed; before that, the one of the first event.
    configuration: Configuration,
    stage: Stage,
    /// Nothing is taken before the bell rings.
    asleep: bool,
    /// The bell's byte was seen and left, so that the descriptor stays readable.
    rung: bool,
    /// The daemon has closed the bell: what is in the ring is all there will be.
    gone: bool,
    /// How many messages are lent.
    lent: usize,
    readiness: Option<Arc<Readiness>>,
    /// The marker of `readiness` is raised.
    marked: bool,
}

impl EventStream {
    /// A stream with its first event. Returns `None` if that is no regular configuration, or not
    /// there.
    pub(crate) fn new(mut consumer: Consumer) -> Option<Self> {
        let mut memory = BytesMut::new();
        let frame = consumer.copy_next(&mut memory, FRAME_BYTES_MAX).ok()??;
        let first = decode(frame).ok()?;
        let configuration = configuration_of(&first)?;
        Some(Self {
            consumer,
            memory,
            first: Some(first),
            configuration,
            stage: Stage::Open,
            asleep: false,
            rung: false,
            gone: false,
            lent: 0,
            readiness: None,
            marked: false,
        })
    }

    /// The next event, if one is there.
    pub(crate) fn take(&mut self, bell: impl AsFd) -> Taken {
        self.take_before(bell, u64::MAX)
    }

    /// As [`take`](Self::take), but leaves an event that begins at this position or after it.
    pub(crate) fn take_before(&mut self, bell: impl AsFd, end: u64) -> Taken {
        let taken = self.next(&bell, end, false);
        self.settle(&bell);
        taken
    }

    /// As [`take_before`](Self::take_before), but a message stays where it is; before that, the
    /// last one is given back.
    pub(crate) fn lend_before(
        &mut self,
        bell: impl AsFd,
        end: u64,
        last: Option<LentMessage>,
    ) -> Taken {
        if let Some(last) = last {
            self.return_it(last);
        }
        let taken = self.next(&bell, end, true);
        // As long as a message is lent, an event waits: this one.
        if !matches!(taken, Taken::Lent(_)) {
            self.settle(&bell);
        }
        taken
    }

    /// A message was read.
    pub(crate) fn give_back(&mut self, bell: impl AsFd, lent: LentMessage) {
        self.return_it(lent);
        self.settle(&bell);
    }

    fn return_it(&mut self, lent: LentMessage) {
        self.lent -= 1;
        self.consumer.give_back(lent.bytes);
    }

    /// The position where what has arrived so far ends.
    pub(crate) fn arrived(&mut self, bell: impl AsFd) -> u64 {
        self.listen(bell);
        if self.asleep { self.consumer.position() } else { self.consumer.written() }
    }

    /// From now on the descriptor is kept.
    pub(crate) fn watch(&mut self, bell: impl AsFd, readiness: &Arc<Readiness>) {
        if self.readiness.is_none() {
            self.readiness = Some(Arc::clone(readiness));
            self.settle(&bell);
        }
    }

    /// Nothing more will be consumed.
    pub(crate) fn close(&mut self, bell: impl AsFd) {
        self.first = None;
        self.end(Stage::Over);
        self.settle(&bell);
    }

    pub(crate) const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn next(&mut self, bell: impl AsFd, end: u64, lend: bool) -> Taken {
        if let Some(first) = self.first.take() {
            return Taken::Event(first);
        }
        loop {
            match self.stage {
                Stage::Open => {}
                Stage::BrokenOff(reason) => {
                    self.stage = Stage::Over;
                    return Taken::Event(Event::Disconnected { reason });
                }
                Stage::Over => return Taken::Closed,
            }
            self.listen(&bell);
            if self.asleep {
                return Taken::Blocked;
            }
            if self.consumer.position() >= end && self.consumer.has_next() {
                self.report_anew();
                return Taken::Blocked;
            }
            match self.next_in_ring(&bell, lend) {
                Ok(Some(taken)) => return taken,
                Ok(None) if self.gone => self.end(Stage::BrokenOff(DisconnectReason::Lost)),
                Ok(None) => self.fall_asleep(&bell),
                Err(reason) => self.end(Stage::BrokenOff(reason)),
            }
        }
    }

    fn next_in_ring(
        &mut self,
        bell: impl AsFd,
        lend: bool,
    ) -> Result<Option<Taken>, DisconnectReason> {
        let malformed = |_| DisconnectReason::Malformed;
        if lend {
            let lent = self.consumer.lend_next(FRAME_BYTES_MAX);
            let Some(bytes) = lent.map_err(|_| self.broken(&bell))? else { return Ok(None) };
            match MessageView::decode(&bytes) {
                Ok(Some(view)) => {
                    self.lent += 1;
                    return Ok(Some(Taken::Lent(LentMessage { bytes, view })));
                }
                Ok(None) => {}
                Err(error) => return Err(malformed(error)),
            }
            let (kind, fields) = (bytes[0], Bytes::copy_from_slice(&bytes[1..]));
            self.consumer.give_back(bytes);
            return self.note(Frame { kind, fields }).map(Some).map_err(malformed);
        }
        let copied = self.consumer.copy_next(&mut self.memory, FRAME_BYTES_MAX);
        let Some(frame) = copied.map_err(|_| self.broken(&bell))? else { return Ok(None) };
        self.note(frame).map(Some).map_err(malformed)
    }

    /// What follows from an event, whoever takes it.
    fn note(&mut self, frame: Frame) -> Result<Taken, DecodeError> {
        let event = decode(frame)?;
        if let Some(configuration) = configuration_of(&event) {
            self.configuration = configuration;
        }
        if matches!(event, Event::Disconnected { .. }) {
            self.end(Stage::Over);
        }
        Ok(Taken::Event(event))
    }

    /// What makes no sense was written by a daemon of another kind; or it is what is left after a
    /// daemon that has given the client up has taken its memory back.
    fn broken(&self, bell: impl AsFd) -> DisconnectReason {
        loop {
            match socket::heard(&bell, false) {
                Ok(ReadOutcome::Bytes(_)) => {}
                Ok(ReadOutcome::Blocked) => return DisconnectReason::Malformed,
                Ok(ReadOutcome::Closed) | Err(_) => return DisconnectReason::Lost,
            }
        }
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.asleep = false;
    }

    /// Awakes if the bell has rung, or the daemon is gone.
    fn listen(&mut self, bell: impl AsFd) {
        if !self.asleep {
            return;
        }
        let watched = self.readiness.is_some();
        match socket::heard(bell, watched) {
            Ok(ReadOutcome::Blocked) => {}
            Ok(ReadOutcome::Bytes(_)) => {
                self.asleep = false;
                self.rung = watched;
            }
            Ok(ReadOutcome::Closed) | Err(_) => {
                self.asleep = false;
                self.gone = true;
            }
        }
    }

    /// There is nothing more: the daemon will ring for the next event, unless it has just come.
    fn fall_asleep(&mut self, bell: impl AsFd) {
        if mem::take(&mut self.rung) {
            // Its one byte; nobody rings for who is awake.
            let _ = socket::heard(bell, false);
        }
        if let Some(readiness) = &self.readiness
            && mem::take(&mut self.marked)
        {
            readiness.lower();
        }
        self.asleep = self.consumer.sleep() == Sleep::Asleep;
    }

    /// Makes the descriptor say what is so.
    fn settle(&mut self, bell: impl AsFd) {
        let Some(readiness) = &self.readiness else { return };
        if self.asleep || self.lent > 0 {
            return;
        }
        let waits = self.first.is_some() || self.stage != Stage::Open || self.consumer.has_next();
        let readiness = Arc::clone(readiness);
        if !waits && !self.gone {
            self.fall_asleep(bell);
        }
        if !self.asleep && !self.rung && !self.gone && !mem::replace(&mut self.marked, true) {
            readiness.raise();
        }
    }

    /// Something is left that came after the point that the caller was interested in. Who polls for
    /// changes only learns of it.
    fn report_anew(&mut self) {
        if let Some(readiness) = &self.readiness {
            readiness.raise();
            self.marked = true;
        }
    }
}

impl Versioned for EventStream {
    /// What one receiver reads without an event in it is of no use to another.
    fn version(&self) -> u64 {
        0
    }
}

fn decode(frame: Frame) -> Result<Event, DecodeError> {
    let (event, reason) = decode_explained(frame)?;
    Ok(Event::new(event, reason))
}

fn configuration_of(event: &Event) -> Option<Configuration> {
    match event {
        Event::Regular { ring, members, .. } => {
            Some(Configuration::Regular { ring: *ring, members: members.clone() })
        }
        Event::Transitional { from, to, members, .. } => {
            Some(Configuration::Transitional { from: *from, to: *to, members: members.clone() })
        }
        Event::Message(_) | Event::Gap { .. } | Event::Disconnected { .. } => None,
    }
}

/// Not the Welcome's limit: the size of a message is its sender's affair, which may sit at a node
/// with another one.
const FRAME_BYTES_MAX: usize = event_frame_bytes_max(MESSAGE_BYTES_CEILING);
