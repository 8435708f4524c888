//! 06: data-parallel training by hand: gradients out, summed, and in again.
//!
//! Two workers with equal weights each accumulate on half of a batch. Their gradients are added, and both apply the sum: their
//! weights stay bit-identical, and close to those of one trainer that saw the whole batch. (`Trainer::set_allreduce` is for
//! workers in several processes: the trainer then calls a closure that sums, and `step` and `fit` do the rest.)
//!
//! New here: `Model::duplicate`, `Trainer::accumulate`, `gradient`, `apply`.
//!
//!     cd bindings/rust && cargo run --example 06_gradients

use nested::{Batch, Config, Context, Model, Trainer};

const OPTIONS: &str = r#"{"lr": 1e-2, "schedule": {"type": "constant"}}"#;

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn main() -> nested::Result<()> {
    let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}"#)?;
    let first = Model::new(&Context::new()?, &config, 3)?;
    let (second, single) = (first.duplicate()?, first.duplicate()?);

    let text = "many hands make light work, and two gradients make one step. ".repeat(8);
    let rows: Vec<u8> = text.bytes().take(4 * 100).collect(); // 4 rows of 100 bytes
    let whole = Batch::new(&rows, 4)?;
    let halves = [Batch::new(&rows[..200], 2)?, Batch::new(&rows[200..], 2)?];

    let mut one = Trainer::new(&single, OPTIONS)?;
    let mut workers = [Trainer::new(&first, OPTIONS)?, Trainer::new(&second, OPTIONS)?];
    for step in 1..=5 {
        for (worker, half) in workers.iter_mut().zip(&halves) {
            worker.accumulate(half)?;
        }
        // Out, summed, in. The gradient is a sum over targets, so the numbers of targets are summed as well.
        let [a, b] = &mut workers;
        let (a, b) = (a.gradient()?, b.gradient()?);
        for (x, y) in a.values.iter_mut().zip(b.values.iter_mut()) {
            *x += *y;
            *y = *x;
        }
        *a.targets += *b.targets;
        *b.targets = *a.targets;

        let (a, b) = (workers[0].apply()?, workers[1].apply()?);
        let reference = one.step(&whole)?;
        println!(
            "step {step}: gradient norm {:.6} from the halves, {:.6} from the whole; {} targets",
            a.gradient_norm, reference.gradient_norm, a.targets
        );
        assert_eq!((a.gradient_norm, a.targets), (b.gradient_norm, reference.targets));
    }
    let (a, b, c) = (first.parameters()?, second.parameters()?, single.parameters()?);
    println!("workers are bit-identical: {}", a == b);
    println!("largest difference to one trainer on the whole batch: {:.2e}", largest_difference(&a, &c));
    assert_eq!(a, b);
    assert!(largest_difference(&a, &c) < 1e-3);
    Ok(())
}
