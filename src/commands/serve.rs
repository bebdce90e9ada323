//! `kubemend serve`: webhooks and sweeps, for as long as it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Serve;
use crate::commands::Failure;
use crate::commands::forge;
use crate::metrics::Metrics;
use crate::serve::{self, Secrets, Settings, worker};
use crate::telemetry::Telemetry;

mod office;
mod presence;

use office::Office;

pub(super) fn run(args: Box<Serve>) -> Result<u8, Failure> {
    let metrics = Arc::new(Metrics::default());
    let otlp = args.otlp_endpoint.as_deref().filter(|e| !e.is_empty());
    let started = Telemetry::start(args.log_format, &metrics, otlp);
    // lives longer than the runtime: it sends what is left
    let _telemetry = started.map_err(|e| Failure::Input(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // each new thread would fill memory of its own
        .thread_keep_alive(Duration::from_secs(24 * 60 * 60))
        .enable_all()
        .build()
        .map_err(|e| Failure::Infrastructure(format!("no runtime: {e}")))?;
    let served = runtime.block_on(listen(*args, metrics));
    // what is left (a pass that computes) ends with the process
    runtime.shutdown_background();
    served.map(|()| 0)
}

async fn listen(args: Serve, metrics: Arc<Metrics>) -> Result<(), Failure> {
    let settings = settings(&args)?;
    let address = args.listen;
    let office = Arc::new(Office::open(args, Arc::clone(&metrics)).await?);
    let stop = stopped()?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|e| Failure::Input(format!("--listen {address}: {e}")))?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, webhook = settings.secrets.is_some(), "listening");
    let runner = Arc::clone(&office);
    if serve::run(listener, settings, runner, metrics, stop).await {
        // a pass that did not end may still write: then the lease ends by itself
        office.resign().await;
    }
    Ok(())
}

fn settings(args: &Serve) -> Result<Settings, Failure> {
    let text = forge::secret("KUBEMEND_WEBHOOK_SECRET", args.webhook_secret_file.as_ref())?;
    let secrets = match (args.poll, text) {
        (Some(_), _) => None,
        (None, Some(text)) => {
            let parsed = Secrets::parse(&text);
            Some(parsed.map_err(|e| Failure::Input(format!("KUBEMEND_WEBHOOK_SECRET: {e}")))?)
        }
        (None, None) => {
            let message = "no webhook secret: set KUBEMEND_WEBHOOK_SECRET or --webhook-secret-file, or use --poll";
            return Err(Failure::Input(message.to_owned()));
        }
    };
    Ok(Settings {
        secrets,
        sweep: args.poll.unwrap_or(args.sweep),
        work: worker::Limits {
            workers: usize::from(args.workers),
            drain: args.drain,
            ..worker::Limits::default()
        },
        ..Settings::default()
    })
}

/// Waits for SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let on = |kind| signal(kind).map_err(|e| Failure::Infrastructure(format!("signals: {e}")));
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
