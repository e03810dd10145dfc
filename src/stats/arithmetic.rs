//! What this machine's arithmetic gives where two machines of one kind may differ: in the last bit of
//! what a mathematical function or a product of matrices gives, since both are carried out by other
//! instructions where the processor has them.

use ndarray::Array2;

/// So many values each function is tried at.
const VALUES: usize = 2000;

/// The side of the matrices that are multiplied.
const SIDE: usize = 48;

/// Returns what the arithmetic of this machine gives for the same few thousand questions.
pub fn arithmetic_answers() -> Vec<f64> {
    let mut answers = Vec::new();
    let mut feed = |value: f64| answers.push(value);
    for at in 0..VALUES {
        // Spread over many sizes; what is no number stays none everywhere.
        let x = (at as f64 + 0.37) * 0.0173 + 1.0 / (at as f64 + 1.3);
        [
            x.exp(),
            (-x).exp(),
            x.ln(),
            x.ln_1p(),
            x.powf(0.37),
            x.powf(-2.6),
            x.exp2(),
            x.log2(),
            x.log10(),
            x.sin(),
            x.cos(),
            x.tanh(),
            (x * 0.1).sinh(),
            (x * 0.1).cosh(),
            x.atan(),
        ]
        .into_iter()
        .for_each(&mut feed);
    }
    let cell = |(row, column): (usize, usize)| 1.0 / (1.0 + (row * 7 + column * 3) as f64);
    let matrix = Array2::from_shape_fn((SIDE, SIDE), cell);
    matrix.dot(&matrix).iter().copied().for_each(&mut feed);
    let row = matrix.row(1);
    feed(matrix.dot(&row).sum());
    feed(row.dot(&matrix.row(2)));
    answers
}
