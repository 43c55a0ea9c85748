//! `tripline run`: the daemon, until a signal ends it. SIGHUP reads the configuration again; a service
//! manager (systemd) learns when it is ready, and that it lives.

use super::exit::Exit;
use super::output::{print_error, print_problem};
use crate::adapters::clock;
use crate::adapters::http::reload::Reloads;
use crate::adapters::metrics::oldest::Oldest;
use crate::config::settings::Settings;
use crate::daemon::startup::Daemon;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs until SIGTERM or SIGINT; a second one ends it at once.
pub fn run(settings: Settings) -> Exit {
    // Whatever is written is for the own user alone; the socket's permissions are set by themselves.
    let _before = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(settings)),
        Err(error) => {
            print_error(&error);
            Exit::Unavailable
        }
    }
}

async fn serve(settings: Settings) -> Exit {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let socket = settings.admin.path.clone();
    let daemon = match Box::pin(Daemon::start(settings)).await {
        Ok(daemon) => daemon,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    // Whole, as the command line may be used from another folder.
    if let Some(path) = socket.map(|path| std::path::absolute(&path).unwrap_or(path)) {
        tracing::info!(socket = %path.display(), "operators send orders over this socket, or with \
            a token");
    }
    tell_manager(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(feed_watchdog(daemon.heartbeat_at().clone()));
    while signals.next().await == ReadyNotice::Reload {
        // A disk that hangs must not keep a signal from ending tripline.
        tokio::spawn(reload(daemon.reloads()));
    }
    watchdog.abort();
    tell_manager(&[NotifyState::Stopping]);
    tokio::select! {
        () = daemon.stop() => Exit::Good,
        () = signals.end() => {
            print_problem("stopped at once; what was under way is finished at the next start");
            Exit::Findings
        }
    }
}

/// Notifies the service manager, if there is one.
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "can't notify the service manager");
    }
}

/// Reads the configuration again; what comes of it is said in the log.
async fn reload(reloads: Reloads) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell_manager(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "can't notify the service manager"),
    }
    let (reply, answer) = tokio::sync::oneshot::channel();
    if reloads.send(reply).await.is_ok() {
        // Mistakes are said in the log.
        let _told = answer.await;
    }
    tell_manager(&[NotifyState::Ready]);
}

/// Sends heartbeats to the service manager, as often as it wants, as long as the control
/// plane does.
async fn feed_watchdog(heartbeat_at: Oldest) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut interval = tokio::time::interval(within / 3);
    loop {
        interval.tick().await;
        let beats = heartbeat_at.by_stage();
        let decides = beats.iter().find(|(stage, _)| *stage == "control_plane");
        let silent_ms = decides.map(|(_, at)| clock::now().ms_since(*at));
        if silent_ms.is_some_and(|ms| u128::try_from(ms).unwrap_or(0) < within.as_millis()) {
            tell_manager(&[NotifyState::Watchdog]);
        }
    }
}

/// The effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadyNotice {
    /// Read the configuration again.
    Reload,
    /// End.
    End,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> ReadyNotice {
        tokio::select! {
            _ = self.term.recv() => ReadyNotice::End,
            _ = self.int.recv() => ReadyNotice::End,
            _ = self.hup.recv() => ReadyNotice::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != ReadyNotice::End {}
    }
}
