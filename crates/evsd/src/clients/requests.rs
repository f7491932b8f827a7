//! What clients ask for.

use evs_ipc::{ClientFrame, Outcome, ServerFrame};
use evs_model::{ClientId, Group, Groups, Instant, send_cost};
use evs_node::Node;
use evs_service::{RequestError, SendError};

use super::connection::{Fault, Input, Phase, Waste};
use super::{CLIENT_COST_PER_TURN, Clients, Question};

/// What any frame costs of the budget of a turn, in bytes.
const FRAME_COST: usize = 1 << 10;

/// What a report costs: all that a client has, so that its replies hold it
/// (`REPLY_BYTES_MAX`), and the few of a turn are soon made.
const STATUS_COST: usize = CLIENT_COST_PER_TURN;

impl Clients {
    /// Reads one client's requests up to a cost. Returns what it cost and whether there may be
    /// more.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        slot: usize,
        allowed: usize,
        node: &mut Node,
    ) -> (usize, bool) {
        let mut cost = 0;
        while cost < allowed {
            let Some(connection) = &mut self.slots[slot].connection else { return (cost, false) };
            if matches!(connection.phase, Phase::Ending { .. }) {
                match connection.waste() {
                    Waste::Bytes(bytes) => cost += bytes,
                    Waste::Nothing => return (cost, false),
                    Waste::Gone => {
                        self.remove(slot);
                        return (cost, false);
                    }
                }
                continue;
            }
            let frame = match connection.next() {
                Ok(Input::Frame(frame)) => frame,
                Ok(Input::Nothing) => return (cost, false),
                Ok(Input::Gone) => {
                    self.drop_gone(now, node, slot, "it closed its socket");
                    return (cost, false);
                }
                Err(fault) => {
                    self.punish(now, node, slot, &fault);
                    return (cost, false);
                }
            };
            cost += FRAME_COST;
            match self.handle_frame(now, slot, frame, node) {
                Ok(more) => cost += more,
                Err(fault) => {
                    self.punish(now, node, slot, &fault);
                    return (cost, false);
                }
            }
        }
        (cost, true)
    }

    /// Does what a frame asks for; returns what it cost beyond [`FRAME_COST`].
    fn handle_frame(
        &mut self,
        now: Instant,
        slot: usize,
        frame: ClientFrame,
        node: &mut Node,
    ) -> Result<usize, Fault> {
        let Some(connection) = &mut self.slots[slot].connection else { return Ok(0) };
        let Phase::Session(session) = &mut connection.phase else {
            let ClientFrame::Hello(hello) = frame else { return Err(Fault::NoHello) };
            self.welcome(now, slot, hello, node);
            return Ok(0);
        };
        let client = session.client;
        let (request, result) = match frame {
            ClientFrame::Hello(_) => return Err(Fault::SecondHello),
            ClientFrame::Send { guarantee, groups, body } => {
                let cost = send_cost(body.len(), groups.len());
                let (bytes, max) = (body.len(), session.message_bytes_max as usize);
                if bytes > max {
                    return Err(Fault::Refused(SendError::TooBig { bytes, max }));
                }
                session.credit.take(cost as u64)?;
                session.sent += 1;
                match node.send(now, client, guarantee, groups, body) {
                    Ok(id) => assert_eq!(id.number, session.sent, "both count the same messages"),
                    Err(SendError::Leaving) => self.stats.dropped_while_leaving += 1,
                    Err(error) => return Err(Fault::Refused(error)),
                }
                return Ok(cost);
            }
            ClientFrame::Status { request } => {
                self.ask(slot, client, request, None);
                return Ok(STATUS_COST);
            }
            ClientFrame::Ask { request, question } => {
                self.ask(slot, client, request, Some(question));
                return Ok(STATUS_COST);
            }
            ClientFrame::Join { request, groups } => {
                (request, node.join(now, client, &list(&groups)))
            }
            ClientFrame::Leave { request, groups } => {
                (request, node.leave_groups(now, client, &list(&groups)))
            }
        };
        connection.reply(&ServerFrame::Done { request, outcome: outcome(result) })?;
        self.mark_dirty(slot);
        Ok(0)
    }
}

impl Clients {
    /// At the end of a session nobody counts the requests that are left.
    fn ask(&mut self, slot: usize, client: ClientId, request: u32, text: Option<String>) {
        let Some(connection) = &self.slots[slot].connection else { return };
        if !connection.is_shut() {
            let uid = connection.peer.uid;
            self.questions.push(Question { client, request, text, uid });
        }
    }
}

fn list(groups: &Groups) -> Vec<Group> {
    groups.iter().collect()
}

const fn outcome(result: Result<(), RequestError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(RequestError::NotJoined(_)) => Outcome::NotJoined,
        Err(RequestError::TooManyGroups { .. }) => Outcome::TooManyGroups,
        // A session that the service does not know has just been ended by it.
        Err(RequestError::UnknownClient) => Outcome::Leaving,
    }
}
