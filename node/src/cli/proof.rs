//! `cordee proof`: proof files, checked with nothing but a root.

use super::apply::read;
use super::{Exit, Failure, output};
use crate::proofs::{self, ProofFile, Refused};
use clap::{Args, Subcommand};
use cordee_protocol::Digest;
use cordee_protocol::db::{KINDS, Kind};
use serde::Serialize;

/// Check proof files, as `cordee get --prove` writes them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee proof verify bash.json --root ROOT")]
pub(super) struct ProofArgs {
    #[command(subcommand)]
    command: ProofCommand,
}

#[derive(Debug, Subcommand)]
enum ProofCommand {
    Verify(Verify),
}

impl ProofArgs {
    pub(super) fn execute(self) -> Result<(), Failure> {
        match self.command {
            ProofCommand::Verify(verify) => verify.execute(),
        }
    }
}

/// Check a proof file with nothing but a root
///
/// No folder, no network: the root is all that is trusted. What is proven, and printed: the operation stands at its
/// location of the log with that root, and gives that key that value. Of kinds any-* it is not proven that it is the
/// newest operation of its key. Of kinds immutable-* a key is set once, which is the publisher's promise. Of kinds
/// any-ordered-* a file without a value proves that its key had none behind the first commit after the operation.
///
/// A root does not say of which kind its log is, and the kind decides how an operation is read: compare the printed kind
/// with the one you know, or give it with --kind.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee proof verify bash.json --root ROOT\n\n\
                        Exit codes: 0 proven, 2 FILE is not a proof file, 3 not proven, or for another root.")]
struct Verify {
    /// The proof file; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// The root to trust: 64 hex digits
    #[arg(long, value_name = "ROOT", value_parser = root)]
    root: Digest,

    /// The kind that the log is known to have, like any-unordered-variable; refuse a file of another
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Proven {
    ok: bool,
    kind: String,
    root: String,
    size: u64,
    location: u64,
    key: Option<String>,
    /// In hex; null if what is proven is that the key had none.
    value: Option<String>,
    /// Whether no later operation can change it, by the rules of the kind.
    #[serde(rename = "final")]
    stays: bool,
    proves: String,
}

impl Verify {
    fn execute(self) -> Result<(), Failure> {
        let (proven, text) = output::unless_failed(self.json, self.check())?;
        output::result(self.json, &proven, &text)
    }

    fn check(&self) -> Result<(Proven, String), Failure> {
        if let Some(name) = self.kind.as_deref().filter(|name| !KINDS.contains(name)) {
            Kind::parse(name, None).map_err(|error| Failure::usage(format!("--kind: {error}")))?;
        }
        let (text, name) = read(&self.file)?;
        let file = ProofFile::parse(&text).map_err(|error| Failure::from(error).at(&name))?;
        let statement = file
            .check(&self.root)
            .map_err(|refused| Failure::from(refused).at(&name))?;
        let kind = statement.kind;
        let wanted = self.kind.as_deref();
        if let Some(wanted) = wanted.filter(|&wanted| wanted != kind.name() && wanted != kind.to_string()) {
            let other =
                format!("{name}: not proven: the file is about a database of kind {kind}, not {wanted}");
            return Err(Failure::new(Exit::Refused, other));
        }
        let proven = Proven {
            ok: true,
            kind: kind.to_string(),
            root: statement.root.to_string(),
            size: statement.size,
            location: statement.location,
            key: statement.key().map(|key| key.to_string()),
            value: statement.value.as_ref().map(hex::encode),
            stays: statement.is_final(),
            proves: statement.to_string(),
        };
        let mut text = proven.proves.clone();
        if let Some(value) = statement.value {
            let value = String::from_utf8(value).unwrap_or_else(|bytes| hex::encode(bytes.into_bytes()));
            text += &format!("\nThe value: {value}");
        }
        Ok((proven, text))
    }
}

fn root(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "a root is 64 hex digits".into())
}

impl From<proofs::Error> for Failure {
    fn from(error: proofs::Error) -> Self {
        Self::of(Exit::Usage, &error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::of(Exit::Refused, &refused).at("not proven")
    }
}
