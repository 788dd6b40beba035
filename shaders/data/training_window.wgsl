// The window of a training: epoch after epoch, as the table of steps has it.

/// The step whose rows lie in a slot of the window.
fn step_in_slot(slot: u32, member: u32) -> Step {
    return steps[(cursor.step + slot) * MEMBERS + member];
}
