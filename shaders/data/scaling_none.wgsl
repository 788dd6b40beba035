// Features that are not scale_features: `scaling` has the other version of this function, and a binding for it.

fn scale_features(z: vec4f, column: u32) -> vec4f {
    return z;
}
