//! The description of a kernel's WGSL: its files, matmuls, constants and flags.
//! [`Assembly`](crate::engine::gpu::kernels::assembly::Assembly) generates the text.
//!
//! WGSL has no generic functions, so a file may be a template, which is instantiated once per matmul of a kernel. A
//! single function that selects the matmul by its number compiles slowly, because the driver first inlines all branches
//! into every call. With it, llvmpipe took 9 s to compile a step of two layers.

use std::ops::RangeInclusive;

use crate::engine::gpu::layout::matmul::{Epilogue, Matmul};

/// Returns the text of a WGSL file. Tests may replace it.
#[cfg(not(test))]
pub(crate) const fn source_of(file: &str) -> std::borrow::Cow<'_, str> {
    std::borrow::Cow::Borrowed(file)
}
#[cfg(test)]
pub(crate) use crate::engine::gpu::device::mutant::source_of;

/// A WGSL file of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A file that the kernel contains once.
    Shared(&'static str),
    /// A template that the kernel contains once per matmul: see [`instantiate`].
    PerMatmul(&'static str),
}

/// Returns files that a kernel contains once.
pub(crate) fn shared_pieces<const N: usize>(files: [&'static str; N]) -> Vec<Piece> {
    files.map(Piece::Shared).to_vec()
}

/// A matmul of a kernel, with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatmulInstance {
    /// The prefix of its functions, such as `output` for `output_tile`.
    pub(crate) name: &'static str,
    pub(crate) matmul: Matmul,
}

impl Matmul {
    /// Returns the matmul with a prefix for its functions.
    pub(crate) const fn instance(self, name: &'static str) -> MatmulInstance {
        MatmulInstance { name, matmul: self }
    }
}

impl MatmulInstance {
    /// Returns the name that replaces an identifier of a template, if the identifier is a placeholder.
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

/// The prefix of the placeholders in templates.
pub(crate) const PLACEHOLDER: &str = "matmul_";

/// Returns the text of a template for a matmul. It replaces every identifier that starts with `matmul_`:
///
/// - `matmul_a`, `matmul_b` and `matmul_args` become the functions of the matmul, such as `forward_a`.
/// - `matmul_epilogue` becomes the function of its epilogue, such as `update_epilogue`.
/// - Others, such as `matmul_tile`, become functions of the instance, such as `output_tile`.
pub(crate) fn instantiate(template: &str, matmul: &MatmulInstance) -> String {
    let is_part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find(is_part_of_word) {
        let (separator, from_word) = rest.split_at(start);
        let end = from_word.find(|c: char| !is_part_of_word(c)).unwrap_or(from_word.len());
        let (word, after_word) = from_word.split_at(end);
        text += separator;
        match matmul.instance_name(word) {
            Some(name) => text += &name,
            None => text += word,
        }
        rest = after_word;
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
    /// Returns the text of the file that declares the bindings.
    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Step => shader!("step/step"),
            Self::Window => shader!("data/window"),
            Self::StepTable => shader!("step/step_table"),
        }
    }
}

/// The maximum number of layers for which a step has one call per layer, with the layer's number as a constant.
///
/// A driver folds all expressions that depend on a constant layer number. But it first inlines the matmuls into every
/// call, so the compile time grows faster than the number of layers: llvmpipe took 13 s for 4 layers of width 16. For
/// deeper networks, a kernel calls the layers in loops.
pub(crate) const MAX_UNROLLED_LAYERS: usize = 3;

/// The maximum number of layers for which the WGSL function `layer` is a `switch`. For more layers it reads a table.
///
/// A driver inlines the `switch` into every call, so the compile time grows with the square of the number of layers:
/// llvmpipe took 16 s for 9 layers of width 4. In the loops of a multi-step kernel a table is always faster.
const MAX_SWITCH_LAYERS: usize = 6;

/// The WGSL of a kernel, except for the parts that follow from the arenas and the options of the network.
pub(crate) struct KernelSource {
    pub(crate) bindings: BindingSet,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) matmuls: Vec<MatmulInstance>,
    /// The constants of type u32 that only this kernel has.
    pub(crate) constants: Vec<(&'static str, usize)>,
    /// The constants of type bool that only this kernel has.
    pub(crate) flags: Vec<(&'static str, bool)>,
    /// The index of each layer's first block of work: its first workgroup in a grid, or its first 4x4 block of weights.
    pub(crate) first_blocks: Vec<usize>,
    /// The number of invocations per sum of sliced-K, for each layer and kind of matmul. If it is empty, all are 1.
    pub(crate) sliced_k: Vec<[usize; 3]>,
    /// Generated functions, which call the layers one after the other.
    pub(crate) calls: String,
    /// The layers that the kernel uses; `None` for all layers.
    pub(crate) used_layers: Option<RangeInclusive<usize>>,
    /// The layer of a kernel that runs between a matmul and its activation.
    pub(crate) pre_activation_layer: Option<usize>,
    /// Whether the kernel runs several steps through all layers.
    pub(crate) is_multi_step: bool,
    /// Whether the kernel is for predictions, which store nothing for a backward pass.
    pub(crate) is_prediction: bool,
    /// Whether the epilogues store the deltas in the arena. Otherwise the next matmul reads them from workgroup memory.
    pub(crate) stores_deltas: bool,
}

impl KernelSource {
    /// Creates a kernel with these bindings and files, without matmuls, constants and flags.
    pub(crate) const fn new(bindings: BindingSet, pieces: Vec<Piece>) -> Self {
        Self {
            bindings,
            pieces,
            matmuls: Vec::new(),
            constants: Vec::new(),
            flags: Vec::new(),
            first_blocks: Vec::new(),
            sliced_k: Vec::new(),
            calls: String::new(),
            used_layers: None,
            pre_activation_layer: None,
            is_multi_step: false,
            is_prediction: false,
            stores_deltas: true,
        }
    }

    /// Returns whether the WGSL function `layer` reads a table.
    pub(crate) const fn has_layer_table(&self, layers: usize) -> bool {
        layers > if self.is_multi_step { MAX_UNROLLED_LAYERS } else { MAX_SWITCH_LAYERS }
    }

    /// Returns the layers whose layout the kernel contains.
    ///
    /// In a deep network, a kernel contains only the layers that it uses. Otherwise the size of all kernels of a plan
    /// would grow with the square of the number of layers.
    pub(crate) fn described_layers(&self, layers: usize) -> RangeInclusive<usize> {
        match &self.used_layers {
            Some(used) if self.has_layer_table(layers) => used.clone(),
            Some(_) | None => 0..=layers - 1,
        }
    }

    /// Returns whether a matmul of the kernel has this epilogue.
    pub(crate) fn has_epilogue(&self, epilogue: Epilogue) -> bool {
        self.matmuls.iter().any(|instance| instance.matmul.epilogue == epilogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::layout::matmul::MatmulKind;

    #[test]
    fn instantiation_replaces_only_whole_placeholder_identifiers() {
        let matmul = Matmul { kind: MatmulKind::Forward, epilogue: Epilogue::OutputDelta }.instance("output");
        let text = |template: &str| instantiate(template, &matmul);
        assert_eq!(text("matmul_a(p); matmul_b(p); matmul_args"), "forward_a(p); forward_b(p); forward_args");
        assert_eq!(
            text("fn matmul_tile() { x=matmul_epilogue(1u)*2.5; }"),
            "fn output_tile() { x=output_delta_epilogue(1u)*2.5; }"
        );
        assert_eq!(text("matmul_a_half matmul_epilogue_block"), "output_a_half output_epilogue_block");
        for unchanged in ["block_product(a)", "matmul", "my_matmul_a", "a1matmul_a", "", "// a matmul", "4u*é"] {
            assert_eq!(text(unchanged), unchanged);
        }
    }
}
