use nested_sys as sys;

use crate::error::{check, Result};
use crate::handle::integer;
use crate::Config;

/// What a configuration costs, within 5 %.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// Elements of all weights.
    pub n_params: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of the gradient and of the default optimizer's state.
    pub trainer_bytes: u64,
    /// Working memory of one training step.
    pub activation_bytes: u64,
    /// State of one session after `seq_len` tokens, once every level has learnt.
    pub session_bytes: u64,
    /// Floating-point operations of a forward pass, for each token.
    pub flops_forward: f64,
    /// Of a forward and a backward pass.
    pub flops_train: f64,
}

impl Config {
    /// What a model of this configuration costs on \[`n_seq`, `seq_len`\], counted without making it.
    ///
    /// ```
    /// use nested::Config;
    /// let cost = Config::from_json(r#"{"preset": "hope-1.3b"}"#)?.estimate(1, 2048)?;
    /// assert!((1.0e9..1.7e9).contains(&(cost.n_params as f64)));
    /// # Ok::<(), nested::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::Range`](crate::Status::Range) for no rows or no positions; as [`validate`](Config::validate).
    pub fn estimate(&self, n_seq: usize, seq_len: usize) -> Result<Estimate> {
        let mut r = sys::nested_estimate::default();
        // SAFETY: live handle, sized struct.
        check(unsafe { sys::nested_config_estimate(self.handle.get(), integer(n_seq), integer(seq_len), &mut r) })?;
        Ok(Estimate {
            n_params: r.n_params,
            weight_bytes: r.weight_bytes,
            trainer_bytes: r.trainer_bytes,
            activation_bytes: r.activation_bytes,
            session_bytes: r.session_bytes,
            flops_forward: r.flops_forward,
            flops_train: r.flops_train,
        })
    }
}
