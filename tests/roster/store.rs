//! The folder of rosters, and what is kept in it across boots.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use vpmesh::mesh::accept::{Own, Why, start};
use vpmesh::os::store::{Found, Store};

use crate::person::Person;

struct Folder {
    dir: TempDir,
    store: Store,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::new(dir.path()), dir }
    }

    fn put(&self, person: &Person, serial: u64) {
        let text = person.text(serial, "", "");
        fs::write(self.dir.path().join(format!("{}.toml", person.name)), &text).unwrap();
        let signature = person.sign(text.as_bytes());
        fs::write(self.dir.path().join(format!("{}.toml.sig", person.name)), signature).unwrap();
    }

    /// The one kept file.
    fn kept_file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.dir.path().join(".accepted")).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        file
    }

    fn read(&self) -> Found {
        self.store.read().unwrap()
    }
}

fn own() -> Own {
    let alice = Person::new("alice", 1);
    Own { owner: alice.name.parse().unwrap(), key: alice.key() }
}

#[test]
fn what_was_accepted_survives_a_boot_and_is_written_once() {
    let folder = Folder::new();
    folder.put(&Person::new("alice", 1), 7);
    let found = folder.read();
    let set = start(&own(), &found.offers, &found.kept, &|_| Vec::new()).unwrap();
    assert_eq!(folder.store.keep(&set.kept).unwrap(), 1);
    let inode = fs::metadata(folder.kept_file()).unwrap().ino();
    assert_eq!(folder.store.keep(&set.kept).unwrap(), 0);
    assert_eq!(fs::metadata(folder.kept_file()).unwrap().ino(), inode);
    assert_eq!(fs::metadata(folder.kept_file()).unwrap().mode() & 0o777, 0o600);
    let booted = folder.read();
    assert_eq!(booted.kept, set.kept);
    assert_eq!(booted.notes, []);

    folder.put(&Person::new("alice", 1), 6);
    let found = folder.read();
    let set = start(&own(), &found.offers, &found.kept, &|_| Vec::new()).unwrap();
    assert_eq!(set.refusals[0].why, Why::OlderSerial);
    assert_eq!(set.rosters[0].roster.serial, 7);
    assert_eq!(folder.store.keep(&set.kept).unwrap(), 0);
}

#[test]
fn any_damage_to_what_was_kept_is_said_and_not_used() {
    let folder = Folder::new();
    folder.put(&Person::new("alice", 1), 7);
    let found = folder.read();
    let set = start(&own(), &found.offers, &found.kept, &|_| Vec::new()).unwrap();
    folder.store.keep(&set.kept).unwrap();
    let path = folder.kept_file();
    let good = fs::read(&path).unwrap();
    let cuts = (0..good.len()).step_by(7).map(|length| good[..length].to_vec());
    let flips = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    for bad in cuts.chain(flips) {
        fs::write(&path, bad).unwrap();
        let found = folder.read();
        assert_eq!(found.kept, []);
        assert!(found.notes[0].to_string().contains("what was accepted before is lost"));
    }
    assert_eq!(folder.store.keep(&set.kept).unwrap(), 1, "it is written anew");
    assert_eq!(folder.read().kept, set.kept);
}

#[test]
fn what_a_power_cut_left_is_not_read_and_goes_away() {
    let folder = Folder::new();
    let accepted = folder.dir.path().join(".accepted");
    fs::create_dir(&accepted).unwrap();
    let leftover = accepted.join(".vpmesh-tmp-1-2-half");
    fs::write(&leftover, "half").unwrap();
    assert_eq!(folder.read().notes, []);
    folder.store.keep(&[]).unwrap();
    assert!(!leftover.exists());
}

#[test]
fn only_regular_files_of_owners_are_offered() {
    let folder = Folder::new();
    let path = |name: &str| folder.dir.path().join(name);
    folder.put(&Person::new("alice", 1), 1);
    fs::write(path("readme.txt"), "").unwrap();
    fs::write(path(".alice.toml"), "").unwrap();
    fs::write(path("Alice.toml"), "").unwrap();
    fs::create_dir(path("bob.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(path("carol.toml")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", path("dave.toml")).unwrap();
    fs::write(path("erin.toml"), "").unwrap();
    fs::write(path("erin.toml.sig"), vec![b'x'; 9000]).unwrap();
    let large = fs::File::create(path("frank.toml")).unwrap();
    large.set_len(vpmesh::roster::ROSTER_BYTES_MAX as u64 + 1).unwrap();
    let found = folder.read();
    let offers: Vec<_> = found.offers.iter().map(|o| (o.owner.as_str(), o.signature.is_some())).collect();
    assert_eq!(offers, [("alice", true), ("erin", false)]);
    let notes: Vec<_> = found.notes.iter().map(|note| note.what.as_str()).collect();
    assert_eq!(notes.len(), 6, "{notes:?}");
    assert!(notes[0].contains("\"Alice\" is no owner's name"));
    assert!(notes[1..4].iter().all(|note| *note == "is not read: is no regular file"), "{notes:?}");
    assert!(
        notes[4].contains("has 9000 bytes") && notes[5].contains("at most 33554432 are read"),
        "{notes:?}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    assert!(Store::new("/nonexistent/rosters").read().unwrap_err().is_not_found());
}

#[test]
fn an_installation_that_is_cut_off_at_any_instant_leaves_the_old_pair_or_the_new_one() {
    let alice = Person::new("alice", 1);
    let kept_of = |folder: &Folder| {
        let found = folder.read();
        start(&own(), &found.offers, &found.kept, &|_| Vec::new()).unwrap().kept
    };
    let newer = Folder::new();
    newer.put(&alice, 2);
    let new = kept_of(&newer);
    for (done, has_new) in [(0, false), (1, false), (2, true), (3, true), (4, true), (5, true)] {
        let folder = Folder::new();
        folder.put(&alice, 1);
        folder.store.keep(&kept_of(&folder)).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let note = folder.dir.path().join(".accepted/.under-way");
        let steps: [&dyn Fn(); 5] = [
            &|| fs::write(&note, format!("{} {}\n", hex(new[0].key.as_bytes()), hex(&new[0].hash))).unwrap(),
            &|| assert!(folder.store.keep(&new).is_ok()),
            &|| fs::write(folder.dir.path().join("alice.toml.sig"), &new[0].signature).unwrap(),
            &|| fs::write(folder.dir.path().join("alice.toml"), &new[0].bytes).unwrap(),
            &|| fs::remove_file(&note).unwrap(),
        ];
        steps[..done].iter().for_each(|step| step());
        folder.store.finish().unwrap();
        assert!(!note.exists());
        let found = folder.read();
        let set = start(&own(), &found.offers, &found.kept, &|_| Vec::new()).unwrap();
        assert_eq!((set.refusals, set.rosters[0].roster.serial), (vec![], 1 + u64::from(has_new)), "{done}");
    }
    // And one that is not cut off.
    let folder = Folder::new();
    folder.put(&alice, 1);
    folder.store.install(&new, &new[0]).unwrap();
    assert_eq!(fs::read(folder.dir.path().join("alice.toml")).unwrap(), new[0].bytes[..]);
    assert_eq!(folder.read().kept, new);
}
