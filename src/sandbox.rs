//! Runs foreign code of a checkpoint (its chat template) within limits of memory and time.
//!
//! The template engine counts steps, but one step can double a text, and nothing in it counts bytes or watches a
//! clock. So the work runs on a thread of its own whose allocations are counted. An allocator cannot fail without
//! ending the program, so a thread that goes past its limit is left standing inside its next allocation, for
//! good: what a hostile template costs is one sleeping thread and at most its share of memory.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use mimalloc::MiMalloc;

use crate::error::Result;
use crate::progress::Observer;

/// Keeps freed memory for a second before the system gets it back: the next layer of a model asks for as much
/// again, and pages that come new from the system are cleared first (an eighth of a prompt's time).
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay` of mimalloc 2, in milliseconds; its binding does not name it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    /// `mi_option_arena_purge_mult`: so many times longer where a whole segment is free, as between the steps of
    /// training.
    const ARENA_PURGE_MULT: libmimalloc_sys::mi_option_t = 24;
    #[expect(unsafe_code, reason = "calls of the allocator's C interface")]
    // SAFETY: each sets a number; mimalloc reads it when it next frees memory.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 1000);
        libmimalloc_sys::mi_option_set(ARENA_PURGE_MULT, 30);
    }
}

/// mimalloc, counting for threads that have a limit: the program's allocator. glibc maps and unmaps large tensors at every
/// operation; mimalloc keeps them (attention scores 45 -> 12 ms). Where a program that embeds this library has another,
/// foreign code is limited by time and by the template engine's steps, but not by memory.
pub struct Counting;

/// What a limited thread may still take, and whether it should stop.
struct Gate {
    left_bytes: AtomicIsize,
    stop: AtomicBool,
}

thread_local! {
    /// The gate of this thread; null on the threads of the program itself.
    static GATE: Cell<*const Gate> = const { Cell::new(std::ptr::null()) };
}

/// Takes `bytes` from this thread's share; does not come back where that is too much.
fn charge(bytes: isize) {
    // A thread that is ending has no gate any more.
    let Ok(gate) = GATE.try_with(Cell::get) else { return };
    if gate.is_null() {
        return;
    }
    #[expect(unsafe_code, reason = "the gate outlives its thread")]
    // SAFETY: set by `run` from an Arc that the thread itself owns until it ends, and cleared before that.
    let gate = unsafe { &*gate };
    let left = gate.left_bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
    if bytes > 0 && (left < 0 || gate.stop.load(Ordering::Relaxed)) {
        gate.stop.store(true, Ordering::Relaxed);
        loop {
            std::thread::park();
        }
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
// SAFETY: every call goes to mimalloc as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        // SAFETY: the caller's contract is ours.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as isize);
        // SAFETY: the caller's contract is ours.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        charge(-(layout.size() as isize));
        // SAFETY: the caller's contract is ours.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        charge(new_size as isize - layout.size() as isize);
        // SAFETY: the caller's contract is ours.
        unsafe { MiMalloc.realloc(pointer, layout, new_size) }
    }
}

/// Takes the gate from its thread.
struct Ungate;

impl Drop for Ungate {
    fn drop(&mut self) {
        GATE.with(|slot| slot.set(std::ptr::null()));
    }
}

/// How much foreign code may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory held at once.
    pub bytes: usize,
    /// Wall time.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It ended by itself.
    Done(T),
    /// It took more memory than it may.
    OutOfMemory,
    /// It took longer than it may.
    OutOfTime,
    /// It panicked.
    Panicked,
}

/// Runs `work` on a thread of its own within limits; the observer may stop it.
///
/// # Errors
/// A stop.
pub fn run<T: Send + 'static>(
    limits: Limits,
    observer: &dyn Observer,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Outcome<T>> {
    const STACK_BYTES: usize = 16 << 20;
    const LOOK: Duration = Duration::from_millis(20);
    let started = Instant::now();
    let gate = Arc::new(Gate {
        left_bytes: AtomicIsize::new(isize::try_from(limits.bytes).unwrap_or(isize::MAX)),
        stop: AtomicBool::new(false),
    });
    let (outbox, inbox) = crossbeam_channel::bounded(1);
    let own = gate.clone();
    let body = move || {
        // Declared after the gate's owner, so it goes first, also where the work panics.
        let own = own;
        GATE.with(|slot| slot.set(Arc::as_ptr(&own)));
        let ungated = Ungate;
        let result = work();
        drop(ungated);
        if outbox.send(result).is_err() {
            log::debug!("nobody waits for limited work any more");
        }
    };
    let spawned = std::thread::Builder::new().name("limited".to_owned()).stack_size(STACK_BYTES).spawn(body);
    if spawned.is_err() {
        return Ok(Outcome::OutOfMemory);
    }
    loop {
        match inbox.recv_timeout(LOOK) {
            Ok(result) => return Ok(Outcome::Done(result)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Outcome::Panicked),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if gate.stop.load(Ordering::Relaxed) {
            return Ok(Outcome::OutOfMemory);
        }
        let cancelled = observer.check();
        if cancelled.is_err() || started.elapsed() > limits.time {
            gate.stop.store(true, Ordering::Relaxed);
            return cancelled.map(|()| Outcome::OutOfTime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::progress::{Progress, Unobserved};

    const SMALL: Limits = Limits { bytes: 1 << 20, time: Duration::from_millis(200) };

    #[test]
    fn what_stays_within_comes_back() {
        // Far more in all than may be held at once.
        let work = || (0..100).map(|i| vec![i as u8; 1 << 18].len()).sum::<usize>();
        assert_eq!(run(SMALL, &Unobserved, work).unwrap(), Outcome::Done(100 << 18));
    }

    #[test]
    fn memory_time_and_panics_end_it() {
        let doubling = || {
            let mut text = "x".to_owned();
            loop {
                text = text.clone() + &text;
            }
        };
        assert_eq!(run::<()>(SMALL, &Unobserved, doubling).unwrap(), Outcome::OutOfMemory);
        let endless = || {
            loop {
                std::hint::black_box(vec![0u8; 16]);
            }
        };
        assert_eq!(run::<()>(SMALL, &Unobserved, endless).unwrap(), Outcome::OutOfTime);
        assert_eq!(run::<()>(SMALL, &Unobserved, || panic!("by design")).unwrap(), Outcome::Panicked);
    }

    #[test]
    fn it_can_be_cancelled() {
        struct Stop;
        impl Observer for Stop {
            fn progress(&self, _progress: Progress) -> Result<()> {
                Ok(())
            }
            fn check(&self) -> Result<()> {
                Err(Error::Cancelled)
            }
        }
        let patient = Limits { time: Duration::from_hours(1), ..SMALL };
        let outcome = run(patient, &Stop, || std::thread::sleep(Duration::from_secs(2)));
        assert!(outcome.unwrap_err().is_cancelled());
    }
}
