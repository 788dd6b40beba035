// The window of an evaluation: one pass over the rows as they lie, BATCH a time. Which rows those are, a network's `row_at`
// says; where it has fewer than others, what comes in their place is not looked at.

/// The rows that lie in a slot of the window.
fn step_in_slot(slot: u32, member: u32) -> Step {
    var step = Step();
    step.first_position = (cursor.step + slot) * BATCH;
    step.rows = min(BATCH, max(DATASET_ROWS, step.first_position) - step.first_position);
    return step;
}
