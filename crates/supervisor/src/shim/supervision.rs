//! The loop of a shim and the states of its app.
//!
//! One poll over signals, the socket, its clients and the app's pipes; no timer runs while nothing is due, so that an idle
//! shim costs nothing. A run lasts from the fork of the main process until the last descendant is gone: only then is
//! the app started again or called stopped. Once the main process is gone, those that it left get TERM as they lose
//! their parents (the servers behind `npm start` or `sh -c 'a && b'` end as gracefully as it should have), and KILL
//! at the end of the time that is theirs: the grace time when stopping, else the pause before the next start.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use launchway_model::PROTOCOL;
use launchway_model::instance::{Exit, InstanceState};
use launchway_model::shim::{
    SOCKET_FILE, STATE_FILE, ShimReply, ShimRequest, ShimSpec, ShimStatus,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use super::backoff::Backoff;
use super::command::{self, CANNOT_RUN, Started, Surroundings};
use super::connection::Connection;
use super::log::{Log, Stream};
use super::tree;
use crate::sys;

/// How much of each pipe is read before the loop looks at everything else: this many buffers.
const READS: usize = 8;
/// The size of that buffer in bytes.
const BUFFER: usize = 16 * 1024;
/// After KILL, how often it is repeated while something still lives.
const KILL_AGAIN: Duration = Duration::from_millis(50);
/// How long after KILL processes may still be there (a process in a system call that cannot be interrupted) before the
/// shim goes on without them.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long the descendants of a one-off command may go on after its end.
const AFTER_ONE_OFF: Duration = Duration::from_secs(1);
/// How long after a failure to write the state the next try is made.
const STATE_AGAIN: Duration = Duration::from_secs(1);
/// The most clients at a time.
const MOST_CLIENTS: usize = 32;

/// What the loop watches besides the app and the clients.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) signals: OwnedFd,
    pub(super) listener: UnixListener,
    /// The instance's folder.
    pub(super) folder: File,
}

/// What is to become of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// It runs, and is started again whenever it ends.
    Run,
    /// It is stopped, then started at once.
    Restart,
    /// It is stopped for good.
    Stop,
}

/// One run of the app: until its last process is gone.
#[derive(Debug)]
struct Run {
    /// The main process, until it ends.
    main: Option<Pid>,
    began: Instant,
    out: Stream,
    err: Stream,
    setup: Stream,
    /// Processes that lost their parent and got TERM.
    termed: Vec<Pid>,
    /// When the tree was first killed.
    killed: Option<Instant>,
}

/// A shim at work.
#[derive(Debug)]
pub(super) struct Supervision {
    spec: ShimSpec,
    around: Surroundings,
    watched: Watched,
    log: Log,
    clients: Vec<Connection>,
    backoff: Backoff,
    goal: Goal,
    run: Option<Run>,
    /// When the app is started again.
    start_at: Option<Instant>,
    /// When what is left of the run is killed.
    kill_at: Option<Instant>,
    state: InstanceState,
    restarts: u64,
    last_exit: Option<Exit>,
    /// How many kills for the memory limit have been told of.
    memory_kills: u64,
    /// When the state is written again, after it could not be.
    state_again: Option<Instant>,
    buffer: Box<[u8]>,
    finished: bool,
    /// Whether something happened since memory was last given back.
    busy: bool,
    /// Whether the clients are out of `clients` while their requests are answered, and whether a change came then.
    serving: bool,
    changed_unheard: bool,
}

impl Supervision {
    pub(super) fn new(spec: ShimSpec, around: Surroundings, watched: Watched) -> Self {
        let log = Log::new(spec.log.clone(), spec.log_bytes, spec.log_files);
        Self {
            spec,
            around,
            watched,
            log,
            clients: Vec::new(),
            backoff: Backoff::default(),
            goal: Goal::Run,
            run: None,
            start_at: None,
            kill_at: None,
            state: InstanceState::Starting,
            restarts: 0,
            last_exit: None,
            memory_kills: 0,
            state_again: None,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            finished: false,
            busy: true,
            serving: false,
            changed_unheard: false,
        }
    }

    /// Writes a line of the shim's own into the app's log.
    pub(super) fn say(&mut self, words: &str) {
        self.log.say(words);
    }

    /// Starts the app.
    pub(super) fn start(&mut self) {
        self.start_at = None;
        self.kill_at = None;
        self.log.flush();
        match command::start(&self.spec, &self.around) {
            Ok(Started {
                main,
                out,
                err,
                setup,
            }) => {
                self.run = Some(Run {
                    main: Some(main),
                    began: Instant::now(),
                    out,
                    err,
                    setup,
                    termed: Vec::new(),
                    killed: None,
                });
                self.set_state(InstanceState::Starting);
            }
            Err(error) => {
                self.say(&format!("cannot start: {error}"));
                self.main_ended(Exit::Code(CANNOT_RUN), Duration::ZERO);
            }
        }
    }

    /// Runs until the app is stopped for good.
    pub(super) fn run(&mut self) {
        while !self.finished {
            self.wait_for_events();
            self.keep_times();
        }
        self.leave();
    }

    fn wait_for_events(&mut self) {
        let next_time = self.next_time();
        if self.busy && next_time.is_none() {
            // Nothing is due: the shim may now wait for days.
            self.busy = false;
            sys::forget_the_past();
        }
        let timeout = next_time.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        // While there is no place for another client, it waits in line.
        let calls = if self.clients.len() < MOST_CLIENTS {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![
            PollFd::new(&self.watched.signals, PollFlags::IN),
            PollFd::new(&self.watched.listener, calls),
        ];
        if let Some(run) = &self.run {
            for stream in [&run.setup, &run.out, &run.err] {
                fds.extend(stream.pipe().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            }
        }
        for client in &self.clients {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, client.has_output());
            fds.push(PollFd::new(&client.stream, flags));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let ready = |at: usize| !fds[at].revents().is_empty();
        let (signals, callers) = (ready(0), ready(1));
        drop(fds);

        self.read_app();
        if signals {
            self.take_signals();
        }
        self.serve_clients();
        if callers {
            self.accept_clients();
        }
        self.log.flush();
    }

    fn next_time(&self) -> Option<Instant> {
        // The start waits for the end of what is left of the last run.
        let start_at = if self.run.is_none() {
            self.start_at
        } else {
            None
        };
        let kill_at = if self.run.is_some() {
            self.kill_at
        } else {
            None
        };
        [start_at, kill_at, self.log.wakes_at(), self.state_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    fn keep_times(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.log.wakes_at()) {
            self.log.flush();
        }
        if due(self.state_again) {
            self.write_state();
        }
        if self.run.is_some() && due(self.kill_at) {
            self.kill_tree(now);
        }
        if self.run.is_none() && due(self.start_at) {
            self.restarts += 1;
            self.start();
        }
    }

    // The app's output and its processes.

    fn read_app(&mut self) {
        let Some(run) = &mut self.run else { return };
        let setting_up = run.setup.pipe().is_some();
        let words = run.setup.read(&mut self.buffer, 1, &mut self.log);
        run.out.read(&mut self.buffer, READS, &mut self.log);
        run.err.read(&mut self.buffer, READS, &mut self.log);
        let runs = setting_up && words == 0 && run.setup.pipe().is_none();
        if runs
            && self.goal == Goal::Run
            && let Some(main) = run.main
        {
            let pid = tree::host_id(main).unwrap_or_default();
            self.set_state(InstanceState::Running {
                pid,
                since: Timestamp::now(),
            });
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = sys::next_signal(self.watched.signals.as_fd()) {
            match signal {
                libc::SIGCHLD => {}
                libc::SIGUSR2 => {
                    self.say("the guard of this instance's processes was killed");
                }
                _ => self.stop(None),
            }
        }
        self.reap();
    }

    /// Takes note of every process that ended.
    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.process_ended(pid, status),
                Ok(None) => break,
                Err(rustix::io::Errno::INTR) => {}
                // There is no child any more, and every orphan of the app would be one.
                Err(_) => {
                    self.tree_ended();
                    return;
                }
            }
        }
        self.term_orphans();
    }

    fn process_ended(&mut self, pid: Pid, status: WaitStatus) {
        let Some(run) = &mut self.run else { return };
        run.termed.retain(|termed| *termed != pid);
        if run.main != Some(pid) {
            return;
        }
        run.main = None;
        let ran = run.began.elapsed();
        // What the command said before its end stands before the words about its end.
        run.setup.read(&mut self.buffer, 1, &mut self.log);
        run.out.read(&mut self.buffer, READS, &mut self.log);
        run.err.read(&mut self.buffer, READS, &mut self.log);
        let exit = match status.terminating_signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(status.exit_status().unwrap_or_default()),
        };
        self.main_ended(exit, ran);
    }

    fn main_ended(&mut self, exit: Exit, ran: Duration) {
        self.last_exit = Some(exit);
        self.tell_of_memory();
        if self.goal != Goal::Run {
            self.say(&format!("ended with {exit}"));
            return;
        }
        if !self.spec.restart {
            self.say(&format!("ended with {exit}"));
            self.goal = Goal::Stop;
            self.kill_at = Some(Instant::now() + AFTER_ONE_OFF);
            if self.run.is_none() {
                self.finish();
            }
            return;
        }
        let pause = self.backoff.after(ran);
        let now = Instant::now();
        self.start_at = Some(now + pause);
        self.kill_at = Some(now + pause.min(Duration::from_millis(self.spec.grace_ms)));
        self.say(&format!(
            "ended with {exit}; it is started again in {}",
            in_words(pause)
        ));
        self.set_state(InstanceState::Backoff {
            exit,
            until: Timestamp::now() + pause,
        });
    }

    /// Says it where the kernel killed processes of the app since the last time, for otherwise nothing does.
    fn tell_of_memory(&mut self) {
        let kills = self.around.group.memory_kills();
        if kills > self.memory_kills {
            self.memory_kills = kills;
            let mib = self.spec.limits.memory_bytes.unwrap_or_default() >> 20;
            self.say(&format!(
                "the app reached its memory limit of {mib} MiB, and processes of it were killed"
            ));
        }
    }

    /// Sends TERM to those that the ended main process left, each once.
    fn term_orphans(&mut self) {
        let Some(run) = &mut self.run else { return };
        if run.main.is_some() || run.killed.is_some() {
            return;
        }
        let first = run.termed.is_empty();
        for pid in self.around.own.children() {
            if !run.termed.contains(&pid) {
                signal(pid, Signal::TERM);
                signal(pid, Signal::CONT);
                run.termed.push(pid);
            }
        }
        if first
            && !run.termed.is_empty()
            && self.last_exit == Some(Exit::Code(0))
            && self.goal == Goal::Run
        {
            self.say(
                "processes of it went on, and are ended too: an app must stay in the foreground",
            );
        }
    }

    fn kill_tree(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        match run.killed {
            None => {
                run.killed = Some(now);
                let left = self.around.own.children().len();
                if left > 0 {
                    self.say(match self.goal {
                        Goal::Run => "processes that it left behind are killed",
                        _ => "its time to stop is over: all of its processes are killed",
                    });
                }
            }
            Some(since) if now >= since + KILL_PATIENCE => {
                self.say("some of its processes cannot be killed, and are left behind");
                self.tree_ended();
                return;
            }
            Some(_) => {}
        }
        self.around.group.kill();
        tree::kill_all(self.around.reach, self.around.own);
        self.kill_at = Some(now + KILL_AGAIN);
    }

    /// Nothing of the app is left.
    fn tree_ended(&mut self) {
        let Some(mut run) = self.run.take() else {
            return;
        };
        for stream in [&mut run.setup, &mut run.out, &mut run.err] {
            // What was written last is still in the pipe: all of it, since nobody writes any more.
            while stream.read(&mut self.buffer, READS, &mut self.log) > 0 {}
            stream.close(&mut self.log);
        }
        self.kill_at = None;
        match self.goal {
            Goal::Stop => self.finish(),
            Goal::Restart => {
                self.goal = Goal::Run;
                self.restarts += 1;
                self.backoff.reset();
                self.start();
            }
            Goal::Run => {}
        }
    }

    // What clients and signals ask for.

    /// Stops the app for good, with this long between TERM and KILL.
    fn stop(&mut self, grace: Option<Duration>) {
        if self.goal != Goal::Stop {
            self.say("stopping");
        }
        self.goal = Goal::Stop;
        self.start_at = None;
        self.wind_down(grace);
    }

    fn restart(&mut self) {
        self.say("restarting");
        self.start_at = None;
        if self.run.is_none() {
            self.backoff.reset();
            self.restarts += 1;
            self.start();
            return;
        }
        self.goal = Goal::Restart;
        self.wind_down(None);
    }

    /// Asks the run to end, and sets the time at which it is ended.
    fn wind_down(&mut self, grace: Option<Duration>) {
        let Some(run) = &self.run else {
            self.finish();
            return;
        };
        let grace = grace.unwrap_or(Duration::from_millis(self.spec.grace_ms));
        let kill_at = Instant::now() + grace;
        // A second request may shorten the time that is left, never lengthen it.
        let stopping = matches!(self.state, InstanceState::Stopping { .. });
        if stopping && self.kill_at.is_some_and(|earlier| earlier <= kill_at) {
            return;
        }
        self.kill_at = Some(kill_at);
        match run.main {
            Some(main) => {
                signal(main, Signal::TERM);
                // One that was halted could not hear it otherwise.
                signal(main, Signal::CONT);
            }
            None => self.term_orphans(),
        }
        self.set_state(InstanceState::Stopping {
            until: Timestamp::now() + grace,
        });
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    /// The last things: the state for whoever looks later, the news for whoever watches.
    fn leave(&mut self) {
        self.around.group.remove();
        self.log.flush();
        self.set_state(InstanceState::Stopped {
            exit: self.last_exit,
        });
        for client in &mut self.clients {
            client.flush();
        }
        let _ = fs::remove_file(self.in_folder(SOCKET_FILE));
    }

    // Clients.

    fn accept_clients(&mut self) {
        while self.clients.len() < MOST_CLIENTS
            && let Ok((stream, _)) = self.watched.listener.accept()
        {
            // One that cannot be made non-blocking is let go of.
            self.clients.extend(Connection::new(stream));
        }
        // Their first request is mostly there already.
        self.serve_clients();
    }

    fn serve_clients(&mut self) {
        self.serving = true;
        let mut clients = std::mem::take(&mut self.clients);
        for client in &mut clients {
            client.flush();
            for request in client.requests() {
                let reply = match request {
                    Ok(request) => self.answer(request, &mut client.watches),
                    Err(reason) => ShimReply::Refused { reason },
                };
                client.send(&reply);
            }
        }
        self.serving = false;
        self.clients = clients;
        self.clients.retain(Connection::is_open);
        // A change that a request caused reached none of them yet, for they were not in their place.
        if std::mem::take(&mut self.changed_unheard) {
            self.tell_all();
        }
    }

    fn answer(&mut self, request: ShimRequest, watches: &mut bool) -> ShimReply {
        match request {
            ShimRequest::Watch => *watches = true,
            ShimRequest::Status => {}
            ShimRequest::Stop { grace_ms } => self.stop(grace_ms.map(Duration::from_millis)),
            ShimRequest::Restart if self.goal == Goal::Stop => {
                return ShimReply::Refused {
                    reason: "the instance is stopping".to_owned(),
                };
            }
            ShimRequest::Restart => self.restart(),
        }
        ShimReply::Status(self.status())
    }

    fn tell_all(&mut self) {
        let reply = ShimReply::Status(self.status());
        for client in self.clients.iter_mut().filter(|client| client.watches) {
            client.send(&reply);
        }
    }

    // The state.

    fn status(&self) -> ShimStatus {
        ShimStatus {
            protocol: PROTOCOL,
            instance: self.spec.instance.clone(),
            shim_pid: self.around.own.host,
            state: self.state.clone(),
            restarts: self.restarts,
            last_exit: self.last_exit,
        }
    }

    fn set_state(&mut self, state: InstanceState) {
        self.state = state;
        self.busy = true;
        self.write_state();
        self.changed_unheard = self.serving;
        self.tell_all();
    }

    /// Writes the state by temp and rename. It is for a control that finds no shim, so that a lost one costs little: it is
    /// not forced to the disk, and a full disk is tried again later.
    fn write_state(&mut self) {
        let temp = self.in_folder("state.json.new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temp)?;
            file.write_all(&serde_json::to_vec(&self.status())?)?;
            fs::rename(&temp, self.in_folder(STATE_FILE))
        };
        self.state_again = match write() {
            Ok(()) => None,
            Err(_) => {
                let _ = fs::remove_file(&temp);
                Some(Instant::now() + STATE_AGAIN)
            }
        };
    }

    fn in_folder(&self, name: &str) -> PathBuf {
        let folder = self.watched.folder.as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{folder}/{name}"))
    }
}

fn signal(pid: Pid, signal: Signal) {
    // A process that ended meanwhile is still ours to wait for, so that its id belongs to nobody else.
    let _ = rustix::process::kill_process(pid, signal);
}

fn in_words(pause: Duration) -> String {
    if pause < Duration::from_secs(1) {
        format!("{} ms", pause.as_millis())
    } else {
        format!("{:.1} s", pause.as_secs_f64())
    }
}
