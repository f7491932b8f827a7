//! Compiling C programs against an installed tree, and running them beside a cluster that they
//! control.
//!
//! A program that wants something of its cluster prints `control: kill 2` and waits for the line
//! `ok`. The tasks: `kill N`, `stop N` (in order), `start N`, `pause N`, `resume N`, and
//! `members 1 2` (wait until there is one ring of these); in a network of namespaces also
//! `unplug N` and `plug N`. With `patient` before it a task is for the other cluster, the one with
//! a long detection target, where there is one.

mod tree;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use evs_testkit::netns::Network;
use evs_testkit::{Cluster, until};
use tree::{Tree, Trees};

use crate::libevs;

/// An installed tree, and where programs are put that are compiled against it.
#[derive(Debug)]
pub(crate) struct Installed {
    tree: Tree,
    programs: PathBuf,
}

/// A compiled program; its file goes with the last of its copies.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: Arc<Temporary>,
    tree: Arc<Installed>,
    how: How,
}

/// How a program is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum How {
    /// As its authors would.
    Plain,
    /// Compiled with AddressSanitizer and UndefinedBehaviorSanitizer, which also look for leaks.
    Sanitized,
    /// Under valgrind: an error or a leak makes it fail.
    Valgrind,
}

impl How {
    /// What the program needs beside the system's own flags.
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Valgrind => &[],
            Self::Sanitized => &[
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=all",
                "-fno-omit-frame-pointer",
            ],
        }
    }

    /// Of a hundred rounds that a program makes, how many it makes so.
    const fn percent(self) -> &'static str {
        match self {
            Self::Plain => "100",
            Self::Sanitized => "20",
            Self::Valgrind => "5",
        }
    }
}

impl Installed {
    /// The tree of this build, which all tests share, those of other processes too.
    pub(crate) fn new() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Installed>> = OnceLock::new();
        let install = || {
            let library = static_library();
            let inputs = [library.clone(), this_test()];
            let trees = Trees::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed"));
            let tree = trees.get(&inputs, &INSTALLED.map(|name| sources().join(name)), |dir| {
                libevs::install(&library, dir, &libevs::Layout::below(Path::new("/usr")))
            });
            let programs = trees.programs().expect("a directory can be made");
            Arc::new(Self { tree: tree.expect("it installs"), programs })
        };
        Arc::clone(SHARED.get_or_init(install))
    }

    /// The names of all programs of `tests/c`.
    pub(crate) fn all_programs() -> Vec<String> {
        let files = fs::read_dir(sources().join("tests/c")).expect("it is there");
        let names = files.map(|file| file.expect("readable").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".c")).collect()
    }

    pub(crate) fn lib(&self) -> PathBuf {
        self.tree.dir().join("usr/lib")
    }

    pub(crate) fn include(&self) -> PathBuf {
        self.tree.dir().join("usr/include")
    }

    pub(crate) fn man(&self) -> PathBuf {
        self.tree.dir().join("usr/share/man")
    }

    /// Compiles a program of `tests/c` as its authors would.
    pub(crate) fn compile(self: &Arc<Self>, name: &str, how: How) -> Program {
        self.build(&sources().join("tests/c").join(name), &["-levs"], how)
    }

    /// Compiles a program of `tests/c` that needs no shared library at all, with the words of
    /// pkg-config.
    pub(crate) fn compile_static(self: &Arc<Self>, name: &str) -> Program {
        let words = self.pkg_config(&["--static", "--cflags", "--libs"]);
        let words: Vec<_> = ["-static"].into_iter().chain(words.split(' ')).collect();
        let program = self.build(&sources().join("tests/c").join(name), &words, How::Plain);
        let dynamic = text(Command::new("readelf").arg("-dW").arg(&*program.path));
        assert!(dynamic.contains("no dynamic section"), "{dynamic}");
        program
    }

    /// Compiles an installed example.
    pub(crate) fn compile_example(self: &Arc<Self>, name: &str) -> Program {
        let source = self.tree.dir().join("usr/share/doc/libevs/examples").join(name);
        self.build(&source, &["-levs"], How::Plain)
    }

    /// Compiles without output.
    pub(crate) fn check_syntax(
        &self,
        compiler: &str,
        language: &[&str],
        standard: &str,
        name: &str,
    ) {
        let mut command = Command::new(compiler);
        command.args(WARNINGS).arg("-Wpedantic").arg(format!("-std={standard}"));
        command
            .arg("-fsyntax-only")
            .arg("-I")
            .arg(self.tree.dir().join("usr/include"))
            .args(language);
        text(command.arg(sources().join("tests/c").join(name)));
    }

    /// Asks pkg-config about the installed library.
    pub(crate) fn pkg_config(&self, args: &[&str]) -> String {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", self.lib().join("pkgconfig"));
        command.env("PKG_CONFIG_SYSROOT_DIR", self.tree.dir());
        text(command.args(args).arg("libevs")).trim().to_owned()
    }

    fn build(self: &Arc<Self>, source: &Path, libraries: &[&str], how: How) -> Program {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let stem = source.file_stem().expect("a source has a name").to_string_lossy();
        let path = Temporary(self.programs.join(format!("{stem}-{}-{count}", std::process::id())));
        let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
        let (compiler, standard) = if is_cpp { ("g++", "-std=c++11") } else { ("gcc", "-std=c99") };
        let mut command = Command::new(compiler);
        command.args(WARNINGS).args([standard, "-D_GNU_SOURCE", "-g", "-O1", "-pthread"]);
        command.args(how.flags());
        command.arg("-I").arg(self.tree.dir().join("usr/include")).arg("-o").arg(&path).arg(source);
        text(command.arg("-L").arg(self.lib()).args(libraries));
        Program { path: Arc::new(path), tree: Arc::clone(self), how }
    }
}

/// A file that is removed in the end.
#[derive(Debug)]
struct Temporary(PathBuf);

impl AsRef<OsStr> for Temporary {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Program {
    fn command(&self) -> Command {
        let mut command = if self.how == How::Valgrind {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
            command.args(["--show-leak-kinds=definite,indirect,possible"]);
            command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
            command.args([
                "--fair-sched=yes",
                "--child-silent-after-fork=yes",
                "--max-threads=1200",
            ]);
            command.arg(&*self.path);
            command
        } else {
            Command::new(&*self.path)
        };
        command.env("LD_LIBRARY_PATH", self.tree.lib()).env_remove("EVS_SOCKET");
        command.env("EVS_TEST_PERCENT", self.how.percent());
        command
    }
}

/// The detection target of the patient cluster.
pub(crate) const PATIENT: Duration = Duration::from_secs(8);

/// Where a program runs: beside daemons that it controls, perhaps in a network that can be cut.
#[derive(Debug)]
pub(crate) struct Stage {
    // In this order: the daemons go before their network.
    pub(crate) cluster: Cluster,
    pub(crate) patient: Option<Cluster>,
    pub(crate) network: Option<Network>,
}

/// Runs a program to its end beside a cluster. It must succeed, and say that it has checked
/// something.
pub(crate) fn run(program: &Program, mut stage: Stage) {
    let mut command = program.command();
    command.env("EVS_TEST_DIR", stage.cluster.dir());
    command.env("EVS_SOCKET", stage.cluster.socket(1));
    if let Some(patient) = &stage.patient {
        command.env("EVS_TEST_PATIENT", patient.socket(1));
        command.env("EVS_TEST_PATIENT_MS", PATIENT.as_millis().to_string());
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the program runs");
    let said = serve(&mut child, &mut stage).expect("the program is served");
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "{}: {status}\n{said}", program.path.0.display());
    let checks = said.lines().last().and_then(|line| line.strip_suffix(" checks passed"));
    let checks: u32 = checks.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(checks > 0, "{} checked nothing:\n{said}", program.path.0.display());
    for line in said.lines().filter(|line| !line.starts_with("control: ")) {
        println!("{line}");
    }
}

/// Runs a program once on each socket, all at the same time, and returns what each printed.
pub(crate) fn run_together(program: &Program, sockets: &[PathBuf], args: &[&str]) -> Vec<String> {
    thread::scope(|scope| {
        let runs: Vec<_> = sockets
            .iter()
            .map(|socket| {
                let mut command = program.command();
                command.env("EVS_SOCKET", socket).args(args);
                scope.spawn(move || text(&mut command))
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("it succeeds")).collect()
    })
}

/// A program that is talked to.
#[derive(Debug)]
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    said: String,
    /// It may still have to be started.
    _program: Program,
}

impl Talk {
    /// Runs a program at a daemon.
    pub(crate) fn start(program: &Program, socket: &Path, args: &[&str]) -> Self {
        // Lines are read as they are said; and a wait that is in vain ends.
        let mut command = Command::new("timeout");
        command.args(["60", "stdbuf", "-oL"]).arg(&*program.path).args(args);
        command.env("LD_LIBRARY_PATH", program.tree.lib()).env("EVS_SOCKET", socket);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("the program runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            input: child.stdin.take(),
            child,
            output,
            said: String::new(),
            _program: program.clone(),
        }
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("not yet finished");
        // In one piece: a program may take what a read brings for a line.
        input.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }

    /// Waits until it says this line.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) {
        let said = self.said.len();
        loop {
            let before = self.said.len();
            let read = self.output.read_line(&mut self.said).expect("text");
            assert!(read > 0, "it never says {wanted:?} but\n{}", &self.said[said..]);
            if self.said[before..].trim_end() == wanted {
                return;
            }
        }
    }

    /// Closes its input and waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        drop(self.input.take());
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}\n{}", self.said);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The messages in what the example printed.
pub(crate) fn messages(history: &str) -> Vec<&str> {
    history.lines().filter(|line| line.starts_with("message ")).collect()
}

/// Runs a command that must succeed, and returns what it printed.
pub(crate) fn text(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Does what the program asks for, until it closes its output. Returns everything that it printed.
fn serve(child: &mut Child, stage: &mut Stage) -> anyhow::Result<String> {
    let mut input = child.stdin.take().context("piped")?;
    let output = BufReader::new(child.stdout.take().context("piped")?);
    let mut said = String::new();
    for line in output.lines() {
        let line = line?;
        said.push_str(&line);
        said.push('\n');
        if let Some(task) = line.strip_prefix("control: ") {
            control(stage, task).with_context(|| format!("{task}, after\n{said}"))?;
            input.write_all(b"ok\n")?;
        }
    }
    Ok(said)
}

fn control(stage: &mut Stage, task: &str) -> anyhow::Result<()> {
    use rustix::process::Signal;

    let Stage { cluster, patient, network } = stage;
    let (task, cluster) = match task.strip_prefix("patient ") {
        Some(task) => (task, patient.as_mut().context("there is no other cluster")?),
        None => (task, cluster),
    };
    let mut words = task.split(' ');
    let verb = words.next().unwrap_or("");
    let nodes = words.map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    match (verb, nodes.as_slice()) {
        ("kill", [node]) => cluster.kill(*node),
        ("stop", [node]) => cluster.stop(*node).map(drop),
        ("start", [node]) => {
            cluster.start_node(*node)?;
            cluster.until_open(*node)
        }
        ("pause", [node]) => {
            cluster.signal(*node, Signal::STOP)?;
            let pid = cluster.pid(*node).context("it runs")?;
            until("the daemon stands still", || stands_still(pid).then_some(()))
        }
        ("resume", [node]) => cluster.signal(*node, Signal::CONT),
        ("unplug", [node]) => network_of(network)?.unplug(u8::try_from(*node)?),
        ("plug", [node]) => network_of(network)?.plug(u8::try_from(*node)?),
        ("members", nodes) => cluster.until_members(nodes),
        _ => bail!("unknown task"),
    }
}

/// Whether no thread of a process runs any more: a signal takes a moment to reach them.
fn stands_still(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    })
}

fn network_of(network: &Option<Network>) -> anyhow::Result<&Network> {
    network.as_ref().context("on loopback there is no plug")
}

/// The static library, built as this test was.
fn static_library() -> PathBuf {
    let profile_dir = this_test().ancestors().nth(2).expect("target/debug/deps/test").to_owned();
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "libevs", "--profile", profile]);
    text(cargo.current_dir(sources()));
    profile_dir.join("libevs_c.a")
}

fn this_test() -> PathBuf {
    std::env::current_exe().expect("a test has a path")
}

/// What is installed besides the library, in the directory of this crate.
const INSTALLED: [&str; 5] = ["examples", "include", "libevs.map", "libevs.pc.in", "man"];

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];
