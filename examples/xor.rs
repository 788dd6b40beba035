//! Learns XOR, the smallest problem that needs a hidden layer, on the GPU, or on the CPU if there is no GPU.

use gradus::{Activation, Dataset, Device, Network, Optimizer, Trainer, TrainerSettings};

fn main() -> gradus::Result<()> {
    let device = Device::auto()?;
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let inputs = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let data = Dataset::new(4, &inputs, &[0.0, 1.0, 1.0, 0.0])?;
    let settings =
        TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1.0), seed: 1, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&device, &network, &data, settings)?;
    trainer.run(2000)?;
    println!("{}: loss {:.5}", device.name(), trainer.last_loss()?);
    println!("{:.3?}", trainer.predict(&inputs)?);
    Ok(())
}
