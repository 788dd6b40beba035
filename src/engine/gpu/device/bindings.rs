//! The bindings of the kernels, in the order in which WGSL declares them.

/// How a binding is declared in WGSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `var<uniform>` at an offset that is given when it is bound.
    Cursor,
    /// `var<uniform>`
    Uniform,
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// The bindings of `shaders/step/step.wgsl`, in order.
pub(crate) const STEP_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Write};
    &[Cursor, Read, Write, Write, Write, Write, Write]
};

/// The bindings of `shaders/data/window.wgsl`, in order, and behind them what scales the features.
pub(crate) const SCALED_WINDOW_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Uniform, Write};
    &[Cursor, Read, Uniform, Read, Read, Write, Write, Write, Read]
};

/// The same where nothing does.
pub(crate) const WINDOW_BINDINGS: &[Binding] = SCALED_WINDOW_BINDINGS.split_at(SCALED_WINDOW_BINDINGS.len() - 1).0;

/// The storage buffers that every device has to let a shader see.
pub(crate) const MIN_STORAGE_BUFFERS: u32 = {
    const fn count_storage_buffers(bindings: &[Binding]) -> u32 {
        let (mut i, mut count) = (0, 0);
        while i < bindings.len() {
            count += matches!(bindings[i], Binding::Read | Binding::Write) as u32;
            i += 1;
        }
        count
    }
    let (step, window) = (count_storage_buffers(STEP_BINDINGS), count_storage_buffers(SCALED_WINDOW_BINDINGS));
    if step > window { step } else { window }
};

/// The bindings of `shaders/step/step_table.wgsl`, in order.
pub(crate) const STEP_TABLE_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Write};
    &[Cursor, Read, Read, Write]
};

/// Bytes of the structs `Cursor`, `Shard` and `Chunk`.
pub(crate) const PAIR_BYTES: u64 = 8;
