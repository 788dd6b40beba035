//! The fuzz target of its own binary's name. `README.md` says how it is run.

#![no_main]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    panic,
};

use libfuzzer_sys::fuzz_target;

mod parsers;
#[allow(dead_code, reason = "replayed on the reference alone")]
#[path = "../../examples/common/trace.rs"]
mod trace;

/// The most memory that one allocation may take: an input has some kilobytes.
const MOST: usize = if matches!(env!("CARGO_BIN_NAME").as_bytes(), b"image") {
    // What the pixels of one image may take, and a little more.
    (1 << 28) + (1 << 16)
} else {
    1 << 24
};

/// The system's memory, of which nobody gets much at once: libFuzzer's own limit works with sanitizers alone, and those
/// need a nightly compiler.
struct Limited;

unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

fn check(size: usize) {
    if size > MOST {
        eprintln!("{size} bytes are asked for at once");
        std::process::abort();
    }
}

#[global_allocator]
static MEMORY: Limited = Limited;

/// Lets the library catch the panics that it knows of, where libFuzzer's own hook ends the process at every one.
fn catch_known_panics() {
    let fatal = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains("/zune-jpeg-")) {
            fatal(panic);
        }
    }));
}

fuzz_target!(init: catch_known_panics(), |input: &[u8]| {
    let (_, parser) = parsers::PARSERS.iter().find(|(name, _)| *name == env!("CARGO_BIN_NAME")).expect("it is listed");
    parser(input);
});
