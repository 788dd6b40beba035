use crate::engine::gpu::{run::inference::ensemble::Ensemble, tests::*};

/// However many networks the limits let go at once, the sums are the same.
#[test]
fn networks_in_waves_give_the_same_bits_as_all_at_once() {
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
            let answers = |gpu: &Gpu| {
                let ensemble = pollster::block_on(Ensemble::new(gpu, network, &members)).expect("an ensemble");
                let answers = pollster::block_on(ensemble.predict(&inputs, 0.5)).expect("answers");
                gpu.check().expect("no complaint from wgpu");
                (ensemble.groups(), answers.iter().map(|answer| answer.to_bits()).collect::<Vec<_>>())
            };
            let (waves, all) = answers(&gpu);
            assert_eq!((waves, all.len()), (vec![33], 150 * 3 * network.outputs()), "{}", gpu.info.name);
            for at_once in [17, 4, 1] {
                // Bytes for the parameters of so many, though their rows may want more.
                let most = 4 * (layout.len * at_once) as u64;
                let limits = wgpu::Limits { max_storage_buffer_binding_size: most, ..gpu.limits.clone() };
                let (waves, some) = answers(&open(&gpu.info, Some(&limits)));
                assert!(waves[0] <= at_once && waves.iter().sum::<usize>() == 33, "{}: {waves:?}", gpu.info.name);
                assert!(some == all, "{}: {waves:?}", gpu.info.name);
            }
        }
    }
}
