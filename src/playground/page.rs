//! The playground's page: one document, its scripts and styles inside.

use serde_json::json;

use crate::report::html::{SCRIPTS, STYLE, escape_json, script_hash};

const SCRIPT: &str = concat!(
    include_str!("../../web/playground/link.js"),
    include_str!("../../web/playground/engine.js"),
    include_str!("../../web/playground/dials.js"),
    include_str!("../../web/playground/steps.js"),
    include_str!("../../web/playground/figures.js"),
    include_str!("../../web/playground/results.js"),
    include_str!("../../web/playground/editor.js"),
    include_str!("../../web/playground/tour.js"),
    include_str!("../../web/playground/main.js"),
);
const OWN_STYLE: &str = include_str!("../../web/playground/playground.css");
const BODY: &str = include_str!("../../web/playground/body.html");

/// Bytes as base64.
pub fn base64(bytes: &[u8]) -> String {
    crate::report::html::base64(bytes)
}

/// Where a page gets its answers.
#[derive(Clone, Copy, Debug)]
pub enum Engine<'a> {
    /// From the server that it came from.
    Server,
    /// From this WebAssembly module, base64, inside the page.
    Inside(&'a str),
}

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
    let script = format!("\n{SCRIPTS}{SCRIPT}");
    let (mode, module, more) = match engine {
        Engine::Server => ("server", String::new(), "connect-src 'self'"),
        Engine::Inside(base64) => (
            "inside",
            format!("<script type=\"application/wasm-base64\" id=\"module\">{base64}</script>\n"),
            "worker-src blob:; connect-src 'none'",
        ),
    };
    let wasm = if mode == "inside" { " 'wasm-unsafe-eval'" } else { "" };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'{wasm}; style-src 'unsafe-inline'; \
         img-src data: blob:; {more}; base-uri 'none'; form-action 'none'",
        script_hash(&script)
    );
    let data = json!({"mode": mode, "scenario": scenario}).to_string();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>metron-sim playground</title>\n<link rel=\"icon\" href=\"data:,\">\n\
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
}
