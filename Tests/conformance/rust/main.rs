//! The conformance driver in Rust, through the public interface of the crate `nested`: ../README.md says what it does.
//!
//!     driver SCENARIO [--threads N] [--feed SIZE]

mod json;

use std::collections::HashMap;
use std::ffi::{c_char, c_int, CStr};
use std::fmt::Write;
use std::ops::ControlFlow::{Break, Continue};

use json::Json;
use nested::{
    feed_many, Batch, Cancel, Config, Consolidation, Context, Error, Finish, FitOptions, HandleKind, Learn,
    LevelControl, Levels, Model, Run, Sampling, SaveOptions, Session, SessionOptions, Snapshot, Step, Trainer,
    IGNORE_TARGET,
};

/// A step ends in an error of the library, which is a line, or cannot go on.
enum Stop {
    Library(Error),
    Driver(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Library(error)
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Stop::Driver(message)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Driver(error.to_string())
    }
}

type Done<T> = Result<T, Stop>;

enum Object {
    Model(Model),
    Trainer(Trainer),
    Session(Session),
    Snapshot(Snapshot),
}

/// The lines of one step.
struct Lines {
    id: String,
    text: String,
}

impl Lines {
    fn line(&mut self, field: &str, values: &[String]) {
        let values: String = values.iter().map(|value| format!(" {value}")).collect();
        writeln!(self.text, "{} {field}{values}", self.id).expect("a String has room");
    }

    /// Count, hash, sum and sum of squares.
    fn floats(&mut self, field: &str, values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (mut sum, mut squares) = (0.0, 0.0);
        for &x in values {
            let x = f64::from(x);
            sum += x;
            squares += x * x;
        }
        self.line(field, &[values.len().to_string(), hash(&bytes), bits(sum), bits(squares)]);
    }

    fn bytes(&mut self, field: &str, bytes: &[u8]) {
        self.line(field, &[bytes.len().to_string(), hash(bytes)]);
    }

    fn step(&mut self, field: &str, step: Step) {
        let Step { applied, step, loss, gradient_norm, update_norm, learning_rate, targets, .. } = step;
        let floats = [loss, gradient_norm, update_norm, learning_rate, targets].map(bits);
        let mut values = vec![u8::from(applied).to_string(), step.to_string()];
        values.extend(floats);
        self.line(field, &values);
    }
}

fn bits(x: f64) -> String {
    if x.is_nan() {
        "nan".into()
    } else {
        format!("0x{:016x}", x.to_bits())
    }
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("#{hash:016x}")
}

struct Driver {
    context: Context,
    vocab: u64,
    feed: Option<usize>,
    objects: HashMap<String, Object>,
}

/// One step's arguments.
struct Arguments<'a>(&'a Json<'a>);

impl Arguments<'_> {
    fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    fn word(&self, key: &str) -> Done<&str> {
        self.0.get(key).and_then(Json::word).map(String::as_str).ok_or_else(|| format!("{key} is missing").into())
    }

    /// A number, 0 where it is missing.
    fn number(&self, key: &str) -> f64 {
        self.0.get(key).and_then(Json::number).copied().unwrap_or(0.0)
    }

    fn count(&self, key: &str) -> usize {
        self.number(key) as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Json::bool) == Some(&true)
    }

    fn object(&self, key: &str) -> Done<&str> {
        self.0.get(key).map(|value| value.text).ok_or_else(|| format!("{key} is missing").into())
    }

    fn list(&self, key: &str) -> &[Json<'_>] {
        self.0.get(key).and_then(Json::list).map_or(&[], Vec::as_slice)
    }

    fn names(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Json::word).cloned().collect()
    }

    fn ids(&self, key: &str) -> Vec<i32> {
        self.list(key).iter().filter_map(Json::number).map(|&id| id as i32).collect()
    }

    /// -1 is all.
    fn levels(&self) -> Levels {
        let index = |key| usize::try_from(self.number(key) as i64).ok();
        Levels { layer: index("layer"), level: index("level") }
    }
}

fn generated(vocab: u64, seed: u64, count: usize) -> Vec<i32> {
    let (mut state, mut previous) = (seed, 0);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let r = state >> 33;
            previous = if r % 4 != 0 { (previous * 5 + 3) % vocab } else { (r >> 2) % vocab };
            previous as i32
        })
        .collect()
}

/// Vectors around the centres of their classes, and what is to be predicted from them.
fn vectors(given: &Arguments<'_>, rows: usize, length: usize, k: u64) -> Done<Batch> {
    let (width, outputs, positions) = (given.count("inputs"), given.count("outputs"), given.flag("positions"));
    let class = |i: usize| given.count("first") + i % given.count("classes");
    let mut state = (given.number("seed") as u64).wrapping_add(k);
    let mut inputs = Vec::new();
    for i in 0..rows * length {
        let class = class(if positions { i } else { i / length });
        for j in 0..width {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let noise = (((state >> 33) % 2049) as f32 - 1024.0) / 4096.0;
            inputs.push((((class * 7 + j * 5 + class * j * 3) % 9) as f32 - 4.0) / 4.0 + noise);
        }
    }
    let batch = Batch::vectors(inputs, rows, length)?;
    let count = if positions { rows * length } else { rows };
    let batch = if outputs > 0 {
        let value = |at: usize| match at % 5 {
            4 => f32::NAN,
            _ => (((class(at / outputs) * 5 + at % outputs * 3) % 7) as f32 - 3.0) / 2.0,
        };
        batch.values((0..count * outputs).map(value).collect::<Vec<_>>(), outputs)?
    } else {
        batch.labels((0..count).map(|i| class(i) as i32).collect::<Vec<_>>())?
    };
    if given.flag("weights") {
        return Ok(batch.weights((0..count).map(|i| (i % 4) as f32 * 0.25).collect::<Vec<_>>())?);
    }
    Ok(batch)
}

fn mode(name: &str) -> Learn {
    match name {
        "on" => Learn::On,
        "off" => Learn::Off,
        _ => Learn::Memory,
    }
}

/// A companion that says stop in its k-th report, or none.
fn stopping_at<'a>(k: usize) -> Run<'a> {
    let mut seen = 0;
    if k == 0 {
        return Run::new();
    }
    Run::new().progress(move |_| {
        seen += 1;
        if seen == k {
            Break(())
        } else {
            Continue(())
        }
    })
}

macro_rules! named {
    ($function:ident, $kind:ident) => {
        fn $function(&mut self, name: &str) -> Done<&mut $kind> {
            match self.objects.get_mut(name) {
                Some(Object::$kind(object)) => Ok(object),
                _ => Err(format!("there is no {} {name}", stringify!($kind)).into()),
            }
        }
    };
}

impl Driver {
    named!(model, Model);
    named!(trainer, Trainer);
    named!(session, Session);
    named!(snapshot, Snapshot);

    fn tokens(&self, a: &Arguments<'_>) -> Vec<i32> {
        match a.0.get("tokens") {
            Some(tokens) if tokens.list().is_none() => {
                let arguments = Arguments(tokens);
                generated(self.vocab, arguments.number("seed") as u64, arguments.count("count"))
            }
            _ => a.ids("tokens"),
        }
    }

    fn batch(&self, a: &Arguments<'_>, k: u64) -> Done<Batch> {
        let given = Arguments(a.0.get("batch").ok_or("batch is missing".to_owned())?);
        let (rows, length) = (given.count("rows"), given.count("length"));
        if given.has("inputs") {
            return vectors(&given, rows, length, k);
        }
        let tokens = generated(self.vocab, given.number("seed") as u64 + k, rows * length);
        let mut batch = Batch::new(&tokens, rows)?;
        if given.flag("targets") {
            let target = |i: usize| {
                if i % 5 == 4 {
                    IGNORE_TARGET
                } else {
                    tokens[(i + 1) % tokens.len()]
                }
            };
            batch = batch.targets(&(0..tokens.len()).map(target).collect::<Vec<_>>())?;
        }
        if given.flag("weights") {
            batch = batch.weights((0..tokens.len()).map(|i| (i % 4) as f32 * 0.25).collect::<Vec<_>>())?;
        }
        Ok(batch)
    }

    fn step(&mut self, json: &Json<'_>) -> Done<String> {
        let a = Arguments(json);
        let mut lines = Lines { id: a.word("id")?.to_owned(), text: String::new() };
        if a.has("as") {
            self.objects.remove(a.word("as")?);
        }
        match self.perform(&a, &mut lines) {
            Ok(made) => {
                if let Some(object) = made {
                    self.objects.insert(a.word("as")?.to_owned(), object);
                }
            }
            Err(Stop::Library(error)) => {
                let place = if error.place().is_empty() { "-" } else { error.place() };
                lines.line("error", &[error.status().name().to_owned(), place.to_owned()]);
            }
            Err(stop) => return Err(stop),
        }
        Ok(lines.text)
    }

    fn perform(&mut self, a: &Arguments<'_>, out: &mut Lines) -> Done<Option<Object>> {
        let made = match a.word("step")? {
            "model" => {
                let config = Config::from_json(a.object("config")?)?;
                let model = Model::new(&self.context, &config, a.number("seed") as u64)?;
                let info = model.info()?;
                out.line("params", &[info.n_params.to_string()]);
                out.line("fingerprint", &[format!("#{:016x}", info.fingerprint)]);
                Some(Object::Model(model))
            }
            "clone" => new_model(self.model(a.word("of")?)?.duplicate()?, out),
            "load_model" => new_model(Model::load(&self.context, a.word("file")?)?, out),
            "consolidate" => new_model(self.consolidate(a)?, out),
            "stack" => {
                let cms = if a.has("cms") { a.object("cms")? } else { "" };
                let (level, seed) = (a.number("pretrained") as usize, a.number("seed") as u64);
                new_model(self.model(a.word("of")?)?.stack(cms, level, seed)?, out)
            }
            "weights" => {
                out.floats("weights", &self.model(a.word("of")?)?.parameters()?);
                None
            }
            "scale" => {
                let (tensors, name) = (self.model(a.word("of")?)?.tensors(), a.word("tensor")?);
                let factor = a.number("factor") as f32;
                let scaled: Vec<f32> = tensors.get(name)?.iter().map(|x| x * factor).collect();
                tensors.set(name, &scaled)?;
                out.floats("tensor", &tensors.get(name)?);
                None
            }
            "evaluate" => {
                let batch = self.batch(a, 0)?;
                let eval = self.model(a.word("of")?)?.evaluate(&batch)?;
                out.line("loss", &[bits(eval.loss)]);
                out.line("targets", &[bits(eval.targets)]);
                if batch.n_inputs() > 0 {
                    out.line("accuracy", &[bits(eval.accuracy)]);
                }
                None
            }
            "forward" => {
                let batch = self.batch(a, 0)?;
                let model = self.model(a.word("of")?)?;
                let rows = batch.n_inputs() > 0;
                out.floats("logits", &if rows { model.forward_rows(&batch)? } else { model.forward(&batch)? });
                None
            }
            "trainer" => Some(Object::Trainer(Trainer::new(self.model(a.word("of")?)?, a.object("options")?)?)),
            "train" | "accumulate" | "gradient" | "exchange" | "apply" | "zero" | "fit" | "load_trainer" => {
                self.train(a, out)?;
                None
            }
            "session" => {
                let options = SessionOptions { learn: mode(a.word("learn")?), seed: a.number("seed") as u64 };
                Some(Object::Session(Session::new(self.model(a.word("of")?)?, options)?))
            }
            "fork" => Some(Object::Session(self.session(a.word("of")?)?.fork()?)),
            "load_session" => Some(Object::Session(Session::load(self.model(a.word("of")?)?, a.word("file")?)?)),
            "snapshot" => {
                let snapshot = self.session(a.word("of")?)?.snapshot()?;
                out.bytes("bytes", &snapshot.to_bytes()?);
                Some(Object::Snapshot(snapshot))
            }
            "delta" => {
                out.bytes("bytes", &self.snapshot(a.word("of")?)?.delta_to_bytes()?);
                None
            }
            "reread" => {
                let snapshot = self.snapshot(a.word("snapshot")?)?;
                let bytes = if a.flag("delta") { snapshot.delta_to_bytes() } else { snapshot.to_bytes() }?;
                Some(Object::Snapshot(Snapshot::from_bytes(self.model(a.word("of")?)?, &bytes)?))
            }
            "save" => {
                self.save(a, out)?;
                None
            }
            "feed_many" => {
                self.feed_many(a, out)?;
                None
            }
            "release" => {
                for name in a.names("of") {
                    self.objects.remove(&name).ok_or_else(|| format!("there is no {name}"))?;
                }
                None
            }
            step => {
                self.stream(step, a, out)?;
                None
            }
        };
        Ok(made)
    }

    /// The steps on a trainer.
    fn train(&mut self, a: &Arguments<'_>, out: &mut Lines) -> Done<()> {
        let step = a.word("step")?;
        if step == "exchange" {
            let [first, second] = &a.names("of")[..] else {
                return Err("of are two".to_owned().into());
            };
            let other = self.trainer(second)?.gradient()?;
            let (values, targets) = (other.values.to_vec(), *other.targets);
            let mine = self.trainer(first)?.gradient()?;
            mine.values.iter_mut().zip(&values).for_each(|(x, y)| *x += y);
            *mine.targets += targets;
            let (values, targets) = (mine.values.to_vec(), *mine.targets);
            let other = self.trainer(second)?.gradient()?;
            other.values.copy_from_slice(&values);
            *other.targets = targets;
            return Ok(());
        }
        let batches = match step {
            "train" => (0..a.count("steps") as u64).map(|k| self.batch(a, k)).collect::<Done<Vec<_>>>()?,
            "accumulate" => vec![self.batch(a, 0)?],
            _ => vec![],
        };
        let tokens = self.tokens(a);
        let trainer = self.trainer(a.word("of")?)?;
        match step {
            "train" => {
                for (k, batch) in batches.iter().enumerate() {
                    out.step(&format!("step.{k}"), trainer.step(batch)?);
                }
            }
            "accumulate" => {
                let eval = trainer.accumulate(&batches[0])?;
                out.line("loss", &[bits(eval.loss)]);
                out.line("targets", &[bits(eval.targets)]);
            }
            "gradient" => {
                let gradient = trainer.gradient()?;
                out.floats("gradient", gradient.values);
                out.line("targets", &[bits(*gradient.targets)]);
            }
            "apply" => out.step("step", trainer.apply()?),
            "zero" => trainer.zero()?,
            "fit" => {
                let options =
                    FitOptions { steps: a.count("steps"), n_seq: a.count("rows"), seq_len: a.count("length") };
                let fit = trainer.fit_with(&tokens, options, &mut stopping_at(a.count("cancel_at")))?;
                out.line("steps", &[fit.steps.to_string()]);
                out.line("skipped", &[fit.skipped.to_string()]);
                out.line("loss", &[bits(fit.mean_loss), bits(fit.last_loss)]);
            }
            _ => trainer.load(a.word("file")?)?,
        }
        Ok(())
    }

    /// The steps on a session.
    fn stream(&mut self, step: &str, a: &Arguments<'_>, out: &mut Lines) -> Done<()> {
        let (tokens, feed) = (self.tokens(a), self.feed);
        let batch = if a.has("batch") { Some(self.batch(a, 0)?) } else { None };
        let snapshot = if step == "restore" { Some(self.snapshot(a.word("snapshot")?)?.clone()) } else { None };
        let session = self.session(a.word("of")?)?;
        match step {
            "learn" => session.set_learn(mode(a.word("mode")?))?,
            "reset" => session.reset()?,
            "restore" => session.restore(&snapshot.expect("looked up above"))?,
            "feed" => {
                let mut logits = Vec::new();
                for piece in tokens.chunks(feed.unwrap_or(tokens.len())) {
                    logits.extend(session.feed_logits(piece)?);
                }
                out.floats("logits", &logits);
            }
            "feed_vectors" => {
                let given = Arguments(a.0.get("batch").ok_or("batch is missing".to_owned())?);
                let width = given.count("inputs");
                let inputs = batch.as_ref().ok_or("batch is missing".to_owned())?.inputs().to_vec();
                let mut outputs = Vec::new();
                for piece in inputs.chunks(width * feed.unwrap_or(inputs.len())) {
                    outputs.extend(session.feed_vectors_outputs(piece)?);
                }
                out.floats("outputs", &outputs);
            }
            "teach" => {
                let eval = session.teach(&batch.ok_or("batch is missing".to_owned())?)?;
                out.line("loss", &[bits(eval.loss)]);
                out.line("targets", &[bits(eval.targets)]);
                out.line("accuracy", &[bits(eval.accuracy)]);
            }
            "predict" => {
                out.floats("answers", &session.predict(&batch.ok_or("batch is missing".to_owned())?)?);
            }
            "read" => {
                let fed = session.feed_with(&tokens, &mut stopping_at(a.count("cancel_at")))?;
                out.line("read", &[fed.consumed.to_string(), bits(fed.loss), fed.updates.to_string()]);
            }
            "info" => {
                let info = session.info()?;
                out.line("session", &[info.position, info.updates, info.skipped].map(|n| n.to_string()));
            }
            "output" => out.floats("logits", &session.output()?),
            "score" => out.floats("logprobs", &session.score(&tokens)?.logprobs),
            "generate" => generate(session, a, out)?,
            "levels" => {
                for l in session.levels()? {
                    let position = |p: Option<u64>| p.map_or("-1".to_owned(), |p| p.to_string());
                    let mut values = vec![l.chunk.to_string(), u8::from(l.frozen).to_string()];
                    values.extend([position(l.last_update), position(l.next_update)]);
                    values.extend([l.updates, l.skipped, l.parameters].map(|n| n.to_string()));
                    values.extend([l.learning_rate, l.weight_norm, l.delta_norm].map(bits));
                    values.extend([l.last_gradient_norm, l.last_update_norm, l.pending_norm].map(bits));
                    out.line(&format!("level.{}.{}", l.layer, l.level), &values);
                }
            }
            "control" => {
                let frozen = a.has("freeze").then(|| a.flag("freeze"));
                let lr_scale = a.has("scale").then(|| a.number("scale"));
                session.control_levels(a.levels(), LevelControl { frozen, lr_scale })?;
            }
            "flush" => session.flush_levels(a.levels())?,
            "forget" => session.reset_levels(a.levels())?,
            _ => return Err(format!("unknown step {step}").into()),
        }
        Ok(())
    }

    fn feed_many(&mut self, a: &Arguments<'_>, out: &mut Lines) -> Done<()> {
        let (names, tokens) = (a.names("of"), self.tokens(a));
        let mut sessions = Vec::new();
        for name in &names {
            match self.objects.remove(name) {
                Some(Object::Session(session)) => sessions.push(session),
                _ => return Err(format!("there is no session {name}").into()),
            }
        }
        let logits: nested::Result<Vec<Vec<f32>>> =
            tokens.chunks(names.len()).map(|round| feed_many(&mut sessions, round)).collect();
        self.objects.extend(names.into_iter().zip(sessions.into_iter().map(Object::Session)));
        out.floats("logits", &logits?.concat());
        Ok(())
    }

    fn save(&mut self, a: &Arguments<'_>, out: &mut Lines) -> Done<()> {
        let (name, path, mut run) = (a.word("of")?, a.word("file")?, Run::new());
        let options = SaveOptions { sync: false, delta: a.flag("delta") };
        match self.objects.get(name) {
            Some(Object::Model(model)) => model.save_with(path, options, &mut run)?,
            Some(Object::Trainer(trainer)) => trainer.save_with(path, options, &mut run)?,
            Some(Object::Session(session)) => session.save_with(path, options, &mut run)?,
            _ => return Err(format!("cannot save {name}").into()),
        }
        out.bytes("file", &std::fs::read(path)?);
        Ok(())
    }

    fn consolidate(&mut self, a: &Arguments<'_>) -> Done<Model> {
        let mut options = Consolidation {
            levels: a.list("levels").iter().filter_map(Json::number).map(|&level| level as usize).collect(),
            max_norm: a.number("max_norm"),
            session_weights: a.list("weights").iter().filter_map(Json::number).copied().collect(),
            ..Default::default()
        };
        if a.has("strength") {
            options.strength = a.number("strength");
        }
        let model = self.model(a.word("of")?)?.clone();
        let mut sessions = Vec::new();
        for name in a.names("sessions") {
            match self.objects.get(&name) {
                Some(Object::Session(session)) => sessions.push(session),
                _ => return Err(format!("there is no session {name}").into()),
            }
        }
        Ok(model.consolidate(sessions, &options)?)
    }
}

fn new_model(model: Model, out: &mut Lines) -> Option<Object> {
    out.line("params", &[model.n_params().to_string()]);
    Some(Object::Model(model))
}

fn generate(session: &mut Session, a: &Arguments<'_>, out: &mut Lines) -> Done<()> {
    let sampling = Sampling {
        temperature: a.number("temperature"),
        top_k: a.count("top_k"),
        top_p: a.number("top_p"),
        min_p: a.number("min_p"),
        repetition_penalty: a.number("repetition_penalty"),
        repetition_window: a.count("repetition_window"),
        stop: a.ids("stop"),
        logit_bias: vec![],
    };
    let (stop_at, cancel_at, cancel) = (a.count("stop_at"), a.count("cancel_at"), Cancel::new()?);
    let mut logprobs = Vec::new();
    let on_token = |event: &nested::TokenEvent| {
        logprobs.push(bits(event.logprob));
        if logprobs.len() == cancel_at {
            cancel.raise();
        }
        if logprobs.len() == stop_at {
            Break(())
        } else {
            Continue(())
        }
    };
    let made = session.generate_with(a.count("count"), &sampling, on_token, &mut Run::new().cancel(&cancel))?;
    out.line("tokens", &made.tokens.iter().map(i32::to_string).collect::<Vec<_>>());
    out.line("logprobs", &logprobs);
    let finish = match made.finish {
        Finish::Length => "length",
        Finish::Stop => "stop",
        Finish::Callback => "callback",
        _ => "-",
    };
    out.line("finish", &[finish.to_owned()]);
    Ok(())
}

fn drive() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| -> Done<Option<usize>> {
        let Some(at) = arguments.iter().position(|argument| argument == name) else {
            return Ok(None);
        };
        let value = arguments.get(at + 1).and_then(|value| value.parse().ok());
        value.map(Some).ok_or_else(|| format!("{name} needs a number").into())
    };
    let path = arguments.first().ok_or("usage: driver SCENARIO [--threads N] [--feed SIZE]".to_owned())?;
    let text = std::fs::read_to_string(path)?;
    let scenario = Json::parse(&text)?;
    let mut driver = Driver {
        context: Context::builder().threads(option("--threads")?.unwrap_or(1)).build()?,
        vocab: Arguments(&scenario).number("vocab") as u64,
        feed: option("--feed")?.filter(|&size| size > 0),
        objects: HashMap::new(),
    };
    println!("# rust, decimal point {}, {}", decimal_point(), nested::build_info());
    for step in Arguments(&scenario).list("steps") {
        print!("{}", driver.step(step)?);
    }
    drop(driver);
    println!("end handles {}", nested::live_handles(HandleKind::Any));
    Ok(())
}

extern "C" {
    fn setlocale(category: c_int, locale: *const c_char) -> *mut c_char;
    fn localeconv() -> *const *const c_char; // struct lconv begins with decimal_point
}

const LC_ALL: c_int = 6;

fn decimal_point() -> String {
    // SAFETY: the C library's own text.
    unsafe { CStr::from_ptr(*localeconv()) }.to_string_lossy().into_owned()
}

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread is there yet.
    unsafe { setlocale(LC_ALL, c"".as_ptr()) };
    match drive() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!(
                "{}",
                match stop {
                    Stop::Library(error) => error.to_string(),
                    Stop::Driver(message) => message,
                }
            );
            std::process::ExitCode::FAILURE
        }
    }
}
