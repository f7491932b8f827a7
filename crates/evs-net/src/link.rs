//! A link: the addresses over which one node talks to the others, and how.

use std::net::{IpAddr, SocketAddr};

use evs_model::NodeId;
use thiserror::Error;

use crate::wire::{DATAGRAM_BYTES_MAX, SEAL_OVERHEAD};
use crate::{EndpointConfig, LinkTerms};

/// One link of a node: its own address, the addresses of its peers, and the transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// The address to receive at and to send from. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where each peer receives. All of one IP version, that of `bind`.
    pub peers: Vec<(NodeId, SocketAddr)>,
    /// How a datagram for everybody goes out.
    pub transport: Transport,
    /// Largest IP packet that passes without being cut, in bytes, headers included; from 576 (IPv6:
    /// 1280) to 65,535. Ethernet: 1500.
    pub mtu: usize,
    /// Of two links without fault data takes the one with the higher priority.
    pub priority: u8,
}

/// How a datagram for everybody goes out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Once to each peer.
    Unicast,
    /// Once to a group. What is for one peer goes to its address all the same.
    Multicast(Multicast),
}

/// A multicast group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Multicast {
    /// Its address and port, the same on all nodes.
    pub group: SocketAddr,
    /// The name of the interface. `None`: the one that has the address `bind`.
    pub interface: Option<String>,
    /// How many hops it may take; 1 stays on the local network.
    pub hops: u8,
}

/// What is wrong with a [`Link`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LinkError {
    /// IPv4 and IPv6 mixed.
    #[error("{0} is of another IP version than {1}: a link has one")]
    Version(IpAddr, IpAddr),
    /// The group's address is no multicast address.
    #[error("{0} is no multicast address")]
    Group(IpAddr),
    /// The MTU is out of range.
    #[error("an MTU of {0}: it must be from 576 (IPv6: 1280) to 65535")]
    Mtu(usize),
    /// More addresses than a configuration has peers.
    #[error("{0} peers, the limit is {max}", max = EndpointConfig::PEERS_MAX)]
    TooManyPeers(usize),
}

impl Link {
    /// Checks that it can be used at all.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn validate(&self) -> Result<(), LinkError> {
        let mine = self.bind.ip();
        let mtu_min = if self.is_ipv6() { 1280 } else { 576 };
        if !(mtu_min..=65_535).contains(&self.mtu) {
            return Err(LinkError::Mtu(self.mtu));
        }
        if self.peers.len() > EndpointConfig::PEERS_MAX {
            return Err(LinkError::TooManyPeers(self.peers.len()));
        }
        let group = match &self.transport {
            Transport::Unicast => None,
            Transport::Multicast(multicast) => Some(multicast.group),
        };
        let others = self.peers.iter().map(|(_, address)| *address).chain(group);
        if let Some(other) = others.map(|a| a.ip()).find(|ip| ip.is_ipv4() != mine.is_ipv4()) {
            return Err(LinkError::Version(other, mine));
        }
        match group.map(|group| group.ip()) {
            Some(ip) if !ip.is_multicast() => Err(LinkError::Group(ip)),
            _ => Ok(()),
        }
    }

    /// What is to be known of it for choosing among several.
    #[must_use]
    pub const fn terms(&self) -> LinkTerms {
        let shared = matches!(self.transport, Transport::Multicast(_));
        LinkTerms { priority: self.priority, shared }
    }

    /// Whether it runs over IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.bind.is_ipv6()
    }

    /// Largest payload that passes without being cut; see [`payload_bytes_max`].
    #[must_use]
    pub const fn payload_bytes_max(&self) -> usize {
        payload_bytes_max(self.mtu, self.is_ipv6())
    }
}

/// Largest payload, for instance a ring packet, whose sealed datagram fits one IP packet of `mtu`
/// bytes; at most [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX). 0 if none does.
#[must_use]
pub const fn payload_bytes_max(mtu: usize, ipv6: bool) -> usize {
    datagram_bytes_max(mtu, ipv6).saturating_sub(SEAL_OVERHEAD)
}

/// Largest datagram that fits one IP packet of `mtu` bytes; none is larger than
/// [`DATAGRAM_BYTES_MAX`].
pub(crate) const fn datagram_bytes_max(mtu: usize, ipv6: bool) -> usize {
    let headers = UDP_HEADER + if ipv6 { IPV6_HEADER } else { IPV4_HEADER };
    let bytes = mtu.saturating_sub(headers);
    if bytes < DATAGRAM_BYTES_MAX { bytes } else { DATAGRAM_BYTES_MAX }
}

/// How long the IP packet is in which a datagram of so many bytes travels.
#[must_use]
pub const fn ip_packet_bytes(datagram: usize, ipv6: bool) -> usize {
    datagram + UDP_HEADER + if ipv6 { IPV6_HEADER } else { IPV4_HEADER }
}

const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAYLOAD_BYTES_MAX;

    fn link(bind: &str, peer: &str) -> Link {
        let peer = (NodeId::new(2).expect("not zero"), peer.parse().expect("an address"));
        let bind = bind.parse().expect("an address");
        Link { bind, peers: vec![peer], transport: Transport::Unicast, mtu: 1500, priority: 0 }
    }

    #[test]
    fn the_overhead_of_ip_udp_and_seal_comes_off_the_mtu() {
        assert_eq!(payload_bytes_max(1500, false), 1500 - 20 - 8 - 54);
        assert_eq!(payload_bytes_max(1500, true), 1500 - 40 - 8 - 54);
        assert_eq!(payload_bytes_max(50, false), 0);
    }

    /// Otherwise a full packet would be refused by the seal, for ever.
    #[test]
    fn a_payload_of_full_size_is_sealed_whatever_the_mtu() {
        for ipv6 in [false, true] {
            assert_eq!(payload_bytes_max(65_535, ipv6), PAYLOAD_BYTES_MAX);
        }
        assert_eq!(payload_bytes_max(9_000, false), 9_000 - 20 - 8 - 54);
    }

    #[test]
    fn ip_versions_are_not_mixed() {
        assert_eq!(link("127.0.0.1:0", "127.0.0.1:1").validate(), Ok(()));
        assert_eq!(link("[::1]:0", "[::1]:1").validate(), Ok(()));
        let error = link("127.0.0.1:0", "[::1]:1").validate().expect_err("mixed");
        assert!(matches!(error, LinkError::Version(..)), "{error}");
    }

    #[test]
    fn a_group_must_be_one() {
        let multicast = |group: &str| {
            let group = group.parse().expect("an address");
            let transport = Transport::Multicast(Multicast { group, interface: None, hops: 1 });
            Link { transport, ..link("127.0.0.1:0", "127.0.0.1:1") }.validate()
        };
        assert_eq!(multicast("239.192.0.1:5405"), Ok(()));
        assert!(matches!(multicast("10.0.0.1:5405"), Err(LinkError::Group(_))));
        assert!(matches!(multicast("[ff02::1]:5405"), Err(LinkError::Version(..))));
    }

    #[test]
    fn an_mtu_out_of_range_is_refused() {
        for (mtu, bind, fits) in [
            (575, "127.0.0.1:0", false),
            (576, "127.0.0.1:0", true),
            (1279, "[::1]:0", false),
            (65_535, "[::1]:0", true),
            (65_536, "[::1]:0", false),
        ] {
            assert_eq!(Link { mtu, ..link(bind, bind) }.validate().is_ok(), fits, "{mtu} {bind}");
        }
    }
}
