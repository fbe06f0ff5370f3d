//! A server's own metrics page, read while it is measured.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::cli::console::Console;
use crate::cli::error::Error;
use crate::live::client::{Http, Target};
use crate::shown::percent;

/// Between two looks, and how long one may take.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Look {
    running: f64,
    waiting: f64,
    kv_use: f64,
}

/// Looks that go on.
pub(super) struct Scraping {
    looks: Arc<Mutex<Vec<Look>>>,
    failed: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

/// Begins to look at a page each second.
///
/// # Errors
/// When its address is none.
pub(super) fn start(runtime: &Runtime, url: &str) -> Result<Scraping, Error> {
    let usage = |error: String| Error::Usage(format!("--metrics-url {error}"));
    let (base, path) = match url.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
        Some((_, path)) => (url[..url.len() - path.len()].to_owned(), format!("/{path}")),
        None => (url.to_owned(), "/metrics".to_owned()),
    };
    let target: Target = base.parse().map_err(|error| usage(format!("{error}")))?;
    let http = Http::new(target, None).map_err(|error| usage(error.to_string()))?;
    let looks: Arc<Mutex<Vec<Look>>> = Arc::default();
    let failed: Arc<Mutex<Option<String>>> = Arc::default();
    let (own, own_failed) = (Arc::clone(&looks), Arc::clone(&failed));
    let task = runtime.spawn(async move {
        loop {
            match http.ask(Method::GET, &path, None, PATIENCE).await {
                Ok(page) => lock(&own).push(look(&page)),
                Err(error) => *lock(&own_failed) = Some(error.to_string()),
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    Ok(Scraping { looks, failed, task })
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scraping {
    /// Ends it and says what was seen.
    pub(super) fn say(self, console: &Console) {
        self.task.abort();
        let looks = lock(&self.looks);
        if let Some(error) = &*lock(&self.failed) {
            console.warn(&format!("--metrics-url: {error}"));
        }
        if looks.is_empty() {
            return;
        }
        let mean = |of: fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / looks.len() as f64;
        let most = |of: fn(&Look) -> f64| looks.iter().map(of).fold(0.0, f64::max);
        console.note(&format!(
            "the server's own metrics, {} looks: running {:.1} (mean), {} (most); waiting {:.1} \
             (mean), {} (most); KV memory {} (most)",
            looks.len(),
            mean(|look| look.running),
            most(|look| look.running),
            mean(|look| look.waiting),
            most(|look| look.waiting),
            percent(most(|look| look.kv_use))
        ));
    }
}

/// Of several engines the sums, and of KV memory the fullest.
fn look(page: &str) -> Look {
    let mut look = Look::default();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        match series.split('{').next().unwrap_or_default() {
            "vllm:num_requests_running"
            | "sglang:num_running_reqs"
            | "llamacpp:requests_processing" => {
                look.running += value;
            }
            "vllm:num_requests_waiting"
            | "sglang:num_queue_reqs"
            | "llamacpp:requests_deferred" => {
                look.waiting += value;
            }
            "vllm:kv_cache_usage_perc"
            | "vllm:gpu_cache_usage_perc"
            | "sglang:token_usage"
            | "llamacpp:kv_cache_usage_ratio" => look.kv_use = look.kv_use.max(value),
            _ => {}
        }
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_added_up() {
        let page = "# HELP vllm:num_requests_running x\n\
                    vllm:num_requests_running{engine=\"0\",model_name=\"a b\"} 3.0\n\
                    vllm:num_requests_running{engine=\"1\"} 4.0\n\
                    vllm:num_requests_waiting{engine=\"0\"} 2\n\
                    vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
                    vllm:kv_cache_usage_perc{engine=\"1\"} 0.5\nother 9\n";
        assert_eq!(look(page), Look { running: 7.0, waiting: 2.0, kv_use: 0.5 });
    }
}
