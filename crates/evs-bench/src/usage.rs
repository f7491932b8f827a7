//! What processes use, by the word of the kernel.

use std::fs;

/// The CPU time of these processes, user and system, in seconds. One that has ended and whose end
/// nobody has taken yet counts with all that it used; one that is gone counts nothing.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| of_threads(*pid).unwrap_or_else(|| of_process(*pid))).sum()
}

/// The memory of these processes that is resident, in bytes.
pub(crate) fn resident_bytes(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    pids.iter().filter_map(of).sum()
}

/// To the nanosecond, by the scheduler's account of every thread.
fn of_threads(pid: u32) -> Option<f64> {
    if is_over(pid) {
        return None;
    }
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let account = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += account.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(nanos as f64 / 1e9)
}

/// In hundredths of a second, which is what the kernel keeps of a process that is over.
fn of_process(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks =
        |at: usize| fields(&stat).nth(at).and_then(|text| text.parse().ok()).unwrap_or(0u64);
    (ticks(USER) + ticks(SYSTEM)) as f64 / 100.0
}

fn is_over(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    fields(&stat).next() == Some("Z")
}

/// What follows the program's name, which may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

/// Where the ticks are, counted from the state, which is field 3 of proc(5).
const USER: usize = 14 - 3;
const SYSTEM: usize = 15 - 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_begin_after_the_name_whatever_it_holds() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 0 0 0 0 0 12 34 0";
        assert_eq!(fields(stat).next(), Some("S"));
        assert_eq!(fields(stat).nth(USER), Some("12"));
        assert_eq!(fields(stat).nth(SYSTEM), Some("34"));
    }

    #[test]
    fn this_process_uses_something() {
        let me = [std::process::id()];
        assert!(resident_bytes(&me) > 100_000);
        let before = cpu_seconds(&me);
        let mut sum = 0u64;
        while cpu_seconds(&me) - before < 0.001 {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
