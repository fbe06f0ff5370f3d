//! The playground's page: one document, its scripts and styles inside.

use std::io::Write;

use lzma_rust2::{CheckType, LzmaOptions, XzOptions, XzWriter};
use serde_json::json;

use crate::report::html::{SCRIPTS, STYLE, escape_json, escape_text, script_hash};

const SCRIPT: &str = concat!(
    include_str!("../../web/playground/link.js"),
    include_str!("../../web/playground/engine.js"),
    include_str!("../../web/playground/state.js"),
    include_str!("../../web/playground/dials.js"),
    include_str!("../../web/playground/blocks.js"),
    include_str!("../../web/playground/steps.js"),
    include_str!("../../web/playground/text.js"),
    include_str!("../../web/playground/readers.js"),
    include_str!("../../web/playground/threads.js"),
    include_str!("../../web/playground/lives.js"),
    include_str!("../../web/playground/sweep.js"),
    include_str!("../../web/playground/figures.js"),
    include_str!("../../web/playground/results.js"),
    include_str!("../../web/playground/measured.js"),
    include_str!("../../web/playground/editor.js"),
    include_str!("../../web/playground/course.js"),
    include_str!("../../web/playground/tour.js"),
    include_str!("../../web/playground/plan/link.js"),
    include_str!("../../web/playground/plan/form.js"),
    include_str!("../../web/playground/plan/answer.js"),
    include_str!("../../web/playground/plan/view.js"),
    include_str!("../../web/playground/main.js"),
);
const OWN_STYLE: &str = include_str!("../../web/playground/playground.css");
const BODY: &str = include_str!("../../web/playground/body.html");

/// What unpacks the module; only a page that has one needs it.
const UNPACKER: &str = concat!(
    "/* xz-decompress, MIT licence:\n",
    include_str!("../../web/vendor/xz-decompress/LICENSE"),
    "*/\n",
    include_str!("../../web/vendor/xz-decompress/xz-decompress.min.js"),
    "\n",
);

/// A module as a page holds it: an xz file, 29 % smaller than deflated, then base64. A server's
/// compression takes away again what base64 adds.
pub fn packed(module: &[u8]) -> String {
    let mut options = XzOptions::with_preset(9);
    // Code has no columns of equal width, and what follows depends on the byte before it.
    (options.lzma_options.lc, options.lzma_options.pb) = (4, 0);
    options.lzma_options.nice_len = LzmaOptions::NICE_LEN_MAX;
    // The check that every unpacker knows.
    options.set_check_sum_type(CheckType::Crc32);
    let written = XzWriter::new(Vec::new(), options).and_then(|mut writer| {
        writer.write_all(module)?;
        writer.finish()
    });
    crate::report::html::base64(&written.expect("memory takes all that is written"))
}

/// A script without what only its readers need: indentation and lines of comments.
fn lean(script: &str) -> String {
    let lines = script.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).fold(
        String::new(),
        |mut lean, line| {
            lean.push_str(line);
            lean.push('\n');
            lean
        },
    )
}

/// Where a page gets its answers.
#[derive(Clone, Copy, Debug)]
pub enum Engine<'a> {
    /// From the server that it came from.
    Server,
    /// From this WebAssembly module, as [`packed`] gives it, inside the page. With the address
    /// that the page will have, where that is known: links that are shared begin with it.
    Inside(&'a str, Option<&'a str>),
}

/// What stands in a page's head about it for who shows links to it, its own address in it.
fn about(address: &str) -> String {
    let address = escape_text(address);
    let image = format!("{}preview.png", address);
    format!(
        "<link rel=\"canonical\" href=\"{address}\">\n\
         <meta name=\"description\" content=\"{WHAT}\">\n\
         <meta property=\"og:type\" content=\"website\">\n\
         <meta property=\"og:title\" content=\"metron-sim playground\">\n\
         <meta property=\"og:description\" content=\"{WHAT}\">\n\
         <meta property=\"og:url\" content=\"{address}\">\n\
         <meta property=\"og:image\" content=\"{image}\">\n\
         <meta name=\"twitter:card\" content=\"summary_large_image\">\n"
    )
}

const WHAT: &str = "Simulates how GPUs serve language models, and shows why a text stalled.";
/// The picture beside a link to the page, PNG, 1200 by 630 pixels.
pub const PREVIEW: &[u8] = include_bytes!("../../web/playground/preview.png");

/// The page, and the content security policy that it needs.
#[derive(Clone, Debug)]
pub struct PlaygroundPage {
    /// The document.
    pub html: String,
    /// The value of its `Content-Security-Policy` header; the document states it too, but for
    /// `frame-ancestors`, which only a header can.
    pub policy: String,
}

/// The page with this scenario to begin with, or with its own.
pub fn page(scenario: Option<&str>, engine: Engine<'_>) -> PlaygroundPage {
    let (mode, module, more) = match engine {
        Engine::Server => ("server", String::new(), "connect-src 'self'"),
        Engine::Inside(packed, _) => (
            "inside",
            format!("<script type=\"text/plain\" id=\"module\">{packed}</script>\n"),
            "worker-src blob:; connect-src 'none'",
        ),
    };
    let script = match engine {
        Engine::Server => format!("\n{SCRIPTS}{SCRIPT}"),
        Engine::Inside(..) => format!("\n{UNPACKER}{}", lean(&[SCRIPTS, SCRIPT].concat())),
    };
    let address = match engine {
        Engine::Inside(_, address) => address,
        Engine::Server => None,
    };
    let wasm = if mode == "inside" { " 'wasm-unsafe-eval'" } else { "" };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'{wasm}; style-src 'unsafe-inline'; \
         img-src data: blob:; {more}; base-uri 'none'; form-action 'none'",
        script_hash(&script)
    );
    let data = json!({"mode": mode, "scenario": scenario, "address": address}).to_string();
    let about = address.map_or(String::new(), about);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>metron-sim playground</title>\n<link rel=\"icon\" href=\"data:,\">\n{about}\
         <style>\n{STYLE}\n{OWN_STYLE}</style>\n</head>\n<body>\n{BODY}\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n{module}\
         <script>{script}</script>\n</body>\n</html>\n",
        escape_json(&data)
    );
    PlaygroundPage { html, policy: format!("{policy}; frame-ancestors 'none'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_scenario_is_text_and_nothing_is_fetched_from_outside() {
        let hostile = "</script><script>alert(1)</script><!-- \u{2028}";
        let (tame, hostile) =
            (page(Some("x"), Engine::Server), page(Some(hostile), Engine::Server));
        for tag in ["<script", "</script", "<!--"] {
            assert_eq!(tame.html.matches(tag).count(), hostile.html.matches(tag).count(), "{tag}");
        }
        assert_eq!(tame.html.matches("://").count(), 1, "only the notice of uPlot");
        assert!(tame.policy.contains("default-src 'none'") && !tame.policy.contains("http"));
    }

    #[test]
    fn a_page_that_knows_its_address_says_it() {
        let hostile = "https://example.org/\"><script>alert(1)</script>/";
        let tame = page(None, Engine::Inside("", Some("https://example.org/sim/")));
        assert!(tame.html.contains("<link rel=\"canonical\" href=\"https://example.org/sim/\">"));
        assert!(tame.html.contains("content=\"https://example.org/sim/preview.png\""));
        let hostile = page(None, Engine::Inside("", Some(hostile)));
        assert_eq!(hostile.html.matches("<script").count(), tame.html.matches("<script").count());
        assert!(!page(None, Engine::Inside("", None)).html.contains("canonical"));
    }

    #[test]
    fn a_lean_script_says_the_same() {
        assert_eq!(lean("// why\n\tf(\n\t\t1, // one\n\n\t);"), "f(\n1, // one\n);\n");
        // What stands between backticks would lose its indentation.
        let open = |line: &&str| line.matches('`').count() % 2 == 1;
        assert_eq!([SCRIPTS, SCRIPT].concat().lines().find(open), None);
    }

    #[test]
    fn a_module_is_packed_and_unpacked() {
        use base64::Engine as _;
        use lzma_rust2::XzReader;
        use std::io::Read;
        let module: Vec<u8> = (0..40_000u32).flat_map(|k| (k / 7).to_le_bytes()).collect();
        let packed = packed(&module);
        assert!(packed.len() < module.len() / 4);
        let bytes = base64::prelude::BASE64_STANDARD.decode(packed).expect("base64");
        let mut back = Vec::new();
        XzReader::new(&bytes[..], false).read_to_end(&mut back).expect("an xz file");
        assert!(back == module);
    }
}
