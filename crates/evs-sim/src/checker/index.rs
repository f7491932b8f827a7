//! A history in the shape in which the properties speak of it: each view cut into epochs, one for
//! each regular configuration R: what was delivered in R, then T(R, R'), then what was delivered
//! in that.

use std::collections::BTreeMap;
use std::fmt;

use evs_model::{Configuration, Guarantee, Members, Message, MessageId, Processor, RingId};

use super::stays::stays;
use super::{Judged, Violation, patience, violates};
use crate::history::{End, Entry, History, Start, Submission, Time, View};

/// The whole history, indexed.
pub(super) struct Index<'a> {
    pub(super) history: &'a History,
    /// One for each view, in the same order.
    pub(super) tracks: Vec<Track<'a>>,
    /// Every message that a client handed over, as far as it was recorded.
    pub(super) accepted: BTreeMap<MessageId, Accepted<'a>>,
}

/// A view, cut into epochs.
pub(super) struct Track<'a> {
    pub(super) view: &'a View,
    pub(super) epochs: Vec<Epoch<'a>>,
}

/// What one view shows of one regular configuration and the transitional one that follows it.
pub(super) struct Epoch<'a> {
    pub(super) ring: RingId,
    pub(super) members: &'a Members,
    /// Index of the configuration in the view's entries.
    pub(super) place: usize,
    /// Whether the view shows the configuration from its beginning.
    pub(super) whole: bool,
    /// Delivered in R.
    pub(super) regular: Vec<Delivery<'a>>,
    /// What followed R, if anything did.
    pub(super) transition: Option<Transition<'a>>,
    /// Whether the next regular configuration was delivered.
    pub(super) closed: bool,
    /// Place of each message in [`Epoch::deliveries`].
    positions: BTreeMap<MessageId, usize>,
}

/// T(R, R') and what was delivered in it.
pub(super) struct Transition<'a> {
    pub(super) to: RingId,
    pub(super) members: &'a Members,
    pub(super) deliveries: Vec<Delivery<'a>>,
}

/// One delivered message.
#[derive(Clone, Copy)]
pub(super) struct Delivery<'a> {
    /// Index in the view's entries.
    pub(super) place: usize,
    pub(super) message: &'a Message,
}

/// One accepted message.
pub(super) struct Accepted<'a> {
    pub(super) submission: &'a Submission,
    /// The index of the view that recorded it.
    pub(super) view: usize,
    /// Index in that view's entries.
    pub(super) place: usize,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History) -> Result<Self, Violation> {
        let mut accepted = BTreeMap::new();
        for (view, recorded) in history.views.iter().enumerate() {
            for (place, entry) in recorded.entries.iter().enumerate() {
                if let Entry::Accepted(submission) = entry {
                    accepted.insert(submission.id, Accepted { submission, view, place });
                }
            }
        }
        let tracks = history.views.iter().map(Track::new).collect::<Result<_, _>>()?;
        Ok(Self { history, tracks, accepted })
    }

    pub(super) fn judged(&self) -> Judged {
        let entries = || self.history.views.iter().flat_map(|view| &view.entries);
        Judged {
            views: self.tracks.len(),
            configurations: entries().filter(|e| matches!(e, Entry::Configuration(_))).count(),
            deliveries: entries().filter(|e| matches!(e, Entry::Delivered(_))).count(),
            accepted: self.accepted.len(),
            alone: stays(self)
                .windows(2)
                .filter(|pair| pair[0].number + 1 == pair[1].number)
                .count(),
            calm: patience::times_without_reason(self),
            skipped: self.skips_the_end(),
        }
    }

    /// Whether the time from which nothing may change lies in no stay.
    fn skips_the_end(&self) -> bool {
        let circumstances = self.history.circumstances.as_ref();
        let settled = circumstances.and_then(|circumstances| circumstances.settled);
        let holds = |at: Time| stays(self).iter().any(|s| s.span.from <= at && at < s.end);
        settled.is_some_and(|at| !holds(at))
    }

    /// The complete view of a processor.
    pub(super) fn track(&self, processor: Processor) -> Option<&Track<'a>> {
        self.tracks.iter().find(|track| track.view.processor == processor)
    }

    /// Every epoch of every view.
    pub(super) fn epochs(&self) -> impl Iterator<Item = (&Track<'a>, &Epoch<'a>)> {
        self.tracks.iter().flat_map(|track| track.epochs.iter().map(move |epoch| (track, epoch)))
    }
}

impl<'a> Track<'a> {
    /// Cuts a view into epochs: EVS-2's "after the first, T(R, R') and then R', nothing of another
    /// configuration in between".
    fn new(view: &'a View) -> Result<Self, Violation> {
        let mut track = Self { view, epochs: Vec::new() };
        for (place, entry) in view.entries.iter().enumerate() {
            match entry {
                Entry::Accepted(_) => {}
                Entry::Configuration(Configuration::Regular { ring, members }) => {
                    track.regular(place, *ring, members)?;
                }
                Entry::Configuration(Configuration::Transitional { from, to, members }) => {
                    track.transitional(*from, *to, members)?;
                }
                Entry::Delivered(message) => track.delivered(place, message)?,
            }
        }
        Ok(track)
    }

    fn regular(
        &mut self,
        place: usize,
        ring: RingId,
        members: &'a Members,
    ) -> Result<(), Violation> {
        let name = Name(self.view);
        let whole = match self.epochs.last_mut() {
            None => self.view.start != Start::Midway,
            Some(Epoch { transition: Some(transition), closed, .. }) => {
                if transition.to != ring {
                    let to = transition.to;
                    return Err(violates!(
                        Evs2,
                        "{name} announced {to} by a transitional configuration and then \
                         delivered {ring}"
                    ));
                }
                *closed = true;
                true
            }
            Some(Epoch { ring: before, transition: None, .. }) => {
                return Err(violates!(
                    Evs2,
                    "{name} went from {before} to {ring} without a transitional configuration"
                ));
            }
        };
        self.epochs.push(Epoch {
            ring,
            members,
            place,
            whole,
            regular: Vec::new(),
            transition: None,
            closed: false,
            positions: BTreeMap::new(),
        });
        Ok(())
    }

    fn transitional(
        &mut self,
        from: RingId,
        to: RingId,
        members: &'a Members,
    ) -> Result<(), Violation> {
        let name = Name(self.view);
        match self.epochs.last_mut() {
            Some(epoch) if epoch.ring == from && epoch.transition.is_none() => {
                epoch.transition = Some(Transition { to, members, deliveries: Vec::new() });
                Ok(())
            }
            Some(epoch) => {
                let ring = epoch.ring;
                Err(violates!(Evs2, "{name} delivered T({from}, {to}) after {ring}, not after R"))
            }
            None => Err(violates!(Evs2, "{name} begins with T({from}, {to})")),
        }
    }

    fn delivered(&mut self, place: usize, message: &'a Message) -> Result<(), Violation> {
        let delivery = Delivery { place, message };
        let Some(epoch) = self.epochs.last_mut() else {
            let (name, id) = (Name(self.view), message.id);
            return Err(violates!(Evs2, "{name} delivered {id} before any configuration"));
        };
        epoch.positions.insert(message.id, epoch.positions.len());
        match &mut epoch.transition {
            Some(transition) => transition.deliveries.push(delivery),
            None => epoch.regular.push(delivery),
        }
        Ok(())
    }

    pub(super) fn name(&self) -> Name<'a> {
        Name(self.view)
    }

    /// Whether this view would show that message.
    pub(super) fn covers(&self, message: &Message) -> bool {
        self.view.scope.covers(&message.groups)
    }

    /// Whether the processor went on, or was up at the end of a settled run: nothing excuses what
    /// is missing in this epoch.
    pub(super) fn owes(&self, epoch: &Epoch<'_>) -> bool {
        epoch.closed || (self.view.end == End::Running && self.view.settled.is_some())
    }

    /// The epoch of this ring.
    pub(super) fn epoch(&self, ring: RingId) -> Option<&Epoch<'a>> {
        self.epochs.iter().find(|epoch| epoch.ring == ring)
    }
}

impl<'a> Epoch<'a> {
    /// What was delivered in R and in T(R, R'), in order.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = Delivery<'a>> {
        let after = self.transition.iter().flat_map(|transition| &transition.deliveries);
        self.regular.iter().chain(after).copied()
    }

    /// Whether this message was delivered in R or in T(R, R').
    pub(super) fn has(&self, id: MessageId) -> bool {
        self.positions.contains_key(&id)
    }

    /// The place of this message among [`Epoch::deliveries`].
    pub(super) fn position(&self, id: MessageId) -> Option<usize> {
        self.positions.get(&id).copied()
    }
}

/// Whether a message stands in the total order (EVS-6).
pub(super) const fn is_ordered(guarantee: Guarantee) -> bool {
    matches!(guarantee, Guarantee::Agreed | Guarantee::Safe)
}

/// How a violation names a view.
pub(super) struct Name<'a>(&'a View);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.processor)
    }
}
