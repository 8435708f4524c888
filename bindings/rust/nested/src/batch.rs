use nested_sys as sys;

use crate::error::{Error, Result, Status};
use crate::handle::{cview, integer};
use crate::Tokens;

/// A target or label that adds no loss.
pub const IGNORE_TARGET: i32 = sys::NESTED_IGNORE_TARGET;

/// Sequences of equal length, each read as a fresh stream from position 0: of tokens, or of vectors for the kind "cms".
///
/// For rows of different lengths pad the tokens and set the targets of the padding to [`IGNORE_TARGET`].
///
/// ```
/// use nested::Batch;
/// let batch = Batch::new("two rows of 11 bytes..", 2)?; // targets: the next token of the row
/// assert_eq!((batch.n_seq(), batch.seq_len()), (2, 11));
/// assert!(Batch::new("abc", 2).is_err());
///
/// let points = Batch::vectors([0.0, 0.1, 0.9, 1.0, 0.2, 0.0], 3, 1)?.labels([0, 1, 0])?; // three rows of one vector
/// assert_eq!((points.n_seq(), points.n_inputs()), (3, 2));
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    n_seq: usize,
    seq_len: usize,
    input: Input,
    goal: Goal,
    weights: Option<Vec<f32>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Input {
    Tokens(Vec<i32>),
    Vectors { values: Vec<f32>, width: usize },
}

/// What is to be predicted. Of labels and values, the shape: one for a row, or one for a position.
#[derive(Clone, Debug, PartialEq)]
enum Goal {
    /// The next token, or nothing.
    Implied,
    Targets(Vec<i32>),
    Labels(Vec<i32>),
    Values {
        values: Vec<f32>,
        width: usize,
    },
}

impl Batch {
    /// `tokens` are \[`n_seq`, length\], row by row.
    ///
    /// The target of each position is the next token of its row (the last one has none), and all weights are 1.
    ///
    /// # Errors
    /// [`Status::Shape`] when the tokens are not `n_seq` rows of one length, at least 1.
    pub fn new<T: Tokens + ?Sized>(tokens: &T, n_seq: usize) -> Result<Self> {
        let tokens = tokens.tokens().into_owned();
        if tokens.is_empty() || n_seq == 0 || tokens.len() % n_seq != 0 {
            let message = format!("{} tokens are not {n_seq} rows of one length.", tokens.len());
            return Err(Error::new(Status::Shape, message, "batch.tokens"));
        }
        let seq_len = tokens.len() / n_seq;
        Ok(Batch { n_seq, seq_len, input: Input::Tokens(tokens), goal: Goal::Implied, weights: None })
    }

    /// `inputs` are \[`n_seq`, `seq_len`, n_inputs\], row by row, for models that read vectors.
    ///
    /// Without [`labels`](Batch::labels) or [`values`](Batch::values) it is for [`Model::forward`](crate::Model::forward)
    /// and [`Session::predict`](crate::Session::predict).
    ///
    /// # Errors
    /// [`Status::Shape`] when the numbers are not so many vectors of one length, at least 1.
    pub fn vectors(inputs: impl Into<Vec<f32>>, n_seq: usize, seq_len: usize) -> Result<Self> {
        let values = inputs.into();
        let Some(width) = width(values.len(), n_seq.saturating_mul(seq_len)) else {
            let message = format!("{} numbers are not {n_seq} rows of {seq_len} vectors.", values.len());
            return Err(Error::new(Status::Shape, message, "batch.inputs"));
        };
        Ok(Batch { n_seq, seq_len, input: Input::Vectors { values, width }, goal: Goal::Implied, weights: None })
    }

    /// Sets what is to be predicted at each position: ids or [`IGNORE_TARGET`], in the shape of the tokens.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn targets<T: Tokens + ?Sized>(mut self, targets: &T) -> Result<Self> {
        let targets = targets.tokens().into_owned();
        self.fits(targets.len(), &[self.positions()], "batch.targets")?;
        self.goal = Goal::Targets(targets);
        Ok(self)
    }

    /// Sets the class of each row \[n_seq\], or of each position \[n_seq, seq_len\]: ids or [`IGNORE_TARGET`].
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn labels(mut self, labels: impl Into<Vec<i32>>) -> Result<Self> {
        let labels = labels.into();
        self.fits(labels.len(), &[self.n_seq, self.positions()], "batch.labels")?;
        self.goal = Goal::Labels(labels);
        Ok(self)
    }

    /// Sets the numbers to be predicted for each row \[n_seq, n_outputs\], or for each position \[n_seq, seq_len,
    /// n_outputs\]; NaN where one is not known.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn values(mut self, values: impl Into<Vec<f32>>, n_outputs: usize) -> Result<Self> {
        let values = values.into();
        let expected = [self.n_seq, self.positions()].map(|rows| rows.saturating_mul(n_outputs));
        self.fits(values.len(), &expected, "batch.labels")?;
        self.goal = Goal::Values { values, width: n_outputs };
        Ok(self)
    }

    /// Sets the weight of the loss, finite and not negative: at each position, or beside labels of rows for each row.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        let expected = match self.input {
            Input::Tokens(_) => [self.positions(); 2],
            Input::Vectors { .. } => [self.n_seq, self.positions()],
        };
        self.fits(weights.len(), &expected, "batch.weights")?;
        self.weights = Some(weights);
        Ok(self)
    }

    /// Rows.
    pub fn n_seq(&self) -> usize {
        self.n_seq
    }

    /// Positions of a row.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// Numbers in an input vector; 0 for a batch of tokens.
    pub fn n_inputs(&self) -> usize {
        match self.input {
            Input::Tokens(_) => 0,
            Input::Vectors { width, .. } => width,
        }
    }

    /// The input vectors \[n_seq, seq_len, n_inputs\]; none for a batch of tokens.
    pub fn inputs(&self) -> &[f32] {
        match &self.input {
            Input::Tokens(_) => &[],
            Input::Vectors { values, .. } => values,
        }
    }

    fn positions(&self) -> usize {
        self.n_seq * self.seq_len
    }

    fn fits(&self, count: usize, expected: &[usize], place: &str) -> Result<()> {
        if expected.contains(&count) {
            return Ok(());
        }
        let message = format!("{count} elements for {} rows of {} positions.", self.n_seq, self.seq_len);
        Err(Error::new(Status::Shape, message, place))
    }

    /// One for a row, or one for a position: where a row has one position, they are the same.
    fn goal_shape(&self, count: usize, width: Option<usize>) -> Vec<usize> {
        let rows = count == self.n_seq * width.unwrap_or(1);
        let leading = if rows { vec![self.n_seq] } else { vec![self.n_seq, self.seq_len] };
        leading.into_iter().chain(width).collect()
    }

    /// `function` with the C struct, which points into this batch and lives as long as the call.
    pub(crate) fn lend<R>(&self, function: impl FnOnce(&sys::nested_batch) -> R) -> R {
        let mut raw = sys::nested_batch {
            n_seq: integer(self.n_seq),
            seq_len: integer(self.seq_len),
            weights: self.weights.as_ref().map_or(std::ptr::null(), |w| w.as_ptr()),
            ..Default::default()
        };
        let (inputs, labels);
        match &self.input {
            Input::Tokens(tokens) => raw.tokens = tokens.as_ptr(),
            Input::Vectors { values, width } => {
                inputs = cview(values.as_ptr(), sys::NESTED_F32, &[self.n_seq, self.seq_len, *width]);
                raw.inputs = &inputs;
            }
        }
        match &self.goal {
            Goal::Implied => (),
            Goal::Targets(targets) => raw.targets = targets.as_ptr(),
            Goal::Labels(values) => {
                labels = cview(values.as_ptr(), sys::NESTED_I32, &self.goal_shape(values.len(), None));
                raw.labels = &labels;
            }
            Goal::Values { values, width } => {
                labels = cview(values.as_ptr(), sys::NESTED_F32, &self.goal_shape(values.len(), Some(*width)));
                raw.labels = &labels;
            }
        }
        function(&raw)
    }
}

/// How many of `count` numbers each of `parts` has, if that comes out even.
fn width(count: usize, parts: usize) -> Option<usize> {
    (count > 0 && parts > 0 && count % parts == 0).then(|| count / parts)
}

/// How well a batch is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Weighted mean over the targets, NaN without targets: nats, or for the task "regress" half the squared error.
    pub loss: f64,
    /// exp(loss); NaN for the task "regress".
    pub perplexity: f64,
    /// Of the task "classify": the share of the targets that were ranked first, by their weights; else NaN.
    pub accuracy: f64,
    /// Targets that counted, by their weights.
    pub targets: f64,
}

impl From<sys::nested_eval> for Evaluation {
    fn from(r: sys::nested_eval) -> Self {
        Evaluation { loss: r.loss, perplexity: r.perplexity, accuracy: r.accuracy, targets: r.n_targets }
    }
}
