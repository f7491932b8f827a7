//! LIVE-3 and P34 on real daemons: every single path among three to five of them is cut, one way
//! and both ways. A few of the cuts here, all of them in `cargo xtask soak`.

use std::fmt::Write as _;

use anyhow::Result;

use crate::scenario::play;

/// Cuts that one cluster lives through.
const CUTS: usize = 10;

/// Whether all cuts are wanted (`EVS_NETNS_ALL`).
fn all() -> bool {
    std::env::var_os("EVS_NETNS_ALL").is_some()
}

/// Cuts each of these paths, and mends it before the next.
fn cut(nodes: u8, paths: &[String]) -> Result<()> {
    let ids: Vec<String> = (1..=nodes).map(|id| id.to_string()).collect();
    for part in paths.chunks(CUTS) {
        let mut text = format!("nodes {nodes}\ntraffic 10\n");
        for path in part {
            write!(text, "cut {path}\nexpect settled\n")?;
            // Where nothing passes either way, each end knows that it hears nothing.
            if path.contains("->") {
                writeln!(text, "expect silent {path}")?;
            } else {
                let turned: Vec<&str> = path.rsplit(" - ").collect();
                let (there, back) = (path.replace('-', "->"), turned.join(" -> "));
                write!(text, "expect silent {there}\nexpect silent {back}\n")?;
            }
            write!(text, "heal\nexpect rings {{{}}}\n", ids.join(" "))?;
        }
        play(&text)?;
    }
    let list = paths.join(", ");
    println!("soak: {} of {nodes} nodes cut, each settled and named: {list}", paths.len());
    Ok(())
}

/// Every pair of nodes, with this between them.
fn every(nodes: u8, arrow: &str, ordered: bool) -> Vec<String> {
    let pairs = (1..=nodes).flat_map(|one| (1..=nodes).map(move |two| (one, two)));
    let wanted = pairs.filter(|(one, two)| one < two || ordered && one != two);
    wanted.map(|(one, two)| format!("{one} {arrow} {two}")).collect()
}

/// These cuts, or all of their kind.
fn some_or_all(nodes: u8, some: &[&str], arrow: &str, ordered: bool) -> Result<()> {
    let some: Vec<String> = some.iter().map(|path| (*path).to_owned()).collect();
    cut(nodes, &if all() { every(nodes, arrow, ordered) } else { some })
}

#[test]
fn every_path_of_three_that_is_cut_one_way_settles_and_is_named() -> Result<()> {
    some_or_all(3, &["2 -> 3", "3 -> 1"], "->", true)
}

#[test]
fn every_path_of_three_that_is_cut_both_ways_settles_and_is_named() -> Result<()> {
    some_or_all(3, &["1 - 2"], "-", false)
}

#[test]
fn every_path_of_four_that_is_cut_one_way_settles_and_is_named() -> Result<()> {
    some_or_all(4, &["4 -> 2"], "->", true)
}

#[test]
fn every_path_of_four_that_is_cut_both_ways_settles_and_is_named() -> Result<()> {
    some_or_all(4, &["2 - 3"], "-", false)
}

#[test]
fn every_path_of_five_that_is_cut_one_way_settles_and_is_named() -> Result<()> {
    some_or_all(5, &["1 -> 5", "3 -> 4"], "->", true)
}

#[test]
fn every_path_of_five_that_is_cut_both_ways_settles_and_is_named() -> Result<()> {
    some_or_all(5, &["2 - 5"], "-", false)
}
