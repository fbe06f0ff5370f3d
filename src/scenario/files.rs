//! Which files a scenario may name.

use std::path::{Path, PathBuf};

/// Where a scenario's paths lead, and which of them may be followed.
///
/// A scenario on the command line is its user's own and may name any file. One that came over a
/// network, or in a link, may not: its error messages would quote what they read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    folder: PathBuf,
    only: Option<Vec<PathBuf>>,
}

impl Files {
    /// Any file; relative paths start at `folder`.
    pub fn any(folder: impl Into<PathBuf>) -> Files {
        Files { folder: folder.into(), only: None }
    }

    /// No file but these, named as paths that start at `folder`.
    pub fn only(folder: impl Into<PathBuf>, given: &[String]) -> Files {
        let folder = folder.into();
        let only = given.iter().map(|given| folder.join(given)).collect();
        Files { folder, only: Some(only) }
    }

    /// No file at all.
    pub fn none() -> Files {
        Files::only("", &[])
    }

    /// The path that a scenario means by `given`.
    pub fn path(&self, given: &str) -> PathBuf {
        self.folder.join(given)
    }

    /// Whether this path, spelt in just this way, may be looked at.
    pub fn allow(&self, path: &Path) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.iter().any(|one| one.as_os_str() == path.as_os_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_just_what_it_names() {
        let files = Files::only("/a/b", &["t.csv".to_owned(), "/x/y.json".to_owned()]);
        assert!(files.allow(&files.path("t.csv")) && files.allow(&files.path("/x/y.json")));
        for other in ["u.csv", "../b/t.csv", "./t.csv", "/etc/passwd", "t.csv/", ""] {
            assert!(!files.allow(&files.path(other)), "{other}");
        }
        assert!(Files::any("/a").allow(Path::new("/etc/passwd")));
        assert!(!Files::none().allow(Path::new("")));
    }
}
