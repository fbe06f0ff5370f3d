//! Files that are read as a whole: what tells them is not their first line alone.

use std::io::Read as _;
use std::path::Path;

use crate::interop::measured_file;
use crate::workload::WorkloadError;

use super::sniff::Format;
use super::{lines, servegen};

/// The beginning of a file in which its kind must show, bytes.
const HEAD_BYTES: u64 = 1 << 16;
/// A description is no longer than this, bytes.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The format of a file that is not told by its first line; `None` for all others.
pub(super) fn told(path: &Path) -> Option<Format> {
    let mut head = Vec::new();
    lines::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let text = head.trim_start_matches('\u{feff}').trim_start();
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    if servegen::is_client(path, text) {
        return Some(Format::ServeGen);
    }
    if path.extension().is_some_and(|is| is == "yaml" || is == "yml") {
        let data =
            text.lines().any(|line| line.trim_end() == "data:" || line.starts_with("data: {"));
        return data.then_some(Format::InferencePerf);
    }
    if text.starts_with('{') && has("filetype") && has("generate_conversations") {
        return Some(Format::VllmMultiTurn);
    }
    let first = text.lines().next().unwrap_or_default();
    let in_first = |key: &str| first.contains(&format!("\"{key}\""));
    // Rows of lengths may have the text beside them.
    let counted = in_first("input_length") || in_first("prompt_tokens");
    let said = |key: &str| match text.as_bytes().first() {
        Some(b'[') => has(key),
        Some(b'{') => in_first(key) && !counted,
        _ => false,
    };
    let talks = said("messages") || said("conversations");
    (talks && measured_file(path).is_none()).then_some(Format::Conversations)
}

/// The text of a description.
pub(super) fn text(path: &Path) -> Result<String, WorkloadError> {
    let mut bytes = Vec::new();
    let mut reader = lines::open(path)?.take(TEXT_BYTES_MAX + 1);
    reader.read_to_end(&mut bytes).map_err(|error| WorkloadError::io(path, &error))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        let message = format!("expected a description of at most {TEXT_BYTES_MAX} bytes");
        return Err(WorkloadError::content(path, None, message));
    }
    String::from_utf8(bytes)
        .map_err(|_| WorkloadError::content(path, None, "expected UTF-8 text, found other bytes"))
}
