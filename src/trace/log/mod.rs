//! A lane's iterations in little memory. Most iterations decode what the one before did, with a
//! token more each and as soon as it is over. Such *stretches* are written down once; each of their
//! iterations adds when its tokens came and how many blocks were in use, 12 bytes.

#[cfg(test)]
mod tests;

use super::{ChunkRecord, Iteration};
use crate::replica::Held;
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
    /// The stretches that iterations 0, [`MARK`], 2 [`MARK`] ... belong to.
    marks: Vec<u32>,
    /// Iterations that did not begin, or were not decided on, when their stretch says, in order.
    instants: Vec<Instants>,
    chunks: Vec<ChunkRecord>,
    /// Stretches that have chunks.
    prefilling: Vec<u32>,
    /// A bit for each reason that ever held the head of the queue back.
    held: u8,
    preempted: Vec<RequestId>,
    /// Iterations that found requests preempted, with the end of theirs in `preempted`, in order.
    preempted_at: Vec<(u32, u32)>,
}

/// Iterations a mark: fewer find their stretch sooner.
const MARK: usize = 8;

/// Iterations in a row of which each begins when the one before is over, and repeats its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// KV entries that the first one's decodes read.
    kv_tokens: u64,
    /// The place of the first.
    first: u32,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instants {
    iteration: u32,
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

    /// The iteration at this place.
    ///
    /// # Panics
    /// When there is none.
    pub fn at(&self, place: usize) -> Iteration<'_> {
        self.told(self.stretch_of(place), place)
    }

    /// The iteration at this place, if there is one.
    pub fn get(&self, place: usize) -> Option<Iteration<'_>> {
        (place < self.len()).then(|| self.at(place))
    }

    /// When the tokens of the iteration at this place were there.
    ///
    /// # Panics
    /// When there is none.
    pub fn end(&self, place: usize) -> Time {
        self.ends[place]
    }

    /// The same of the iterations `from..to`.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn ends(&self, from: usize, to: usize) -> &[Time] {
        &self.ends[from..to]
    }

    /// When the iteration at this place began.
    ///
    /// # Panics
    /// When there is none.
    pub fn start(&self, place: usize) -> Time {
        self.start_in(self.stretch_of(place), place)
    }

    /// When the iteration after the one at this place could begin.
    ///
    /// # Panics
    /// When there is none at this place.
    pub fn free(&self, place: usize) -> Time {
        self.ends[place] + self.tail(place)
    }

    /// How long after the tokens of the iteration at this place that was.
    pub fn tail(&self, place: usize) -> Span {
        self.tails.get(place).copied().unwrap_or(Span::ZERO)
    }

    /// Whether some iteration left the next one waiting after its tokens were there.
    pub fn has_tails(&self) -> bool {
        !self.tails.is_empty()
    }

    /// All iterations in order.
    pub fn iter(&self) -> Iterations<'_> {
        self.range(0, self.len())
    }

    /// The iterations `from..to`.
    pub fn range(&self, from: usize, to: usize) -> Iterations<'_> {
        let stretch = if from < to { self.stretch_of(from) } else { 0 };
        Iterations { log: self, stretch, from, to }
    }

    /// Stretches of iterations that each repeat the batch of the one before: the first one, its
    /// place, and the place behind the last.
    pub fn stretches(&self) -> impl Iterator<Item = (Iteration<'_>, usize, usize)> {
        let ends = self.stretches.iter().skip(1).map(|stretch| stretch.first as usize);
        let ends = ends.chain([self.len()]);
        self.stretches.iter().zip(ends).enumerate().map(|(stretch, (of, end))| {
            let place = of.first as usize;
            (self.told(stretch, place), place, end)
        })
    }

    /// The iterations that prefilled, with their chunks.
    pub fn prefills(&self) -> impl Iterator<Item = (usize, &[ChunkRecord])> {
        self.prefilling.iter().map(|&stretch| {
            let of = &self.stretches[stretch as usize];
            (of.first as usize, self.chunks_of(stretch as usize))
        })
    }

    /// The iterations that found requests preempted, with these.
    pub fn preemptions(&self) -> impl Iterator<Item = (usize, &[RequestId])> {
        self.preempted_at
            .iter()
            .map(|&(place, _)| (place as usize, self.preempted_of(place as usize)))
    }

    /// Whether some iteration left the head of the queue waiting for this reason.
    pub fn ever_held(&self, held: Held) -> bool {
        self.held & 1 << held as u8 != 0
    }

    /// Chunks of all iterations.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// A chunk by its number among those of all iterations.
    ///
    /// # Panics
    /// When there is no such chunk.
    pub fn chunk(&self, number: usize) -> &ChunkRecord {
        &self.chunks[number]
    }

    /// Chunks of the iterations before this place.
    ///
    /// # Panics
    /// When there is no iteration at this place.
    pub fn chunks_before(&self, place: usize) -> usize {
        let stretch = self.stretch_of(place);
        if self.stretches[stretch].first as usize == place {
            self.chunks_begin(stretch)
        } else {
            self.stretches[stretch].chunks_end as usize
        }
    }

    /// How many iterations began before an instant. Found soonest where it is about `guess`.
    pub fn begun_before(&self, instant: Time, guess: usize) -> usize {
        let is_later = |place: usize| self.free(place) >= instant;
        let (mut from, mut to) = (guess.min(self.len()), guess.min(self.len()));
        let mut step = 1;
        while from > 0 && is_later(from - 1) {
            to = from - 1;
            from = to.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while to < self.len() && !is_later(to) {
            from = to + 1;
            to = (from + step).min(self.len());
            step *= 2;
        }
        // Each begins when the one before is free or later, so at most one more than were free.
        let over = first_where(from, to, is_later);
        over + usize::from(over < self.len() && self.start(over) < instant)
    }

    /// How many iterations, from the first on, `holds` is true of; of those after them it is not.
    pub fn partition_point(&self, holds: impl Fn(Iteration<'_>) -> bool) -> usize {
        first_where(0, self.len(), |place| !holds(self.at(place)))
    }

    /// The place of the iteration whose tokens came at this instant.
    pub fn place_of_tokens(&self, at: Time) -> Option<usize> {
        self.ends.binary_search(&at).ok()
    }

    /// Writes down the next iteration.
    pub fn push(&mut self, next: &Iteration<'_>) {
        let place = self.len();
        let free = self.free_before(place);
        let on_time = next.start == free;
        let before = self.stretches.last().copied();
        let start_before = || self.start_in(self.stretches.len() - 1, place - 1);
        let ahead = place > 0 && next.decided != next.start && next.decided == start_before();
        let apart = !on_time || (next.decided != next.start && !ahead);
        let repeats = !apart
            && before.is_some_and(|before| {
                let place_in = place as u32 - before.first;
                let known = place_in > 1 || !before.apart;
                before.is_repeated(next, place_in, self.chunks_of(self.stretches.len() - 1))
                    && (!known || before.ahead == ahead)
            });
        if repeats {
            let stretch = self.stretches.last_mut().expect("there is one to repeat");
            stretch.ahead = ahead;
        } else {
            self.begin(next, ahead, apart);
        }
        self.go_on(next.end, next.free, next.kv_used);
    }

    /// Writes down an iteration that repeats the last one as that repeated the one before it: it
    /// began when that was over, and was decided on at the same place in it.
    #[inline]
    pub fn repeat(&mut self, end: Time, free: Time, kv_used: u32) {
        let known = |last: &Stretch| !last.apart || self.len() as u32 > last.first + 1;
        debug_assert!(self.stretches.last().is_some_and(known), "there is nothing to repeat");
        self.go_on(end, free, kv_used);
    }

    /// Adds an iteration to the last stretch.
    #[inline]
    fn go_on(&mut self, end: Time, free: Time, kv_used: u32) {
        let place = self.len();
        if place.is_multiple_of(MARK) {
            self.marks.push(self.stretches.len() as u32 - 1);
        }
        let tail = free.since(end);
        if tail > Span::ZERO || !self.tails.is_empty() {
            self.tails.resize(place, Span::ZERO);
            self.tails.push(tail);
        }
        self.ends.push(end);
        self.kv_used.push(kv_used);
    }

    fn begin(&mut self, next: &Iteration<'_>, ahead: bool, apart: bool) {
        let first = self.len() as u32;
        if apart {
            let Iteration { decided, start, .. } = *next;
            self.instants.push(Instants { iteration: first, decided, start });
        }
        if !next.chunks.is_empty() {
            self.chunks.extend_from_slice(next.chunks);
            self.prefilling.push(self.stretches.len() as u32);
        }
        self.held |= next.held.map_or(0, |held| 1 << held as u8);
        if !next.preempted.is_empty() {
            self.preempted.extend_from_slice(next.preempted);
            self.preempted_at.push((first, self.preempted.len() as u32));
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
        });
    }

    /// Gives every request that is named another name.
    pub fn rename(&mut self, name: impl Fn(RequestId) -> RequestId) {
        self.chunks.iter_mut().for_each(|chunk| chunk.request = name(chunk.request));
        self.preempted.iter_mut().for_each(|request| *request = name(*request));
        let heads = self.stretches.iter_mut().filter(|stretch| stretch.has_head);
        heads.for_each(|stretch| stretch.head = name(stretch.head));
    }

    fn stretch_of(&self, place: usize) -> usize {
        assert!(place < self.len(), "there are {} iterations, not {place}", self.len());
        let from = self.marks[place / MARK] as usize;
        let later = self.stretches[from + 1..].iter();
        from + later.take_while(|stretch| stretch.first as usize <= place).count()
    }

    fn told(&self, stretch: usize, place: usize) -> Iteration<'_> {
        let of = &self.stretches[stretch];
        let place_in = place as u32 - of.first;
        let is_first = place_in == 0;
        let instants = self.instants_in(stretch, place);
        let start = instants.map_or_else(|| self.free_before(place), |at| at.start);
        let decided = match (instants, of.ahead) {
            (Some(at), _) => at.decided,
            (None, false) => start,
            (None, true) => {
                let before = if is_first { stretch - 1 } else { stretch };
                self.start_in(before, place - 1)
            }
        };
        Iteration {
            decided,
            start,
            end: self.ends[place],
            free: self.free(place),
            decodes: of.decodes,
            decode_kv_tokens: of.kv_tokens + u64::from(of.decodes) * u64::from(place_in),
            chunks: if is_first { self.chunks_of(stretch) } else { &[] },
            preempted: if is_first && of.has_preempted { self.preempted_of(place) } else { &[] },
            kv_used: self.kv_used[place],
            waiting: of.waiting,
            running: of.running,
            held: of.held,
            head: of.has_head.then_some(of.head),
        }
    }

    fn instants_in(&self, stretch: usize, place: usize) -> Option<Instants> {
        let of = &self.stretches[stretch];
        if !of.apart || of.first as usize != place {
            return None;
        }
        let found = self.instants.binary_search_by_key(&of.first, |at| at.iteration);
        Some(self.instants[found.expect("instants are written down for it")])
    }

    fn start_in(&self, stretch: usize, place: usize) -> Time {
        self.instants_in(stretch, place).map_or_else(|| self.free_before(place), |at| at.start)
    }

    /// When iteration `place` could begin.
    fn free_before(&self, place: usize) -> Time {
        place.checked_sub(1).map_or(Time::ZERO, |before| self.free(before))
    }

    fn chunks_of(&self, stretch: usize) -> &[ChunkRecord] {
        &self.chunks[self.chunks_begin(stretch)..self.stretches[stretch].chunks_end as usize]
    }

    fn chunks_begin(&self, stretch: usize) -> usize {
        stretch.checked_sub(1).map_or(0, |before| self.stretches[before].chunks_end as usize)
    }

    fn preempted_of(&self, place: usize) -> &[RequestId] {
        let at = self.preempted_at.partition_point(|&(of, _)| (of as usize) < place);
        let from = at.checked_sub(1).map_or(0, |before| self.preempted_at[before].1);
        &self.preempted[from as usize..self.preempted_at[at].1 as usize]
    }
}

/// The first place of `from..to` at which `holds`, which goes on to hold, or `to`.
fn first_where(mut from: usize, mut to: usize, holds: impl Fn(usize) -> bool) -> usize {
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) { to = middle } else { from = middle + 1 }
    }
    from
}

impl Stretch {
    /// Whether `next`, the iteration `place_in` after the first, goes on with it, but for instants.
    fn is_repeated(&self, next: &Iteration<'_>, place_in: u32, chunks: &[ChunkRecord]) -> bool {
        let kv_tokens = self.kv_tokens + u64::from(self.decodes) * u64::from(place_in);
        self.decodes == next.decodes
            && kv_tokens == next.decode_kv_tokens
            && self.waiting == next.waiting
            && self.running == next.running
            && self.held == next.held
            && self.has_head.then_some(self.head) == next.head
            && chunks.is_empty()
            && next.chunks.is_empty()
            && next.preempted.is_empty()
    }
}

/// Iterations of a [`Log`] in order.
#[derive(Clone, Debug)]
pub struct Iterations<'l> {
    log: &'l Log,
    /// The stretch of the next one.
    stretch: usize,
    from: usize,
    to: usize,
}

impl<'l> Iterator for Iterations<'l> {
    type Item = Iteration<'l>;

    fn next(&mut self) -> Option<Iteration<'l>> {
        if self.from >= self.to {
            return None;
        }
        let place = self.from;
        let stretches = &self.log.stretches;
        if stretches.get(self.stretch + 1).is_some_and(|next| next.first as usize == place) {
            self.stretch += 1;
        }
        self.from += 1;
        Some(self.log.told(self.stretch, place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.to - self.from.min(self.to);
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
