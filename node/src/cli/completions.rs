//! `cordee completions` and `cordee man`: the command line, for shells and for `man`.

use super::{Cli, Failure, output};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

/// Print what a shell needs to complete cordee's commands and options
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee completions bash > /etc/bash_completion.d/cordee\n  \
                  cordee completions zsh > ~/.zfunc/_cordee\n  \
                  cordee completions fish > ~/.config/fish/completions/cordee.fish"
)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cordee", &mut script);
        output::raw(&script)
    }
}

/// Print the manual page of cordee, or write one for each command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cordee man | man -l -\n  cordee man /usr/local/share/man/man1")]
pub(super) struct Man {
    /// An existing folder for the pages of all commands, as cordee-COMMAND.1
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| Failure::failed(format!("cannot write the page: {error}")))?;
            return output::raw(&page);
        };
        if !dir.is_dir() {
            return Err(Failure::usage(format!(
                "{} is not a folder: make it first",
                dir.display()
            )));
        }
        clap_mangen::generate_to(Cli::command(), &dir).map_err(|error| {
            Failure::failed(format!(
                "cannot write the pages to {}: {error}; see to its permissions",
                dir.display()
            ))
        })
    }
}
