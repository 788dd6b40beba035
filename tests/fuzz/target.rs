//! The fuzz target of the parser that has the name of this binary. `README.md` describes how to run it.

#![no_main]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    panic,
};

use libfuzzer_sys::fuzz_target;

mod parsers;
#[allow(dead_code, reason = "the fuzzer replays traces only on the reference")]
#[path = "../../examples/common/trace.rs"]
mod trace;

/// The maximum size of an allocation in bytes. An input has only some kilobytes.
const MAX_ALLOCATION_BYTES: usize = if matches!(env!("CARGO_BIN_NAME").as_bytes(), b"image") {
    // The limit for the pixels of one image, plus 64 KiB.
    (1 << 28) + (1 << 16)
} else {
    1 << 24
};

/// The system allocator with a limit per allocation. The limit of libFuzzer needs sanitizers, and those need a nightly
/// compiler.
struct Limited;

unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check_size(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check_size(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check_size(size);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

fn check_size(size: usize) {
    if size > MAX_ALLOCATION_BYTES {
        eprintln!("allocation of {size} bytes: expected at most {MAX_ALLOCATION_BYTES}");
        std::process::abort();
    }
}

#[global_allocator]
static MEMORY: Limited = Limited;

/// Installs a panic hook that ignores the panics which gradus catches. The hook of libFuzzer ends the process at every
/// panic.
fn ignore_caught_panics() {
    let fatal = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/zune-jpeg-")) {
            fatal(panic);
        }
    }));
}

fuzz_target!(init: ignore_caught_panics(), |input: &[u8]| {
    let is_target = |(name, _): &&(&str, parsers::Parser)| *name == env!("CARGO_BIN_NAME");
    let (_, parser) = parsers::PARSERS.iter().find(is_target).expect("a parser of this name");
    parser(input);
});
