// The window of an evaluation: one pass over the rows in order, BATCH rows per slot. `row_at` of the member selects the
// rows. If a member has fewer rows than another one, `evaluation_sums` ignores the remaining rows of the slot.

/// Returns the rows in a slot of the window as a step.
fn step_in_slot(slot: u32, member: u32) -> Step {
    var step = Step();
    step.first_position = (cursor.step + slot) * BATCH;
    step.rows = min(BATCH, max(DATASET_ROWS, step.first_position) - step.first_position);
    return step;
}
