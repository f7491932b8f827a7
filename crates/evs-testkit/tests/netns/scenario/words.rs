//! The language of scenario files: one line, one thing. `#` begins a comment.
//!
//! ```text
//! nodes 3                      first what there is: nodes, and perhaps
//! detection 500 ms             ipv6, multicast, links 2, forwarder
//! traffic 50                   everybody gets 50 more messages of everybody in its ring
//! cut 2 -> 3                   nothing of 2 arrives at 3; cut 2 - 3: nor the other way
//! large 900 B 2 -> 3           no datagram above 900 bytes of 2 arrives at 3
//! lose 50 % 2 -> 3             half of what 2 sends does not arrive at 3
//! delay 25 ms jitter 20 ms reorder 1 % duplicate 1 % everywhere     or 2 -> 3
//! unplug 3, plug 3, kill 3, start 3, stop 3, continue 3, burst
//! heal                         undoes cut, large, lose and delay
//! expect rings {1 2} {3}       within the time that the contract gives
//! expect settled               as LIVE-3 says for the paths that are cut; and then nothing changes
//! expect no change             since the last thing that was done
//! expect silent 2 -> 3         both sides name the path; also: narrow, lossy
//! calm 4 s                     nothing changes for so long
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// A scenario as it is written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) nodes: u8,
    pub(crate) links: Option<u8>,
    pub(crate) detection: Option<Duration>,
    pub(crate) ipv6: bool,
    pub(crate) multicast: bool,
    pub(crate) forwarder: bool,
    /// With their lines, from 1.
    pub(crate) steps: Vec<(usize, Step)>,
}

/// One line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Do(Act),
    Expect(Wish),
}

/// Something that is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    Burst,
    Cut(Path),
    Large(u16, Path),
    Lose(u8, Path),
    Delay { delay: Duration, jitter: Duration, reorder: u8, duplicate: u8, on: Path },
    Heal,
    Unplug(u8),
    Plug(u8),
    Kill(u8),
    Start(u8),
    Stop(u8),
    Continue(u8),
}

/// Something that is waited for, or that must stay as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    Traffic(u64),
    Rings(Vec<Vec<u32>>),
    Settled,
    NoChange,
    /// The state of a path, as both its ends tell it.
    Told(Trouble, u8, u8),
    Calm(Duration),
}

/// What may be wrong with a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    Silent,
    Narrow,
    Lossy,
}

/// Paths from one host to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Path {
    OneWay(u8, u8),
    BothWays(u8, u8),
    Everywhere,
}

impl Path {
    /// Each as (from, to).
    pub(crate) fn pairs(self, nodes: u8) -> Vec<(u8, u8)> {
        match self {
            Self::OneWay(from, to) => vec![(from, to)],
            Self::BothWays(one, two) => vec![(one, two), (two, one)],
            Self::Everywhere => {
                let all = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to)));
                all.filter(|(from, to)| from != to).collect()
            }
        }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first line that means nothing, by its number.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut scenario = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let read = scenario.read(number, &words);
                read.with_context(|| format!("line {number}: {line:?}"))?;
            }
        }
        ensure!(scenario.nodes >= 1, "it does not say how many nodes there are");
        Ok(scenario)
    }

    fn read(&mut self, number: usize, words: &[&str]) -> Result<()> {
        match words {
            ["nodes", count] => self.nodes = count.parse()?,
            ["links", count] => self.links = Some(count.parse()?),
            ["detection", count, unit] => self.detection = Some(time(count, unit)?),
            ["ipv6"] => self.ipv6 = true,
            ["multicast"] => self.multicast = true,
            ["forwarder"] => self.forwarder = true,
            _ => self.steps.push((number, Step::read(words)?)),
        }
        Ok(())
    }
}

impl Step {
    fn read(words: &[&str]) -> Result<Self> {
        match words {
            ["expect" | "traffic" | "calm", ..] => Wish::read(words).map(Self::Expect),
            _ => Act::read(words).map(Self::Do),
        }
    }
}

impl Wish {
    fn read(words: &[&str]) -> Result<Self> {
        Ok(match words {
            ["traffic", count] => Self::Traffic(count.parse()?),
            ["expect", "rings", sets @ ..] => Self::Rings(rings(&sets.join(" "))?),
            ["expect", "settled"] => Self::Settled,
            ["expect", "no", "change"] => Self::NoChange,
            ["expect", trouble, from, "->", to] => {
                Self::Told(Trouble::read(trouble)?, from.parse()?, to.parse()?)
            }
            ["calm", count, unit] => Self::Calm(time(count, unit)?),
            _ => bail!("it means nothing"),
        })
    }
}

impl Act {
    fn read(words: &[&str]) -> Result<Self> {
        Ok(match words {
            ["burst"] => Self::Burst,
            ["cut", on @ ..] => Self::Cut(path(on)?),
            ["large", bytes, "B", on @ ..] => Self::Large(bytes.parse()?, path(on)?),
            ["lose", percent, "%", on @ ..] => Self::Lose(percent.parse()?, path(on)?),
            ["delay", count, unit, more @ ..] => Self::delay(time(count, unit)?, more)?,
            ["heal"] => Self::Heal,
            ["unplug", host] => Self::Unplug(host.parse()?),
            ["plug", host] => Self::Plug(host.parse()?),
            ["kill", host] => Self::Kill(host.parse()?),
            ["start", host] => Self::Start(host.parse()?),
            ["stop", host] => Self::Stop(host.parse()?),
            ["continue", host] => Self::Continue(host.parse()?),
            _ => bail!("it means nothing"),
        })
    }

    fn delay(delay: Duration, mut more: &[&str]) -> Result<Self> {
        let (mut jitter, mut reorder, mut duplicate) = (Duration::ZERO, 0, 0);
        loop {
            more = match more {
                ["jitter", count, unit, rest @ ..] => {
                    jitter = time(count, unit)?;
                    rest
                }
                ["reorder", percent, "%", rest @ ..] => {
                    reorder = percent.parse()?;
                    rest
                }
                ["duplicate", percent, "%", rest @ ..] => {
                    duplicate = percent.parse()?;
                    rest
                }
                on => return Ok(Self::Delay { delay, jitter, reorder, duplicate, on: path(on)? }),
            };
        }
    }
}

impl Trouble {
    fn read(word: &str) -> Result<Self> {
        Ok(match word {
            "silent" => Self::Silent,
            "narrow" => Self::Narrow,
            "lossy" => Self::Lossy,
            _ => bail!("a path is silent, narrow or lossy, not {word:?}"),
        })
    }
}

fn time(count: &str, unit: &str) -> Result<Duration> {
    Ok(match unit {
        "ms" => Duration::from_millis(count.parse()?),
        "s" => Duration::from_secs(count.parse()?),
        _ => bail!("{unit:?} is no unit of time: there are ms and s"),
    })
}

fn path(words: &[&str]) -> Result<Path> {
    Ok(match words {
        ["everywhere"] => Path::Everywhere,
        [from, "->", to] => Path::OneWay(from.parse()?, to.parse()?),
        [one, "-", two] => Path::BothWays(one.parse()?, two.parse()?),
        _ => bail!("a path is written 1 -> 2, 1 - 2, or everywhere"),
    })
}

/// Sets like `{1 2} {3}`.
fn rings(text: &str) -> Result<Vec<Vec<u32>>> {
    let sets = text.split_terminator('}').map(|set| {
        let set = set.trim().strip_prefix('{').context("sets are written {1 2} {3}")?;
        let nodes: Result<Vec<u32>, _> = set.split_whitespace().map(str::parse).collect();
        Ok(nodes?)
    });
    sets.collect()
}

#[test]
fn a_scenario_is_read_line_by_line() -> Result<()> {
    let text = "nodes 4 # a comment\nlinks 2\ndetection 250 ms\n\ncut 1 -> 2\n\
                delay 25 ms jitter 20 ms duplicate 1 % everywhere\nexpect rings {1 3} {2 4}\n";
    let read = Scenario::parse(text)?;
    assert_eq!((read.nodes, read.links, read.forwarder), (4, Some(2), false));
    assert_eq!(read.detection, Some(Duration::from_millis(250)));
    let delay = Act::Delay {
        delay: Duration::from_millis(25),
        jitter: Duration::from_millis(20),
        reorder: 0,
        duplicate: 1,
        on: Path::Everywhere,
    };
    let rings = Step::Expect(Wish::Rings(vec![vec![1, 3], vec![2, 4]]));
    let cut = Step::Do(Act::Cut(Path::OneWay(1, 2)));
    assert_eq!(read.steps, [(5, cut), (6, Step::Do(delay)), (7, rings)]);
    Ok(())
}

#[test]
fn a_line_that_means_nothing_is_named() {
    for (text, what) in [
        ("nodes 3\ncut 1 => 2\n", "line 2: \"cut 1 => 2\""),
        ("nodes 3\n\nfrobnicate\n", "line 3: \"frobnicate\""),
        ("nodes 3\ncalm 4 h\n", "line 2: \"calm 4 h\""),
        ("heal\n", "how many nodes"),
    ] {
        let error = format!("{:#}", Scenario::parse(text).expect_err("it means nothing"));
        assert!(error.contains(what), "{error}");
    }
}
