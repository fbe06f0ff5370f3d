//! A lane's iterations in little memory. Most iterations decode what the one before did, with a
//! token more each and as soon as it is over. Such *stretches* are written down once; each of their
//! iterations adds when its tokens came and how many blocks were in use, 12 bytes.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{ChunkAt, ChunkRecord, Drafts, Iteration};
use crate::ids::IterationNo;
use crate::replica::{Held, Reads};
use crate::request::RequestId;
use crate::time::{Span, Time};

/// The iterations of one lane, in order: a replica has one lane, or one a pipeline stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Row i: when the tokens of iteration i were there.
    ends: Vec<Time>,
    /// Row i: blocks in use while it ran.
    kv_used: Vec<u32>,
    /// Row i: how long after its tokens the next could begin. No rows where that is always at once.
    tails: Vec<Span>,
    stretches: Vec<Stretch>,
    /// Row i: what the first decodes of stretch i read within the model's reaches. No rows where it
    /// has none.
    reads: Vec<Reads>,
    /// Row i: what the other ranks computed while iteration i ran. No rows where ranks do not step
    /// together.
    beside: Vec<u64>,
    /// What was drafted, of iterations in which something was, in order.
    drafts: Vec<(IterationNo, Drafts)>,
    /// The stretches that iterations 0, [`MARK`], 2 [`MARK`] ... belong to.
    marks: Vec<u32>,
    /// Iterations that did not begin, or were not decided on, when their stretch says, in order.
    instants: Vec<Instants>,
    chunks: Vec<ChunkRecord>,
    /// Stretches that have chunks.
    prefilling: Vec<u32>,
    /// A bit for each reason that ever held the head of the queue back.
    held: u16,
    /// Reasons for single requests, as they change.
    reasons: Vec<(RequestId, Option<Held>)>,
    /// Iterations with such changes, with the end of theirs in `reasons`, in order.
    reasons_at: Vec<(IterationNo, u32)>,
    preempted: Vec<RequestId>,
    /// Iterations that found requests preempted, with the end of theirs in `preempted`, in order.
    preempted_at: Vec<(IterationNo, u32)>,
}

/// Iterations a mark: fewer find their stretch sooner.
const MARK: usize = 8;

/// Iterations in a row of which each begins when the one before is over, and repeats its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// KV entries that the first one's decodes read.
    kv_tokens: u64,
    /// The first.
    first: IterationNo,
    decodes: u32,
    waiting: u32,
    running: u32,
    head: RequestId,
    /// Where the first one's chunks end in the lane's; the others have none.
    chunks_end: u32,
    held: Option<Held>,
    has_head: bool,
    /// Whether each was decided on when the one before began, or when it began itself.
    ahead: bool,
    /// Whether the first one's instants are written down apart.
    apart: bool,
    has_preempted: bool,
    /// It is one iteration then: drafts bring each its own number of tokens.
    has_drafts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instants {
    iteration: IterationNo,
    decided: Time,
    start: Time,
}

impl Log {
    /// How many iterations there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Their numbers.
    pub fn numbers(&self) -> Range<IterationNo> {
        debug_assert!(u32::try_from(self.len()).is_ok(), "so many iterations can be numbered");
        IterationNo::FIRST..IterationNo(self.len() as u32)
    }

    /// The number that the next one will have.
    fn next_number(&self) -> IterationNo {
        self.numbers().end
    }

    /// The iteration of this number.
    ///
    /// # Panics
    /// When there is none.
    pub fn at(&self, number: IterationNo) -> Iteration<'_> {
        self.told(self.stretch_of(number), number)
    }

    /// The iteration of this number, if there is one.
    pub fn get(&self, number: IterationNo) -> Option<Iteration<'_>> {
        self.numbers().contains(&number).then(|| self.at(number))
    }

    /// When the tokens of an iteration were there.
    ///
    /// # Panics
    /// When there is no such iteration.
    pub fn end(&self, number: IterationNo) -> Time {
        self.ends[number.index()]
    }

    /// The same of several iterations.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn ends(&self, numbers: Range<IterationNo>) -> &[Time] {
        &self.ends[numbers.start.index()..numbers.end.index()]
    }

    /// When an iteration began.
    ///
    /// # Panics
    /// When there is no such iteration.
    pub fn start(&self, number: IterationNo) -> Time {
        self.start_in(self.stretch_of(number), number)
    }

    /// When the iteration after this one could begin.
    ///
    /// # Panics
    /// When there is no such iteration.
    pub fn free(&self, number: IterationNo) -> Time {
        self.end(number) + self.tail(number)
    }

    /// How long after the tokens of an iteration that was.
    pub fn tail(&self, number: IterationNo) -> Span {
        self.tails.get(number.index()).copied().unwrap_or(Span::ZERO)
    }

    /// Whether some iteration left the next one waiting after its tokens were there.
    pub fn has_tails(&self) -> bool {
        !self.tails.is_empty()
    }

    /// All iterations in order.
    pub fn iter(&self) -> Iterations<'_> {
        self.range(self.numbers())
    }

    /// Some iterations in order.
    pub fn range(&self, numbers: Range<IterationNo>) -> Iterations<'_> {
        let stretch = if numbers.is_empty() { 0 } else { self.stretch_of(numbers.start) };
        Iterations { log: self, stretch, from: numbers.start, to: numbers.end }
    }

    /// Stretches of iterations that each repeat the batch of the one before: the first one, and the
    /// numbers of all.
    pub fn stretches(&self) -> impl Iterator<Item = (Iteration<'_>, Range<IterationNo>)> {
        let ends = self.stretches.iter().skip(1).map(|stretch| stretch.first);
        let ends = ends.chain([self.next_number()]);
        self.stretches
            .iter()
            .zip(ends)
            .enumerate()
            .map(|(stretch, (of, end))| (self.told(stretch, of.first), of.first..end))
    }

    /// The iterations that prefilled, with their chunks.
    pub fn prefills(&self) -> impl Iterator<Item = (IterationNo, &[ChunkRecord])> {
        self.prefilling.iter().map(|&stretch| {
            let stretch = stretch as usize;
            (self.stretches[stretch].first, self.chunks_of(stretch))
        })
    }

    /// The iterations that found requests preempted, with these.
    pub fn preemptions(&self) -> impl Iterator<Item = (IterationNo, &[RequestId])> {
        self.preempted_at.iter().map(|&(number, _)| (number, self.preempted_of(number)))
    }

    /// The iterations from which on other reasons hold for single requests, with these.
    pub fn reasons(&self) -> impl Iterator<Item = (IterationNo, &[(RequestId, Option<Held>)])> {
        self.reasons_at.iter().map(|&(number, _)| (number, self.reasons_of(number)))
    }

    /// Whether some iteration left the head of the queue waiting for this reason.
    pub fn ever_held(&self, held: Held) -> bool {
        self.held & 1 << held as u8 != 0
    }

    /// Chunks of all iterations.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Where a chunk stands among those of all iterations.
    ///
    /// # Panics
    /// When there is no such iteration.
    pub fn chunk_row(&self, at: ChunkAt) -> usize {
        self.chunks_before(at.iteration) + at.place.index()
    }

    /// A chunk by where it stands among those of all iterations.
    ///
    /// # Panics
    /// When there is no such chunk.
    pub fn chunk(&self, row: usize) -> &ChunkRecord {
        &self.chunks[row]
    }

    /// Chunks of the iterations before this one.
    ///
    /// # Panics
    /// When there is no such iteration.
    pub fn chunks_before(&self, number: IterationNo) -> usize {
        let stretch = self.stretch_of(number);
        if self.stretches[stretch].first == number {
            self.chunks_begin(stretch)
        } else {
            self.stretches[stretch].chunks_end as usize
        }
    }

    /// The first iteration that did not begin before an instant, or the number behind the last.
    /// Found soonest where it is about `guess`.
    pub fn begun_before(&self, instant: Time, guess: IterationNo) -> IterationNo {
        let count = self.next_number().0;
        let is_later = |number: u32| self.free(IterationNo(number)) >= instant;
        let (mut from, mut to) = (guess.0.min(count), guess.0.min(count));
        let mut step = 1;
        while from > 0 && is_later(from - 1) {
            to = from - 1;
            from = to.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while to < count && !is_later(to) {
            from = to + 1;
            to = from.saturating_add(step).min(count);
            step *= 2;
        }
        // Each begins when the one before is free or later, so at most one more than were free.
        let over = first_where(IterationNo(from)..IterationNo(to), |number| is_later(number.0));
        let one_more = over.0 < count && self.start(over) < instant;
        over.after(u32::from(one_more))
    }

    /// The first iteration that `holds` is not true of, or the number behind the last. It is true of
    /// all before that one, and of none after it.
    pub fn partition_point(&self, holds: impl Fn(Iteration<'_>) -> bool) -> IterationNo {
        first_where(self.numbers(), |number| !holds(self.at(number)))
    }

    /// The iteration whose tokens came at this instant.
    pub fn with_tokens_at(&self, at: Time) -> Option<IterationNo> {
        self.ends.binary_search(&at).ok().map(|row| IterationNo(row as u32))
    }

    /// The host itself was so long busy after the last iteration before it sent the next one: the next
    /// can begin that much later.
    ///
    /// # Panics
    /// When there is no iteration yet.
    pub fn lengthen_tail(&mut self, more: Span) {
        if more > Span::ZERO {
            let last = self.len().checked_sub(1).expect("there is an iteration to follow");
            self.tails.resize(last + 1, Span::ZERO);
            self.tails[last] += more;
        }
    }

    /// Whether drafts were verified or asked for in some iteration.
    pub fn has_drafts(&self) -> bool {
        !self.drafts.is_empty()
    }

    /// Writes down the next iteration.
    pub fn push(&mut self, next: &Iteration<'_>) {
        let number = self.next_number();
        let free = self.free_before(number);
        let on_time = next.start == free;
        let before = self.stretches.last().copied();
        let last = |before| self.start_in(self.stretches.len() - 1, before);
        let start_before = || number.before().map(last);
        let ahead = next.decided != next.start && Some(next.decided) == start_before();
        let apart = !on_time || (next.decided != next.start && !ahead);
        let repeats = !apart
            && before.is_some_and(|before| {
                let nth = number.since(before.first);
                let known = nth > 1 || !before.apart;
                before.is_repeated(next, nth, self.chunks_of(self.stretches.len() - 1))
                    && self.reads_repeat(next.reads, nth)
                    && (!known || before.ahead == ahead)
            });
        if repeats {
            let stretch = self.stretches.last_mut().expect("there is one to repeat");
            stretch.ahead = ahead;
        } else {
            self.begin(next, ahead, apart);
        }
        self.beside.extend(next.beside);
        self.go_on(next.end, next.free, next.kv_used);
    }

    /// Writes down an iteration that repeats the last one as that repeated the one before it: it
    /// began when that was over, and was decided on at the same place in it.
    #[inline]
    pub fn repeat(&mut self, end: Time, free: Time, kv_used: u32) {
        let known = |last: &Stretch| !last.apart || self.next_number() > last.first.next();
        debug_assert!(self.stretches.last().is_some_and(known), "there is nothing to repeat");
        self.go_on(end, free, kv_used);
    }

    /// Adds an iteration to the last stretch.
    #[inline]
    fn go_on(&mut self, end: Time, free: Time, kv_used: u32) {
        let row = self.len();
        if row.is_multiple_of(MARK) {
            self.marks.push(self.stretches.len() as u32 - 1);
        }
        let tail = free.since(end);
        if tail > Span::ZERO || !self.tails.is_empty() {
            self.tails.resize(row, Span::ZERO);
            self.tails.push(tail);
        }
        self.ends.push(end);
        self.kv_used.push(kv_used);
    }

    fn begin(&mut self, next: &Iteration<'_>, ahead: bool, apart: bool) {
        let first = self.next_number();
        if apart {
            let Iteration { decided, start, .. } = *next;
            self.instants.push(Instants { iteration: first, decided, start });
        }
        if !next.chunks.is_empty() {
            self.chunks.extend_from_slice(next.chunks);
            self.prefilling.push(self.stretches.len() as u32);
        }
        self.held |= next.held.map_or(0, |held| 1 << held as u8);
        if !next.reasons.is_empty() {
            self.reasons.extend_from_slice(next.reasons);
            self.reasons_at.push((first, self.reasons.len() as u32));
        }
        if !next.preempted.is_empty() {
            self.preempted.extend_from_slice(next.preempted);
            self.preempted_at.push((first, self.preempted.len() as u32));
        }
        if let Some(reads) = next.reads {
            // Stretches before the first that decodes.
            self.reads.resize(self.stretches.len(), Reads::default());
            self.reads.push(reads);
        } else if !self.reads.is_empty() {
            self.reads.push(Reads::default());
        }
        if next.drafts != Drafts::NONE {
            self.drafts.push((first, next.drafts));
        }
        self.stretches.push(Stretch {
            kv_tokens: next.decode_kv_tokens,
            first,
            decodes: next.decodes,
            waiting: next.waiting,
            running: next.running,
            head: next.head.unwrap_or_default(),
            chunks_end: self.chunks.len() as u32,
            held: next.held,
            has_head: next.head.is_some(),
            ahead: ahead && !apart,
            apart,
            has_preempted: !next.preempted.is_empty(),
            has_drafts: next.drafts != Drafts::NONE,
        });
    }

    /// Gives every request that is named another name.
    pub fn rename(&mut self, name: impl Fn(RequestId) -> RequestId) {
        self.chunks.iter_mut().for_each(|chunk| chunk.request = name(chunk.request));
        self.preempted.iter_mut().for_each(|request| *request = name(*request));
        self.reasons.iter_mut().for_each(|(request, _)| *request = name(*request));
        let heads = self.stretches.iter_mut().filter(|stretch| stretch.has_head);
        heads.for_each(|stretch| stretch.head = name(stretch.head));
    }

    fn stretch_of(&self, number: IterationNo) -> usize {
        let row = number.index();
        assert!(row < self.len(), "there are {} iterations, not {number}", self.len());
        let from = self.marks[row / MARK] as usize;
        let later = self.stretches[from + 1..].iter();
        from + later.take_while(|stretch| stretch.first <= number).count()
    }

    fn told(&self, stretch: usize, number: IterationNo) -> Iteration<'_> {
        let of = &self.stretches[stretch];
        let nth = number.since(of.first);
        let is_first = nth == 0;
        let instants = self.instants_in(stretch, number);
        let start = instants.map_or_else(|| self.free_before(number), |at| at.start);
        let decided = match (instants, number.before().filter(|_| of.ahead)) {
            (Some(at), _) => at.decided,
            (None, None) => start,
            (None, Some(before)) => {
                self.start_in(if is_first { stretch - 1 } else { stretch }, before)
            }
        };
        Iteration {
            decided,
            start,
            end: self.end(number),
            free: self.free(number),
            decodes: of.decodes,
            decode_kv_tokens: of.kv_tokens + u64::from(of.decodes) * u64::from(nth),
            beside: self.beside.get(number.index()).copied(),
            reads: self.reads.get(stretch).filter(|_| of.decodes > 0).map(|reads| reads.later(nth)),
            drafts: if of.has_drafts { self.drafts_of(number) } else { Drafts::NONE },
            chunks: if is_first { self.chunks_of(stretch) } else { &[] },
            preempted: if is_first && of.has_preempted { self.preempted_of(number) } else { &[] },
            kv_used: self.kv_used[number.index()],
            waiting: of.waiting,
            running: of.running,
            held: of.held,
            head: of.has_head.then_some(of.head),
            reasons: if is_first { self.reasons_of(number) } else { &[] },
        }
    }

    /// Whether the `nth` iteration after the first of the last stretch reads what that lets expect.
    fn reads_repeat(&self, next: Option<Reads>, nth: u32) -> bool {
        match next {
            None => true,
            Some(_) => self.reads.last().map(|reads| reads.later(nth)) == next,
        }
    }

    fn instants_in(&self, stretch: usize, number: IterationNo) -> Option<Instants> {
        let of = &self.stretches[stretch];
        if !of.apart || of.first != number {
            return None;
        }
        let found = self.instants.binary_search_by_key(&of.first, |at| at.iteration);
        Some(self.instants[found.expect("instants are written down for it")])
    }

    fn start_in(&self, stretch: usize, number: IterationNo) -> Time {
        self.instants_in(stretch, number).map_or_else(|| self.free_before(number), |at| at.start)
    }

    /// When an iteration could begin: when the one before it let it. Also of the number behind the last.
    ///
    /// # Panics
    /// When there is none before it, and it is not the first.
    pub fn free_before(&self, number: IterationNo) -> Time {
        number.before().map_or(Time::ZERO, |before| self.free(before))
    }

    fn chunks_of(&self, stretch: usize) -> &[ChunkRecord] {
        &self.chunks[self.chunks_begin(stretch)..self.stretches[stretch].chunks_end as usize]
    }

    fn chunks_begin(&self, stretch: usize) -> usize {
        stretch.checked_sub(1).map_or(0, |before| self.stretches[before].chunks_end as usize)
    }

    fn drafts_of(&self, number: IterationNo) -> Drafts {
        let found = self.drafts.binary_search_by_key(&number, |&(of, _)| of);
        found.map_or(Drafts::NONE, |at| self.drafts[at].1)
    }

    fn reasons_of(&self, number: IterationNo) -> &[(RequestId, Option<Held>)] {
        match self.reasons_at.binary_search_by_key(&number, |&(of, _)| of) {
            Err(_) => &[],
            Ok(at) => {
                let from = at.checked_sub(1).map_or(0, |before| self.reasons_at[before].1);
                &self.reasons[from as usize..self.reasons_at[at].1 as usize]
            }
        }
    }

    fn preempted_of(&self, number: IterationNo) -> &[RequestId] {
        let at = self.preempted_at.partition_point(|&(of, _)| of < number);
        let from = at.checked_sub(1).map_or(0, |before| self.preempted_at[before].1);
        &self.preempted[from as usize..self.preempted_at[at].1 as usize]
    }
}

/// The first of a range of which `holds`, which goes on to hold, or its end.
fn first_where(within: Range<IterationNo>, holds: impl Fn(IterationNo) -> bool) -> IterationNo {
    let Range { start: mut from, end: mut to } = within;
    while from < to {
        let middle = from.after(to.since(from) / 2);
        if holds(middle) { to = middle } else { from = middle.next() }
    }
    from
}

impl Stretch {
    /// Whether `next`, the `nth` iteration after the first, goes on with it, but for instants.
    fn is_repeated(&self, next: &Iteration<'_>, nth: u32, chunks: &[ChunkRecord]) -> bool {
        let kv_tokens = self.kv_tokens + u64::from(self.decodes) * u64::from(nth);
        self.decodes == next.decodes
            && kv_tokens == next.decode_kv_tokens
            && self.waiting == next.waiting
            && self.running == next.running
            && self.held == next.held
            && self.has_head.then_some(self.head) == next.head
            && chunks.is_empty()
            && next.chunks.is_empty()
            && next.preempted.is_empty()
            && next.reasons.is_empty()
            && !self.has_drafts
            && next.drafts == Drafts::NONE
    }
}

/// Iterations of a [`Log`] in order.
#[derive(Clone, Debug)]
pub struct Iterations<'l> {
    log: &'l Log,
    /// The stretch of the next one.
    stretch: usize,
    from: IterationNo,
    to: IterationNo,
}

impl<'l> Iterator for Iterations<'l> {
    type Item = Iteration<'l>;

    fn next(&mut self) -> Option<Iteration<'l>> {
        if self.from >= self.to {
            return None;
        }
        let number = self.from;
        let stretches = &self.log.stretches;
        if stretches.get(self.stretch + 1).is_some_and(|next| next.first == number) {
            self.stretch += 1;
        }
        self.from = number.next();
        Some(self.log.told(self.stretch, number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.to.since(self.from.min(self.to)) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iterations<'_> {}

impl<'l> IntoIterator for &'l Log {
    type Item = Iteration<'l>;
    type IntoIter = Iterations<'l>;

    fn into_iter(self) -> Iterations<'l> {
        self.iter()
    }
}

impl<'i> FromIterator<Iteration<'i>> for Log {
    fn from_iter<I: IntoIterator<Item = Iteration<'i>>>(iterations: I) -> Log {
        let mut log = Log::default();
        iterations.into_iter().for_each(|iteration| log.push(&iteration));
        log
    }
}
