//! Counters of the sockets of one link, or of all of them.

use std::io;

/// Datagrams that the kernel did not take, by reason. They are lost; the protocol repeats them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SendFailures {
    /// No memory for them (ENOBUFS, ENOMEM).
    pub no_buffers: u64,
    /// A firewall (EPERM, EACCES).
    pub not_permitted: u64,
    /// Larger than the path takes (EMSGSIZE).
    pub too_large: u64,
    /// No way there, or none from this address (EHOSTUNREACH, ENETUNREACH, ENETDOWN,
    /// EADDRNOTAVAIL).
    pub unreachable: u64,
    /// Nobody listens there (ECONNREFUSED).
    pub refused: u64,
    /// Anything else.
    pub other: u64,
}

/// Counters since the start, and what the kernel granted: of one link, or the sums over all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NetStats {
    /// Datagrams received, whatever became of them.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel took; one for three peers counts three times.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// System calls that sent something.
    pub send_calls: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// System calls for receiving that failed.
    pub receive_failures: u64,
    /// Datagrams that the kernel did not take.
    pub send_failures: SendFailures,
    /// Times that a socket was busy.
    pub blocked: u64,
    /// Datagrams dropped because the send queue was full.
    pub queue_full: u64,
    /// Datagrams dropped because no socket is open.
    pub no_socket: u64,
    /// Datagrams for a node that is no peer.
    pub no_address: u64,
    /// Times that the sockets could not be opened.
    pub open_failures: u64,
    /// Times that the multicast group could not be joined again.
    pub join_failures: u64,
    /// Most datagrams per system call of sending; 1 where the kernel or the interface cannot
    /// segment, for instance because the MTU of the link is above that of the interface.
    pub segments_max: usize,
    /// The kernel's receive buffer in force, in bytes.
    pub receive_buffer_bytes: usize,
    /// The kernel's send buffer in force, in bytes.
    pub send_buffer_bytes: usize,
}

impl NetStats {
    /// Datagrams that were not sent, by reason.
    pub fn not_sent(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let failures = &self.send_failures;
        [
            ("no_buffers", failures.no_buffers),
            ("not_permitted", failures.not_permitted),
            ("too_large", failures.too_large),
            ("unreachable", failures.unreachable),
            ("refused", failures.refused),
            ("other", failures.other),
            ("queue_full", self.queue_full),
            ("no_socket", self.no_socket),
        ]
        .into_iter()
    }

    /// These and those of one more link.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.datagrams_received += more.datagrams_received;
        self.bytes_received += more.bytes_received;
        self.datagrams_sent += more.datagrams_sent;
        self.bytes_sent += more.bytes_sent;
        self.send_calls += more.send_calls;
        self.receive_calls += more.receive_calls;
        self.receive_failures += more.receive_failures;
        self.send_failures = self.send_failures.and(&more.send_failures);
        self.blocked += more.blocked;
        self.queue_full += more.queue_full;
        self.no_socket += more.no_socket;
        self.no_address += more.no_address;
        self.open_failures += more.open_failures;
        self.join_failures += more.join_failures;
        self.segments_max = self.segments_max.max(more.segments_max);
        self.receive_buffer_bytes += more.receive_buffer_bytes;
        self.send_buffer_bytes += more.send_buffer_bytes;
        self
    }
}

impl SendFailures {
    pub(crate) fn count(&mut self, error: &io::Error) {
        use rustix::io::Errno;
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let counter = match errno {
            Some(Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN) => &mut self.no_buffers,
            Some(Errno::PERM | Errno::ACCESS) => &mut self.not_permitted,
            Some(Errno::MSGSIZE) => &mut self.too_large,
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL) => {
                &mut self.unreachable
            }
            Some(Errno::CONNREFUSED) => &mut self.refused,
            _ => &mut self.other,
        };
        *counter += 1;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.no_buffers
            + self.not_permitted
            + self.too_large
            + self.unreachable
            + self.refused
            + self.other
    }

    const fn and(self, more: &Self) -> Self {
        Self {
            no_buffers: self.no_buffers + more.no_buffers,
            not_permitted: self.not_permitted + more.not_permitted,
            too_large: self.too_large + more.too_large,
            unreachable: self.unreachable + more.unreachable,
            refused: self.refused + more.refused,
            other: self.other + more.other,
        }
    }
}
