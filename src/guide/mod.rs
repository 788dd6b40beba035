//! Neural networks from the beginning: one textbook chapter after the other, each with its formula, its numbers, a snippet
//! that runs, and the WGSL that does it on the device.
//!
//! You need some Rust and the mathematics of school: sums, products, and what a slope is. You need no GPU: the snippets
//! run on `Device::cpu()`. Put `Device::auto()?` in its place, and the same lines run on the GPU that is there.
//!
//! # The chapters
//!
//! 1. [A neuron](chapter_1_neuron): inputs times weights, added up, plus a bias.
//! 2. [A layer](chapter_2_layer): many neurons, one matrix.
//! 3. [The sigmoid](chapter_3_sigmoid): what makes a neuron more than a straight line.
//! 4. [Forward](chapter_4_forward): layer after layer, from the inputs to the answer.
//! 5. [The loss](chapter_5_loss): how wrong the answer is.
//! 6. [Backward](chapter_6_backward): which weight is to blame, and how much.
//! 7. [Gradient descent](chapter_7_sgd): a small step down.
//! 8. [Mini-batches](chapter_8_mini_batches): many rows, over and over.
//!
//! # The two networks
//!
//! All chapters compute the same two networks, by hand and with gradus. One is a single neuron with three inputs. The
//! other has two inputs, a hidden layer of two neurons `h1` and `h2`, and the output `y`:
//!
//! ```text
//!  x1 ──┐                       x1 ──┬──▶ h1 ──┐
//!  x2 ──┼──▶ y                       ╳         ├──▶ y
//!  x3 ──┘                       x2 ──┴──▶ h2 ──┘
//! ```
//!
//! An example prints every number of them, by hand and from your device:
//!
//! ```text
//! cargo run --example neuron -- --device cpu
//! ```
//!
//! The tables of this guide have the example's names, formulas and values, and a test compares them. `t` is the answer
//! that is expected, `rate` the size of the step that is taken. The column "with the numbers" is rounded to five places;
//! what comes out was computed with more.
//!
//! # How to read the WGSL
//!
//! WGSL is the language of the programs that run on the GPU. It looks much like Rust. A few words of it:
//!
//! - `f32` and `u32` are numbers; `vec4f` is four of them, and `v + w` or `v * w` works on all four at once. `mat4x4f` is
//!   four columns, each a `vec4f`.
//! - A *buffer* is a piece of the device's memory. gradus has one for each role: `parameters`, `activations`, `deltas` and
//!   a few more.
//! - A *dispatch* is an order to the device: run this program so many times. Each run is called an *invocation*, and
//!   knows its number, from which it finds what to work on.
//!
//! The quotes are from the folder `shaders`; the first line says from which file. `// ...` stands where lines are left out.
//! A test holds them to the files too.
//!
//! Everything is done for four neurons at once. Where there are fewer, the rest is padding: zeros, which change no sum.
//! `product_left` and its kin are not names of functions: the assembler puts the product's own name in their place, such as
//! `forward_left`.

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
