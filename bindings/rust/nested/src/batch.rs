use nested_sys as sys;

use crate::error::{Error, Result, Status};
use crate::handle::integer;
use crate::Tokens;

/// A target that adds no loss.
pub const IGNORE_TARGET: i32 = sys::NESTED_IGNORE_TARGET;

/// Sequences of equal length, each read as a fresh stream from position 0.
///
/// For rows of different lengths pad the tokens and set the targets of the padding to [`IGNORE_TARGET`].
///
/// ```
/// use nested::Batch;
/// let batch = Batch::new("two rows of 11 bytes..", 2)?; // targets: the next token of the row
/// assert_eq!((batch.n_seq(), batch.seq_len()), (2, 11));
/// assert!(Batch::new("abc", 2).is_err());
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    tokens: Vec<i32>,
    n_seq: usize,
    targets: Option<Vec<i32>>,
    weights: Option<Vec<f32>>,
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
        Ok(Batch { tokens, n_seq, targets: None, weights: None })
    }

    /// Sets what is to be predicted at each position: ids or [`IGNORE_TARGET`], in the shape of the tokens.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn targets<T: Tokens + ?Sized>(mut self, targets: &T) -> Result<Self> {
        let targets = targets.tokens().into_owned();
        self.like_tokens(targets.len(), "batch.targets")?;
        self.targets = Some(targets);
        Ok(self)
    }

    /// Sets the weight of the loss at each position, finite and not negative, in the shape of the tokens.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of elements.
    pub fn weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        self.like_tokens(weights.len(), "batch.weights")?;
        self.weights = Some(weights);
        Ok(self)
    }

    /// Rows.
    pub fn n_seq(&self) -> usize {
        self.n_seq
    }

    /// Positions of a row.
    pub fn seq_len(&self) -> usize {
        self.tokens.len() / self.n_seq
    }

    fn like_tokens(&self, count: usize, place: &str) -> Result<()> {
        if count == self.tokens.len() {
            return Ok(());
        }
        let message = format!("{count} elements for {} tokens.", self.tokens.len());
        Err(Error::new(Status::Shape, message, place))
    }

    /// Points into this batch.
    pub(crate) fn raw(&self) -> sys::nested_batch {
        sys::nested_batch {
            n_seq: integer(self.n_seq),
            seq_len: integer(self.seq_len()),
            tokens: self.tokens.as_ptr(),
            targets: self.targets.as_ref().map_or(std::ptr::null(), |t| t.as_ptr()),
            weights: self.weights.as_ref().map_or(std::ptr::null(), |w| w.as_ptr()),
            ..Default::default()
        }
    }
}

/// Loss of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Weighted mean over the targets in nats, NaN without targets.
    pub loss: f64,
    /// exp(loss)
    pub perplexity: f64,
    /// Targets that counted, by their weights.
    pub targets: f64,
}

impl From<sys::nested_eval> for Evaluation {
    fn from(r: sys::nested_eval) -> Self {
        Evaluation { loss: r.loss, perplexity: r.perplexity, targets: r.n_targets }
    }
}
