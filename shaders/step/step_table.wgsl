// The table of a chunk's steps, of every network: which rows each step takes, and at which rate. What a network's steps
// are made from is uploaded once a chunk; `src/step.rs` is the same code.

@group(0) @binding(0) var<uniform> cursor: ChunkParams;
@group(0) @binding(1) var<storage, read> inputs: array<StepTableInput>;
@group(0) @binding(2) var<storage, read> shared_coefficients: array<Coefficients>;
@group(0) @binding(3) var<storage, read_write> steps: array<Step>;

struct ChunkParams {
    /// How many steps there are; PADDING_STEPS follow that have no rows.
    steps: u32,
    /// Where in the ring the metrics of the first step go.
    first_metrics_index: u32,
}

alias Coefficients = array<f32, 12>;

/// `StepTableInput` in `src/step.rs`.
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
fn build_step_table(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let number = i / MEMBERS;
    let member = i % MEMBERS;
    if number >= cursor.steps + PADDING_STEPS {
        return;
    }
    var step = Step();
    // A network that is in training no more has no rows.
    if number < cursor.steps && inputs[member].rows > 0u {
        step = make_step(inputs[member], number);
    }
    steps[i] = step;
}

fn make_step(s: StepTableInput, number: u32) -> Step {
    let step_in_epoch = (s.step_in_epoch + number) % s.steps_per_epoch;
    let epoch = u64_add(s.epoch, vec2u((s.step_in_epoch + number) / s.steps_per_epoch, 0u));
    let first = step_in_epoch * s.batch_size;
    let rows = min(s.batch_size, s.rows - first);
    let batch = s.accumulated_batches + number;
    let shared_factors = shared_coefficients[s.schedule_group * cursor.steps + number];
    var n: Coefficients;
    // rounds: 12
    for (var i = 0u; i < 12u; i++) {
        n[i] = s.member_coefficients[i] * shared_factors[i];
    }
    return Step(
        rows, first, splitmix64(s.seed ^ epoch), select(s.loss_scale, s.last_loss_scale, rows < s.batch_size), cursor.first_metrics_index + number,
        u32(batch % s.gradient_accumulation == 0u), u32((batch + 1u) % s.gradient_accumulation == 0u),
        n[0], array<f32, 6>(n[1], n[2], n[3], n[4], n[5], n[6]), n[7], n[8], n[9], n[10], n[11], s.dropout_threshold, s.dropout_scale);
}

// splitmix64, in numbers of 64 bits that are pairs, the lower half first.

fn splitmix64(seed: vec2u) -> vec2u {
    var z = u64_add(seed, vec2u(0x7f4a7c15u, 0x9e3779b9u));
    z = u64_mul(z ^ u64_shr(z, 30u), vec2u(0x1ce4e5b9u, 0xbf58476du));
    z = u64_mul(z ^ u64_shr(z, 27u), vec2u(0x133111ebu, 0x94d049bbu));
    return z ^ u64_shr(z, 31u);
}

fn u64_add(a: vec2u, b: vec2u) -> vec2u {
    let low = a.x + b.x;
    return vec2u(low, a.y + b.y + u32(low < a.x));
}

/// a >> by, by less than 32 bits.
fn u64_shr(a: vec2u, by: u32) -> vec2u {
    return vec2u((a.x >> by) | (a.y << (32u - by)), a.y >> by);
}

fn u64_mul(a: vec2u, b: vec2u) -> vec2u {
    let low = u32_mul_wide(a.x, b.x);
    return vec2u(low.x, low.y + a.x * b.y + a.y * b.x);
}

/// The whole product of two halves, from those of their halves.
fn u32_mul_wide(a: u32, b: u32) -> vec2u {
    let x = vec2u(a & 0xffffu, a >> 16u);
    let y = vec2u(b & 0xffffu, b >> 16u);
    let low = x.x * y.x;
    let middle = x.y * y.x + (low >> 16u);
    let other = x.x * y.y + (middle & 0xffffu);
    return vec2u((low & 0xffffu) | (other << 16u), x.y * y.y + (middle >> 16u) + (other >> 16u));
}
