//! Points that others measured, as scenarios: aiconfigurator's collection of InferenceMAX (InferenceX)
//! and of its own (Apache-2.0), mean TTFT and TPOT of closed loops. Users ask again as soon as they
//! are answered, ten times; lengths were drawn evenly from 80 to 100 % of the nominal ones. aiconfigurator's own runs
//! of Qwen3 on H100 are taken to have had fixed lengths: their first tokens come after the prefill of all
//! users' prompts and their other tokens without one, at the right total, which is what users in step do.

mod apart;
mod apart_expressed;
mod compared;
mod expressed;
mod played;
mod served;
mod split;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use apart::{Apart, Order, Seats, play_apart};
pub(crate) use apart_expressed::{NotApart, express_apart, times_with_workers};
pub(crate) use compared::{Compared, Measured, by, errors, write_csv};
pub(crate) use expressed::{Dropped, express};
pub(crate) use played::{Played, play, system};

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    fields: BTreeMap<String, String>,
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.fields.get(column).unwrap_or_else(|| panic!("a column {column}"))
    }

    /// A whole number, written with or without a fraction; `None` where there is none.
    pub(crate) fn whole(&self, column: &str) -> Option<u32> {
        let value: f64 = self.text(column).parse().ok()?;
        (value >= 0.0 && value.fract() == 0.0).then_some(value as u32)
    }

    pub(crate) fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or(f64::NAN)
    }
}

/// All rows of the table.
pub(crate) fn rows(file: &Path) -> Vec<Row> {
    let text = std::fs::File::open(file).expect("it is there");
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(text));
    let headers = reader.headers().expect("a header").clone();
    let named = |record: csv::StringRecord| Row {
        fields: headers.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect(),
    };
    reader.records().map(|record| named(record.expect("a row"))).collect()
}

/// A point that a scenario says.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) model: &'static str,
    pub(crate) gpu: &'static str,
    pub(crate) engine: Engine,
    pub(crate) version: String,
    pub(crate) dtype: &'static str,
    /// Whether the checkpoint has K and V in 8 bits, and the engine follows it.
    pub(crate) kv_in_fp8: bool,
    /// Whether all lengths are the nominal ones.
    pub(crate) fixed_lengths: bool,
    pub(crate) prompt: u32,
    pub(crate) output: u32,
    pub(crate) users: u32,
    pub(crate) tensor: u32,
    pub(crate) data: u32,
    pub(crate) expert: bool,
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
}

/// Whose server it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Sglang,
    TensorRtLlm,
    Vllm,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Sglang => "sglang",
            Engine::TensorRtLlm => "trtllm",
            Engine::Vllm => "vllm",
        }
    }
}

impl Point {
    /// What was configured, without the engine's version: the same on all dates that it was
    /// measured on.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "{} {} {} {} {}x{} c{} tp{} dp{} ep{}",
            self.engine.name(),
            self.model,
            self.gpu,
            self.dtype,
            self.prompt,
            self.output,
            self.users,
            self.tensor,
            self.data,
            self.expert
        )
    }

    /// Whether fits must not see it: the rows of a configuration are held out together.
    pub(crate) fn is_held_out(&self) -> bool {
        is_held_out(&self.configuration())
    }

    /// GPUs, as `2` or `8 ranks of 1, whole experts`.
    pub(crate) fn split(&self) -> String {
        let ranks = if self.data > 1 { format!("{}dp", self.data) } else { String::new() };
        let experts = if self.expert { "ep" } else { "" };
        format!("tp{}{ranks}{experts}", self.tensor)
    }
}

impl Measured for Point {
    fn measured(&self) -> Played {
        Played { ttft_ms: self.ttft_ms, tpot_ms: self.tpot_ms }
    }

    fn mean_output(&self) -> f64 {
        0.9 * f64::from(self.output)
    }
}

/// Whether a configuration is held out of fits: the first bit of its FNV-1a hash.
fn is_held_out(configuration: &str) -> bool {
    let hash = configuration.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) & 1 == 1
}
