//! What goes wrong with packets of one kind or size alone. A network can tell tokens from others
//! only where they are in clear text; of daemons that seal, none is touched.

use super::{Network, PORT, interface};

/// Where a datagram has its kind, and a ring packet its own (`docs/wire.md`, sections 1 and 3).
const DATAGRAM_KIND_AT: usize = 4;
const PACKET_KIND_AT: usize = HEADER_BYTES + 1;

/// Where a token has the highest byte of its `seq`: after a ring id and `token_seq`.
const SEQ_TOP_AT: usize = HEADER_BYTES + 2 + 20 + 8 + 7;

const HEADER_BYTES: usize = 38;
const UDP_HEADER_BYTES: usize = 8;

/// The numbers of a ring packet, and of a token among these.
const RING: u8 = 2;
const TOKEN: u8 = 6;

impl Network {
    /// From now on UDP datagrams of more bytes, headers included, do not arrive at a host on one of
    /// its links, and nothing tells the sender so.
    ///
    /// # Errors
    /// The system refuses.
    pub fn drop_large(&self, host: u8, link: u8, bytes: u16) -> anyhow::Result<()> {
        let on = format!("iifname {} meta length > {bytes}", interface(link));
        self.filter(host, &[&format!("add rule inet evs input {on} meta l4proto udp drop")])
    }

    /// From now on UDP datagrams of more bytes, headers included, that `from` sends do not arrive
    /// at a host, and nothing tells the sender so.
    ///
    /// # Errors
    /// The system refuses.
    pub fn drop_large_from(&self, host: u8, from: u8, bytes: u16) -> anyhow::Result<()> {
        let of = format!("{} saddr {}", self.family(), self.address(from));
        let rule = format!("add rule inet evs input {of} meta l4proto udp meta length > {bytes}");
        self.filter(host, &[&format!("{rule} drop")])
    }

    /// From now on no token that `from` sends arrives at a host; all else does.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lose_tokens_from(&self, host: u8, from: u8) -> anyhow::Result<()> {
        let of = format!("{} saddr {}", self.family(), self.address(from));
        self.filter(host, &[&format!("add rule inet evs input {of} {} drop", a_token())])
    }

    /// The next token that arrives at a host says of the highest sequence number what cannot be.
    ///
    /// # Errors
    /// The system refuses.
    pub fn spoil_a_token(&self, host: u8) -> anyhow::Result<()> {
        let (once, spoil) = ("limit rate 1/day burst 1 packets", byte(SEQ_TOP_AT));
        let rule = format!("add rule inet evs input {} {once} {spoil} set 0x7f", a_token());
        self.filter(host, &[&rule])
    }
}

fn a_token() -> String {
    let (datagram, packet) = (byte(DATAGRAM_KIND_AT), byte(PACKET_KIND_AT));
    format!("udp dport {PORT} {datagram} {RING} {packet} {TOKEN}")
}

/// A byte of a UDP datagram, as a filter's rule names it: in bits, from the UDP header on.
fn byte(at: usize) -> String {
    format!("@th,{},8", (UDP_HEADER_BYTES + at) * 8)
}
