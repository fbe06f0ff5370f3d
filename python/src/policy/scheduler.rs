//! A policy of one replica: an object of a class in Python.

use metron_sim::policy::{Needs, RequestView, Scheduler, Step};
use pyo3::intern;
use pyo3::prelude::*;

use super::held::{deciding, fail, failed};
use super::kept_thread::KeptThread;
use super::request::{Place, Request};
use super::step::during;

/// What a class says of itself beside its parameters.
#[derive(Clone, Copy, Default)]
pub(super) struct Traits {
    /// It has a method `reserves`.
    pub(super) reserves: bool,
    /// It looks at deadlines.
    pub(super) deadlines: bool,
    /// It predicts how long iterations take.
    pub(super) predicts: bool,
}

/// The object, or nothing where it could not be made; the reason is raised when the run has ended.
pub(super) struct OfPython {
    pub(super) object: Option<Py<PyAny>>,
    pub(super) traits: Traits,
    pub(super) thread: Option<KeptThread>,
}

impl Scheduler for OfPython {
    fn needs(&self) -> Needs {
        let Traits { deadlines, predicts, .. } = self.traits;
        Needs { deadlines, predicts, one_lane: deadlines, ..Needs::default() }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let Some(object) = self.object.as_ref().filter(|_| !failed()) else { return };
        KeptThread::renew(&mut self.thread);
        let decided = deciding(|| {
            Python::attach(|py| {
                during(py, step, self.traits, |step| {
                    object.bind(py).call_method1(intern!(py, "schedule"), (step,)).map(drop)
                })
            })
        });
        if let Err(error) = decided {
            fail(error);
        }
    }

    fn reserves(&self, request: &RequestView, _: u32) -> u32 {
        let Some(object) = self.object.as_ref().filter(|_| self.traits.reserves && !failed())
        else {
            return 0;
        };
        let told = deciding(|| {
            Python::attach(|py| {
                let request =
                    Request { handle: None, view: *request, place: Place::Arriving, step: 0 };
                object.bind(py).call_method1(intern!(py, "reserves"), (request,))?.extract::<u32>()
            })
        });
        told.unwrap_or_else(|error| {
            fail(error);
            0
        })
    }
}
