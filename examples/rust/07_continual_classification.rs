//! 07: labels arrive one after another; a session learns them, forgets, and is reminded.
//!
//! New here: kind "cms" and task "classify", `Batch::vectors` and `labels`, `Session::teach` and `predict`,
//! `SessionInfo::n_outputs`.
//!
//!     cd bindings/rust && cargo run --example 07_continual_classification

use nested::{Batch, Config, Context, Learn, Model, Session};

/// Five by seven dots.
const GLYPHS: [&str; 5] = [
    ".###.#...##...##...##...##...#.###.",
    "..#...##....#....#....#....#...###.",
    ".###.#...#....#...#...#...#...#####",
    ".###.#...#....#..##.....##...#.###.",
    "...#...##..#.#.#..#.#####...#....#.",
];

/// A small generator, so that the program says the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Digits in a shaky hand: one dot in sixteen is wrong, and all are smudged.
fn drawings(labels: &[i32], n: usize, seed: u64) -> nested::Result<(Batch, Vec<i32>)> {
    let mut chance = Chance(seed);
    let (mut dots, mut which) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let label = labels[chance.below(labels.len())];
        which.push(label);
        for dot in GLYPHS[label as usize].bytes() {
            let ink = (dot == b'#') != (chance.below(16) == 0);
            dots.push((if ink { 1.0 } else { -1.0 }) + (chance.below(1001) as f32 - 500.0) / 1000.0);
        }
    }
    Ok((Batch::vectors(dots, n, 1)?.labels(which.clone())?, which))
}

/// The share of the drawings that a session recognises.
fn share(session: &Session, (batch, labels): &(Batch, Vec<i32>)) -> nested::Result<f64> {
    let answers = session.predict(batch)?;
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let rows = answers.chunks(session.info()?.n_outputs).zip(labels);
    Ok(rows.filter(|(row, &label)| best(row) == Some(label as usize)).count() as f64 / labels.len() as f64)
}

fn main() -> nested::Result<()> {
    let (old, new) = (drawings(&[0, 1, 2], 200, 1)?, drawings(&[3, 4], 200, 2)?);
    let told = |what: &str, session: &Session| -> nested::Result<(f64, f64)> {
        let shares = (share(session, &old)?, share(session, &new)?);
        println!("{what:34} {} labels {:8.2} {:8.2}", session.info()?.n_outputs, shares.0, shares.1);
        Ok(shares)
    };

    let config = Config::from_json(
        r#"{"kind": "cms", "task": "classify", "inputs": 35, "classes": 3, "d_model": 32, "cms": {"levels": [
            {"chunk": 8, "hidden": 32}, {"chunk": 64, "hidden": 32}]}}"#,
    )?;
    let model = Model::new(&Context::new()?, &config, 1)?;
    let weights = model.parameters()?;
    let mut session = Session::new(&model, Learn::On)?;
    println!("{:43} {:>8} {:>8}", "", "0 1 2", "3 4");
    told("before", &session)?;

    // Teaching learns each drawing once. What it returns is how well each was known before that.
    let first = session.teach(&drawings(&[0, 1, 2], 300, 3)?.0)?;
    let taught = told("taught 0, 1, 2", &session)?;

    // Two more labels arrive: the head grows by a row for each, and what it does not see it forgets.
    session.teach(&drawings(&[3, 4], 300, 4)?.0)?;
    let forgot = told("taught 3, 4, nothing of 0, 1, 2", &session)?;

    // Some of everything brings it back.
    session.teach(&drawings(&[0, 1, 2, 3, 4], 100, 5)?.0)?;
    let reminded = told("reminded by 20 of each", &session)?;

    for level in session.levels()? {
        let name = match level.layer {
            0 => format!("level {}, chunk {}", level.level, level.chunk),
            _ => "head".to_owned(), // it is a level of its own, after those of the blocks
        };
        println!("  {name:18} {:3} updates, moved by {:.3}", level.updates, level.delta_norm);
    }
    assert!(first.accuracy > 0.7 && taught.0 > 0.9 && taught.1 == 0.0);
    assert_eq!(session.info()?.n_outputs, 5);
    assert!(forgot.1 > 0.9 && forgot.0 < taught.0 && reminded.0.min(reminded.1) > 0.8 && reminded.0 > forgot.0);
    assert_eq!(model.parameters()?, weights); // the model is as it was
    Ok(())
}
