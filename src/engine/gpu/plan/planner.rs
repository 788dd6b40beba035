//! Chooses how a step is computed, from the network, the batch and the adapter: at once, without measuring anything. What
//! may be better is among the candidates, for who measures.

use crate::{
    engine::gpu::{
        device::Gpu,
        kernels::{
            loop_counts::{step_of_lane, steps_a_dispatch},
            multi_step::Blocks,
        },
        layout::{arenas::Arenas, matmul::Product},
    },
    error::{Error, Result},
    plan::{Scheme, Tile, Way, Ways},
};

/// Workgroups that keep a GPU busy. wgpu does not tell how many cores there are; a large GPU has some 130, a small one 8.
const BUSY: usize = 128;

/// The most blocks of gradients that an invocation of a fused step keeps in registers.
const OWNED: usize = 12;

/// The most blocks of weights that are kept in registers, as often again for their gradients, and the most rows that are
/// taken one after the other.
const LANE_BLOCKS: usize = 6;
const LANE_ROWS: usize = 16;
/// The most blocks that a plan from elsewhere may ask an invocation to keep: a driver may be long over more, or fail.
const MOST_BLOCKS: usize = 64;

/// The most steps of one dispatch.
const STEPS: usize = 1024;

/// The scheme that is taken unless another is asked for.
pub(crate) fn scheme(gpu: &Gpu, arenas: &Arenas) -> Scheme {
    let layered = Scheme::Layered(in_parts(gpu, arenas, layered(gpu, arenas)));
    if arenas.has_vectors() {
        return layered;
    }
    let faster = if is_smallest(arenas) && arenas.fits_registers {
        lane(gpu, arenas)
    } else if is_tiny(gpu, arenas) {
        tiny(gpu, arenas)
    } else if has_many_rows(arenas) {
        fused(gpu, arenas).into_iter().next()
    } else {
        None
    };
    faster.filter(|scheme| check(gpu, scheme, arenas).is_ok()).unwrap_or(layered)
}

/// Schemes that may be better than the planner's, which is the first.
pub(crate) fn candidates(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    let layers = arenas.layers.len();
    let mut all = vec![scheme(gpu, arenas), Scheme::Layered(in_parts(gpu, arenas, layered(gpu, arenas)))];
    // In one workgroup a large step would take so long that a watchdog may end it.
    let may_be_tiny = flop(arenas) <= 20_000_000;
    all.extend(tiny(gpu, arenas).filter(|_| may_be_tiny));
    all.extend(lane(gpu, arenas).filter(|_| blocks(arenas) <= LANE_BLOCKS));
    all.extend(fused(gpu, arenas));
    let tiles: &[Tile] = if gpu.is_software() {
        &[Tile::Plain, Tile::Lanes8(32), Tile::Lanes8(64)]
    } else {
        &[Tile::Staged(32), Tile::Staged(64), Tile::Staged(128)]
    };
    for tile in tiles.iter().filter(|tile| tile.runs_on(gpu)) {
        let ways = Ways::all(layers, Way::of(*tile));
        all.push(Scheme::Layered(ways.clone()));
        if !gpu.is_software() {
            all.push(Scheme::Layered(in_parts(gpu, arenas, ways.clone())));
        }
        if may_be_tiny {
            all.extend(steps_of(gpu, arenas, ways));
        }
    }
    all.retain(|scheme| check(gpu, scheme, arenas).is_ok());
    let mut different: Vec<Scheme> = Vec::new();
    for scheme in all {
        if !different.contains(&scheme) {
            different.push(scheme);
        }
    }
    different
}

/// Refuses a scheme that this network or this device cannot follow.
pub(crate) fn check(gpu: &Gpu, scheme: &Scheme, arenas: &Arenas) -> Result<()> {
    let wrong = |what, expected: String, got: String| Err(Error::Plan { what, expected, got });
    if arenas.has_vectors() && !matches!(scheme, Scheme::Layered(_)) {
        let expected = "layered, for a network with norms or learned slopes".to_owned();
        return wrong("scheme", expected, scheme.to_string());
    }
    if let Scheme::Lane { lanes, .. } = scheme {
        if !arenas.fits_registers {
            let expected =
                "another one where outputs are dropped, gradients accumulated or their norm is clipped".to_owned();
            return wrong("scheme", expected, scheme.to_string());
        }
        if blocks(arenas) > MOST_BLOCKS {
            let expected = format!("another one for more than {MOST_BLOCKS} blocks of weights");
            return wrong("scheme", expected, scheme.to_string());
        }
        let have = most_lanes(gpu);
        return if *lanes <= have { Ok(()) } else { wrong("lanes", format!("at most {have}"), lanes.to_string()) };
    }
    if let Scheme::Fused { rows, .. } = scheme {
        return match has_room(gpu, arenas, *rows) {
            true => Ok(()),
            false => wrong("rows", "a multiple of 4 for which a workgroup has room".to_owned(), rows.to_string()),
        };
    }
    let Some(ways) = scheme.ways() else {
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
    let first = ways.gradients.tile;
    // They share a workgroup, and the files of their tile.
    let fits = |tile: Tile| tile.constants() == first.constants() && tile.pieces() == first.pieces();
    if let Some(way) = ways.iter().find(|way| way.parts != 1 || !fits(way.tile)) {
        return wrong("ways", format!("{first}, in one part, for every product of one dispatch"), way.to_string());
    }
    match scheme {
        Scheme::Tiny { .. } if !walks(gpu, arenas, first) => {
            wrong("tile", "one with room beside it in the workgroup's memory".to_owned(), first.to_string())
        }
        _ => Ok(()),
    }
}

/// The most invocations in a row that a workgroup may have.
fn most_lanes(gpu: &Gpu) -> usize {
    gpu.limits.max_compute_invocations_per_workgroup.min(gpu.limits.max_compute_workgroup_size_x) as usize
}

/// Whether a device has what a walk by a tile needs: beside its numbers stand the squares of gradients that are kept.
fn walks(gpu: &Gpu, arenas: &Arenas, tile: Tile) -> bool {
    let squares = if arenas.kept.is_some() { 32 * tile.lanes() as u32 } else { 0 };
    tile.runs_on(gpu) && tile.workgroup_bytes() + squares <= gpu.limits.max_compute_workgroup_storage_size
}

/// 4x4 blocks of weights.
fn blocks(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride * l.output_stride).sum()
}

/// Whether a network fits into the registers of one invocation, and its rows are few.
fn is_smallest(arenas: &Arenas) -> bool {
    blocks(arenas) <= LANE_BLOCKS && arenas.batch <= LANE_ROWS
}

/// A network an invocation.
fn lane(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let budget = gpu.loop_budget.unwrap_or(usize::MAX);
    let steps = (budget / step_of_lane(arenas)).min(STEPS).min(arenas.room);
    let lanes = if gpu.is_software() { 8 } else { 32 };
    (steps > 0).then_some(Scheme::Lane { steps, lanes })
}

/// Floating-point operations of a step of one model, about.
fn flop(arenas: &Arenas) -> u64 {
    6 * arenas.layers.iter().map(|l| (arenas.batch * l.place.inputs) as u64 * l.place.outputs as u64).sum::<u64>()
}

/// Whether what surrounds the products of a step weighs more than they do.
fn is_tiny(gpu: &Gpu, arenas: &Arenas) -> bool {
    // One workgroup has one core: of two in a computer, of a hundred in a GPU, where a dispatch costs less, too.
    let most = if gpu.is_software() { 2_000_000 } else { 4_000_000 };
    flop(arenas) <= most
}

/// Whether there are so many rows that a block of them keeps each core of a GPU busy.
fn has_many_rows(arenas: &Arenas) -> bool {
    arenas.batch >= 16 * BUSY
}

fn software_tile(gpu: &Gpu, columns: usize) -> Tile {
    let tile = if columns <= 32 { Tile::Lanes8(32) } else { Tile::Lanes8(64) };
    if tile.runs_on(gpu) { tile } else { Tile::Plain }
}

/// A way for every product of its own, in one part.
pub(crate) fn layered(gpu: &Gpu, arenas: &Arenas) -> Ways {
    let way = |product: Product, layers: std::ops::Range<usize>| {
        let sizes = layers.map(|layer| arenas.size(product, layer));
        Way::of(tile(gpu, sizes.collect::<Vec<_>>().as_slice()))
    };
    let layers = arenas.layers.len();
    Ways {
        forward: (0..layers).map(|layer| way(Product::Forward, layer..layer + 1)).collect(),
        input_delta: (1..layers).map(|layer| way(Product::InputDelta, layer..layer + 1)).collect(),
        gradients: way(Product::Gradient, 0..layers),
    }
}

/// The tile for a dispatch that computes products of these sizes.
fn tile(gpu: &Gpu, sizes: &[[usize; 3]]) -> Tile {
    if gpu.is_software() {
        return software_tile(gpu, sizes.iter().map(|size| size[1]).max().unwrap_or(0));
    }
    let groups = |tile: Tile| sizes.iter().map(|[rows, columns, _]| tile.groups(*rows, *columns)).sum::<usize>();
    let deepest = sizes.iter().map(|size| size[2]).max().unwrap_or(0);
    let large = [Tile::Staged(128), Tile::Staged(64)];
    let busy = |tile: &&Tile| tile.runs_on(gpu) && groups(**tile) >= BUSY;
    if let Some(tile) = large.iter().find(busy) {
        return *tile;
    }
    // Few outputs of long sums: the invocations of a workgroup share each.
    if groups(Tile::Staged(32)) < BUSY / 8 && deepest >= 64 {
        let split = (deepest / 4).next_power_of_two().min(16);
        return Tile::Sliced { lanes: 64, split };
    }
    Tile::Staged(32)
}

/// The same with long sums cut into parts, where there are too few tiles to keep a GPU busy.
fn in_parts(gpu: &Gpu, arenas: &Arenas, ways: Ways) -> Ways {
    let parts = |way: Way, sizes: &[[usize; 3]]| {
        let deepest = sizes.iter().map(|size| size[2]).max().unwrap_or(0);
        let groups: usize = sizes.iter().map(|[rows, columns, _]| way.tile.groups(*rows, *columns)).sum();
        let fewest = match gpu.loop_budget {
            // No invocation may go round too often.
            Some(budget) => way.tile.loops(deepest).div_ceil(budget - 1000),
            None => 1,
        };
        let is_short = gpu.is_software() || deepest < 512 || matches!(way.tile, Tile::Sliced { .. });
        let most = if is_short { 1 } else { (BUSY / groups.max(1)).min(deepest / 128).max(1) };
        Way { parts: fewest.max(most), ..way }
    };
    let each = |product: Product, ways: &[Way], first: usize| {
        ways.iter().zip(first..).map(|(way, layer)| parts(*way, &[arenas.size(product, layer)])).collect()
    };
    let all: Vec<_> = (0..arenas.layers.len()).map(|layer| arenas.size(Product::Gradient, layer)).collect();
    Ways {
        forward: each(Product::Forward, &ways.forward, 0),
        input_delta: each(Product::InputDelta, &ways.input_delta, 1),
        gradients: parts(ways.gradients, &all),
    }
}

/// Whole steps in a dispatch.
fn tiny(gpu: &Gpu, arenas: &Arenas) -> Option<Scheme> {
    let layers = arenas.layers.len();
    let blocks = |[rows, columns, _]: [usize; 3]| rows / 4 * (columns / 4);
    let of = |product: Product, layer: usize| arenas.size(product, layer);
    if gpu.is_software() {
        // A network of a few blocks would leave most lanes of a wide tile idle.
        let most = (0..layers).map(|layer| blocks(of(Product::Forward, layer))).max()?;
        let widest = arenas.layers.iter().map(|l| 4 * l.output_stride).max()?;
        let tile = if most <= 16 { Tile::Sliced { lanes: 8, split: 1 } } else { software_tile(gpu, widest) };
        return steps_of(gpu, arenas, Ways::all(layers, Way::of(tile)));
    }
    // As many invocations as there are blocks, or as may share their sums.
    let all =
        [Product::Forward, Product::Gradient].into_iter().flat_map(|product| (0..layers).map(move |l| (product, l)));
    let most = all.map(|(product, layer)| blocks(of(product, layer))).max()?;
    let most = most.next_power_of_two().clamp(32, 256);
    let mut lanes = [256, 128, 64, 32].into_iter().filter(|lanes| *lanes <= most);
    let lanes = lanes.find(|lanes| walks(gpu, arenas, Tile::Sliced { lanes: *lanes, split: 1 }))?;
    let way = |product: Product, layer: usize| {
        let size = of(product, layer);
        let free = lanes / blocks(size).next_power_of_two().min(lanes);
        let split = free.min((size[2] / 4).next_power_of_two()).max(1);
        Way::of(Tile::Sliced { lanes, split })
    };
    let ways = Ways {
        forward: (0..layers).map(|layer| way(Product::Forward, layer)).collect(),
        input_delta: (1..layers).map(|layer| way(Product::InputDelta, layer)).collect(),
        gradients: Way::of(Tile::Sliced { lanes, split: 1 }),
    };
    steps_of(gpu, arenas, ways)
}

/// As many steps a dispatch as an invocation may go round its loops.
pub(crate) fn steps_of(gpu: &Gpu, arenas: &Arenas, ways: Ways) -> Option<Scheme> {
    let steps = steps_a_dispatch(arenas, &ways, gpu.loop_budget).min(STEPS).min(arenas.room);
    (steps > 0).then_some(Scheme::Tiny { steps, ways })
}

/// Blocks of rows through all layers, where a workgroup has room for them; the best first, as far as one can tell.
fn fused(gpu: &Gpu, arenas: &Arenas) -> Vec<Scheme> {
    // There they never were faster: the workgroup memory of software is no nearer than its arenas.
    if gpu.is_software() {
        return Vec::new();
    }
    let rows = [128, 64, 32].into_iter().filter(|rows| arenas.batch > *rows && has_room(gpu, arenas, *rows));
    let scheme =
        |rows| [2 * BUSY, BUSY].map(|most| Scheme::Fused { rows, groups: most.min(arenas.batch.div_ceil(rows)) });
    let fits = |scheme: &Scheme| 16 * arenas.models * arenas.parts_of(scheme) <= gpu.most_bytes();
    rows.flat_map(scheme).filter(fits).collect()
}

/// Whether a workgroup has the memory for a block of rows, the invocations for its products and they the registers for the
/// gradients.
fn has_room(gpu: &Gpu, arenas: &Arenas, rows: usize) -> bool {
    if !rows.is_multiple_of(4) || rows > 1024 {
        return false;
    }
    let Blocks { lanes, owned, bytes } = Blocks::of(arenas, rows);
    lanes <= most_lanes(gpu).min(256)
        && bytes <= gpu.limits.max_compute_workgroup_storage_size
        && owned.iter().sum::<usize>() <= OWNED
}
