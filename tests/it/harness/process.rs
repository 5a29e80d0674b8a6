//! One running `switchyard serve`, its log, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Addresses;

/// How long a gateway may take to come up: a debug build on a busy machine, and the
/// first one compiles the built-in plugins.
const START: Duration = Duration::from_mins(2);
/// Its own drain takes ten seconds at most.
const STOP: Duration = Duration::from_secs(20);

pub struct Process {
    pid: Pid,
    pub addresses: Addresses,
    log: Arc<Mutex<Vec<String>>>,
    exited: Receiver<ExitStatus>,
    ended: bool,
}

/// The binary under test, with nothing of the caller's environment but what a process
/// cannot do without.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
    // A home of its own: the gateway hides it in what agents print.
    command.env("HOME", "/home/switchyard-it").env("USER", "switchyard-it").env("RUST_BACKTRACE", "1");
    command
}

impl Process {
    /// Starts it and waits for the line that says where it listens.
    pub fn start(mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let listening = listen(&mut child);
        let exited = watch(child, log.clone());
        let mut process = Self { pid, addresses: Addresses::default(), log, exited, ended: false };
        match listening.recv_timeout(START) {
            Ok(addresses) => process.addresses = addresses,
            Err(error) => panic!("the gateway did not start, {error}:\n{}", process.log().join("\n")),
        }
        process
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn log_from(&self, line: usize) -> Vec<String> {
        self.log.lock().unwrap().iter().skip(line).cloned().collect()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// What it holds in memory, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        match self.exited.recv_timeout(STOP) {
            Ok(status) => {
                self.ended = true;
                status
            }
            Err(error) => panic!("the gateway did not stop, {error}:\n{}", self.log().join("\n")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // `try_recv` tells whether it ended by itself; its number may be another's then.
        if !self.ended && self.exited.try_recv().is_err() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.exited.recv_timeout(STOP);
        }
    }
}

/// Reads standard output, where there is one line.
fn listen(child: &mut Child) -> Receiver<Addresses> {
    let (sender, listening) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let Some((http, admin)) =
                line.strip_prefix("listening http=").and_then(|rest| rest.split_once(" admin="))
            else {
                continue;
            };
            let _ = sender.send(Addresses { http: http.to_owned(), admin: admin.to_owned() });
        }
    });
    listening
}

/// Keeps the log, then says how the process ended.
fn watch(mut child: Child, log: Arc<Mutex<Vec<String>>>) -> Receiver<ExitStatus> {
    let (sender, exited) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
        if let Ok(status) = child.wait() {
            let _ = sender.send(status);
        }
    });
    exited
}
