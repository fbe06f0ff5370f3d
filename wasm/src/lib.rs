//! The playground's engine for a page without a server: [`metron_sim::answer_telling`]
//! through three exported functions, one that the page gives, and the module's own memory.
//!
//! 1. `reserve(n)` gives the place of `n` bytes; the page writes its question there.
//! 2. `answer(n)` answers the question in the first `n` of them, and gives the answer's length.
//! 3. `output()` gives the answer's place, valid until the next call.
//!
//! While it works on a long question it calls the page's `tell(place, length)` with how far it has come,
//! a line of JSON that is valid during that call.
//!
//! All memory is owned on this side, so that no pointer ever comes in: what is unsafe is nothing
//! but the promise that the exported names are unique and that `tell` is what the page gives.

use std::cell::RefCell;

use metron_sim::Files;

thread_local! {
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<String> = const { RefCell::new(String::new()) };
}

#[cfg(target_arch = "wasm32")]
mod page {
    // The page's own function; it gets a place in memory and reads it.
    #[allow(unsafe_code)]
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        pub(super) safe fn tell(at: *const u8, bytes: usize);
    }
}

/// Hands the page a line.
fn tell(line: String) {
    #[cfg(target_arch = "wasm32")]
    page::tell(line.as_ptr(), line.len());
    // Elsewhere there is no page.
    drop(line);
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
        metron_sim::answer_telling(&String::from_utf8_lossy(given), &Files::none(), &tell)
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
