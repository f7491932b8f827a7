//! Lines with the time since the beginning before them.

use std::time::Instant;

pub(super) struct Screen {
    begin: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { begin: Instant::now() }
    }

    pub(super) fn tell(&self, what: String) {
        println!("{:6.2} s  {what}", self.begin.elapsed().as_secs_f64());
    }
}

/// `1 2 3`
pub(super) fn list(nodes: &[u32]) -> String {
    nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
