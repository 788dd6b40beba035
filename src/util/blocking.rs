//! The macro that makes blocking functions of asynchronous ones.

/// Defines functions that block the calling thread until a future is ready. Each has documentation, a signature and, after
/// `=`, the future:
///
/// ```text
/// blocking! {
///     /// Takes that many steps.
///     pub fn run(&mut self, steps: usize) -> Result<Report> = self.run_async(steps);
/// }
/// ```
///
/// It stands in an `impl` block or in a module, above the asynchronous function. A thread may not wait on the web, so that
/// no functions are defined there.
macro_rules! blocking {
    ($($(#[$attribute:meta])* pub fn $name:ident($($parameters:tt)*) -> $output:ty = $future:expr;)+) => {$(
        $(#[$attribute])*
        #[cfg(not(target_family = "wasm"))]
        pub fn $name($($parameters)*) -> $output {
            pollster::block_on($future)
        }
    )+};
}

pub(crate) use blocking;
