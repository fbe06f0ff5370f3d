//! Server-sent events: the `data` of each, from bytes that come in any pieces.

/// Bytes of an event that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

/// The longest event, bytes.
const EVENT_BYTES_MAX: usize = 16 << 20;

impl Events {
    /// Takes bytes and hands the data of each event that they complete to `each`. False where an event
    /// is longer than any answer's.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return false;
            }
            if piece.ends_with(b"\n") {
                self.end_line(&mut each);
            }
        }
        true
    }

    /// The connection is over: what came without an empty line behind it is an event too.
    pub(super) fn end(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.end_line(&mut each);
        }
        self.dispatch(&mut each);
    }

    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            self.dispatch(each);
        } else if let Some(data) = text.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            self.has_data = true;
        }
        // Comments, names and ids of events say nothing here.
        self.line = line;
        self.line.clear();
    }

    fn dispatch(&mut self, each: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.has_data) {
            each(&self.data);
            self.data.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut out = Vec::new();
        let mut each = |data: &[u8]| out.push(String::from_utf8_lossy(data).into_owned());
        for piece in pieces {
            assert!(events.feed(piece, &mut each));
        }
        events.end(&mut each);
        out
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = b": hi\n\ndata: {\"a\":1}\n\ndata:two\r\n\r\nevent: x\ndata: l1\ndata: l2\n\ndata: [DONE]";
        let expected = ["{\"a\":1}", "two", "l1\nl2", "[DONE]"];
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(read(&pieces), expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        assert!(!events.feed(&vec![b'x'; EVENT_BYTES_MAX + 1], |_| {}));
    }
}
