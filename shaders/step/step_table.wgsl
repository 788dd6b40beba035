// The step table of a chunk: one `Step` per step and member, with the first position, the shuffle key and the update
// coefficients. The host uploads one StepTableInput per member and chunk. `src/engine/step.rs` is the same code.

@group(0) @binding(0) var<uniform> cursor: ChunkParams;
@group(0) @binding(1) var<storage, read> inputs: array<StepTableInput>;
@group(0) @binding(2) var<storage, read> shared_coefficients: array<Coefficients>;
@group(0) @binding(3) var<storage, read_write> steps: array<Step>;

struct ChunkParams {
    /// The number of steps in the chunk. PADDING_STEPS steps without rows follow them in the table.
    steps: u32,
    /// The index of the first step's metrics in the metrics ring.
    first_metrics_index: u32,
}

/// The values of `UpdateCoefficients` in `src/optim/coefficients.rs`.
alias Coefficients = array<f32, 12>;

/// `StepTableInput` in `src/engine/step.rs`.
struct StepTableInput {
    rows: u32,
    batch_size: u32,
    steps_per_epoch: u32,
    step_in_epoch: u32,
    epoch: vec2u,
    seed: vec2u,
    loss_scale: f32,
    last_loss_scale: f32,
    gradient_accumulation: u32,
    accumulated_batches: u32,
    schedule_group: u32,
    member_coefficients: Coefficients,
    dropout_threshold: u32,
    dropout_scale: f32,
    padding: u32,
}

@compute @workgroup_size(64)
fn build_step_table(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    let number = i / MEMBERS;
    let member = i % MEMBERS;
    if number >= cursor.steps + PADDING_STEPS {
        return;
    }
    var step = Step();
    // The steps of a member that has stopped have no rows.
    if number < cursor.steps && inputs[member].rows > 0u {
        step = make_step(inputs[member], number);
    }
    steps[i] = step;
}

/// Returns step `number` of the chunk.
fn make_step(input: StepTableInput, number: u32) -> Step {
    let step_in_epoch = (input.step_in_epoch + number) % input.steps_per_epoch;
    let epoch = u64_add(input.epoch, vec2u((input.step_in_epoch + number) / input.steps_per_epoch, 0u));
    let first_position = step_in_epoch * input.batch_size;
    let rows = min(input.batch_size, input.rows - first_position);
    let batch = input.accumulated_batches + number;
    let shared_factors = shared_coefficients[input.schedule_group * cursor.steps + number];
    var c: Coefficients;
    // rounds: 12
    for (var i = 0u; i < 12u; i++) {
        c[i] = input.member_coefficients[i] * shared_factors[i];
    }
    return Step(
        rows,
        first_position,
        splitmix64(input.seed ^ epoch),
        select(input.loss_scale, input.last_loss_scale, rows < input.batch_size),
        cursor.first_metrics_index + number,
        u32(batch % input.gradient_accumulation == 0u),
        u32((batch + 1u) % input.gradient_accumulation == 0u),
        c[0],
        array<f32, 6>(c[1], c[2], c[3], c[4], c[5], c[6]),
        c[7],
        c[8],
        c[9],
        c[10],
        c[11],
        input.dropout_threshold,
        input.dropout_scale);
}

// 64-bit integers are pairs of u32, the lower half first.

/// Returns the SplitMix64 hash of a seed (Steele et al. 2014).
fn splitmix64(seed: vec2u) -> vec2u {
    var z = u64_add(seed, vec2u(0x7f4a7c15u, 0x9e3779b9u));
    z = u64_mul(z ^ u64_shr(z, 30u), vec2u(0x1ce4e5b9u, 0xbf58476du));
    z = u64_mul(z ^ u64_shr(z, 27u), vec2u(0x133111ebu, 0x94d049bbu));
    return z ^ u64_shr(z, 31u);
}

/// Returns (a + b) mod 2^64.
fn u64_add(a: vec2u, b: vec2u) -> vec2u {
    let low = a.x + b.x;
    return vec2u(low, a.y + b.y + u32(low < a.x));
}

/// Returns a >> bits, for `bits` from 1 to 31.
fn u64_shr(a: vec2u, bits: u32) -> vec2u {
    return vec2u((a.x >> bits) | (a.y << (32u - bits)), a.y >> bits);
}

/// Returns (a * b) mod 2^64.
fn u64_mul(a: vec2u, b: vec2u) -> vec2u {
    let low = u32_mul_wide(a.x, b.x);
    return vec2u(low.x, low.y + a.x * b.y + a.y * b.x);
}

/// Returns the 64-bit result of a * b, from the products of their 16-bit halves.
fn u32_mul_wide(a: u32, b: u32) -> vec2u {
    let x = vec2u(a & 0xffffu, a >> 16u);
    let y = vec2u(b & 0xffffu, b >> 16u);
    let low = x.x * y.x;
    let middle1 = x.y * y.x + (low >> 16u);
    let middle2 = x.x * y.y + (middle1 & 0xffffu);
    return vec2u((low & 0xffffu) | (middle2 << 16u), x.y * y.y + (middle1 >> 16u) + (middle2 >> 16u));
}
