//! Commands and their answers: exit codes, files, limits, and the examples of the documents.

mod binary;
mod both_paths;
mod capacity_search;
mod capacity_sweep;
mod cures;
mod custom;
mod documents;
mod drafts;
mod elsewhere;
mod ended_early;
mod explain;
mod face;
mod faults;
mod fleet;
#[path = "../common/folder.rs"]
mod folder;
mod hostile;
mod joined;
mod mistakes;
mod observation;
mod plan;
mod planning;
mod readme;
mod report;
mod rooms;
mod run;
mod scenarios;
mod settings;
mod settled;
mod sglang;
#[path = "../common/shared.rs"]
mod shared;
#[path = "../common/stopped.rs"]
mod stopped;
