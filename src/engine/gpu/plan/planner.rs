//! The planner chooses the scheme of a step from the network, the batch size and the adapter, without measuring. It
//! also lists further candidates, which the tuner measures.

use crate::{
    engine::gpu::{
        device::Gpu,
        kernels::loop_counts::{single_invocation_step, steps_per_dispatch},
        layout::{arenas::Arenas, fused_blocks::FusedBlocks, matmul::MatmulKind},
    },
    error::{Error, Result},
    plan::{
        matmul::{MatmulConfig, MatmulConfigs, Tile},
        scheme::Scheme,
    },
};

/// The number of workgroups that keeps a GPU busy. wgpu does not report the number of cores; a large GPU has about 130,
/// a small one 8.
const MIN_BUSY_WORKGROUPS: usize = 128;

/// The maximum number of 4x4 gradient blocks that an invocation of the fused scheme keeps in registers.
const MAX_REGISTER_GRADIENT_BLOCKS: usize = 12;

/// The maximum number of 4x4 weight blocks for which the planner chooses the single-invocation scheme. The invocation
/// keeps them in registers, and the same number of gradient blocks.
const MAX_INVOCATION_WEIGHT_BLOCKS: usize = 6;
/// The maximum number of batch rows for which the planner chooses the single-invocation scheme, which processes the
/// rows one after another.
const MAX_INVOCATION_ROWS: usize = 16;
/// The maximum number of 4x4 weight blocks of a single-invocation scheme in the caller's plan. With more, the driver
/// may compile for very long, or fail.
const MAX_PLANNED_BLOCKS: usize = 64;

/// The maximum number of steps per dispatch.
const MAX_DISPATCH_STEPS: usize = 1024;

/// Chooses the scheme if the caller gives no plan.
pub(crate) fn choose_scheme(gpu: &Gpu, arenas: &Arenas) -> Scheme {
    let layered = Scheme::Layered(split_k(gpu, arenas, layered_configs(gpu, arenas)));
    if arenas.has_per_neuron_parameters() {
        return layered;
    }
    let faster = if fits_single_invocation(arenas) && arenas.fits_registers {
        plan_single_invocation(gpu, arenas)
    } else if is_overhead_bound(gpu, arenas) {
        plan_single_workgroup(gpu, arenas)
    } else if has_many_rows(arenas) {
        plan_fused(gpu, arenas).into_iter().next()
    } else {
        None
    };
    faster.filter(|scheme| check_scheme(gpu, scheme, arenas).is_ok()).unwrap_or(layered)
}

/// Returns the schemes that may be the fastest. The first is the planner's choice.
pub(crate) fn candidate_schemes(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    let layers = arenas.layers.len();
    let mut all = vec![choose_scheme(gpu, arenas), Scheme::Layered(split_k(gpu, arenas, layered_configs(gpu, arenas)))];
    // A large step in a single workgroup may run for so long that the driver's watchdog ends it.
    let allows_single_workgroup = step_flop(arenas) <= 20_000_000;
    all.extend(plan_single_workgroup(gpu, arenas).filter(|_| allows_single_workgroup));
    all.extend(plan_single_invocation(gpu, arenas).filter(|_| weight_blocks(arenas) <= MAX_INVOCATION_WEIGHT_BLOCKS));
    all.extend(plan_fused(gpu, arenas));
    let tiles: &[Tile] = if gpu.is_software() {
        &[Tile::Register, Tile::Subgroup8(32), Tile::Subgroup8(64)]
    } else {
        &[Tile::SharedMemory(32), Tile::SharedMemory(64), Tile::SharedMemory(128)]
    };
    for tile in tiles.iter().filter(|tile| tile.runs_on(gpu)) {
        let configs = MatmulConfigs::uniform(layers, MatmulConfig::new(*tile));
        all.push(Scheme::Layered(configs.clone()));
        if !gpu.is_software() {
            all.push(Scheme::Layered(split_k(gpu, arenas, configs.clone())));
        }
        if allows_single_workgroup {
            all.extend(single_workgroup_with(gpu, arenas, configs));
        }
    }
    all.retain(|scheme| check_scheme(gpu, scheme, arenas).is_ok());
    let mut unique: Vec<Scheme> = Vec::new();
    for scheme in all {
        if !unique.contains(&scheme) {
            unique.push(scheme);
        }
    }
    unique
}

/// Returns [`Error::InvalidPlan`] if the scheme does not support the network, or the device cannot run it.
pub(crate) fn check_scheme(gpu: &Gpu, scheme: &Scheme, arenas: &Arenas) -> Result<()> {
    let invalid = |field, expected: String, got: String| Err(Error::InvalidPlan { field, expected, got });
    if arenas.has_per_neuron_parameters() && !matches!(scheme, Scheme::Layered(_)) {
        let expected = "layered, for a network with normalization or PReLU".to_owned();
        return invalid("scheme", expected, scheme.to_string());
    }
    if let Scheme::SingleInvocation { invocations, .. } = scheme {
        if !arenas.fits_registers {
            let expected = "a scheme that supports dropout, gradient accumulation and clip_norm".to_owned();
            return invalid("scheme", expected, scheme.to_string());
        }
        if weight_blocks(arenas) > MAX_PLANNED_BLOCKS {
            let expected = format!("a scheme for more than {MAX_PLANNED_BLOCKS} blocks of 4x4 weights");
            return invalid("scheme", expected, scheme.to_string());
        }
        let max = max_workgroup_invocations(gpu);
        return if *invocations <= max {
            Ok(())
        } else {
            invalid("invocations", format!("at most {max}"), invocations.to_string())
        };
    }
    if let Scheme::Fused { rows, .. } = scheme {
        return if fits_workgroup(gpu, arenas, *rows) {
            Ok(())
        } else {
            invalid("rows", "a multiple of 4 that fits into a workgroup".to_owned(), rows.to_string())
        };
    }
    let Some(configs) = scheme.matmul_configs() else {
        return invalid("scheme", "a scheme for GPUs".to_owned(), scheme.to_string());
    };
    let layers = arenas.layers.len();
    if configs.forward.len() != layers || configs.input_delta.len() + 1 != layers {
        return invalid("network", format!("{layers} layers"), configs.forward.len().to_string());
    }
    if let Some(config) = configs.iter().find(|config| !config.tile.runs_on(gpu)) {
        return invalid("tile", "a tile that runs on this device".to_owned(), config.to_string());
    }
    if matches!(scheme, Scheme::Layered(_)) {
        return Ok(());
    }
    let tile = configs.gradient.tile;
    // All matmuls of a single workgroup share its invocations and the WGSL files of its tile.
    let is_compatible = |other: Tile| other.constants() == tile.constants() && other.pieces() == tile.pieces();
    if let Some(config) = configs.iter().find(|config| config.split_k != 1 || !is_compatible(config.tile)) {
        let expected = format!("{tile} without split_k for every matmul of a single workgroup");
        return invalid("matmul", expected, config.to_string());
    }
    let is_single_workgroup = matches!(scheme, Scheme::SingleWorkgroup { .. });
    if is_single_workgroup && !can_run_single_workgroup(gpu, arenas, tile) {
        return invalid("tile", "a tile that fits into the workgroup memory".to_owned(), tile.to_string());
    }
    Ok(())
}

/// Returns the maximum number of invocations of a one-dimensional workgroup.
fn max_workgroup_invocations(gpu: &Gpu) -> usize {
    gpu.limits.max_compute_invocations_per_workgroup.min(gpu.limits.max_compute_workgroup_size_x) as usize
}

/// Returns whether the device can run the single-workgroup scheme with this tile. With full gradients, the squares of
/// the gradients take workgroup memory in addition to the tile.
fn can_run_single_workgroup(gpu: &Gpu, arenas: &Arenas, tile: Tile) -> bool {
    let squares_bytes = if arenas.full_gradients.is_some() { 32 * tile.invocations() as u32 } else { 0 };
    tile.runs_on(gpu) && tile.workgroup_bytes() + squares_bytes <= gpu.limits.max_compute_workgroup_storage_size
}

/// Returns the number of 4x4 weight blocks of a network.
fn weight_blocks(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride * l.output_stride).sum()
}

/// Returns whether a network fits into the registers of one invocation, and the batch has few rows.
fn fits_single_invocation(arenas: &Arenas) -> bool {
    weight_blocks(arenas) <= MAX_INVOCATION_WEIGHT_BLOCKS && arenas.padded_batch <= MAX_INVOCATION_ROWS
}

/// Plans the single-invocation scheme: each invocation trains one network. Returns `None` if a step exceeds the limit
/// of loop iterations.
fn plan_single_invocation(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let max_iterations = gpu.max_loop_iterations.unwrap_or(usize::MAX);
    let steps = (max_iterations / single_invocation_step(arenas)).min(MAX_DISPATCH_STEPS).min(arenas.max_window_steps);
    let invocations = if gpu.is_software() { 8 } else { 32 };
    (steps > 0).then_some(Scheme::SingleInvocation { steps, invocations })
}

/// Returns the approximate number of floating-point operations of one member per step.
fn step_flop(arenas: &Arenas) -> u64 {
    6 * arenas
        .layers
        .iter()
        .map(|l| (arenas.padded_batch * l.layout.inputs) as u64 * l.layout.outputs as u64)
        .sum::<u64>()
}

/// Returns whether the overhead of dispatches exceeds the time of the matmuls of a step.
fn is_overhead_bound(gpu: &Gpu, arenas: &Arenas) -> bool {
    // A single workgroup uses only one core. A CPU has a few cores, and a GPU has about a hundred. A dispatch also
    // costs less on a GPU.
    let max_flop = if gpu.is_software() { 2_000_000 } else { 4_000_000 };
    step_flop(arenas) <= max_flop
}

/// Returns whether the batch has enough rows to give each core of a GPU a block of rows.
fn has_many_rows(arenas: &Arenas) -> bool {
    arenas.padded_batch >= 16 * MIN_BUSY_WORKGROUPS
}

/// Returns the tile of a software adapter for matmuls with at most `columns` columns.
fn software_tile(gpu: &Gpu, columns: usize) -> Tile {
    let tile = if columns <= 32 { Tile::Subgroup8(32) } else { Tile::Subgroup8(64) };
    if tile.runs_on(gpu) { tile } else { Tile::Register }
}

/// Returns the configurations of the layered scheme without split-K. Each matmul has its own tile.
pub(crate) fn layered_configs(gpu: &Gpu, arenas: &Arenas) -> MatmulConfigs {
    let config = |kind: MatmulKind, layers: std::ops::Range<usize>| {
        let dims: Vec<_> = layers.map(|layer| arenas.matmul_dims(kind, layer)).collect();
        MatmulConfig::new(choose_tile(gpu, &dims))
    };
    let layers = arenas.layers.len();
    MatmulConfigs {
        forward: (0..layers).map(|layer| config(MatmulKind::Forward, layer..layer + 1)).collect(),
        input_delta: (1..layers).map(|layer| config(MatmulKind::InputDelta, layer..layer + 1)).collect(),
        gradient: config(MatmulKind::Gradient, 0..layers),
    }
}

/// Chooses the tile of a dispatch. Its matmuls have the dimensions `[rows, columns, depth]`.
fn choose_tile(gpu: &Gpu, dims: &[[usize; 3]]) -> Tile {
    if gpu.is_software() {
        return software_tile(gpu, dims.iter().map(|[_, columns, _]| *columns).max().unwrap_or(0));
    }
    let workgroups = |tile: Tile| dims.iter().map(|[rows, columns, _]| tile.workgroups(*rows, *columns)).sum::<usize>();
    let max_depth = dims.iter().map(|[.., depth]| *depth).max().unwrap_or(0);
    let large_tiles = [Tile::SharedMemory(128), Tile::SharedMemory(64)];
    let keeps_busy = |tile: &&Tile| tile.runs_on(gpu) && workgroups(**tile) >= MIN_BUSY_WORKGROUPS;
    if let Some(tile) = large_tiles.iter().find(keeps_busy) {
        return *tile;
    }
    // For few outputs with long sums, the invocations of a workgroup share each sum.
    if workgroups(Tile::SharedMemory(32)) < MIN_BUSY_WORKGROUPS / 8 && max_depth >= 64 {
        let slices = (max_depth / 4).next_power_of_two().min(16);
        return Tile::SlicedK { invocations: 64, slices };
    }
    Tile::SharedMemory(32)
}

/// Adds split-K to the configurations where a matmul has too few tiles to keep a GPU busy, or where its sums would
/// exceed the limit of loop iterations.
fn split_k(gpu: &Gpu, arenas: &Arenas, configs: MatmulConfigs) -> MatmulConfigs {
    let split = |config: MatmulConfig, dims: &[[usize; 3]]| {
        let max_depth = dims.iter().map(|[.., depth]| *depth).max().unwrap_or(0);
        let workgroups: usize = dims.iter().map(|[rows, columns, _]| config.tile.workgroups(*rows, *columns)).sum();
        let min_parts = match gpu.max_loop_iterations {
            // Reserve 1000 iterations for the other loops of the kernel.
            Some(max) => config.tile.loop_iterations(max_depth).div_ceil(max - 1000),
            None => 1,
        };
        let is_unsplit = gpu.is_software() || max_depth < 512 || matches!(config.tile, Tile::SlicedK { .. });
        let busy_parts =
            if is_unsplit { 1 } else { (MIN_BUSY_WORKGROUPS / workgroups.max(1)).min(max_depth / 128).max(1) };
        MatmulConfig { split_k: min_parts.max(busy_parts), ..config }
    };
    let split_layers = |kind: MatmulKind, configs: &[MatmulConfig], first_layer: usize| {
        let layers = configs.iter().zip(first_layer..);
        layers.map(|(config, layer)| split(*config, &[arenas.matmul_dims(kind, layer)])).collect()
    };
    let gradient_dims: Vec<_> =
        (0..arenas.layers.len()).map(|layer| arenas.matmul_dims(MatmulKind::Gradient, layer)).collect();
    MatmulConfigs {
        forward: split_layers(MatmulKind::Forward, &configs.forward, 0),
        input_delta: split_layers(MatmulKind::InputDelta, &configs.input_delta, 1),
        gradient: split(configs.gradient, &gradient_dims),
    }
}

/// Plans the single-workgroup scheme: one workgroup runs whole steps of a network.
fn plan_single_workgroup(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let layers = arenas.layers.len();
    let blocks = |[rows, columns, _]: [usize; 3]| rows / 4 * (columns / 4);
    let dims = |kind: MatmulKind, layer: usize| arenas.matmul_dims(kind, layer);
    if gpu.is_software() {
        // A network of a few blocks would leave most invocations of a wide tile idle.
        let max_blocks = (0..layers).map(|layer| blocks(dims(MatmulKind::Forward, layer))).max()?;
        let max_columns = arenas.layers.iter().map(|l| 4 * l.output_stride).max()?;
        let tile = if max_blocks <= 16 {
            Tile::SlicedK { invocations: 8, slices: 1 }
        } else {
            software_tile(gpu, max_columns)
        };
        return single_workgroup_with(gpu, arenas, MatmulConfigs::uniform(layers, MatmulConfig::new(tile)));
    }
    // As many invocations as the largest matmul has 4x4 blocks.
    let matmuls = [MatmulKind::Forward, MatmulKind::Gradient]
        .into_iter()
        .flat_map(|kind| (0..layers).map(move |layer| (kind, layer)));
    let max_blocks = matmuls.map(|(kind, layer)| blocks(dims(kind, layer))).max()?;
    let max_invocations = max_blocks.next_power_of_two().clamp(32, 256);
    let invocations =
        [256, 128, 64, 32].into_iter().filter(|invocations| *invocations <= max_invocations).find(|invocations| {
            can_run_single_workgroup(gpu, arenas, Tile::SlicedK { invocations: *invocations, slices: 1 })
        })?;
    // A matmul with fewer blocks than invocations shares each sum among the idle invocations.
    let config = |kind: MatmulKind, layer: usize| {
        let dims = dims(kind, layer);
        let invocations_per_block = invocations / blocks(dims).next_power_of_two().min(invocations);
        let slices = invocations_per_block.min((dims[2] / 4).next_power_of_two()).max(1);
        MatmulConfig::new(Tile::SlicedK { invocations, slices })
    };
    let configs = MatmulConfigs {
        forward: (0..layers).map(|layer| config(MatmulKind::Forward, layer)).collect(),
        input_delta: (1..layers).map(|layer| config(MatmulKind::InputDelta, layer)).collect(),
        gradient: MatmulConfig::new(Tile::SlicedK { invocations, slices: 1 }),
    };
    single_workgroup_with(gpu, arenas, configs)
}

/// Returns the single-workgroup scheme with as many steps per dispatch as the limit of loop iterations allows; `None`
/// if it does not allow one step.
pub(crate) fn single_workgroup_with(gpu: &Gpu, arenas: &Arenas, configs: MatmulConfigs) -> Option<Scheme> {
    let steps = steps_per_dispatch(arenas, &configs, gpu.max_loop_iterations)
        .min(MAX_DISPATCH_STEPS)
        .min(arenas.max_window_steps);
    (steps > 0).then_some(Scheme::SingleWorkgroup { steps, configs })
}

/// Plans the fused scheme: a workgroup takes a block of rows through all layers. Returns all variants that the device
/// can run, in the expected order of speed.
fn plan_fused(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    // On software adapters this scheme was never faster: their workgroup memory is not closer than the arenas.
    if gpu.is_software() {
        return Vec::new();
    }
    let block_rows =
        [128, 64, 32].into_iter().filter(|rows| arenas.padded_batch > *rows && fits_workgroup(gpu, arenas, *rows));
    let schemes = |rows| {
        [2 * MIN_BUSY_WORKGROUPS, MIN_BUSY_WORKGROUPS]
            .map(|max| Scheme::Fused { rows, workgroups: max.min(arenas.padded_batch.div_ceil(rows)) })
    };
    let fits = |scheme: &Scheme| 16 * arenas.member_count * arenas.partial_sums_len(scheme) <= gpu.max_binding_bytes();
    block_rows.flat_map(schemes).filter(fits).collect()
}

/// Returns whether a workgroup of the fused scheme fits into the device with blocks of `rows` rows. It needs workgroup
/// memory for the block, invocations for its matmuls, and registers for the gradients.
fn fits_workgroup(gpu: &Gpu, arenas: &Arenas, rows: usize) -> bool {
    if !rows.is_multiple_of(4) || rows > 1024 {
        return false;
    }
    let FusedBlocks { invocations, register_blocks, bytes } = FusedBlocks::new(arenas, rows);
    invocations <= max_workgroup_invocations(gpu).min(256)
        && bytes <= gpu.limits.max_compute_workgroup_storage_size
        && register_blocks.iter().sum::<usize>() <= MAX_REGISTER_GRADIENT_BLOCKS
}
