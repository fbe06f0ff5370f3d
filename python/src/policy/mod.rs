//! Policies in Python: a class whose `schedule(step)` fills each batch, under a name that scenarios give.

mod held;
mod kept_thread;
mod request;
mod scheduler;
mod slots;
mod standing;
mod step;

pub(crate) use held::{alone, failed, raised};
pub(crate) use request::Request;
pub(crate) use slots::{python_schedulers, register_scheduler};
pub(crate) use standing::{Past, Standing};
pub(crate) use step::Step;
