//! The buffers that the kernel receives into: it takes one when bytes come, so a connection that waits holds none.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{IoUring, types::BufRingEntry};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The group's number in its ring.
pub(super) const GROUP: u16 = 0;
/// A power of two.
const COUNT: u16 = 256;
/// Room of one: a request's head, an answer of a page or so. Larger ones are read on without these.
pub(super) const SIZE: usize = 4096;
/// The ring of entries comes first; the buffers follow.
const ENTRIES: usize = COUNT as usize * size_of::<BufRingEntry>();

/// Memory shared with the kernel: a ring of descriptions, then the buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    memory: NonNull<u8>,
    tail: u16,
    /// Buffers that completions have named and nobody has given back.
    taken: usize,
    is_leaked: bool,
}

#[expect(
    unsafe_code,
    reason = "the memory is owned by this value alone, and the kernel"
)]
// SAFETY: nothing in it is bound to a thread.
unsafe impl Send for Buffers {}

impl Buffers {
    #[expect(unsafe_code, reason = "memory shared with the kernel is made by hand")]
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping touches nothing else.
        let memory = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                ENTRIES + usize::from(COUNT) * SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut buffers = Self {
            memory,
            tail: 0,
            taken: COUNT.into(),
            is_leaked: false,
        };
        // SAFETY: the mapping is page-aligned, holds COUNT entries and lives as long as the ring that this value is kept beside.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                memory.as_ptr() as u64,
                COUNT,
                GROUP,
                0,
            )?;
        }
        for buffer in 0..COUNT {
            buffers.give(buffer);
        }
        Ok(buffers)
    }

    /// Notes that a completion has named a buffer.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// Buffers that the kernel may receive into.
    pub(super) fn available(&self) -> usize {
        usize::from(COUNT) - self.taken
    }

    /// Lends a buffer to the kernel again.
    #[expect(
        unsafe_code,
        reason = "memory shared with the kernel is written by hand"
    )]
    pub(super) fn give(&mut self, buffer: u16) {
        debug_assert!(buffer < COUNT, "the kernel names buffers that it was lent");
        let entries = self.memory.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index is within the ring; the kernel does not read the entry before the tail passes it.
        unsafe {
            let entry = &mut *entries.add(usize::from(self.tail & (COUNT - 1)));
            entry.set_addr(self.at(buffer) as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(buffer);
        }
        self.taken -= 1;
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is an aligned u16 in the mapping that both sides read and write atomically.
        unsafe {
            let tail = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    /// What lies in a buffer that a completion named and nobody has given back.
    #[expect(unsafe_code, reason = "memory shared with the kernel is read by hand")]
    pub(super) fn bytes(&self, buffer: u16, start: u32, end: u32) -> &[u8] {
        debug_assert!(start <= end && end as usize <= SIZE, "within the buffer");
        // SAFETY: the kernel wrote these bytes and leaves the buffer alone until it is given back, for which it takes `&mut self`.
        unsafe {
            std::slice::from_raw_parts(self.at(buffer).add(start as usize), (end - start) as usize)
        }
    }

    /// Never gives the memory back to the system.
    pub(super) fn leak(&mut self) {
        self.is_leaked = true;
    }

    #[expect(unsafe_code, reason = "an address within the mapping")]
    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: `buffer` is below COUNT, so the address lies within the mapping.
        unsafe {
            self.memory
                .as_ptr()
                .add(ENTRIES + usize::from(buffer) * SIZE)
        }
    }
}

impl Drop for Buffers {
    #[expect(unsafe_code, reason = "gives the mapping back")]
    fn drop(&mut self) {
        if !self.is_leaked {
            // SAFETY: the mapping is ours, and no receive is under way any more: the ring was retired or is closed.
            let _ = unsafe {
                munmap(
                    self.memory.as_ptr().cast(),
                    ENTRIES + usize::from(COUNT) * SIZE,
                )
            };
        }
    }
}
