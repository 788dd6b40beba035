//! The bindings of the kernels, in the order in which WGSL declares them.

/// The type of a binding, as WGSL declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `var<uniform>` with a dynamic offset, which is passed when the bind group is set.
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

/// The bindings of `shaders/data/window.wgsl`, in order, followed by the binding of `shaders/data/scaling.wgsl`.
pub(crate) const SCALED_WINDOW_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Uniform, Write};
    &[Cursor, Read, Uniform, Read, Read, Write, Write, Write, Read]
};

/// The bindings of `shaders/data/window.wgsl`, in order, for a data set without a scaler.
pub(crate) const WINDOW_BINDINGS: &[Binding] = SCALED_WINDOW_BINDINGS.split_at(SCALED_WINDOW_BINDINGS.len() - 1).0;

/// The number of storage buffers per shader stage that gradus needs from every device.
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

/// The size in bytes of the WGSL structs `Cursor`, `Shard`, `ChunkParams` and `GroupParams`: two 32-bit numbers each.
pub(crate) const PAIR_BYTES: u64 = 8;
