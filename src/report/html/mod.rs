//! A page in one file: words and tables that any reader shows, data, and the scripts that draw it.
//!
//! Nothing is fetched. Names come from scenarios and files and may hold anything, so all text is
//! escaped, and a content security policy allows this page's own scripts and styles alone.

mod escape;

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

pub use escape::{escape_json, escape_text};

/// Styles of a page: the plotting library's, then ours.
pub const STYLE: &str = concat!(
    include_str!("../../../web/vendor/uplot/uPlot.min.css"),
    "\n",
    include_str!("../../../web/style.css")
);

/// Scripts that draw data, in the order in which they must run. A page's own script comes after.
pub const SCRIPTS: &str = concat!(
    "/* uPlot, MIT licence:\n",
    include_str!("../../../web/vendor/uplot/LICENSE"),
    "*/\n",
    include_str!("../../../web/vendor/uplot/uPlot.iife.min.js"),
    "\n",
    include_str!("../../../web/base.js"),
    include_str!("../../../web/export.js"),
    include_str!("../../../web/tables.js"),
    include_str!("../../../web/plots.js"),
    include_str!("../../../web/tokens.js"),
    include_str!("../../../web/timeline.js"),
    include_str!("../../../web/packed.js"),
    include_str!("../../../web/stalls.js"),
    include_str!("../../../web/fates.js"),
    include_str!("../../../web/words.js"),
);

/// The report's own script: it finds the data in the page and draws all of it.
const REPORT: &str = include_str!("../../../web/report.js");

/// A table of words and figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the columns are; the first is for the names of rows.
    pub head: Vec<String>,
    /// A row's name, and its cells with whether each is the best of its row.
    pub rows: Vec<(String, Vec<(String, bool)>)>,
    /// Whether each row is a scheduler; otherwise each column is.
    pub runs_are_rows: bool,
}

/// What a report says before anything is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its title.
    pub title: &'a str,
    /// What was simulated or measured, line by line.
    pub header: &'a [String],
    /// The answer, sentence by sentence.
    pub verdict: &'a [String],
    /// The figures.
    pub table: Option<&'a Table>,
    /// What a reader should know.
    pub notes: &'a [String],
    /// What is drawn, as JSON.
    pub data: &'a str,
    /// More of it, which scripts look up when they need it: lines of base64, and nothing else.
    pub packed: &'a [&'a str],
    /// What made it, such as `metron-sim 0.1.0`.
    pub made_by: &'a str,
}

/// Bytes as base64, with padding (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A script's hash, as a content security policy names it.
pub fn script_hash(script: &str) -> String {
    base64(&Sha256::digest(script))
}

/// The whole page.
pub fn document(page: &Document<'_>) -> String {
    let script = format!("\n{SCRIPTS}{REPORT}");
    let style = format!("\n{STYLE}");
    let mut html = String::with_capacity(script.len() + style.len() + page.data.len() + 20_000);
    let title = escape_text(page.title);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src 'sha256-{}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>{style}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#verdict\">Skip to the verdict</a>\n\
         <header class=\"top\"><h1>{title}</h1><div id=\"tools\"></div></header>\n<main>\n",
        script_hash(&script),
    );
    html.push_str("<section id=\"verdict\" aria-labelledby=\"verdict-h\">\n<h2 id=\"verdict-h\">Verdict</h2>\n");
    if page.verdict.is_empty() {
        html.push_str("<p>No verdict: what is known of this run is not enough to judge it by the promise.</p>\n");
    }
    for sentence in page.verdict {
        let _ = writeln!(html, "<p>{}</p>", unbroken(&escape_text(sentence)));
    }
    html.push_str("</section>\n");
    if let Some(table) = page.table {
        figures(&mut html, table);
    }
    html.push_str("<div id=\"plots\"></div>\n<noscript><p>The plots need JavaScript; the verdict and the table do not.</p></noscript>\n");
    html.push_str("<section id=\"setup\" aria-labelledby=\"setup-h\">\n<h2 id=\"setup-h\">What was looked at</h2>\n<ul class=\"setup\">\n");
    for line in page.header.iter().chain(page.notes).filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(html, "<li>{}</li>", escape_text(line.trim()));
    }
    html.push_str("</ul>\n<div id=\"scenario\"></div>\n</section>\n</main>\n");
    let _ = write!(
        html,
        "<footer><p>Made by {}. Plots: uPlot, MIT licence.</p></footer>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>{script}</script>\n",
        escape_text(page.made_by),
        escape_json(page.data),
    );
    // Behind the script, which need not wait for it.
    for (id, text) in page.packed.iter().enumerate() {
        let text = escape_text(text);
        let _ = writeln!(html, "<script type=\"text/plain\" id=\"packed-{id}\">{text}</script>");
    }
    html.push_str("</body>\n</html>\n");
    html
}

/// As type, not as a terminal writes it; a number and its unit stay on one line.
fn unbroken(text: &str) -> String {
    let text = text.replace(" +- ", " \u{b1} ").replace(" -&gt; ", " \u{2192} ");
    let text = text.replace("&gt;= ", "\u{2265}\u{a0}").replace("&lt;= ", "\u{2264}\u{a0}");
    [" %", " ms", " s"].into_iter().fold(text, |text, unit| {
        let mut parts = text.split(unit);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let whole = !part.starts_with(|c: char| c.is_alphanumeric());
            let number = out.ends_with(|c: char| c.is_ascii_digit());
            out.push_str(if whole && number { "\u{a0}" } else { " " });
            out.push_str(&unit[1..]);
            out.push_str(part);
        }
        out
    })
}

fn figures(html: &mut String, table: &Table) {
    // A scheduler's place, for its colour.
    let run =
        |place: Option<usize>| place.map_or(String::new(), |at| format!(" data-run=\"{at}\""));
    html.push_str("<section id=\"figures\" aria-labelledby=\"figures-h\">\n<h2 id=\"figures-h\">Figures</h2>\n");
    html.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures, side by side\">\n<table class=\"figures\">\n<thead><tr>");
    for (place, head) in table.head.iter().enumerate() {
        let series = run(place.checked_sub(1).filter(|_| !table.runs_are_rows));
        let _ = write!(html, "<th scope=\"col\"{series}>{}</th>", escape_text(head));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (place, (name, cells)) in table.rows.iter().enumerate() {
        let series = run(Some(place).filter(|_| table.runs_are_rows));
        let inner = if name.starts_with(' ') { " class=\"inner\"" } else { "" };
        let _ =
            write!(html, "<tr><th scope=\"row\"{inner}{series}>{}</th>", escape_text(name.trim()));
        for (text, best) in cells {
            let text = unbroken(&escape_text(text));
            let _ = match best {
                true => write!(
                    html,
                    "<td class=\"best\">{text}<span aria-hidden=\"true\"> ★</span><span class=\"sr\"> best</span></td>"
                ),
                false => write!(html, "<td>{text}</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    if table.rows.iter().any(|(_, cells)| cells.iter().any(|cell| cell.1)) {
        html.push_str("<p class=\"hint\">★ best of its row</p>\n");
    }
    html.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's first example, in base64.
    #[test]
    fn a_script_is_named_by_its_hash() {
        let abc = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(script_hash("abc"), abc);
    }

    const HOSTILE: &str =
        "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{2028}<!--";

    fn page(hostile: &str) -> String {
        let table = Table {
            head: vec![String::new(), hostile.to_owned()],
            rows: vec![(hostile.to_owned(), vec![(hostile.to_owned(), true)])],
            runs_are_rows: false,
        };
        let text = [hostile.to_owned()];
        let data = serde_json::to_string(&serde_json::json!({"title": hostile})).expect("plain");
        document(&Document {
            title: hostile,
            header: &text,
            verdict: &text,
            table: Some(&table),
            notes: &text,
            data: &data,
            packed: &[],
            made_by: hostile,
        })
    }

    #[test]
    fn hostile_names_stay_text() {
        let (hostile, tame) = (page(HOSTILE), page("tame"));
        for tag in ["<script", "</script", "<img", "<!--", "\u{2028}"] {
            assert_eq!(hostile.matches(tag).count(), tame.matches(tag).count(), "{tag}");
        }
        let from = hostile.find("id=\"data\">").expect("data") + "id=\"data\">".len();
        let data = &hostile[from..from + hostile[from..].find("</script").expect("its end")];
        let value: serde_json::Value = serde_json::from_str(data).expect("still JSON");
        assert_eq!(value["title"], HOSTILE);
    }

    #[test]
    fn numbers_keep_their_units() {
        assert_eq!(unbroken("99.0 % in 3 s, 4 ms"), "99.0\u{a0}% in 3\u{a0}s, 4\u{a0}ms");
        assert_eq!(unbroken("2 +- 1, 4 -&gt; 5"), "2 \u{b1} 1, 4 \u{2192} 5");
        assert_eq!(unbroken("5 stalls, a % of 2 sorts"), "5 stalls, a % of 2 sorts");
    }

    #[test]
    fn a_page_fetches_nothing_and_is_small() {
        let page = page("tame");
        // The plotting library's own notice names its home; nothing else names any place.
        let addresses = page.matches("://").count();
        assert_eq!(addresses, 1, "only the notice of uPlot");
        assert!(page.contains("https://github.com/leeoniya/uPlot"));
        for fetching in
            ["src=", "@import", "url(", "fetch(", "XMLHttpRequest", "WebSocket", "<link"]
        {
            // What is cut out of a picture stands in the picture itself.
            let outside = page.replace("url(#", "");
            assert!(!outside.contains(fetching), "{fetching}");
        }
        assert!(page.contains("Permission is hereby granted"), "the licence stays");
        assert!(page.len() < 200_000, "{} bytes", page.len());
    }
}
