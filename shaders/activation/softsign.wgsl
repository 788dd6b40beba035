// softsign(z) = z / (1 + |z|) (Turian et al. 2009). Derivative: (1 - |a|)^2 for a = softsign(z).

/// Returns z / (1 + |z|).
fn softsign(z: vec4f) -> vec4f {
    // For |z| > 2^24 the sum 1 + |z| rounds to |z|, and for an infinite z the quotient would be NaN.
    let limit = select(vec4f(1.0), vec4f(-1.0), z < vec4f());
    return select(z / (1.0 + abs(z)), limit, abs(z) > vec4f(1e8));
}

/// Returns the derivative, from a = softsign(z).
fn softsign_derivative(a: vec4f) -> vec4f {
    let b = 1.0 - abs(a);
    return b * b;
}
