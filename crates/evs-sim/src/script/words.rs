//! The words of a script that are commands of the world: faults, and their end.

use super::{MS, Script};
use crate::world::{Aim, Backlog, Disk, Nanos, Weather};

impl Script {
    /// Starts a node that is down, with what is on its disk.
    pub fn start(&mut self, id: u32) -> &mut Self {
        self.world.start(id, Disk::Kept);
        self
    }

    /// Starts a node that is down and has lost its disk.
    pub fn start_wiped(&mut self, id: u32) -> &mut Self {
        self.world.start(id, Disk::Wiped);
        self
    }

    /// Ends a node's process at once.
    pub fn crash(&mut self, id: u32) -> &mut Self {
        self.world.crash(id);
        self
    }

    /// Ends a node's process after so many more outputs.
    pub fn crash_after(&mut self, id: u32, outputs: u32) -> &mut Self {
        self.world.crash_after(id, outputs);
        self
    }

    /// Asks a node to leave in order.
    pub fn leave(&mut self, id: u32) -> &mut Self {
        self.world.leave(id);
        self
    }

    /// Starts a node that is down and finds what its disk held so many writes earlier.
    pub fn start_older(&mut self, id: u32, writes: u32) -> &mut Self {
        self.world.start(id, Disk::Older(writes));
        self
    }

    /// Stops a node's process.
    pub fn pause(&mut self, id: u32) -> &mut Self {
        self.world.pause(id);
        self
    }

    /// Lets a paused node go on, with its receive buffer as it is.
    pub fn resume(&mut self, id: u32) -> &mut Self {
        self.world.resume(id, Backlog::Kept, false);
        self
    }

    /// Lets a paused node go on; what came meanwhile is lost.
    pub fn resume_deaf(&mut self, id: u32) -> &mut Self {
        self.world.resume(id, Backlog::Lost, false);
        self
    }

    /// Lets a paused node go on; it looks at its timers before its receive buffer.
    pub fn resume_timers_first(&mut self, id: u32) -> &mut Self {
        self.world.resume(id, Backlog::Kept, true);
        self
    }

    /// Stops a node's process for so many milliseconds, which do not pass here.
    pub fn pause_for(&mut self, id: u32, ms: Nanos) -> &mut Self {
        self.world.pause_for(id, ms * MS);
        self
    }

    /// A node's receive buffer holds so many datagrams.
    pub fn buffer(&mut self, id: u32, datagrams: usize) -> &mut Self {
        self.world.buffer(id, datagrams);
        self
    }

    /// A node's disk stands still until [`Script::disk_goes_on`].
    pub fn disk_stalls(&mut self, id: u32) -> &mut Self {
        self.world.disk_stalls(id, Nanos::MAX);
        self
    }

    /// A disk that stood still stores what waited.
    pub fn disk_goes_on(&mut self, id: u32) -> &mut Self {
        self.world.disk_goes_on(id);
        self
    }

    /// A node's clock gains so many microseconds in each second.
    pub fn clock_rate(&mut self, id: u32, skew_ppm: i64) -> &mut Self {
        self.world.clock_rate(id, skew_ppm);
        self
    }

    /// Nothing passes between two nodes.
    pub fn cut(&mut self, one: u32, two: u32) -> &mut Self {
        self.world.cut(one, two);
        self
    }

    /// Nothing passes from one node to another.
    pub fn cut_one_way(&mut self, from: u32, to: u32) -> &mut Self {
        self.world.cut_one_way(from, to);
        self
    }

    /// No datagram larger than this passes from one node to another.
    pub fn cut_large(&mut self, from: u32, to: u32, bytes_max: usize) -> &mut Self {
        self.world.cut_large(from, to, bytes_max);
        self
    }

    /// So many datagrams from one node to another are lost, in parts per million.
    pub fn lossy(&mut self, from: u32, to: u32, ppm: u32) -> &mut Self {
        self.world.lossy(from, to, ppm);
        self
    }

    /// Everything from one node to another takes longer by so many microseconds.
    pub fn slow(&mut self, from: u32, to: u32, us: Nanos) -> &mut Self {
        self.world.slow(from, to, us * 1_000);
        self
    }

    /// The path from one node to another carries so many bytes in a second, and so many wait.
    pub fn clog(&mut self, from: u32, to: u32, rate: u64, buffer_bytes: u64) -> &mut Self {
        self.world.clog(from, to, rate, buffer_bytes);
        self
    }

    /// All links behave like this.
    pub fn weather(&mut self, weather: Weather) -> &mut Self {
        self.world.weather(weather);
        self
    }

    /// Parts the nodes into sides.
    pub fn partition(&mut self, sides: &[&[u32]]) -> &mut Self {
        self.world.partition(sides);
        self
    }

    /// Opens every path.
    pub fn heal(&mut self) -> &mut Self {
        self.world.heal();
        self
    }

    /// Strikes certain datagrams.
    pub fn aim(&mut self, aim: Aim) -> &mut Self {
        self.world.aim(aim);
        self
    }

    /// The client of this node stops reading.
    pub fn stall_client(&mut self, id: u32) -> &mut Self {
        if let Some(session) = self.client(id) {
            self.world.stall(session);
        }
        self
    }

    /// The client of this node reads what there is, and goes on reading.
    pub fn read_client(&mut self, id: u32) -> &mut Self {
        if let Some(session) = self.client(id) {
            self.world.read(session);
        }
        self
    }

    /// The process of this node's client ends; what it had not read, nobody reads.
    pub fn kill_client(&mut self, id: u32) -> &mut Self {
        if let Some(session) = self.client(id) {
            self.world.kill(session);
        }
        self
    }
}
