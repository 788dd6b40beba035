// l1 = mean |y - t| over the batch and the outputs

fn l1(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return abs(y - t);
}

/// By the output y: 0 where there is no error.
fn l1_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return sign(y - t);
}
