// Features that are not scaled: `scaling` has the other version of this function, and a binding for it.

fn scaled(z: vec4f, column: u32) -> vec4f {
    return z;
}
