//! A macro that defines blocking twins of asynchronous functions.

/// Defines functions that block the calling thread until a future is ready. Each function has documentation, a
/// signature and, after `=`, the future:
///
/// ```text
/// blocking! {
///     /// Runs `steps` training steps.
///     pub fn run(&mut self, steps: usize) -> Result<Report> = self.run_async(steps);
/// }
/// ```
///
/// Invoke the macro in an `impl` block or in a module, above the asynchronous function. On the web a thread may not
/// block, so the macro defines no functions there.
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
