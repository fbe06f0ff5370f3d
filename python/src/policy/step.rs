//! A step as a policy in Python sees it: the verbs of the library, each checked before it is done.
//!
//! A `Step` of the library borrows its replica. The object that Python holds points to it for as long as
//! the policy decides, and to nothing before and after: the one file with `unsafe` code.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use metron_sim::policy::{BatchShape, Chunk, Decodes, Handle, Held, Hit, Step as OfLibrary};
use metron_sim::{Span, Time};
use pyo3::prelude::*;

use super::request::{Place, Request};
use super::scheduler::Traits;
use super::standing::{Past, Standing};
use crate::error::exception;

static STEPS: AtomicU64 = AtomicU64::new(1);

/// A replica at the moment of a decision: what a policy reads, and the verbs with which it forms a batch.
///
/// Use it only while `schedule` runs. `admit` and `run` answer `False`, and change nothing, where KV blocks
/// are short.
#[pyclass(frozen, module = "metron_sim")]
pub(crate) struct Step {
    at: AtomicPtr<OfLibrary<'static>>,
    owner: ThreadId,
    number: u64,
    traits: Traits,
    /// Requests that were admitted, preempted or dropped in this step.
    moved: Mutex<HashSet<Handle>>,
    all_decodes: AtomicBool,
    some_decode: AtomicBool,
}

/// Lets Python decide about a step.
pub(super) fn during<T>(
    py: Python<'_>,
    step: &mut OfLibrary<'_>,
    traits: Traits,
    decide: impl FnOnce(&Bound<'_, Step>) -> PyResult<T>,
) -> PyResult<T> {
    let made = Bound::new(
        py,
        Step {
            at: AtomicPtr::new(null_mut()),
            owner: std::thread::current().id(),
            number: STEPS.fetch_add(1, Ordering::Relaxed),
            traits,
            moved: Mutex::default(),
            all_decodes: AtomicBool::new(false),
            some_decode: AtomicBool::new(false),
        },
    )?;
    let at: *mut OfLibrary<'_> = step;
    made.get().at.store(at.cast(), Ordering::Relaxed);
    let decided = decide(&made);
    made.get().at.store(null_mut(), Ordering::Relaxed);
    decided
}

impl Step {
    /// Does something with the step, unless it is over.
    fn with<T>(&self, verb: &str, act: impl FnOnce(&mut OfLibrary<'_>) -> T) -> PyResult<T> {
        if std::thread::current().id() != self.owner {
            let why = "it is another thread's: decide on the one that `schedule` is called on";
            return Err(wrong(verb, None, why));
        }
        let at = self.at.swap(null_mut(), Ordering::Relaxed);
        // SAFETY: `during` sets the pointer from a borrow that lasts until it has taken it away again,
        // on this thread, and while this runs nobody finds the pointer.
        let Some(step) = (unsafe { at.as_mut() }) else {
            return Err(wrong(verb, None, "the step is over: use it only while `schedule` runs"));
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(step)));
        self.at.store(at, Ordering::Relaxed);
        done.map_err(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            wrong(verb, None, said.unwrap_or("it broke a rule of the engine"))
        })
    }

    /// The request that a verb is about, if it stands where the verb needs it.
    fn meant(&self, verb: &str, request: &Request, place: Place) -> PyResult<Handle> {
        let broken = |why: &str| Err(wrong(verb, Some(request), why));
        let handle = self.known(verb, request)?;
        if self.moved().contains(&handle) {
            return broken("it was admitted, preempted or dropped in this step already");
        }
        match (place, request.place) {
            (Place::Waiting, Place::Running) => {
                broken("it runs already; only a waiting request can be")
            }
            (Place::Running, Place::Waiting) => broken("it waits; only a running request can be"),
            _ => Ok(handle),
        }
    }

    /// The same for what is known of deadlines alone.
    fn with_deadlines<T>(
        &self,
        verb: &str,
        act: impl FnOnce(&mut OfLibrary<'_>) -> T,
    ) -> PyResult<T> {
        if !self.traits.deadlines {
            let why =
                "the policy has not asked for deadlines: write `deadlines = True` in its class";
            return Err(wrong(verb, None, why));
        }
        self.with(verb, act)
    }

    /// A request of this step, wherever it stands now.
    fn known(&self, verb: &str, request: &Request) -> PyResult<Handle> {
        let here = request.handle.filter(|_| request.step == self.number);
        here.ok_or_else(|| {
            let why =
                "it is of an earlier step: take requests from this step's waiting() and running()";
            wrong(verb, Some(request), why)
        })
    }

    fn moved(&self) -> MutexGuard<'_, HashSet<Handle>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, step: &OfLibrary<'_>, handle: Handle, place: Place) -> Request {
        Request { handle: Some(handle), view: step.view(handle), place, step: self.number }
    }
}

/// A rule that a verb broke.
fn wrong(verb: &str, request: Option<&Request>, why: &str) -> PyErr {
    let of = request.map_or(String::new(), |request| format!(" of request {}", request.view.id));
    Python::attach(|py| {
        exception(py, "PolicyError", &format!("step.{verb}{of}: {why}"), None, None)
    })
}

#[pymethods]
impl Step {
    /// The time of the decision, seconds.
    #[getter]
    fn now_s(&self) -> PyResult<f64> {
        self.with("now_s", |step| step.now().as_secs_f64())
    }

    /// Requests that hold a seat.
    #[getter]
    fn seats_used(&self) -> PyResult<u32> {
        self.with("seats_used", |step| step.seats_used())
    }

    /// Number of waiting requests.
    #[getter]
    fn waiting_len(&self) -> PyResult<usize> {
        self.with("waiting_len", |step| step.waiting_len())
    }

    /// Number of running requests, decoding or prefilling.
    #[getter]
    fn running_len(&self) -> PyResult<usize> {
        self.with("running_len", |step| step.running_len())
    }

    /// Number of requests that can decode.
    #[getter]
    fn decoding_len(&self) -> PyResult<u32> {
        self.with("decoding_len", |step| step.decoding_len())
    }

    /// Free KV blocks.
    #[getter]
    fn free_blocks(&self) -> PyResult<u32> {
        self.with("free_blocks", |step| step.free_blocks())
    }

    /// Tokens in a KV block.
    #[getter]
    fn block_tokens(&self) -> PyResult<u32> {
        self.with("block_tokens", |step| step.block_tokens())
    }

    /// The waiting request at a place of the queue, 0 being its head; `None` where there is none.
    fn waiting_at(&self, place: usize) -> PyResult<Option<Request>> {
        self.with("waiting_at", |step| {
            step.waiting_at(place).map(|handle| self.request(step, handle, Place::Waiting))
        })
    }

    /// All waiting requests in queue order.
    fn waiting(&self) -> PyResult<Vec<Request>> {
        self.with("waiting", |step| {
            step.waiting().map(|handle| self.request(step, handle, Place::Waiting)).collect()
        })
    }

    /// Running requests in order of admission.
    fn running(&self) -> PyResult<Vec<Request>> {
        self.with("running", |step| {
            step.running().map(|handle| self.request(step, handle, Place::Running)).collect()
        })
    }

    /// Running requests whose prefill is unfinished, in order of admission.
    fn prefilling(&self) -> PyResult<Vec<Request>> {
        self.with("prefilling", |step| {
            step.prefilling().map(|handle| self.request(step, handle, Place::Running)).collect()
        })
    }

    /// What is known of a request now.
    fn view(&self, request: &Request) -> PyResult<Request> {
        let handle = self.known("view", request)?;
        self.with("view", |step| self.request(step, handle, request.place))
    }

    /// KV blocks that an admission with so many tokens takes.
    fn blocks_to_admit(&self, tokens: u32) -> PyResult<u32> {
        self.with("blocks_to_admit", |step| step.blocks_to_admit(tokens, Hit::default()))
    }

    /// KV blocks that a running request needs for so many tokens more.
    fn more_blocks_for(&self, request: &Request, tokens: u32) -> PyResult<u32> {
        let handle = self.meant("more_blocks_for", request, Place::Running)?;
        self.with("more_blocks_for", |step| step.more_blocks_for(handle, tokens))
    }

    /// KV blocks that a step of all decodes takes.
    #[getter]
    fn blocks_for_decodes(&self) -> PyResult<u32> {
        self.with("blocks_for_decodes", |step| step.blocks_for_decodes())
    }

    /// Takes a waiting request into the running list and schedules `tokens` of its prompt, with KV blocks
    /// for `hold_tokens` of its tokens (at least those scheduled are held).
    #[pyo3(signature = (request, tokens, hold_tokens = 0))]
    fn admit(&self, request: &Request, tokens: u32, hold_tokens: u32) -> PyResult<bool> {
        let handle = self.meant("admit", request, Place::Waiting)?;
        let most = request.view.prefill_target;
        if !(1..=most).contains(&tokens) {
            let why = format!("expected 1 to {most} tokens, those of its prompt, found {tokens}");
            return Err(wrong("admit", Some(request), &why));
        }
        let admitted =
            self.with("admit", |step| step.admit(handle, tokens, hold_tokens, Hit::default()))?;
        if admitted {
            self.moved().insert(handle);
        }
        Ok(admitted)
    }

    /// Schedules a running request: 1 token for a decode, a chunk for a prefill.
    #[pyo3(signature = (request, tokens = 1))]
    fn run(&self, request: &Request, tokens: u32) -> PyResult<bool> {
        let handle = self.meant("run", request, Place::Running)?;
        let broken = |why: &str| Err(wrong("run", Some(request), why));
        let view = self.with("run", |step| step.view(handle))?;
        if view.scheduled > 0 {
            return broken("it is in this batch already");
        }
        if view.is_prefilling() {
            let most = view.prefill_left();
            if !(1..=most).contains(&tokens) {
                return broken(&format!(
                    "expected 1 to {most} tokens, those of its prompt that are left, found {tokens}"
                ));
            }
        } else if tokens != 1 {
            return broken(&format!("it decodes: expected 1 token, found {tokens}"));
        } else if self.all_decodes.load(Ordering::Relaxed) {
            return broken("step.decode_all() has scheduled it already");
        }
        let ran = self.with("run", |step| step.run(handle, tokens))?;
        self.some_decode.fetch_or(ran && !view.is_prefilling(), Ordering::Relaxed);
        Ok(ran)
    }

    /// Schedules a token for every request that decodes, where KV blocks suffice for all; says `False`, and
    /// does nothing, where they do not. Much faster than naming each.
    fn decode_all(&self) -> PyResult<bool> {
        if self.all_decodes.load(Ordering::Relaxed) || self.some_decode.load(Ordering::Relaxed) {
            return Err(wrong("decode_all", None, "some decode is in this batch already"));
        }
        let done = self.with("decode_all", |step| {
            let needed = step.blocks_for_decodes();
            if needed > step.free_blocks() {
                step.short_of(needed);
                return false;
            }
            if step.may_decode_all() {
                step.decode_all();
                return true;
            }
            // The slow path names every request, and comes to the same.
            let decoding: Vec<Handle> =
                step.running().filter(|&one| !step.view(one).is_prefilling()).collect();
            decoding.into_iter().all(|one| step.run(one, 1))
        })?;
        self.all_decodes.store(done, Ordering::Relaxed);
        Ok(done)
    }

    /// Promises that this batch of decodes alone will be decided again, unchanged, until a request arrives or
    /// ends, or fewer than `keep_free` KV blocks would stay free: `schedule` is not called until then. Call it
    /// after `decode_all` with nothing else in the batch.
    #[pyo3(signature = (keep_free = 0))]
    fn repeats(&self, keep_free: u32) -> PyResult<()> {
        if !self.all_decodes.load(Ordering::Relaxed) {
            return Err(wrong("repeats", None, "call it after step.decode_all()"));
        }
        self.with("repeats", |step| step.repeats(keep_free))
    }

    /// Takes a running request's KV blocks and seat: it goes back to the queue and computes anew.
    fn preempt(&self, request: &Request) -> PyResult<u32> {
        let handle = self.meant("preempt", request, Place::Running)?;
        if self.all_decodes.load(Ordering::Relaxed) {
            return Err(wrong("preempt", Some(request), "nothing is preempted after decode_all()"));
        }
        let scheduled = self.with("preempt", |step| step.preempt(handle))?;
        self.moved().insert(handle);
        Ok(scheduled)
    }

    /// Gives up a waiting request for good.
    fn drop_request(&self, request: &Request) -> PyResult<()> {
        let handle = self.meant("drop_request", request, Place::Waiting)?;
        self.with("drop_request", |step| step.drop_request(handle))?;
        self.moved().insert(handle);
        Ok(())
    }

    /// Says why the queue's head was left waiting: `no_seat`, `no_kv_blocks`, `no_token_budget`,
    /// `preempting`, `deferred`, `relegated`, `sliver` or `slack_saved`. `explain` tells it.
    fn hold(&self, reason: &str) -> PyResult<()> {
        let held = held("hold", None, reason)?;
        self.with("hold", |step| step.hold(held))
    }

    /// What a request is promised, and how it stands with that.
    fn standing(&self, request: &Request) -> PyResult<Standing> {
        let handle = self.known("standing", request)?;
        self.with_deadlines("standing", |step| Standing(step.standing(handle)))
    }

    /// When the first of the tokens of all that decode is due, seconds; `None` where nobody decodes. Those that
    /// are due before `from_s` are late in any case: of them the next instant at which one more deadline is
    /// missed counts. Nobody is visited.
    #[pyo3(signature = (from_s = 0.0))]
    fn least_deadline_s(&self, from_s: f64) -> PyResult<Option<f64>> {
        let Some(from) = Span::from_secs_f64(from_s) else {
            let why = format!("expected seconds from 0 on, found {from_s}");
            return Err(wrong("least_deadline_s", None, &why));
        };
        let least = self.with_deadlines("least_deadline_s", |step| {
            step.least_deadline_from(Time::ZERO + from)
        })?;
        Ok(least.map(Time::as_secs_f64))
    }

    /// When the batch being formed will start, seconds: now, or when the one in flight is expected to be over.
    #[getter]
    fn starts_at_s(&self) -> PyResult<f64> {
        self.with_deadlines("starts_at_s", |step| step.starts_at().as_secs_f64())
    }

    /// Seconds that an iteration is expected to take over these requests' prompts, so many tokens of each,
    /// beside all decodes (or none).
    #[pyo3(signature = (prompts = Vec::new(), decodes = true))]
    fn predict_s(&self, prompts: Vec<(PyRef<'_, Request>, u32)>, decodes: bool) -> PyResult<f64> {
        if !self.traits.predicts {
            let why = "the policy has not asked for predictions: write `predicts = True` in its class, beside \
                       `deadlines = True`";
            return Err(wrong("predict_s", None, why));
        }
        let mut asked = Vec::with_capacity(prompts.len());
        for (request, tokens) in &prompts {
            asked.push((self.known("predict_s", request)?, *tokens));
        }
        self.with_deadlines("predict_s", |step| {
            let decoding = if decodes { step.all_decodes() } else { Decodes::default() };
            let mut sampled = decoding.tokens();
            let mut chunks = Vec::with_capacity(asked.len());
            for (handle, tokens) in asked {
                let view = step.view(handle);
                sampled += u32::from(tokens >= view.prefill_left());
                chunks.push(Chunk { context: view.computed, tokens: tokens.max(1) });
            }
            step.predict(&BatchShape::new(&chunks, decoding, sampled)).as_secs_f64()
        })
    }

    /// The last iteration that is over.
    #[getter]
    fn last(&self) -> PyResult<Option<Past>> {
        self.with_deadlines("last", |step| step.last().map(Past))
    }

    /// The median length of answers that have ended, in tokens; of one class, where a request of it is given.
    #[pyo3(signature = (like = None))]
    fn median_answer(&self, like: Option<&Request>) -> PyResult<Option<u32>> {
        self.with_deadlines("median_answer", |step| match like {
            Some(request) => step.median_answer_of(request.view.class),
            None => step.median_answer(),
        })
    }

    /// Says why this request, waiting or with an unfinished prompt, is left out of the batch; the reason stands
    /// until another is given or the request is scheduled. The reasons are those of `hold`.
    fn hold_request(&self, request: &Request, reason: &str) -> PyResult<()> {
        let handle = self.meant("hold_request", request, request.place)?;
        let held = held("hold_request", Some(request), reason)?;
        let view = self.with_deadlines("hold_request", |step| step.view(handle))?;
        if view.scheduled > 0 {
            return Err(wrong("hold_request", Some(request), "it is in this batch"));
        }
        if request.place == Place::Running && !view.is_prefilling() {
            return Err(wrong(
                "hold_request",
                Some(request),
                "it decodes: only a prompt can be left out",
            ));
        }
        self.with("hold_request", |step| step.hold_request(handle, held))
    }
}

/// The reason of this name.
fn held(verb: &str, request: Option<&Request>, reason: &str) -> PyResult<Held> {
    let reasons = [
        Held::NoSeat,
        Held::NoKvBlocks,
        Held::NoTokenBudget,
        Held::Preempting,
        Held::Deferred,
        Held::Relegated,
        Held::Sliver,
        Held::SlackSaved,
    ];
    reasons.iter().find(|held| held.name() == reason).copied().ok_or_else(|| {
        let names = reasons.map(Held::name).join(", ");
        wrong(verb, request, &format!("expected one of {names}, found `{reason}`"))
    })
}
