//! The protocol between the EVS daemon and its clients on one host.
//!
//! Responsible for: the frames of both directions and their limits ([`ClientFrame`],
//! [`ServerFrame`], [`Event`](evs_model::Event)), cutting a byte stream into frames
//! ([`FrameReader`]), byte-bounded queues of frames for sockets that do not block ([`OutQueue`]),
//! rings of frames in shared memory ([`shm`]),
//! the arithmetic of the send credit ([`Credit`], [`CreditLedger`]), and the few socket calls that
//! both ends need ([`socket`]).
//! Not responsible for: who may connect, what a request does, waiting, threads, clocks.
//!
//! # Sockets and memory
//!
//! A client connects to the daemon's Unix stream socket: the *control* socket. It carries requests
//! one way, and replies and credit the other way. The daemon's [`Welcome`] brings two descriptors
//! along (`SCM_RIGHTS`): a file in memory with two rings of frames ([`shm`]), and one end of a
//! fresh socket pair, the *bell*. Messages go through one ring to the daemon; through the other
//! comes the client's history (EVS-11). The first event is in it before the Welcome is sent. On
//! the bell each end wakes the other with one byte, if that sleeps; that it is closed says that the
//! other end is gone.
//!
//! Requests and messages keep the order in which they were made: a daemon handles a request after
//! all messages that were in the ring when it had read the request.
//!
//! A frame is a length (u32, of all that follows it), a kind (u8) and fields; numbers are
//! little-endian. The layouts of `Hello`, and of `Refused` and the version in `Welcome`, never
//! change, so that two versions can always tell each other why they part.
//!
//! # Who may send how much
//!
//! A send is not answered. The Welcome grants a credit in bytes; a message costs
//! [`send_cost`](evs_model::send_cost); it may be sent when its cost fits the credit that is left,
//! or when nothing is outstanding, so that one message of any allowed size always fits. The daemon
//! gives the cost back when the message has its place in the order. So a daemon never has to leave
//! a control socket unread, and a client knows without asking whether there is room. Messages are
//! numbered 1, 2, 3 … by both sides in the order of sending.
//!
//! # Hostile bytes
//!
//! Decoding never panics; no length is believed before it is compared with its limit, and no
//! memory is taken for bytes that have not arrived beyond four times those that have.

#![deny(unsafe_code)]

mod client_frame;
mod credit;
mod error;
mod event_frame;
mod limits;
mod queue;
mod reader;
mod server_frame;
pub mod shm;
pub mod socket;
mod wire;

pub use client_frame::{ClientFrame, Hello, SendHead};
pub use credit::{Credit, CreditLedger, Overdrawn};
pub use error::DecodeError;
pub use event_frame::{Explained, MessageView, decode_event, decode_explained};
pub use limits::{
    CLIENT_NAME_BYTES_MAX, HELLO_FRAME_BYTES_MAX, MESSAGE_BYTES_CEILING, PROTOCOL_VERSION,
    QUESTION_BYTES_MAX, SERVER_FRAME_BYTES_MAX, SOCKET_ENV, SOCKET_PATH, STATUS_BYTES_MAX,
    client_frame_bytes_max, event_frame_bytes_max, spoken,
};
pub use queue::{Flush, OutQueue, QueueFull};
pub use reader::{Frame, FrameReader, ReadOutcome};
pub use server_frame::{Outcome, Refusal, ServerFrame, Welcome};
pub use wire::EncodeFrame;
