// The window of a training run: consecutive steps of the step table.

/// Returns the step whose rows are in a slot of the window.
fn step_in_slot(slot: u32, member: u32) -> Step {
    return steps[(cursor.step + slot) * MEMBERS + member];
}
