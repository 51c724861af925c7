//! How a command ends when it does not end well.

use crate::{folder, rows, writes};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The exit codes other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The machine, the disk or the network would not.
    Failed = 1,
    /// The command line, an input or the settings are wrong.
    Usage = 2,
    /// What was to be verified is not true.
    Refused = 3,
    /// The operator stopped it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// What happened, where, and what to do next.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure that ends the process with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// The machine would not.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command is over before its end, and whoever ran it wants to hear nothing more.
    pub fn unsaid() -> Self {
        Self::failed("")
    }

    /// Whether there is something to say.
    pub fn is_said(&self) -> bool {
        !self.message.is_empty()
    }

    /// The operator's input is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An error with its causes in one line.
    pub fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(exit, message)
    }

    /// Say first where it happened.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self {
            message: format!("{place}: {}", self.message),
            ..self
        }
    }

    /// Say last what to know or to do.
    #[must_use]
    pub fn and(self, more: impl fmt::Display) -> Self {
        Self {
            message: format!("{}; {more}", self.message),
            ..self
        }
    }

    /// The process's exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<folder::Error> for Failure {
    fn from(error: folder::Error) -> Self {
        Self::of(
            if error.is_usage() {
                Exit::Usage
            } else {
                Exit::Failed
            },
            &error,
        )
    }
}

impl From<writes::Error> for Failure {
    fn from(error: writes::Error) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl From<rows::Error> for Failure {
    fn from(error: rows::Error) -> Self {
        let machine = match &error {
            rows::Error::Csv(error) => match error.kind() {
                csv::ErrorKind::Io(error) => Some(error),
                _ => None,
            },
            rows::Error::Io(_, error) => Some(error),
            _ => None,
        };
        let input = machine.is_none_or(|error| error.kind() == std::io::ErrorKind::InvalidData);
        Self::of(if input { Exit::Usage } else { Exit::Failed }, &error)
    }
}
