//! Chooses how a step is computed, from the network, the batch and the adapter: at once, without measuring anything. What
//! may be better is among the candidates, for who measures.

use crate::{
    engine::gpu::{
        device::Gpu,
        kernels::loop_counts::{single_invocation_step, steps_per_dispatch},
        layout::{arenas::Arenas, fused_blocks::FusedBlocks, matmul::MatmulKind},
    },
    error::{Error, Result},
    plan::{MatmulConfig, MatmulConfigs, Scheme, Tile},
};

/// Workgroups that keep a GPU busy. wgpu does not tell how many cores there are; a large GPU has some 130, a small one 8.
const MIN_BUSY_WORKGROUPS: usize = 128;

/// The most blocks of gradients that an invocation of a fused step keeps in registers.
const MAX_REGISTER_GRADIENT_BLOCKS: usize = 12;

/// The most blocks of weights that are kept in registers, as often again for their gradients, and the most rows that are
/// taken one after the other.
const MAX_INVOCATION_WEIGHT_BLOCKS: usize = 6;
const MAX_INVOCATION_ROWS: usize = 16;
/// The most blocks that a plan from elsewhere may ask an invocation to keep: a driver may be long over more, or fail.
const MAX_PLANNED_BLOCKS: usize = 64;

/// The most steps of one dispatch.
const MAX_DISPATCH_STEPS: usize = 1024;

/// The scheme that is taken unless another is asked for.
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

/// Schemes that may be better than the planner's, which is the first.
pub(crate) fn candidate_schemes(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    let layers = arenas.layers.len();
    let mut all = vec![choose_scheme(gpu, arenas), Scheme::Layered(split_k(gpu, arenas, layered_configs(gpu, arenas)))];
    // In one workgroup a large step would take so long that a watchdog may end it.
    let may_be_tiny = step_flop(arenas) <= 20_000_000;
    all.extend(plan_single_workgroup(gpu, arenas).filter(|_| may_be_tiny));
    all.extend(plan_single_invocation(gpu, arenas).filter(|_| weight_blocks(arenas) <= MAX_INVOCATION_WEIGHT_BLOCKS));
    all.extend(plan_fused(gpu, arenas));
    let tiles: &[Tile] = if gpu.is_software() {
        &[Tile::Register, Tile::Subgroup8(32), Tile::Subgroup8(64)]
    } else {
        &[Tile::SharedMemory(32), Tile::SharedMemory(64), Tile::SharedMemory(128)]
    };
    for tile in tiles.iter().filter(|tile| tile.runs_on(gpu)) {
        let ways = MatmulConfigs::uniform(layers, MatmulConfig::new(*tile));
        all.push(Scheme::Layered(ways.clone()));
        if !gpu.is_software() {
            all.push(Scheme::Layered(split_k(gpu, arenas, ways.clone())));
        }
        if may_be_tiny {
            all.extend(single_workgroup_with(gpu, arenas, ways));
        }
    }
    all.retain(|scheme| check_scheme(gpu, scheme, arenas).is_ok());
    let mut different: Vec<Scheme> = Vec::new();
    for scheme in all {
        if !different.contains(&scheme) {
            different.push(scheme);
        }
    }
    different
}

/// Refuses a scheme that this network or this device cannot follow.
pub(crate) fn check_scheme(gpu: &Gpu, scheme: &Scheme, arenas: &Arenas) -> Result<()> {
    let wrong = |what, expected: String, got: String| Err(Error::InvalidPlan { field: what, expected, got });
    if arenas.has_per_neuron_parameters() && !matches!(scheme, Scheme::Layered(_)) {
        let expected = "layered, for a network with norms or learned slopes".to_owned();
        return wrong("scheme", expected, scheme.to_string());
    }
    if let Scheme::SingleInvocation { invocations: lanes, .. } = scheme {
        if !arenas.fits_registers {
            let expected =
                "another one where outputs are dropped, gradients accumulated or their norm is clipped".to_owned();
            return wrong("scheme", expected, scheme.to_string());
        }
        if weight_blocks(arenas) > MAX_PLANNED_BLOCKS {
            let expected = format!("another one for more than {MAX_PLANNED_BLOCKS} blocks of weights");
            return wrong("scheme", expected, scheme.to_string());
        }
        let have = max_workgroup_invocations(gpu);
        return if *lanes <= have { Ok(()) } else { wrong("lanes", format!("at most {have}"), lanes.to_string()) };
    }
    if let Scheme::Fused { rows, .. } = scheme {
        return match fits_workgroup(gpu, arenas, *rows) {
            true => Ok(()),
            false => wrong("rows", "a multiple of 4 for which a workgroup has room".to_owned(), rows.to_string()),
        };
    }
    let Some(ways) = scheme.matmul_configs() else {
        return wrong("scheme", "one for a GPU".to_owned(), scheme.to_string());
    };
    let layers = arenas.layers.len();
    if ways.forward.len() != layers || ways.input_delta.len() + 1 != layers {
        return wrong("network", format!("{layers} layers"), ways.forward.len().to_string());
    }
    if let Some(way) = ways.iter().find(|way| !way.tile.runs_on(gpu)) {
        return wrong("tile", "one that runs on this device".to_owned(), way.to_string());
    }
    if matches!(scheme, Scheme::Layered(_)) {
        return Ok(());
    }
    let first = ways.gradient.tile;
    // They share a workgroup, and the files of their tile.
    let fits = |tile: Tile| tile.constants() == first.constants() && tile.pieces() == first.pieces();
    if let Some(way) = ways.iter().find(|way| way.split_k != 1 || !fits(way.tile)) {
        return wrong("ways", format!("{first}, in one part, for every product of one dispatch"), way.to_string());
    }
    match scheme {
        Scheme::SingleWorkgroup { .. } if !can_run_single_workgroup(gpu, arenas, first) => {
            wrong("tile", "one with room beside it in the workgroup's memory".to_owned(), first.to_string())
        }
        _ => Ok(()),
    }
}

/// The most invocations in a row that a workgroup may have.
fn max_workgroup_invocations(gpu: &Gpu) -> usize {
    gpu.limits.max_compute_invocations_per_workgroup.min(gpu.limits.max_compute_workgroup_size_x) as usize
}

/// Whether a device has what a walk by a tile needs: beside its numbers stand the squares of gradients that are kept.
fn can_run_single_workgroup(gpu: &Gpu, arenas: &Arenas, tile: Tile) -> bool {
    let squares = if arenas.full_gradients.is_some() { 32 * tile.invocations() as u32 } else { 0 };
    tile.runs_on(gpu) && tile.workgroup_bytes() + squares <= gpu.limits.max_compute_workgroup_storage_size
}

/// 4x4 blocks of weights.
fn weight_blocks(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride * l.output_stride).sum()
}

/// Whether a network fits into the registers of one invocation, and its rows are few.
fn fits_single_invocation(arenas: &Arenas) -> bool {
    weight_blocks(arenas) <= MAX_INVOCATION_WEIGHT_BLOCKS && arenas.padded_batch <= MAX_INVOCATION_ROWS
}

/// A network an invocation.
fn plan_single_invocation(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let budget = gpu.max_loop_iterations.unwrap_or(usize::MAX);
    let steps = (budget / single_invocation_step(arenas)).min(MAX_DISPATCH_STEPS).min(arenas.max_window_steps);
    let lanes = if gpu.is_software() { 8 } else { 32 };
    (steps > 0).then_some(Scheme::SingleInvocation { steps, invocations: lanes })
}

/// Floating-point operations of a step of one model, about.
fn step_flop(arenas: &Arenas) -> u64 {
    6 * arenas
        .layers
        .iter()
        .map(|l| (arenas.padded_batch * l.layout.inputs) as u64 * l.layout.outputs as u64)
        .sum::<u64>()
}

/// Whether what surrounds the products of a step weighs more than they do.
fn is_overhead_bound(gpu: &Gpu, arenas: &Arenas) -> bool {
    // One workgroup has one core: of two in a computer, of a hundred in a GPU, where a dispatch costs less, too.
    let most = if gpu.is_software() { 2_000_000 } else { 4_000_000 };
    step_flop(arenas) <= most
}

/// Whether there are so many rows that a block of them keeps each core of a GPU busy.
fn has_many_rows(arenas: &Arenas) -> bool {
    arenas.padded_batch >= 16 * MIN_BUSY_WORKGROUPS
}

fn software_tile(gpu: &Gpu, columns: usize) -> Tile {
    let tile = if columns <= 32 { Tile::Subgroup8(32) } else { Tile::Subgroup8(64) };
    if tile.runs_on(gpu) { tile } else { Tile::Register }
}

/// A way for every product of its own, in one part.
pub(crate) fn layered_configs(gpu: &Gpu, arenas: &Arenas) -> MatmulConfigs {
    let way = |product: MatmulKind, layers: std::ops::Range<usize>| {
        let sizes = layers.map(|layer| arenas.matmul_dims(product, layer));
        MatmulConfig::new(choose_tile(gpu, sizes.collect::<Vec<_>>().as_slice()))
    };
    let layers = arenas.layers.len();
    MatmulConfigs {
        forward: (0..layers).map(|layer| way(MatmulKind::Forward, layer..layer + 1)).collect(),
        input_delta: (1..layers).map(|layer| way(MatmulKind::InputDelta, layer..layer + 1)).collect(),
        gradient: way(MatmulKind::Gradient, 0..layers),
    }
}

/// The tile for a dispatch that computes products of these sizes.
fn choose_tile(gpu: &Gpu, sizes: &[[usize; 3]]) -> Tile {
    if gpu.is_software() {
        return software_tile(gpu, sizes.iter().map(|size| size[1]).max().unwrap_or(0));
    }
    let groups = |tile: Tile| sizes.iter().map(|[rows, columns, _]| tile.workgroups(*rows, *columns)).sum::<usize>();
    let deepest = sizes.iter().map(|size| size[2]).max().unwrap_or(0);
    let large = [Tile::SharedMemory(128), Tile::SharedMemory(64)];
    let busy = |tile: &&Tile| tile.runs_on(gpu) && groups(**tile) >= MIN_BUSY_WORKGROUPS;
    if let Some(tile) = large.iter().find(busy) {
        return *tile;
    }
    // Few outputs of long sums: the invocations of a workgroup share each.
    if groups(Tile::SharedMemory(32)) < MIN_BUSY_WORKGROUPS / 8 && deepest >= 64 {
        let split = (deepest / 4).next_power_of_two().min(16);
        return Tile::SlicedK { invocations: 64, slices: split };
    }
    Tile::SharedMemory(32)
}

/// The same with long sums cut into parts, where there are too few tiles to keep a GPU busy.
fn split_k(gpu: &Gpu, arenas: &Arenas, configs: MatmulConfigs) -> MatmulConfigs {
    let parts = |way: MatmulConfig, sizes: &[[usize; 3]]| {
        let deepest = sizes.iter().map(|size| size[2]).max().unwrap_or(0);
        let groups: usize = sizes.iter().map(|[rows, columns, _]| way.tile.workgroups(*rows, *columns)).sum();
        let fewest = match gpu.max_loop_iterations {
            // No invocation may go round too often.
            Some(budget) => way.tile.loop_iterations(deepest).div_ceil(budget - 1000),
            None => 1,
        };
        let is_short = gpu.is_software() || deepest < 512 || matches!(way.tile, Tile::SlicedK { .. });
        let most = if is_short { 1 } else { (MIN_BUSY_WORKGROUPS / groups.max(1)).min(deepest / 128).max(1) };
        MatmulConfig { split_k: fewest.max(most), ..way }
    };
    let each = |product: MatmulKind, ways: &[MatmulConfig], first: usize| {
        ways.iter().zip(first..).map(|(way, layer)| parts(*way, &[arenas.matmul_dims(product, layer)])).collect()
    };
    let all: Vec<_> = (0..arenas.layers.len()).map(|layer| arenas.matmul_dims(MatmulKind::Gradient, layer)).collect();
    MatmulConfigs {
        forward: each(MatmulKind::Forward, &configs.forward, 0),
        input_delta: each(MatmulKind::InputDelta, &configs.input_delta, 1),
        gradient: parts(configs.gradient, &all),
    }
}

/// Whole steps in a dispatch.
fn plan_single_workgroup(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let layers = arenas.layers.len();
    let blocks = |[rows, columns, _]: [usize; 3]| rows / 4 * (columns / 4);
    let of = |product: MatmulKind, layer: usize| arenas.matmul_dims(product, layer);
    if gpu.is_software() {
        // A network of a few blocks would leave most lanes of a wide tile idle.
        let most = (0..layers).map(|layer| blocks(of(MatmulKind::Forward, layer))).max()?;
        let widest = arenas.layers.iter().map(|l| 4 * l.output_stride).max()?;
        let tile = if most <= 16 { Tile::SlicedK { invocations: 8, slices: 1 } } else { software_tile(gpu, widest) };
        return single_workgroup_with(gpu, arenas, MatmulConfigs::uniform(layers, MatmulConfig::new(tile)));
    }
    // As many invocations as there are blocks, or as may share their sums.
    let all = [MatmulKind::Forward, MatmulKind::Gradient]
        .into_iter()
        .flat_map(|product| (0..layers).map(move |l| (product, l)));
    let most = all.map(|(product, layer)| blocks(of(product, layer))).max()?;
    let most = most.next_power_of_two().clamp(32, 256);
    let mut lanes = [256, 128, 64, 32].into_iter().filter(|lanes| *lanes <= most);
    let lanes =
        lanes.find(|lanes| can_run_single_workgroup(gpu, arenas, Tile::SlicedK { invocations: *lanes, slices: 1 }))?;
    let way = |product: MatmulKind, layer: usize| {
        let size = of(product, layer);
        let free = lanes / blocks(size).next_power_of_two().min(lanes);
        let split = free.min((size[2] / 4).next_power_of_two()).max(1);
        MatmulConfig::new(Tile::SlicedK { invocations: lanes, slices: split })
    };
    let ways = MatmulConfigs {
        forward: (0..layers).map(|layer| way(MatmulKind::Forward, layer)).collect(),
        input_delta: (1..layers).map(|layer| way(MatmulKind::InputDelta, layer)).collect(),
        gradient: MatmulConfig::new(Tile::SlicedK { invocations: lanes, slices: 1 }),
    };
    single_workgroup_with(gpu, arenas, ways)
}

/// As many steps a dispatch as an invocation may go round its loops.
pub(crate) fn single_workgroup_with(gpu: &Gpu, arenas: &Arenas, configs: MatmulConfigs) -> Option<Scheme> {
    let steps = steps_per_dispatch(arenas, &configs, gpu.max_loop_iterations)
        .min(MAX_DISPATCH_STEPS)
        .min(arenas.max_window_steps);
    (steps > 0).then_some(Scheme::SingleWorkgroup { steps, configs })
}

/// Blocks of rows through all layers, where a workgroup has room for them; the best first, as far as one can tell.
fn plan_fused(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    // There they never were faster: the workgroup memory of software is no nearer than its arenas.
    if gpu.is_software() {
        return Vec::new();
    }
    let rows =
        [128, 64, 32].into_iter().filter(|rows| arenas.padded_batch > *rows && fits_workgroup(gpu, arenas, *rows));
    let scheme = |rows| {
        [2 * MIN_BUSY_WORKGROUPS, MIN_BUSY_WORKGROUPS]
            .map(|most| Scheme::Fused { rows, workgroups: most.min(arenas.padded_batch.div_ceil(rows)) })
    };
    let fits = |scheme: &Scheme| 16 * arenas.member_count * arenas.partial_sums_len(scheme) <= gpu.max_binding_bytes();
    rows.flat_map(scheme).filter(fits).collect()
}

/// Whether a workgroup has the memory for a block of rows, the invocations for its products and they the registers for the
/// gradients.
fn fits_workgroup(gpu: &Gpu, arenas: &Arenas, rows: usize) -> bool {
    if !rows.is_multiple_of(4) || rows > 1024 {
        return false;
    }
    let FusedBlocks { invocations: lanes, register_blocks: owned, bytes } = FusedBlocks::new(arenas, rows);
    lanes <= max_workgroup_invocations(gpu).min(256)
        && bytes <= gpu.limits.max_compute_workgroup_storage_size
        && owned.iter().sum::<usize>() <= MAX_REGISTER_GRADIENT_BLOCKS
}
