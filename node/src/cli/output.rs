//! The only place that prints: results to stdout, errors to stderr.

#![allow(clippy::print_stdout, reason = "results are what stdout is for")]

use super::Failure;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

/// Print `text`, or `value` as one line of JSON.
///
/// # Errors
/// If stdout is closed: the result is lost, so the command has not done what it should.
pub(super) fn result(json: bool, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    let line = if json {
        serde_json::to_string(value)
            .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?
    } else {
        text.to_owned()
    };
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| lost(&error))
}

/// Stdout takes nothing more. Who closed it, like `head`, knows, and is told nothing.
fn lost(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::unsaid();
    }
    Failure::failed(format!("cannot write the result to stdout: {error}"))
}

/// Print a text that is not of lines of ours.
///
/// # Errors
/// If stdout is closed.
pub(super) fn raw(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map_err(|error| lost(&error))
}

/// What a command ended with; with `json` a failure is an object on stdout as well.
///
/// # Errors
/// The command's; if stdout is closed.
pub(super) fn unless_failed<T>(json: bool, ended: Result<T, Failure>) -> Result<T, Failure> {
    #[derive(Serialize)]
    struct Unsuccessful {
        ok: bool,
        exit: u8,
        error: String,
    }
    match ended {
        Err(failure) if json => {
            let unsuccessful = Unsuccessful {
                ok: false,
                exit: failure.exit() as u8,
                error: failure.to_string(),
            };
            result(true, &unsuccessful, "")?;
            Err(failure)
        }
        ended => ended,
    }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// `1m 30s`, up to some thirty years.
pub(super) fn time(seconds: f64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds.clamp(0.0, 1e9) as u64))
}

/// Print why the command failed.
pub(super) fn error(failure: &Failure) {
    if failure.is_said() {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(std::io::stderr(), "cordee: {failure}");
    }
}

/// Print something worth knowing besides the result.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
