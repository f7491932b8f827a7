//! Compiling C programs against an installed tree, and running them beside a cluster that they
//! control.
//!
//! A program that wants something of its cluster prints `control: kill 2` and waits for the line
//! `ok`. The tasks: `kill N`, `stop N` (in order), `start N`, `pause N`, `resume N`, and
//! `members 1 2` (wait until there is one ring of these).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, bail};
use evs_testkit::Cluster;

use crate::libevs;

/// An installed tree; it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Installed {
    dir: PathBuf,
}

/// A compiled program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    library_path: PathBuf,
    under_valgrind: bool,
}

impl Installed {
    /// Installs below a directory of its own.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("installed-{}-{count}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        libevs::install(&static_library(), &dir, Path::new("/usr")).expect("it installs");
        Self { dir }
    }

    pub(crate) fn lib(&self) -> PathBuf {
        self.dir.join("usr/lib")
    }

    pub(crate) fn include(&self) -> PathBuf {
        self.dir.join("usr/include")
    }

    pub(crate) fn man(&self) -> PathBuf {
        self.dir.join("usr/share/man")
    }

    /// Compiles a program of `tests/c` as its authors would.
    pub(crate) fn compile(&self, name: &str) -> Program {
        self.build(&sources().join("tests/c").join(name), &["-levs"])
    }

    /// Compiles a program of `tests/c` with the library inside.
    pub(crate) fn compile_static(&self, name: &str) -> Program {
        let archive = self.lib().join("libevs.a").display().to_string();
        let mut libraries = vec![archive.as_str()];
        libraries.extend(libevs::NATIVE_LIBS);
        let program = self.build(&sources().join("tests/c").join(name), &libraries);
        let dynamic = text(Command::new("readelf").arg("-dW").arg(&program.path));
        assert!(!dynamic.contains("libevs"), "{dynamic}");
        program
    }

    /// Compiles an installed example.
    pub(crate) fn compile_example(&self, name: &str) -> Program {
        self.build(&self.dir.join("usr/share/doc/libevs/examples").join(name), &["-levs"])
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
        command.arg("-fsyntax-only").arg("-I").arg(self.dir.join("usr/include")).args(language);
        text(command.arg(sources().join("tests/c").join(name)));
    }

    /// Asks pkg-config about the installed library.
    pub(crate) fn pkg_config(&self, args: &[&str]) -> String {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", self.lib().join("pkgconfig"));
        command.env("PKG_CONFIG_SYSROOT_DIR", &self.dir);
        text(command.args(args).arg("libevs")).trim().to_owned()
    }

    fn build(&self, source: &Path, libraries: &[&str]) -> Program {
        let path = self.dir.join(source.file_stem().expect("a source has a name"));
        let mut command = Command::new("gcc");
        command.args(WARNINGS).args(["-std=c99", "-D_GNU_SOURCE", "-g", "-O1", "-pthread"]);
        command.arg("-I").arg(self.dir.join("usr/include")).arg("-o").arg(&path).arg(source);
        text(command.arg("-L").arg(self.lib()).args(libraries));
        Program { path, library_path: self.lib(), under_valgrind: false }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Program {
    /// The same, run under valgrind: an error or a leak makes it fail.
    pub(crate) fn under_valgrind(self) -> Self {
        Self { under_valgrind: true, ..self }
    }

    fn command(&self) -> Command {
        let mut command = if self.under_valgrind {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
            command.args(["--show-leak-kinds=definite,indirect,possible"]);
            command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
            command.arg(&self.path);
            command
        } else {
            Command::new(&self.path)
        };
        command.env("LD_LIBRARY_PATH", &self.library_path).env_remove("EVS_SOCKET");
        command
    }
}

/// Runs a program to its end beside a cluster. It must succeed, and say that it has checked
/// something.
pub(crate) fn run(program: &Program, mut cluster: Option<Cluster>) {
    let mut command = program.command();
    match &cluster {
        Some(cluster) => {
            command.env("EVS_TEST_DIR", cluster.dir()).env("EVS_SOCKET", cluster.socket(1));
        }
        None => {
            command.env("EVS_SOCKET", program.library_path.join("nobody-listens-here"));
        }
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the program runs");
    let said = serve(&mut child, cluster.as_mut()).expect("the program is served");
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "{}: {status}\n{said}", program.path.display());
    let checks = said.lines().last().and_then(|line| line.strip_suffix(" checks passed"));
    let checks: u32 = checks.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(checks > 0, "{} checked nothing:\n{said}", program.path.display());
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
fn serve(child: &mut Child, mut cluster: Option<&mut Cluster>) -> anyhow::Result<String> {
    let mut input = child.stdin.take().context("piped")?;
    let output = BufReader::new(child.stdout.take().context("piped")?);
    let mut said = String::new();
    for line in output.lines() {
        let line = line?;
        said.push_str(&line);
        said.push('\n');
        if let Some(task) = line.strip_prefix("control: ") {
            let cluster = cluster.as_deref_mut().context("there is no cluster")?;
            control(cluster, task).with_context(|| format!("{task}, after\n{said}"))?;
            input.write_all(b"ok\n")?;
        }
    }
    Ok(said)
}

fn control(cluster: &mut Cluster, task: &str) -> anyhow::Result<()> {
    use rustix::process::Signal;

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
        ("pause", [node]) => cluster.signal(*node, Signal::STOP),
        ("resume", [node]) => cluster.signal(*node, Signal::CONT),
        ("members", nodes) => cluster.until_members(nodes),
        _ => bail!("unknown task"),
    }
}

/// The static library, built as this test was.
fn static_library() -> PathBuf {
    let me = std::env::current_exe().expect("a test has a path");
    let profile_dir = me.ancestors().nth(2).expect("target/debug/deps/test").to_owned();
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "libevs", "--profile", profile]);
    text(cargo.current_dir(sources()));
    profile_dir.join("libevs_c.a")
}

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];
