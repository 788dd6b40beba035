// A formula of the caller's own tried at some places, to be compared with what Rust says. The host writes `tried` and
// `tried_gradient`, which call it.

/// COUNT places, as many expected outputs, and behind them the values and the slopes there.
@group(0) @binding(1) var<storage, read_write> places: array<vec4f>;

@compute @workgroup_size(64)
fn custom(@builtin(local_invocation_index) lane: u32) {
    // rounds: COUNT / 64
    for (var i = lane; i < COUNT; i += 64u) {
        let at = places[i];
        let expected = places[COUNT + i];
        places[2u * COUNT + i] = tried(at, expected);
        places[3u * COUNT + i] = tried_gradient(at, expected);
    }
}
