//! An allocator that counts, for benchmarks that state what a message costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::Criterion;

/// Times `work` and says what one run of it allocates.
#[expect(clippy::print_stdout, reason = "the counts are part of the result")]
pub(crate) fn measure(c: &mut Criterion, name: &str, mut work: impl FnMut()) {
    // Once for what is only made the first time.
    work();
    let count = count(&mut work);
    println!("{name}: {} allocations, {} bytes", count.allocations, count.bytes);
    c.bench_function(name, |b| b.iter(&mut work));
}

/// What was asked of the allocator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// What one run of `work` allocates.
pub(crate) fn count(work: impl FnOnce()) -> Count {
    let before = (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    work();
    Count {
        allocations: ALLOCATIONS.load(Ordering::Relaxed) - before.0,
        bytes: BYTES.load(Ordering::Relaxed) - before.1,
    }
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written without; it only counts and hands on to the system's"
)]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn note(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;
