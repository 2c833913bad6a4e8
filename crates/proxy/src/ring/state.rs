//! What a ring holds, under its lock: the kernel's side, the slots, the lists of what is to be done.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::Waker;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::{EventfdFlags, eventfd};

use super::buffers::{Buffers, GROUP};
use super::slot::{Inbox, Readiness, Slot};

/// Operations that wait to be handed over; more wait in a queue of our own.
const SUBMISSIONS: u32 = 512;
/// Completions that the kernel may have ready; more make it wait, they are not lost.
const COMPLETIONS: u32 = 4096;
/// `IORING_RECVSEND_POLL_FIRST`: waits for data instead of trying in vain first.
const POLL_FIRST: u16 = 1;
/// Vectors kept for sends to come.
const SPARE: usize = 64;
/// Vectors with more room than this go back to the allocator.
const SPARE_BYTES: usize = 16 * 1024;
/// How long a client may take for the last of an answer whose connection was let go of.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// How long a ring that ends waits for the kernel to let go of its memory.
const LETTING_GO: Duration = Duration::from_secs(2);

/// What a completion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Receive = 0,
    Send = 1,
    Readable = 2,
    Writable = 3,
    Cancel = 4,
}

impl Operation {
    fn of(user_data: u64) -> Self {
        match user_data & 0xff {
            0 => Self::Receive,
            1 => Self::Send,
            2 => Self::Readable,
            3 => Self::Writable,
            _ => Self::Cancel,
        }
    }
}

/// A ring, under its lock.
pub(super) struct State {
    pub(super) ring: IoUring,
    /// Signalled by the kernel when there is work for a turn, while the turner sleeps.
    pub(super) event: OwnedFd,
    pub(super) buffers: Buffers,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    /// Slots with bytes to send and no send under way.
    pub(super) dirty: Vec<u32>,
    /// Slots whose receive found no buffer.
    pub(super) starved: Vec<u32>,
    /// Operations that found the submission queue full.
    pub(super) backlog: VecDeque<squeue::Entry>,
    pub(super) spare: Vec<Vec<u8>>,
    /// Slots that were let go of with something still to send: since when, and their generation.
    pub(super) leaving: VecDeque<(Instant, u32, u32)>,
    /// Operations that the kernel has or will get, cancellations aside.
    pub(super) outstanding: usize,
    pub(super) turner: Option<Waker>,
    /// Whether the turner is queued to run, so that nobody need wake it.
    pub(super) turning: bool,
    pub(super) woken: Vec<Waker>,
    pub(super) retired: bool,
}

impl State {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS);
        let ring: IoUring = builder.build(SUBMISSIONS)?;
        let buffers = Buffers::register(&ring)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(Self {
            ring,
            event,
            buffers,
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            starved: Vec::new(),
            backlog: VecDeque::new(),
            spare: Vec::new(),
            leaving: VecDeque::new(),
            outstanding: 0,
            turner: None,
            turning: false,
            woken: Vec::new(),
            retired: false,
        })
    }

    /// Sees to it that a turn comes.
    pub(super) fn need_turn(&mut self) {
        if !self.turning {
            self.turning = true;
            if let Some(turner) = &self.turner {
                turner.wake_by_ref();
            }
        }
    }

    /// Lends a buffer to the kernel again, and sees to those that wait for one.
    pub(super) fn give_back(&mut self, buffer: u16) {
        self.buffers.give(buffer);
        if !self.starved.is_empty() {
            self.need_turn();
        }
    }

    pub(super) fn push(&mut self, entry: squeue::Entry) {
        self.need_turn();
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    #[expect(
        unsafe_code,
        reason = "the memory that an operation names is the ring's own until its completion"
    )]
    pub(super) fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: receives name the registered buffers, sends the vector that their slot holds until the completion; see the invariants.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    pub(super) fn user_data(&self, slot: u32, operation: Operation) -> u64 {
        let generation = u64::from(self.slots[slot as usize].generation & 0xff_ffff);
        generation << 40 | u64::from(slot) << 8 | operation as u64
    }

    /// Asks for bytes of a slot's socket.
    pub(super) fn receive(&mut self, slot: u32) {
        let user_data = self.user_data(slot, Operation::Receive);
        let held = &mut self.slots[slot as usize];
        held.inbox = Inbox::Armed;
        let entry = opcode::Recv::new(types::Fd(held.fd()), std::ptr::null_mut(), 0)
            .ioprio(POLL_FIRST)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(user_data);
        self.outstanding += 1;
        self.push(entry);
    }

    /// Asks when a slot's socket can be read or written.
    pub(super) fn await_readiness(&mut self, slot: u32, operation: Operation) {
        let user_data = self.user_data(slot, operation);
        let (side, events) = match operation {
            Operation::Readable => (0, libc::POLLIN | libc::POLLRDHUP),
            _ => (1, libc::POLLOUT),
        };
        let held = &mut self.slots[slot as usize];
        held.ready[side] = Readiness::Armed;
        let events = u32::from(events.cast_unsigned());
        let entry = opcode::PollAdd::new(types::Fd(held.fd()), events)
            .build()
            .user_data(user_data);
        self.outstanding += 1;
        self.push(entry);
    }

    /// Sends what a slot has queued, in one operation.
    pub(super) fn send(&mut self, slot: u32) {
        let user_data = self.user_data(slot, Operation::Send);
        let spare = self.spare.pop().unwrap_or_default();
        let held = &mut self.slots[slot as usize];
        let out = &mut held.outbox;
        out.is_dirty = false;
        if out.in_flight || (out.queued.is_empty() && out.rest().is_empty()) {
            self.keep(spare);
            return;
        }
        if out.rest().is_empty() {
            out.taken = 0;
            let before =
                std::mem::replace(&mut out.sending, std::mem::replace(&mut out.queued, spare));
            self.keep(before);
        } else {
            self.keep(spare);
        }
        let held = &mut self.slots[slot as usize];
        held.outbox.in_flight = true;
        let rest = held.outbox.rest();
        let length = u32::try_from(rest.len()).expect("a send is bounded by the outbox's room");
        let entry = opcode::Send::new(types::Fd(held.fd()), rest.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(user_data);
        self.outstanding += 1;
        self.push(entry);
    }

    pub(super) fn keep(&mut self, mut vector: Vec<u8>) {
        if vector.capacity() > 0 && vector.capacity() <= SPARE_BYTES && self.spare.len() < SPARE {
            vector.clear();
            self.spare.push(vector);
        }
    }

    /// Has the kernel give an operation up; its completion still comes.
    pub(super) fn cancel(&mut self, slot: u32, operation: Operation) {
        let target = self.user_data(slot, operation);
        let entry = opcode::AsyncCancel::new(target)
            .build()
            .user_data(Operation::Cancel as u64);
        self.push(entry);
    }

    /// Hands over what has gathered and takes what is done; returns the number of completions.
    pub(super) fn turn(&mut self) -> io::Result<usize> {
        // Awake anyway: the kernel need not signal.
        self.ring.completion().disable_eventfd();
        for slot in std::mem::take(&mut self.dirty) {
            self.send(slot);
        }
        let mut completed = 0;
        loop {
            while let Some(entry) = self.backlog.pop_front() {
                if !self.try_push(&entry) {
                    self.backlog.push_front(entry);
                    break;
                }
            }
            self.enter()?;
            completed += self.reap();
            if self.backlog.is_empty() {
                break;
            }
        }
        // No more than there are buffers for: the others would starve again, turn after turn.
        let fed = self.buffers.available().min(self.starved.len());
        for slot in self.starved.drain(..fed).collect::<Vec<_>>() {
            let held = &self.slots[slot as usize];
            if matches!(held.inbox, Inbox::Starved) && !held.is_closing {
                self.receive(slot);
            }
        }
        Ok(completed)
    }

    /// Waits a moment for a completion.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let moment = types::Timespec::new().nsec(50_000_000);
        let arguments = types::SubmitArgs::new().timespec(&moment);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EBUSY | libc::EAGAIN | libc::EINTR) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Has the kernel signal the event from now on; `false` where something has been done already.
    pub(super) fn listen(&mut self) -> bool {
        self.ring.completion().enable_eventfd();
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let mut submissions = self.ring.submission();
        submissions.sync();
        let has_work = submissions.taskrun() || submissions.cq_overflow();
        drop(submissions);
        !has_work && self.ring.completion().is_empty()
    }

    /// One system call, where there is anything to hand over or to run.
    #[expect(
        unsafe_code,
        reason = "the crate gives the bare call alone with this flag"
    )]
    pub(super) fn enter(&mut self) -> io::Result<()> {
        let (submitter, mut submissions, completions) = self.ring.split();
        submissions.sync();
        let count = u32::try_from(submissions.len()).unwrap_or(u32::MAX);
        let idle = count == 0 && !submissions.taskrun() && !submissions.cq_overflow();
        if idle {
            return Ok(());
        }
        drop((submissions, completions));
        const GETEVENTS: u32 = 1;
        // SAFETY: no argument is passed; the count is that of the queue.
        let entered = unsafe { submitter.enter::<()>(count, 0, GETEVENTS, None) };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Completions wait to be taken first, or memory is short for the moment: the next turn tries again.
                Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ETIME) => Ok(()),
                _ => Err(error),
            },
        }
    }

    pub(super) fn reap(&mut self) -> usize {
        let mut completed = 0;
        loop {
            let Some(completion) = self.ring.completion().next() else {
                return completed;
            };
            completed += 1;
            self.complete(&completion);
        }
    }

    pub(super) fn complete(&mut self, completion: &cqueue::Entry) {
        let user_data = completion.user_data();
        let operation = Operation::of(user_data);
        if operation == Operation::Cancel {
            return;
        }
        self.outstanding -= 1;
        let slot = (user_data >> 8) as u32;
        let held = &mut self.slots[slot as usize];
        debug_assert_eq!(u64::from(held.generation & 0xff_ffff), user_data >> 40);
        let result = completion.result();
        match operation {
            Operation::Receive => {
                let buffer = cqueue::buffer_select(completion.flags());
                if buffer.is_some() {
                    self.buffers.take();
                }
                held.inbox = match (result, buffer) {
                    (1.., Some(buffer)) if !held.is_closing => Inbox::Data {
                        buffer,
                        start: 0,
                        end: result.cast_unsigned(),
                    },
                    (error, buffer) => {
                        if let Some(buffer) = buffer {
                            self.buffers.give(buffer);
                        }
                        match -error {
                            libc::ENOBUFS => {
                                self.starved.push(slot);
                                Inbox::Starved
                            }
                            libc::ECANCELED | libc::EAGAIN | libc::EINTR => Inbox::Idle,
                            failed if failed > 0 => Inbox::Failed(failed),
                            _ => Inbox::End,
                        }
                    }
                };
                if !matches!(held.inbox, Inbox::Starved) {
                    self.woken.extend(held.reader.take());
                }
            }
            Operation::Send => {
                held.outbox.in_flight = false;
                match usize::try_from(result) {
                    Ok(sent) => {
                        held.outbox.taken += sent;
                        held.outbox.sent += sent as u64;
                    }
                    Err(_) => held.outbox.fail(-result),
                }
                let more = !held.outbox.rest().is_empty() || !held.outbox.queued.is_empty();
                if more && held.outbox.failed.is_none() {
                    held.outbox.is_dirty = true;
                    self.dirty.push(slot);
                }
                self.woken.extend(held.writer.take());
                if !more {
                    let sending = std::mem::take(&mut held.outbox.sending);
                    held.outbox.taken = 0;
                    self.keep(sending);
                }
            }
            Operation::Readable => {
                held.ready[0] = Readiness::Unknown;
                self.woken.extend(held.reader.take());
            }
            Operation::Writable => {
                held.ready[1] = Readiness::Unknown;
                self.woken.extend(held.writer.take());
            }
            Operation::Cancel => {}
        }
        let held = &mut self.slots[slot as usize];
        if held.is_closing && !held.is_busy() && !held.outbox.is_dirty {
            self.vacate(slot);
        }
    }

    /// Frees a slot that has nothing under way; closes its socket.
    pub(super) fn vacate(&mut self, slot: u32) {
        if let Inbox::Data { buffer, .. } = self.slots[slot as usize].inbox {
            self.give_back(buffer);
        }
        let outbox = self.slots[slot as usize].vacate();
        self.keep(outbox.queued);
        self.keep(outbox.sending);
        self.free.push(slot);
    }

    /// Lets go of a slot's socket: at once, or when what was written has left and the kernel holds nothing of it any more. Wakers
    /// go to `woken`, to be dropped outside the lock.
    pub(super) fn release(&mut self, slot: u32, woken: &mut Vec<Waker>) {
        let held = &mut self.slots[slot as usize];
        held.is_closing = true;
        woken.extend(held.reader.take());
        woken.extend(held.writer.take());
        let has_words = !held.outbox.is_drained() && held.outbox.failed.is_none();
        if has_words {
            self.leaving
                .push_back((Instant::now(), slot, held.generation));
        } else if !held.is_busy() {
            self.vacate(slot);
            return;
        }
        let held = &self.slots[slot as usize];
        let waiting = [
            (matches!(held.inbox, Inbox::Armed), Operation::Receive),
            (held.ready[0] == Readiness::Armed, Operation::Readable),
            (held.ready[1] == Readiness::Armed, Operation::Writable),
        ];
        for (is_waiting, operation) in waiting {
            if is_waiting && !self.retired {
                self.cancel(slot, operation);
            }
        }
    }

    /// Gives up what clients have not taken long after their connections were let go of.
    pub(super) fn sweep(&mut self) {
        while let Some((since, slot, generation)) = self.leaving.front().copied() {
            let held = &self.slots[slot as usize];
            let is_it = held.generation == generation && held.is_closing;
            if is_it && since.elapsed() < LAST_WORDS {
                return;
            }
            self.leaving.pop_front();
            if is_it && held.outbox.in_flight {
                self.cancel(slot, Operation::Send);
            }
        }
    }

    pub(super) fn retire(&mut self, woken: &mut Vec<Waker>) {
        if self.retired {
            return;
        }
        let until = Instant::now() + LETTING_GO;
        // What was written leaves first.
        while self.slots.iter().any(|held| held.is_closing) && Instant::now() < until {
            if self.turn().is_err() || self.wait().is_err() {
                break;
            }
        }
        self.retired = true;
        self.backlog.clear();
        let everything = opcode::AsyncCancel2::new(types::CancelBuilder::any())
            .build()
            .user_data(Operation::Cancel as u64);
        let until = Instant::now() + LETTING_GO;
        while self.outstanding > 0 && Instant::now() < until {
            self.try_push(&everything);
            if self.wait().is_err() {
                break;
            }
            self.reap();
        }
        for held in &mut self.slots {
            woken.extend(held.reader.take());
            woken.extend(held.writer.take());
        }
        woken.append(&mut self.woken);
        if self.outstanding > 0 {
            // The kernel may still touch this memory: better lost than freed under it.
            tracing::warn!(
                left = self.outstanding,
                "the kernel keeps operations of a ring that has ended"
            );
            self.buffers.leak();
            for held in &mut self.slots {
                std::mem::forget(std::mem::take(&mut held.outbox.sending));
            }
        }
    }
}
