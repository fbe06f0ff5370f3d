//! A request as a policy in Python sees it.

use metron_sim::policy::{Handle, RequestView};
use pyo3::prelude::*;

/// Where a request stood when the policy was handed it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue.
    Waiting,
    /// Running.
    Running,
    /// It has just arrived, and has no place yet.
    Arriving,
}

/// What is known of a request at the moment when a policy was handed it. `step.view(request)` looks again.
#[pyclass(frozen, module = "metron_sim")]
pub(crate) struct Request {
    pub(super) handle: Option<Handle>,
    pub(super) view: RequestView,
    pub(super) place: Place,
    /// The step in which it was handed out.
    pub(super) step: u64,
}

#[pymethods]
impl Request {
    /// Its number in the whole run, in order of arrival.
    #[getter]
    fn id(&self) -> u32 {
        self.view.id.0
    }

    /// When it arrived, seconds.
    #[getter]
    fn arrival_s(&self) -> f64 {
        self.view.arrival.as_secs_f64()
    }

    /// Prompt length in tokens.
    #[getter]
    fn prompt_tokens(&self) -> u32 {
        self.view.prompt_tokens
    }

    /// The longest answer that the client declared.
    #[getter]
    fn max_tokens(&self) -> u32 {
        self.view.max_tokens
    }

    /// Lower is more urgent.
    #[getter]
    fn priority(&self) -> i32 {
        self.view.priority
    }

    /// Index of its class.
    #[getter]
    fn class_index(&self) -> usize {
        self.view.class.index()
    }

    /// Tokens known: the prompt and the output so far.
    #[getter]
    fn tokens(&self) -> u32 {
        self.view.tokens
    }

    /// Output tokens so far.
    #[getter]
    fn generated(&self) -> u32 {
        self.view.generated()
    }

    /// Tokens whose KV is computed.
    #[getter]
    fn computed(&self) -> u32 {
        self.view.computed
    }

    /// Whether its prefill is unfinished.
    #[getter]
    fn is_prefilling(&self) -> bool {
        self.view.is_prefilling()
    }

    /// Prefill tokens not yet computed.
    #[getter]
    fn prefill_left(&self) -> u32 {
        self.view.prefill_left()
    }

    /// KV blocks that it holds.
    #[getter]
    fn blocks(&self) -> u32 {
        self.view.blocks
    }

    /// Tokens of it in the batch being formed.
    #[getter]
    fn scheduled(&self) -> u32 {
        self.view.scheduled
    }

    /// Whether it was admitted in the step being formed.
    #[getter]
    fn admitted_now(&self) -> bool {
        self.view.admitted_now
    }

    fn __repr__(&self) -> String {
        let RequestView { id, prompt_tokens, tokens, computed, .. } = self.view;
        format!(
            "Request({id}, prompt_tokens={prompt_tokens}, tokens={tokens}, computed={computed})"
        )
    }
}
