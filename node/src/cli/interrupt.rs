//! Ctrl-c and SIGTERM.

use super::{Exit, Failure, output};

/// Completes at the first ctrl-c or SIGTERM.
///
/// # Errors
/// If the process cannot listen for signals.
pub(super) async fn signal() -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot listen for signals: {error}"));
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended.map_err(failed),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(failed)
}

/// For commands that block on files: at ctrl-c or SIGTERM say `message` and leave. What they write survives that at any
/// moment.
pub(super) fn leave_with(message: &'static str) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if runtime.is_ok_and(|runtime| runtime.block_on(signal()).is_ok()) {
            output::error(&Failure::new(Exit::Interrupted, message));
            std::process::exit(Exit::Interrupted as i32);
        }
    });
}
