//! What a policy in Python that looks at deadlines is told.

use metron_sim::Time;
use pyo3::prelude::*;

/// What a request is promised, and how it stands with that.
#[pyclass(frozen, module = "metron_sim")]
pub(crate) struct Standing(pub(super) metron_sim::policy::Standing);

#[pymethods]
impl Standing {
    /// Its first token is due so many seconds after its arrival.
    #[getter]
    fn ttft_s(&self) -> f64 {
        self.0.ttft.as_secs_f64()
    }

    /// The next token is due so many seconds after the deadline of a token that was on time, or after a token
    /// that was late.
    #[getter]
    fn tbt_s(&self) -> f64 {
        self.0.tbt.as_secs_f64()
    }

    /// The index from which on it is fluid.
    #[getter]
    fn fluid_index(&self) -> f64 {
        self.0.fluid_index
    }

    /// When its next token is due, seconds.
    #[getter]
    fn next_deadline_s(&self) -> f64 {
        self.0.next_deadline.as_secs_f64()
    }

    /// Tokens that came by their deadlines.
    #[getter]
    fn on_time(&self) -> u32 {
        self.0.on_time
    }

    /// Tokens that came late.
    #[getter]
    fn late(&self) -> u32 {
        self.0.late
    }

    /// Deadlines missed: one for a late token, and one more for each further `tbt_s` that it was late.
    #[getter]
    fn missed(&self) -> u64 {
        self.0.missed
    }

    /// When its first token came, seconds.
    #[getter]
    fn first_token_s(&self) -> Option<f64> {
        self.0.first_token.map(Time::as_secs_f64)
    }

    /// When its last token so far came, seconds.
    #[getter]
    fn last_token_s(&self) -> Option<f64> {
        self.0.last_token.map(Time::as_secs_f64)
    }

    /// How long its answer is predicted to be, in tokens, where the scenario has such predictions.
    #[getter]
    fn predicted_answer(&self) -> Option<u32> {
        self.0.predicted_answer
    }

    /// The conversation that it belongs to, where the workload has some.
    #[getter]
    fn session(&self) -> Option<u32> {
        self.0.session
    }

    fn __repr__(&self) -> String {
        let metron_sim::policy::Standing { next_deadline, on_time, missed, .. } = self.0;
        let due = next_deadline.as_secs_f64();
        format!("Standing(next_deadline_s={due}, on_time={on_time}, missed={missed})")
    }
}

/// An iteration that is over.
#[pyclass(frozen, module = "metron_sim")]
pub(crate) struct Past(pub(super) metron_sim::policy::Past);

#[pymethods]
impl Past {
    /// How many seconds it was expected to take when it was planned.
    #[getter]
    fn predicted_s(&self) -> f64 {
        self.0.predicted.as_secs_f64()
    }

    /// How many seconds it took.
    #[getter]
    fn actual_s(&self) -> f64 {
        self.0.actual.as_secs_f64()
    }

    /// When it was over, seconds: no two of a replica are at once.
    #[getter]
    fn ended_s(&self) -> f64 {
        self.0.ended.as_secs_f64()
    }

    /// Whether prompts were computed in it.
    #[getter]
    fn prefilled(&self) -> bool {
        self.0.prefilled
    }
}
