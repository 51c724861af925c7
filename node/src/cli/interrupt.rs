//! What ends a command from outside: ctrl-c, SIGTERM, and the end of standard input.

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

/// Completes when nobody can write to our standard input any more: whoever started us is gone.
pub(super) async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread that the runtime does not know: no shutdown waits for it.
    std::thread::spawn(move || {
        // An input that cannot be read has ended as well.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Whoever no longer waits has ended already.
        let _ = ended.send(());
    });
    // The thread drops its end only after it has sent.
    let _ = end.await;
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
