//! What tells a sweep's file that is as it was written from one that was changed since.

use std::io;

use serde_json::Value;

use super::{SweepFile, grid};
use crate::search::digest::Digest;

impl SweepFile {
    /// Notes the digest of all that the file says. Nothing is to change afterwards.
    pub fn seal(&mut self) {
        self.digest = self.own_digest();
    }

    /// The digest of everything but the digest.
    fn own_digest(&mut self) -> String {
        self.digest.clear();
        let mut digest = Digested::default();
        serde_json::to_writer(&mut digest, self).expect("a result is plain data");
        digest.0.hex()
    }

    /// What is wrong with a file that was read, if anything: one that is not as it was written, or
    /// whose points are not results of its grid.
    pub(super) fn damage(&mut self) -> Option<String> {
        if self.digest.is_empty() {
            return Some(
                "has no digest of its contents: it was made by an older version, or by hand; make it \
                 again with this one"
                    .to_owned(),
            );
        }
        let said = self.digest.clone();
        let whole = self.own_digest() == said;
        self.digest = said;
        if !whole {
            return Some(
                "is damaged: its contents are not what `sweep` wrote; make it again".to_owned(),
            );
        }
        self.points.iter().enumerate().find_map(|(place, point)| {
            let of_grid = point.index < self.points_total
                && grid::combinations(&self.vary) == Some(self.points_total)
                && grid::values_of(&self.vary, point.index) == point.values;
            if !of_grid {
                return Some(format!("has no point of its grid at points.{place}"));
            }
            let result =
                |run: &Value| ["scheduler", "label"].iter().all(|key| run[key].is_string());
            let not = point.runs.iter().position(|run| !result(run))?;
            Some(format!("has no result at points.{place}.runs.{not}"))
        })
    }
}

/// The digest of what is written to it, whatever the pieces.
#[derive(Default)]
struct Digested(Digest);

impl io::Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.mix(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
