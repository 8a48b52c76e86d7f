//! Rosters given by name, without signatures: what `owner sign`, `check` and an offline `explain` look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Name;
use crate::base::signify::{FILE_MAX, OwnerKey, OwnerSecret};
use crate::mesh::accept::{self, TestOutcome, TestResult};
use crate::os::whole_file;
use crate::roster::{self, Fault, Faults, Joined, Line, Model, ROSTER_BYTES_MAX, Roster};

/// A roster that was read and is good by itself.
#[derive(Debug, Clone)]
pub struct Sheet {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub roster: Arc<Roster>,
}

impl Sheet {
    /// Reads a roster, signed or not.
    ///
    /// # Errors
    /// Every fault of it; a file that can't be read is one.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let file = path.to_string_lossy();
        let bytes = whole_file::read(path, ROSTER_BYTES_MAX).map_err(|error| unreadable(path, &error))?;
        let roster = Arc::new(roster::parse(&file, &bytes)?);
        Ok(Self { path: path.to_owned(), bytes, roster })
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// A file beside it: `alice.pub`.
    #[must_use]
    pub fn beside(&self, ending: &str) -> PathBuf {
        self.folder().join(format!("{}.{ending}", self.roster.owner))
    }
}

/// A file that can't be read, as a fault of the whole file.
#[must_use]
pub fn unreadable(path: &Path, error: &whole_file::FileError) -> Faults {
    let file: Arc<str> = path.to_string_lossy().into();
    // The error begins with the path, and so does the fault.
    let text = error.to_string();
    let what = text.strip_prefix(&format!("{file}: ")).unwrap_or(&text).to_owned();
    Faults(vec![Fault { file, line: Line(0), what, mend: "name a file that can be read".into() }])
}

/// The owner's public key: written, `RWQ…`, or in a `.pub` file of this name.
///
/// # Errors
/// When it is neither.
pub fn owner_key(text: &str) -> anyhow::Result<OwnerKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let path = Path::new(text);
    let file = whole_file::read_text(path, FILE_MAX)?;
    OwnerKey::parse_file(&file).map_err(|error| anyhow::anyhow!("{text}: the key {error}"))
}

/// The key of a roster's owner, as far as the desk knows: from the `.pub` file beside it, or from another roster's
/// `[[friend]]`.
#[must_use]
pub fn known_key(sheet: &Sheet, others: &[Sheet]) -> Option<OwnerKey> {
    let beside = whole_file::read_text(&sheet.beside("pub"), FILE_MAX).ok();
    let beside = beside.and_then(|text| OwnerKey::parse_file(&text).ok());
    let is_it = |friend: &&roster::Friend| friend.owner == sheet.roster.owner;
    beside.or_else(|| others.iter().find_map(|other| Some(other.roster.friends.iter().find(is_it)?.key)))
}

/// The rosters of a roster's friends that are in its folder. Those that are at fault are said in `faults`.
#[must_use]
pub fn friends_beside(sheet: &Sheet) -> (Vec<Sheet>, Vec<Fault>) {
    let (mut sheets, mut faults) = (Vec::new(), Vec::new());
    for friend in &sheet.roster.friends {
        let path = sheet.folder().join(format!("{}.toml", friend.owner));
        if path.exists() {
            match Sheet::read(&path) {
                Ok(sheet) => sheets.push(sheet),
                Err(error) => faults.extend(error.0),
            }
        }
    }
    (sheets, faults)
}

/// Joins a reader's roster with those of its friends that are at hand, unsigned. The friends' keys are those that the
/// reader writes. A reader whose key is unknown gets one that nobody has: only addresses depend on it.
///
/// # Errors
/// The reader's own faults.
pub fn join_as(reader: &Sheet, key: Option<OwnerKey>, others: &[Sheet]) -> Result<Joined, Faults> {
    let key = key.unwrap_or_else(|| stand_in(&reader.roster.owner));
    let mut pairs = vec![(reader.roster.clone(), key)];
    for friend in &reader.roster.friends {
        let is_it = |other: &&Sheet| other.roster.owner == friend.owner;
        pairs.extend(others.iter().find(is_it).map(|other| (other.roster.clone(), friend.key)));
    }
    Model::join(&pairs)
}

fn stand_in(owner: &Name) -> OwnerKey {
    OwnerSecret::from_seed([0; 8], &accept::hash(owner.as_str().as_bytes())).public()
}

/// The reader's own tests that fail, and what is only to be said: tests that can't be told.
#[must_use]
pub fn failing_tests(reader: &Roster, model: &Arc<Model>) -> (Vec<Fault>, Vec<Fault>) {
    let own = |outcome: &TestOutcome| outcome.owner == reader.owner;
    let outcomes: Vec<_> = accept::failing_tests(model).into_iter().filter(own).collect();
    let (unknown, failed): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|outcome| outcome.result == TestResult::CannotTell);
    (failed.iter().map(TestOutcome::fault).collect(), unknown.iter().map(TestOutcome::fault).collect())
}

/// Says faults or notes on stderr, each on a line of its own.
pub fn say(faults: &[Fault]) {
    for fault in faults {
        eprintln!("{fault}");
    }
}

/// Says notes on stderr: nothing is refused for them.
pub fn warn(notes: &[Fault]) {
    for note in notes {
        eprintln!("note: {note}");
    }
}
