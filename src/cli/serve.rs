//! `metron-sim serve`: the playground.

use std::io::Write;
#[cfg(feature = "live")]
use std::net::{TcpListener, ToSocketAddrs};
use std::path::Path;

use crate::cli::args::{GlobalFlags, ServeArgs};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::playground::page::{Engine, PREVIEW, packed, page};
use crate::report::OutputFile;
use crate::scenario::Document;
#[cfg(feature = "live")]
use crate::scenario::Files;
#[cfg(feature = "live")]
use crate::server::{Served, is_loopback, serve};

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be read, the address is not to be had, or a file cannot be written.
pub(super) fn run(
    args: &ServeArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let broken = |error| Error::Scenario(Box::new(error));
    let document = match &args.scenario {
        Some(path) => Some(Document::read(path).map_err(broken)?),
        None if global.set.is_empty() => None,
        None => return Err(Error::Usage("--set needs a SCENARIO to set fields of".to_owned())),
    };
    let mut set = global.set.clone();
    set.extend(global.seed.map(|seed| format!("seed={seed}")));
    let text = document.as_ref().map(|document| document.rewritten(&set)).transpose();
    let text = text.map_err(broken)?;
    if let Some(folder) = &args.export {
        let address = args.address.as_deref().map(site).transpose()?;
        return export(folder, args.wasm.as_deref(), text.as_deref(), address.as_deref());
    }
    #[cfg(feature = "live")]
    {
        listen(args, document.as_ref(), text, console)
    }
    #[cfg(not(feature = "live"))]
    {
        let _ = console;
        Err(Error::Usage(
            "this program was built without its feature `live`, which serves pages; --export writes \
             one"
                .to_owned(),
        ))
    }
}

/// Serves until it is interrupted.
#[cfg(feature = "live")]
fn listen(
    args: &ServeArgs,
    document: Option<&Document>,
    text: Option<String>,
    console: &Console,
) -> Result<Exit, Error> {
    let files = match (document, &args.scenario) {
        (Some(document), Some(path)) => {
            let folder = Path::new(path).parent().unwrap_or(Path::new(""));
            Files::only(folder, &document.named_files())
        }
        _ => Files::none(),
    };
    let unusable = |error: &dyn std::fmt::Display| {
        Error::Usage(format!(
            "cannot listen on {} port {}: {error}; choose another --listen or --port",
            args.listen, args.port
        ))
    };
    let bare = args.listen.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> =
        (bare, args.port).to_socket_addrs().map_err(|error| unusable(&error))?.collect();
    let listener = TcpListener::bind(addresses.as_slice()).map_err(|error| unusable(&error))?;
    let address = listener.local_addr().map_err(|error| unusable(&error))?;
    if !is_loopback(address.ip()) {
        console.warn(&format!(
            "listening on {address}: everybody who can reach this address can use the playground"
        ));
    }
    let mut stdout = std::io::stdout();
    // A closed pipe is no reason not to serve.
    let _ = writeln!(stdout, "http://{address}/").and_then(|()| stdout.flush());
    console.note("the playground is at the address above; Ctrl-C ends it");
    serve(listener, Served { scenario: text, files, listen: args.listen.clone() })
        .map_err(|error| Error::Usage(format!("the server ended: {error}")))?;
    Ok(Exit::Fine)
}

/// The address of a folder on the web.
///
/// # Errors
/// When it is none.
fn site(address: &str) -> Result<String, Error> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"<>#?\\".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !address.contains(odd) => {
            Ok(format!("{}/", address.trim_end_matches('/')))
        }
        _ => Err(Error::Usage(format!(
            "--address {address}: write the address that the page will have, such as \
             https://example.org/playground/"
        ))),
    }
}

/// Writes the page with the engine inside, for any web server or none.
fn export(
    folder: &Path,
    wasm: Option<&Path>,
    scenario: Option<&str>,
    address: Option<&str>,
) -> Result<Exit, Error> {
    let Some(wasm) = wasm else {
        return Err(Error::Usage(
            "--export needs --wasm FILE: build it with `cargo build --profile page --target \
             wasm32-unknown-unknown -p metron-sim-wasm`"
                .to_owned(),
        ));
    };
    let module = std::fs::read(wasm)
        .map_err(|error| Error::Usage(format!("--wasm {}: {error}", wasm.display())))?;
    if !module.starts_with(b"\0asm") {
        return Err(Error::Usage(format!("--wasm {} is not a WebAssembly module", wasm.display())));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::Usage(format!("--export {}: {error}", folder.display())))?;
    let html = page(scenario, Engine::Inside(&packed(&module), address)).html;
    let mut files = vec![("index.html", html.as_bytes())];
    files.extend(address.map(|_| ("preview.png", PREVIEW)));
    for (name, bytes) in files {
        let mut file = OutputFile::create(&folder.join(name))?;
        if let Err(source) = file.write_all(bytes) {
            return Err(file.error(source).into());
        }
        file.commit()?;
    }
    Ok(Exit::Fine)
}
