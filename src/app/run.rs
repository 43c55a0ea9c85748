//! `tripline run`: the daemon, until a signal ends it.

use super::daemon::Daemon;
use super::exit::Exit;
use super::settings::Settings;
use super::{say_error, say_problem};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs until SIGTERM or SIGINT; a second one ends it at once.
pub fn run(settings: Settings) -> Exit {
    // Whatever is written is for the own user alone; the socket's permissions are set by themselves.
    let _before = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(settings)),
        Err(error) => {
            say_error(&error);
            Exit::Unavailable
        }
    }
}

async fn serve(settings: Settings) -> Exit {
    let (mut term, mut int) = match signals() {
        Ok(signals) => signals,
        Err(error) => {
            say_error(&error);
            return Exit::Unavailable;
        }
    };
    let socket = settings.admin.path.clone();
    let daemon = match Daemon::start(settings).await {
        Ok(daemon) => daemon,
        Err(error) => {
            say_error(&error);
            return Exit::Unavailable;
        }
    };
    // Whole, as the command line may be used from another folder.
    if let Some(path) = socket.map(|path| std::path::absolute(&path).unwrap_or(path)) {
        tracing::info!(socket = %path.display(), "people order over this socket, or with a token");
    }
    first_of(&mut term, &mut int).await;
    tokio::select! {
        () = daemon.stop() => Exit::Good,
        () = first_of(&mut term, &mut int) => {
            say_problem("stopped at once; what was under way is finished at the next start");
            Exit::Findings
        }
    }
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

async fn first_of(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
