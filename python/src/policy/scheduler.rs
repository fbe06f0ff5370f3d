//! A policy of one replica: an object of a class in Python.

use metron_sim::policy::{RequestView, Scheduler, Step};
use pyo3::intern;
use pyo3::prelude::*;

use super::held::{deciding, fail, failed};
use super::request::{Place, Request};
use super::step::during;

/// The object, or nothing where it could not be made; the reason is raised when the run has ended.
pub(super) struct OfPython {
    pub(super) object: Option<Py<PyAny>>,
    pub(super) reserves: bool,
}

impl Scheduler for OfPython {
    fn schedule(&mut self, step: &mut Step<'_>) {
        let Some(object) = self.object.as_ref().filter(|_| !failed()) else { return };
        let decided = deciding(|| {
            Python::attach(|py| {
                during(py, step, |step| {
                    object.bind(py).call_method1(intern!(py, "schedule"), (step,)).map(drop)
                })
            })
        });
        if let Err(error) = decided {
            fail(error);
        }
    }

    fn reserves(&self, request: &RequestView, _: u32) -> u32 {
        let Some(object) = self.object.as_ref().filter(|_| self.reserves && !failed()) else {
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
