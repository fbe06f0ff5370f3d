//! The playground's engine for a page without a server: [`metron_sim::answer`]
//! through four exported functions and the module's own memory.
//!
//! 1. `reserve(n)` gives the place of `n` bytes; the page writes its question there.
//! 2. `answer(n)` answers the question in the first `n` of them, and gives the answer's length.
//! 3. `output()` gives the answer's place, valid until the next call.
//!
//! All memory is owned on this side, so that no pointer ever comes in: what is unsafe is nothing
//! but the promise that the exported names are unique.

use std::cell::RefCell;

use metron_sim::Files;

thread_local! {
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Room for a question of `bytes` bytes.
// `no_mangle` could clash with another symbol of this name; the module has no other code that
// exports one.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn reserve(bytes: usize) -> *const u8 {
    QUESTION.with_borrow_mut(|question| {
        question.clear();
        question.resize(bytes, 0);
        question.as_ptr()
    })
}

/// Answers the question in the first `bytes` bytes of the room, and gives the answer's length.
// As for `reserve`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn answer(bytes: usize) -> usize {
    let text = QUESTION.with_borrow(|question| {
        let given = &question[..bytes.min(question.len())];
        metron_sim::answer(&String::from_utf8_lossy(given), &Files::none())
    });
    ANSWER.with_borrow_mut(|answer| {
        *answer = text;
        answer.len()
    })
}

/// Where the last answer stands.
// As for `reserve`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const u8 {
    ANSWER.with_borrow(|answer| answer.as_ptr())
}
