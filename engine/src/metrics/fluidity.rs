//! The fluidity-index of one request: how many of its token deadlines were met and missed.
//!
//! The first token is due `D_p` after the arrival, each later one `D_d` after the deadline of the
//! token before it, so a token that is early leaves slack to those after it. A token that comes
//! after its deadline misses that one and each further `D_d` that passed until it came, and the
//! clock starts anew at it: the next token is due `D_d` later. Deadlines are inclusive. Since a
//! late token adds no hit, hits and misses do not add up to the number of tokens.
//!
//! Everything is kept as one number, the next token's deadline. It saturates at the last instant
//! that can be told: no token comes later than that, so every later deadline is met either way.

use super::Deadlines;
use super::lateness::Lateness;
use crate::ids::RequestId;
use crate::threads;
use crate::time::Time;
use crate::trace::{Part, RequestRow, Run, Status, TokenTrace};

/// Deadlines met and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tokens that came by their deadline.
    pub met: u64,
    /// Deadlines that passed before their token came.
    pub missed: u64,
}

impl Tally {
    /// The fluidity-index, `met / (met + missed)`; 1 when there were no deadlines.
    pub fn index(self) -> f64 {
        if self.total() == 0 { 1.0 } else { self.met as f64 / self.total() as f64 }
    }

    /// The deadline miss rate, `missed / (met + missed)`; 0 when there were no deadlines.
    pub fn miss_rate(self) -> f64 {
        if self.total() == 0 { 0.0 } else { self.missed as f64 / self.total() as f64 }
    }

    /// All deadlines.
    pub fn total(self) -> u64 {
        self.met.saturating_add(self.missed)
    }

    /// Whether at most one deadline in ten was missed: what the smallest TBT deadline asks for.
    pub fn at_most_a_tenth_missed(self) -> bool {
        u128::from(self.missed) * 10 <= u128::from(self.total())
    }
}

/// A request's tally, and whether its next token was due already when observation ended: then that
/// one will be late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) tally: Tally,
    pub(super) overdue: bool,
}

/// The state of judging one request: its tally so far and when the next token is due.
pub(super) struct Judgement {
    tbt: u64,
    due: u64,
    tally: Tally,
}

impl Judgement {
    /// Nothing judged yet; the first token to judge is due at `due`, later ones `tbt` apart.
    fn new(due: u64, tbt: u64) -> Judgement {
        Judgement { tbt, due, tally: Tally::default() }
    }

    /// Judges one token.
    fn token(&mut self, at: u64) {
        if at <= self.due {
            self.tally.met += 1;
        } else {
            let later = (at - self.due) / self.tbt;
            self.tally.missed = self.tally.missed.saturating_add(later).saturating_add(1);
            self.due = at;
        }
        self.due = self.due.saturating_add(self.tbt);
    }

    /// Judges a run of tokens, from one miss to the next with the help of the column's index.
    fn run(&mut self, run: Run, index: &Lateness<'_>) {
        let (first, end) = (run.first as usize, (run.first + run.len) as usize);
        let at = |entry: usize| index.at(entry);
        let due_at =
            |due: u64, tokens: usize| due.saturating_add(self.tbt.saturating_mul(tokens as u64));
        let Some(miss) = index.first_miss(first, end, self.due) else {
            self.tally.met += u64::from(run.len);
            self.due = due_at(self.due, end - first);
            return;
        };
        let late = at(miss) - due_at(self.due, miss - first);
        let more = index.misses_after(miss, end);
        self.tally.missed += 1 + late / self.tbt + more.deadlines;
        self.tally.met += u64::from(run.len - 1 - more.tokens);
        let last = more.last as usize;
        self.due = due_at(at(last), end - last);
    }
}

/// Judges requests against one `D_d`.
pub(super) struct Judge<'a> {
    trace: &'a TokenTrace,
    tbt: u64,
    indexes: Vec<Option<Lateness<'a>>>,
}

impl<'a> Judge<'a> {
    /// A judge for requests that run over `demand[c]` entries of column `c` in all. Columns that
    /// many of them share are indexed; elsewhere token after token is cheaper.
    pub(super) fn new(trace: &'a TokenTrace, tbt: u64, demand: &[u64]) -> Judge<'a> {
        assert!(tbt > 0, "a TBT deadline is at least 1 ns");
        let columns = trace.columns.len().min(demand.len());
        let indexes = threads::up_to(columns, |index| {
            let column = &trace.columns[index].times;
            (demand[index] / 4 >= column.len() as u64).then(|| Lateness::new(column, tbt)).flatten()
        });
        Judge { trace, tbt, indexes }
    }

    /// A judge that looks at each token.
    pub(super) fn token_by_token(trace: &'a TokenTrace, tbt: u64) -> Judge<'a> {
        Judge::new(trace, tbt, &[])
    }

    /// The tally of a request; `ttft` is `D_p`, `None` to leave the first token out. An unfinished
    /// request has missed each deadline that passed before observation ended; it is owed the hits.
    pub(super) fn tally(&self, row: &RequestRow, ttft: Option<u64>) -> Tally {
        self.judge(row, ttft).tally
    }

    /// The same, and how the request stood when observation ended.
    pub(super) fn judge(&self, row: &RequestRow, ttft: Option<u64>) -> Judged {
        let mut judgement = match ttft {
            Some(ttft) => {
                let due = row.arrival.as_nanos().saturating_add(ttft);
                let mut judgement = Judgement::new(due, self.tbt);
                if row.first_token != Time::NEVER {
                    judgement.token(row.first_token.as_nanos());
                }
                judgement
            }
            None if row.first_token == Time::NEVER => return Judged::default(),
            None => Judgement::new(row.first_token.as_nanos().saturating_add(self.tbt), self.tbt),
        };
        for run in self.trace.runs(row) {
            match self.indexes.get(run.column.index()) {
                Some(Some(index)) => judgement.run(run, index),
                _ => {
                    let times = self.trace.times(run).iter();
                    times.for_each(|time| judgement.token(time.as_nanos()));
                }
            }
        }
        let mut overdue = false;
        if row.status == Status::Unfinished {
            let last = self.trace.last_token(row).unwrap_or(row.arrival);
            let end = self.trace.end.max(last).as_nanos();
            overdue = end > judgement.due;
            if overdue {
                judgement.token(end);
            }
        }
        Judged { tally: judgement.tally, overdue }
    }
}

/// The tally of one request by these deadlines, token by token: for who looks at a few.
pub fn tally_of(trace: &TokenTrace, row: &RequestRow, deadlines: &Deadlines) -> Tally {
    let ttft = deadlines.ttft(row.prompt_tokens).as_nanos();
    Judge::token_by_token(trace, deadlines.tbt().as_nanos()).tally(row, Some(ttft))
}

/// As [`demand`], of those requests of a part that have these indices among all.
pub(super) fn demand_of(part: Part<'_>, rows: &[RequestId]) -> Vec<u64> {
    let each = rows.len().div_ceil(threads::count()).max(1);
    let sums = threads::map(rows.chunks(each).collect(), |rows| {
        demand(part.trace, rows.iter().map(|&row| part.row(row)))
    });
    let mut sums = sums.into_iter();
    let mut whole = sums.next().unwrap_or_else(|| vec![0; part.trace.columns.len()]);
    for sum in sums {
        whole.iter_mut().zip(sum).for_each(|(all, more)| *all += more);
    }
    whole
}

/// How many entries of each column these requests run over.
pub(super) fn demand<'r>(
    trace: &TokenTrace,
    rows: impl Iterator<Item = &'r RequestRow>,
) -> Vec<u64> {
    let mut demand = vec![0; trace.columns.len()];
    for row in rows {
        for run in trace.runs(row) {
            demand[run.column.index()] += u64::from(run.len);
        }
    }
    demand
}
