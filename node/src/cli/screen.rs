//! Long commands on a terminal: a line for each stage, and a bar for what can be counted. All on stderr.

use super::output;
use super::progress::{self, Unit};
use crate::audience::Audience;
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

pub(super) struct Screen {
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        // Scripts that read JSON want no text; somebody who watches does.
        let quiet = json && !std::io::stderr().is_terminal();
        Self {
            quiet,
            bar: Mutex::new(None),
        }
    }

    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            output::note(text);
        }
    }

    pub(super) fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let old = std::mem::replace(&mut *self.bar.lock().unwrap_or_else(PoisonError::into_inner), bar);
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }
}

impl Audience for Screen {
    fn stage(&self, what: &str, operations: u64) {
        self.clear();
        self.say(&format!("- {what}"));
        if operations > 0 {
            self.replace(Some(progress::bar(Some(operations), Unit::Operations)));
        }
    }

    fn progress(&self, operations: u64) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*bar {
            bar.set_position(operations);
        }
    }
}
