//! Runs of the binary.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `cordee` with `args` in `folder`, told `input`.
pub(crate) fn cordee(folder: &Path, args: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordee"));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CORDEE_")) {
        command.env_remove(key);
    }
    // What it leaves behind, it leaves here.
    command.args(args).current_dir(folder).env("TMPDIR", folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A command that refuses its arguments does not read.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let ended = Ended {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    };
    assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    ended
}

impl Ended {
    /// Every line that it printed, as JSON; it must have gone well.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// It ended with `code`, said `phrase` and printed no result.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, phrase: &str, case: &str) {
        assert_eq!(self.code, code, "{case}: {}", self.stderr);
        assert!(
            self.stderr.contains(phrase),
            "{case} does not say {phrase:?}: {}",
            self.stderr
        );
        assert_eq!(self.stdout, "", "{case} printed a result");
    }
}
