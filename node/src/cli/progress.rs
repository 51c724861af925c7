//! Progress bars: on stderr, and only on a terminal.

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::time::Duration;

/// A bar over `total` steps whose end shows rate and ETA; without a known total, a counter.
pub(super) fn bar(total: Option<u64>, unit: Unit) -> ProgressBar {
    // indicatif draws nothing where stderr is no terminal.
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
    let template = match (total.is_some(), unit) {
        (true, Unit::Proven) => "{bar:30} {human_pos}/{human_len} ops  {msg}",
        (true, Unit::Operations) => "{bar:30} {human_pos}/{human_len} ops  {rate}  ETA {eta}  {msg}",
        (true, Unit::Bytes) => "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}  {msg}",
        (false, _) => "{spinner} {bytes}  {bytes_per_sec}  {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(
            style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                // A bar that cannot be drawn is not worth failing for.
                let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
            }),
        );
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// What a bar counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Operations,
    /// Operations of a sync, whose message says how fast.
    Proven,
    Bytes,
}
