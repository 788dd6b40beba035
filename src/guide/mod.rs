//! A short textbook on neural networks. Each chapter has a formula, its numbers, a Rust snippet that runs, and the WGSL
//! code that computes the formula on the device.
//!
//! You need some Rust and school mathematics: sums, products, and the slope of a curve. You need no GPU: the snippets
//! run on `Device::cpu()`. With `Device::auto()?` instead, the same lines run on your GPU.
//!
//! # The chapters
//!
//! 1. [A neuron](chapter_1_neuron): the sum of inputs times weights, plus a bias.
//! 2. [A layer](chapter_2_layer): many neurons as one matrix.
//! 3. [The sigmoid](chapter_3_sigmoid): an activation, which lets a network compute more than straight lines.
//! 4. [The forward pass](chapter_4_forward): from the inputs through all layers to the prediction.
//! 5. [The loss](chapter_5_loss): the error of the predictions as one number.
//! 6. [The backward pass](chapter_6_backward): the gradients of the loss by all weights.
//! 7. [Gradient descent](chapter_7_sgd): a small step that reduces the loss.
//! 8. [Mini-batches](chapter_8_mini_batches): training on many rows.
//!
//! # The two networks
//!
//! All chapters use two networks, and compute each number by the formulas and with gradus. The first network is a
//! single neuron with three inputs. The second network has two inputs, a hidden layer with the neurons `h1` and `h2`,
//! and the output `y`:
//!
//! ```text
//!  x1 ──┐                       x1 ──┬──▶ h1 ──┐
//!  x2 ──┼──▶ y                       ╳         ├──▶ y
//!  x3 ──┘                       x2 ──┴──▶ h2 ──┘
//! ```
//!
//! An example prints all numbers, computed by the formulas and by your device:
//!
//! ```text
//! cargo run --example neuron -- --device cpu
//! ```
//!
//! The tables of the guide use the names, formulas and values of the example; a test compares them. `t` is the target,
//! and `rate` is the learning rate. The column "with the numbers" is rounded to five decimals. The results were
//! computed with more.
//!
//! # How to read the WGSL
//!
//! WGSL is the language of programs for the GPU. It resembles Rust. These words appear in the chapters:
//!
//! - `f32` and `u32` are numbers. `vec4f` holds four numbers, and `v + w` or `v * w` works on all four at once.
//!   `mat4x4f` holds four columns, each of which is a `vec4f`.
//! - A *buffer* is a piece of device memory. gradus has one buffer per role: `parameters`, `activations`, `deltas` and
//!   a few more.
//! - A *dispatch* is a command to run a program many times. Each run is an *invocation*. It has a number, which decides
//!   which data it works on.
//!
//! The WGSL comes from the folder `shaders`; the first line of a quotation names the file. `// ...` marks lines that
//! are left out. A test compares the quotations with the files.
//!
//! The code processes four neurons at once. If a layer has fewer, the rest is padding: zeros, which change no sum. The
//! names `matmul_a`, `matmul_b` and `matmul_epilogue` are placeholders. When gradus assembles a kernel, it replaces
//! `matmul` by the name of the matrix multiplication, for example `forward_a`.

pub mod chapter_1_neuron {
    #![doc = include_str!("chapter_1_neuron.md")]
}

pub mod chapter_2_layer {
    #![doc = include_str!("chapter_2_layer.md")]
}

pub mod chapter_3_sigmoid {
    #![doc = include_str!("chapter_3_sigmoid.md")]
}

pub mod chapter_4_forward {
    #![doc = include_str!("chapter_4_forward.md")]
}

pub mod chapter_5_loss {
    #![doc = include_str!("chapter_5_loss.md")]
}

pub mod chapter_6_backward {
    #![doc = include_str!("chapter_6_backward.md")]
}

pub mod chapter_7_sgd {
    #![doc = include_str!("chapter_7_sgd.md")]
}

pub mod chapter_8_mini_batches {
    #![doc = include_str!("chapter_8_mini_batches.md")]
}
