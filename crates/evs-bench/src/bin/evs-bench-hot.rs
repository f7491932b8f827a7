//! Does so many units of what is done for every message: `evs-bench-hot NAME UNITS`.
//!
//! Responsible for: being run under callgrind (`cargo xtask counts`).
//! Not responsible for: counting.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use evs_bench::hot;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let units = words.next().and_then(|units| units.parse().ok());
    let work = hot::ALL.iter().find(|work| work.name == name);
    let (Some(work), Some(units)) = (work, units) else {
        let names = hot::ALL.map(|work| work.name).join(", ");
        eprintln!("usage: evs-bench-hot NAME UNITS, NAME one of {names}");
        return ExitCode::from(2);
    };
    println!("{}", (work.run)(units));
    ExitCode::SUCCESS
}
