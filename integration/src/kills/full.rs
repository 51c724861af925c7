//! Commands without room: on a small file system of their own, that is given more room afterwards.

use super::apply::{Publisher, commit};
use super::{Cordee, Serving, Trouble, text};
use cordee_node::folder::Folder;
use cordee_protocol::db::KINDS;
use serde_json::Value;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What one command did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub command: &'static str,
    /// Operations that were durable when the room ended.
    pub durable: u64,
    /// Of these, found when it went on.
    pub found: u64,
    /// What it said.
    pub said: String,
    /// What was not as it has to be.
    pub wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.durable.saturating_sub(self.found);
        write!(
            f,
            "{:<16} durable {:>7} ops, lost {lost}; {}",
            self.command,
            self.durable,
            if self.wrong.is_empty() {
                "went on to its end"
            } else {
                "WRONG"
            }
        )?;
        write!(f, "\n                 said: {}", self.said)?;
        self.wrong
            .iter()
            .try_for_each(|wrong| write!(f, "\n                 {wrong}"))
    }
}

/// A file system of its own, in memory.
#[derive(Debug)]
pub struct Small(PathBuf);

impl Small {
    /// One of so many KiB at `path`; `None` if this process may not mount one.
    ///
    /// # Errors
    /// If there is no such folder to be made.
    pub fn mount(path: &Path, kib: u64) -> Result<Option<Self>, Trouble> {
        fs::create_dir_all(path)?;
        let size = format!("size={kib}k");
        let args = ["-t", "tmpfs", "-o", &size, "none", text(path)?];
        let mounted = Command::new("mount").args(args).stderr(Stdio::null()).status();
        Ok(mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.into())))
    }

    fn resize(&self, kib: u64) -> Result<(), Trouble> {
        let size = format!("remount,size={kib}k");
        let status = Command::new("mount")
            .args(["-o", &size, text(&self.0)?])
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err("it was not resized".into())
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What is left goes with the machine.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Try every command in folders below `place`, with so many operations; `None` if nothing can be mounted here.
///
/// # Errors
/// If the loop itself cannot go on.
pub fn run(cordee: &Cordee, place: &Path, ops: u64) -> Result<Option<Vec<Report>>, Trouble> {
    let publisher = place.join("publisher");
    let target = super::publisher(&publisher, ops)?;
    let snapshot = place.join("snapshot");
    cordee.json(&["export", "--json", "-C", text(&publisher)?, text(&snapshot)?])?;
    // About 210 bytes each with its nodes: half of them fit.
    let stage = Stage {
        cordee,
        place,
        target: &target,
        tight: ops * 210 / 2 / 1024,
        wide: ops * 210 * 3 / 1024 + 8192,
    };
    let serving = Serving::start(cordee, &publisher)?;
    let mut reports = Vec::new();
    let sync = ["sync", "--target", &target, "--peer", &serving.address];
    let import = ["import-snapshot", text(&snapshot)?, "--target", &target];
    for (command, args) in [("sync", &sync[..]), ("import-snapshot", &import[..])] {
        let Some(report) = stage.copy(command, args)? else {
            return Ok(None);
        };
        reports.push(report);
    }
    drop(serving);
    reports.extend(stage.apply()?);
    reports.extend(stage.export(&publisher)?);
    reports.extend(stage.run(&publisher)?);
    Ok(Some(reports))
}

struct Stage<'a> {
    cordee: &'a Cordee,
    place: &'a Path,
    target: &'a str,
    /// KiB of which not enough, and more than enough.
    tight: u64,
    wide: u64,
}

impl Stage<'_> {
    /// A folder on a small file system.
    fn folder(&self, name: &str, kib: u64) -> Result<Option<(Small, Folder)>, Trouble> {
        let Some(small) = Small::mount(&self.place.join(name), kib)? else {
            return Ok(None);
        };
        let folder = Folder::create(&small.0.join("node"), "kills", KINDS[0])?;
        Ok(Some((small, folder)))
    }

    fn command(&self, folder: &Folder, args: &[&str]) -> Result<Output, Trouble> {
        let args = [args, &["--json", "-C", text(folder.path())?]].concat();
        Ok(self.cordee.command(&args).output()?)
    }

    /// A command that makes a copy.
    fn copy(&self, command: &'static str, args: &[&str]) -> Result<Option<Report>, Trouble> {
        let Some((small, folder)) = self.folder(command, self.tight)? else {
            return Ok(None);
        };
        let output = self.command(&folder, args)?;
        let mut report = failed(command, &output, folder.path());
        let (_, held) = folder.mark()?;
        report.durable = held.end.since(held.start);
        // Without room it is the same again, and costs nothing.
        let again = self.command(&folder, args)?;
        report.wrong.extend(failed(command, &again, folder.path()).wrong);
        let status = last(&self.command(&folder, &["status"])?);
        if !status["why"]
            .as_str()
            .unwrap_or_default()
            .contains("free some space")
        {
            report.wrong.push(format!("its status was {status}"));
        }
        small.resize(self.wide)?;
        let output = self.command(&folder, args)?;
        let said = last(&output);
        report.found = said["ops_reused"].as_u64().unwrap_or_default();
        let root = said["root"].as_str().unwrap_or("none");
        if !output.status.success() || !self.target.starts_with(root) {
            report.wrong.push(format!("with room: {}", errors(&output)));
        }
        if report.found < report.durable {
            report.wrong.push("something durable was lost".into());
        }
        Ok(Some(report))
    }

    /// A publisher that is fed until the room ends.
    fn apply(&self) -> Result<Option<Report>, Trouble> {
        let Some((small, folder)) = self.folder("apply", self.tight.min(4096))? else {
            return Ok(None);
        };
        let mut publisher = Publisher::new(1)?;
        let fed = self.feed(&folder, 0..u64::MAX)?;
        let mut report = failed("apply", &fed, folder.path());
        let printed = String::from_utf8_lossy(&fed.stdout);
        let states: Vec<Value> = printed
            .lines()
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        let acknowledged = states.last().and_then(|state| state["size"].as_u64());
        report.durable = acknowledged.unwrap_or_default();
        small.resize(self.wide)?;
        let database = folder.publisher()?;
        report.found = database.log().size().get();
        if report.durable == 0 || report.found < report.durable {
            report.wrong.push("a commit that was printed was lost".into());
        }
        if !publisher.go_on(database.log().size())? || publisher.twin.root() != database.root() {
            report.wrong.push("the root is none that it had".into());
        }
        drop(database);
        let fed = self.feed(&folder, publisher.commits..publisher.commits + 3)?;
        if !fed.status.success() {
            report.wrong.push(format!("with room: {}", errors(&fed)));
        }
        Ok(Some(report))
    }

    /// `cordee apply` with these commits; more than it takes are not written.
    fn feed(&self, folder: &Folder, commits: std::ops::Range<u64>) -> Result<Output, Trouble> {
        let args = ["apply", "--json", "-C", text(folder.path())?, "-"];
        let mut child = self.cordee.command(&args).stdin(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().ok_or("no input")?;
        let feeder = std::thread::spawn(move || {
            for n in commits {
                if input.write_all(commit(1, n).0.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let output = child.wait_with_output()?;
        feeder.join().map_err(|_| "the feeder panicked")?;
        Ok(output)
    }

    /// A snapshot that does not fit.
    fn export(&self, publisher: &Path) -> Result<Option<Report>, Trouble> {
        let Some(small) = Small::mount(&self.place.join("export"), self.tight)? else {
            return Ok(None);
        };
        let file = small.0.join("snapshot");
        let folder = Folder::open(publisher, Ok)?;
        let args = ["export", text(&file)?];
        let mut report = failed("export", &self.command(&folder, &args)?, &small.0);
        if fs::read_dir(&small.0)?.next().is_some() {
            report.wrong.push("half a file was left".into());
        }
        small.resize(self.wide)?;
        let output = self.command(&folder, &args)?;
        if !output.status.success() {
            report.wrong.push(format!("with room: {}", errors(&output)));
        }
        Ok(Some(report))
    }

    /// A node that serves while there is no room at all; a batch that it cannot take ends it, and not what was committed.
    fn run(&self, publisher: &Path) -> Result<Option<Report>, Trouble> {
        let Some(small) = Small::mount(&self.place.join("run"), self.wide)? else {
            return Ok(None);
        };
        let dir = small.0.join("node");
        copy_tree(publisher, &dir)?;
        let ballast = small.0.join("ballast");
        let mut filling = File::create(&ballast)?;
        while filling.write_all(&[0; 512]).is_ok() {}
        // As long as it is open, what is removed keeps its room.
        drop(filling);
        let mut serving = Serving::start(self.cordee, &dir)?;
        let copy = self.place.join("beside");
        Folder::create(&copy, "kills", KINDS[0])?;
        let (copy, address) = (text(&copy)?, &serving.address);
        let args = [
            "sync",
            "--json",
            "-C",
            copy,
            "--target",
            self.target,
            "--peer",
            address,
        ];
        let mut wrong = Vec::new();
        if let Err(error) = self.cordee.json(&args) {
            wrong.push(format!("it did not serve: {error}"));
        }
        // So much that it cannot fit into what is left of a page.
        let batches: String = (0..20).map(|n| commit(1, n).0).collect();
        let mut answer = String::new();
        for batch in batches.lines() {
            answer = post(&serving.http, "/v1/batch", batch)?;
            if !answer.contains(" 200 ") {
                break;
            }
        }
        if !answer.contains("free some space") {
            wrong.push(format!("the writer was told: {answer}"));
        }
        let status = wait(&mut serving.process)?;
        if status.and_then(|status| status.code()) != Some(1) {
            wrong.push(format!("it ended with {status:?}"));
        }
        fs::remove_file(ballast)?;
        let database = Folder::open(&dir, Ok)?.existing()?;
        let found = database.log().size().get();
        let wanted: cordee_protocol::Target = self.target.parse()?;
        if database.target() != wanted {
            wrong.push("it is another database".into());
        }
        drop(database);
        // Started again, it takes what it could not take before.
        let serving = Serving::start(self.cordee, &dir)?;
        let (first, _) = commit(1, 0);
        let taken = post(&serving.http, "/v1/batch", first.trim_end())?;
        if !taken.contains(" 200 ") {
            wrong.push(format!("with room: {taken}"));
        }
        Ok(Some(Report {
            command: "run",
            durable: wanted.end().get(),
            found,
            said: answer.lines().last().unwrap_or_default().into(),
            wrong,
        }))
    }
}

/// What comes back, head and all.
fn post(http: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(http)?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How it ends, if it does so in time.
fn wait(process: &mut std::process::Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    for _ in 0..600 {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

/// It has to end with 1, and to say where and what to do.
fn failed(command: &'static str, output: &Output, place: &Path) -> Report {
    let said = errors(output);
    let mut wrong = Vec::new();
    if output.status.code() != Some(1) {
        wrong.push(format!("it ended with {}", output.status));
    }
    if !said.contains("free some space") || !said.contains(&place.display().to_string()) {
        wrong.push("it does not say where, and what to do".into());
    }
    Report {
        command,
        durable: 0,
        found: 0,
        said,
        wrong,
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn last(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_default()
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
