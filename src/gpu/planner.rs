//! Chooses the plan of a step from the network, the batch and the adapter.

use super::{Gpu, arenas::Arenas, product::Product};
use crate::{
    Error, Network, Result,
    plan::{Scheme, Tile, Way, Ways},
};

/// A scheme that is good at once, without measuring anything.
pub(super) fn scheme(gpu: &Gpu, network: &Network, arenas: &Arenas) -> Scheme {
    let _ = network;
    if let Ok(text) = std::env::var("GRADUS_SCHEME") {
        let mut it = text.split(':');
        let kind = it.next().unwrap();
        let n: usize = it.next().unwrap().parse().unwrap();
        let tile: Tile = it.next().unwrap().parse().unwrap();
        let ways = Ways::all(arenas.layers.len(), Way { tile, parts: 1 });
        return match kind {
            "fused" => Scheme::Fused { rows: n, ways },
            "tiny" => Scheme::Tiny { steps: n, ways },
            _ => Scheme::Layered(Ways { gradients: Way { tile, parts: n }, ..ways }),
        };
    }
    Scheme::Layered(layered(gpu, arenas))
}

/// Refuses a scheme that this network or this device cannot follow.
pub(super) fn check(gpu: &Gpu, scheme: &Scheme, arenas: &Arenas) -> Result<()> {
    let wrong = |what, expected: String, got: String| Err(Error::Plan { what, expected, got });
    let Some(ways) = scheme.ways() else {
        return wrong("scheme", "one for a GPU".to_owned(), scheme.to_string());
    };
    let layers = arenas.layers.len();
    if ways.forward.len() != layers || ways.input_delta.len() + 1 != layers {
        return wrong("network", format!("{layers} layers"), format!("{}", ways.forward.len()));
    }
    if let Some(way) = ways.iter().find(|way| !way.tile.runs_on(gpu)) {
        return wrong("tile", "one that runs on this device".to_owned(), way.to_string());
    }
    if matches!(scheme, Scheme::Layered(_)) {
        return Ok(());
    }
    let first = ways.gradients.tile;
    let same_kind = |way: &Way| {
        std::mem::discriminant(&way.tile) == std::mem::discriminant(&first) && way.tile.lanes() == first.lanes()
    };
    if let Some(way) = ways.iter().find(|way| way.parts != 1 || !same_kind(way)) {
        return wrong("ways", format!("{first}, in one part, for every product of one dispatch"), way.to_string());
    }
    match scheme {
        Scheme::Fused { rows, .. } if rows % 64 != 0 || rows % first.size()[0] != 0 || first.size()[0] < 8 => {
            wrong("rows", "a multiple of 64 and of a tile's rows, and no sliced tile".to_owned(), rows.to_string())
        }
        _ => Ok(()),
    }
}

/// A way for every product of its own, in one part.
pub(super) fn layered(gpu: &Gpu, arenas: &Arenas) -> Ways {
    let flop = 6 * arenas.layers.iter().map(|l| arenas.batch * l.inputs * l.outputs).sum::<usize>();
    let tile = if !gpu.is_software() {
        Tile::Staged(32)
    } else if Tile::Lanes8(64).runs_on(gpu) && flop >= 4_000_000 {
        Tile::Lanes8(64)
    } else {
        Tile::Plain
    };
    let _ = Product::Forward;
    Ways::all(arenas.layers.len(), Way::of(tile))
}
