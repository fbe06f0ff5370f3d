use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An iteration without borrowed lists: `(idle, ahead, lasted, tail, what it does)`.
type Step = (u64, u8, u64, u64, (u32, u8, u8, u8, u8));

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = (1_u32..3, 0_u8..12, 0_u8..12, 0_u8..6, 0_u8..20);
    let idle = prop_oneof![6 => Just(0_u64), 1 => 1_u64..50];
    let tail = prop_oneof![4 => Just(0_u64), 1 => 1_u64..9];
    vec((idle, 0_u8..4, 1_u64..100, tail, what), 0..60)
}

fn drafts(decodes: u32) -> Drafts {
    Drafts { verified: 3 * decodes, accepted: decodes, next: 3, sampled: 4 * decodes }
}

/// Both the log and what was written into it, as text. `windowed`: of a model with a window.
fn written(steps: &[Step], windowed: bool) -> (Log, Vec<String>) {
    let (mut log, mut told) = (Log::default(), Vec::new());
    let (mut free, mut started, mut kv) = (0, 0, 100);
    let mut reads = Reads::default();
    for &(idle, ahead, lasted, tail, (decodes, chunk, lost, waiting, jump)) in steps {
        let start = free + idle;
        let decided = match ahead {
            0 | 1 => start,
            2 => started,
            _ => start - (start - started) / 2,
        };
        let record = ChunkRecord {
            request: RequestId(7),
            context: 0,
            tokens: lasted as u32,
            blocks: 1,
            samples: true,
        };
        let chunks = [record; 2];
        kv = if jump == 0 { 5 } else { kv + u64::from(decodes) };
        reads = reads.later(1);
        if jump < 3 {
            reads = Reads { within: [7, 0], growing: [decodes * u32::from(jump > 1), 0] };
        }
        let iteration = Iteration {
            decided: Time::from_nanos(decided),
            start: Time::from_nanos(start),
            end: Time::from_nanos(start + lasted),
            free: Time::from_nanos(start + lasted + tail),
            decodes,
            decode_kv_tokens: kv,
            reads: windowed.then_some(reads),
            beside: None,
            drafts: if jump == 7 { drafts(decodes) } else { Drafts::NONE },
            chunks: &chunks[..if chunk < 2 { usize::from(chunk) + 1 } else { 0 }],
            preempted: &[RequestId(3), RequestId(4)][..if lost == 0 { 2 } else { 0 }],
            kv_used: lasted as u32,
            waiting: u32::from(waiting == 0),
            running: 9,
            held: (waiting == 0).then_some(Held::NoSeat),
            head: (waiting < 2).then_some(RequestId(11)),
            reasons: &[(RequestId(5), Some(Held::Relegated)), (RequestId(3), None)]
                [..usize::from(lost == 0)],
        };
        log.push(&iteration);
        told.push(format!("{iteration:?}"));
        (free, started) = (start + lasted + tail, start);
    }
    (log, told)
}

proptest! {
    #[test]
    fn what_is_written_is_told(steps in steps(), windowed in any::<bool>()) {
        let (log, told) = written(&steps, windowed);
        prop_assert_eq!(log.len(), told.len());
        let read: Vec<String> = log.iter().map(|iteration| format!("{iteration:?}")).collect();
        prop_assert_eq!(&read, &told);
        for (number, told) in IterationNo::FIRST.onwards().zip(&told) {
            prop_assert_eq!(&format!("{:?}", log.at(number)), told);
            prop_assert_eq!(log.start(number), log.at(number).start);
            prop_assert_eq!(log.end(number), log.at(number).end);
            prop_assert_eq!(log.with_tokens_at(log.end(number)), Some(number));
            let before = log.range(IterationNo::FIRST..number);
            let chunks: usize = before.map(|i| i.chunks.len()).sum();
            prop_assert_eq!(log.chunks_before(number), chunks);
        }
        let again: Log = log.iter().collect();
        prop_assert_eq!(&again, &log);
        let stretches = log.stretches().flat_map(|(_, numbers)| IterationNo::each(numbers));
        prop_assert!(stretches.eq((0..told.len()).map(IterationNo::at)));
        for (number, chunks) in log.prefills() {
            prop_assert_eq!(log.at(number).chunks, chunks);
        }
        let prefilled = log.iter().filter(|iteration| !iteration.chunks.is_empty());
        prop_assert_eq!(log.prefills().count(), prefilled.count());
        for (number, preempted) in log.preemptions() {
            prop_assert_eq!(log.at(number).preempted, preempted);
        }
        let lost = log.iter().filter(|iteration| !iteration.preempted.is_empty());
        prop_assert_eq!(log.preemptions().count(), lost.count());
        for (first, numbers) in log.stretches() {
            prop_assert_eq!(first, log.at(numbers.start));
        }
        let reasons = [Held::NoSeat, Held::NoKvBlocks, Held::OtherLane];
        for reason in reasons {
            let ever = log.iter().any(|iteration| iteration.held == Some(reason));
            prop_assert_eq!(log.ever_held(reason), ever);
        }
        let half = told.len() / 2;
        let latter = IterationNo::at(half)..log.numbers().end;
        let part: Vec<String> =
            log.range(latter).map(|iteration| format!("{iteration:?}")).collect();
        prop_assert_eq!(&part[..], &told[half..]);
    }

    #[test]
    fn begun_before_counts_starts(steps in steps(), instant in 0_u64..4000, guess in 0_u32..70) {
        let (log, _) = written(&steps, false);
        let instant = Time::from_nanos(instant);
        let counted = log.iter().filter(|iteration| iteration.start < instant).count();
        let counted = IterationNo::at(counted);
        prop_assert_eq!(log.begun_before(instant, IterationNo(guess)), counted);
        prop_assert_eq!(log.partition_point(|i| i.start < instant), counted);
    }
}

#[test]
fn a_repeated_iteration_takes_twelve_bytes() {
    let steady: Vec<Step> = vec![(0, 0, 10, 0, (2, 9, 9, 5, 9)); 100];
    let (log, _) = written(&steady, false);
    assert_eq!(log.stretches.len(), 1);
    assert_eq!((log.tails.len(), log.instants.len()), (0, 0));
    assert_eq!(size_of::<Stretch>(), 40);
}
