//! The driver around one node: datagrams and time in, outputs executed in order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evs_model::{ClientId, ConfigurationChange, Event as ClientEvent, Members};
use evs_net::{Audience, EndpointOutput, LinkId};
use evs_service::Output;
use totem::{Discard, Packet, PacketKind};

use super::clients::packets;
use super::faults::Fault;
use super::machine::Machine;
use super::network::Fortune;
use super::trace::{brief, shown_event};
use super::{Datagram, Event, Kind, Moment, Noted, Snare, Stop, World, chance};
use crate::history::End;

/// Datagrams read in one go before the timers get their turn.
const READ_MAX: usize = 1_024;

/// A datagram and the link on which it leaves.
type Sealed = (LinkId, Audience, Rc<[u8]>);
/// Those whose ids are in a range, or of all these.
type Whom = (Option<(u32, u32)>, Audience);

/// Whether the process is still there after an input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Gone,
    Runs,
}

/// An output of either part of a node.
pub(super) enum Effect {
    Endpoint(EndpointOutput),
    Service(Output),
}

impl World {
    /// A datagram reaches a node: it waits in the receive buffer until it is read.
    pub(super) fn arrive(&mut self, to: usize, datagram: Datagram) {
        let inbox_max = self.nodes[to].inbox_max;
        let Some(machine) = self.nodes[to].machine.as_mut() else {
            if self.options.refusals && self.network.passes(to, datagram.from) {
                let at = self.now + self.network.weather.delay;
                self.schedule(at, Event::Refused { node: datagram.from, by: to });
            }
            return;
        };
        if machine.inbox.len() >= inbox_max {
            self.faults.count(Fault::Overflow);
            self.calm.interrupted(self.now);
            return;
        }
        machine.inbox.push_back(datagram);
        if !machine.paused {
            let delay = self.up_to(to, self.options.reading_delay);
            self.wake_by(to, self.now + delay);
        }
    }

    /// A node's host says that there is no process at another one.
    pub(super) fn refused(&mut self, node: usize, by: usize) {
        let (now, by) = (self.nodes[node].clock.local(self.now), self.nodes[by].id);
        let Some(machine) = self.nodes[node].awake() else { return };
        machine.endpoint.handle_refused(now, by);
        if self.settle_input(node) == Fate::Runs {
            self.after(node);
        }
    }

    /// A node looks at its receive buffer, then at its timers.
    pub(super) fn wake(&mut self, node: usize, boot: u64) {
        let (now, effort) = (self.now, self.nodes[node].effort);
        let Some(machine) = self.nodes[node].awake() else { return };
        if machine.boot != boot || machine.wake_at != Some(now) {
            return;
        }
        machine.wake_at = None;
        let read = machine.inbox.len().min(READ_MAX);
        let mut batch: VecDeque<Datagram> = machine.inbox.drain(..read).collect();
        let drained = machine.inbox.is_empty();
        let bent = std::mem::take(&mut machine.timers_first);
        machine.busy_until = now + read as u64 * effort;
        let keep_order = std::mem::take(&mut machine.keep_order);
        let bent = bent || chance(&mut self.nodes[node].rng, self.options.timers_first_ppm);
        let timers_first = bent && !batch.is_empty();
        if !keep_order {
            self.arrange(node, &mut batch);
        }
        if timers_first {
            self.faults.count(Fault::TimersFirst);
            if self.timers(node) == Fate::Gone {
                return;
            }
        }
        for datagram in batch {
            if self.receive(node, &datagram) == Fate::Gone {
                return;
            }
        }
        if drained && !timers_first && self.timers(node) == Fate::Gone {
            return;
        }
        self.after(node);
    }

    /// The order in which a batch is handed over (the driver's contract, rule 3).
    fn arrange(&mut self, node: usize, batch: &mut VecDeque<Datagram>) {
        if batch.len() < 2 {
            return;
        }
        let rng = &mut self.nodes[node].rng;
        if chance(rng, self.options.shuffle_ppm) {
            self.faults.count(Fault::Shuffled);
            rng.shuffle(batch.make_contiguous());
        } else if self.options.data_first {
            let is_token = |d: &Datagram| d.kind == Kind::Ring(PacketKind::Token);
            batch.make_contiguous().sort_by_key(is_token);
        }
    }

    fn receive(&mut self, node: usize, datagram: &Datagram) -> Fate {
        let now = self.nodes[node].clock.local(self.now);
        let Some(machine) = self.nodes[node].machine.as_mut() else { return Fate::Gone };
        machine.source = datagram.from;
        // Opened in place, and other receivers have the same bytes.
        self.sealed.clear();
        self.sealed.extend_from_slice(&datagram.bytes);
        let packet = match machine.endpoint.handle_datagram(now, datagram.link, &mut self.sealed) {
            Ok(Some(incoming)) => {
                let payload = Bytes::from(incoming.payload.into_owned());
                Some((incoming.from, Packet::decode(payload)))
            }
            Ok(None) | Err(_) => None,
        };
        if let Some((from, decoded)) = packet {
            match decoded {
                Ok(packet) => {
                    if self.trace.is_shown() {
                        let what = format!("<- {from} {}", brief(&packet));
                        self.tell(node, &what);
                    }
                    let Some(machine) = self.nodes[node].machine.as_mut() else {
                        return Fate::Gone;
                    };
                    machine.service.handle_packet(now, from, packet);
                    machine.service.check();
                    // Nobody here sends pieces that do not go together.
                    let stats = machine.service.ring().stats();
                    if stats.discards(Discard::Pieces) > 0 && !datagram.forged {
                        self.stop = Some(Stop::Codec(String::from("pieces")));
                    }
                }
                Err(_) if datagram.forged => {}
                Err(error) => {
                    self.stop = Some(Stop::Codec(format!("{} {error}", datagram.kind)));
                }
            }
        }
        self.trace.mix_read(self.now, node, datagram);
        self.settle_input(node)
    }

    fn timers(&mut self, node: usize) -> Fate {
        let now = self.nodes[node].clock.local(self.now);
        let Some(machine) = self.nodes[node].machine.as_mut() else { return Fate::Gone };
        machine.endpoint.handle_timeout(now);
        if self.execute(node, Self::endpoint_effect) == Fate::Gone {
            return Fate::Gone;
        }
        let Some(machine) = self.nodes[node].machine.as_mut() else { return Fate::Gone };
        machine.service.handle_timeout(now);
        machine.service.check();
        self.trace.mix(&[self.now, node as u64, u64::MAX]);
        self.settle_input(node)
    }

    /// After one input: the endpoint's outputs, and the service's unless the driver collects those
    /// of a batch.
    fn settle_input(&mut self, node: usize) -> Fate {
        if self.options.batched_outputs {
            self.execute(node, Self::endpoint_effect)
        } else {
            self.execute(node, Self::any_effect)
        }
    }

    /// After a batch, a request or a start: whatever is still to be done before the next input.
    pub(super) fn after(&mut self, node: usize) {
        if self.execute(node, Self::any_effect) == Fate::Gone || self.observe(node) == Fate::Gone {
            return;
        }
        self.end_slow_clients(node);
        let (clock, now) = (self.nodes[node].clock, self.now);
        let late = self.up_to(node, self.options.timer_delay);
        let Some(machine) = self.nodes[node].awake() else { return };
        if !machine.inbox.is_empty() {
            self.wake_by(node, now);
            return;
        }
        let deadlines = [machine.endpoint.poll_timeout(), machine.service.poll_timeout()];
        let due = deadlines.into_iter().flatten().min().and_then(|due| clock.world(due));
        if let Some(due) = due {
            self.wake_by(node, due.max(now + 1).saturating_add(late));
        }
    }

    /// The observer connects as soon as it can, and before anything else happens.
    fn observe(&mut self, node: usize) -> Fate {
        let now = self.nodes[node].clock.local(self.now);
        let Some(machine) = self.nodes[node].machine.as_mut() else { return Fate::Gone };
        if machine.observer.is_some() {
            return Fate::Runs;
        }
        let Ok(client) = machine.service.connect(now) else { return Fate::Runs };
        machine.observer = Some(client);
        machine
            .service
            .join(now, client, &Self::groups())
            .expect("the observer has just connected and is in no group");
        self.execute(node, Self::any_effect)
    }

    /// Makes a node wake at this time, if it would not be awake before.
    pub(super) fn wake_by(&mut self, node: usize, at: super::Nanos) {
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        let at = at.max(machine.busy_until);
        if machine.wake_at.is_none_or(|planned| at < planned) {
            machine.wake_at = Some(at);
            let boot = machine.boot;
            self.schedule(at, Event::Wake { node, boot });
        }
    }

    fn endpoint_effect(machine: &mut Machine) -> Option<Effect> {
        machine.endpoint.poll_output().map(Effect::Endpoint)
    }

    fn any_effect(machine: &mut Machine) -> Option<Effect> {
        let endpoint = Self::endpoint_effect(machine);
        endpoint.or_else(|| machine.service.poll_output().map(Effect::Service))
    }

    /// Executes outputs in order until there are none. The process may crash between any two.
    fn execute(&mut self, node: usize, next: fn(&mut Machine) -> Option<Effect>) -> Fate {
        loop {
            let Some(machine) = self.nodes[node].machine.as_mut() else { return Fate::Gone };
            if machine.fuse == Some(0) {
                self.faults.count(Fault::CrashMidStep);
                self.die(node, End::Crashed);
                return Fate::Gone;
            }
            let Some(effect) = next(machine) else { break };
            machine.fuse = machine.fuse.map(|left| left - 1);
            let sent = match &effect {
                Effect::Service(Output::Transmit { packet, .. }) => Some(packet.kind()),
                Effect::Service(_) | Effect::Endpoint(_) => None,
            };
            if self.caught_before(node, &effect) == Fate::Gone {
                return Fate::Gone;
            }
            match effect {
                Effect::Endpoint(output) => self.endpoint_output(node, output),
                Effect::Service(output) => self.service_output(node, output),
            }
            if let Some(kind) = sent
                && self.caught(node, Moment::After(kind)) == Fate::Gone
            {
                return Fate::Gone;
            }
        }
        let left = self.nodes[node].machine.as_ref().and_then(|machine| machine.left);
        match left {
            Some(dropped) => {
                self.die(node, End::Left { dropped });
                Fate::Gone
            }
            None => Fate::Runs,
        }
    }

    /// A trap may spring before this output.
    fn caught_before(&mut self, node: usize, effect: &Effect) -> Fate {
        let sprung = self.sprung_before(node, effect);
        self.ensnare(node, sprung)
    }

    fn caught(&mut self, node: usize, moment: Moment) -> Fate {
        let sprung = self.sprung(node, moment);
        self.ensnare(node, sprung)
    }

    fn ensnare(&mut self, node: usize, sprung: Option<Snare>) -> Fate {
        let id = self.nodes[node].id.get();
        match sprung {
            Some(Snare::Crash) => self.crash(id),
            Some(Snare::Isolate) => {
                (1..=self.len()).filter(|other| *other != id).for_each(|other| self.cut(id, other));
            }
            Some(Snare::Pause) => self.pause(id),
            None => {}
        }
        if sprung == Some(Snare::Crash) { Fate::Gone } else { Fate::Runs }
    }

    fn service_output(&mut self, node: usize, output: Output) {
        match output {
            Output::Distrust(peer) => {
                self.tell(node, &format_args!("distrusts {peer}"));
                if let Some(machine) = self.nodes[node].machine.as_mut() {
                    machine.endpoint.distrust(peer);
                }
            }
            Output::Left { dropped } => {
                self.tell(node, &format_args!("left, dropped {dropped}"));
                if let Some(machine) = self.nodes[node].machine.as_mut() {
                    machine.left = Some(dropped);
                }
            }
            Output::Persist(seq) => self.persist(node, seq),
            Output::Room { client, .. } => {
                let machine = self.nodes[node].machine.as_mut();
                if let Some(client) = machine.and_then(|m| m.clients.get_mut(&client)) {
                    client.waits_for_room = false;
                }
            }
            Output::ToClient { client, event } => self.client_event(node, client, event),
            Output::Transition { from, to, cause } => {
                self.trace.mix(&[from as u64, to as u64]);
                self.coverage.count_change(from, to, cause);
                self.tell(node, &format_args!("{from} -> {to}: {cause}"));
                self.jot(node, || Noted::Moved { from, to, cause });
                self.ambush(node);
            }
            Output::Transmit { to, packet } => self.transmit(node, to, &packet),
        }
    }

    fn persist(&mut self, node: usize, seq: u64) {
        let stalled_until = self.nodes[node].disk.stalled_until;
        let at = (self.now + self.options.disk_delay).max(stalled_until);
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        machine.stored = seq;
        let (boot, view) = (machine.boot, machine.view);
        if at <= self.now {
            self.nodes[node].disk.store(seq, Some(view));
        } else {
            // Until it is stored, nobody can count on growth after a crash.
            self.nodes[node].disk.by = None;
            if at < super::Nanos::MAX {
                self.schedule(at, Event::Stored { node, boot, seq });
            }
        }
    }

    /// The disk is done. A write that a crash interrupted never comes to this.
    pub(super) fn stored(&mut self, node: usize, boot: u64, seq: u64) {
        let Some(machine) = self.nodes[node].machine.as_ref() else { return };
        // A disk that stalls meanwhile stores it when it works again.
        if machine.boot == boot && self.nodes[node].disk.stalled_until <= self.now {
            let by = (machine.stored == seq).then_some(machine.view);
            self.nodes[node].disk.store(seq, by);
        } else if machine.boot == boot && self.nodes[node].disk.stalled_until < super::Nanos::MAX {
            let at = self.nodes[node].disk.stalled_until;
            self.schedule(at, Event::Stored { node, boot, seq });
        }
    }

    fn client_event(&mut self, node: usize, client: ClientId, event: ClientEvent) {
        let packet_bytes = self.options.packet_bytes_max;
        let id = self.nodes[node].id;
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        if machine.observer == Some(client) {
            let view = machine.view;
            if let ClientEvent::Message(message) = &event
                && message.id.sender.node == id
            {
                let packets = packets(message.body.len(), packet_bytes);
                machine.owed_packets = machine.owed_packets.saturating_sub(packets);
            }
            self.mix_event(&event);
            self.recorder.observed(view, &event);
            self.jot(node, || Noted::Saw(event.clone()));
            if let ClientEvent::Configuration(ConfigurationChange::Regular { .. }) = &event {
                self.installed(node);
            }
            if self.trace.is_shown() {
                let what = shown_event(&event);
                self.tell(node, &what);
            }
        } else {
            self.hand_over(node, client, event);
        }
    }

    fn transmit(&mut self, node: usize, to: totem::Destination, packet: &Packet) {
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        self.wire.pass(self.now, machine.service.ring().me(), to, packet);
        let mut payload = Vec::new();
        packet.encode(&mut payload);
        if payload.len() > self.options.packet_bytes_max {
            self.stop = Some(Stop::Oversize(Kind::Ring(packet.kind()), payload.len()));
        }
        let times = self.wire.times(packet.kind());
        let Some(copies) = self.seal(node, to, &payload, times) else { return };
        if self.trace.is_shown() {
            let whom = match to {
                totem::Destination::All => String::from("all"),
                totem::Destination::Node(processor) => processor.to_string(),
            };
            let what = format!("-> {whom} {}", brief(packet));
            self.tell(node, &what);
        }
        let kind = Kind::Ring(packet.kind());
        let target = match to {
            totem::Destination::All => None,
            totem::Destination::Node(p) => Some((p.node.get(), p.node.get())),
        };
        for (link, audience, bytes) in copies {
            let datagram = Datagram { from: node, link, kind, bytes, forged: false };
            self.put_on_wire(node, (target, audience), &datagram);
        }
    }

    /// A packet as it leaves, so many times, on each link that it takes. Nothing leaves if that
    /// cannot be: it was seen to.
    fn seal(
        &mut self,
        node: usize,
        to: totem::Destination,
        payload: &[u8],
        times: u32,
    ) -> Option<Vec<Sealed>> {
        let mut copies = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let endpoint = &mut self.nodes[node].machine.as_mut()?.endpoint;
            let tickets: Result<Vec<_>, _> = match to {
                totem::Destination::All => {
                    endpoint.copies_for_all(payload.len()).map(Iterator::collect)
                }
                totem::Destination::Node(processor) => {
                    endpoint.copies_for(processor.node, payload.len(), true).map(Iterator::collect)
                }
            };
            let Ok(tickets) = tickets else {
                self.mute(node);
                return None;
            };
            for ticket in tickets {
                let (link, audience) = (ticket.link(), ticket.audience());
                self.sealed.clear();
                let endpoint = &mut self.nodes[node].machine.as_mut()?.endpoint;
                if let Err(error) = endpoint.seal(ticket, payload, &mut self.sealed) {
                    self.stop = Some(Stop::Codec(error.to_string()));
                    return None;
                }
                copies.push((link, audience, self.sealed.as_slice().into()));
            }
        }
        Some(copies)
    }

    /// A node has used all its packet counters: it says nothing any more, until it is restarted.
    fn mute(&mut self, node: usize) {
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        if !std::mem::replace(&mut machine.mute, true) {
            self.faults.count(Fault::Mute);
            self.disturb();
            self.tell(node, &"has no packet counters left");
        }
    }

    fn endpoint_output(&mut self, node: usize, output: EndpointOutput) {
        match output {
            EndpointOutput::Hello { link, to, datagram } => {
                let target = match to {
                    evs_net::Destination::All => None,
                    evs_net::Destination::Among(first, last) => Some((first, last)),
                    evs_net::Destination::Node(node) => Some((node.get(), node.get())),
                    evs_net::Destination::Source => Some(self.source_of(node)),
                };
                let bytes: Rc<[u8]> = datagram.into();
                let kind = Kind::Hello;
                let datagram = Datagram { from: node, link, kind, bytes, forged: false };
                self.put_on_wire(node, (target, Audience::All), &datagram);
            }
            EndpointOutput::Heard(heard) => self.heard(node, heard),
            EndpointOutput::Paused(pause) => self.paused(node, pause),
            EndpointOutput::Peer(event) => self.tell(node, &format_args!("{event:?}")),
            EndpointOutput::DuplicateNode { incarnation, must_stop } => {
                let what = format_args!("duplicate {incarnation:x}, must stop: {must_stop}");
                self.tell(node, &what);
                // A late datagram of the own past may look like one; no world has two machines
                // with one id, so nobody may be told to stop.
                if must_stop {
                    self.stop = Some(Stop::DuplicateNode(self.nodes[node].id.get()));
                }
            }
        }
    }

    /// The id of the node that sent the datagram that was handled last, as a range.
    fn source_of(&self, node: usize) -> (u32, u32) {
        let source = self.nodes[node].machine.as_ref().map_or(node, |machine| machine.source);
        let id = self.nodes[source].id.get();
        (id, id)
    }

    fn heard(&mut self, node: usize, heard: Members) {
        self.tell(node, &format_args!("hears {heard}"));
        self.hold_down();
        self.remember();
        let now = self.nodes[node].clock.local(self.now);
        if let Some(machine) = self.nodes[node].machine.as_mut() {
            machine.service.handle_reachability(now, heard);
            machine.service.check();
        }
    }

    fn paused(&mut self, node: usize, pause: Duration) {
        let now = self.nodes[node].clock.local(self.now);
        if let Some(machine) = self.nodes[node].machine.as_mut() {
            machine.service.handle_pause(now, pause);
            machine.service.check();
        }
    }

    /// Puts a datagram on its way to each of the others whose ids are in a range.
    fn put_on_wire(&mut self, node: usize, whom: Whom, datagram: &Datagram) {
        let (target, audience) = whom;
        self.wire.note(datagram);
        for to in 0..self.nodes.len() {
            let id = self.nodes[to].id.get();
            let addressed = target.is_none_or(|(first, last)| (first..=last).contains(&id));
            let by_here = || target.is_some() || self.leads_to(node, (datagram, audience), to);
            if to == node || !addressed || !by_here() {
                continue;
            }
            let packet = (datagram.link.place(), datagram.kind, datagram.bytes.len());
            let aimed = !self.network.aims_at_nothing();
            let way = (node, to, target.is_some_and(|(first, last)| first == last));
            let fortune = self.network.send(&mut self.faults, self.now, way, packet);
            if aimed && self.network.aims_at_nothing() {
                self.disturb();
            }
            match fortune {
                Fortune::Arrives(arrivals) => {
                    for (to, at) in arrivals.iter(to) {
                        self.schedule(at, Event::Arrive { to, datagram: datagram.clone() });
                    }
                }
                Fortune::Held(rings) => self.hold(to, rings, datagram.clone()),
            }
        }
    }

    /// Whether a datagram for all goes to this one on its link: each gets data once.
    fn leads_to(&self, node: usize, what: (&Datagram, Audience), to: usize) -> bool {
        let (datagram, audience) = what;
        let machine = self.nodes[node].machine.as_ref();
        let leads = |m: &Machine| m.endpoint.leads_to(datagram.link, audience, self.nodes[to].id);
        let is_plain = self.options.links == 1 && audience == Audience::All;
        datagram.kind == Kind::Hello || is_plain || machine.is_none_or(leads)
    }

    fn mix_event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Configuration(change) => {
                self.trace.mix_bytes(format!("{change:?}").as_bytes());
            }
            ClientEvent::Message(message) => {
                self.trace.mix(&[message.id.client.0, message.id.number, message.seq]);
                self.trace.mix_bytes(&message.body);
            }
            ClientEvent::Disconnected(_) => {}
        }
    }

    fn up_to(&mut self, node: usize, bound: super::Nanos) -> super::Nanos {
        if bound == 0 { 0 } else { self.nodes[node].rng.u64(0..=bound) }
    }
}
