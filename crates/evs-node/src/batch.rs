//! The order in which the packets of one turn are handed over.

use evs_model::Processor;
use totem::Packet;

/// Packets that wait for the end of the turn: the token, so that the data that came with it is
/// there when it is handled, and what came behind the token, but data.
///
/// Membership packets never overtake the token: handled first, they would end the state in which
/// the token that came before them means something (P28).
#[derive(Debug, Default)]
pub(crate) struct Batch {
    waiting: Vec<(Processor, Packet)>,
}

impl Batch {
    /// Takes the next packet; gives it back if it is to be handled at once.
    pub(crate) fn offer(&mut self, from: Processor, packet: Packet) -> Option<Packet> {
        let waits = match &packet {
            Packet::Token(_) => true,
            Packet::Mcast(_) | Packet::Recovered(_) => false,
            Packet::CommitToken(_)
            | Packet::Join(_)
            | Packet::MergeDetect(_)
            | Packet::Parked(_)
            | Packet::Piece(_)
            | Packet::PieceRequest(_)
            | Packet::Wake(_) => !self.waiting.is_empty(),
        };
        if !waits {
            return Some(packet);
        }
        self.waiting.push((from, packet));
        None
    }

    /// What waited, in the order of arrival; its memory is kept for the next turn.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Processor, Packet)> + '_ {
        self.waiting.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use evs_model::{Guarantee, NodeId, RingId};
    use totem::PacketKind;
    use totem::wire::{Mcast, Parked, RtrList, Token, Wake};

    use super::*;

    const NODE: NodeId = NodeId::new(1).expect("not zero");
    const FROM: Processor = Processor::new(NODE, 7);
    const RING: RingId = RingId { seq: 1, rep: FROM };

    fn token() -> Packet {
        Packet::Token(Box::new(Token {
            ring: RING,
            token_seq: 1,
            seq: 0,
            aru: 0,
            aru_by: None,
            fcc: 0,
            light: 0,
            busy: 0,
            window: 0,
            again: 0,
            idle: 0,
            originator: NODE,
            lone: false,
            complete: 0,
            rtr: RtrList::default(),
        }))
    }

    fn mcast() -> Packet {
        let (guarantee, body) = (Guarantee::Agreed, bytes::Bytes::new());
        Packet::Mcast(Mcast { ring: RING, seq: 1, sender: NODE, guarantee, again: false, body })
    }

    fn parked() -> Packet {
        Packet::Parked(Parked { ring: RING, token_seq: 1 })
    }

    fn wake() -> Packet {
        Packet::Wake(Wake { ring: RING })
    }

    /// The kinds in the order in which they are handled.
    fn handled(packets: Vec<Packet>) -> Vec<PacketKind> {
        let mut batch = Batch::default();
        let mut order = Vec::new();
        for packet in packets {
            order.extend(batch.offer(FROM, packet).map(|packet| packet.kind()));
        }
        order.extend(batch.drain().map(|(_, packet)| packet.kind()));
        order
    }

    #[test]
    fn data_behind_the_token_is_handled_before_it() {
        use PacketKind::{Mcast, Token};
        assert_eq!(handled(vec![token(), mcast(), mcast()]), [Mcast, Mcast, Token]);
    }

    /// P28: what is no data keeps its place behind the token.
    #[test]
    fn other_packets_do_not_overtake_the_token() {
        use PacketKind::{Mcast, Parked, Token, Wake};
        let order = handled(vec![wake(), token(), parked(), mcast(), wake()]);
        assert_eq!(order, [Wake, Mcast, Token, Parked, Wake]);
    }
}
