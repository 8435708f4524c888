use nested_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::handle::{count, cview, view, zeros};
use crate::{Batch, Evaluation, Feed, Run, Session};

/// Sessions of models that read vectors, and of the tasks "classify" and "regress".
impl Session {
    /// Reads vectors \[n, n_inputs\], at least one. Without targets they teach nothing, but count on the clock.
    ///
    /// # Errors
    /// [`Status::Shape`] when the numbers are not whole vectors, [`Status::Numeric`] for one that is not finite,
    /// [`Status::Unsupported`] for a model that reads tokens. [`Error::committed`] says how many were read.
    pub fn feed_vectors(&mut self, inputs: &[f32]) -> Result<Feed> {
        self.feed_vectors_with(inputs, &mut Run::new())
    }

    /// [`feed_vectors`](Session::feed_vectors) with a companion.
    ///
    /// # Errors
    /// As [`feed_vectors`](Session::feed_vectors); [`Status::Cancelled`], which keeps what was read.
    pub fn feed_vectors_with(&mut self, inputs: &[f32], run: &mut Run<'_>) -> Result<Feed> {
        let n = self.vectors_in(inputs)?;
        self.read_vectors(inputs, n, run, std::ptr::null())
    }

    /// Reads vectors and returns the outputs \[n, n_outputs\] after each.
    ///
    /// # Errors
    /// As [`feed_vectors`](Session::feed_vectors).
    pub fn feed_vectors_outputs(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.feed_vectors_outputs_with(inputs, &mut Run::new())
    }

    /// [`feed_vectors_outputs`](Session::feed_vectors_outputs) with a companion.
    ///
    /// # Errors
    /// As [`feed_vectors_with`](Session::feed_vectors_with).
    pub fn feed_vectors_outputs_with(&mut self, inputs: &[f32], run: &mut Run<'_>) -> Result<Vec<f32>> {
        let n = self.vectors_in(inputs)?;
        let shape = [n, self.n_outputs()?];
        let mut outputs = zeros(&shape)?;
        self.read_vectors(inputs, n, run, &view(&mut outputs, &shape))?;
        Ok(outputs)
    }

    /// Learns labelled rows, whatever the mode: each row is a fresh sequence through the session's levels, of which the
    /// head is one. A label that has not been seen (below 2^24) adds a class.
    ///
    /// The loss is that before learning from each row.
    ///
    /// ```
    /// # use nested::{Batch, Config, Context, Learn, Model, Session};
    /// let config = Config::from_json(r#"{"kind": "cms", "task": "classify", "inputs": 2, "classes": 2, "d_model": 16,
    ///     "n_layers": 1, "cms": {"levels": [{"chunk": 4, "lr": 0.05}]}}"#)?;
    /// let model = Model::new(&Context::new()?, &config, 0)?;
    /// let mut session = Session::new(&model, Learn::On)?;
    /// let corners = Batch::vectors([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 4, 1)?.labels([0, 1, 2, 1])?;
    /// let before = session.teach(&corners)?.loss;
    /// assert_eq!(session.info()?.n_outputs, 3); // label 2 was new
    /// for _ in 0..200 {
    ///     session.teach(&corners)?;
    /// }
    /// assert!(session.teach(&corners)?.loss < before);
    /// assert_eq!(session.predict(&corners)?.len(), 4 * 3);
    /// # Ok::<(), nested::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::Range`] for a label, [`Status::Shape`], [`Status::Numeric`]; [`Status::Unsupported`] for the task "lm".
    /// Rows commit one by one: [`Error::committed`] says how many targets were learnt.
    pub fn teach(&mut self, batch: &Batch) -> Result<Evaluation> {
        self.teach_with(batch, &mut Run::new())
    }

    /// [`teach`](Session::teach) with a companion.
    ///
    /// # Errors
    /// As [`teach`](Session::teach); [`Status::Cancelled`], which keeps what was learnt.
    pub fn teach_with(&mut self, batch: &Batch, run: &mut Run<'_>) -> Result<Evaluation> {
        let (run, mut out) = (run.raw(), sys::nested_eval::default());
        // SAFETY: live handle, sized structs; batch and run live as long as the call.
        check(batch.lend(|batch| unsafe { sys::nested_session_teach(self.handle.get(), batch, &run, &mut out) }))
            .map_err(|error| error.with_committed(out.n_targets as u64))?;
        Ok(out.into())
    }

    /// Answers \[n_seq, n_outputs\] for the rows of a batch, each a fresh sequence through the session's levels, which stay
    /// as they are: logits, or the numbers of the task "regress".
    ///
    /// # Errors
    /// As [`teach`](Session::teach).
    pub fn predict(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.predict_with(batch, &mut Run::new())
    }

    /// [`predict`](Session::predict) with a companion.
    ///
    /// # Errors
    /// As [`predict`](Session::predict); [`Status::Cancelled`].
    pub fn predict_with(&self, batch: &Batch, run: &mut Run<'_>) -> Result<Vec<f32>> {
        self.answers(batch, &[batch.n_seq(), self.n_outputs()?], run)
    }

    /// [`predict`](Session::predict) for each position of the rows: \[n_seq, seq_len, n_outputs\].
    ///
    /// # Errors
    /// As [`predict`](Session::predict).
    pub fn predict_positions(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.answers(batch, &[batch.n_seq(), batch.seq_len(), self.n_outputs()?], &mut Run::new())
    }

    fn answers(&self, batch: &Batch, shape: &[usize], run: &mut Run<'_>) -> Result<Vec<f32>> {
        let mut answers = zeros(shape)?;
        let (run, dst) = (run.raw(), view(&mut answers, shape));
        // SAFETY: live handle, sized structs; batch and run live as long as the call; the view has room for its shape.
        check(batch.lend(|batch| unsafe { sys::nested_session_predict(self.handle.get(), batch, &run, &dst) }))?;
        Ok(answers)
    }

    /// Numbers in an answer; grows with the labels.
    pub(crate) fn n_outputs(&self) -> Result<usize> {
        Ok(self.info()?.n_outputs)
    }

    fn vectors_in(&self, inputs: &[f32]) -> Result<usize> {
        match self.model().n_inputs() {
            0 => Ok(0), // the library says that it reads tokens
            width if inputs.len() % width == 0 => Ok(inputs.len() / width),
            width => {
                let message = format!("{} numbers are not vectors of {width}.", inputs.len());
                Err(Error::new(Status::Shape, message, "inputs"))
            }
        }
    }

    /// `outputs` is NULL or has room for what is read.
    fn read_vectors(
        &mut self,
        inputs: &[f32],
        n: usize,
        run: &mut Run<'_>,
        outputs: *const sys::nested_view,
    ) -> Result<Feed> {
        let (run, mut r) = (run.raw(), sys::nested_feed::default());
        let source = cview(inputs.as_ptr(), sys::NESTED_F32, &[n, self.model().n_inputs()]);
        // SAFETY: live handle, views of as many elements as they say, sized structs; the run lives as long as the call.
        check(unsafe { sys::nested_session_feed_vectors(self.handle.get(), &source, &run, outputs, &mut r) })
            .map_err(|error| error.with_committed(count(r.n_consumed)))?;
        Ok(Feed { consumed: count(r.n_consumed), loss: r.loss, updates: r.n_updates })
    }
}
