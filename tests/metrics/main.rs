//! Figures of a run and where its delays came from, beside plain definitions and cases worked out by
//! hand.

#[path = "../common/alike.rs"]
mod alike;
#[path = "../common/bubbles.rs"]
mod bubbles;
mod explain_exact;
mod explain_known;
mod explain_lockstep;
mod explain_turns_drafts;
mod golden_fluidity;
#[path = "../common/random.rs"]
mod random;
mod reference;
#[path = "../common/shared.rs"]
mod shared;
#[path = "../common/small.rs"]
mod small;
