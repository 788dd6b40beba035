//! Tests of ensembles.

use crate::engine::gpu::{run::inference::ensemble::Ensemble, tests::*};

/// The results do not depend on the number of members that fit into a group.
#[test]
fn several_groups_give_the_same_bits_as_one_group() {
    let networks = [
        network(&[5, 9, 3], Activation::Tanh),
        Network::new(4).dense(6, Activation::Relu).batch_norm().dense(1, Activation::Sigmoid),
    ];
    for gpu in gpus() {
        for network in &networks {
            let layout = network.layout();
            let member = |seed| [network.initial_parameters(seed).expect("parameters"), network.initial_statistics()];
            let members: Vec<_> = (0..33).map(member).collect();
            let inputs = test_values(150 * network.inputs(), 3);
            let predict = |gpu: &Gpu| {
                let ensemble = pollster::block_on(Ensemble::new(gpu, network, &members)).expect("an ensemble");
                let results = pollster::block_on(ensemble.predict(&inputs, 0.5)).expect("predictions");
                gpu.check().expect("wgpu reports no error");
                (ensemble.groups(), results.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            let (groups, expected) = predict(&gpu);
            assert_eq!((groups, expected.len()), (vec![33], 150 * 3 * network.outputs()), "{}", gpu.info.name);
            for max_members in [17, 4, 1] {
                // The bytes of the parameters of `max_members` members. The activations may reduce the number further.
                let bytes = 4 * (layout.len * max_members) as u64;
                let limits = wgpu::Limits { max_storage_buffer_binding_size: bytes, ..gpu.limits.clone() };
                let (groups, actual) = predict(&open(&gpu.info, Some(&limits)));
                assert!(groups[0] <= max_members, "{}: {groups:?}", gpu.info.name);
                assert_eq!(groups.iter().sum::<usize>(), 33, "{}: {groups:?}", gpu.info.name);
                assert!(actual == expected, "{}: {groups:?}", gpu.info.name);
            }
        }
    }
}
