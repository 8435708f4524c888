use std::ffi::c_void;
use std::ops::ControlFlow;

use nested_sys as sys;

use crate::error::{check, contain, Error, Result, Status};
use crate::handle::{integer, room};
use crate::{Run, Session};

/// How a token is chosen. The default is greedy: the most likely one.
///
/// ```
/// use nested::Sampling;
/// let sampling = Sampling { temperature: 0.7, top_k: 20, stop: vec![10], ..Sampling::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 (default) takes the most likely token.
    pub temperature: f64,
    /// Only so many of the most likely tokens; 0 (default) is off.
    pub top_k: usize,
    /// Only the most likely tokens that have this probability together; 0 (default) is off, else in (0, 1].
    pub top_p: f64,
    /// Only tokens of at least this probability relative to the most likely one; 0 (default) is off, else in (0, 1].
    pub min_p: f64,
    /// Against tokens that occurred lately; 0 (default) or 1 is off.
    pub repetition_penalty: f64,
    /// Tokens that it looks back on; 0 (default) is 64.
    pub repetition_window: usize,
    /// Tokens that end the passage; the one met is emitted and fed.
    pub stop: Vec<i32>,
    /// Added to the logits \[vocab\], or empty. Minus infinity forbids a token.
    pub logit_bias: Vec<f32>,
}

/// What a token closure is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TokenEvent {
    /// The id.
    pub token: i32,
    /// 0-based in this call.
    pub index: u64,
    /// Under the distribution before temperature.
    pub logprob: f64,
}

/// A generated passage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// At most as many as asked for.
    pub tokens: Vec<i32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Why a passage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finish {
    /// As many tokens as asked for.
    Length,
    /// A stop token.
    Stop,
    /// The token closure said so.
    Callback,
}

impl Generated {
    /// The passage of a byte-level model as text. What is not UTF-8, and ids over 255, become U+FFFD.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Session {
    /// Samples up to `max_tokens` tokens and feeds them to the stream, which must have read a token.
    ///
    /// Randomness comes from the session's seed and position only. Generated tokens advance state and memories and add no
    /// gradient of the levels.
    ///
    /// # Errors
    /// [`Status::State`] before the first token, [`Status::Range`] for options out of range.
    pub fn generate(&mut self, max_tokens: usize, sampling: &Sampling) -> Result<Generated> {
        self.generate_with(max_tokens, sampling, |_| ControlFlow::Continue(()), &mut Run::new())
    }

    /// [`generate`](Session::generate) with a closure that is told of each token and may end the passage with
    /// [`ControlFlow::Break`] (which is not an error), and a companion.
    ///
    /// # Errors
    /// As [`generate`](Session::generate); [`Status::Cancelled`]. [`Error::committed`] says how many tokens the stream
    /// has advanced by.
    pub fn generate_with<F>(
        &mut self,
        max_tokens: usize,
        sampling: &Sampling,
        mut on_token: F,
        run: &mut Run<'_>,
    ) -> Result<Generated>
    where
        F: FnMut(&TokenEvent) -> ControlFlow<()>,
    {
        let vocab = self.model().vocab();
        if !sampling.logit_bias.is_empty() && sampling.logit_bias.len() != vocab {
            let message = format!("{} biases for {vocab} tokens.", sampling.logit_bias.len());
            return Err(Error::new(Status::Shape, message, "sampling.logit_bias"));
        }
        let options = sys::nested_sampling {
            top_k: i32::try_from(sampling.top_k).unwrap_or(i32::MAX),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repetition_penalty: sampling.repetition_penalty,
            repetition_window: integer(sampling.repetition_window),
            stop_tokens: sampling.stop.as_ptr(),
            n_stop_tokens: sampling.stop.len() as u64,
            logit_bias: if sampling.logit_bias.is_empty() { std::ptr::null() } else { sampling.logit_bias.as_ptr() },
            ..Default::default()
        };
        let mut tokens: Vec<i32> = room(max_tokens)?;
        let (run, mut count, mut finish) = (run.raw(), 0, 0);
        // SAFETY: live handle, sized structs whose arrays live as long as the call, as do closure and run; the vector has
        // room for max_tokens.
        check(unsafe {
            sys::nested_session_generate(
                self.handle.get(),
                &options,
                max_tokens,
                Some(on_token_event::<F>),
                std::ptr::from_mut(&mut on_token).cast(),
                &run,
                tokens.as_mut_ptr(),
                &mut count,
                &mut finish,
            )
        })
        .map_err(|error| error.with_committed(count as u64))?;
        // SAFETY: the library has written `count` tokens, at most max_tokens.
        unsafe { tokens.set_len(count.min(max_tokens)) };
        let finish = match finish {
            sys::NESTED_FINISH_STOP => Finish::Stop,
            sys::NESTED_FINISH_CALLBACK => Finish::Callback,
            _ => Finish::Length,
        };
        Ok(Generated { tokens, finish })
    }
}

unsafe extern "C" fn on_token_event<F>(user: *mut c_void, event: *const sys::nested_token_event) -> i32
where
    F: FnMut(&TokenEvent) -> ControlFlow<()>,
{
    contain(|| {
        // SAFETY: `user` is the closure of the generate_with() that this thread is in; the event is valid during this
        // call.
        let (on_token, r) = unsafe { (&mut *user.cast::<F>(), &*event) };
        let event = TokenEvent { token: r.token, index: crate::handle::count(r.index), logprob: r.logprob };
        i32::from(on_token(&event).is_break())
    })
}
