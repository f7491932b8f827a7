//! The UDP sockets of a link: opened, configured, and nothing more.
//!
//! One socket is bound to the node's own address; everything leaves through it, and what is for
//! this node alone comes in. With multicast a second one, bound to the group, only receives.

use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{
    set_ip_multicast_if_with_ifindex, set_socket_recv_buffer_size_force,
    set_socket_send_buffer_size_force,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::link::{Link, Multicast, Transport};

/// The open sockets of one link.
pub(crate) struct Sockets {
    own: Bound,
    group: Option<(Bound, Group)>,
}

/// One socket, with what the kernel can do for it.
pub(crate) struct Bound {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Where multicasts go and come from.
struct Group {
    address: SocketAddr,
    interface: Interface,
}

#[derive(Clone, Copy)]
enum Interface {
    V4 { address: Ipv4Addr, index: u32 },
    V6 { index: u32 },
}

/// What could not be done, for the operator.
#[derive(Debug)]
pub(crate) struct OpenError {
    what: String,
    source: io::Error,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)
    }
}

impl Sockets {
    /// Opens and configures them; `buffer_bytes` is asked for in each direction.
    pub(crate) fn open(link: &Link, buffer_bytes: usize) -> Result<Self, OpenError> {
        let own = Bound::open(link.bind, false, buffer_bytes)?;
        let group = match &link.transport {
            Transport::Unicast => None,
            Transport::Multicast(multicast) => {
                Some(open_group(&own, link, multicast, buffer_bytes)?)
            }
        };
        Ok(Self { own, group })
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.own.local
    }

    pub(crate) fn group_address(&self) -> Option<SocketAddr> {
        self.group.as_ref().map(|(_, group)| group.address)
    }

    pub(crate) const fn sender(&self) -> &Bound {
        &self.own
    }

    /// All of them: first the one for this node alone.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Bound> {
        [&self.own].into_iter().chain(self.group.as_ref().map(|(bound, _)| bound))
    }

    /// Joins the group once more: an interface that went and came back has forgotten it.
    pub(crate) fn rejoin(&self) -> io::Result<()> {
        let Some((bound, group)) = &self.group else {
            return Ok(());
        };
        // Not being in it is what this is for.
        let _ = bound.leave(group);
        bound.join(group)
    }
}

impl Bound {
    fn open(address: SocketAddr, shared: bool, buffer_bytes: usize) -> Result<Self, OpenError> {
        let error = |what: String| move |source| OpenError { what, source };
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .map_err(error("open a UDP socket".to_owned()))?;
        if address.is_ipv6() {
            socket.set_only_v6(true).map_err(error("keep a socket to IPv6".to_owned()))?;
        }
        if shared {
            let what = format!("share {address} with other processes");
            socket.set_reuse_address(true).map_err(error(what))?;
        }
        socket.bind(&address.into()).map_err(error(format!("bind {address}")))?;
        let socket = UdpSocket::from(socket);
        // This also forbids IP fragments (IP_PMTUDISC_PROBE): what is too long for the interface is
        // refused, and cut then (`mtu.rs`).
        let state = UdpSocketState::new((&socket).into())
            .map_err(error(format!("configure the socket at {address}")))?;
        // Told apart by the address that reports them, and never trusted alone.
        state
            .enable_transport_errors((&socket).into())
            .map_err(error(format!("ask for errors of the network at {address}")))?;
        enlarge_buffers(&socket, buffer_bytes);
        let local = socket.local_addr().map_err(error(format!("read the address {address}")))?;
        Ok(Self { socket, state, local })
    }

    /// The next host, of those that wait, which says that nobody listens at a port there.
    pub(crate) fn refusal(&self) -> Option<IpAddr> {
        for _ in 0..ERRORS_AT_ONCE {
            let error = self.state.recv_transport_error((&self.socket).into()).ok()??;
            let errno = rustix::io::Errno::from_raw_os_error(error.raw_errno);
            if let (rustix::io::Errno::CONNREFUSED, Some(from)) = (errno, error.addr) {
                return Some(from.ip());
            }
        }
        None
    }

    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), buffers, meta)
    }

    /// Sends datagrams of `segment` bytes each, the last one perhaps shorter, in one system call.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: (segment < bytes.len()).then_some(segment),
            src_ip: None,
        };
        self.state.try_send((&self.socket).into(), &transmit)
    }

    /// How many datagrams may leave in one system call.
    pub(crate) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes that the kernel keeps: received, to be sent.
    pub(crate) fn buffers(&self) -> (usize, usize) {
        let socket = socket2::SockRef::from(&self.socket);
        (socket.recv_buffer_size().unwrap_or(0), socket.send_buffer_size().unwrap_or(0))
    }

    /// Asks for so much in each direction.
    pub(crate) fn enlarge_buffers(&self, bytes: usize) {
        enlarge_buffers(&self.socket, bytes);
    }

    fn join(&self, group: &Group) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.socket);
        match (group.address, group.interface) {
            (SocketAddr::V4(group), Interface::V4 { address, index }) => {
                socket.join_multicast_v4_n(group.ip(), &v4_interface(address, index))
            }
            (SocketAddr::V6(group), Interface::V6 { index }) => {
                socket.join_multicast_v6(group.ip(), index)
            }
            (SocketAddr::V4(_), Interface::V6 { .. })
            | (SocketAddr::V6(_), Interface::V4 { .. }) => Err(mixed_versions()),
        }
    }

    fn leave(&self, group: &Group) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.socket);
        match (group.address, group.interface) {
            (SocketAddr::V4(group), Interface::V4 { address, index }) => {
                socket.leave_multicast_v4_n(group.ip(), &v4_interface(address, index))
            }
            (SocketAddr::V6(group), Interface::V6 { index }) => {
                socket.leave_multicast_v6(group.ip(), index)
            }
            (SocketAddr::V4(_), Interface::V6 { .. })
            | (SocketAddr::V6(_), Interface::V4 { .. }) => Err(mixed_versions()),
        }
    }

    /// Lets multicasts out through the interface. Where other daemons listen on this host they come
    /// back to it, and this one drops its own by their header.
    fn send_to_group(&self, group: &Group, hops: u8, loops: bool) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.socket);
        match (group.address, group.interface) {
            (SocketAddr::V4(group), Interface::V4 { address, index }) => {
                set_ip_multicast_if_with_ifindex(&self.socket, group.ip(), &address, index)?;
                socket.set_multicast_ttl_v4(u32::from(hops))?;
                socket.set_multicast_loop_v4(loops)
            }
            (SocketAddr::V6(_), Interface::V6 { index }) => {
                socket.set_multicast_if_v6(index)?;
                socket.set_multicast_hops_v6(u32::from(hops))?;
                socket.set_multicast_loop_v6(loops)
            }
            (SocketAddr::V4(_), Interface::V6 { .. })
            | (SocketAddr::V6(_), Interface::V4 { .. }) => Err(mixed_versions()),
        }
    }
}

fn open_group(
    own: &Bound,
    link: &Link,
    multicast: &Multicast,
    buffer_bytes: usize,
) -> Result<(Bound, Group), OpenError> {
    let index = match &multicast.interface {
        None => 0,
        Some(name) => name_to_index(&own.socket, name).map_err(|source| OpenError {
            what: format!("find the interface {name}"),
            source: source.into(),
        })?,
    };
    let group = group_at(link.bind, multicast.group, index);
    let loops = link.peers.iter().any(|(_, peer)| is_here(peer.ip()));
    let what = |what: &str| format!("{what} the multicast group {}", group.address);
    let error = |what: String| move |source| OpenError { what, source };
    own.send_to_group(&group, multicast.hops, loops).map_err(error(what("send to")))?;
    let bound = Bound::open(group.address, true, buffer_bytes)?;
    bound.join(&group).map_err(error(what("join")))?;
    Ok((bound, group))
}

/// Whether this host has the address. In doubt it has: what comes back in vain costs time only.
fn is_here(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

fn group_at(bind: SocketAddr, mut address: SocketAddr, index: u32) -> Group {
    let interface = match (bind, &mut address) {
        (SocketAddr::V6(bind), SocketAddr::V6(group)) => {
            let index = match (index, bind.scope_id()) {
                (0, 0) => interface_with(*bind.ip()),
                (0, scope) => scope,
                (named, _) => named,
            };
            group.set_scope_id(index);
            Interface::V6 { index }
        }
        (SocketAddr::V4(bind), _) => Interface::V4 { address: *bind.ip(), index },
        (SocketAddr::V6(_), SocketAddr::V4(_)) => {
            Interface::V4 { address: Ipv4Addr::UNSPECIFIED, index }
        }
    };
    Group { address, interface }
}

/// The interface that has this address; 0, which lets the routes decide, if none has. (With IPv4
/// the kernel finds it itself.)
fn interface_with(address: Ipv6Addr) -> u32 {
    let list = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    find_interface(&list, address).unwrap_or(0)
}

/// Lines of: address as 32 digits, interface index, and more; all hexadecimal.
fn find_interface(list: &str, address: Ipv6Addr) -> Option<u32> {
    let wanted = format!("{:032x}", address.to_bits());
    let mut lines = list.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find_map(|mut line| (line.next() == Some(&wanted)).then_some(line))?;
    u32::from_str_radix(line.next()?, 16).ok()
}

const fn v4_interface(address: Ipv4Addr, index: u32) -> InterfaceIndexOrAddress {
    match index {
        0 => InterfaceIndexOrAddress::Address(address),
        index => InterfaceIndexOrAddress::Index(index),
    }
}

/// Reports of the network that are read in one go.
const ERRORS_AT_ONCE: usize = 64;

fn mixed_versions() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "IPv4 and IPv6 mixed")
}

/// As much as asked for where that is allowed (CAP_NET_ADMIN), else what the system's limit
/// (`net.core.rmem_max`, `wmem_max`) grants. The sizes in force are in the counters.
fn enlarge_buffers(socket: &UdpSocket, bytes: usize) {
    let plain = socket2::SockRef::from(socket);
    if set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        let _ = plain.set_recv_buffer_size(bytes);
    }
    if set_socket_send_buffer_size_force(socket, bytes).is_err() {
        let _ = plain.set_send_buffer_size(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_there_is_named_in_the_error() {
        let address = SocketAddr::from(([192, 0, 2, 77], 0));
        let error = Bound::open(address, false, 1 << 16).map(|_| ()).expect_err("not ours");
        assert!(error.to_string().contains("bind 192.0.2.77:0"), "{error}");
    }

    #[test]
    fn own_multicasts_come_back_where_a_peer_shares_the_host() {
        for (peer, comes_back) in [("127.0.0.1:9", true), ("192.0.2.77:9", false)] {
            let node = evs_model::NodeId::new(2).expect("not zero");
            let group = SocketAddr::from(([239, 1, 2, 3], 0));
            let link = Link {
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                peers: vec![(node, peer.parse().expect("an address"))],
                transport: Transport::Multicast(Multicast { group, interface: None, hops: 1 }),
                mtu: 1500,
                priority: 0,
            };
            let sockets = Sockets::open(&link, 1 << 16).expect("they open");
            let own = socket2::SockRef::from(&sockets.sender().socket);
            assert_eq!(own.multicast_loop_v4().expect("read"), comes_back, "{peer}");
        }
    }

    #[test]
    fn an_ipv6_group_takes_the_scope_of_the_interface() {
        let bind = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        let group: SocketAddr = "[ff02::1234]:5405".parse().expect("an address");
        assert_eq!(group_at(bind, group, 3).address.to_string(), "[ff02::1234%3]:5405");
    }

    #[test]
    fn the_interface_of_an_ipv6_address_is_found_in_the_kernels_list() {
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fd000000000000000000000000000002 1f 40 00 82     eth0\n\
                    short\n";
        let find = |address: &str| find_interface(list, address.parse().expect("an address"));
        assert_eq!(find("::1"), Some(1));
        assert_eq!(find("fd00::2"), Some(0x1f));
        assert_eq!(find("fd00::3"), None);
    }
}
