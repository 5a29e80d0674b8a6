//! The guest's allocator: a pointer that only moves up.
//!
//! An instance answers one call and is thrown away with its memory, so nothing need be
//! freed. The heap begins where the linker ended the data and memory grows only when the
//! initial pages are used up.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE: usize = 64 << 10;

/// Grown at once, so that a guest that reads a large claim does not ask page by page.
const STEP: usize = 4 * PAGE;

#[global_allocator]
static HEAP: Heap = Heap { next: AtomicUsize::new(0), end: AtomicUsize::new(0) };

/// Atomic only because a static must be `Sync`: a guest has one thread and these are plain
/// loads and stores there.
struct Heap {
    /// First free byte; 0 before the first allocation.
    next: AtomicUsize,
    /// First byte behind memory.
    end: AtomicUsize,
}

impl Heap {
    fn next(&self) -> usize {
        match self.next.load(Relaxed) {
            0 => {
                self.end.store(wasm32::memory_size(0) * PAGE, Relaxed);
                heap_base()
            }
            next => next,
        }
    }

    /// Whether memory now reaches to `end`.
    fn reach(&self, end: usize) -> bool {
        let have = self.end.load(Relaxed);
        if end <= have {
            return true;
        }
        let missing = (end - have).div_ceil(PAGE);
        let wish = missing.max(STEP / PAGE);
        let grown = [wish, missing].into_iter().find(|&pages| wasm32::memory_grow(0, pages) != usize::MAX);
        if let Some(pages) = grown {
            self.end.store(have + pages * PAGE, Relaxed);
        }
        grown.is_some()
    }

    /// Moves the top to `end` and says whether memory reaches that far.
    fn set_top(&self, end: usize) -> bool {
        let fits = self.reach(end);
        if fits {
            self.next.store(end, Relaxed);
        }
        fits
    }
}

// SAFETY: a block is handed out once, is aligned and lies inside memory; the top of the heap
// never moves below a block that is in use.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.next().checked_next_multiple_of(layout.align());
        let block = start.and_then(|start| Some((start, start.checked_add(layout.size())?)));
        match block {
            Some((start, end)) if self.set_top(end) => core::ptr::with_exposed_provenance_mut(start),
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // The newest block can be given back, which suits short-lived buffers.
        if block.addr() + layout.size() == self.next.load(Relaxed) {
            self.next.store(block.addr(), Relaxed);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if block.addr() + layout.size() == self.next.load(Relaxed) {
            // A buffer that grows at the top of the heap, as one being written does, stays.
            return match block.addr().checked_add(size) {
                Some(end) if self.set_top(end) => block,
                _ => core::ptr::null_mut(),
            };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller's promise holds for the same alignment and a larger size.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are valid for the old size and the new one is fresh.
            unsafe { core::ptr::copy_nonoverlapping(block, moved, layout.size()) };
        }
        moved
    }
}

/// Where the linker ended stack and data.
fn heap_base() -> usize {
    unsafe extern "C" {
        static __heap_base: u8;
    }
    (&raw const __heap_base).expose_provenance()
}
