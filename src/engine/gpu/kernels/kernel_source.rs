//! The description of a kernel's WGSL: its files, its matmuls, its constants and its features. [`Assembly`](crate::engine::gpu::kernels::assembly::Assembly)
//! makes the text of it.
//!
//! WGSL has no generic functions, so a file may be a template, which is repeated for each matmul of a kernel. A single function
//! that chooses the matmul by a number would also be folded by the driver, but only after the driver has copied every choice
//! everywhere: llvmpipe took 9 s to compile a step of two layers.

use std::ops::RangeInclusive;

use crate::engine::gpu::layout::matmul::{Epilogue, Matmul};

/// The text of a WGSL file. Tests may put another text in its place.
#[cfg(not(test))]
pub(crate) const fn source_of(file: &str) -> std::borrow::Cow<'_, str> {
    std::borrow::Cow::Borrowed(file)
}
#[cfg(test)]
pub(crate) use crate::engine::gpu::device::mutant::source_of;

/// A WGSL file of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Stands in the kernel once.
    Shared(&'static str),
    /// A template that stands in the kernel once for each matmul: see [`instantiate`].
    PerMatmul(&'static str),
}

/// Several files that stand in a kernel once.
pub(crate) fn shared_pieces<const N: usize>(files: [&'static str; N]) -> Vec<Piece> {
    files.map(Piece::Shared).to_vec()
}

/// A matmul of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatmulInstance {
    /// The name of its functions, such as `output` for `output_tile`.
    pub(crate) name: &'static str,
    pub(crate) matmul: Matmul,
}

impl Matmul {
    /// The matmul with the name that its functions have in a kernel.
    pub(crate) const fn instance(self, name: &'static str) -> MatmulInstance {
        MatmulInstance { name, matmul: self }
    }
}

impl MatmulInstance {
    /// The name that stands in place of a template's identifier, if the identifier is a placeholder.
    fn instance_name(&self, identifier: &str) -> Option<String> {
        let hook = identifier.strip_prefix(PLACEHOLDER)?;
        let owner = match hook {
            "a" | "b" | "args" => self.matmul.kind.name(),
            "epilogue" => self.matmul.epilogue.name(),
            _ => self.name,
        };
        Some(format!("{owner}_{hook}"))
    }
}

/// How a template's placeholders start.
pub(crate) const PLACEHOLDER: &str = "matmul_";

/// The text of a template for a matmul. Every identifier that starts with `matmul_` is replaced as a whole:
///
/// - `matmul_a`, `matmul_b` and `matmul_args` by the functions of the matmul, such as `forward_a`
/// - `matmul_epilogue` by the function of its epilogue, such as `update_epilogue`
/// - any other, such as `matmul_tile`, by a name of the instance, such as `output_tile`
pub(crate) fn instantiate(template: &str, matmul: &MatmulInstance) -> String {
    let is_part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find(is_part_of_word) {
        let (before, from_word) = rest.split_at(start);
        let end = from_word.find(|c: char| !is_part_of_word(c)).unwrap_or(from_word.len());
        let (word, after) = from_word.split_at(end);
        text += before;
        match matmul.instance_name(word) {
            Some(name) => text += &name,
            None => text += word,
        }
        rest = after;
    }
    text + rest
}

/// The set of bindings that a kernel declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingSet {
    /// `shaders/step/step.wgsl`
    Step,
    /// `shaders/data/window.wgsl`
    Window,
    /// `shaders/step/step_table.wgsl`
    StepTable,
}

impl BindingSet {
    /// The file that declares the bindings.
    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Step => shader!("step/step"),
            Self::Window => shader!("data/window"),
            Self::StepTable => shader!("step/step_table"),
        }
    }
}

/// The most layers whose calls a step writes out one after the other, with the layer's number as a constant: a driver folds all
/// that depends on it. It copies the matmuls into every call first, so that the time to compile grows faster than the number
/// of layers (4 layers of width 16 took llvmpipe 13 s). A kernel calls the layers of deeper networks in loops.
pub(crate) const MAX_UNROLLED_LAYERS: usize = 3;

/// The most layers among which the function `layer` chooses by a `switch`, which a driver copies into every call. Where there are
/// more it looks into a table, or the time to compile would grow with the square of the number of layers (9 layers of width 4
/// took llvmpipe 16 s). In the loops of a walk a table is faster from the first layer on.
const MAX_SWITCH_LAYERS: usize = 6;

/// A kernel's WGSL, beside what follows from the network's arenas and members.
pub(crate) struct KernelSource {
    pub(crate) bindings: BindingSet,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) matmuls: Vec<MatmulInstance>,
    /// The kernel's own constants of type u32.
    pub(crate) constants: Vec<(&'static str, usize)>,
    /// The kernel's own constants of type bool.
    pub(crate) flags: Vec<(&'static str, bool)>,
    /// The first workgroup of each layer, or the first block of its weights.
    pub(crate) first_workgroups: Vec<usize>,
    /// How many invocations share the sums of an output, for each layer and product; 1 if not given.
    pub(crate) sliced_k: Vec<[usize; 3]>,
    /// Functions that call one layer after the other.
    pub(crate) calls: String,
    /// The layers that the kernel looks at, if it does not look at all of them.
    pub(crate) used_layers: Option<RangeInclusive<usize>>,
    /// The layer between whose matmul and activation the kernel stands.
    pub(crate) pre_activation_layer: Option<usize>,
    /// Whether the kernel goes through all layers of many steps.
    pub(crate) is_multi_step: bool,
    /// Whether the kernel serves a prediction, which keeps nothing for the backward pass.
    pub(crate) is_prediction: bool,
    /// Whether the epilogues store the deltas. Otherwise the next matmul finds them in workgroup memory.
    pub(crate) stores_deltas: bool,
}

impl KernelSource {
    /// A kernel with these bindings and files, and nothing else.
    pub(crate) const fn new(bindings: BindingSet, pieces: Vec<Piece>) -> Self {
        Self {
            bindings,
            pieces,
            matmuls: Vec::new(),
            constants: Vec::new(),
            flags: Vec::new(),
            first_workgroups: Vec::new(),
            sliced_k: Vec::new(),
            calls: String::new(),
            used_layers: None,
            pre_activation_layer: None,
            is_multi_step: false,
            is_prediction: false,
            stores_deltas: true,
        }
    }

    /// Whether the function `layer` looks into a table.
    pub(crate) const fn has_layer_table(&self, layers: usize) -> bool {
        layers > if self.is_multi_step { MAX_UNROLLED_LAYERS } else { MAX_SWITCH_LAYERS }
    }

    /// The layers whose descriptions the kernel contains. In a deep network a kernel of few layers has those alone, or all
    /// kernels of a plan together would grow with the square of the number of layers.
    pub(crate) fn described_layers(&self, layers: usize) -> RangeInclusive<usize> {
        match &self.used_layers {
            Some(some) if self.has_layer_table(layers) => some.clone(),
            Some(_) | None => 0..=layers - 1,
        }
    }

    /// Whether a matmul of the kernel has this epilogue.
    pub(crate) fn has_epilogue(&self, epilogue: Epilogue) -> bool {
        self.matmuls.iter().any(|instance| instance.matmul.epilogue == epilogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::layout::matmul::MatmulKind;

    #[test]
    fn a_template_has_whole_identifiers_replaced_and_nothing_else() {
        let matmul = Matmul { kind: MatmulKind::Forward, epilogue: Epilogue::OutputDelta }.instance("output");
        let of = |template: &str| instantiate(template, &matmul);
        assert_eq!(of("matmul_a(p); matmul_b(p); matmul_args"), "forward_a(p); forward_b(p); forward_args");
        assert_eq!(
            of("fn matmul_tile() { x=matmul_epilogue(1u)*2.5; }"),
            "fn output_tile() { x=output_delta_epilogue(1u)*2.5; }"
        );
        assert_eq!(of("matmul_a_half matmul_epilogue_block"), "output_a_half output_epilogue_block");
        for untouched in
            ["block_product(a)", "product", "my_product_left", "a1product_left", "", "// a product", "4u*é"]
        {
            assert_eq!(of(untouched), untouched);
        }
    }
}
