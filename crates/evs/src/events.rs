//! The event socket: frames in, events out, and what is known from those consumed.

use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;

use evs_ipc::{DecodeError, Frame, FrameReader, ReadOutcome, decode_explained};
use evs_model::Configuration;

use crate::readiness::Readiness;
use crate::wait::Versioned;
use crate::{DisconnectReason, Event};

/// What a look at the event socket brought.
#[derive(Debug)]
pub(crate) enum Taken {
    Event(Event),
    Blocked,
    Closed,
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
    reader: FrameReader,
    /// The first event, which was read to complete the connection.
    first: Option<Event>,
    /// The last configuration that was consumed; before that, the one of the first event.
    configuration: Configuration,
    stage: Stage,
    /// Bytes of the events given out, the first event not counted.
    position: u64,
    readiness: Option<Arc<Readiness>>,
    /// What the marker of `readiness` says.
    marked: bool,
}

impl EventStream {
    /// A stream whose first event has been read. Returns `None` if that is no regular
    /// configuration.
    pub(crate) fn new(reader: FrameReader, first: Event) -> Option<Self> {
        let configuration = configuration_of(&first)?;
        Some(Self {
            reader,
            first: Some(first),
            configuration,
            stage: Stage::Open,
            position: 0,
            readiness: None,
            marked: false,
        })
    }

    /// Reads the event that completes a connection.
    pub(crate) fn read_first(reader: &mut FrameReader, socket: impl AsFd) -> Taken {
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    return decode(frame).map_or(Taken::Closed, Taken::Event);
                }
                Ok(None) => {}
                Err(_) => return Taken::Closed,
            }
            match reader.read_from(&socket) {
                Ok(ReadOutcome::Bytes(_)) => {}
                Ok(ReadOutcome::Blocked) => return Taken::Blocked,
                Ok(ReadOutcome::Closed) | Err(_) => return Taken::Closed,
            }
        }
    }

    /// The next event, if one is there.
    pub(crate) fn take(&mut self, socket: impl AsFd) -> Taken {
        self.take_before(socket, u64::MAX)
    }

    /// As [`take`](Self::take), but leaves an event that begins at this position or after it.
    pub(crate) fn take_before(&mut self, socket: impl AsFd, end: u64) -> Taken {
        let taken = self.next(socket, end);
        if let Taken::Event(event) = &taken
            && let Some(configuration) = configuration_of(event)
        {
            self.configuration = configuration;
        }
        self.mark();
        taken
    }

    /// The position where what has arrived so far ends.
    pub(crate) fn arrived(&self, socket: impl AsFd) -> u64 {
        let in_kernel = rustix::io::ioctl_fionread(socket).unwrap_or(0);
        self.position + self.reader.unread_bytes() as u64 + in_kernel
    }

    /// Whether an event that begins before this position has come in part.
    pub(crate) fn is_inside_event_before(&self, end: u64) -> bool {
        self.position < end && self.reader.is_inside_frame() && !self.reader.has_frame()
    }

    /// From now on the marker is kept.
    pub(crate) fn watch(&mut self, readiness: &Arc<Readiness>) {
        if self.readiness.is_none() {
            self.readiness = Some(Arc::clone(readiness));
            self.mark();
        }
    }

    /// Nothing more will be consumed.
    pub(crate) fn close(&mut self) {
        self.first = None;
        self.stage = Stage::Over;
        self.mark();
    }

    pub(crate) const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn next(&mut self, socket: impl AsFd, end: u64) -> Taken {
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
            if self.position >= end && self.reader.has_frame() {
                return Taken::Blocked;
            }
            match self.next_in_buffer() {
                Ok(Some(event)) => return Taken::Event(event),
                Ok(None) => {}
                Err(reason) => {
                    self.stage = Stage::BrokenOff(reason);
                    continue;
                }
            }
            match self.reader.read_from(&socket) {
                Ok(ReadOutcome::Bytes(_)) => {}
                Ok(ReadOutcome::Blocked) => return Taken::Blocked,
                Ok(ReadOutcome::Closed) | Err(_) => {
                    self.stage = Stage::BrokenOff(DisconnectReason::Lost);
                }
            }
        }
    }

    fn next_in_buffer(&mut self) -> Result<Option<Event>, DisconnectReason> {
        let malformed = |_| DisconnectReason::Malformed;
        let unread = self.reader.unread_bytes();
        let Some(frame) = self.reader.next_frame().map_err(malformed)? else { return Ok(None) };
        self.position += (unread - self.reader.unread_bytes()) as u64;
        let event = decode(frame).map_err(malformed)?;
        if matches!(event, Event::Disconnected { .. }) {
            self.stage = Stage::Over;
        }
        Ok(Some(event))
    }

    /// Raises the marker while there is something to consume that the socket does not show.
    fn mark(&mut self) {
        let Some(readiness) = &self.readiness else { return };
        let waits = self.first.is_some() || self.stage != Stage::Open || self.reader.has_frame();
        if mem::replace(&mut self.marked, waits) == waits {
            return;
        }
        if waits {
            readiness.raise();
        } else {
            readiness.lower();
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
